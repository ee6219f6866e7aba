"""A user agent's part in a call, step by step, as a sipp scenario.

    script.caller().invites().hears(180).is_answered().plays().pauses().hangs_up()
    script.callee().is_invited().says(180).answers().plays().is_hung_up_on()

A script says what one side sends and what it must receive, in that order; sipp fails the call when
something else comes. What comes is checked by regular expressions (`has`) and by what must not be
there (`lacks`), each over the whole message.
"""

import html
import re

FIRST_VERSION = 1
# A user agent's own name is in every identifier that it utters, so that a leak is seen.
TAG = "[side]-tag-[pid]-[call_number]"
CONTACT = "<sip:[side]-contact@[contact]>"
ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, PRACK, UPDATE, REFER, NOTIFY, MESSAGE"
TELEPHONE_EVENTS = "a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\n"
CODEC_LINES = {
    "0": "a=rtpmap:0 PCMU/8000\n",
    "8": "a=rtpmap:8 PCMA/8000\n",
    "18": "a=rtpmap:18 G729/8000\na=fmtp:18 annexb=no\n",
    "9": "a=rtpmap:9 G722/8000\n",
    "97": "a=rtpmap:97 iLBC/8000\na=fmtp:97 mode=20\n",
    "111": "a=rtpmap:111 opus/48000/2\n",
    "101": TELEPHONE_EVENTS,
}


def head(version):
    """Everything of a session description before its first m= line."""
    return (f"v=0\no=[side]-origin 53655765 {version} IN IP[local_ip_type] [local_ip]\ns=-\n"
            "c=IN IP[media_ip_type] [media_ip]\nt=0 0\n")


def audio(version=FIRST_VERSION, codecs="0 8 101", direction="sendrecv"):
    """One stream of audio where the lab's sinks listen."""
    lines = "".join(CODEC_LINES[codec] for codec in codecs.split())
    return f"{head(version)}m=audio [auto_media_port+4] RTP/AVP {codecs}\n{lines}a={direction}\n"


def fax(version=FIRST_VERSION):
    """The same port, now for T.38."""
    return (f"{head(version)}m=image [auto_media_port+4] udptl t38\na=T38FaxVersion:0\n"
            "a=T38MaxBitRate:14400\na=T38FaxRateManagement:transferredTCF\n")


def caller():
    """The side that sends the INVITE."""
    return Script(is_caller=True)


def callee():
    """The side that gets it."""
    return Script(is_caller=False)


