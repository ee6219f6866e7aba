//! What operators get wrong, each with all that `check` says of it. The wording is the feature: it is in
//! `mistakes.txt`, which `UPDATE_EXPECT=1` writes anew, to be read before it is believed.

use expect_test::expect_file;

use super::{MINIMAL, faults, minimal_and, read};

/// What was done, and what stands below a small right configuration.
const MISTAKES: &[(&str, &str)] = &[
    ("no quotes", "[trunk.a]\nhost = a.example\nport = 5060\n"),
    ("no closing quote", "[trunk.a]\nhost = \"a.example\nport = 5060\n"),
    (
        "addresses without quotes",
        "[trunk.a]\nhost = 192.0.2.1\nsend_numbers = plain\nallow = [192.0.2.1, 198.51.100.0/24]\n",
    ),
    ("a word processor's quotes", "[trunk.a]\nhost = “a.example”\n"),
    (
        "an apostrophe in single quotes",
        "[trunk.a]\nhost = \"a.example\"\nusername = 'it's'\npassword = \"x\"\n",
    ),
    (
        "a duration without quotes, within a table",
        "[trunk.a]\nhost = \"a.example\"\nfailover = { timeout = 4s }\n",
    ),
    ("colons for =", "[trunk.a]\nhost: \"a.example\"\nport: 5060\n"),
    ("no = at all", "[trunk.a]\nhost \"a.example\"\n"),
    ("yes and False", "[trunk.a]\nhost = \"a.example\"\nenabled = yes\ntrust_identity = False\n"),
    ("a number with a zero before it", "[trunk.a]\nhost = \"a.example\"\nport = 05060\n"),
    ("two values where one belongs", "[trunk.a]\nhost = \"a.example\", \"b.example\"\n"),
    (
        "no commas",
        "[trunk.a]\nhost = \"a.example\"\nlimits = { calls = 10 cps = 5 }\nallow = [\"192.0.2.1\" \"192.0.2.2\"]\n",
    ),
    ("a backslash", "[trunk.a]\nhost = \"a.example\"\nusername = \"AD\\user\"\npassword = \"x\"\n"),
    ("tabs, and a misspelt key", "\t[trunk.a]\n\thost\t= \"a.example\"\n\tprot\t= 5060\n"),
    ("no ] behind a name", "[trunk.a\nhost = \"a.example\"\n"),
    ("a blank in a name", "[trunk.my carrier]\nhost = \"a.example\"\n"),
    ("one bracket where two belong", "[route]\nfrom = \"trusted\"\ntrunks = [\"a\"]\n"),
    ("two brackets where one belongs", "[[trunk.a]]\nhost = \"a.example\"\n"),
    ("a bracket too few", "[[route]\nfrom = \"trusted\"\ntrunks = [\"a\"]\n"),
    (
        "a table within a line that does not end",
        "[trunk.a]\nhost = \"a.example\"\nlimits = { calls = 10\nport = 5060\n",
    ),
    ("a list that does not end", "[trunk.a]\nhost = \"a.example\"\nallow = [\"192.0.2.1\",\nport = 5060\n"),
    ("a trunk without trunk.", "[sinch]\nhost = \"a.example\"\n"),
    (
        "a trunk twice in one file",
        "[trunk.a]\nhost = \"a.example\"\n[trunk.a]\nhost = \"b.example\"\nport = 5060\n",
    ),
    ("a key twice", "[trunk.a]\nhost = \"a.example\"\nport = 5060\nhost = \"b.example\"\n"),
    ("routes with one bracket", "[route]\nname = \"x\"\n[route]\nname = \"y\"\n"),
    (
        "two routes of one name",
        "[trunk.a]\nhost = \"a.example\"\n[[route]]\nname = \"r\"\nfrom = \"a\"\ntrunks = [\"a\"]\n[[route]]\nname = \"r\"\nfrom = \"trusted\"\ntrunks = [\"a\"]\n",
    ),
    ("a number in quotes", "[trunk.a]\nhost = \"a.example\"\nport = \"5060\"\n"),
    (
        "true in quotes, and a list without brackets",
        "[trunk.a]\nhost = \"a.example\"\nenabled = \"true\"\nallow = \"192.0.2.1\"\n",
    ),
    ("durations and ranges as numbers", "[media]\ntimeout = 60\nports = 10000\n"),
    ("a number for a table", "[trunk.a]\nhost = \"a.example\"\nlimits = 10\n"),
    (
        "keys of other tables",
        "[trunk.a]\nhost = \"a.example\"\nusrname = \"x\"\nmedia_bind = \"192.0.2.1\"\ncps = 5\n[media]\nmedia_bind = \"192.0.2.1\"\n[numbering]\nanswer_timeout = \"90s\"\n",
    ),
    ("a misspelt table", "[realms.trusted]\nallow = []\n"),
    ("a key that is nowhere", "[trunk.a]\nhost = \"a.example\"\nfrobnicate = true\n"),
    (
        "names that nothing has",
        "[trunk.sinch]\nhost = \"a.example\"\n[[route]]\nfrom = \"trustet\"\ntrunks = [\"sinhc\", \"carrier\"]\n",
    ),
    (
        "words of other spelling",
        "[trunk.a]\nhost = \"a.example\"\nrealm = \"untrused\"\ntransport = \"UDP\"\nsend_numbers = \"national-number\"\n",
    ),
    (
        "a URI for a host, host bits, no address",
        "[trunk.a]\nhost = \"sip:alice@a.example\"\nallow = [\"10.0.0.1/8\", \"192.0.2.300\"]\n",
    ),
    ("a host with its port", "[trunk.a]\nhost = \"a.example:5060\"\n"),
    ("a transport that nobody listens for", "[trunk.a]\nhost = \"192.0.2.1\"\ntransport = \"tls\"\n"),
    ("media ports over a listener's", "[media]\nports = \"5000-6000\"\n"),
    ("a port for an address", "[admin]\nlisten = \"9060\"\n[dns]\nnameservers = [\"dns.example\"]\n"),
    (
        "secrets that are not there",
        "[trunk.a]\nhost = \"a.example\"\nusername = \"u\"\npassword = \"${NAMELESS}\"\n[trunk.b]\nhost = \"b.example\"\nusername = \"u\"\npassword = \"${file:/run/credentials/nope}\"\n",
    ),
    ("a username without its password", "[trunk.a]\nhost = \"a.example\"\nusername = \"u\"\n"),
    ("a password without quotes", "[trunk.a]\nhost = \"a.example\"\nusername = \"u\"\npassword = hunter2\n"),
    ("no host", "[trunk.a]\nusername = \"u\"\npassword = \"x\"\n"),
    (
        "a region that there is not, and nothing else",
        "[trunk.a]\nprofile = \"sinch\"\nregion = \"euc2\"\nusername = \"u\"\npassword = \"${SECRET}\"\n",
    ),
    (
        "(a warning) somebody on both sides, and no route",
        "[trunk.a]\nhost = \"a.example\"\n[trunk.pbx]\nrealm = \"trusted\"\nhost = \"127.0.0.9\"\n",
    ),
    (
        "(warnings) countries whose people cannot call for help",
        "[numbering]\ncountry = \"FR\"\n[trunk.a]\nhost = \"a.example\"\nnumbering = { country = \"DE\" }\n[trunk.b]\nhost = \"b.example\"\nnumbering = { country = \"GB\", emergency = [\"112\", \"999\"] }\n",
    ),
    (
        "(a warning) a trunk without a route, a route that is not reached",
        "[trunk.a]\nhost = \"a.example\"\n[trunk.b]\nhost = \"b.example\"\n[[route]]\nname = \"all\"\nfrom = \"trusted\"\ntrunks = [\"a\"]\n[[route]]\nname = \"us\"\nfrom = \"trusted\"\nto = [\"+1*\"]\ntrunks = [\"a\"]\n",
    ),
];

