"""Runs a script by sipp on a host of the lab, with audio that can be told apart by its side."""

import csv
import itertools
import os
import struct
import subprocess

import lab
import tls

SIP_PORT = 5060
TLS_PORT = 5061
# Where a sipp that calls by TLS finds its bridge.
BRIDGE_PORT = 5070
# The scenarios' `auto_media_port+4`: call n uses FIRST_MEDIA_PORT + 4 * (n - 1). sipp itself binds the
# two ports below, but sends audio from a raw socket: the calls' ports are free for a MediaSink.
SIPP_MEDIA_PORT = 20000
MEDIA_PORT_STEP = 4
FIRST_MEDIA_PORT = SIPP_MEDIA_PORT + MEDIA_PORT_STEP
PACKETS_PER_CALL = 50
PAYLOAD_BYTES = 160
NUMBERS = itertools.count(1)


class Side:
    """Who a sipp speaks as: every name it utters contains `name`, every octet of its audio is `octet`."""

    def __init__(self, name, caller, octet):
        self.name = name
        self.caller = caller
        self.octet = octet


INNER = Side("innerside", "+14155550100", 0xA5)
OUTER = Side("outerside", "+12025550142", 0x5A)


class Sipp:
    """One running sipp."""

    def __init__(self, host, address, side, script, directory, *, calls=1, rate=10, remote=None,
                 number=None, pause_ms=1200, caller=None, call_seconds=60, transport="udp", authority=None,
                 packets=None):
        """Calls `number` at the SBC's address `remote`, or waits to be called. TLS wants an authority.

        `packets`: what it plays, whole RTP packets, 20 ms apart, instead of a second of its octet."""
        role = "caller" if remote else "callee"
        self.name = f"sipp as {role} on {host.name}"
        self.calls = calls
        self.directory = os.path.join(directory, f"{host.name}-{role}-{next(NUMBERS)}")
        os.makedirs(self.directory)
        with open(os.path.join(self.directory, "scenario.xml"), "w", encoding="ascii") as file:
            file.write(script.xml())
        write_capture(os.path.join(self.directory, "audio.pcap"), packets or audio(side.octet))
        self.bridge = self._bridge(host, authority, address, remote) if transport == "tls" else None
        contact_port = TLS_PORT if self.bridge else SIP_PORT
        sbc_port = TLS_PORT if self.bridge else SIP_PORT
        command = [
            "sipp", "-sf", "scenario.xml", "-i", address, "-mi", address, "-p", str(SIP_PORT),
            "-t", "u1" if transport == "udp" else "t1", "-max_socket", "4096",
            "-mp", str(SIPP_MEDIA_PORT), "-m", str(calls), "-r", str(rate), "-l", str(calls),
            "-d", str(pause_ms), "-key", "side", side.name, "-key", "caller", caller or side.caller,
            "-key", "contact", f"{host_of(address)}:{contact_port};transport={transport}",
            "-key", "sbc", f"{host_of(remote or address)}:{sbc_port}",
            "-cid_str", f"{side.name}-%u-%p@%s", "-nostdin", "-timeout", f"{call_seconds}s",
            "-recv_timeout", "20000", "-trace_err", "-error_file", "errors.log",
            "-trace_stat", "-stf", "statistics.csv", "-fd", "1",
        ]
        if number:
            command += ["-s", number]
        if remote:
            command.append(f"{address}:{BRIDGE_PORT}" if self.bridge else f"{host_of(remote)}:{SIP_PORT}")
        with open(os.path.join(self.directory, "screen.log"), "wb") as log:
            self.process = host.start(command, log=log, cwd=self.directory)
        if not remote:
            lab.wait_until(f"{self.name} listens", lambda: self._listens(transport))

    def _bridge(self, host, authority, address, remote):
        bridge = tls.Bridge(host, authority, host.name, address)
        bridge.into(TLS_PORT, (address, SIP_PORT))
        if remote:
            bridge.out(BRIDGE_PORT, (remote, TLS_PORT))
        return bridge.start()

    def _listens(self, transport):
        table, state = ("udp", "07") if transport == "udp" else ("tcp", "0A")
        for family, nobody in (("", 8 * "0"), ("6", 32 * "0")):
            with open(f"/proc/{self.process.pid}/net/{table}{family}", encoding="ascii") as lines:
                if any(f":{SIP_PORT:04X} {nobody}:0000 {state}" in line for line in lines):
                    return True
        return False

    def close(self):
        """Ends what goes on beside sipp."""
        if self.bridge:
            self.bridge.close()
            self.bridge = None

    def must_succeed(self, seconds=30):
        """Waits for the end and raises, with sipp's own words, unless every call went as scripted."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name}: not done after {seconds} s\n{self.report()}") from None
        good, failed = self.counts()
        if status != 0 or good != self.calls or failed:
            raise AssertionError(
                f"{self.name}: {good} of {self.calls} calls went as scripted, {failed} failed, "
                f"exit status {status}\n{self.report()}"
            )

    def counts(self):
        """Calls that went as scripted, and calls that did not."""
        try:
            with open(os.path.join(self.directory, "statistics.csv"), encoding="utf-8") as table:
                last = list(csv.DictReader(table, delimiter=";"))[-1]
        except (OSError, IndexError):
            return 0, 0
        return int(last["SuccessfulCall(C)"]), int(last["FailedCall(C)"])

    def report(self, limit=3000):
        """What sipp complained of."""
        try:
            with open(os.path.join(self.directory, "errors.log"), encoding="utf-8", errors="replace") as log:
                return log.read(limit)
        except OSError:
            return "(sipp wrote no error)"


def host_of(address):
    """An address as a URI has it."""
    return f"[{address}]" if ":" in address else address


def audio(octet):
    """A second of PCMU, 20 ms a packet, one octet repeated."""
    return [struct.pack("!BBHII", 0x80, 0, 1000 + index, PAYLOAD_BYTES * index, 0x44726177)
            + bytes([octet]) * PAYLOAD_BYTES for index in range(PACKETS_PER_CALL)]


def write_capture(path, packets):
    """A capture that sipp plays: the packets, 20 ms apart."""
    with open(path, "wb") as capture:
        capture.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for index, rtp in enumerate(packets):
            udp = struct.pack("!HHHH", SIP_PORT, SIP_PORT, 8 + len(rtp), 0) + rtp
            header = struct.pack("!BBHHHBBH8x", 0x45, 0, 20 + len(udp), index, 0, 64, 17, 0)
            frame = bytes(12) + b"\x08\x00" + header + udp
            microseconds = 20_000 * index
            capture.write(struct.pack("<IIII", microseconds // 1_000_000, microseconds % 1_000_000,
                                      len(frame), len(frame)))
            capture.write(frame)
