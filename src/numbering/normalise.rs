//! From a user part to a [`Number`]: the order of the module's description, a function a step.

use super::plan::{self, Planned, Unplanned};
use super::{MAX_USER_BYTES, MIN_PLAIN_DIGITS, Number, NumberFault, Settings, Steps};

impl Settings {
    /// Reads the user part of a URI (unescaped, RFC 3261 §19.1.1).
    pub fn normalise(&self, user: &str) -> Result<Number, NumberFault> {
        self.read(user, &mut Steps(None))
    }

    /// The same, with a line for people for each step taken, appended to `steps`.
    pub fn normalise_with_steps(&self, user: &str, steps: &mut Vec<String>) -> Result<Number, NumberFault> {
        let mut steps = Steps(Some(steps));
        let result = self.read(user, &mut steps);
        match &result {
            Ok(number) => steps.note(|| format!("read as {number}")),
            Err(fault) => steps.note(|| format!("refused: {fault}")),
        }
        result
    }

    fn read(&self, user: &str, steps: &mut Steps<'_>) -> Result<Number, NumberFault> {
        if self.emergency.iter().any(|number| number == user) {
            steps.note(|| "is in numbering.emergency: left as it is".to_owned());
            return Ok(Number::Emergency(user.to_owned()));
        }
        if let Some(pattern) = self.short.iter().find(|pattern| pattern.is_match(user)) {
            steps.note(|| format!("matches numbering.short {pattern}: left as it is"));
            return Ok(Number::Short(user.to_owned()));
        }
        match dialled(user) {
            Dialled::Service => {
                steps.note(|| "is a service code: left as it is".to_owned());
                Ok(Number::Name(user.to_owned()))
            }
            Dialled::Name => {
                steps.note(|| "is a name, not a number: left as it is".to_owned());
                Ok(Number::Name(user.to_owned()))
            }
            Dialled::Fault(fault) => Err(fault),
            Dialled::Digits(bare) => {
                if bare != user {
                    steps.note(|| format!("separators stripped: {bare}"));
                }
                self.number(&bare, steps).map(|number| Number::E164(number.e164()))
            }
        }
    }

    /// What the plans know comes first, in every reading; then what has the length of a number as it is written.
    fn number(&self, bare: &str, steps: &mut Steps<'_>) -> Result<Planned, NumberFault> {
        if bare.starts_with('+') {
            steps.note(|| "has a +: international".to_owned());
            return plan::international(bare).map_err(NumberFault::from);
        }
        let national = self.country.as_deref().and_then(|country| {
            plan::national(bare, country).ok().filter(|number| number.is_national_in(country))
        });
        if let Some(number) = &national
            && number.national_digits() == bare
        {
            steps.note(|| format!("as dialled in {}", self.country.as_deref().unwrap_or_default()));
            return national.ok_or(NumberFault::NotNational);
        }
        if let Some(international) = self.behind_prefix(bare, steps) {
            return match plan::known(&international) {
                Ok(number) => Ok(number),
                Err(_) => match self.national_by_length(bare, steps) {
                    Some(number) => Ok(number),
                    None => plan::international(&international).map_err(NumberFault::from),
                },
            };
        }
        let Some(country) = &self.country else { return Err(NumberFault::NoCountry) };
        let guessed = if bare.len() < MIN_PLAIN_DIGITS {
            steps.note(|| format!("as dialled in {country}, its trunk prefix left out"));
            national
        } else {
            steps.note(|| format!("no national number of {country}: E.164 without its +"));
            plan::known(&format!("+{bare}")).ok()
        };
        guessed.or_else(|| self.national_by_length(bare, steps)).ok_or(NumberFault::NotNational)
    }

    /// With `+` for the longest international prefix that fits; `None` where none does.
    fn behind_prefix(&self, bare: &str, steps: &mut Steps<'_>) -> Option<String> {
        let fits =
            self.prefixes.iter().filter(|prefix| !prefix.is_empty() && bare.starts_with(prefix.as_str()));
        let prefix = fits.max_by_key(|prefix| prefix.len())?;
        let international = format!("+{}", &bare[prefix.len()..]);
        steps.note(|| format!("international prefix {prefix}: {international}"));
        Some(international)
    }

    fn national_by_length(&self, bare: &str, steps: &mut Steps<'_>) -> Option<Planned> {
        let country = self.country.as_deref()?;
        let number = plan::national_by_length(bare, country)?;
        steps.note(|| format!("as long as numbers are in {country}, though its plan has none that begin so"));
        Some(number)
    }
}

impl From<Unplanned> for NumberFault {
    fn from(unplanned: Unplanned) -> NumberFault {
        match unplanned {
            Unplanned::UnknownCountryCode => NumberFault::UnknownCountryCode,
            Unplanned::Invalid => NumberFault::Invalid,
        }
    }
}

/// What a user part looks like, before any numbering plan is asked.
enum Dialled {
    /// `+` or nothing, then digits; separators are gone.
    Digits(String),
    /// Begins with `*` or `#`.
    Service,
    /// Has a character that no number has.
    Name,
    Fault(NumberFault),
}

/// A user that begins with so many digits is no name: local numbers have seven.
const MIN_MEANT_DIGITS: usize = 7;

fn dialled(user: &str) -> Dialled {
    let is_separator = |c: char| matches!(c, '-' | '.' | '(' | ')' | ' ' | '/');
    let is_dialable = |c: char| c.is_ascii_digit() || is_separator(c) || matches!(c, '+' | '*' | '#');
    if user.is_empty() {
        return Dialled::Fault(NumberFault::Empty);
    }
    if let Some((before, _)) = user.split_once([';', ',', '?'])
        && before.chars().all(is_dialable)
    {
        // Parameters that were smuggled in by escapes: a carrier would read a number before them. In a
        // name they are characters like any other.
        return Dialled::Fault(NumberFault::Misplaced);
    }
    if !user.chars().all(is_dialable) {
        // What begins like a whole number, or has the digits of one and no letter, is meant as one,
        // and a carrier might read it so.
        let digits = |text: &mut dyn Iterator<Item = char>| text.filter(char::is_ascii_digit).count();
        let begins_with = digits(&mut user.chars().take_while(|c| is_dialable(*c)));
        let has_letter = user.chars().any(char::is_alphabetic);
        let all = digits(&mut user.chars());
        let is_meant = user.starts_with('+')
            || begins_with >= MIN_MEANT_DIGITS
            || (!has_letter && all >= MIN_MEANT_DIGITS);
        return if is_meant { Dialled::Fault(NumberFault::Misplaced) } else { Dialled::Name };
    }
    if user.len() > MAX_USER_BYTES {
        return Dialled::Fault(NumberFault::TooLong);
    }
    if user.starts_with(['*', '#']) {
        return Dialled::Service;
    }
    let bare: String = user.chars().filter(|c| !is_separator(*c)).collect();
    let digits = bare.strip_prefix('+').unwrap_or(&bare);
    if digits.is_empty() {
        Dialled::Fault(NumberFault::Empty)
    } else if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        Dialled::Digits(bare)
    } else {
        Dialled::Fault(NumberFault::Misplaced)
    }
}
