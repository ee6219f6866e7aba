"""CPU time of processes, pinning, and what machine this is."""

import os
import platform
import subprocess
import time

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# The system under test has a core to itself; all that loads it shares the other.
TEST_CORE = 0
LOAD_CORE = 1


class Process:
    """A pinned process and all its children."""

    def __init__(self, command, log, core):
        with open(log, "wb") as output:
            self.popen = subprocess.Popen(["taskset", "-c", str(core), *command], stdin=subprocess.DEVNULL,
                                          stdout=output, stderr=subprocess.STDOUT)
        self.command = command[0]
        self.log = log

    def cpu_us(self):
        """CPU used so far, user and system, by every thread of it and of its descendants."""
        return sum(stat_us(pid) for pid in descendants(self.popen.pid))

    def rss_bytes(self):
        """Memory that it has, its descendants' counted in."""
        return sum(rss_bytes(pid) for pid in descendants(self.popen.pid))

    def check(self):
        if self.popen.poll() is not None:
            with open(self.log, encoding="utf-8", errors="replace") as log:
                raise SystemExit(f"{self.command} ended with {self.popen.returncode}:\n{log.read()[-2000:]}")

    def stop(self):
        self.popen.terminate()
        try:
            self.popen.wait(12)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


def stat_us(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0
    utime, stime = fields[11:13]
    return (int(utime) + int(stime)) * 1_000_000 // TICKS_PER_SECOND


def rss_bytes(pid):
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        return 0


def descendants(pid):
    found = [pid]
    for parent in found:
        for task in list_directory(f"/proc/{parent}/task"):
            try:
                with open(f"/proc/{parent}/task/{task}/children", encoding="ascii") as children:
                    found += [int(child) for child in children.read().split()]
            except FileNotFoundError:
                pass
    return found


def list_directory(path):
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []


def wait_until(what, condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: {what}: not within {seconds} s")
        time.sleep(0.05)


def machine():
    """One line each: CPU, kernel, versions of the peers."""
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), "unknown")
    return [
        f"{os.cpu_count()} × {model}",
        f"Linux {platform.release()}",
        f"Kamailio {package_version('kamailio')}, rtpengine {package_version('rtpengine-daemon')}, "
        f"sipp {package_version('sip-tester')}",
    ]


def package_version(package):
    return subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], check=False,
                          capture_output=True, text=True).stdout or "?"
