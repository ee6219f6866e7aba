"""A network of hosts, each a network namespace, around one Drawbridge.

    pbx 10.0.0.10 ──┐                                ┌── carrier-a 203.0.113.20
                    ├── 10.0.0.5 sbc 203.0.113.5 ────┼── carrier-b 203.0.113.30
                                                     └── stranger  203.0.113.66

Every frame crosses a bridge in the namespace that the tests run in. The hosts have no route but
their own network's, so what reaches the other side went through the SBC.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)

SBC_TRUSTED = "10.0.0.5"
SBC_UNTRUSTED = "203.0.113.5"
SBC_UNTRUSTED_V6 = "2001:db8::5"
PBX = "10.0.0.10"
CARRIER_A = "203.0.113.20"
CARRIER_A_V6 = "2001:db8::20"
CARRIER_B = "203.0.113.30"
STRANGER = "203.0.113.66"
TRUSTED_BRIDGE = "trusted"
UNTRUSTED_BRIDGE = "untrusted"


def ip(*arguments):
    """Runs iproute2's ip in the current namespace."""
    subprocess.run(["ip", *arguments], check=True, stdin=subprocess.DEVNULL)


def wait_until(what, condition, seconds=5.0):
    """Polls `condition` until it holds; its last value is the answer."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)


def enter(namespace):
    """Moves the calling thread into the namespace."""
    if LIBC.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Host:
    """One network namespace with its processes."""

    def __init__(self, name, addresses):
        """`addresses`: pairs of bridge and address/prefix."""
        self.name = name
        self.processes = []
        self.outer_devices = []
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        if LIBC.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        self.namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        ip("link", "set", "lo", "up")
        enter(home)
        self.home = home
        for index, (bridge, address) in enumerate(addresses):
            self._plug(f"eth{index}", bridge, address)

    def _plug(self, device, bridge, address):
        outer = f"{self.name[:9]}-{device}"
        # An inode of /proc/self/fd is what `ip` takes for a namespace without a name.
        keeper = self.start(["sleep", "60"])
        ip("link", "add", outer, "type", "veth", "peer", "name", device, "netns", str(keeper.pid))
        ip("link", "set", outer, "master", bridge, "up")
        self.outer_devices.append(outer)
        self.add_address(address, device)
        with self.inside():
            ip("link", "set", device, "up")
        stop(keeper)

    def add_address(self, address, device):
        """An address more (with its prefix), at once: nobody else has it."""
        with self.inside():
            ip("address", "add", address, "dev", device, *(["nodad"] if ":" in address else []))

    @contextlib.contextmanager
    def inside(self):
        """Sockets that are opened here belong to this host."""
        enter(self.namespace)
        try:
            yield
        finally:
            enter(self.home)

    def start(self, command, log=subprocess.DEVNULL, stdin=subprocess.DEVNULL, **options):
        """Starts a process on this host; it is ended with the lab at the latest."""
        process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: enter(self.namespace),
            **options,
        )
        self.processes.append(process)
        return process

    def udp(self, address, port=0):
        """A UDP socket of this host with a timeout of a second."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.inside():
            opened = socket.socket(family, socket.SOCK_DGRAM)
        opened.bind((address, port))
        opened.settimeout(1.0)
        return opened

    def close(self):
        for process in self.processes:
            stop(process)
        # With the namespace they would vanish, too, but at a time of the kernel's choosing.
        for device in self.outer_devices:
            ip("link", "delete", device)
        os.close(self.namespace)
        os.close(self.home)


def stop(process):
    """Ends a process that was started here, kindly first."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Lab:
    """All hosts, plugged together."""

    def __init__(self):
        for bridge in (TRUSTED_BRIDGE, UNTRUSTED_BRIDGE):
            ip("link", "add", bridge, "type", "bridge", "forward_delay", "0")
            ip("link", "set", bridge, "up")
        self.sbc = Host(
            "sbc",
            [(TRUSTED_BRIDGE, f"{SBC_TRUSTED}/24"), (UNTRUSTED_BRIDGE, f"{SBC_UNTRUSTED}/24")],
        )
        self.pbx = Host("pbx", [(TRUSTED_BRIDGE, f"{PBX}/24")])
        self.carrier_a = Host("carrier-a", [(UNTRUSTED_BRIDGE, f"{CARRIER_A}/24")])
        self.carrier_b = Host("carrier-b", [(UNTRUSTED_BRIDGE, f"{CARRIER_B}/24")])
        self.stranger = Host("stranger", [(UNTRUSTED_BRIDGE, f"{STRANGER}/24")])

    def close(self):
        for host in (self.sbc, self.pbx, self.carrier_a, self.carrier_b, self.stranger):
            host.close()
        for bridge in (TRUSTED_BRIDGE, UNTRUSTED_BRIDGE):
            ip("link", "delete", bridge)
