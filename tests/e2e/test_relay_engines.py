"""Calls where the kernel refuses io_uring, as it does in many containers."""

import errno
import os
import sys
import unittest

import scenarios
import seccomp
from case import LabCase


def refusing(number):
    """A command line's beginning: what follows is refused io_uring with this errno."""
    return [sys.executable, os.path.abspath(seccomp.__file__), str(number)]


class RefusedByAFilter(LabCase):
    errno = errno.EPERM

    def prepare(self):
        self.sbc.prefix = refusing(self.errno)

    def test_a_call_has_its_audio_and_the_log_says_so_once(self):
        at_pbx, at_carrier = self.sinks(1)
        callee = self.carrier_a(scenarios.answer())
        self.pbx_calls().must_succeed()
        callee.must_succeed()
        self.expect_audio(at_pbx, "PBX", 1)
        self.expect_audio(at_carrier, "carrier", 1)
        self.expect_cdrs(1)
        self.assertEqual(self.sbc.metric("drawbridge_build_info", must_exist=True, engine="portable"), 1)
        self.assertEqual(self.sbc.metric("drawbridge_media_zero_copy", must_exist=True), 0)
        self.assertEqual(self.sbc.log_tail(1000).count("io_uring is refused here"), 1)
        self.expect_nothing_left()


class UnknownToTheKernel(RefusedByAFilter):
    errno = errno.ENOSYS


class Strict(LabCase):
    def test_no_start_without_io_uring_where_it_is_demanded(self):
        self.assertEqual(self.sbc.stop(), 0)
        self.sbc.media = 'engine = "io_uring"'
        self.sbc.set_route("out", self.out)
        with open(self.sbc.log, "wb") as log:
            command = refusing(errno.EPERM) + [os.environ["DRAWBRIDGE"], "run", "--config", self.sbc.config]
            process = self.sbc.host.start(command, log=log)
            self.assertEqual(process.wait(10), 1)
        for expected in ('media.engine = "io_uring"', "not permitted", 'media.engine = "auto" takes the portable'):
            self.assertIn(expected, self.sbc.log_tail())


if __name__ == "__main__":
    unittest.main()
