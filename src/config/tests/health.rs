//! `health` of a trunk: how often, and for how long an answer is waited for.

use std::time::Duration;

use super::{faults, minimal_and, read};

fn times(health: &str) -> Result<(Duration, Duration), String> {
    let text = minimal_and(&format!("[trunk.a]\nhost = \"192.0.2.1\"\nhealth = {{ {health} }}\n"));
    match read(&[("drawbridge.toml", &text)]) {
        Ok(config) => {
            let health = &config.routing.trunks[0].health;
            Ok((health.interval, health.timeout))
        }
        Err(_) => Err(faults(&[("drawbridge.toml", &text)])),
    }
}

#[test]
fn a_probe_is_over_when_the_next_goes_out() {
    let times = |health| times(health).map(|(interval, timeout)| (interval.as_millis(), timeout.as_millis()));
    assert_eq!(times("interval = \"30s\""), Ok((30_000, 2_000)));
    // Nobody who asks every second has to find out that the default for the answer is two.
    assert_eq!(times("interval = \"1s\""), Ok((1_000, 1_000)));
    assert_eq!(times("interval = \"1s\", timeout = \"1s\""), Ok((1_000, 1_000)));
    assert_eq!(times("interval = \"2s\", timeout = \"500ms\""), Ok((2_000, 500)));
    assert_eq!(times("interval = \"0s\", timeout = \"3s\""), Ok((0, 3_000)));
    assert!(
        times("interval = \"1s\", timeout = \"2s\"").unwrap_err().contains("write no more than interval")
    );
    assert!(times("interval = \"999ms\"").unwrap_err().contains("write \"1s\" to \"1h\""));
    assert!(times("timeout = \"99ms\"").unwrap_err().contains("write \"100ms\" to \"32s\""));
}
