//! The smallest pieces of the grammar (RFC 3261 §25.1): tokens, white space, lists.

/// Whether this byte may stand in a token.
const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~')
}

/// [`is_token_byte`] of every byte, for a look-up instead of a dozen comparisons.
const TOKEN_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = is_token_byte(byte as u8);
        byte += 1;
    }
    table
};

/// How many bytes of a token `text` begins with.
pub(super) fn token_length(text: &[u8]) -> usize {
    text.iter().take_while(|byte| TOKEN_BYTES[usize::from(**byte)]).count()
}

/// Whether `text` is a token: not empty, and of token bytes only.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| TOKEN_BYTES[usize::from(*byte)])
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

/// The place of the first `wanted` byte outside quotes (with escapes) and angle brackets. Every
/// byte is looked at once, whatever is quoted or left open.
pub(super) fn find_outside(text: &[u8], wanted: u8) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr3(wanted, b'"', b'<', &text[at..])?;
        if text[at] == wanted {
            return Some(at);
        }
        at = if text[at] == b'"' {
            quote_end(text, at + 1)?
        } else {
            at + 1 + memchr::memchr(b'>', &text[at + 1..])?
        };
        at += 1;
    }
}

/// Whether every quote and angle bracket that opens also closes: what is appended to text that
/// leaves one open would be read as part of it.
pub(super) fn is_closed(text: &[u8]) -> bool {
    let mut at = 0;
    while let Some(open) = memchr::memchr2(b'"', b'<', &text[at..]).map(|found| at + found) {
        let close = if text[open] == b'"' {
            quote_end(text, open + 1)
        } else {
            memchr::memchr(b'>', &text[open..]).map(|found| open + found)
        };
        match close {
            Some(close) => at = close + 1,
            None => return false,
        }
    }
    true
}

/// The place of the `"` that ends what began before `at`.
pub(super) fn quote_end(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// The values of a comma-separated header (RFC 3261 §7.3.1), trimmed; empty ones are left out.
pub fn split_list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        loop {
            let text = rest?;
            let item = match find_outside(text, b',') {
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
pub(super) fn parse_number<T: TryFrom<u64>>(text: &[u8]) -> Option<T> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    let first = digit(text.first()?)?;
    let number =
        text[1..].iter().try_fold(first, |number, byte| number.checked_mul(10)?.checked_add(digit(byte)?));
    T::try_from(number?).ok()
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
