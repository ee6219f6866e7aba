"""Drawbridge itself, on its host of the lab."""

import http.client
import json
import os
import re
import signal
import subprocess

import lab
import sipp

ADMIN_PORT = 9060
PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}
STOP_SECONDS = 10

MAIN = """\
[node]
name = "lab"

[admin]
listen = "127.0.0.1:{admin_port}"
socket = "{directory}/admin.sock"

{listeners}[realm.trusted]
media_bind = "{trusted}"
allow = []

[realm.untrusted]
media_bind = {untrusted_media}
allow = []

[media]
ports = "10000-20000"
workers = 1
{media}

[numbering]
country = "US"
prefixes = ["00", "011"]
emergency = ["911", "112"]

[cdr]
path = "{cdr}"

[[route]]
name = "in"
from = "untrusted"
trunks = ["pbx"]
"""

ROUTE = """\
[[route]]
name = "{name}"
from = "trusted"
trunks = {trunks}
{to}
"""

LISTENER = """\
[[listener]]
realm = "{realm}"
transport = "{transport}"
bind = "{address}:{port}"
{tls}
"""

TRUNK = """\
[trunk.{name}]
realm = "{realm}"
host = "{host}"
port = {port}
{transport}
health = {{ interval = "0s" }}
failover = {{ codes = ["408", "5xx"], timeout = "{failover}s" }}
"""

TRUNKS = {
    "pbx": ("trusted", lab.PBX),
    "carrier-a": ("untrusted", lab.CARRIER_A),
    "carrier-b": ("untrusted", lab.CARRIER_B),
}


class Sbc:
    """One daemon with a configuration of its own in `directory`."""

    def __init__(self, laboratory, directory, out, failover_seconds, transports, authority, has_ipv6=False):
        """`out`: the trunks that calls of the PBX take, in order, each given up after that silence.

        `transports`: how each realm speaks SIP. Beside UDP there is always what it speaks."""
        self.host = laboratory.sbc
        self.directory = directory
        self.config = os.path.join(directory, "drawbridge.toml")
        self.trunks = os.path.join(directory, "trunks.d")
        self.log = os.path.join(directory, "drawbridge.log")
        self.cdr = os.path.join(directory, "cdr.jsonl")
        self.failover_seconds = failover_seconds
        self.process = None
        # What stands before the daemon on its command line, and more of [media].
        self.prefix = []
        self.media = ""
        self.routes = {}
        self.has_ipv6 = has_ipv6
        self.transports = transports
        self.authority = authority
        self.certificate, self.key = authority.issue("sbc", f"IP:{lab.SBC_TRUSTED}", f"IP:{lab.SBC_UNTRUSTED}")
        os.makedirs(self.trunks)
        self.set_route("out", out)
        for name in TRUNKS:
            self.write_trunk(name)

    def write_trunk(self, name, text=None, **changes):
        """Puts a trunk's file on disk as an editor would: beside it, then renamed over it."""
        realm, host = TRUNKS[name]
        transport = changes.pop("transport", self.transports[realm])
        extra = changes.pop("extra", "")
        values = {"name": name, "realm": realm, "host": host, "failover": self.failover_seconds,
                  "port": PORTS[transport], "transport": self._transport(transport), **changes}
        path = os.path.join(self.trunks, f"{name}.toml")
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            file.write(text if text is not None else TRUNK.format(**values) + extra)
        os.rename(f"{path}.new", path)

    def _listeners(self):
        """UDP on both sides, and what else is spoken there."""
        addresses = {"trusted": [lab.SBC_TRUSTED], "untrusted": self._untrusted_addresses()}
        tls = f'tls = {{ certificate = "{self.certificate}", key = "{self.key}" }}'
        listeners = [(realm, transport, address) for realm in addresses
                     for transport in sorted({"udp", self.transports[realm]}, reverse=True)
                     for address in addresses[realm]]
        return "\n".join(LISTENER.format(realm=realm, transport=transport, address=sipp.host_of(address),
                                         port=PORTS[transport], tls=tls if transport == "tls" else "")
                         for realm, transport, address in listeners)

    def _untrusted_addresses(self):
        return [lab.SBC_UNTRUSTED] + ([lab.SBC_UNTRUSTED_V6] if self.has_ipv6 else [])

    def _transport(self, transport):
        if transport == "udp":
            return ""
        tls = f'\ntls = {{ ca = "{self.authority.certificate}" }}' if transport == "tls" else ""
        return f'transport = "{transport}"{tls}'

    def set_route(self, name, trunks, to=()):
        """A route of the PBX's calls, new or instead of the one of this name."""
        to = f"to = {json.dumps(list(to))}" if to else ""
        self.routes[name] = ROUTE.format(name=name, trunks=json.dumps(list(trunks)), to=to)
        with open(f"{self.config}.new", "w", encoding="utf-8") as file:
            file.write(MAIN.format(listeners=self._listeners(), directory=self.directory, cdr=self.cdr, media=self.media,
                                   admin_port=ADMIN_PORT, trusted=lab.SBC_TRUSTED,
                                   untrusted_media=json.dumps(self._untrusted_addresses())) + "".join(self.routes.values()))
        os.rename(f"{self.config}.new", self.config)

    def start(self):
        environment = {k: v for k, v in os.environ.items() if k not in ("NOTIFY_SOCKET", "WATCHDOG_USEC")}
        with open(self.log, "wb") as log:
            self.process = self.host.start([*self.prefix, os.environ["DRAWBRIDGE"], "run", "--config",
                                            self.config], log=log, env=environment)
        lab.wait_until("the SBC is ready (GET /readyz)", self._is_ready, 10)

    def _is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the SBC ended with status {self.process.returncode} when it was started")
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    def get(self, path):
        """Status and body of an HTTP GET on the admin listener."""
        with self.host.inside():
            connection = http.client.HTTPConnection("127.0.0.1", ADMIN_PORT, timeout=5)
            try:
                connection.request("GET", path)
                response = connection.getresponse()
                return response.status, response.read().decode()
            finally:
                connection.close()

    def metric(self, name, must_exist=False, **labels):
        """The sum of a metric over all series that have these labels; 0 where there is none."""
        total, found = 0.0, False
        for line in self.get("/metrics")[1].splitlines():
            match = re.fullmatch(r"([a-zA-Z_:]+)(?:\{(.*)\})? ([^ ]+)", line)
            if match and match[1] == name:
                has = dict(re.findall(r'([a-z_]+)="([^"]*)"', match[2] or ""))
                if all(has.get(label) == value for label, value in labels.items()):
                    total, found = total + float(match[3]), True
        if must_exist and not found:
            raise AssertionError(f"/metrics has no {name}")
        return total

    def drops(self):
        """What the SBC counted as dropped, for people."""
        try:
            lines = self.get("/metrics")[1].splitlines()
        except OSError:
            return "(no answer on /metrics)"
        return "\n".join(line for line in lines if "_dropped_total{" in line and not line.endswith(" 0"))

    def cdrs(self):
        """All call detail records so far."""
        try:
            with open(self.cdr, encoding="utf-8") as file:
                return [json.loads(line) for line in file if line.endswith("\n")]
        except FileNotFoundError:
            return []

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def stop(self):
        """SIGTERM; gives the exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the SBC was not gone {STOP_SECONDS} s after SIGTERM") from None

    def log_tail(self, lines=40):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                return "".join(file.readlines()[-lines:])
        except OSError:
            return "(no log)\n"