#[test]
fn every_mistake_is_told_with_its_place_and_its_cure() {
    let mut told = String::new();
    for (mistake, text) in MISTAKES {
        let text = minimal_and(text);
        let files = [("drawbridge.toml", text.as_str())];
        let said = match read(&files) {
            Ok(config) => config.warnings.iter().map(|warning| format!("{warning}\n")).collect(),
            Err(_) => faults(&files),
        };
        assert!(!said.is_empty() && !said.contains("hunter2"), "{mistake}: {said}");
        told.push_str(&format!("=== {mistake}\n{said}\n"));
    }
    expect_file!["mistakes.txt"].assert_eq(&told);
}

#[test]
fn a_private_address_towards_carriers_is_warned_about() {
    let behind_nat = MINIMAL.replace("127.0.0.2", "10.0.0.5");
    let warnings = |text: &str| {
        let config = read(&[("drawbridge.toml", text)]).unwrap();
        config.warnings.iter().map(|warning| warning.key.clone()).collect::<Vec<_>>()
    };
    let keys = ["listener[2].advertise", "realm.untrusted.media_advertise"];
    assert_eq!(warnings(&behind_nat), keys);
    let advertised = behind_nat
        .replace("\"10.0.0.5:5060\"", "\"10.0.0.5:5060\"\nadvertise = \"203.0.113.5:5060\"")
        .replace("media_bind = \"10.0.0.5\"", "media_bind = \"10.0.0.5\"\nmedia_advertise = \"203.0.113.5\"");
    assert_eq!(warnings(&advertised), [""; 0]);
}

#[test]
fn all_syntax_faults_of_a_file_come_at_once_and_no_more_than_help() {
    let many = minimal_and(&format!("[trunk.a]\nhost = \"a.example\"\n{}", "port: 5\n".repeat(500)));
    assert_eq!(read(&[("drawbridge.toml", &many)]).unwrap_err().len(), 50);
    let garbage = "[{\"=".repeat(20_000);
    assert!(read(&[("drawbridge.toml", &garbage)]).unwrap_err().len() <= 50);
}
