//! The world's numbering plans, as `rlibphonenumber` knows them. The only file that names it.

use std::str::FromStr;

use rlibphonenumber::{PHONE_NUMBER_UTIL, ParseError, PhoneNumber, PhoneNumberFormat, Region};

use super::emergency::emergency_numbers;

/// The country code of the North American plan, whose ten digits are a whole number without a trunk prefix.
const NANP: i32 = 1;
/// A number that only its length speaks for has so many digits, its country code included (ITU-T E.164 has 15).
const BY_LENGTH: std::ops::RangeInclusive<usize> = 8..=15;

/// A number, with what its plan says of it.
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

/// Reads `+` and digits. New ranges come into use before the plans of this program know them, and others are left
/// free for examples: what is written in full is also taken where only its length is right for its country.
pub(super) fn international(number: &str) -> Result<Planned, Unplanned> {
    let parsed = PHONE_NUMBER_UTIL.parse(number, None);
    if let Ok(read) = &parsed
        && has_right_length(read)
        && *number == *PHONE_NUMBER_UTIL.format(read, PhoneNumberFormat::E164)
    {
        return parsed.map(Planned).map_err(|_| Unplanned::Invalid);
    }
    valid(parsed)
}

/// Reads `+` and digits that stand for a number only if the plans know it.
pub(super) fn known(number: &str) -> Result<Planned, Unplanned> {
    valid(PHONE_NUMBER_UTIL.parse(number, None))
}

/// Reads digits as they are dialled in `country`.
pub(super) fn national(number: &str, country: &str) -> Result<Planned, Unplanned> {
    match region(country) {
        Some(region) => valid(PHONE_NUMBER_UTIL.parse(number, Some(region))),
        None => Err(Unplanned::UnknownCountryCode),
    }
}

/// Reads digits as they are dialled in `country`, with its trunk prefix if it has one, or with its country code, where
/// only the length is that of a number there.
pub(super) fn national_by_length(number: &str, country: &str) -> Option<Planned> {
    let region = region(country)?;
    let read = PHONE_NUMBER_UTIL.parse(number, Some(region)).ok().filter(has_right_length)?;
    if PHONE_NUMBER_UTIL.get_country_code_for_region(region) != Some(read.country_code) {
        return None;
    }
    let e164 = PHONE_NUMBER_UTIL.format(&read, PhoneNumberFormat::E164);
    let country_code = read.country_code.to_string();
    let significant = e164.strip_prefix('+')?.strip_prefix(country_code.as_str())?;
    let is_whole = (read.country_code == NANP && number == significant)
        || number.strip_prefix(country_code.as_str()) == Some(significant);
    let planned = Planned(read);
    (is_whole || planned.national_digits() == number).then_some(planned)
}

fn has_right_length(number: &PhoneNumber) -> bool {
    use rlibphonenumber::NumberLengthType;
    let e164 = PHONE_NUMBER_UTIL.format(number, PhoneNumberFormat::E164);
    number.extension().is_empty()
        && BY_LENGTH.contains(&e164.len().saturating_sub(1))
        && PHONE_NUMBER_UTIL.is_possible_number_with_reason(number) == Ok(NumberLengthType::IsPossible)
        && (PHONE_NUMBER_UTIL.is_valid_number(number) || stays_at_home(number, &e164))
}

/// Whether its digits, dialled in its own country, neither call abroad nor for help. A trunk may be sent numbers as they
/// are dialled, and `+1 011 683 4000` has the ten digits of a number in North America that call the island of Niue there:
/// who may call `+1` alone shall not reach it.
fn stays_at_home(number: &PhoneNumber, e164: &str) -> bool {
    let Some(region) = PHONE_NUMBER_UTIL.get_region_for_country_code(number.country_code) else {
        return false;
    };
    let country_code = number.country_code.to_string();
    let significant = e164.strip_prefix('+').and_then(|digits| digits.strip_prefix(&country_code));
    let is_of_its_country = |dialled: &str| {
        let read = PHONE_NUMBER_UTIL.parse(dialled, Some(region));
        read.is_ok_and(|read| read.country_code == number.country_code)
    };
    let dialled = Planned(number.clone()).national_digits();
    let calls_for_help = emergency_numbers(region.as_region_str().as_ref());
    !calls_for_help.iter().any(|help| dialled.starts_with(help))
        && is_of_its_country(&dialled)
        && significant.is_some_and(is_of_its_country)
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
