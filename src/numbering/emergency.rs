//! Which numbers call for help in which country, as they are dialled from a fixed line. What an operator
//! writes counts, always: this is what is looked for there, and a country that is not here is not judged.
//! (`rlibphonenumber` has the plans of numbers, not of short codes.)

/// A country (ISO 3166 alpha-2) and its emergency numbers.
const COUNTRIES: &[(&str, &[&str])] = &[
    ("AE", &["997", "998", "999"]),
    ("AR", &["100", "101", "107", "911"]),
    ("AT", &["112", "122", "133", "144"]),
    ("AU", &["000", "112"]),
    ("BE", &["100", "101", "112"]),
    ("BG", &["112"]),
    ("BR", &["190", "192", "193"]),
    ("CA", &["911"]),
    ("CH", &["112", "117", "118", "144"]),
    ("CL", &["131", "132", "133"]),
    ("CN", &["110", "119", "120"]),
    ("CO", &["123"]),
    ("CY", &["112", "199"]),
    ("CZ", &["112", "150", "155", "158"]),
    ("DE", &["110", "112"]),
    ("DK", &["112"]),
    ("EE", &["112"]),
    ("EG", &["122", "123", "180"]),
    ("ES", &["112"]),
    ("FI", &["112"]),
    ("FR", &["112", "15", "17", "18"]),
    ("GB", &["112", "999"]),
    ("GR", &["100", "112", "166", "199"]),
    ("HK", &["999"]),
    ("HR", &["112", "192", "193", "194"]),
    ("HU", &["104", "105", "107", "112"]),
    ("IE", &["112", "999"]),
    ("IL", &["100", "101", "102"]),
    ("IN", &["100", "101", "108", "112"]),
    ("IS", &["112"]),
    ("IT", &["112", "113", "115", "118"]),
    ("JP", &["110", "118", "119"]),
    ("KR", &["112", "119"]),
    ("LT", &["112"]),
    ("LU", &["112", "113"]),
    ("LV", &["112"]),
    ("MT", &["112"]),
    ("MX", &["911"]),
    ("MY", &["999"]),
    ("NL", &["112"]),
    ("NO", &["110", "112", "113"]),
    ("NZ", &["111"]),
    ("PL", &["112", "997", "998", "999"]),
    ("PT", &["112"]),
    ("RO", &["112"]),
    ("SE", &["112"]),
    ("SG", &["995", "999"]),
    ("SI", &["112", "113"]),
    ("SK", &["112", "150", "155", "158"]),
    ("TH", &["191", "199", "1669"]),
    ("TR", &["112"]),
    ("UA", &["101", "102", "103", "112"]),
    ("US", &["911"]),
    ("ZA", &["10111", "10177", "112"]),
];

/// The emergency numbers of a country (ISO 3166 alpha-2, upper case); empty where they are not known here.
pub fn emergency_numbers(country: &str) -> &'static [&'static str] {
    COUNTRIES.iter().find(|(code, _)| *code == country).map_or(&[], |(_, numbers)| *numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_country_is_one_and_stands_once_and_in_order() {
        for pair in COUNTRIES.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} {}", pair[0].0, pair[1].0);
        }
        for (country, numbers) in COUNTRIES {
            assert!(super::super::is_country(country), "{country}");
            let is_number = |number: &&str| (2..=5).contains(&number.len());
            assert!(!numbers.is_empty() && numbers.iter().all(is_number), "{country}");
            assert!(numbers.iter().all(|number| number.bytes().all(|byte| byte.is_ascii_digit())));
        }
        assert_eq!(emergency_numbers("GB"), ["112", "999"]);
        assert_eq!(emergency_numbers("XX"), [""; 0]);
    }
}
