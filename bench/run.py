#!/usr/bin/env python3
"""Drawbridge beside Kamailio with rtpengine: the same calls, the same streams, CPU per unit.

usage: run.py [--only sip|rtp|parse] [--peers-only] [--quick] [--write]

In a network namespace of its own, the system under test on one core, the load on the other. What
is printed also goes to target/bench/benchmarks.md; --write puts it into docs/benchmarks.md.
"""

import argparse
import csv
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
import packets  # noqa: E402
from report import table, verdict  # noqa: E402
from systems import CALLEE, CALLER, Drawbridge, KamailioAndRtpengine, SIP_PORT, TRUSTED, running, systems  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
INSIDE = "DRAWBRIDGE_BENCH_INSIDE"
CALLS_PER_SECOND = 200
CALL_SECONDS = 20
HOLD_MS = 1000
WARM_UP_CALLS = 200
CALL_MARK = 1.0


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


# --------------------------------------------------------------------------------------- report

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


def parse_report(_options, _directory):
    if not os.path.exists(f"{HERE}/sip_parse.rs"):
        return []
    print("parsing …", flush=True)
    output = subprocess.run(["cargo", "bench", "--locked", "--bench", "sip_parse"], cwd=ROOT, check=True,
                            stdout=subprocess.PIPE, text=True).stdout
    found = re.findall(r"^(\S.*?)\s+time:\s+\[\S+ \S+ (\S+ \S+) ", output, re.M)
    return ["### Parsing", "", *table(["", "median"], [list(pair) for pair in found]), ""]


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
    parts = {"sip": sip_report, "rtp": packets.report, "parse": parse_report}
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
