use super::*;

fn in_country(country: Option<&str>) -> Settings {
    Settings {
        country: country.map(str::to_owned),
        short: vec![whole_user_pattern("1[0-9]{2}|4711").unwrap()],
        ..Settings::default()
    }
}

fn e164(country: Option<&str>, user: &str) -> String {
    match in_country(country).normalise(user) {
        Ok(Number::E164(number)) => number,
        other => panic!("{user} in {country:?}: {other:?}"),
    }
}

fn fault(country: Option<&str>, user: &str) -> NumberFault {
    in_country(country).normalise(user).unwrap_err()
}

#[test]
fn emergency_and_short_come_first_and_untouched() {
    let settings = in_country(Some("GB"));
    assert_eq!(settings.normalise("112"), Ok(Number::Emergency("112".into())));
    assert_eq!(settings.normalise("911"), Ok(Number::Emergency("911".into())));
    assert_eq!(settings.normalise("118"), Ok(Number::Short("118".into())));
    assert_eq!(settings.normalise("4711"), Ok(Number::Short("4711".into())));
    // A short code is the whole user: neither a beginning nor an end of it.
    assert_eq!(settings.normalise("1184"), Err(NumberFault::NotNational));
    assert_eq!(settings.normalise("47110"), Err(NumberFault::NotNational));
}

#[test]
fn visual_separators_go() {
    for user in
        ["+1-202-762-1401", "+1 (202) 762.1401", "(+1) 202/762-1401", "1-202-762-1401", "202 762 1401"]
    {
        assert_eq!(e164(Some("US"), user), "+12027621401", "{user}");
    }
    assert_eq!(e164(None, "+44 (0)20 7946 0000"), "+442079460000");
}

#[test]
fn international_prefixes_are_a_plus() {
    assert_eq!(e164(Some("US"), "00442079460000"), "+442079460000");
    assert_eq!(e164(Some("US"), "011442079460000"), "+442079460000");
    assert_eq!(e164(Some("GB"), "01112027621401"), "+12027621401");
    assert_eq!(e164(None, "0012027621401"), "+12027621401");
    assert_eq!(e164(None, "00 33 1 98 76 54 32"), "+33198765432");
}

#[test]
fn a_national_number_wins_over_a_prefix_that_looks_like_it() {
    // Leeds, not +32 …
    assert_eq!(e164(Some("GB"), "01132432000"), "+441132432000");
}

#[test]
fn national_numbers_are_their_country_s() {
    assert_eq!(e164(Some("GB"), "02079460000"), "+442079460000");
    assert_eq!(e164(Some("DE"), "030 901820"), "+4930901820");
    assert_eq!(e164(Some("IT"), "06 6982"), "+39066982");
    assert_eq!(fault(None, "02079460000"), NumberFault::NoCountry);
    // Without the trunk prefix, as many dial; but never where it may be another country's number.
    assert_eq!(e164(Some("IN"), "8123456789"), "+918123456789");
    assert_eq!(e164(Some("CN"), "13800138000"), "+8613800138000");
    assert_eq!(e164(Some("DE"), "442079460000"), "+442079460000");
}

#[test]
fn e164_without_plus_is_read_but_short_ones_are_not_guessed_at() {
    assert_eq!(e164(Some("US"), "442079460000"), "+442079460000");
    // Seven digits in the US are no call to Niue.
    assert_eq!(fault(Some("US"), "6834123"), NumberFault::NotNational);
    assert_eq!(e164(None, "+6834123"), "+6834123");
}

#[test]
fn what_is_valid_nowhere_is_refused_and_never_shortened() {
    for country in [None, Some("US"), Some("GB"), Some("FR"), Some("DE")] {
        for user in ["331908817135", "+331908817135", "00331908817135", "011331908817135"] {
            assert!(in_country(country).normalise(user).is_err(), "{user} in {country:?}");
        }
    }
    // The universal freephone number has eight digits; nine is not one with a digit lost.
    assert_eq!(e164(None, "+80012345678"), "+80012345678");
    assert_eq!(fault(None, "+800123456789"), NumberFault::Invalid);
    assert_eq!(fault(None, "+99912345678"), NumberFault::UnknownCountryCode);
    assert_eq!(fault(None, "+1"), NumberFault::Invalid);
}

#[test]
fn what_is_written_in_full_need_not_be_in_a_plan_that_may_be_old() {
    for user in
        ["+15551230000", "15551230000", "5551230000", "(555) 123-0000", "0015551230000", "01115551230000"]
    {
        assert_eq!(e164(Some("US"), user), "+15551230000", "{user}");
    }
    assert_eq!(e164(None, "+15551230000"), "+15551230000");
    for user in ["+447700900123", "07700900123", "447700900123", "00447700900123"] {
        assert_eq!(e164(Some("GB"), user), "+447700900123", "{user}");
    }
    // Digits alone are no other country's number for their length.
    assert_eq!(fault(Some("US"), "447700900123"), NumberFault::NotNational);
    // Nor are local numbers, extensions and slips of the finger.
    for user in ["1000", "5550199", "555123000", "55512300001", "+1555123000", "+155512300001", "+1555"] {
        assert!(in_country(Some("US")).normalise(user).is_err(), "{user}");
    }
    for (country, user) in [("DE", "1000"), ("DE", "10000"), ("DE", "01000"), ("GB", "7700900123")] {
        assert!(in_country(Some(country)).normalise(user).is_err(), "{user} in {country}");
    }
    // What the plans know comes first in every reading: Leeds has no such number, and Belgium has.
    assert_eq!(e164(Some("GB"), "01132470123456"), "+32470123456");
}

