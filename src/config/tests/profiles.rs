//! Provider packs: what they fill in, what they refuse, and that each of them is whole.

use expect_test::{Expect, expect};

use super::super::*;
use super::{MINIMAL, faults, minimal_and, read, valid};
use crate::base::{Latch, Realm};
use crate::numbering::NumberForm;
use crate::routing::{Host, Trunk};

/// What an operator writes for each provider, and nothing more.
const FIVE_VALUES: [(&str, &str); 12] = [
    (
        "plain",
        "host = \"sip.example.com\"\nport = 5060\nusername = \"alice\"\npassword = \"${SECRET}\"\ndomain = \"example.com\"",
    ),
    ("asterisk", "host = \"10.0.0.10\""),
    ("freepbx", "host = \"10.0.0.10\""),
    ("freeswitch", "host = \"10.0.0.10\"\nport = 5080"),
    ("elevenlabs", "username = \"agent_1\"\npassword = \"${SECRET}\""),
    ("signalwire-app", "host = \"a.dapp.signalwire.com\""),
    ("signalwire", "host = \"a-1.sip.signalwire.com\"\nusername = \"sbc\"\npassword = \"${SECRET}\""),
    (
        "sinch",
        "region = \"euc1\"\nusername = \"key\"\npassword = \"${SECRET}\"\ncaller_id = { default = \"+12025550123\" }",
    ),
    ("telnyx", "limits = { cps = 20 }"),
    ("twilio", "host = \"a.pstn.twilio.com\"\nlimits = { cps = 1 }"),
    ("vonage", "username = \"key\"\npassword = \"${SECRET}\""),
    ("vonage-programmable", "host = \"acme.sip-us.nexmo.com\""),
];

fn trunk_of(profile: &str, keys: &str) -> String {
    minimal_and(&format!("[trunk.a]\nprofile = \"{profile}\"\n{keys}\n"))
}

fn filled(profile: &str, keys: &str) -> Trunk {
    let config = valid(&format!("[trunk.a]\nprofile = \"{profile}\"\n{keys}\n"));
    config.routing.trunks.into_iter().next().unwrap()
}

/// The faults alone, without the lines of the file.
fn told(profile: &str, keys: &str) -> String {
    let text = trunk_of(profile, keys);
    let found = faults(&[("drawbridge.toml", &text)]);
    found.lines().filter(|line| line.contains(": ")).map(|line| format!("{line}\n")).collect()
}

fn expect_told(profile: &str, keys: &str, expected: Expect) {
    expected.assert_eq(&told(profile, keys));
}

/// Each warning, without its place.
fn warned(profile: &str, keys: &str) -> Vec<String> {
    let config = valid(&format!("[trunk.a]\nprofile = \"{profile}\"\n{keys}\n"));
    config.warnings.iter().map(|warning| format!("{}: {}", warning.key, warning.message)).collect()
}

#[test]
fn every_pack_makes_a_trunk_of_the_values_that_its_provider_gives() {
    let packs = profiles(std::path::Path::new("/nonexistent/drawbridge.toml"));
    let names: Vec<_> = packs.iter().map(|pack| pack.name.as_str()).collect();
    let mut known: Vec<_> = FIVE_VALUES.iter().map(|(name, _)| *name).collect();
    known.sort_unstable();
    assert_eq!(names, known);
    assert!(packs.iter().all(|pack| !pack.title.is_empty() && pack.own.is_none()));
    for (profile, keys) in FIVE_VALUES {
        let config = valid(&format!("[trunk.a]\nprofile = \"{profile}\"\n{keys}\n"));
        assert!(config.warnings.is_empty(), "{profile}: {:?}", config.warnings);
        let trunk = &config.routing.trunks[0];
        assert!(!trunk.hosts.is_empty() && !trunk.domain.is_empty(), "{profile}");
        let is_pbx = ["asterisk", "freepbx", "freeswitch"].contains(&profile);
        assert_eq!(trunk.realm, if is_pbx { Realm::Trusted } else { Realm::Untrusted }, "{profile}");
        assert_eq!(trunk.trust_identity, is_pbx, "{profile}");
    }
}

#[test]
fn every_fact_of_a_pack_has_a_source() {
    for pack in profiles(std::path::Path::new("/nonexistent/drawbridge.toml")) {
        let is_pbx_or_any = pack.name == "plain";
        assert!(is_pbx_or_any || pack.text.contains("# Sources\n"), "{}", pack.name);
    }
}