class Script:
    """Steps of one dialog; every method adds one or more and gives the script back."""

    def __init__(self, is_caller):
        self.is_caller = is_caller
        self._steps = []
        self._variables = []
        self._sequence = 0
        self._version = 0

    # --------------------------------------------------------------------------- the call's beginning

    def invites(self, body="", headers=(), content_type="application/sdp", to="[service]", max_forwards=70):
        """The first INVITE; `body=None` asks the callee for an offer."""
        body = self._sdp() if body == "" else body
        self._sequence = 1
        return self._send(
            f"INVITE sip:{to}@[sbc] SIP/2.0",
            self._first_lines(f"<sip:{to}@[sbc]>", max_forwards=max_forwards),
            [f"Contact: {CONTACT}", "User-Agent: [side]-agent", f"Allow: {ALLOW}", *headers],
            body, content_type, retransmits=True)

    def is_answered(self, has=(), lacks=(), ack_body=None):
        """200 to the INVITE, and its ACK."""
        self.hears(200, "INVITE", has=has, lacks=lacks, learns=True)
        return self.acknowledges(ack_body)

    def is_refused(self, status, has=(), lacks=()):
        """A final answer other than 2xx, and its ACK."""
        self.hears(100, optional=True).hears(180, optional=True).hears(183, optional=True)
        self._receive(f'response="{status}"', has, lacks)
        return self._send("ACK sip:[service]@[sbc] SIP/2.0",
                          self._first_lines(None, "1 ACK"), [], None)

    def cancels(self):
        """CANCEL, its 200, and the 487."""
        self._send("CANCEL sip:[service]@[sbc] SIP/2.0",
                   self._first_lines("<sip:[service]@[sbc]>", "1 CANCEL"), [], None, retransmits=True)
        self._receive('response="200"')
        return self.is_refused(487)

    def is_invited(self, has=(), lacks=()):
        """The first INVITE, remembered for its answers."""
        actions = [self._take(f"{name}:", f"invite_{name.lower()}") for name in ("Via", "From", "To", "CSeq")]
        return self._receive('request="INVITE" rrs="true"', has, lacks, actions)

    def says(self, status, body=None, headers=()):
        """A response to the first INVITE."""
        fields = ["Via:[$invite_via]", "From:[$invite_from]", f"To:[$invite_to];tag={TAG}",
                  "Call-ID: [call_id]", "CSeq:[$invite_cseq]"]
        if status < 300:
            fields.append(f"Contact: {CONTACT}")
        return self._send(f"SIP/2.0 {status} Said", fields, ["Server: [side]-agent", *headers], body,
                          retransmits=status >= 200)

    def answers(self, body="", headers=(), ack_has=()):
        """200 to the first INVITE, and the ACK that follows."""
        self.says(200, self._sdp(codecs="0 101") if body == "" else body, [f"Allow: {ALLOW}", *headers])
        return self.hears_request("ACK", has=ack_has)

    def answers_over_proxies(self):
        """An INVITE that came over proxies: every Via and Record-Route goes back with the 200."""
        self._receive('request="INVITE" rrs="true"')
        fields = ["[last_Via:]", "[last_Record-Route:]", "[last_From:]", f"[last_To:];tag={TAG}",
                  "[last_Call-ID:]", "[last_CSeq:]", f"Contact: {CONTACT}"]
        self._send("SIP/2.0 200 Said", fields, [f"Allow: {ALLOW}"], self._sdp(codecs="0 101"), retransmits=True)
        return self.hears_request("ACK")

    def refuses(self, status, headers=()):
        self.says(status, headers=headers)
        return self.hears_request("ACK").lingers()

    def is_cancelled(self):
        self.hears_request("CANCEL")
        self.replies(200)
        self.says(487)
        return self.hears_request("ACK").lingers()

    # --------------------------------------------------------------------------- within the dialog

    def sends(self, method, body=None, headers=(), content_type="application/sdp"):
        """A request of the dialog."""
        self._sequence += 1
        contact = [f"Contact: {CONTACT}"] if method in ("INVITE", "UPDATE", "REFER") else []
        return self._send(f"{method} [next_url] SIP/2.0", self._dialog_lines(method, self._sequence),
                          [*contact, *headers], body, content_type, retransmits=True)

    def hears(self, status, method=None, optional=False, has=(), lacks=(), learns=False, rseq=False):
        """A response; `learns` takes the dialog from it, `rseq` what its PRACK must quote."""
        if status == 200 and method == "INVITE":
            for early in (100, 180, 183):
                self.hears(early, optional=True)
        attributes = f'response="{status}"' + (' optional="true"' if optional else "")
        actions = []
        if learns:
            attributes += ' rrs="true"'
            actions = [self._take("To:", "remote")]
        if rseq:
            actions.append(self._take("RSeq:", "rseq"))
        return self._receive(attributes, has, lacks, actions)

    def acknowledges(self, body=None):
        """ACK to the 2xx of the last INVITE."""
        return self._send("ACK [next_url] SIP/2.0", self._dialog_lines("ACK", self._sequence), [], body)

    def reinvites(self, body="", headers=(), has=()):
        """A re-INVITE that is accepted."""
        self.sends("INVITE", self._sdp() if body == "" else body, headers)
        self.hears(200, "INVITE", has=has)
        return self.acknowledges()

    def hears_request(self, method, has=(), lacks=(), optional=False):
        return self._receive(f'request="{method}"' + (' optional="true"' if optional else ""), has, lacks)

    def replies(self, status, body=None, headers=(), content_type="application/sdp", retransmits=False):
        """A response to the request that came last."""
        fields = ["[last_Via:]", "[last_From:]", "[last_To:]", "[last_Call-ID:]", "[last_CSeq:]",
                  f"Contact: {CONTACT}"]
        return self._send(f"SIP/2.0 {status} Replied", fields, headers, body, content_type, retransmits)

    def is_reinvited(self, body="", has=(), headers=()):
        """A re-INVITE, accepted."""
        self.hears_request("INVITE", has=has)
        self.replies(200, self._sdp(codecs="0 101") if body == "" else body, headers, retransmits=True)
        return self.hears_request("ACK")

    def asks(self, method, status=200, has=(), **options):
        """A request of the dialog and its answer."""
        return self.sends(method, **options).hears(status, has=has)

    def is_asked(self, method, status=200, has=(), lacks=(), **options):
        """A request of the dialog, answered."""
        return self.hears_request(method, has=has, lacks=lacks).replies(status, **options)

    # --------------------------------------------------------------------------- media, time, the end

    def plays(self):
        """A second of audio, without waiting for its end."""
        self._steps.append('<nop><action><exec play_pcap_audio="audio.pcap"/></action></nop>')
        return self

    def pauses(self, milliseconds=None):
        """By default as long as the test said (`pause_ms`)."""
        self._steps.append("<pause/>" if milliseconds is None else f'<pause milliseconds="{milliseconds}"/>')
        return self

    def hangs_up(self):
        return self.asks("BYE")

    def is_hung_up_on(self):
        return self.is_asked("BYE").lingers()

    def lingers(self):
        """Answers what is repeated for a while."""
        self._steps.append('<timewait milliseconds="500"/>')
        return self

    # --------------------------------------------------------------------------- writing

    def xml(self):
        """The scenario, for sipp -sf."""
        # sipp refuses a variable that is used once only.
        references = f'<Reference variables="{",".join(sorted(set(self._variables)))}"/>'
        return "\n".join(['<?xml version="1.0" encoding="ISO-8859-1" ?>',
                          '<!DOCTYPE scenario SYSTEM "sipp.dtd">', '<scenario name="script">',
                          *self._steps, references if self._variables else "", "</scenario>", ""])

    def _sdp(self, **options):
        self._version += 1
        return audio(self._version, **options)

    def _first_lines(self, to, sequence="1 INVITE", max_forwards=70):
        """What the first INVITE, its CANCEL and the ACK to its refusal have in common: the branch."""
        return ["Via: SIP/2.0/[transport] [local_ip]:[local_port]"
                ";branch=z9hG4bK-[side]-invite-[pid]-[call_number]",
                f"From: <sip:[caller]@[local_ip]>;tag={TAG}",
                f"To: {to}" if to else "[last_To:]",
                "Call-ID: [call_id]", f"CSeq: {sequence}", f"Max-Forwards: {max_forwards}"]

    def _dialog_lines(self, method, sequence):
        branch = f"z9hG4bK-[side]-{method.lower()}{len(self._steps)}-[pid]-[call_number]"
        if self.is_caller:
            parties = [f"From: <sip:[caller]@[local_ip]>;tag={TAG}", "To:[$remote]"]
        else:
            parties = [f"From:[$invite_to];tag={TAG}", "To:[$invite_from]"]
        return [f"Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch}", *parties, "[routes]",
                "Call-ID: [call_id]", f"CSeq: {sequence} {method}", "Max-Forwards: 70"]

    def _send(self, start, fields, headers, body, content_type="application/sdp", retransmits=False):
        lines = [start, *fields, *headers]
        if body:
            lines += [f"Content-Type: {content_type}", "Content-Length: [len]", "", body.rstrip("\n"), ""]
        else:
            lines += ["Content-Length: 0", "", ""]
        attributes = ' retrans="500"' if retransmits else ""
        self._steps.append(f"<send{attributes}><![CDATA[\n" + "\n".join(lines) + "]]></send>")
        return self

    def _receive(self, attributes, has=(), lacks=(), actions=()):
        actions = list(actions)
        for pattern in has:
            actions.append(self._check(pattern, "check_it"))
        for pattern in lacks:
            actions.append(self._check(pattern, "check_it_inverse"))
        inner = "<action>" + "".join(actions) + "</action>" if actions else ""
        self._steps.append(f"<recv {attributes}>{inner}</recv>")
        return self

    def _take(self, header, variable):
        self._variables.append(variable)
        return f'<ereg regexp=".*" search_in="hdr" header="{header}" assign_to="{variable}"/>'

    def _check(self, pattern, attribute):
        variable = f"checked{len(self._variables)}"
        self._variables.append(variable)
        return (f'<ereg regexp="{html.escape(pattern)}" search_in="msg" {attribute}="true" '
                f'assign_to="{variable}"/>')


def literal(text):
    """A pattern (POSIX extended) that matches the text itself."""
    return re.sub(r"([\\.^$*+?()\[\]{}|])", r"\\\1", text)