#[test]
fn what_would_call_abroad_or_for_help_where_it_is_dialled_is_no_number_of_its_country() {
    // 011 683 …, 00 683 …, 911 …, 112 …
    for user in ["+10116834000", "+34006834000", "+19115551234", "+34112345678"] {
        for country in [None, Some("US"), Some("ES")] {
            assert!(in_country(country).normalise(user).is_err(), "{user} in {country:?}");
        }
    }
    for user in ["10116834000", "00110116834000", "01110116834000"] {
        assert!(in_country(Some("US")).normalise(user).is_err(), "{user}");
    }
    assert_eq!(e164(Some("US"), "0116834000"), "+6834000");
    let no_prefix = Settings { prefixes: vec!["00".into()], ..in_country(Some("US")) };
    assert!(no_prefix.normalise("0116834000").is_err());
}

#[test]
fn a_number_that_no_plan_knows_has_every_form() {
    let us = in_country(Some("US"));
    let number = Number::E164("+15551230000".into());
    assert_eq!(us.format(&number, "", NumberForm::National), "5551230000");
    assert_eq!(us.format(&number, "", NumberForm::International), "0015551230000");
    let number = Number::E164("+447700900123".into());
    assert_eq!(in_country(Some("GB")).format(&number, "", NumberForm::National), "07700900123");
}

#[test]
fn names_and_service_codes_pass_untouched() {
    for user in
        ["support", "anything", "agent_123", "AI.assistant", "1-800-FLOWERS", "*97", "*67", "#31#", "**21*"]
    {
        assert_eq!(in_country(Some("US")).normalise(user), Ok(Number::Name(user.into())));
    }
    // A name may have any character of a user, but nothing may follow what a carrier reads as a number.
    for user in ["user;par=u@example.net", "a,b", "a?b"] {
        assert_eq!(in_country(Some("US")).normalise(user), Ok(Number::Name(user.into())));
    }
    for user in ["911;user=x", "12345,a", "+12027621401?a", "*97;a", ";a"] {
        assert_eq!(fault(Some("US"), user), NumberFault::Misplaced, "{user}");
    }
}

#[test]
fn a_number_with_a_character_out_of_place_is_no_name() {
    for user in ["+1+2", "2027621401#", "12*34", "1+2027621401", "++12027621401"] {
        assert_eq!(fault(Some("US"), user), NumberFault::Misplaced, "{user}");
    }
    for user in ["", "+", "-", "( )"] {
        assert_eq!(fault(Some("US"), user), NumberFault::Empty, "{user}");
    }
    assert_eq!(fault(Some("US"), &"1".repeat(200)), NumberFault::TooLong);
}

#[test]
fn every_form_of_a_number() {
    let us = in_country(Some("US"));
    let home = Number::E164("+12027621401".into());
    let abroad = Number::E164("+442079460000".into());
    let form = |number, form| us.format(number, "received", form);
    assert_eq!(form(&home, NumberForm::E164), "+12027621401");
    assert_eq!(form(&home, NumberForm::Plain), "12027621401");
    assert_eq!(form(&home, NumberForm::National), "2027621401");
    assert_eq!(form(&home, NumberForm::International), "0012027621401");
    assert_eq!(form(&home, NumberForm::AsIs), "received");
    assert_eq!(form(&abroad, NumberForm::National), "00442079460000");
    assert_eq!(in_country(Some("GB")).format(&abroad, "", NumberForm::National), "02079460000");
    assert_eq!(in_country(None).format(&abroad, "", NumberForm::National), "00442079460000");
    let name = Number::Name("support".into());
    assert_eq!(form(&name, NumberForm::Plain), "support");
    assert_eq!(form(&Number::Emergency("112".into()), NumberForm::National), "112");
}

#[test]
fn the_steps_are_told() {
    let mut steps = Vec::new();
    let _ = in_country(Some("US")).normalise_with_steps("00-44 2079460000", &mut steps);
    expect_test::expect![[r#"
        [
            "separators stripped: 00442079460000",
            "international prefix 00: +442079460000",
            "read as +442079460000",
        ]
    "#]]
    .assert_debug_eq(&steps);
}

proptest::proptest! {
    #[test]
    fn nothing_panics_and_e164_is_well_formed(user in "[-+0-9*#() /.a;]{0,20}") {
        for country in [None, Some("US"), Some("DE"), Some("AR")] {
            let settings = in_country(country);
            if let Ok(Number::E164(number)) = settings.normalise(&user) {
                let digits = number.strip_prefix('+').unwrap();
                assert!((4..=15).contains(&digits.len()), "{number}");
                assert!(digits.bytes().all(|byte| byte.is_ascii_digit()));
                // What was normalised once stays as it is, in any country.
                assert_eq!(in_country(Some("FR")).normalise(&number), Ok(Number::E164(number.clone())));
            }
        }
    }
}
