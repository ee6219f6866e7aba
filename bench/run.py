#!/usr/bin/env python3
"""Drawbridge beside Kamailio with rtpengine: the same calls, the same streams, CPU per unit.

usage: run.py [--only sip|rtp|parse] [--peers-only] [--quick] [--write]

In a network namespace of its own, the system under test on one core, the load on the other. What
is printed also goes to target/bench/benchmarks.md; --write puts it into docs/benchmarks.md.
"""

import argparse
import csv
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import measure  # noqa: E402
import streams  # noqa: E402
from systems import CALLEE, CALLER, Drawbridge, KamailioAndRtpengine, Rtpengine, SIP_PORT, TRUSTED  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
INSIDE = "DRAWBRIDGE_BENCH_INSIDE"
CALLS_PER_SECOND = 200
CALL_SECONDS = 20
HOLD_MS = 1000
WARM_UP_CALLS = 200
PACKETS_PER_SECOND = (25_000, 100_000)
RTP_SECONDS = 10
# 20 ms of audio a packet.
PACKETS_PER_FLOW = 50
LOSS_LIMIT = 0.001
CALL_MARK, PACKET_MARK = 1.0, 0.7


# ---------------------------------------------------------------------------------------- calls

def calls_cost(system, directory, calls):
    """CPU µs a call, by process."""
    place_calls(directory, WARM_UP_CALLS)
    before = {name: process.cpu_us() for name, process in system.processes.items()}
    place_calls(directory, calls)
    return {name: (process.cpu_us() - before[name]) / calls for name, process in system.processes.items()}


def place_calls(directory, calls):
    """Runs the scenario to its end; each call must succeed."""
    callee = sipp(directory, "uas", CALLEE, calls)
    time.sleep(0.3)
    caller = sipp(directory, "uac", CALLER, calls, "-r", str(CALLS_PER_SECOND), "-d", str(HOLD_MS), "-s",
                  "+12025550123", f"{TRUSTED}:{SIP_PORT}")
    try:
        caller.popen.wait(calls / CALLS_PER_SECOND + 30)
        callee.popen.wait(10)
    except subprocess.TimeoutExpired:
        print("  the calls did not come to an end", file=sys.stderr)
    finally:
        caller.stop()
        callee.stop()
    with open(f"{directory}/uac.csv", encoding="utf-8") as table:
        last = list(csv.DictReader(table, delimiter=";"))[-1]
    if int(last["SuccessfulCall(C)"]) != calls:
        raise SystemExit(f"bench: {last['SuccessfulCall(C)']} of {calls} calls succeeded, see {directory}")


def sipp(directory, name, address, calls, *more):
    return measure.Process([
        "sipp", "-sf", f"{HERE}/sipp/{name}.xml", "-i", address, "-mi", address, "-p", str(SIP_PORT), "-m",
        str(calls), "-l", str(calls), "-nostdin", "-trace_err", "-error_file", f"{directory}/{name}.err",
        "-trace_stat", "-stf", f"{directory}/{name}.csv", "-fd", "1", *more,
    ], f"{directory}/{name}.log", measure.LOAD_CORE)


# -------------------------------------------------------------------------------------- packets

def packets_cost(system, directory, load, open_streams, rate, seconds):
    """CPU µs a relayed packet, and the share that was lost."""
    flows = os.path.join(directory, "flows")
    calls = rate // PACKETS_PER_FLOW // 2
    with open(flows, "w", encoding="ascii") as file:
        file.write("\n".join(open_streams(calls)) + "\n")
    run_load(load, flows, rate, 1)
    time.sleep(0.5)
    [process] = system.processes.values()
    before = process.cpu_us()
    result = run_load(load, flows, rate, seconds)
    cpu = process.cpu_us() - before
    if result["sent"] < rate * seconds * 0.999:
        print(f"  warning: the generator sent only {result['sent']} packets of {rate * seconds}")
    if not result["received"]:
        raise SystemExit(f"bench: no packet came back, see {directory}")
    return cpu / result["received"], 1 - result["received"] / result["sent"]


