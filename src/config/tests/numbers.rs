//! Prefixes of numbers, and access codes.

use super::*;
use crate::numbering::PrefixRule;

#[test]
fn a_trunk_has_prefixes_and_access_codes() {
    let config = valid(
        "[numbering]\ncountry = \"US\"\n[trunk.a]\nhost = \"192.0.2.1\"\nstrip_prefix = \"+\"\nadd_prefix = \"00\"\n\
         tech_prefix = \"1234#\"\nnumbering = { access_codes = [\"9\", \"*8\"] }\n[trunk.b]\nhost = \"192.0.2.2\"\n",
    );
    let [a, b] = &config.routing.trunks[..] else { panic!() };
    assert_eq!(a.prefix, PrefixRule { strip: "+".to_owned(), add: "00".to_owned() });
    assert_eq!((a.tech_prefix.as_str(), b.tech_prefix.as_str()), ("1234#", ""));
    let own = a.numbering.as_ref().unwrap();
    assert_eq!((own.country.as_deref(), own.access_codes.len()), (Some("US"), 2));
    assert_eq!((&b.prefix, b.numbering.is_none()), (&PrefixRule::default(), true));
}

#[test]
fn what_cannot_be_dialled_is_no_prefix_and_the_node_has_no_access_code() {
    expect_faults(
        &minimal_and(
            "[numbering]\naccess_codes = [\"9\"]\n[trunk.a]\nhost = \"192.0.2.1\"\nstrip_prefix = \"\"\n\
             add_prefix = \"00-\"\ntech_prefix = \"sip:1\"\nnumbering = { access_codes = [\"+9\", \"1234567890123456\"] }\n",
        ),
        expect![[r#"
            drawbridge.toml:13:1: numbering.access_codes: unknown key; it belongs in numbering = { … } below [trunk.NAME]
             13 | access_codes = …
                | ^^^^^^^^^^^^
            drawbridge.toml:16:16: trunk.a.strip_prefix: "" cannot be dialled; write 1 to 15 of 0-9, *, #, +, as in "+"
             16 | strip_prefix = ""
                |                ^^
            drawbridge.toml:17:14: trunk.a.add_prefix: "00-" cannot be dialled; write 1 to 15 of 0-9, *, #, +, as in "00"
             17 | add_prefix = "…"
                |              ^^^
            drawbridge.toml:18:15: trunk.a.tech_prefix: "sip:1" cannot be dialled; write 1 to 15 of 0-9, *, #, +, as in "1234#"
             18 | tech_prefix = "…"
                |               ^^^
            drawbridge.toml:19:31: trunk.a.numbering.access_codes[1]: "+9" cannot be dialled; write 1 to 15 of 0-9, *, #, as in "9"
             19 | numbering = { access_codes = ["…", "…"] }
                |                               ^^^
            drawbridge.toml:19:37: trunk.a.numbering.access_codes[2]: "1234567890123456" cannot be dialled; write 1 to 15 of 0-9, *, #, as in "9"
             19 | numbering = { access_codes = ["…", "…"] }
                |                                    ^^^
        "#]],
    );
}

#[test]
fn a_change_of_prefixes_is_told() {
    let trunk = |keys: &str| valid(&format!("[trunk.a]\nhost = \"192.0.2.1\"\n{keys}\n"));
    let before = trunk("add_prefix = \"00\"\nnumbering = { country = \"GB\" }");
    let after = trunk("tech_prefix = \"77\"\nnumbering = { country = \"GB\", access_codes = [\"9\"] }");
    expect![[r#"
        trunk a: add_prefix 00 → none
        trunk a: numbering country GB, prefixes 00 011, short ^(?:1[0-9]{2})$, emergency 911 112, access codes none → country GB, prefixes 00 011, short ^(?:1[0-9]{2})$, emergency 911 112, access codes 9
        trunk a: tech_prefix added"#]].assert_eq(&diff(&before, &after).join("\n"));
}
