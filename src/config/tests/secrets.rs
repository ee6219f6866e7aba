//! What is told of a configuration, and what never is: a secret, and what may be one.

use super::*;

#[test]
fn secrets_are_shown_nowhere() {
    let trunk = |password: &str| {
        format!(
            "[trunk.a]\nhost = \"a.example\"\nusername = \"u\"\npassword = {password}\nport = \"${{SECRET}}\"\n"
        )
    };
    let text = minimal_and(&format!(
        "{}domain = \"${{SECRET}}!\"\npasswrod = \"hunter2\"\nsend_numbers = \"${{SECRET}}\"\n",
        trunk("\"hunter2\"")
    ));
    let found = read(&[("drawbridge.toml", &text)]).unwrap_err();
    let shown: String = found.iter().map(|fault| format!("{fault}\n{fault:?}\n")).collect();
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(!serde_json::to_string(&found).unwrap().contains("hunter2"));
    assert_eq!(found.len(), 4, "{shown}");
    let config = valid("[trunk.a]\nhost = \"a.example\"\nusername = \"u\"\npassword = \"${SECRET}\"\n");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn no_text_that_may_be_a_secret_is_repeated() {
    let broken = minimal_and("[trunk.a]\nsceret = hunter2\n");
    let braces = minimal_and("[node]\nname = \"a${hunter2!}\"\n[cdr]\npath = \"${file:hunter2}\"\n");
    let spread = minimal_and("[trunk.a]\nhost = \"\"\"\nhunter2\"\"\"\nport = 0\n");
    let beside = minimal_and("[trunk.a]\nhost = \"a.example\"\nport = 0\nlimits = { code = \"hunter2\" }\n");
    for text in [broken, braces, spread, beside] {
        let found = faults(&[("drawbridge.toml", &text)]);
        assert!(!found.contains("hunter2"), "{found}");
    }
    let long = minimal_and(&format!("[node]\nname = \"{}\"\n", "é".repeat(100_000)));
    let found = faults(&[("drawbridge.toml", &long)]);
    assert!(found.lines().all(|line| line.chars().count() < 400), "{}", found.len());
}

#[test]
fn a_dash_is_no_trunk_and_nothing_is_no_password() {
    let text = minimal_and(
        "[trunk.-]\nhost = \"a.example\"\n[trunk.a]\nhost = \"b.example\"\nusername = \"u\"\npassword = \"\"\n",
    );
    let found = faults(&[("drawbridge.toml", &text)]);
    assert!(found.contains("trunk.-: this is no trunk name"), "{found}");
    assert!(found.contains("trunk.a.password: the password is empty"), "{found}");
}

#[test]
fn a_password_that_is_not_there_is_told_of_beside_what_else_is_missing() {
    let text = minimal_and("[trunk.a]\nhost = \"a.example\"\npassword = \"${NOT_SET}\"\n");
    let found = faults(&[("drawbridge.toml", &text)]);
    assert!(found.contains("trunk.a.password: there is no username with it"), "{found}");
    assert!(found.contains("environment variable NOT_SET is not set"), "{found}");
}

#[test]
fn a_key_moves_no_cursor_and_a_header_is_not_shown() {
    let more = "[trunk.a]\nhost = \"a.example\"\n\"x\\u001b[2J\" = 1\n\
                headers = { set = { X-Token = \"hunter2\\u0007\" } }\n";
    let found = faults(&[("drawbridge.toml", &minimal_and(more))]);
    assert!(!found.contains(['\u{1b}', '\u{7}']) && !found.contains("hunter2"), "{found}");
    assert!(found.contains("trunk.a.x\u{fffd}[2J: unknown key"), "{found}");
    assert!(found.contains("headers.set.X-Token: this holds a control character"), "{found}");
}

#[test]
fn a_registration_is_told_without_the_name_that_nobody_can_guess() {
    let trunk = |user: &str| {
        let account = "username = \"u\"\npassword = \"p\"\nregister";
        valid(&format!("[trunk.a]\nhost = \"a.example\"\n{account} = {{ contact_user = \"{user}\" }}\n"))
    };
    let lines = diff(&trunk("hunter2"), &trunk("hunter3"));
    assert_eq!(lines, ["trunk a: register.contact_user changed"]);
    let without = valid("[trunk.a]\nhost = \"a.example\"\nusername = \"u\"\npassword = \"p\"\n");
    let lines = diff(&without, &trunk("hunter2"));
    assert_eq!(lines, ["trunk a: register false → for 3600s at all", "trunk a: register.contact_user added"]);
}