def run_load(load, flows, rate, seconds):
    command = ["taskset", "-c", str(measure.LOAD_CORE), load, flows, str(rate), str(seconds)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def build_load():
    """The generator's path."""
    command = ["cargo", "build", "--release", "--locked", "--bins", "--bench", "rtp_load", "--message-format", "json"]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in output.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "rtp_load":
            return message["executable"]
    raise SystemExit("bench: cargo built no rtp_load")


# --------------------------------------------------------------------------------------- report

def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def verdict(ratio, mark):
    return f"**{ratio:.2f}** (mark: ≤ {mark:g}, {'met' if ratio <= mark else 'missed'})"


def sip_report(options, directory):
    calls = CALLS_PER_SECOND * (5 if options.quick else CALL_SECONDS)
    costs = {}
    for name, system_class in systems(options, Drawbridge, KamailioAndRtpengine):
        print(f"calls through {name} …", flush=True)
        with running(system_class, directory, name) as (system, own):
            costs.update(calls_cost(system, own, calls))
    theirs = costs["Kamailio"] + costs["rtpengine"]
    rows = [[name, f"{cost:.0f}"] for name, cost in costs.items()] + [["Kamailio + rtpengine", f"{theirs:.0f}"]]
    if "Drawbridge" in costs:
        rows.append(["ratio", verdict(costs["Drawbridge"] / theirs, CALL_MARK)])
    return [f"### A call: {calls} calls at {CALLS_PER_SECOND}/s, {HOLD_MS / 1000:g} s each, signalling only", "",
            *table(["", "CPU a call, µs"], rows), ""]


def rtp_report(options, directory):
    load = build_load()
    seconds = 3 if options.quick else RTP_SECONDS
    rows = []
    for rate in PACKETS_PER_SECOND:
        costs = {}
        for name, system_class in systems(options, Drawbridge, Rtpengine):
            print(f"{rate} packets/s through {name} …", flush=True)
            with running(system_class, directory, name) as (system, own):
                open_streams = streams.by_sip_calls if name == "Drawbridge" else streams.by_ng
                costs[name], loss = packets_cost(system, own, load, open_streams, rate, seconds)
            note = f"{loss:.3%}" + (" (too much: not comparable)" if loss > LOSS_LIMIT else "")
            rows.append([f"{rate:,}/s", name, f"{costs[name]:.2f}", note])
        if "Drawbridge" in costs:
            rows.append([f"{rate:,}/s", "ratio", verdict(costs["Drawbridge"] / costs["rtpengine"], PACKET_MARK), ""])
    return [f"### A packet: flows of {PACKETS_PER_FLOW} packets/s, 172 bytes, evenly spaced, {seconds} s", "",
            *table(["rate", "relay", "CPU a packet, µs", "lost"], rows), ""]


def parse_report(_options, _directory):
    if not os.path.exists(f"{HERE}/sip_parse.rs"):
        return []
    print("parsing …", flush=True)
    output = subprocess.run(["cargo", "bench", "--locked", "--bench", "sip_parse"], cwd=ROOT, check=True,
                            stdout=subprocess.PIPE, text=True).stdout
    found = re.findall(r"^(\S.*?)\s+time:\s+\[\S+ \S+ (\S+ \S+) ", output, re.M)
    return ["### Parsing", "", *table(["", "median"], [list(pair) for pair in found]), ""]


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


# ----------------------------------------------------------------------------------------- main

def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["sip", "rtp", "parse"])
    parser.add_argument("--peers-only", action="store_true", help="leave Drawbridge out")
    parser.add_argument("--quick", action="store_true", help="a few seconds each: to see that it works")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks.md")
    options = parser.parse_args()
    if INSIDE not in os.environ:
        enter_namespace()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.sched_setaffinity(0, {measure.LOAD_CORE})
    directory = tempfile.mkdtemp(prefix="drawbridge-bench-")
    parts = {"sip": sip_report, "rtp": rtp_report, "parse": parse_report}
    lines = ["Measured by `./dev bench` on:", "", *[f"- {line}" for line in measure.machine()], ""]
    for name, report in parts.items():
        if options.only in (None, name):
            lines += report(options, directory)
    publish("\n".join(lines), options.write)
    shutil.rmtree(directory)


def enter_namespace():
    if os.cpu_count() < 2:
        sys.exit("bench: one core for the system under test and one for the load are needed")
    os.environ[INSIDE] = "1"
    flags = ["--net"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--net"]
    os.execvp("unshare", ["unshare", *flags, sys.executable, os.path.abspath(__file__), *sys.argv[1:]])


def publish(text, write):
    print("\n" + text)
    os.makedirs(f"{ROOT}/target/bench", exist_ok=True)
    with open(f"{ROOT}/target/bench/benchmarks.md", "w", encoding="utf-8") as file:
        file.write(text)
    if write:
        path = f"{ROOT}/docs/benchmarks.md"
        with open(path, encoding="utf-8") as file:
            head, begin, rest = file.read().partition("<!-- figures -->\n")
            _, end, tail = rest.partition("<!-- end of figures -->")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"{head}{begin}\n{text}\n{end}{tail}")


if __name__ == "__main__":
    main()
