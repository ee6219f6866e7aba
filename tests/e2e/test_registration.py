"""A carrier that is registered at, and asks for credentials: a real Kamailio."""

import time

import lab
import scenarios
import sipp
from case import CARRIER_DIALS, LabCase, PBX_DIALS
from kamailio import DOMAIN, Kamailio, PASSWORD, USER
from script import callee, caller

TRUNK = """
domain = "{domain}"
username = "{user}"
password = "{password}"
register = {register}
auth_realm = "{realm}"
"""


class Registered(LabCase):
    """The line is registered; its calls go both ways."""

    out = ("carrier-a",)
    # How Kamailio differs from its defaults.
    carrier = {}
    password = PASSWORD
    register = "true"
    realm = DOMAIN

    def prepare(self):
        self.kamailio = Kamailio(self.lab.carrier_a, lab.CARRIER_A, self.directory, **self.carrier)
        self.sbc.write_trunk("carrier-a", extra=TRUNK.format(
            domain=DOMAIN, user=USER, password=self.password, register=self.register, realm=self.realm))

    def diagnosis(self):
        return f"{super().diagnosis()}--- kamailio\n{self.kamailio.report()[-6000:]}---\n"

    def is_registered(self):
        return self.sbc.metric("drawbridge_trunk_registered", trunk="carrier-a") == 1

    def expect_registered(self):
        lab.wait_until("the trunk is registered", self.is_registered)

    def invites(self):
        """INVITEs that the SBC has sent to the carrier, without retransmissions."""
        return self.kamailio.count("authorized INVITE") + self.kamailio.count("challenge INVITE")

    def phone(self, script, **options):
        """A phone behind the carrier's proxy."""
        return self._sipp(self.lab.stranger, lab.STRANGER, sipp.OUTER, script, "udp", options)

    def call_out(self):
        answering = self.phone(callee().answers_over_proxies().is_hung_up_on())
        self.pbx_calls(pause_ms=300).must_succeed()
        answering.must_succeed()

    def call_in(self):
        answering = self.pbx(callee().is_invited(has=[f"INVITE sip:.{CARRIER_DIALS[1:]}@"]).says(180).answers()
                             .is_hung_up_on())
        self.phone(caller().invites().is_answered().pauses().hangs_up(), remote=lab.CARRIER_A,
                   number=CARRIER_DIALS, pause_ms=300).must_succeed()
        answering.must_succeed()

    def log(self):
        return self.sbc.log_tail(1000)


class Line(Registered):
    def test_calls_go_out_with_credentials_and_the_second_has_them_at_once(self):
        self.expect_registered()
        self.call_out()
        self.assertEqual(self.kamailio.count("challenge INVITE"), 1)
        self.call_out()
        self.assertEqual(self.kamailio.count("challenge"), 2, "one for REGISTER, one for the first INVITE")
        self.assertEqual(self.kamailio.count("authorized BYE"), 2)
        hash_name = self.carrier.get("algorithm", "MD5")
        for count in (1, 2, 3, 4):
            self.assertEqual(self.kamailio.count(f"algorithm={hash_name}, qop=auth, nc=0000000{count}"), 1)
        self.expect_cdrs(2)
        self.expect_nothing_left()

    def test_a_call_to_our_contact_reaches_the_number_that_was_dialled(self):
        self.expect_registered()
        self.call_in()
        [record] = self.expect_cdrs(1)
        self.assertEqual(record["ingress"]["trunk"], "carrier-a")
        self.assertEqual(record["to_e164"], CARRIER_DIALS)
        self.expect_nothing_left()

    def test_the_binding_is_taken_back_at_the_end(self):
        self.expect_registered()
        begin = time.monotonic()
        self.expect_nothing_left()
        self.assertLess(time.monotonic() - begin, 4)
        lab.wait_until("the binding is gone", lambda: self.kamailio.count("> 0"))
        self.phone(scenarios.call_refused(404), remote=lab.CARRIER_A, number=CARRIER_DIALS).must_succeed()

    def test_the_log_says_once_that_it_is_registered(self):
        self.expect_registered()
        self.assertEqual(self.log().count("registered at"), 1, self.log())
        self.assertNotIn(PASSWORD, self.log())


class LineOverTcp(Line):
    """Everything between SBC and carrier goes by TCP."""

    untrusted = "tcp"

    def test_calls_take_the_connection_of_the_registration(self):
        self.expect_registered()
        self.call_out()
        self.assertEqual(self.sbc.metric("drawbridge_sip_connections", realm="untrusted", transport="tcp"), 1)
        self.expect_cdrs(1)
        self.expect_nothing_left()


class LineWithSha256(Line):
    """RFC 8760."""

    carrier = {"algorithm": "SHA-256"}


class ShortLived(Registered):
    """Bindings and nonces that do not last."""

    carrier = {"nonce_expire": 1, "max_expires": 10}

    def test_bindings_are_renewed_and_stale_nonces_answered(self):
        self.expect_registered()
        for _ in range(2):
            self.call_out()
            time.sleep(2.5)
        self.call_in()
        lab.wait_until("it is renewed twice", lambda: self.kamailio.count("lab: register") >= 3, 15)
        self.assertGreaterEqual(self.kamailio.count("challenge"), 4)
        self.assertTrue(self.is_registered())
        self.assertNotIn("cannot register", self.log())
        self.expect_cdrs(3)
        self.expect_nothing_left()


class TooBrief(Registered):
    """A registrar that wants more than it is asked for."""

    carrier = {"min_expires": 120}
    register = '{ expires = "60s" }'

    def test_it_gets_more(self):
        self.expect_registered()
        self.call_in()
        self.expect_nothing_left()


class WrongPassword(Registered):
    password = "wrong"

    def test_the_log_says_what_to_do_and_nothing_storms(self):
        lab.wait_until("the log says it", lambda: "cannot register" in self.log())
        self.assertIn("check username, password and auth_realm", self.log())
        time.sleep(3)
        self.assertFalse(self.is_registered())
        self.assertLessEqual(self.kamailio.count("challenge REGISTER"), 2)
        # Its own calls are refused, but tried.
        self.pbx_calls(scenarios.call_refused(503)).must_succeed()
        self.expect_cdrs(1)
        # Who mends it need not wait.
        self.sbc.write_trunk("carrier-a", extra=TRUNK.format(
            domain=DOMAIN, user=USER, password=PASSWORD, register="true", realm=DOMAIN))
        self.expect_registered()
        self.expect_nothing_left()


class OtherRealm(Registered):
    """The carrier is not who it should be."""

    realm = "sip.other.example"

    def test_the_log_says_what_was_expected(self):
        lab.wait_until("the log says it", lambda: "auth_realm is" in self.log())
        self.assertIn(f'realm "{DOMAIN}" asks, and auth_realm is "sip.other.example"', self.log())
        self.assertEqual(self.kamailio.count("authorized"), 0)
        self.expect_nothing_left()
