//! From E.164 to the form that a trunk wants.

use super::{Number, NumberForm, Settings, plan};

impl Settings {
    /// The text to send for `number` in the form wanted. `received` is the user part that it was
    /// normalised from. Only E.164 numbers have forms; everything else goes as it came.
    pub fn format(&self, number: &Number, received: &str, form: NumberForm) -> String {
        let Number::E164(e164) = number else { return number.as_str().to_owned() };
        match form {
            NumberForm::E164 => e164.clone(),
            NumberForm::Plain => digits(e164).to_owned(),
            NumberForm::National => self.national(e164),
            NumberForm::International => self.international(e164),
            NumberForm::AsIs => received.to_owned(),
        }
    }

    fn national(&self, e164: &str) -> String {
        let Some(country) = &self.country else { return self.international(e164) };
        match plan::international(e164) {
            Ok(number) if number.is_national_in(country) => number.national_digits(),
            Ok(_) | Err(_) => self.international(e164),
        }
    }

    fn international(&self, e164: &str) -> String {
        let prefix = self.prefixes.first().map_or("+", String::as_str);
        format!("{prefix}{}", digits(e164))
    }
}

/// What is taken from, and then put before, every number that a trunk is sent. Only E.164 numbers have
/// such prefixes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PrefixRule {
    /// Taken off where the number, in the trunk's form, begins so.
    pub strip: String,
    /// Put before what is left.
    pub add: String,
}

impl PrefixRule {
    /// The number as it is sent. One that has nothing but what is to be taken off keeps it: there is no
    /// URI without a user to call.
    pub fn apply(&self, text: &str) -> String {
        let rest = text.strip_prefix(self.strip.as_str()).filter(|rest| !rest.is_empty());
        format!("{}{}", self.add, rest.unwrap_or(text))
    }
}

fn digits(e164: &str) -> &str {
    e164.strip_prefix('+').unwrap_or(e164)
}
