//! The world's numbering plans, as `rlibphonenumber` knows them. The only file that names it.

use std::str::FromStr;

use rlibphonenumber::{PHONE_NUMBER_UTIL, ParseError, PhoneNumber, PhoneNumberFormat, Region};

/// A valid number, with what its plan says of it.
pub(super) struct Planned(PhoneNumber);

/// Why the plans know no such number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unplanned {
    UnknownCountryCode,
    Invalid,
}

impl Planned {
    /// `+` and digits.
    pub(super) fn e164(&self) -> String {
        PHONE_NUMBER_UTIL.format(&self.0, PhoneNumberFormat::E164).into_owned()
    }

    /// The digits dialled inside the number's own country, trunk prefix included.
    pub(super) fn national_digits(&self) -> String {
        let shown = PHONE_NUMBER_UTIL.format(&self.0, PhoneNumberFormat::National);
        shown.chars().filter(char::is_ascii_digit).collect()
    }

    /// Whether it is dialled nationally in `country` (all of NANP is one such area).
    pub(super) fn is_national_in(&self, country: &str) -> bool {
        region(country).and_then(|region| PHONE_NUMBER_UTIL.get_country_code_for_region(region))
            == Some(self.0.country_code)
    }
}

/// Reads `+` and digits.
pub(super) fn international(number: &str) -> Result<Planned, Unplanned> {
    valid(PHONE_NUMBER_UTIL.parse(number, None))
}

/// Reads digits as they are dialled in `country`.
pub(super) fn national(number: &str, country: &str) -> Result<Planned, Unplanned> {
    match region(country) {
        Some(region) => valid(PHONE_NUMBER_UTIL.parse(number, Some(region))),
        None => Err(Unplanned::UnknownCountryCode),
    }
}

/// Whether a numbering plan is known for this ISO 3166 alpha-2 code (upper case).
pub fn is_country(code: &str) -> bool {
    region(code).is_some_and(|region| PHONE_NUMBER_UTIL.get_country_code_for_region(region).is_some())
}

/// Loads the numbering plans now, so that the first call need not wait for them (tens of
/// milliseconds). Otherwise they are loaded on first use; once in the life of the process.
pub fn load() {
    std::sync::LazyLock::force(&PHONE_NUMBER_UTIL);
}

fn region(country: &str) -> Option<Region> {
    Region::from_str(country).ok()
}

fn valid(parsed: Result<PhoneNumber, ParseError>) -> Result<Planned, Unplanned> {
    match parsed {
        Ok(number) if number.extension().is_empty() && PHONE_NUMBER_UTIL.is_valid_number(&number) => {
            Ok(Planned(number))
        }
        Ok(_) => Err(Unplanned::Invalid),
        Err(ParseError::InvalidCountryCode) => Err(Unplanned::UnknownCountryCode),
        Err(_) => Err(Unplanned::Invalid),
    }
}
