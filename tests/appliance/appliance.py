"""What every test of the appliance starts from: a booted Debian between a PBX and a carrier, and the package."""

import http.client
import json
import os
import re
import shutil
import tempfile
import unittest

import image
import lab
import machine
import scenarios
import sipp
import tls

PACKAGE = os.environ.get("DRAWBRIDGE_PACKAGE", "")
SUITE = os.environ.get("DRAWBRIDGE_SUITE", "bookworm")
MAIN = "/etc/drawbridge/drawbridge.toml"
TRUNKS = "/etc/drawbridge/trunks.d"
CDRS = "/var/log/drawbridge/cdr.jsonl"
ADMIN_PORT = 9060
DIALS = "+12025550123"

PBX = f"""\
[trunk.pbx]
realm = "trusted"
host = "{lab.PBX}"
health = {{ interval = "0s" }}

[[route]]
name = "in"
from = "untrusted"
trunks = ["pbx"]
"""

# What an operator is given by a provider. OPTIONS would find no one to answer: the carrier is a script for one call.
CARRIER = """\
[trunk.{name}]
host = "{host}"
port = 5060
username = "alice"
password = "secret"
domain = "sip.{name}.example"
health = {{ interval = "0s" }}

[[route]]
name = "{name}-out"
from = "trusted"
trunks = ["{name}"]
"""


class ApplianceCase(unittest.TestCase):
    """Each test has a network and a machine of its own."""

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="drawbridge-appliance-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.lab = lab.Lab()
        self.addCleanup(self.lab.close)
        with self.lab.sbc.inside():
            # As systemd would, were the network the machine's own.
            lab.ip("link", "set", "lo", "up")
        self.authority = tls.Authority(os.path.join(self.directory, "tls"))
        self.machine = machine.Machine(image.directory(SUITE), self.lab.sbc.namespace, self.directory)
        self.addCleanup(self.machine.close)
        self.prepare()

    def prepare(self):
        """What the tests of a class do first."""

    def diagnosis(self):
        if not hasattr(self, "machine") or self.machine.leader is None:
            return ""
        log = self.machine.run("journalctl", "--no-pager", "--lines=40", "--unit=drawbridge", check=False).stdout
        state = self.machine.run("systemctl", "status", "--no-pager", "--lines=0", "drawbridge", check=False).stdout
        return f"\n--- the service\n{state}\n--- its log\n{log}---\n"

    # ------------------------------------------------------------------------------ the package

    def install(self, package=PACKAGE, *options):
        """As an operator does, who takes the default of what dpkg asks; gives what apt says."""
        name = f"/root/{os.path.basename(package)}"
        self.machine.put(package, name)
        return self.machine.run("apt-get", "install", "--yes", *options, name, stdin="\n").stdout

    def configure(self):
        """Follows the comments of the first configuration: the machine's addresses, a PBX, a provider."""
        text = self.machine.read(MAIN)
        for key, loopback, address in (("bind", "127.0.0.1", lab.SBC_TRUSTED), ("media_bind", "127.0.0.1", lab.SBC_TRUSTED),
                                       ("bind", "127.0.0.2", lab.SBC_UNTRUSTED),
                                       ("media_bind", "127.0.0.2", lab.SBC_UNTRUSTED)):
            text, count = re.subn(rf'(?m)^({key} = "){re.escape(loopback)}', rf"\g<1>{address}", text)
            self.assertEqual(count, 1, f"{key} = \"{loopback}\" in the first configuration")
        self.machine.write(MAIN, text, group="drawbridge")
        self.add_trunk("pbx", PBX)
        self.add_trunk("carrier", CARRIER.format(name="carrier", host=lab.CARRIER_A))
        self.machine.run("drawbridge", "check")
        self.machine.run("systemctl", "restart", "drawbridge")

    def add_trunk(self, name, text):
        self.machine.write(f"{TRUNKS}/{name}.toml", text, group="drawbridge")

    def is_active(self):
        return self.machine.run("systemctl", "is-active", "drawbridge", check=False).stdout.strip() == "active"

    def main_pid(self):
        return int(self.machine.run("systemctl", "show", "--value", "--property=MainPID", "drawbridge").stdout)

    # ------------------------------------------------------------------------------ what it says

    def status(self):
        return json.loads(self.machine.run("drawbridge", "status", "--json").stdout)

    def get(self, path):
        """Status and body of an HTTP GET on the admin listener."""
        with self.lab.sbc.inside():
            connection = http.client.HTTPConnection("127.0.0.1", ADMIN_PORT, timeout=5)
            try:
                connection.request("GET", path)
                response = connection.getresponse()
                return response.status, response.read().decode()
            finally:
                connection.close()

    def metric(self, name, **labels):
        """The sum of a metric over all series that have these labels; it must have one."""
        values = [float(value) for series, has, value in
                  re.findall(r"(?m)^([a-z_]+)(?:\{(.*)\})? (\S+)$", self.get("/metrics")[1])
                  if series == name and labels.items() <= dict(re.findall(r'([a-z_]+)="([^"]*)"', has)).items()]
        self.assertTrue(values, f"/metrics has {name} {labels}")
        return sum(values)

    def cdrs(self, path=CDRS):
        said = self.machine.run("cat", path, check=False)
        return [json.loads(line) for line in said.stdout.splitlines()] if said.returncode == 0 else []

    # ------------------------------------------------------------------------------ calls

    def pbx(self, script, address=lab.PBX, **options):
        started = sipp.Sipp(self.lab.pbx, address, sipp.INNER, script, self.directory, remote=lab.SBC_TRUSTED,
                            **{"number": DIALS, "authority": self.authority, **options})
        self.addCleanup(started.close)
        return started

    def carrier(self, script, **options):
        return sipp.Sipp(self.lab.carrier_a, lab.CARRIER_A, sipp.OUTER, script, self.directory, **options)

    def carrier_b(self, script, **options):
        return sipp.Sipp(self.lab.carrier_b, lab.CARRIER_B, sipp.OUTER, script, self.directory, **options)

    def call(self, at=None, **options):
        """One call with audio from the PBX to a carrier, to its end."""
        callee = (at or self.carrier)(scenarios.answer())
        self.pbx(scenarios.call(), pause_ms=1200, **options).must_succeed()
        callee.must_succeed()

    def call_in_progress(self, script=None, **options):
        """Caller and callee of a call in which both have been heard."""
        before = self.packets()
        callee = self.carrier(scenarios.answer())
        caller = self.pbx(script or scenarios.call(), **{"pause_ms": 4000, **options})
        lab.wait_until("both are heard", lambda: all(now > then for now, then in zip(self.packets(), before)))
        return caller, callee

    def packets(self):
        """How many of RTP came so far from either side."""
        return [self.metric("drawbridge_rtp_packets_total", realm=realm, direction="in") for realm in ("trusted", "untrusted")]
