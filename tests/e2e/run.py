#!/usr/bin/env python3
"""Runs the end-to-end tests inside network namespaces of their own.

usage: run.py [test_module[.Class[.test]] ...]      DRAWBRIDGE=FILE names the binary.

Root or not: without root, a user namespace gives the right to make networks. Nothing outside the
namespaces is touched, and they vanish with this process.
"""

import concurrent.futures
import os
import resource
import shutil
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
INSIDE = "DRAWBRIDGE_E2E_INSIDE"
# Classes that run at once.
JOBS = 4


def enter_namespaces():
    """Starts this program again, alone in a new network."""
    unshare = shutil.which("unshare") or sys.exit("e2e: unshare is missing (apt-get install util-linux)")
    flags = ["--net"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--net"]
    os.environ[INSIDE] = "1"
    command = [unshare, *flags, sys.executable, os.path.abspath(__file__), *sys.argv[1:]]
    os.execv(unshare, command)


class Result(unittest.TextTestResult):
    """Adds to a failure what the test's hosts had to say, and times every test."""

    def startTest(self, test):
        self.begin = time.monotonic()
        super().startTest(test)

    def addSuccess(self, test):
        self.stream.write(f"{time.monotonic() - self.begin:.1f} s ... ")
        super().addSuccess(test)

    def _exc_info_to_string(self, err, test):
        text = super()._exc_info_to_string(err, test)
        diagnosis = getattr(test, "diagnosis", None)
        return text + diagnosis() if diagnosis else text


def main():
    if INSIDE not in os.environ:
        if len(sys.argv) == 1:
            sys.exit(run_all())
        enter_namespaces()
    # A thousand calls are thousands of sockets.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sys.path.insert(0, HERE)
    suite = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:])
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Result).run(suite)
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)


def run_all():
    """Every class in a process, and so in networks, of its own, a few at a time: most of a test is
    waiting. Those that measure load come last, alone. Gives the exit status."""
    sys.path.insert(0, HERE)
    classes = {}
    for test in flatten(unittest.defaultTestLoader.discover(HERE)):
        if not isinstance(test, unittest.TestCase) or type(test).__module__ == "unittest.loader":
            sys.exit(f"e2e: {test} cannot be loaded")
        classes.setdefault(type(test), []).append(test)
    begin = time.monotonic()
    together = sorted((c for c in classes if not c.alone), key=lambda c: -len(classes[c]))
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        passed = list(pool.map(run_class, together))
    passed += [run_class(c) for c in classes if c.alone]
    count, seconds = sum(map(len, classes.values())), time.monotonic() - begin
    print(f"Ran {count} tests in {seconds:.1f}s\n\n{'OK' if all(passed) else 'FAILED'}")
    return 0 if all(passed) else 1


def run_class(tests):
    """Runs one class by this program, and shows what it said when it is done."""
    command = [sys.executable, os.path.abspath(__file__), f"{tests.__module__}.{tests.__name__}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    lines = done.stdout.splitlines()
    if done.returncode == 0:
        lines = [line for line in lines if line.endswith(" ok")]
    print("\n".join(lines), flush=True)
    return done.returncode == 0


def flatten(suite):
    """The tests of a suite of suites."""
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


if __name__ == "__main__":
    main()
