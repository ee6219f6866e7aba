//! How packets are moved: the keys of `[media]` that are the relay's.

use super::*;

#[test]
fn how_packets_are_moved_is_read() {
    let text = "[media]\nworkers = 3\nengine = \"io_uring\"\nbatch = \"1ms\"\nzero_copy = \"off\"\nbusy_poll = \"50us\"\npin = false\n";
    let relay = valid(text).relay;
    assert_eq!(
        (relay.workers, relay.engine, relay.zero_copy),
        (Some(3), RelayEngine::IoUring, ZeroCopy::Off)
    );
    assert_eq!((relay.batch.as_micros(), relay.busy_poll.as_micros(), relay.pin), (1_000, 50, false));
    assert!(valid("[media]\nbatch = \"0us\"\n").relay.batch.is_zero());
}

#[test]
fn what_would_be_heard_or_is_no_setting_of_the_relay_is_refused() {
    let text = "[media]\nbatch = \"6ms\"\nzero_copy = \"always\"\nbusy_poll = \"2000us\"\npin = \"yes\"\nengine = \"epoll\"\n";
    let expected = expect![[r#"
        drawbridge.toml:13:9: media.batch: this is out of range; write "0us" to "5ms"
         13 | batch = "…"
            |         ^^^
        drawbridge.toml:14:13: media.zero_copy: "always" is not known here; write "auto" or "on" or "off"
         14 | zero_copy = "…"
            |             ^^^
        drawbridge.toml:15:13: media.busy_poll: this is out of range; write "0us" to "1ms"
         15 | busy_poll = "…"
            |             ^^^
        drawbridge.toml:16:7: media.pin: this is a string; write true or false, without quotes
         16 | pin = "…"
            |       ^^^
        drawbridge.toml:17:10: media.engine: "epoll" is not known here; write "auto" or "io_uring" or "portable"
         17 | engine = "…"
            |          ^^^
    "#]];
    expect_faults(&minimal_and(text), expected);
}

#[test]
fn a_number_without_a_unit_is_one_fault_with_the_units_that_fit() {
    let expected = expect![[r#"
        drawbridge.toml:13:9: media.batch: a duration has a unit; write it in quotes with us or ms, as in "200us"
         13 | batch = 200
            |         ^^^
        drawbridge.toml:14:13: media.busy_poll: "50" is no duration; write a whole number with us or ms, as in "200us"
         14 | busy_poll = "…"
            |             ^^^
    "#]];
    expect_faults(&minimal_and("[media]\nbatch = 200\nbusy_poll = \"50\"\n"), expected);
}

#[test]
fn ports_that_the_kernel_gives_away_are_warned_of_with_the_line_to_type() {
    let text = minimal_and("[media]\nports = \"30000-40000\"\n");
    let source = Source::new("drawbridge.toml".to_owned(), text, Kind::Main);
    let warnings = |reserved: &'static str| {
        let file = |path: &Path| match path.file_name().and_then(|name| name.to_str()) {
            Some("ip_local_port_range") => Ok("32768\t60999\n".to_owned()),
            Some("ip_local_reserved_ports") => Ok(reserved.to_owned()),
            _ => Err("no such file".to_owned()),
        };
        let config = check(std::slice::from_ref(&source), &Surroundings::new(&|_| None, &file)).unwrap();
        config.warnings.iter().map(|warning| format!("{warning}\n")).collect::<String>()
    };
    let told = warnings("8080\n");
    for expected in [
        "drawbridge.toml:13:9: media.ports: the kernel gives ports 32768-39999 to any program",
        "sysctl -w net.ipv4.ip_local_reserved_ports=8080,30000-39999",
    ] {
        assert!(told.contains(expected), "{told}");
    }
    assert_eq!(warnings("8080,30000-40000\n"), "");
}
