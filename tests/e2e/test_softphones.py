"""Two softphones talk through the SBC; each must hear the other's tone."""

import time

import lab
import media
from baresip import Baresip
from case import CARRIER_DIALS, LabCase, PBX_DIALS
from linphone import Linphone

PBX_HERTZ = 440
CARRIER_HERTZ = 1000
# A clean tone through PCMU keeps nearly all its energy; a second of silence or loss does not.
LEAST_SHARE = 0.9


class Softphones(LabCase):
    out = ("carrier-a",)
    # What the phones' URIs say of the way.
    by = ""

    def test_pbx_phone_calls_carrier_phone(self):
        callee = self.phone(self.lab.carrier_a, lab.CARRIER_A, PBX_DIALS, CARRIER_HERTZ, 12)
        caller = self.phone(self.lab.pbx, lab.PBX, CARRIER_DIALS, PBX_HERTZ, 6,
                            dial=f"sip:{PBX_DIALS}@{lab.SBC_TRUSTED}{self.by}")
        self.expect_conversation(caller, PBX_HERTZ, callee, CARRIER_HERTZ)

    def test_carrier_phone_calls_pbx_phone(self):
        callee = self.phone(self.lab.pbx, lab.PBX, CARRIER_DIALS, PBX_HERTZ, 12)
        caller = self.phone(self.lab.carrier_a, lab.CARRIER_A, PBX_DIALS, CARRIER_HERTZ, 6,
                            dial=f"sip:{CARRIER_DIALS}@{lab.SBC_UNTRUSTED}{self.by}")
        self.expect_conversation(caller, CARRIER_HERTZ, callee, PBX_HERTZ)

    def phone(self, host, address, user, tone, seconds, dial=None):
        authority = self.authority if self.trusted == "tls" else None
        phone = Baresip(host, address, self.directory, user=user, tone=tone, seconds=seconds, dial=dial,
                        authority=authority)
        if dial is None:
            lab.wait_until("baresip is ready", lambda: "baresip is ready" in phone.report())
        return phone

    def expect_conversation(self, caller, caller_hertz, callee, callee_hertz):
        caller.process.wait(15)
        lab.wait_until("the call is over", lambda: self.sbc.metric("drawbridge_calls_active") == 0)
        lab.stop(callee.process)
        for phone, hertz in ((caller, callee_hertz), (callee, caller_hertz)):
            share = media.tone_share(phone.heard(), hertz)
            self.assertGreater(share, LEAST_SHARE, f"share of {hertz} Hz in what was heard\n{phone.report()}")
        for transport in {"udp", self.trusted}:
            messages = self.sbc.metric("drawbridge_sip_messages_total", transport=transport)
            self.assertEqual(messages > 0, transport == self.trusted, f"SIP by {transport}")
        [record] = self.expect_cdrs(1)
        self.assertEqual(record["ended_by"], "caller")
        self.expect_nothing_left()


class SoftphonesOverTls(Softphones):
    """The same with signalling by TLS on both sides; the SBC verifies whom it calls."""

    trusted = "tls"
    untrusted = "tls"
    by = ":5061;transport=tls"


class LinphoneAndBaresip(LabCase):
    """linphone at the PBX, baresip at the carrier."""

    out = ("carrier-a",)
    untrusted = "tls"

    def talk(self, linphone_seconds):
        """Until linphone hangs up after some seconds, or (`None`) baresip does."""
        active = lambda: self.sbc.metric("drawbridge_calls_active") > 0
        lab.wait_until("the call is there", active, 10)
        if linphone_seconds:
            time.sleep(linphone_seconds)
            self.linphone.say("terminate")
        lab.wait_until("the call is over", lambda: not active(), 15)

    def phone_at_pbx(self):
        phone = Linphone(self.lab.pbx, lab.PBX, self.directory, user=CARRIER_DIALS, tone=PBX_HERTZ,
                         authority=self.authority)
        self.addCleanup(phone.close)
        return phone

    def phone_at_carrier(self, seconds, dial=None):
        return Baresip(self.lab.carrier_a, lab.CARRIER_A, self.directory, user=PBX_DIALS, tone=CARRIER_HERTZ,
                       seconds=seconds, dial=dial, authority=self.authority)

    def expect_conversation(self, ended_by):
        self.linphone.close()
        lab.stop(self.baresip.process)
        for phone, hertz in ((self.linphone, CARRIER_HERTZ), (self.baresip, PBX_HERTZ)):
            share = media.tone_share(phone.heard(), hertz)
            self.assertGreater(share, LEAST_SHARE, f"share of {hertz} Hz in what was heard\n{phone.report()}")
        self.assertEqual(self.sbc.metric("drawbridge_sip_messages_total", transport="udp"), 0, "SIP by UDP")
        [record] = self.expect_cdrs(1)
        self.assertEqual((record["status"], record["ended_by"]), (200, ended_by))
        self.expect_nothing_left()


class LinphoneCalls(LinphoneAndBaresip):
    """By TLS."""

    trusted = "tls"

    def test_and_hangs_up(self):
        self.call(baresip_seconds=20)
        self.talk(linphone_seconds=5)
        self.expect_conversation("caller")

    def test_and_the_callee_hangs_up(self):
        self.call(baresip_seconds=8)
        self.talk(linphone_seconds=None)
        self.expect_conversation("callee")

    def call(self, baresip_seconds):
        self.baresip = self.phone_at_carrier(baresip_seconds)
        lab.wait_until("baresip is ready", lambda: "baresip is ready" in self.baresip.report())
        self.linphone = self.phone_at_pbx()
        self.linphone.say(f"call sip:{PBX_DIALS}@{lab.SBC_TRUSTED}:5061;transport=tls")


class LinphoneIsCalled(LinphoneAndBaresip):
    """By TCP, from TLS on the other side."""

    trusted = "tcp"

    def test_and_the_caller_hangs_up(self):
        self.be_called(baresip_seconds=6)
        self.talk(linphone_seconds=None)
        self.expect_conversation("caller")

    def test_and_hangs_up(self):
        self.be_called(baresip_seconds=20)
        self.talk(linphone_seconds=5)
        self.expect_conversation("callee")

    def be_called(self, baresip_seconds):
        self.linphone = self.phone_at_pbx()
        lab.wait_until("linphone listens", self.linphone.listens)
        self.baresip = self.phone_at_carrier(
            baresip_seconds, dial=f"sip:{CARRIER_DIALS}@{lab.SBC_UNTRUSTED}:5061;transport=tls")
