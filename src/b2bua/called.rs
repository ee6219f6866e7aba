//! Who an INVITE calls: the URI that says so, an emergency service (RFC 5031) among them, and what it
//! means by the numbers of who sent it.
//!
//! Whom a call goes to is said by its Request-URI alone. Where that is the Contact that we registered, the
//! registrar has put it in the place of what was dialled (RFC 3261 §16.5), which stands in P-Called-Party-ID
//! (RFC 7315 §4.2) or, for want of it, in To. To tell two trunks of one source apart, To is read as well where
//! the Request-URI names a device and no number: a hint of whose a call is may be wrong, its destination not.
//!
//! Must not know: trunks, routes.

use super::call::CallNumbers;
use super::inbound::Rejection;
use super::party::{Party, written_user};
use crate::numbering::{self, Dialled, Number};
use crate::sip::{Message, NameAddr, Uri};

/// The service whose name, with those of its sub-services (`urn:service:sos.fire`), means an
/// emergency call (RFC 5031 §4.2).
const EMERGENCY_SERVICE: &[u8] = b"urn:service:sos";

/// The URI of who is called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Called<'a> {
    uri: &'a [u8],
    /// Not the Request-URI: that is a Contact of ours.
    is_behind_contact: bool,
}

impl<'a> Called<'a> {
    /// `is_our_contact`: the Request-URI is one that we registered.
    pub(super) fn of(invite: &'a Message, is_our_contact: bool) -> Called<'a> {
        match Some(invite).filter(|_| is_our_contact).and_then(behind_our_contact) {
            Some(uri) => Called { uri, is_behind_contact: true },
            None => Called { uri: invite.request_uri_raw(), is_behind_contact: false },
        }
    }

    /// Whether it calls the emergency service.
    pub(super) fn is_emergency_service(self) -> bool {
        is_emergency_service(self.uri)
    }

    /// Whether it calls an emergency number, as its sender dials, or the emergency service.
    pub(super) fn is_emergency(self, numbering: &numbering::Settings) -> bool {
        self.is_emergency_service()
            || Uri::parse(self.uri).is_ok_and(|uri| numbering.calls_emergency(&Party::of(&uri).user))
    }

    /// Whom it means. The emergency service is the first emergency number: it is what a trunk understands
    /// (RFC 6881 leaves the dial string to the local policy).
    pub(super) fn dialled(self, numbering: &numbering::Settings) -> Result<Dialled, Rejection> {
        if self.is_emergency_service() {
            let number = numbering.emergency.first();
            let number = number.ok_or_else(|| Rejection::new(416, "no emergency number is configured"))?;
            let (received, number) = (number.clone(), Number::Emergency(number.clone()));
            return Ok(Dialled { number, received, access_code: None });
        }
        let party = Uri::parse(self.uri).map(|uri| Party::of(&uri)).unwrap_or_default();
        if party.user.is_empty() {
            return Err(Rejection::new(484, "the Request-URI names nobody"));
        }
        party.normalise_called(numbering).map_err(|fault| Rejection::new(484, &fault.to_string()))
    }

    /// The number by which trunks of one source are told apart: whom it means, or To where that is a
    /// name.
    pub(super) fn hint(self, invite: &Message, numbering: &numbering::Settings) -> Option<Number> {
        let is_number = |number: &Number| !matches!(number, Number::Name(_));
        let meant = |called: Called<'_>| called.dialled(numbering).ok().map(|dialled| dialled.number);
        let own = meant(self);
        if own.as_ref().is_some_and(is_number) || self.is_emergency_service() {
            return own;
        }
        let to = invite.to().map(|to| Called { uri: to.uri_raw, is_behind_contact: false });
        to.filter(|to| !to.is_emergency_service()).and_then(meant).filter(is_number).or(own)
    }
}

fn behind_our_contact(invite: &Message) -> Option<&[u8]> {
    let said = invite.fields().find(|field| field.name.eq_ignore_ascii_case(b"P-Called-Party-ID"));
    let said = said.and_then(|field| NameAddr::parse(field.value)).or_else(|| invite.to())?;
    said.uri().ok().filter(|uri| uri.user.is_some()).map(|_| said.uri_raw)
}

/// Whether a URI asks for the emergency service. RFC 5031 §4: service names are compared without
/// regard to case.
pub(super) fn is_emergency_service(uri: &[u8]) -> bool {
    let Some((service, rest)) = uri.split_at_checked(EMERGENCY_SERVICE.len()) else { return false };
    service.eq_ignore_ascii_case(EMERGENCY_SERVICE) && rest.first().is_none_or(|byte| *byte == b'.')
}

impl CallNumbers {
    /// Takes who is called.
    pub(super) fn learn_called(
        &mut self,
        called: Called<'_>,
        numbering: &numbering::Settings,
    ) -> Result<(), Rejection> {
        if called.is_behind_contact
            && let Ok(uri) = Uri::parse(called.uri)
        {
            self.called_received = Party::of(&uri).user;
            self.called_written = written_user(&uri);
        }
        let Dialled { number, received, .. } = called.dialled(numbering)?;
        if called.is_emergency_service() {
            self.called_received.clone_from(&received);
        }
        (self.called, self.called_dialled) = (number, received);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{Header, Method, Writer};

    #[test]
    fn the_emergency_service_is_known_by_its_name_and_no_other_is() {
        for uri in ["urn:service:sos", "URN:Service:SOS", "urn:service:sos.fire", "urn:service:sos.a.b"] {
            assert!(is_emergency_service(uri.as_bytes()), "{uri}");
        }
        for uri in ["urn:service:sosa", "urn:service:counseling", "urn:service", "sip:sos@h", ""] {
            assert!(!is_emergency_service(uri.as_bytes()), "{uri}");
        }
    }

    /// Who is called, and by which number trunks are told apart.
    fn read(uri: &str, to: &str, is_our_contact: bool) -> (Option<Number>, Option<Number>) {
        let invite =
            Writer::request(&Method::Invite, uri.as_bytes()).header(Header::To, to).finish().unwrap();
        let numbering = numbering::Settings::default();
        let called = Called::of(&invite, is_our_contact);
        (called.dialled(&numbering).ok().map(|dialled| dialled.number), called.hint(&invite, &numbering))
    }

    #[test]
    fn to_is_a_hint_of_whose_a_call_is_and_says_whom_it_is_for_behind_our_contact_alone() {
        let (one, two) = (Number::E164("+14155550111".into()), Number::E164("+14155550222".into()));
        let device = Number::Name("gw".into());
        let to = "<sip:+14155550222@h>";
        assert_eq!(read("sip:+14155550111@h", to, false), (Some(one.clone()), Some(one)));
        assert_eq!(read("sip:gw@h", to, false), (Some(device.clone()), Some(two.clone())));
        assert_eq!(read("sip:gw@h", to, true), (Some(two.clone()), Some(two)));
        assert_eq!(read("sip:gw@h", "<sip:h>", true), (Some(device.clone()), Some(device)));
    }
}
