//! The files in `etc/`: they load, and they have every key that is read.

use std::collections::BTreeSet;

use super::super::*;
use super::read;

const FIRST: &str = include_str!("../../../etc/drawbridge.toml");
const SAMPLE: &str = include_str!("../../../etc/trunks.d/example.toml.sample");

#[test]
fn the_first_configuration_loads_and_lets_nobody_in() {
    let config = parse("etc/drawbridge.toml", FIRST).unwrap();
    assert!(config.listeners.iter().all(|listener| listener.bind.ip().is_loopback()));
    assert!(config.admin.listen.ip().is_loopback());
    assert_eq!(config.admission.allow, crate::base::ByRealm::default());
    assert!(config.routing.trunks.is_empty() && config.routing.routes.is_empty());
}

/// Every line that an operator may take the `#` from is true as well.
#[test]
fn the_sample_files_load_with_everything_uncommented() {
    let authority = crate::transport::Authority::new("samples");
    authority.sign("sbc");
    let directory = authority.ca().parent().unwrap().display().to_string();
    let uncommented = |text: &str| known_keys::uncommented(text).replace("/etc/drawbridge/tls", &directory);
    let first = uncommented(FIRST).replace("drawbridge.service/cdr-token", "sinch");
    let trunks = uncommented(SAMPLE).replace("EXAMPLE_SECRET", "SECRET");
    match read(&[("drawbridge.toml", &first), ("trunks.d/example.toml", &trunks)]) {
        Ok(config) => {
            assert_eq!(config.routing.routes.len(), 3);
            assert!(
                config.cdr.path.is_some() && config.cdr.post.is_some() && config.numbering.country.is_some()
            );
            assert!(config.routing.trunks[0].credentials.is_some());
            assert_eq!((config.listeners.len(), config.clients.len()), (4, 1));
        }
        Err(faults) => panic!("{}", faults.iter().map(|fault| format!("{fault}\n")).collect::<String>()),
    }
}

/// The files that read keys.
const READERS: [&str; 11] = [
    include_str!("../records.rs"),
    include_str!("../relay.rs"),
    include_str!("../numbers.rs"),
    include_str!("../matching.rs"),
    include_str!("../balance.rs"),
    include_str!("../sections.rs"),
    include_str!("../trunks.rs"),
    include_str!("../calls.rs"),
    include_str!("../health.rs"),
    include_str!("../registration.rs"),
    include_str!("../tls.rs"),
];

#[test]
fn every_key_that_is_read_is_in_a_sample() {
    let read =
        regex::Regex::new(r#"\b(?:value|required|section|small|media_addresses)\((?:\w+,\s*)?"(\w+)""#);
    let read = read.unwrap();
    let keys: BTreeSet<&str> = READERS
        .iter()
        .flat_map(|reader| read.captures_iter(reader))
        .map(|found| found.get(1).unwrap().as_str())
        .collect();
    assert!(keys.len() > 60, "{} keys were found: is the way they are read another?", keys.len());
    let is_shown = |key: &str| {
        let forms = [format!("{key} = "), format!("[{key}]"), format!("[{key}."), format!(".{key}]")];
        forms.iter().any(|form| FIRST.contains(form) || SAMPLE.contains(form))
    };
    let missing: Vec<_> = keys.into_iter().filter(|key| !is_shown(key)).collect();
    assert_eq!(missing, [""; 0], "write them into etc/");
}
