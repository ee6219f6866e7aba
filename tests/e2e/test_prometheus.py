"""What Prometheus makes of us: promtool reads a real scrape, the alert rules, and their tests."""

import glob
import os
import subprocess

import scenarios
from case import LabCase

RULES = os.path.join(os.path.dirname(__file__), "..", "..", "packaging", "prometheus")


def promtool(*arguments, read=None):
    return subprocess.run(["promtool", *arguments], input=read, check=False, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=120)


class Prometheus(LabCase):
    def test_a_scrape_has_nothing_to_complain_of(self):
        callee = self.carrier_a(scenarios.answer())
        self.pbx_calls(pause_ms=200).must_succeed()
        callee.must_succeed()
        status, text = self.sbc.get("/metrics")
        self.assertEqual(status, 200)
        done = promtool("check", "metrics", read=text)
        self.assertEqual((done.returncode, done.stdout.strip()), (0, ""), done.stdout)
        self.expect_nothing_left()

    def test_the_alert_rules_are_rules(self):
        done = promtool("check", "rules", os.path.join(RULES, "drawbridge.rules.yml"))
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_each_alert_fires_when_it_should_and_no_other_does(self):
        tests = glob.glob(os.path.join(RULES, "tests", "*.yml"))
        self.assertTrue(tests)
        done = promtool("test", "rules", *tests)
        self.assertEqual(done.returncode, 0, done.stdout)
