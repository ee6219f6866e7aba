//! Parameters: `;name=value` after a URI, a Via or an address (RFC 3261 §7.3.1, §19.1.1).

use super::text::{find_outside, trim};

/// The parameters of something, as they stand on the wire (from the first `;` on, or empty).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Params<'a>(pub &'a [u8]);

impl<'a> Params<'a> {
    /// Name and value of each in order; a parameter without `=` has no value.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            loop {
                let text = rest.strip_prefix(b";").unwrap_or(rest);
                if text.is_empty() {
                    return None;
                }
                let end = find_outside(text, b';').unwrap_or(text.len());
                rest = &text[end..];
                let one = trim(&text[..end]);
                if one.is_empty() {
                    continue;
                }
                return Some(match find_outside(one, b'=') {
                    Some(equals) => (trim(&one[..equals]), Some(trim(&one[equals + 1..]))),
                    None => (one, None),
                });
            }
        })
    }

    /// The value of the first parameter of this name (case does not matter): `None` if there is
    /// none, `Some(None)` if it has no value.
    pub fn get(self, name: &str) -> Option<Option<&'a [u8]>> {
        self.iter().find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// The value of a parameter that is there and has one.
    pub fn value(self, name: &str) -> Option<&'a [u8]> {
        self.get(name).flatten()
    }

    /// Whether a parameter of this name is there more than once, which RFC 3261 §7.3.1 forbids:
    /// two readers would take two different ones.
    pub fn repeats(self, name: &str) -> bool {
        self.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes())).nth(1).is_some()
    }

    /// Whether a parameter of this name is there.
    pub fn has(self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_keep_their_order_and_bytes() {
        let params = Params(b" ; a = 1;B;c=\"x;y\";;d=");
        let all: Vec<_> = params.iter().collect();
        assert_eq!(
            all,
            [(&b"a"[..], Some(&b"1"[..])), (b"B", None), (b"c", Some(b"\"x;y\"")), (b"d", Some(b"")),]
        );
        assert_eq!(params.get("b"), Some(None));
        assert_eq!(params.value("C"), Some(&b"\"x;y\""[..]));
        assert!(!params.has("e"));
    }
}
