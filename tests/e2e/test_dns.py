"""Trunks by name: a real bind9, zones that change while calls run, and bind9 gone."""

import json

import lab
import scenarios
from case import LabCase
from named import TTL, ZONE, Named

CALLS = 200
CALLS_PER_SECOND = 20

TRUNK = f"""\
[trunk.carrier-a]
realm = "untrusted"
host = "{ZONE}"
health = {{{{ interval = "0s" }}}}
failover = {{{{ codes = ["408", "5xx"], timeout = "{{seconds}}s" }}}}
"""

HOSTS = [f"a IN A {lab.CARRIER_A}", f"b IN A {lab.CARRIER_B}"]


def srv(*targets, service="_sip._udp"):
    """A zone with these targets: priority, weight, name."""
    return HOSTS + [f"{service} IN SRV {priority} {weight} 5060 {name}" for priority, weight, name in targets]


class ByName(LabCase):
    """The trunk is known by its domain alone."""

    out = ("carrier-a",)
    failover_seconds = 4

    def prepare(self):
        self.named = Named(self.lab.sbc, "127.0.0.1", self.directory)
        self.named.start(self.zone())
        self.sbc.write_trunk("carrier-a", text=TRUNK.format(seconds=self.failover_seconds))
        with open(self.sbc.config, "a", encoding="utf-8") as file:
            file.write('[dns]\nnameservers = ["127.0.0.1:53"]\n')

    def setUp(self):
        super().setUp()
        lab.wait_until("the name is resolved", lambda: self.status()["endpoints"])

    def zone(self):
        return srv((10, 1, "a"), (20, 1, "b"))

    def status(self):
        """What the daemon knows of the trunk's name."""
        names = json.loads(self.sbc.get("/api/v1/status")[1])["dns"]
        return next(name for name in names if name["name"] == ZONE)

    def leads_to(self, address):
        return [at["address"] for at in self.status()["endpoints"]][:1] == [f"{address}:5060"]

    def targets(self):
        """Where each recorded call went in the end."""
        return [record["egress"]["remote"] for record in self.sbc.cdrs()]


class BySrv(ByName):
    """Two targets, one for when the other fails."""

    def test_srv_moves_to_another_host_while_calls_run_and_none_is_lost(self):
        before = self.carrier_a(scenarios.answer(), calls=CALLS)
        after = self.carrier_b(scenarios.answer(), calls=CALLS)
        calls = self.pbx_calls(calls=CALLS, rate=CALLS_PER_SECOND, pause_ms=3000)
        lab.wait_until("calls are up", lambda: len(self.sbc.cdrs()) > 5, 20)
        self.named.publish(srv((10, 1, "b")))
        lab.wait_until("the new zone is in force", lambda: self.leads_to(lab.CARRIER_B), 2 * TTL)
        calls.must_succeed(60)
        self.expect_cdrs(CALLS)
        went = self.targets()
        for address in (lab.CARRIER_A, lab.CARRIER_B):
            self.assertGreater(went.count(f"{address}:5060"), 5, went)
        self.assertEqual({record["status"] for record in self.sbc.cdrs()}, {200})
        self.assertEqual({len(record["attempts"]) for record in self.sbc.cdrs()}, {1}, "no call was tried twice")
        self.assertEqual(before.counts()[1] + after.counts()[1], 0, "calls that failed at the carriers")
        self.expect_nothing_left()

    def test_a_dead_name_server_ends_no_call_and_begins_none_elsewhere(self):
        answering = self.carrier_a(scenarios.answer(), calls=4)
        self.pbx_calls(calls=2).must_succeed()
        self.named.stop()
        lab.wait_until("the answer runs out", lambda: self.status()["state"] == "stale", 3 * TTL)
        lab.wait_until("and is known to", lambda: self.status()["fault"], 3 * TTL)
        self.pbx_calls(calls=2).must_succeed()
        answering.must_succeed()
        status = self.status()
        self.assertGreaterEqual(status["age_seconds"], TTL)
        self.assertEqual(status["fault"], "no answer from DNS")
        # It comes back, and the zone is another.
        self.named.start(srv((10, 1, "b")))
        lab.wait_until("it answers again", lambda: self.leads_to(lab.CARRIER_B), 70)
        answering = self.carrier_b(scenarios.answer())
        self.pbx_calls().must_succeed()
        answering.must_succeed()
        self.expect_cdrs(5)
        self.expect_nothing_left()

    def test_the_first_target_being_silent_the_next_priority_is_called(self):
        answering = self.carrier_b(scenarios.answer())
        self.pbx_calls().must_succeed()
        answering.must_succeed()
        record = self.expect_cdrs(1)[0]
        self.assertEqual([attempt["target"] for attempt in record["attempts"]],
                         [f"{lab.CARRIER_A}:5060", f"{lab.CARRIER_B}:5060"])
        self.expect_nothing_left()

    def test_the_address_of_a_new_target_may_call_at_once_and_that_of_an_old_one_no_more(self):
        self.named.publish(srv((10, 1, "b")))
        lab.wait_until("the new zone is in force", lambda: self.leads_to(lab.CARRIER_B), 2 * TTL)
        answering = self.pbx(scenarios.answer())
        calling = self.carrier_b(scenarios.call(), remote=lab.SBC_UNTRUSTED, number="+14155550100")
        calling.must_succeed()
        answering.must_succeed()
        dropped = self.sbc.metric("drawbridge_sip_dropped_total", reason="source_not_allowed")
        stranger = self.lab.carrier_a.udp(lab.CARRIER_A)
        stranger.sendto(b"OPTIONS sip:x SIP/2.0\r\n\r\n", (lab.SBC_UNTRUSTED, 5060))
        lab.wait_until("it is a stranger", lambda: self.sbc.metric(
            "drawbridge_sip_dropped_total", reason="source_not_allowed") == dropped + 1)
        stranger.close()


class ByNaptr(ByName):
    """NAPTR prefers TCP; the realm has it."""

    untrusted = "tcp"

    def zone(self):
        return HOSTS + [
            f'@ IN NAPTR 10 10 "s" "SIPS+D2T" "" _sips._tcp.{ZONE}.',
            f'@ IN NAPTR 20 10 "s" "SIP+D2T" "" _sip._tcp.{ZONE}.',
            f'@ IN NAPTR 30 10 "s" "SIP+D2U" "" _sip._udp.{ZONE}.',
            "_sips._tcp IN SRV 1 1 5061 a",
            "_sip._tcp IN SRV 1 1 5060 a",
            "_sip._udp IN SRV 1 1 5060 b",
        ]

    def test_the_transport_is_the_one_that_naptr_prefers_and_we_can_use(self):
        answering = self.carrier_a(scenarios.answer())
        self.pbx_calls().must_succeed()
        answering.must_succeed()
        self.assertEqual(self.status()["endpoints"][0]["transport"], "tcp")
        self.expect_cdrs(1)
        self.expect_nothing_left()
