"""A thousand calls, with audio both ways, and not one that fails."""

import scenarios
import sipp
from case import LabCase

CALLS = 1000
CALLS_PER_SECOND = 100


class Load(LabCase):
    alone = True
    out = ("carrier-a",)
    # A busy machine is not a silent carrier.
    failover_seconds = 10

    def test_pbx_places_a_thousand_calls(self):
        at_pbx, at_carrier = self.sinks(CALLS)
        callee = self.carrier_a(scenarios.answer(), calls=CALLS)
        self._run(self.pbx_calls(calls=CALLS, rate=CALLS_PER_SECOND), callee, at_pbx, at_carrier)

    def test_carrier_places_a_thousand_calls(self):
        at_pbx, at_carrier = self.sinks(CALLS)
        callee = self.pbx(scenarios.answer(), calls=CALLS)
        self._run(self.carrier_calls(calls=CALLS, rate=CALLS_PER_SECOND), callee, at_pbx, at_carrier)

    def _run(self, caller, callee, at_pbx, at_carrier):
        caller.must_succeed(60)
        callee.must_succeed(10)
        self.expect_audio(at_pbx, "PBX", CALLS)
        self.expect_audio(at_carrier, "carrier", CALLS)
        records = self.expect_cdrs(CALLS)
        self.assertEqual({record["status"] for record in records}, {200})
        for direction in ("in", "out"):
            self.assertGreaterEqual(
                self.sbc.metric("drawbridge_rtp_packets_total", direction=direction),
                2 * CALLS * sipp.PACKETS_PER_CALL * 0.98,
                f"packets counted by the relay, direction {direction}",
            )
        self.assertEqual(self.sbc.metric("drawbridge_calls_total", outcome="answered"),
                         self.sbc.metric("drawbridge_calls_total"), "every call was answered")
        self.expect_nothing_left()