#[test]
fn a_region_of_sinch_is_host_domain_and_all_addresses() {
    for region in ["euc1", "use1", "sae1", "apse1", "apse2"] {
        let keys = format!(
            "region = \"{region}\"\nusername = \"key\"\npassword = \"${{SECRET}}\"\ncaller_id = {{ default = \"+12025550123\" }}"
        );
        let trunk = filled("sinch", &keys);
        let name = format!("{region}.sip.sinch.com");
        assert_eq!(trunk.hosts[0].host, Host::Name(name.clone()));
        assert_eq!((trunk.domain, trunk.send_numbers), (name.clone(), NumberForm::E164));
        assert_eq!(trunk.allow.len(), 10);
        // The name alone says the region, too.
        let by_name =
            filled("sinch", &keys.replace(&format!("region = \"{region}\""), &format!("host = \"{name}\"")));
        assert_eq!((by_name.domain, by_name.hosts), (name, trunk.hosts));
    }
}

#[test]
fn both_addresses_of_a_region_give_its_name_as_domain() {
    let trunk = filled(
        "sinch",
        "hosts = [{ host = \"18.196.245.254\" }, { host = \"18.184.175.4\" }]\nusername = \"key\"\npassword = \"${SECRET}\"",
    );
    assert_eq!((trunk.hosts.len(), trunk.domain.as_str()), (2, "euc1.sip.sinch.com"));
}

#[test]
fn the_trunks_own_keys_win_tables_merge_and_lists_replace() {
    let own = r#"title = "Own"
[trunk]
send_numbers = "plain"
allow = ["192.0.2.0/24", "198.51.100.0/24"]
failover = { codes = ["5xx"], timeout = "2s" }
headers = { pass = ["X-A"], set = { X-From = "pack", X-Both = "pack" } }
latch = "strict"
"#;
    let text = minimal_and(
        r#"[trunk.a]
profile = "own"
host = "a.example"
allow = ["203.0.113.9"]
failover = { timeout = "3s" }
headers = { set = { X-Both = "own" } }
"#,
    );
    let config = read(&[("drawbridge.toml", &text), ("profiles.d/own.toml", own)]).unwrap();
    let trunk = &config.routing.trunks[0];
    assert_eq!(trunk.send_numbers, NumberForm::Plain);
    assert_eq!(trunk.allow, ["203.0.113.9/32".parse().unwrap()]);
    assert_eq!((trunk.failover.codes.len(), trunk.failover.timeout.as_secs()), (1, 3));
    assert_eq!(trunk.headers.pass, ["X-A"]);
    assert_eq!(trunk.latch, Latch::Strict);
    let set = [("X-Both".to_owned(), "own".to_owned()), ("X-From".to_owned(), "pack".to_owned())];
    assert_eq!(trunk.headers.set, set);
}

#[test]
fn hosts_of_a_trunk_stand_instead_of_its_profiles_host_and_the_other_way_round() {
    let keys = "username = \"key\"\npassword = \"${SECRET}\"\n";
    let listed = filled("vonage", &format!("{keys}hosts = [{{ host = \"sip-us1.nexmo.com\" }}]"));
    assert_eq!((listed.hosts.len(), listed.domain.as_str()), (1, "sip.nexmo.com"));
    let region = filled("vonage", &format!("{keys}region = \"ap\""));
    assert_eq!(region.hosts.len(), 6);
    let single = filled("vonage", &format!("{keys}region = \"ap\"\nhost = \"sip-us2.nexmo.com\""));
    assert_eq!(single.hosts.len(), 1);
}

