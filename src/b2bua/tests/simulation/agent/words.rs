//! What an agent's messages say, at random: SDP, Allow, session timers (RFC 4028), Via and Contact.

use super::*;

impl Agent {
    /// Some know UPDATE, and some say so.
    pub(super) fn allow(&mut self, writer: Writer) -> Writer {
        match self.random.below(3) {
            0 => writer,
            1 => writer.header(Header::Allow, "INVITE, ACK, BYE, CANCEL"),
            _ => writer.header(Header::Allow, "INVITE, ACK, BYE, CANCEL, UPDATE, PRACK"),
        }
    }

    pub(super) fn response(
        &mut self,
        at: usize,
        request: &Message,
        status: u16,
        sdp: Option<String>,
    ) -> Message {
        let contact = self.contact();
        let tag = String::from_utf8_lossy(&self.calls[at].local_tag).into_owned();
        let mut writer = response_to(request, self.sbc, Status::of(status), None, Some(&tag));
        if status == 302 {
            writer = writer.header(Header::Contact, self.moves_to);
        }
        if status < 300 {
            writer = self.allow(writer.header(Header::Contact, contact));
        }
        if status == 200 && matches!(request.method(), Some(Method::Invite | Method::Update)) {
            writer = self.session_answer(writer);
        }
        finish(writer.header(Header::Server, self.mark), sdp)
    }

    pub(super) fn sdp(&mut self, streams: usize, seed: u32) -> String {
        let (mark, host) = (self.mark, self.address.ip());
        let version = self.random.below(1_000_000);
        let mut sdp =
            format!("v=0\r\no={mark} 1 {version} IN IP4 {host}\r\ns={mark}\r\nc=IN IP4 {host}\r\nt=0 0\r\n");
        let direction = ["sendrecv", "sendrecv", "sendonly", "inactive"][seed as usize % 4];
        for stream in 0..streams {
            let port = 30_000 + 2 * (seed % 1_000) as usize + 100 * stream;
            sdp.push_str(&format!("m=audio {port} RTP/AVP 0\r\na={direction}\r\n"));
        }
        sdp
    }

    /// What a request says of session timers (RFC 4028): nothing, that we know them, that the SBC
    /// shall refresh, or that we do; then we forget it now and then.
    pub(super) fn session_timer(&mut self, writer: Writer) -> Writer {
        let expires = match self.terms.below(6) {
            0 | 1 => return writer,
            2 => return writer.header(Header::Allow, "INVITE, UPDATE").header(Header::Supported, "timer"),
            3 => "90;refresher=uac",
            4 => "15;refresher=uas",
            _ => "12;refresher=uas",
        };
        let allow = ["INVITE, ACK, BYE", "INVITE, ACK, BYE, UPDATE"][self.terms.below(2) as usize];
        let writer = writer.header(Header::Allow, allow).header(Header::Supported, "timer");
        writer.header(Header::SessionExpires, expires)
    }

    /// What a 2xx says of it.
    fn session_answer(&mut self, writer: Writer) -> Writer {
        match self.terms.below(4) {
            0 | 1 => writer,
            2 => writer.header(Header::Require, "timer").header(Header::SessionExpires, "15;refresher=uac"),
            _ => writer.header(Header::Require, "timer").header(Header::SessionExpires, "120;refresher=uas"),
        }
    }

    pub(super) fn via(&mut self) -> String {
        self.minted += 1;
        let (transport, address) = (self.transport.via_name(), self.address);
        format!("SIP/2.0/{transport} {address};rport;branch=z9hG4bK{}{}", self.mark, self.minted)
    }

    pub(super) fn contact(&self) -> String {
        let transport = if self.transport == Transport::Udp { "" } else { ";transport=tcp" };
        format!("<sip:{}@{}{transport}>", self.mark, self.address)
    }
}
