"""What an operator does with a machine that carries calls, and what befalls it."""

import json
import socket
import ssl
import time

import lab
import scenarios
from appliance import CARRIER, MAIN, ApplianceCase

TLS_LISTENER = f"""
[[listener]]
realm = "trusted"
transport = "tls"
bind = "{lab.SBC_TRUSTED}:5061"
tls = {{ certificate = "/etc/drawbridge/tls/sbc.pem", key = "/etc/drawbridge/tls/sbc.key" }}
"""
TLS_DIRECTORY = "/etc/drawbridge/tls"
OPTIONS = """\
OPTIONS sip:{to}:5061;transport=tls SIP/2.0
Via: SIP/2.0/TLS {host}:5071;branch=z9hG4bK-keeper-{count}
From: <sip:keeper@{host}>;tag=keeper
To: <sip:{to}:5061>
Call-ID: keeper-{count}@{host}
CSeq: 1 OPTIONS
Max-Forwards: 70
Content-Length: 0

"""


class Operation(ApplianceCase):
    """A machine in use."""

    def prepare(self):
        self.install()
        self.configure()

    def reloads(self, result):
        return self.metric("drawbridge_config_reloads_total", result=result)


class Calls(Operation):
    def test_a_call_crosses_and_is_counted_and_recorded(self):
        self.call()
        record, = lab.wait_until("the call is recorded", self.cdrs)
        self.assertEqual((record["status"], record["ended_by"]), (200, "caller"))
        for direction in ("from_caller", "from_callee"):
            self.assertGreater(record["media"][direction]["packets"], 0, direction)
        self.assertEqual(self.metric("drawbridge_calls_total", trunk="carrier", outcome="answered"), 1)
        self.assertEqual(self.metric("drawbridge_trunk_up", trunk="carrier"), 1)

    def test_the_journal_finds_the_line_of_a_call_by_its_id(self):
        self.call()
        self.call()
        first, second = lab.wait_until("both calls are recorded", lambda: len(self.cdrs()) == 2 and self.cdrs())
        line, = lab.wait_until("journald has it", lambda: self.journal(f"DRAWBRIDGE_CALL={first['id']}"))
        expected = {
            "MESSAGE": "call ended: " + first["cause"], "PRIORITY": "5", "SYSLOG_IDENTIFIER": "drawbridge",
            "DRAWBRIDGE_CALL": first["id"], "DRAWBRIDGE_FROM": first["from"], "DRAWBRIDGE_TO": first["to"],
            "DRAWBRIDGE_TRUNK": "carrier", "DRAWBRIDGE_PEER": first["egress"]["remote"],
            "DRAWBRIDGE_INGRESS": "pbx", "DRAWBRIDGE_EGRESS": "carrier", "DRAWBRIDGE_STATUS": "200",
            "DRAWBRIDGE_OUTCOME": "answered", "DRAWBRIDGE_ENDED_BY": "caller",
            # What journald itself says of who sent it.
            "_SYSTEMD_UNIT": "drawbridge.service", "_TRANSPORT": "journal", "_PID": str(self.main_pid())}
        self.assertEqual({name: line.get(name) for name in expected}, expected)
        self.assertEqual(int(line["DRAWBRIDGE_TALKED_MS"]), first["duration_ms"])
        lab.wait_until("journald has the other", lambda: self.journal(f"DRAWBRIDGE_CALL={second['id']}"))
        of_the_carrier = self.journal("DRAWBRIDGE_TRUNK=carrier", "DRAWBRIDGE_OUTCOME=answered")
        self.assertEqual({line["DRAWBRIDGE_CALL"] for line in of_the_carrier}, {first["id"], second["id"]})

    def journal(self, *matches):
        """The lines of the service in which all of these fields are so, each with all that journald has of it."""
        said = self.machine.run("journalctl", "--unit=drawbridge", "--output=json", *matches, check=False)
        return [json.loads(line) for line in said.stdout.splitlines() if line.startswith("{")]

    def test_a_trunk_is_a_file_and_a_faulty_one_is_refused(self):
        self.call()
        self.machine.run("rm", "/etc/drawbridge/trunks.d/carrier.toml")
        self.add_trunk("second", CARRIER.format(name="second", host=lab.CARRIER_B))
        # Nobody says so: the files' change must do.
        lab.wait_until("the files are read", lambda: self.status()["trunks"] and self._names() == ["pbx", "second"], 10)
        self.call(self.carrier_b)
        self.add_trunk("second", "[trunk.second]\nhots = \"203.0.113.30\"\n")
        lab.wait_until("the fault is counted", lambda: self.reloads("refused") >= 1, 10)
        said = self.machine.run("drawbridge", "status").stdout
        self.assertIn("second.toml", said)
        self.assertIn("hots", said)
        self.machine.run("systemctl", "reload", "drawbridge")
        lab.wait_until("it is active after the reload", self.is_active)
        refused = self.machine.run("drawbridge", "reload", check=False)
        self.assertEqual(refused.returncode, 1, refused.stdout)
        self.call(self.carrier_b)
        self.assertEqual(self.metric("drawbridge_config_last_reload_successful"), 0)

    def _names(self):
        said = self.machine.run("drawbridge", "trunks", "--json").stdout
        return sorted(trunk["name"] for trunk in json.loads(said)["trunks"])

    def test_drained_it_takes_no_call_until_undrained(self):
        caller, callee = self.call_in_progress()
        self.machine.run("drawbridge", "drain")
        self.assertEqual(self.get("/readyz")[0], 503)
        refused = self.second_caller(scenarios.call_refused(503))
        refused.must_succeed()
        caller.must_succeed()
        callee.must_succeed()
        self.assertIn("no call is left", self.machine.run("drawbridge", "drain", "--wait").stdout)
        self.machine.run("drawbridge", "undrain")
        self.call()

    def second_caller(self, script):
        """Another phone of the PBX's, beside the one that talks."""
        with self.lab.pbx.inside():
            lab.ip("address", "add", "10.0.0.11/24", "dev", "eth0")
        self.add_trunk("pbx2", f'[trunk.pbx2]\nrealm = "trusted"\nhost = "10.0.0.11"\nhealth = {{ interval = "0s" }}\n')
        return self.pbx(script, address="10.0.0.11")


