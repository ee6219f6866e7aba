#!/usr/bin/env python3
"""Installs the package on freshly booted Debians, and operates it there.

usage: run.py [--suite bookworm]... PACKAGE.deb [test_module[.Class[.test]] ...]

Wants root: it boots systemd in namespaces (systemd-nspawn). What it mounts and makes there vanishes with this
process; the image, made once, stays in target/appliance.
"""

import argparse
import concurrent.futures
import os
import resource
import subprocess
import sys
import time
import unittest

import cgroups
import image

HERE = os.path.dirname(os.path.abspath(__file__))
# The lab and its user agents are those of the end-to-end tests.
E2E = os.path.join(os.path.dirname(HERE), "e2e")
sys.dont_write_bytecode = True
sys.path[:0] = [E2E, HERE]
INSIDE = "DRAWBRIDGE_APPLIANCE_INSIDE"
# Debian 12 and 13.
SUITES = ("bookworm", "trixie")
# Classes that run at once.
JOBS = 3


def main():
    options = arguments()
    if os.geteuid() != 0:
        sys.exit("appliance: this boots machines, and wants root:  sudo ./dev test appliance")
    os.environ["DRAWBRIDGE_PACKAGE"] = os.path.abspath(options.package)
    if INSIDE in os.environ:
        sys.exit(run_here(options.tests))
    suites = options.suite or SUITES
    for suite in suites:
        image.directory(suite)
    sys.exit(run_all([(name, suite) for name in options.tests or classes() for suite in suites]))


def arguments():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].splitlines()[0])
    parser.add_argument("--suite", action="append")
    parser.add_argument("package")
    parser.add_argument("tests", nargs="*")
    return parser.parse_args()


def classes():
    """Every class of tests, as `module.Class`, the longest first."""
    from run import flatten  # that of the end-to-end tests
    found = {}
    for test in flatten(unittest.defaultTestLoader.discover(HERE)):
        if type(test).__module__ == "unittest.loader":
            sys.exit(f"appliance: {test} cannot be loaded")
        name = f"{type(test).__module__}.{type(test).__name__}"
        found[name] = found.get(name, 0) + 1
    return sorted(found, key=lambda name: -found[name])


def run_all(jobs):
    """Each in a process, and so with networks and mounts, of its own. Gives the exit status."""
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        counts = list(pool.map(lambda job: run_apart(*job), jobs))
    passed, seconds = None not in counts, time.monotonic() - begin
    count = sum(count or 0 for count in counts)
    print(f"Ran {count} tests in {seconds:.1f}s\n\n{'OK' if passed else 'FAILED'}")
    return 0 if passed else 1


def run_apart(name, suite):
    """Runs one class by this program, and shows what it said when it is done. Gives how many tests passed; None: not all."""
    # Whatever is started dies with this process, however that ends.
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable,
               os.path.abspath(__file__), os.environ["DRAWBRIDGE_PACKAGE"], name]
    groups = cgroups.Groups(f"appliance-{os.getpid()}-{suite}-{name}")
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, errors="replace", preexec_fn=groups.enter,
                          env={**os.environ, INSIDE: "1", "DRAWBRIDGE_SUITE": suite})
    groups.remove()
    lines = done.stdout.splitlines()
    passed = [f"{suite}: {line}" for line in lines if line.endswith(" ok")]
    print("\n".join(passed if done.returncode == 0 else [f"{suite}:", *lines]), flush=True)
    return len(passed) if done.returncode == 0 else None


def run_here(names):
    from run import Result  # that of the end-to-end tests
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    suite = unittest.defaultTestLoader.loadTestsFromNames(names)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Result).run(suite)
    return 0 if result.wasSuccessful() and result.testsRun else 1


if __name__ == "__main__":
    main()
