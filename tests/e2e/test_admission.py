"""Who is not on the list gets no answer at all."""

import lab
from case import LabCase

OPTIONS = """\
OPTIONS sip:sbc@{to} SIP/2.0
Via: SIP/2.0/UDP {source}:{port};branch=z9hG4bK-probe
From: <sip:probe@{source}>;tag=1
To: <sip:sbc@{to}>
Call-ID: probe-{source}
CSeq: 1 OPTIONS
Max-Forwards: 70
Content-Length: 0

"""


def options(source, port, to):
    text = OPTIONS.format(source=source, port=port, to=to)
    return text.replace("\n", "\r\n").encode()


class Admission(LabCase):
    def test_stranger_gets_silence(self):
        probe = self.lab.stranger.udp(lab.STRANGER, 5060)
        invite = options(lab.STRANGER, 5060, lab.SBC_UNTRUSTED).replace(b"OPTIONS", b"INVITE")
        datagrams = [options(lab.STRANGER, 5060, lab.SBC_UNTRUSTED), invite, b"\r\n\r\n", b"\x00" * 40,
                     b"INVITE sip:x SIP/2.0\r\n\r\n"]
        for datagram in datagrams:
            probe.sendto(datagram, (lab.SBC_UNTRUSTED, 5060))
        self.assert_silent(probe)
        lab.wait_until("each datagram is counted", lambda: len(datagrams) == self.sbc.metric(
            "drawbridge_sip_dropped_total", realm="untrusted", reason="source_not_allowed"))
        self.assertEqual(self.sbc.metric("drawbridge_calls_total"), 0)
        probe.close()
        self.expect_nothing_left()

    def test_carrier_is_answered(self):
        probe = self.lab.carrier_a.udp(lab.CARRIER_A, 5060)
        probe.sendto(options(lab.CARRIER_A, 5060, lab.SBC_UNTRUSTED), (lab.SBC_UNTRUSTED, 5060))
        answer = probe.recv(4096)
        self.assertTrue(answer.startswith(b"SIP/2.0 200 "), answer)
        probe.close()
        self.expect_nothing_left()

    def test_unknown_host_beside_the_pbx_gets_silence(self):
        # Being on the trusted side is not being trusted.
        with self.lab.pbx.inside():
            lab.ip("address", "add", "10.0.0.66/24", "dev", "eth0")
        probe = self.lab.pbx.udp("10.0.0.66", 5060)
        probe.sendto(options("10.0.0.66", 5060, lab.SBC_TRUSTED), (lab.SBC_TRUSTED, 5060))
        self.assert_silent(probe)
        self.assertEqual(self.sbc.metric("drawbridge_sip_dropped_total", realm="trusted",
                                         reason="source_not_allowed"), 1)
        probe.close()
        self.expect_nothing_left()

    def assert_silent(self, probe):
        try:
            answer, sender = probe.recvfrom(4096)
        except TimeoutError:
            return
        self.fail(f"{sender} answered: {answer!r}")
