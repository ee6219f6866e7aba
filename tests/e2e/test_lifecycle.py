"""Check, health, reload and stop."""

import os
import subprocess

import lab
import scenarios
from case import LabCase


class Admin(LabCase):
    def test_health_and_build(self):
        self.assertEqual(self.sbc.get("/healthz")[0], 200)
        self.assertEqual(self.sbc.get("/readyz")[0], 200)
        self.assertEqual(self.sbc.metric("drawbridge_build_info", must_exist=True), 1)
        self.assertEqual(self.sbc.get("/nowhere")[0], 404)
        self.expect_nothing_left()

    def test_check_accepts_what_runs(self):
        done = self._check()
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_check_names_every_fault(self):
        self.sbc.write_trunk("carrier-a", text="[trunk.carrier-a]\nhots = \"203.0.113.30\"\n")
        self.sbc.write_trunk("carrier-b", text="[trunk.carrier-b]\nhost = \"203.0.113.30\"\nport = 99999\n")
        done = self._check()
        self.assertEqual(done.returncode, 1, done.stdout)
        for expected in ("carrier-a.toml:2", "hots", "carrier-b.toml:3", "port"):
            self.assertIn(expected, done.stdout)

    def _check(self):
        return subprocess.run([os.environ["DRAWBRIDGE"], "check", "--config", self.sbc.config], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=10)


class Reload(LabCase):
    out = ("carrier-a",)

    def test_changed_trunk_serves_new_calls(self):
        self._one_call(self.carrier_a)
        # No signal: the file's change alone must do.
        self._move_to_b()
        lab.wait_until("the change on disk is taken up",
                       lambda: self.sbc.metric("drawbridge_config_reloads_total", result="ok") >= 1, 10)
        self._one_call(self.carrier_b)
        self.expect_cdrs(2)
        self.expect_nothing_left()

    def test_faulty_trunk_is_refused_whole(self):
        self.sbc.write_trunk("carrier-a", text="[trunk.carrier-a]\nhots = \"203.0.113.30\"\n")
        self.sbc.reload()
        lab.wait_until("the fault is counted",
                       lambda: self.sbc.metric("drawbridge_config_reloads_total", result="refused") >= 1, 10)
        self.assertEqual(self.sbc.metric("drawbridge_config_last_reload_successful"), 0)
        self._one_call(self.carrier_a)
        self.assertIn("carrier-a.toml", self.sbc.log_tail(), "the log names the faulty file")
        self.expect_nothing_left()

    def test_call_survives_a_reload(self):
        at_pbx, _ = self.sinks(1)
        callee = self.carrier_a(scenarios.answer())
        caller = self.pbx_calls(pause_ms=3000)
        lab.wait_until("audio arrives", lambda: at_pbx.packets)
        self._move_to_b()
        self.sbc.reload()
        lab.wait_until("the reload is done",
                       lambda: self.sbc.metric("drawbridge_config_reloads_total", result="ok") >= 1, 10)
        caller.must_succeed()
        callee.must_succeed()
        self.expect_nothing_left()

    def _move_to_b(self):
        # Two trunks at one address want to be told apart.
        self.sbc.write_trunk("carrier-b", text=f'[trunk.carrier-b]\nhost = "{lab.CARRIER_B}"\nmatch = {{ to = [] }}\n')
        self.sbc.write_trunk("carrier-a", host=lab.CARRIER_B)

    def test_sighup_reopens_the_cdr(self):
        self._one_call(self.carrier_a)
        self.expect_cdrs(1)
        os.rename(self.sbc.cdr, f"{self.sbc.cdr}.1")
        self.sbc.reload()
        lab.wait_until("the reload is done",
                       lambda: self.sbc.metric("drawbridge_config_reloads_total", result="ok") >= 1)
        self._one_call(self.carrier_a)
        self.expect_cdrs(1)
        self.expect_nothing_left()

    def _one_call(self, callee_host):
        callee = callee_host(scenarios.answer())
        self.pbx_calls(pause_ms=200).must_succeed()
        callee.must_succeed()


class Stop(LabCase):
    out = ("carrier-a",)

    def test_sigterm_ends_calls_with_bye(self):
        calls = 5
        at_pbx, _ = self.sinks(calls)
        callee = self.carrier_a(scenarios.answer(), calls=calls)
        caller = self.pbx_calls(scenarios.call_until_bye(), calls=calls)
        lab.wait_until("audio arrives in every call", lambda: len(at_pbx.packets) == calls)
        self.assertEqual(self.sbc.stop(), 0, "exit status after SIGTERM")
        caller.must_succeed(5)
        callee.must_succeed(5)
        records = self.expect_cdrs(calls)
        self.assertEqual({record["ended_by"] for record in records}, {"sbc"})