#[test]
fn an_unknown_profile_and_an_unknown_region_have_their_nearest_names() {
    expect_told(
        "snich",
        "host = \"a.example\"",
        expect![[r#"
        drawbridge.toml:13:11: trunk.a.profile: "snich" is no profile; did you mean "sinch"?
    "#]],
    );
    expect_told(
        "acme",
        "host = \"a.example\"",
        expect![[r#"
        drawbridge.toml:13:11: trunk.a.profile: "acme" is no profile; write one of plain, asterisk, freepbx, freeswitch, elevenlabs, signalwire, signalwire-app, sinch, telnyx, twilio, vonage, vonage-programmable
    "#]],
    );
    expect_told(
        "telnyx",
        "region = \"europe\"",
        expect![[r#"
        drawbridge.toml:14:10: trunk.a.region: "europe" is no region of profile telnyx; write one of au, ca, eu, us
    "#]],
    );
    expect_told(
        "plain",
        "host = \"a.example\"\nregion = \"eu\"",
        expect![[r#"
        drawbridge.toml:15:10: trunk.a.region: profile plain has no regions; leave region out
    "#]],
    );
}

#[test]
fn what_only_the_operator_knows_is_asked_for_with_what_to_write() {
    expect_told(
        "sinch",
        "",
        expect![[r#"
            drawbridge.toml:12:8: trunk.a: host is missing; write region = "euc1" (or use1, sae1, apse1, apse2), or the region's name as in host = "euc1.sip.sinch.com"
            drawbridge.toml:13:11: trunk.a.username: username is missing: profile sinch cannot know it; write the application key: username = "…"
            drawbridge.toml:13:11: trunk.a.password: password is missing: profile sinch cannot know it; write the application secret: password = "${SINCH_SECRET}"
        "#]],
    );
    expect_told(
        "sinch",
        "region = \"euc1\"\nusername = \"key\"",
        expect![[r#"
        drawbridge.toml:15:12: trunk.a.username: there is no password with it; write password = "${NAME}" too
    "#]],
    );
    expect_told(
        "twilio",
        "",
        expect![[r#"
        drawbridge.toml:12:8: trunk.a: host is missing; write the trunk's termination URI, as in host = "example.pstn.twilio.com"
    "#]],
    );
    expect_told(
        "vonage-programmable",
        "",
        expect![[r#"
        drawbridge.toml:12:8: trunk.a: host is missing; write your domain with its region, as in host = "example.sip-us.nexmo.com"
    "#]],
    );
}

#[test]
fn a_programmable_sip_domain_without_a_region_is_refused() {
    for host in ["acme.nexmo.com", "sip.nexmo.com", "acme.sip.nexmo.com", "sip-us.nexmo.com", "192.0.2.1"] {
        let found = told("vonage-programmable", &format!("host = \"{host}\""));
        assert!(
            found.contains("trunk.a.host: a domain of Programmable SIP has its region in its name"),
            "{found}"
        );
    }
    for region in ["us", "eu", "ap"] {
        filled("vonage-programmable", &format!("host = \"Acme.sip-{region}.nexmo.com\""));
    }
    expect_told(
        "vonage-programmable",
        "host = \"acme.sip-us.nexmo.com\"\ndomain = \"acme.nexmo.com\"",
        expect![[r#"
        drawbridge.toml:15:10: trunk.a.domain: a domain of Programmable SIP has its region in its name, or every call to it fails; leave domain out: it is the host
    "#]],
    );
}

#[test]
fn what_cannot_work_at_sinch_is_refused() {
    let keys = "username = \"key\"\npassword = \"${SECRET}\"\n";
    let secured = told("sinch", &format!("{keys}region = \"euc1\"\nsrtp = \"required\""));
    assert!(secured.contains("trunk.a.srtp: Sinch takes no secured RTP"), "{secured}");
    expect_told(
        "sinch",
        &format!("{keys}host = \"sip.sinch.com\""),
        expect![[r#"
        drawbridge.toml:16:8: trunk.a.host: this is no region of Sinch; write one of euc1, use1, sae1, apse1, apse2, as in host = "euc1.sip.sinch.com"
    "#]],
    );
    expect_told(
        "sinch",
        &format!("{keys}host = \"18.184.175.4\""),
        expect![[r#"
        drawbridge.toml:16:8: trunk.a.host: the region has 18.196.245.254, too, and this one may be down; write hosts = [{ host = "18.184.175.4" }, { host = "18.196.245.254" }], or better host = "euc1.sip.sinch.com"
    "#]],
    );
    expect_told(
        "sinch",
        &format!("{keys}region = \"euc1\"\ndomain = \"acme.com\"\nsend_numbers = \"plain\""),
        expect![[r#"
            drawbridge.toml:17:10: trunk.a.domain: Sinch takes calls for its regions' names alone; leave domain out: the region's name is filled in
            drawbridge.toml:18:16: trunk.a.send_numbers: Sinch takes numbers in E.164 form alone, with the plus; leave send_numbers out
        "#]],
    );
}

#[test]
fn what_is_rarely_meant_at_a_provider_is_warned_about() {
    let secrets = "username = \"key\"\npassword = \"${SECRET}\"";
    let sinch = format!("region = \"euc1\"\n{secrets}\ncodecs = [\"PCMU\", \"iLBC\"]");
    let private =
        "trunk.a.caller_id.default: a caller whose number your account does not own is shown as \"private\"";
    assert_eq!(warned("sinch", &sinch), [private, "trunk.a.codecs[2]: Sinch does not take this codec"]);
    let twilio = "trunk.a.limits.cps: Twilio takes one call a second for each trunk unless you bought more, and answers the rest with 503";
    assert_eq!(warned("twilio", "host = \"a.pstn.twilio.com\""), [twilio]);
    let telnyx = "trunk.a.limits.cps: Telnyx takes 20 calls a second from one address or user";
    assert_eq!(warned("telnyx", "limits = { cps = 21 }"), [telnyx]);
    let headers = "headers = { pass = [\"X-*\", \"x-nexmo-trace\"], set = { X-Nexmo-Site = \"ams\" } }";
    let nexmo = "Vonage keeps headers that begin with X-Nexmo for itself: the application does not get them";
    let keys = ["trunk.a.headers.pass[2]", "trunk.a.headers.set.X-Nexmo-Site"];
    let told = keys.map(|key| format!("{key}: {nexmo}"));
    assert_eq!(warned("vonage", &format!("{secrets}\n{headers}")), told);
    assert_eq!(warned("vonage-programmable", &format!("host = \"a.sip-eu.nexmo.com\"\n{headers}")).len(), 2);
}

#[test]
fn a_fault_of_a_value_that_a_profile_gave_says_so_where_the_profile_is_named() {
    let own = "title = \"Own\"\n[trunk]\nhost = \"-x\"\ncodecs = [\"PCMU\", \"a b\"]\nlimits = { cpps = 1 }\ntransport = \"tcp\"\n";
    let text = minimal_and("[trunk.a]\nprofile = \"own\"\n");
    let found = faults(&[("drawbridge.toml", &text), ("profiles.d/own.toml", own)]);
    expect![[r#"
        drawbridge.toml:12:8: trunk.a.transport: the untrusted realm has no listener of transport tcp (from profile own); add [[listener]] with realm = "untrusted", transport = "tcp" and bind = "ADDRESS:5060"
         12 | [trunk.a]
            |        ^
        drawbridge.toml:13:11: trunk.a.host: "-x" is no host (from profile own); write a domain name such as sip.example.com, or an IP address
         13 | profile = "…"
            |           ^^^
        drawbridge.toml:13:11: trunk.a.codecs[2]: "a b" is no codec name (from profile own); write the encoding name of SDP alone, as in "PCMU"
         13 | profile = "…"
            |           ^^^
        drawbridge.toml:13:11: trunk.a.limits.cpps: unknown key (from profile own); did you mean "cps"?
         13 | profile = …
            |           ^
    "#]].assert_eq(&found);
}

#[test]
fn an_own_pack_comes_before_one_that_is_built_in_and_its_faults_are_told() {
    let own = "title = \"Own\"\n[trunk]\nhost = \"own.example\"\n";
    let text = minimal_and("[trunk.a]\nprofile = \"sinch\"\n");
    let config = read(&[("drawbridge.toml", &text), ("profiles.d/sinch.toml", own)]).unwrap();
    assert_eq!(config.routing.trunks[0].domain, "own.example");
    let wrong = "[trnk]\n[region.a]\nadresses = [\"1.2.3.4\"]\n[[lint]]\nkey = \"host\"\nis = \"(\"\nmessage = \"m\"\ncure = \"c\"\nlevel = \"fault\"\n";
    expect![[r#"
        profiles.d/b.toml:1:1: title is missing; write title = "The provider's name"
         1 | [trnk]
           | ^
        profiles.d/b.toml:1:2: trnk: unknown key; did you mean "trunk"?
         1 | [trnk]
           |  ^^^^
        profiles.d/b.toml:3:1: region.a.adresses: unknown key; did you mean "addresses"?
         3 | adresses = …
           | ^^^^^^^^
        profiles.d/b.toml:4:1: lint[1]: is no rule; write key, message, cure, level = "fault" or "warning", and one of is, is_not and absent
         4 | [[lint]]
           | ^^^^^^^^
    "#]].assert_eq(&faults(&[("drawbridge.toml", MINIMAL), ("profiles.d/b.toml", wrong)]));
    let syntax = faults(&[("drawbridge.toml", MINIMAL), ("profiles.d/b.toml", "title = \n")]);
    assert!(syntax.starts_with("profiles.d/b.toml:1:"), "{syntax}");
}

#[test]
fn a_pack_gives_away_no_secret_in_a_fault() {
    let text = trunk_of("sinch", "host = \"${SECRET}\"\nusername = \"key\"\npassword = \"${SECRET}\"");
    let found = faults(&[("drawbridge.toml", &text)]);
    assert!(!found.contains("hunter2"), "{found}");
}
