"""What a relay costs: CPU a packet, the packets that it holds, the time it adds, memory a call.

Drawbridge's streams are real SIP calls, rtpengine is told of its by its control protocol; what is
measured is the whole process.
"""

import json
import os
import re
import subprocess
import time

import measure
import streams
from report import table, verdict
from systems import CALLEE, CALLER, Drawbridge, Rtpengine, running, systems

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# CPU a packet is compared at this rate, whatever the number of calls.
BASE_RATE = 25_000
CALLS = (50, 500, 2_000)
# Up to which rate rtpengine holds on one core; 20 ms of audio a packet, both ways.
LADDER = (75_000, 100_000, 125_000, 150_000, 175_000)
PACKETS_PER_CALL = 100
LOSS_LIMIT = 0.001
# The generator keeps pace if it sends this share of what it should.
PACE = 0.999

BASE_MARK, SATURATION_MARK = 0.5, 0.65
CALLS_MARK, FLOOR_MARK = 1.15, 1.15
ADDED_P99_MARK_US = 300

OPEN_STREAMS = {Drawbridge: streams.by_sip_calls, Rtpengine: streams.by_ng}


class Streams:
    """Two-way streams through a running system, ready to carry any rate."""

    def __init__(self, system, directory, load, calls):
        [self.process] = system.processes.values()
        self.load = load
        self.flows = os.path.join(directory, "flows")
        before = self.process.rss_bytes()
        write_flows(self.flows, OPEN_STREAMS[type(system)](calls))
        run_load(load, self.flows, BASE_RATE, 1)
        self.memory_a_call = (self.process.rss_bytes() - before) / calls

    def carry(self, rate, seconds, *words):
        """CPU µs a relayed packet, the share that was lost, and what the generator says."""
        time.sleep(0.5)
        before = self.process.cpu_us()
        result = run_load(self.load, self.flows, rate, seconds, *words)
        cpu = self.process.cpu_us() - before
        if not result["received"]:
            raise SystemExit(f"bench: no packet came back, see {self.process.log}")
        if result["strays"]:
            raise SystemExit(f"bench: {result['strays']} packets came to another call")
        return cpu / result["received"], 1 - result["received"] / result["sent"], result


def write_flows(path, lines):
    with open(path, "w", encoding="ascii") as file:
        file.write("\n".join(lines) + "\n")


def run_load(load, flows, rate, seconds, *words):
    command = ["taskset", "-c", str(measure.LOAD_CORE), load, flows, str(rate), str(seconds), *words]
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    result["kept_pace"] = result["sent"] >= rate * seconds * PACE
    return result


def build(bench):
    """The path of a benchmark's program."""
    command = ["cargo", "build", "--release", "--locked", "--bins", "--bench", bench, "--message-format", "json"]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in output.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == bench:
            return message["executable"]
    raise SystemExit(f"bench: cargo built no {bench}")


# -------------------------------------------------------------------------------------- reports

