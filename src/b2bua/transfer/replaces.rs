//! Replaces (RFC 3891): the name of a dialog, as a header and within a Refer-To URI, and the leg of
//! ours that it means.

use super::super::call::CallKey;
use super::super::engine::Engine;
use super::escape_value;
use crate::dialog::Dialog;
use crate::media::Side;
use crate::sip::{Params, Uri, trim, unescape};

/// `call-id;to-tag=…;from-tag=…`: tags as the receiver of the INVITE knows them, to-tag its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replaces {
    pub(super) call_id: Vec<u8>,
    pub(super) to_tag: Vec<u8>,
    pub(super) from_tag: Vec<u8>,
    /// Only a dialog that is not answered yet is meant.
    pub(super) early_only: bool,
}

/// Whose view of the dialog a Replaces has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum View {
    /// to-tag is our tag of the leg.
    Ours,
    /// to-tag is the peer's: the name is meant for the peer, as [`Replaces::for_peer`] makes it.
    Peers,
}

impl Replaces {
    /// Reads the value of the header. `None`: a part is missing, or there twice.
    pub(super) fn parse(value: &[u8]) -> Option<Replaces> {
        let end = memchr::memchr(b';', value).unwrap_or(value.len());
        let (call_id, params) = (trim(&value[..end]), Params(&value[end..]));
        let tag = |name| params.value(name).filter(|tag| !tag.is_empty() && !params.repeats(name));
        let (to_tag, from_tag) = (tag("to-tag")?, tag("from-tag")?);
        let early_only = params.has("early-only");
        (!call_id.is_empty()).then(|| Replaces {
            call_id: call_id.to_vec(),
            to_tag: to_tag.to_vec(),
            from_tag: from_tag.to_vec(),
            early_only,
        })
    }

    /// The name of a dialog of ours as the peer of that dialog knows it.
    pub(super) fn for_peer(dialog: &Dialog) -> Replaces {
        Replaces {
            call_id: dialog.call_id.to_vec(),
            to_tag: dialog.remote_tag.to_vec(),
            from_tag: dialog.local_tag.to_vec(),
            early_only: false,
        }
    }

    /// As the `headers` part of a URI has it.
    pub(super) fn in_uri(&self) -> String {
        let value = [&self.call_id[..], b";to-tag=", &self.to_tag, b";from-tag=", &self.from_tag].concat();
        format!("Replaces={}", escape_value(&value))
    }
}

/// The Replaces that stands in the `headers` part of a URI, unescaped.
pub(super) fn of_uri(uri: &Uri<'_>) -> Option<Vec<u8>> {
    uri.headers?.split(|byte| *byte == b'&').find_map(|header| {
        let equals = memchr::memchr(b'=', header)?;
        let is_replaces = unescape(&header[..equals]).eq_ignore_ascii_case(b"Replaces");
        is_replaces.then(|| unescape(&header[equals + 1..]).into_owned())
    })
}

impl Engine {
    /// The leg of ours that a Replaces names, whichever way round its tags stand.
    pub(super) fn find_named(&self, named: &Replaces) -> Option<(CallKey, Side, View)> {
        let find = |local: &[u8], remote: &[u8]| {
            let (key, side) = *self.dialogs.get(local)?;
            let dialog = self.calls.get(key)?.leg(side)?.dialog.as_ref()?;
            dialog.matches(&named.call_id, local, remote).then_some((key, side))
        };
        let ours = find(&named.to_tag, &named.from_tag).map(|(key, side)| (key, side, View::Ours));
        ours.or_else(|| find(&named.from_tag, &named.to_tag).map(|(key, side)| (key, side, View::Peers)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaces_is_read_and_written_as_rfc_3891_has_it() {
        let text = "98732@sip.example.com ;from-tag=r33th4x0r ;to-tag=ff87ff;early-only";
        let read = Replaces::parse(text.as_bytes()).unwrap();
        assert_eq!((&read.call_id[..], &read.to_tag[..]), (&b"98732@sip.example.com"[..], &b"ff87ff"[..]));
        assert!(read.from_tag == b"r33th4x0r" && read.early_only);
        let uri = format!("sip:b@h?X=1&{}", read.in_uri());
        let found = of_uri(&Uri::parse(uri.as_bytes()).unwrap()).unwrap();
        assert_eq!(found, b"98732@sip.example.com;to-tag=ff87ff;from-tag=r33th4x0r");
        for broken in
            ["a;to-tag=1", ";to-tag=1;from-tag=2", "a;to-tag=1;to-tag=2;from-tag=3", "a;to-tag=;from-tag=2"]
        {
            assert_eq!(Replaces::parse(broken.as_bytes()), None, "{broken}");
        }
    }
}
