"""A real name server, bind9, on a host of the lab, with one zone that changes while it serves."""

import os
import shutil
import signal
import socket
import struct

import lab

ZONE = "carrier.example"
TTL = 5

OPTIONS = """\
options {{
    directory "{directory}";
    pid-file "{directory}/named.pid";
    session-keyfile "{directory}/session.key";
    managed-keys-directory "{directory}";
    listen-on port 53 {{ {address}; }};
    listen-on-v6 {{ none; }};
    recursion no;
    dnssec-validation no;
    empty-zones-enable no;
}};
controls {{ }};
logging {{ category default {{ null; }}; }};
zone "{zone}" {{ type primary; file "{directory}/zone"; }};
"""

HEAD = """\
$TTL {ttl}
@ IN SOA ns.{zone}. admin.{zone}. {serial} 3600 600 86400 {ttl}
@ IN NS ns.{zone}.
ns IN A {address}
"""


class Named:
    """One bind9. SIGHUP makes it read its zone again, which `publish` waits for."""

    def __init__(self, host, address, directory):
        self.host = host
        self.address = address
        self.directory = os.path.join(directory, "named")
        self.serial = 0
        self.process = None
        os.makedirs(self.directory)
        with open(os.path.join(self.directory, "named.conf"), "w", encoding="ascii") as file:
            file.write(OPTIONS.format(directory=self.directory, address=address, zone=ZONE))

    def start(self, records):
        """Serves these lines of a zone."""
        self._write(records)
        command = [shutil.which("named") or "/usr/sbin/named", "-f", "-4", "-n", "1",
                   "-c", os.path.join(self.directory, "named.conf")]
        with open(os.path.join(self.directory, "log"), "ab") as log:
            self.process = self.host.start(command, log=log)
        lab.wait_until("named serves its zone", self._is_current)

    def publish(self, records):
        """Changes the zone, and waits until it is what named says."""
        self._write(records)
        self.process.send_signal(signal.SIGHUP)
        lab.wait_until("named has read its zone again", self._is_current)

    def stop(self):
        """Nobody answers any more."""
        lab.stop(self.process)

    def _write(self, records):
        self.serial += 1
        head = HEAD.format(zone=ZONE, ttl=TTL, serial=self.serial, address=self.address)
        path = os.path.join(self.directory, "zone")
        with open(f"{path}.new", "w", encoding="ascii") as file:
            file.write(head + "\n".join(records) + "\n")
        os.rename(f"{path}.new", path)
        # It compares whole seconds.
        os.utime(path, (1_000_000_000 + self.serial, 1_000_000_000 + self.serial))

    def _is_current(self):
        if self.process.poll() is not None:
            raise AssertionError(f"named ended with status {self.process.returncode}\n{self.log_tail()}")
        return self._served_serial() == self.serial

    def _served_serial(self):
        """The serial of the SOA, asked by hand: no tool is needed for it."""
        name = b"".join(bytes([len(label)]) + label.encode() for label in ZONE.split(".")) + b"\0"
        query = struct.pack("!6H", 7, 0, 1, 0, 0, 0) + name + struct.pack("!2H", 6, 1)
        asking = self.host.udp(self.address)
        asking.settimeout(0.2)
        try:
            asking.sendto(query, (self.address, 53))
            answer = asking.recv(1500)
        except (OSError, socket.timeout):
            return None
        finally:
            asking.close()
        if struct.unpack("!H", answer[6:8])[0] == 0:
            return None
        # The five numbers at the end of the SOA's data, which is the first answer.
        at = 12 + len(name) + 4
        length = struct.unpack("!H", answer[at + 10:at + 12])[0]
        data = answer[at + 12:at + 12 + length]
        return struct.unpack("!I", data[-20:-16])[0]

    def log_tail(self):
        with open(os.path.join(self.directory, "log"), encoding="utf-8", errors="replace") as log:
            return log.read()[-2000:]
