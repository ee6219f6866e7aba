#!/usr/bin/env python3
"""Runs the end-to-end tests inside network namespaces of their own.

usage: run.py [test_module[.Class[.test]] ...]      DRAWBRIDGE=FILE names the binary.

Root or not: without root, a user namespace gives the right to make networks. Nothing outside the
namespaces is touched, and they vanish with this process.
"""

import os
import resource
import shutil
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
INSIDE = "DRAWBRIDGE_E2E_INSIDE"


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
        enter_namespaces()
    # A thousand calls are thousands of sockets.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sys.path.insert(0, HERE)
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromNames(sys.argv[1:]) if sys.argv[1:] else loader.discover(HERE)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Result).run(suite)
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)


if __name__ == "__main__":
    main()