class Trouble(Operation):
    def test_killed_it_is_back_within_seconds_and_records_what_it_lost(self):
        parties = self.call_in_progress(pause_ms=20000)
        begun = time.monotonic()
        # What is on disk may be a second old.
        lab.wait_until("the call lasts longer than that", lambda: time.monotonic() - begun > 1.5)
        first = self.main_pid()
        self.machine.run("kill", "-9", str(first))
        lab.wait_until("it is ready again", lambda: self.is_active() and self.main_pid() not in (0, first), 10)
        record, = lab.wait_until("the call that was cut off is recorded", self.cdrs)
        self.assertEqual(record["ended_by"], "sbc")
        self.assertIn("Drawbridge ended while the call was up", record["cause"])
        for party in parties:
            lab.stop(party.process)
        self.call()

    def test_stuck_it_is_killed_and_started_again(self):
        # As the unit has it, but in a time that a test can wait for.
        self.machine.write("/etc/systemd/system/drawbridge.service.d/soon.conf", "[Service]\nWatchdogSec=4\n", mode="644")
        self.machine.shell("systemctl daemon-reload; systemctl restart drawbridge")
        first = self.main_pid()
        self.machine.run("kill", "-STOP", str(first))
        lab.wait_until("it is ready again", lambda: self.is_active() and self.main_pid() not in (0, first), 30)
        self.call()

    def test_a_full_disk_stops_no_call(self):
        self.machine.shell("""
            systemctl stop drawbridge
            mount -t tmpfs -o size=64k,mode=750,uid=drawbridge,gid=drawbridge full /var/log/drawbridge
            systemctl start drawbridge
            head -c 64k /dev/zero > /var/log/drawbridge/filler || true""")
        self.call()
        self.call()
        self.assertEqual(self.cdrs(), [])
        self.assertTrue(self.is_active())
        self.machine.run("rm", "/var/log/drawbridge/filler")
        self.call()
        lab.wait_until("calls are recorded again", self.cdrs)

    def test_systemctl_stop_ends_calls_with_bye(self):
        caller, callee = self.call_in_progress(script=scenarios.call_until_bye())
        self.machine.run("systemctl", "stop", "drawbridge")
        caller.must_succeed()
        callee.must_succeed()
        self.assertEqual([record["ended_by"] for record in self.cdrs()], ["sbc"])
        self.assertEqual(self.machine.run("systemctl", "show", "--value", "--property=Result", "drawbridge").stdout.strip(),
                         "success")


class Certificate(Operation):
    def prepare(self):
        super().prepare()
        self.give_certificate()
        self.machine.write(MAIN, self.machine.read(MAIN) + TLS_LISTENER, group="drawbridge")
        self.machine.run("systemctl", "restart", "drawbridge")

    def give_certificate(self):
        """A new one, as an ACME client would put it there."""
        paths = self.authority.issue("sbc", f"IP:{lab.SBC_TRUSTED}")
        for source, name in zip(paths, ("sbc.pem", "sbc.key")):
            with open(source, encoding="ascii") as file:
                self.machine.write(f"{TLS_DIRECTORY}/{name}", file.read(), group="drawbridge")
        return paths[0]

    def connect(self):
        with self.lab.pbx.inside():
            opened = ssl.create_default_context(cafile=self.authority.certificate).wrap_socket(
                socket.create_connection((lab.SBC_TRUSTED, 5061), 5, (lab.PBX, 0)),
                server_hostname=lab.SBC_TRUSTED)
        self.addCleanup(opened.close)
        return opened

    def is_answered(self, connection, count):
        text = OPTIONS.format(to=lab.SBC_TRUSTED, host=lab.PBX, count=count).replace("\n", "\r\n")
        connection.sendall(text.encode())
        return connection.recv(4096).startswith(b"SIP/2.0 200 ")

    def test_it_is_changed_under_load_and_no_connection_is_lost(self):
        keeper = self.connect()
        before = keeper.getpeercert()["serialNumber"]
        self.assertTrue(self.is_answered(keeper, 1))
        calls = 20
        callee = self.carrier(scenarios.answer(), calls=calls)
        caller = self.pbx(scenarios.call(), calls=calls, rate=5, pause_ms=4000, transport="tls")
        lab.wait_until("calls are up", lambda: self.metric("drawbridge_calls_active", trunk="carrier") >= 5)
        self.give_certificate()
        self.machine.run("systemctl", "reload", "drawbridge")
        lab.wait_until("new connections see the new one",
                       lambda: self.connect().getpeercert()["serialNumber"] != before, 10)
        self.assertTrue(self.is_answered(keeper, 2))
        caller.must_succeed()
        callee.must_succeed()
        self.assertEqual(caller.bridge.tls_connections, 1)
