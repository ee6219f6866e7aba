"""What the network between two peers makes of a call: its address family, its limits, its strangers."""

import socket
import ssl

import lab
import scenarios
import sipp
from case import LabCase
from script import audio, callee, caller

# Enough to make an INVITE too large for a datagram that must not be fragmented.
PADDING = "".join(f"a=x-padding-{number}:{'0' * 60}\n" for number in range(20))
# How long a connection may say nothing before it is called silent.
SILENCE_SECONDS = 2


class TwoFamilies(LabCase):
    """IPv4 on the trusted side, IPv6 at the carrier."""

    out = ("carrier-a",)
    has_ipv6 = True

    def prepare(self):
        self.sbc.write_trunk("carrier-a", host=lab.CARRIER_A_V6)

    def carrier_v6(self, script, **options):
        return self._sipp(self.lab.carrier_a, lab.CARRIER_A_V6, sipp.OUTER, script, self.untrusted, options)

    def test_a_call_goes_from_ipv4_to_ipv6(self):
        at_pbx = self.sink(self.lab.pbx, lab.PBX, lab.SBC_TRUSTED, sipp.OUTER.octet, 1)
        at_carrier = self.sink(self.lab.carrier_a, lab.CARRIER_A_V6, lab.SBC_UNTRUSTED_V6,
                               sipp.INNER.octet, 1)
        answering = self.carrier_v6(callee().is_invited(has=[r"c=IN IP6 2001:db8::5"]).says(180)
                                    .answers().plays().is_hung_up_on())
        self.pbx_calls().must_succeed()
        answering.must_succeed()
        # sipp plays captures of IPv4 only: the carrier's audio is not heard, the PBX's is.
        self.expect_audio(at_carrier, "carrier", 1)
        self.assertEqual(dict(at_pbx.wrong_sources), {})
        self.expect_cdrs(1)
        self.expect_nothing_left()


class LargeRequests(LabCase):
    """RFC 3261 §18.1.1: what is too large for a datagram goes by TCP, that one message."""

    out = ("carrier-a",)
    untrusted = "tcp"

    def prepare(self):
        # The trunk does not say how; the realm can do both.
        self.sbc.write_trunk("carrier-a", transport="udp")

    def test_a_large_invite_goes_by_tcp(self):
        answering = self.carrier_a(callee().is_invited(has=["Via: SIP/2.0/TCP"]).answers().is_hung_up_on())
        self.pbx_calls(caller().invites(audio() + PADDING).is_answered().hangs_up()).must_succeed()
        answering.must_succeed()
        self.expect_cdrs(1)
        self.expect_nothing_left()

    def test_it_goes_by_udp_where_nobody_takes_tcp(self):
        answering = self.carrier_a(
            callee().is_invited(has=["Via: SIP/2.0/UDP", "x-padding-19"]).answers().is_hung_up_on(),
            transport="udp")
        self.pbx_calls(caller().invites(audio() + PADDING).is_answered().hangs_up()).must_succeed()
        answering.must_succeed()
        [record] = self.expect_cdrs(1)
        self.assertEqual(len(record["attempts"]), 1, "the same target, another way")
        self.expect_nothing_left()


class Connections(LabCase):
    """Who may connect, and what becomes of those that say nothing sensible."""

    out = ("carrier-a",)
    untrusted = "tls"

    def connect(self, host, address=None):
        with host.inside():
            opened = socket.socket()
        opened.settimeout(SILENCE_SECONDS)
        opened.bind((address or "0.0.0.0", 0))
        opened.connect((lab.SBC_UNTRUSTED, sipp.TLS_PORT))
        return opened

    def test_a_stranger_is_shown_out_before_it_can_say_a_word(self):
        stranger = self.connect(self.lab.stranger)
        self.assertEqual(stranger.recv(1), b"", "the connection is closed")
        lab.wait_until("it is counted", lambda: self.sbc.metric(
            "drawbridge_sip_dropped_total", realm="untrusted", reason="source_not_allowed") == 1)
        stranger.close()
        self.expect_nothing_left()

    def test_the_certificate_is_changed_under_a_call(self):
        answering = self.carrier_a(scenarios.answer())
        calling = self.pbx_calls(pause_ms=3000)
        lab.wait_until("the call is up", lambda: self.sbc.metric("drawbridge_calls_active") > 0)
        before = self.served_certificate()
        self.authority.issue("sbc", f"IP:{lab.SBC_TRUSTED}", f"IP:{lab.SBC_UNTRUSTED}")
        self.sbc.reload()
        lab.wait_until("the new certificate is served", lambda: self.served_certificate() != before)
        calling.must_succeed()
        answering.must_succeed()
        self.expect_cdrs(1)
        self.expect_nothing_left()

    def served_certificate(self):
        trust = ssl.create_default_context(cafile=self.authority.certificate)
        with trust.wrap_socket(self.connect(self.lab.carrier_a), server_hostname=lab.SBC_UNTRUSTED) as tls:
            return tls.getpeercert(binary_form=True)
