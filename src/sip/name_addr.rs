//! From, To, Contact, Route and their like: `"Display" <uri>;params` (RFC 3261 §20.10).

use super::text::{find_outside, trim};
use super::{Params, Uri, UriFault};

/// One address with its display name and header parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NameAddr<'a> {
    /// The display name as it stands, with its quotes; `None` if there is none.
    pub display: Option<&'a [u8]>,
    /// The URI's bytes; see [`NameAddr::uri`].
    pub uri_raw: &'a [u8],
    /// What follows: `;tag=…`, `;expires=…`.
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Reads one value (a list must be split first). `None`: a bracket is missing.
    pub fn parse(value: &'a [u8]) -> Option<NameAddr<'a>> {
        let value = trim(value);
        let Some(open) = find_outside(value, b'<') else {
            // addr-spec: parameters are the header's, not the URI's (RFC 3261 §20).
            let end = memchr::memchr(b';', value).unwrap_or(value.len());
            let (uri_raw, params) = value.split_at(end);
            return Some(NameAddr { display: None, uri_raw: trim(uri_raw), params: Params(params) });
        };
        let close = open + memchr::memchr(b'>', &value[open..])?;
        let display = trim(&value[..open]);
        let params = trim(&value[close + 1..]);
        if !(params.is_empty() || params[0] == b';') {
            return None;
        }
        Some(NameAddr {
            display: (!display.is_empty()).then_some(display),
            uri_raw: &value[open + 1..close],
            params: Params(params),
        })
    }

    /// The URI in its parts.
    pub fn uri(&self) -> Result<Uri<'a>, UriFault> {
        Uri::parse(self.uri_raw)
    }

    /// The dialog's tag (RFC 3261 §19.3).
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.params.value("tag").filter(|tag| !tag.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let found = NameAddr::parse(b" \"A <b>, \\\"c\\\"\" <sip:x@y;p=1> ; tag = t1;q").unwrap();
        assert_eq!(found.display, Some(&b"\"A <b>, \\\"c\\\"\""[..]));
        assert_eq!(found.uri_raw, b"sip:x@y;p=1");
        assert_eq!(found.tag(), Some(&b"t1"[..]));
        let found = NameAddr::parse(b"sip:x@y;tag=t2").unwrap();
        assert_eq!((found.uri_raw, found.tag()), (&b"sip:x@y"[..], Some(&b"t2"[..])));
        assert_eq!(NameAddr::parse(b"Bob <sip:b@h>").unwrap().display, Some(&b"Bob"[..]));
    }

    #[test]
    fn broken_brackets_are_refused() {
        assert!(NameAddr::parse(b"\"Bob\" <sip:x@y").is_none());
        assert!(NameAddr::parse(b"<sip:x@y>tag=1").is_none());
    }
}
