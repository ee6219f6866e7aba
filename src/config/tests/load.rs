//! Who comes first inside a tier, and limits.

use super::*;
use crate::routing::{Balance, Limits, TierTrunk};

const THREE: &str = "[trunk.a]\nhost = \"192.0.2.1\"\nweight = 5\n[trunk.b]\nhost = \"192.0.2.2\"\n[trunk.c]\nhost = \"192.0.2.3\"\n";

#[test]
fn a_tier_has_trunks_with_weights() {
    let config = valid(&format!(
        "{THREE}[[route]]\nfrom = \"trusted\"\nbalance = \"hash\"\n\
         trunks = [[\"a\", {{ trunk = \"b\", weight = 0 }}], {{ trunk = \"c\", weight = 3 }}]\n\
         [[route]]\nname = \"in\"\nfrom = \"untrusted\"\ntrunks = [\"a\"]\n"
    ));
    let route = &config.routing.routes[0];
    let weighted = |name: &str, weight| TierTrunk { trunk: name.into(), weight: Some(weight) };
    assert_eq!(route.tiers, [vec!["a".into(), weighted("b", 0)], vec![weighted("c", 3)]]);
    assert_eq!((route.balance, config.routing.routes[1].balance), (Balance::Hash, Balance::Weight));
    assert_eq!(config.routing.trunks.iter().map(|trunk| trunk.weight).collect::<Vec<_>>(), [5, 1, 1]);
    for (word, balance) in [("round-robin", Balance::RoundRobin), ("least-calls", Balance::LeastCalls)] {
        let text = format!("{THREE}[[route]]\nfrom = \"trusted\"\nbalance = \"{word}\"\ntrunks = [\"a\"]\n");
        assert_eq!(valid(&text).routing.routes[0].balance, balance);
    }
}

#[test]
fn what_is_wrong_in_a_tier_has_its_place_and_cure() {
    expect_faults(
        &minimal_and(&format!(
            "{THREE}[[route]]\nfrom = \"trusted\"\nbalance = \"random\"\n\
             trunks = [[\"a\", {{ trunk = \"d\" }}], {{ weight = 3 }}, {{ trunk = \"b\", wait = 1, weight = 70000 }}]\n"
        )),
        expect![[r#"
            drawbridge.toml:21:11: route[1].balance: "random" is not known here; write "weight" or "round-robin" or "least-calls" or "hash"
             21 | balance = "…"
                |           ^^^
            drawbridge.toml:22:27: route[1].trunks[1][2].trunk: there is no trunk "d"; add [trunk.d], or name one that exists
             22 | trunks = [["…", { trunk = "…" }], { weight = 3 }, { trunk = "…", wait = 1, weight = 70000 }]
                |                           ^^^
            drawbridge.toml:22:35: route[1].trunks[2]: trunk is missing; write trunk = "name-of-a-trunk"
             22 | trunks = [["…", { trunk = "…" }], { weight = 3 }, { trunk = "…", wait = 1, weight = 70000 }]
                |                                   ^^^^^^^^^^^^^^
            drawbridge.toml:22:66: route[1].trunks[3].wait: unknown key
             22 | trunks = …
                |           ^
            drawbridge.toml:22:85: route[1].trunks[3].weight: 70000 is out of range; write 0 to 65535
             22 | trunks = [["…", { trunk = "…" }], { weight = 3 }, { trunk = "…", wait = 1, weight = 70000 }]
                |                                                                                     ^^^^^
        "#]],
    );
}

#[test]
fn the_node_has_limits() {
    let config = valid("[node]\nname = \"sbc1\"\nlimits = { calls = 2000, cps = 50 }\n");
    assert_eq!(config.routing.limits, Limits { calls: Some(2_000), calls_per_second: Some(50) });
    assert_eq!(valid("[node]\nlimits = { cps = 5 }\n").node, "drawbridge");
    let before = valid("");
    expect![[r#"
        node.limits: none → calls 2000, cps 50
        node.name: drawbridge → sbc1"#]]
    .assert_eq(&diff(&before, &config).join("\n"));
}

#[test]
fn a_realm_has_a_rate() {
    let rates = |text: &str| valid(text).admission.rate;
    assert_eq!(rates("").untrusted, Some(200));
    let text = MINIMAL.replace("media_bind = \"127.0.0.1\"", "media_bind = \"127.0.0.1\"\nrate = 0");
    let text = text.replace("media_bind = \"127.0.0.2\"", "media_bind = \"127.0.0.2\"\nrate = 50");
    let config = read(&[("drawbridge.toml", &text)]).unwrap();
    assert_eq!((config.admission.rate.trusted, config.admission.rate.untrusted), (None, Some(50)));
}

#[test]
fn a_change_of_a_route_is_told_as_it_is_written() {
    let route = |rest: &str| {
        valid(&format!(
            "{THREE}[[route]]\nname = \"out\"\nfrom = \"trusted\"\nto = [\"+1*\", \"911\"]\n{rest}\n"
        ))
    };
    let before = route("trunks = [\"a\", [\"b\", \"c\"]]");
    let after = route("balance = \"least-calls\"\ntrunks = [[\"a\", { trunk = \"b\", weight = 2 }]]");
    expect!["route.out: #1 from trusted to +1*, 911 over a, [b, c] by weight → #1 from trusted to +1*, 911 over [a, b weight 2] by least-calls"].assert_eq(&diff(&before, &after).join("\n"));
}
