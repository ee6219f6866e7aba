//! `match` of a trunk, and sources that nobody could tell whose they are.

use super::*;

fn sharing(first: &str, second: &str) -> String {
    format!(
        "[trunk.a]\nhost = \"192.0.2.1\"\n{first}\n[trunk.b]\nhost = \"b.example\"\nallow = [\"192.0.2.1\", \"192.0.2.2\"]\n{second}\n"
    )
}

#[test]
fn two_trunks_with_one_source_want_a_match() {
    expect_faults(
        &minimal_and(&sharing("", "")),
        expect![[r#"
        drawbridge.toml:15:8: trunk.b: calls from 192.0.2.1 could be trunk a's as well: nothing tells the two apart; write in b which are its calls: match = { to = ["+1555*"] }, { domain = ["…"] }, or { to = [] } if it takes none
         15 | [trunk.b]
            |        ^
    "#]],
    );
    expect_faults(
        &minimal_and(&sharing("match = { to = [\"+1*\"] }", "match = { to = [\"+44*\", \"+1*\"] }")),
        expect![[r#"
            drawbridge.toml:15:8: trunk.b: calls from 192.0.2.1 could be trunk a's as well: nothing tells the two apart; let match of a and b name different numbers or domains
             15 | [trunk.b]
                |        ^
        "#]],
    );
    for second in [
        "match = { to = [\"+44*\"] }",
        "match = { to = \"+44*\" }",
        "match = { to = [] }",
        "match = { domain = \"b.example\" }",
        "match = { registration = true }",
    ] {
        let config = valid(&sharing("", second));
        assert!(config.warnings.is_empty(), "{second}: {:?}", config.warnings);
    }
    let config = valid(&sharing(
        "match = { to = [\"+1*\", \"regex:\\\\+49.*\"] }",
        "match = { domain = [\"B.example\"] }",
    ));
    let [a, b] = &config.routing.trunks[..] else { panic!() };
    assert_eq!(a.matching.to.as_ref().map(Vec::len), Some(2));
    assert_eq!(b.matching.domains, ["b.example"]);
}

#[test]
fn what_may_be_told_apart_after_all_is_a_warning() {
    let warning = |text: &str| {
        let config = valid(text);
        config
            .warnings
            .iter()
            .map(|warning| format!("{}: {}", warning.key, warning.message))
            .collect::<Vec<_>>()
    };
    let by_port = "[trunk.a]\nhost = \"192.0.2.1\"\n[trunk.b]\nhost = \"192.0.2.1\"\nport = 5070\n";
    expect!["trunk.b: calls from 192.0.2.1 are taken for trunk a, which has this source too unless their source port says otherwise"].assert_eq(&warning(by_port).join("\n"));
    expect!["trunk.b: calls from 192.0.2.1 are taken for trunk a, which has this source too"]
        .assert_eq(&warning(&sharing("", "enabled = false")).join("\n"));
    let in_two_realms =
        "[trunk.a]\nhost = \"192.0.2.1\"\n[trunk.b]\nrealm = \"trusted\"\nhost = \"192.0.2.1\"\n";
    assert_eq!(warning(in_two_realms), ["route: there is no route: every call is refused with 404"]);
}

#[test]
fn what_is_wrong_in_a_match_has_its_place_and_cure() {
    expect_faults(
        &minimal_and(
            "[trunk.a]\nhost = \"192.0.2.1\"\nmatch = {}\n[trunk.b]\nhost = \"192.0.2.2\"\n\
             match = { to = [\"0044*\"], domain = [\"sip:x\"], from = 1 }\n[trunk.c]\nhost = \"192.0.2.3\"\n\
             match = { domain = [] }\n[trunk.d]\nhost = \"192.0.2.4\"\nmatch = { registration = \"yes\" }\n",
        ),
        expect![[r#"
            drawbridge.toml:14:1: trunk.a.match: nothing is to match; write to = ["+1555*"], domain = ["a.example"] or registration = true
             14 | match = {}
                | ^^^^^
            drawbridge.toml:17:17: trunk.b.match.to[1]: "0044*" matches no normalised number; numbers are in E.164 form here: write it as in "+44*"
             17 | match = { to = ["…"], domain = ["…"], from = 1 }
                |                 ^^^
            drawbridge.toml:17:37: trunk.b.match.domain[1]: "sip:x" is no host; write the host alone, without sip: and user
             17 | match = { to = ["…"], domain = ["…"], from = 1 }
                |                                 ^^^
            drawbridge.toml:17:47: trunk.b.match.from: unknown key; it belongs below [[route]]
             17 | match = …
                |         ^
            drawbridge.toml:20:20: trunk.c.match.domain: no usable number of domains; write 1 to 1000 domains
             20 | match = { domain = [] }
                |                    ^^
            drawbridge.toml:23:1: trunk.d.match: nothing is to match; write to = ["+1555*"], domain = ["a.example"] or registration = true
             23 | match = { registration = "…" }
                | ^^^^^
            drawbridge.toml:23:26: trunk.d.match.registration: this is a string; write true or false, without quotes
             23 | match = { registration = "…" }
                |                          ^^^
        "#]],
    );
}

#[test]
fn a_crowd_at_one_provider_is_told_of_in_time_and_not_without_end() {
    let trunk = |number: usize| format!("[trunk.t{number}]\nhost = \"192.0.2.1\"\n");
    let crowd: String = (0..60).map(trunk).collect();
    let found = faults(&[("drawbridge.toml", &minimal_and(&crowd))]);
    assert_eq!(found.matches("nothing tells the two apart").count(), 200);
}