def report(options, directory):
    load = build("rtp_load")
    seconds = 3 if options.quick else 10
    saturation, lines = saturation_report(options, directory, load, seconds)
    return [*base_report(options, directory, load, seconds), *lines,
            *latency_report(options, directory, load, seconds, saturation // 2), *floor_report(seconds)]


def base_report(options, directory, load, seconds):
    """The same rate over few calls and many."""
    rows, ours = [], {}
    for calls in CALLS:
        costs = {}
        for name, kind in systems(options, Drawbridge, Rtpengine):
            print(f"{calls} calls, {BASE_RATE:,} packets/s through {name} …", flush=True)
            with running(kind, directory, name) as (system, own):
                flowing = Streams(system, own, load, calls)
                costs[name], loss, _ = flowing.carry(BASE_RATE, seconds)
            rows.append([f"{calls:,}", name, f"{costs[name]:.2f}", lost(loss), f"{flowing.memory_a_call / 1024:.1f}"])
        if "Drawbridge" in costs:
            ours[calls] = costs["Drawbridge"]
            rows.append([f"{calls:,}", "ratio", verdict(ours[calls] / costs["rtpengine"], BASE_MARK), "", ""])
    if ours:
        spread = ours[CALLS[-1]] / ours[CALLS[0]]
        rows.append([f"{CALLS[-1]:,} against {CALLS[0]}", "Drawbridge", verdict(spread, CALLS_MARK), "", ""])
    return [f"### A packet: {BASE_RATE:,}/s of 172 bytes, evenly spaced, {seconds} s", "",
            *table(["calls", "relay", "CPU a packet, µs", "lost", "memory a call, KiB"], rows), "",
            "Memory is what the whole process grew by: signalling, media and all.", ""]


def saturation_report(options, directory, load, seconds):
    """The highest rate at which rtpengine on one core loses nothing, and what each costs there."""
    rows, rate, theirs = [], LADDER[0], None
    for step in LADDER:
        cost, loss, result = one(Rtpengine, directory, load, step, seconds)
        rows.append([f"{step:,}/s", "rtpengine", f"{cost:.2f}", lost(loss) + pace(result)])
        if loss > LOSS_LIMIT or not result["kept_pace"]:
            break
        rate, theirs = step, cost
    if theirs is not None and not options.peers_only:
        cost, loss, result = one(Drawbridge, directory, load, rate, seconds)
        rows.append([f"{rate:,}/s", "Drawbridge", f"{cost:.2f}", lost(loss) + pace(result)])
        rows.append([f"{rate:,}/s", "ratio", verdict(cost / theirs, SATURATION_MARK), ""])
    return rate, [f"### Saturation: the most that rtpengine carries on one core, {seconds} s", "",
                  *table(["rate", "relay", "CPU a packet, µs", "lost"], rows), ""]


def latency_report(options, directory, load, seconds, rate):
    """What a packet waits, against sockets that send to each other."""
    print(f"latency at {rate:,} packets/s …", flush=True)
    calls = rate // PACKETS_PER_CALL
    flows = os.path.join(directory, "direct")
    write_flows(flows, direct_lines(calls))
    direct = run_load(load, flows, rate, seconds, "latency")
    rows, added = [latency_row("no relay", direct)], None
    for name, kind in systems(options, Drawbridge, Rtpengine):
        with running(kind, directory, name) as (system, own):
            _, _, result = Streams(system, own, load, calls).carry(rate, seconds, "latency")
        rows.append(latency_row(name, result))
        if name == "Drawbridge":
            added = result["p99_us"] - direct["p99_us"]
    if added is not None:
        met = "met" if added <= ADDED_P99_MARK_US else "missed"
        rows.append(["added by Drawbridge", "", f"**{added}** (mark: ≤ {ADDED_P99_MARK_US}, {met})", "", ""])
    return [f"### Latency at half of that: {rate:,} packets/s, {seconds} s", "",
            *table(["relay", "p50, µs", "p99, µs", "p99.9, µs", "largest, µs"], rows), ""]


def floor_report(seconds):
    """Drawbridge's relay against a bare loop that checks nothing, each in a thread of one process."""
    print("the floor …", flush=True)
    program = build("relay_cpu")
    command = [program, "floor,io_uring,portable", str(seconds), "25000", "100000"]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = re.findall(r"^\s*(floor|io_uring|portable)\s+(\d+)\s+([\d.]+)", output, re.M)
    costs = {(name, int(rate)): float(cost) for name, rate, cost in found}
    rows = [[f"{rate:,}/s", name, f"{cost:.2f}"] for (name, rate), cost in sorted(costs.items(), key=lambda row: row[0][1])]
    for rate in sorted({rate for _, rate in costs}):
        if ("floor", rate) in costs and ("io_uring", rate) in costs:
            ratio = costs["io_uring", rate] / costs["floor", rate]
            rows.append([f"{rate:,}/s", "io_uring against the floor", verdict(ratio, FLOOR_MARK)])
    return ["### The floor: a bare loop on io_uring, which checks nothing", "",
            *table(["rate", "relay thread", "CPU a packet, µs"], rows), ""]


def one(kind, directory, load, rate, seconds):
    print(f"{rate:,} packets/s through {kind.__name__} …", flush=True)
    with running(kind, directory, kind.__name__) as (system, own):
        return Streams(system, own, load, rate // PACKETS_PER_CALL).carry(rate, seconds)


def direct_lines(calls):
    """Flows whose two ends send to each other."""
    lines = []
    for index in range(calls):
        caller, callee = (f"{address}:{streams.FIRST_MEDIA_PORT + 2 * index}" for address in (CALLER, CALLEE))
        lines += [f"{caller} {callee}", f"{callee} {caller}"]
    return lines


def lost(share):
    return f"{share:.3%}" + (" (too much: not comparable)" if share > LOSS_LIMIT else "")


def pace(result):
    return "" if result["kept_pace"] else " (the generator was too slow)"


def latency_row(name, result):
    return [name, *(str(result[f"{key}_us"]) for key in ("p50", "p99", "p999", "max"))]
