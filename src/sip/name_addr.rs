//! From, To, Contact, Route and their like: `"Display" <uri>;params` (RFC 3261 §20.10).

use std::borrow::Cow;

use super::text::{find_outside, is_space, is_token, quote_end, trim};
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

/// A display name as it may be written again: tokens and clean quoted strings as they stand. Anything
/// else is read with tolerance (`Bell, Alexander`, RFC 4475 §3.1.2.15) but "must not propagate the
/// error": it is put in quotes. Control characters, which a quoted string may escape, are left out.
pub fn written_display(display: &[u8]) -> Cow<'_, [u8]> {
    let is_clean = |text: &[u8]| !text.iter().any(u8::is_ascii_control);
    let quoted = match display {
        [b'"', ..] if quote_end(display, 1) == Some(display.len() - 1) => {
            Some(&display[1..display.len() - 1])
        }
        _ => None,
    };
    let mut words = display.split(|byte| is_space(*byte)).filter(|word| !word.is_empty());
    if is_clean(display) && (quoted.is_some() || words.all(is_token)) {
        return Cow::Borrowed(display);
    }
    let mut written = vec![b'"'];
    let mut rest = quoted.unwrap_or(display);
    while let [byte, tail @ ..] = rest {
        let (byte, after) = match tail {
            [escaped, after @ ..] if quoted.is_some() && *byte == b'\\' => (*escaped, after),
            _ => (*byte, tail),
        };
        match byte {
            b'"' | b'\\' => written.extend_from_slice(&[b'\\', byte]),
            _ if !byte.is_ascii_control() => written.push(byte),
            _ => {}
        }
        rest = after;
    }
    written.push(b'"');
    Cow::Owned(written)
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
    fn a_display_name_is_written_so_that_it_is_read_the_same() {
        for (read, written) in [
            (&b"Bob"[..], &b"Bob"[..]),
            (b"token1~` token2'+_ token3*%!.-", b"token1~` token2'+_ token3*%!.-"),
            (b"\"J Rosenberg \\\\\\\"\"", b"\"J Rosenberg \\\\\\\"\""),
            (b"Bell, Alexander", b"\"Bell, Alexander\""),
            (b"M\xc3\xbcller", b"\"M\xc3\xbcller\""),
            (b"\"A\" B", b"\"\\\"A\\\" B\""),
            (b"\"a\\\x07\\\0b\\\\\"", b"\"ab\\\\\""),
            (b"two\r\n lines", b"\"two lines\""),
        ] {
            let found = written_display(read);
            assert_eq!(&*found, written, "{}", String::from_utf8_lossy(read));
            assert_eq!(&*written_display(&found), written, "a second time changes nothing");
        }
    }

    #[test]
    fn broken_brackets_are_refused() {
        assert!(NameAddr::parse(b"\"Bob\" <sip:x@y").is_none());
        assert!(NameAddr::parse(b"<sip:x@y>tag=1").is_none());
    }
}
