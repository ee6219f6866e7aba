//! `[hep]` and `[log]`: who may look on, and what is written down.

use super::*;

#[test]
fn copies_and_the_log_have_their_defaults_and_their_keys() {
    let plain = valid("");
    assert_eq!((plain.hep.clone(), plain.log.clone()), (None, Log::default()));
    let config = valid(
        "[node]\nname = \"sbc1\"\n[hep]\ncollector = \"192.0.2.9\"\ntransport = \"udp\"\nid = 7\npassword = \"${SECRET}\"\n\
         [log]\nfilter = \"warn,drawbridge::transport=debug\"\nredact_numbers = true\n",
    );
    let hep = config.hep.as_ref().expect("hep");
    assert_eq!(
        (hep.collector.to_string().as_str(), hep.id, hep.node.as_str()),
        ("192.0.2.9:9060", 7, "sbc1")
    );
    assert_eq!(hep.password.as_deref(), Some("hunter2"));
    assert!(hep.rtcp);
    assert_eq!(config.log.filter, "warn,drawbridge::transport=debug");
    let changes = diff(&plain, &config).join("\n");
    expect![[r#"
        hep.collector: none → 192.0.2.9:9060
        hep.id: none → 7
        hep.password: added
        hep.rtcp: none → true
        log.filter: info → warn,drawbridge::transport=debug
        log.redact_numbers: false → true
        node.name: drawbridge → sbc1"#]]
    .assert_eq(&changes);
}

#[test]
fn copies_of_rtcp_can_be_left_out() {
    let both = valid("[hep]\ncollector = \"192.0.2.9\"\n");
    let config = valid("[hep]\ncollector = \"192.0.2.9\"\nrtcp = false\n");
    assert!(!config.hep.as_ref().expect("hep").rtcp);
    assert_eq!(diff(&both, &config), ["hep.rtcp: true → false"]);
}

#[test]
fn what_is_no_collector_and_no_filter_is_told() {
    expect_faults(
        &minimal_and(
            "[hep]\ntransport = \"tcp\"\nid = 0\nrtcp = 1\n[log]\nfilter = \"inof\"\nredact_numbers = \"yes\"\n",
        ),
        expect![[r#"
            drawbridge.toml:12:2: hep: collector is missing; write collector = "192.0.2.9:9060"
             12 | [hep]
                |  ^^^
            drawbridge.toml:13:13: hep.transport: "tcp" is not known here; write "udp"
             13 | transport = "…"
                |             ^^^
            drawbridge.toml:14:6: hep.id: 0 is out of range; write 1 to 4294967295
             14 | id = 0
                |      ^
            drawbridge.toml:15:8: hep.rtcp: this is a whole number; write true or false
             15 | rtcp = 1
                |        ^
            drawbridge.toml:17:10: log.filter: "inof" is no filter of the log; write error, warn, info, debug, trace or off, or more of a part: "info,drawbridge::transport=debug"
             17 | filter = "…"
                |          ^^^
            drawbridge.toml:18:18: log.redact_numbers: this is a string; write true or false, without quotes
             18 | redact_numbers = "…"
                |                  ^^^
        "#]],
    );
}
