//! The timeouts of `[media]`.

use super::*;

#[test]
fn each_silence_has_a_timeout_of_its_own() {
    let config = valid("[media]\ntimeout = \"5s\"\none_way_timeout = \"30s\"\nhold_timeout = \"2h\"\n");
    let silence = config.media.silence();
    assert_eq!(silence.nothing, Duration::from_secs(5));
    assert_eq!(silence.one_way_end, Duration::from_secs(30));
    assert_eq!(silence.hold, Duration::from_secs(7_200));
    let none = valid("[media]\none_way_timeout = \"0s\"\nhold_timeout = \"0s\"\n").media;
    assert_eq!(
        (none.timeout.as_secs(), none.one_way_timeout, none.hold_timeout),
        (60, Duration::ZERO, Duration::ZERO)
    );
    // Found within seconds, whatever ends a call.
    assert_eq!(none.silence().one_way, Duration::from_secs(5));
}

#[test]
fn no_timeout_ends_a_call_in_every_pause() {
    let text =
        minimal_and("[media]\ntimeout = \"999ms\"\none_way_timeout = \"9s\"\nhold_timeout = \"999ms\"\n");
    expect_faults(
        &text,
        expect![[r#"
            drawbridge.toml:13:11: media.timeout: calls would end in every pause; write at least "1s"
             13 | timeout = "…"
                |           ^^^
            drawbridge.toml:14:19: media.one_way_timeout: calls would end in every pause; write at least "10s", or "0s" to end no call for it
             14 | one_way_timeout = "…"
                |                   ^^^
            drawbridge.toml:15:16: media.hold_timeout: calls would end in every pause; write at least "10s", or "0s" to end no call for it
             15 | hold_timeout = "…"
                |                ^^^
        "#]],
    );
}

#[test]
fn a_reload_tells_which_timeout_changed() {
    let before = valid("");
    let after = valid("[media]\none_way_timeout = \"30s\"\nhold_timeout = \"1h\"\n");
    let changes = diff(&before, &after).join("\n");
    assert!(changes.contains("media.one_way_timeout") && changes.contains("media.hold_timeout"), "{changes}");
}
