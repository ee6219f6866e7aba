"""The systems under test, each pinned to the same core, on loopback addresses."""

import os
import re
import socket
import tempfile

from measure import Process, TEST_CORE, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
CALLER = "127.0.1.10"
TRUSTED = "127.0.1.1"
UNTRUSTED = "127.0.2.1"
CALLEE = "127.0.2.10"
SIP_PORT = 5060
NG_ADDRESS = ("127.0.0.1", 22222)
ADMIN_ADDRESS = ("127.0.0.1", 9060)


class Drawbridge:
    """The daemon, release build."""

    def __init__(self, directory):
        config = fill("drawbridge.toml", directory)
        binary = os.environ.get("DRAWBRIDGE", os.path.join(HERE, "../target/release/drawbridge"))
        self.daemon = Process([binary, "run", "--config", config], f"{directory}/drawbridge.log", TEST_CORE)
        self.processes = {"Drawbridge": self.daemon}
        wait_until("Drawbridge is ready", self._is_ready)

    def _is_ready(self):
        self.daemon.check()
        try:
            with socket.create_connection(ADMIN_ADDRESS, 1) as connection:
                connection.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
                return b" 200 " in connection.recv(100)
        except OSError:
            return False

    def stop(self):
        self.daemon.stop()


class Rtpengine:
    """rtpengine without its kernel module."""

    def __init__(self, directory):
        self.daemon = Process([
            "rtpengine", "--foreground", "--table=-1", f"--interface=t/{TRUSTED}",
            f"--interface=u/{UNTRUSTED}", "--listen-ng={}:{}".format(*NG_ADDRESS), "--port-min=10000",
            "--port-max=20000", "--num-threads=1", "--log-level=2", "--log-stderr",
        ], f"{directory}/rtpengine.log", TEST_CORE)
        self.processes = {"rtpengine": self.daemon}
        wait_until("rtpengine is ready", self._is_ready)

    def _is_ready(self):
        self.daemon.check()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.settimeout(0.2)
            probe.sendto(b"ping d7:command4:pinge", NG_ADDRESS)
            try:
                return b"pong" in probe.recv(1000)
            except OSError:
                return False

    def stop(self):
        self.daemon.stop()


class KamailioAndRtpengine:
    """Kamailio for the signalling, rtpengine for the ports it offers."""

    def __init__(self, directory):
        self.rtpengine = Rtpengine(directory)
        self.kamailio = Process(["kamailio", "-f", fill("kamailio.cfg", directory), "-DD", "-E", "-m", "512",
                                 "-M", "32"], f"{directory}/kamailio.log", TEST_CORE)
        self.processes = {"Kamailio": self.kamailio, "rtpengine": self.rtpengine.daemon}
        wait_until("Kamailio is ready", self._is_ready)

    def _is_ready(self):
        self.kamailio.check()
        with open("/proc/net/udp", encoding="ascii") as table:
            return f"{socket.inet_aton(TRUSTED)[::-1].hex().upper()}:{SIP_PORT:04X}" in table.read()

    def stop(self):
        self.kamailio.stop()
        self.rtpengine.stop()


def fill(name, directory):
    """A copy of a peer's configuration with the addresses put in."""
    addresses = os.path.join(directory, "addresses")
    with open(addresses, "w", encoding="ascii") as file:
        file.write("1 127.0.0.0 8\n")
    with open(os.path.join(HERE, "peers", name), encoding="utf-8") as template:
        text = template.read()
    for key, value in {"TRUSTED": TRUSTED, "UNTRUSTED": UNTRUSTED, "CALLER": CALLER, "CALLEE": CALLEE,
                       "DIRECTORY": directory, "ADDRESSES": addresses}.items():
        text = text.replace(f"@{key}@", value)
    path = os.path.join(directory, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def systems(options, ours, theirs):
    """Name and class of what is measured."""
    names = {"Drawbridge": ours, {KamailioAndRtpengine: "Kamailio + rtpengine", Rtpengine: "rtpengine"}[theirs]: theirs}
    return [(name, kind) for name, kind in names.items() if not (options.peers_only and kind is Drawbridge)]


class running:
    """A system and a directory of its own, stopped at the end."""

    def __init__(self, system_class, directory, name):
        self.directory = tempfile.mkdtemp(prefix=re.sub(r"\W+", "-", name) + "-", dir=directory)
        self.system = system_class(self.directory)

    def __enter__(self):
        return self.system, self.directory

    def __exit__(self, *_):
        self.system.stop()
