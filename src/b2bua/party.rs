//! Who a URI names: its user, whatever the scheme (RFC 3261 §19.1, RFC 3966).
//!
//! Must not know: which header the URI stood in, trunks, calls in progress.

use crate::numbering::{self, Dialled, Number, NumberFault};
use crate::sip::{Params, Scheme, Uri, unescape};

/// The longest `phone-context` that is looked at: E.164 with as many visual separators.
const MAX_CONTEXT_BYTES: usize = 32;

/// The user part of a URI, with what says how to read it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Party {
    /// Unescaped; empty if the URI has none. That of a number is without the parameters that may
    /// stand in it (`+1;npdi;rn=…`); to a name they belong (RFC 4475 §3.1.1.9).
    pub(super) user: String,
    /// `phone-context` of a local number, if it is the beginning of a global one (RFC 3966 §5.1.5).
    /// A context that is a domain says nothing that we could use.
    context: Option<String>,
}

impl Party {
    /// A user part that was read before.
    pub(super) fn named(user: &str) -> Party {
        Party { user: user.to_owned(), context: None }
    }

    /// Reads a URI of any scheme. Of `sip:` the parameters of a telephone-subscriber stand in the
    /// user part (RFC 3261 §19.1.6), of `tel:` behind it.
    pub(super) fn of(uri: &Uri<'_>) -> Party {
        let raw = uri.user.unwrap_or(b"");
        let end = memchr::memchr(b';', raw).unwrap_or(raw.len());
        let is_digit = |byte: &u8| byte.is_ascii_digit() || b"+*#-.()/ ".contains(byte);
        let end = if unescape(&raw[..end]).iter().all(is_digit) { end } else { raw.len() };
        let params = if uri.scheme == Scheme::Tel { uri.params } else { Params(&raw[end..]) };
        let text = |raw: &[u8]| String::from_utf8_lossy(&unescape(raw)).into_owned();
        let context = params.value("phone-context").filter(|context| context.len() <= MAX_CONTEXT_BYTES);
        let context = context.map(text).and_then(|context| global_context(&context));
        Party { user: text(&raw[..end]), context }
    }

    /// What it means. A local number with a global context is the two together, if that is a number
    /// at all; emergency numbers, short codes and names are what they are in any context.
    pub(super) fn normalise(&self, numbering: &numbering::Settings) -> Result<Number, NumberFault> {
        let plain = numbering.normalise(&self.user);
        match (&self.context, &plain) {
            (Some(context), Ok(Number::E164(_)) | Err(_)) if !self.user.starts_with('+') => {
                numbering.normalise(&format!("{context}{}", self.user)).or(plain)
            }
            _ => plain,
        }
    }
}

impl Party {
    /// The same of a party that is called, behind the access code that its peer may dial. One with a
    /// context was put together by a network, and has none.
    pub(super) fn normalise_called(&self, numbering: &numbering::Settings) -> Result<Dialled, NumberFault> {
        match self.context {
            None => numbering.normalise_called(&self.user),
            Some(_) => {
                let number = self.normalise(numbering)?;
                Ok(Dialled { number, received: self.user.clone(), access_code: None })
            }
        }
    }
}

/// The user part as it was written, if RFC 3261 §25.1 allows all of it (with `escaped`).
pub(super) fn written_user(uri: &Uri<'_>) -> Option<String> {
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/%".contains(byte);
    let user = uri.user.filter(|user| user.iter().all(legal))?;
    String::from_utf8(user.to_vec()).ok()
}

/// `+1-914` without its separators; `None` for a domain.
fn global_context(text: &str) -> Option<String> {
    let digits = text.strip_prefix('+')?;
    let is_separator = |c: char| matches!(c, '-' | '.' | '(' | ')');
    let bare: String = digits.chars().filter(|c| !is_separator(*c)).collect();
    (!bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit())).then(|| format!("+{bare}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(uri: &str) -> Result<Number, NumberFault> {
        let numbering =
            numbering::Settings { country: Some("GB".to_owned()), ..numbering::Settings::default() };
        Party::of(&Uri::parse(uri.as_bytes()).unwrap()).normalise(&numbering)
    }

    fn e164(number: &str) -> Result<Number, NumberFault> {
        Ok(Number::E164(number.to_owned()))
    }

    #[test]
    fn a_number_is_the_same_in_every_uri() {
        for uri in [
            "tel:+1-201-555-0123",
            "TEL:+12015550123;isdn-subaddress=77;ext=5",
            "tel:+12015550123;phone-context=example.com",
            "sip:+12015550123@h",
            "sip:+1%2D201%2d5550123@h;user=phone",
            "sips:+12015550123;isdn-subaddress=77@h;user=phone",
            "sip:%2B12015550123:password@h",
        ] {
            assert_eq!(read(uri), e164("+12015550123"), "{uri}");
        }
    }

    #[test]
    fn a_local_number_is_read_in_its_context() {
        assert_eq!(read("tel:2015550123;phone-context=+1"), e164("+12015550123"));
        assert_eq!(read("tel:5550123;phone-context=+1-201"), e164("+12015550123"));
        assert_eq!(read("sip:5550123;phone-context=+1-201@h;user=phone"), e164("+12015550123"));
        // Without a context that helps, numbering.country decides.
        assert_eq!(read("tel:02079460000;phone-context=example.com"), e164("+442079460000"));
        assert_eq!(read("tel:02079460000;phone-context=+999"), e164("+442079460000"));
        assert_eq!(read("tel:112;phone-context=+1"), Ok(Number::Emergency("112".to_owned())));
        assert_eq!(read("tel:118;phone-context=+1"), Ok(Number::Short("118".to_owned())));
        assert_eq!(
            read("sip:support;phone-context=+1@h"),
            Ok(Number::Name("support;phone-context=+1".to_owned()))
        );
    }
}
