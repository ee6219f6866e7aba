"""Single calls, each way a call can go."""

import unittest

import lab
import media
import scenarios
from case import LabCase, PBX_DIALS


class Calls(LabCase):
    def test_pbx_calls_and_hangs_up(self):
        at_pbx, at_carrier = self.sinks(1)
        callee = self.carrier_a(scenarios.answer())
        self.pbx_calls().must_succeed()
        callee.must_succeed()
        self.expect_audio(at_pbx, "PBX", 1)
        self.expect_audio(at_carrier, "carrier", 1)
        [record] = self.expect_cdrs(1)
        self.assertEqual(record["status"], 200)
        self.assertEqual(record["ended_by"], "caller")
        self.assertEqual(record["to_e164"], PBX_DIALS)
        self.assertEqual(record["egress"]["trunk"], "carrier-a")
        self.expect_nothing_left()

    def test_carrier_calls_and_hangs_up(self):
        at_pbx, at_carrier = self.sinks(1)
        callee = self.pbx(scenarios.answer())
        self.carrier_calls().must_succeed()
        callee.must_succeed()
        self.expect_audio(at_pbx, "PBX", 1)
        self.expect_audio(at_carrier, "carrier", 1)
        [record] = self.expect_cdrs(1)
        self.assertEqual(record["ingress"]["trunk"], "carrier-a")
        self.assertEqual(record["egress"]["trunk"], "pbx")
        self.expect_nothing_left()

    def test_callee_hangs_up(self):
        callee = self.carrier_a(scenarios.answer_and_hang_up())
        self.pbx_calls(scenarios.call_until_bye()).must_succeed()
        callee.must_succeed()
        [record] = self.expect_cdrs(1)
        self.assertEqual(record["ended_by"], "callee")
        self.expect_nothing_left()

    def test_cancel_while_ringing(self):
        callee = self.carrier_a(scenarios.ring_until_cancelled())
        self.pbx_calls(scenarios.call_and_cancel()).must_succeed()
        callee.must_succeed()
        [record] = self.expect_cdrs(1)
        self.assertEqual(record["status"], 487)
        self.assertEqual(self.sbc.metric("drawbridge_calls_total", direction="in",
                                         outcome="cancelled"), 1)
        self.expect_nothing_left()

    def test_busy_is_final(self):
        callee = self.carrier_a(scenarios.refuse(486))
        never_rung = self.carrier_b(scenarios.answer())
        self.pbx_calls(scenarios.call_refused(486)).must_succeed()
        callee.must_succeed()
        self.assertEqual(never_rung.counts(), (0, 0), "a busy callee must not be rung at the next trunk")
        [record] = self.expect_cdrs(1)
        self.assertEqual(record["status"], 486)
        self.expect_nothing_left()

    def test_hold_and_resume(self):
        callee = self.carrier_a(scenarios.answer_hold_resume())
        self.pbx_calls(scenarios.call_hold_resume()).must_succeed()
        callee.must_succeed()
        self.expect_cdrs(1)
        self.expect_nothing_left()


class Failover(LabCase):
    def test_503_moves_on(self):
        refusing = self.carrier_a(scenarios.refuse(503))
        self._call_reaches_carrier_b()
        refusing.must_succeed()

    def test_silence_moves_on(self):
        # Somebody listens, so that no ICMP error gives the silence away, and says nothing.
        with self.lab.carrier_a.udp(lab.CARRIER_A, 5060):
            self._call_reaches_carrier_b()

    def test_closed_port_moves_on(self):
        self._call_reaches_carrier_b()

    def test_all_silent_is_an_answer(self):
        with self.lab.carrier_a.udp(lab.CARRIER_A, 5060), self.lab.carrier_b.udp(lab.CARRIER_B, 5060):
            self.pbx_calls(scenarios.call_refused(503)).must_succeed()
        self.expect_cdrs(1)
        self.expect_nothing_left()

    def _call_reaches_carrier_b(self):
        at_carrier = self.sink(self.lab.carrier_b, lab.CARRIER_B, lab.SBC_UNTRUSTED, 0xA5, 1)
        callee = self.carrier_b(scenarios.answer())
        self.pbx_calls().must_succeed()
        callee.must_succeed()
        self.expect_audio(at_carrier, "carrier-b", 1)
        [record] = self.expect_cdrs(1)
        self.assertEqual(record["egress"]["trunk"], "carrier-b")
        self.assertEqual([attempt["trunk"] for attempt in record["attempts"]], ["carrier-a", "carrier-b"])
        self.expect_nothing_left()


class Hiding(LabCase):
    """Nothing of one side is seen on the other: the names that each side utters are all known here."""

    def test_nothing_crosses(self):
        captures = {
            "trusted": media.Capture(self.lab.sbc, "eth0"),
            "untrusted": media.Capture(self.lab.sbc, "eth1"),
        }
        for call, answer in ((scenarios.call(), scenarios.answer()),
                             (scenarios.call_hold_resume(), scenarios.answer_hold_resume())):
            callee = self.carrier_a(answer)
            self.pbx_calls(call).must_succeed()
            callee.must_succeed()
        callee = self.pbx(scenarios.answer_and_hang_up())
        self.carrier_calls(scenarios.call_until_bye()).must_succeed()
        callee.must_succeed()
        callee = self.carrier_a(scenarios.ring_until_cancelled())
        self.pbx_calls(scenarios.call_and_cancel()).must_succeed()
        callee.must_succeed()
        self.expect_nothing_left()
        for capture in captures.values():
            capture.close()
        self._expect_hidden(captures["untrusted"], "203.0.113.", [b"innerside", b"10.0.0.", b"eth0"])
        self._expect_hidden(captures["trusted"], "10.0.0.", [b"outerside", b"203.0.113."])

    def _expect_hidden(self, capture, network, secrets):
        sip = [frame for frame in capture.frames if frame.outgoing and 5060 in frame[3:5]]
        self.assertGreater(len(sip), 15, "SIP messages sent by the SBC and captured")
        for frame in capture.frames:
            for address in (frame.source, frame.destination):
                self.assertTrue(address.startswith(network), f"a datagram of {address} on {network}0/24")
            if frame.outgoing:
                for secret in secrets:
                    self.assertNotIn(secret, frame.payload, f"seen by {frame.destination}")


if __name__ == "__main__":
    unittest.main()
