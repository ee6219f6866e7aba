//! The smallest pieces of the grammar (RFC 3261 §25.1): tokens, white space, lists.

/// Whether this byte may stand in a token.
pub(super) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~')
}

/// Whether `text` is a token: not empty, and of token bytes only.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_token_byte(*byte))
}

/// Whether this byte is linear white space; CR and LF only stand in a value where it is folded.
pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Without white space at either end.
pub fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_space(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_space(*last)
    {
        text = rest;
    }
    text
}

/// The place of the first `wanted` byte outside quotes (with escapes) and angle brackets.
pub(super) fn find_outside(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let (mut quoted, mut escaped, mut bracketed) = (false, false, false);
    for (at, byte) in text.iter().enumerate() {
        if escaped {
            escaped = false;
        } else if quoted {
            match byte {
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
        } else if !bracketed && wanted.contains(byte) {
            return Some(at);
        } else {
            match byte {
                b'"' if !bracketed => quoted = true,
                b'<' => bracketed = true,
                b'>' => bracketed = false,
                _ => {}
            }
        }
    }
    None
}

/// The values of a comma-separated header (RFC 3261 §7.3.1), trimmed; empty ones are left out.
pub fn split_list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        loop {
            let text = rest?;
            let item = match find_outside(text, b",") {
                Some(comma) => {
                    rest = Some(&text[comma + 1..]);
                    &text[..comma]
                }
                None => {
                    rest = None;
                    text
                }
            };
            let item = trim(item);
            if !item.is_empty() {
                return Some(item);
            }
        }
    })
}

/// A decimal number of digits only, that fits.
pub(super) fn parse_number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_split_outside_quotes_and_brackets() {
        let items: Vec<_> = split_list(b" \"a, \\\", b\" <sip:x@y;p=1,2> , ,<sip:z>\r\n ,w").collect();
        assert_eq!(items, [&b"\"a, \\\", b\" <sip:x@y;p=1,2>"[..], b"<sip:z>", b"w"]);
        assert_eq!(split_list(b"").count(), 0);
    }

    #[test]
    fn numbers_that_do_not_fit_are_none() {
        assert_eq!(parse_number::<u32>(b"4294967295"), Some(u32::MAX));
        assert_eq!(parse_number::<u32>(b"4294967328"), None);
        assert_eq!(parse_number::<u32>(b"+1"), None);
        assert_eq!(parse_number::<u32>(b""), None);
    }
}
