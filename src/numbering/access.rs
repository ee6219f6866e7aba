//! Access codes: what a peer dials before the number that it calls.

use super::{Number, NumberFault, Settings};

/// A number that was called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dialled {
    /// What it means.
    pub number: Number,
    /// As it was received, without the access code.
    pub received: String,
    /// The access code that was taken off.
    pub access_code: Option<String>,
}

impl Settings {
    /// Reads the user part of a URI that is called.
    pub fn normalise_called(&self, user: &str) -> Result<Dialled, NumberFault> {
        if let Some(dialled) = self.behind_access_code(user) {
            return Ok(dialled);
        }
        let number = self.normalise(user)?;
        Ok(Dialled { number, received: user.to_owned(), access_code: None })
    }

    /// Whether an emergency number is called, with or without an access code.
    pub fn calls_emergency(&self, user: &str) -> bool {
        self.emergency.iter().any(|number| number == user)
            || self.behind_access_code(user).is_some_and(|dialled| dialled.number.is_emergency())
    }

    /// What is meant without the longest access code that leaves something that may be dialled.
    fn behind_access_code(&self, user: &str) -> Option<Dialled> {
        if self.access_codes.is_empty() || self.is_code(user) {
            return None;
        }
        let mut codes: Vec<&String> = self.access_codes.iter().filter(|code| !code.is_empty()).collect();
        codes.sort_by_key(|code| std::cmp::Reverse(code.len()));
        codes.into_iter().find_map(|code| {
            // A separator behind the code is of the code.
            let rest = user.strip_prefix(code.as_str())?.trim_start_matches(['-', '.', ' ', '/']);
            // A name that begins with a digit is a name.
            let number = self.normalise(rest).ok().filter(|number| !matches!(number, Number::Name(_)))?;
            Some(Dialled { number, received: rest.to_owned(), access_code: Some(code.clone()) })
        })
    }

    fn is_code(&self, user: &str) -> bool {
        self.emergency.iter().any(|number| number == user)
            || self.short.iter().any(|pattern| pattern.is_match(user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(codes: &[&str], user: &str) -> (String, Option<String>) {
        let settings = Settings {
            country: Some("US".to_owned()),
            access_codes: codes.iter().map(|code| (*code).to_owned()).collect(),
            ..Settings::default()
        };
        match settings.normalise_called(user) {
            Ok(Dialled { number, access_code, .. }) => (number.to_string(), access_code),
            Err(fault) => (fault.to_string(), None),
        }
    }

    #[test]
    fn an_access_code_goes_if_a_number_is_left() {
        let nine = Some("9".to_owned());
        for (user, number) in [
            ("912025550123", "+12025550123"),
            ("92025550123", "+12025550123"),
            ("9-1-202-555-0123", "+12025550123"),
            ("9011442079460000", "+442079460000"),
            ("9+442079460000", "+442079460000"),
            ("9911", "911"),
            ("9112", "112"),
            ("9118", "118"),
        ] {
            assert_eq!(behind(&["9"], user), (number.to_owned(), nine.clone()), "{user}");
        }
        // What was dialled without it, what is no number, and what is a code by itself.
        for (user, number) in [
            ("2025550123", "+12025550123"),
            ("9172345678", "+19172345678"),
            ("+12025550123", "+12025550123"),
            ("911", "911"),
            ("112", "112"),
            ("9lives", "9lives"),
            ("*97", "*97"),
        ] {
            assert_eq!(behind(&["9"], user), (number.to_owned(), None), "{user}");
        }
        assert_eq!(behind(&["0", "00"], "00112").1.as_deref(), Some("00"), "the longest comes first");
        assert_eq!(behind(&[], "912025550123").1, None);
    }
}
