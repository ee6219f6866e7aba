"""Whether this machine's kernel has io_uring, and lets us use it."""

import ctypes
import os

# The same number on every architecture.
IO_URING_SETUP = 425


def is_allowed():
    parameters = ctypes.create_string_buffer(120)
    ring = ctypes.CDLL(None, use_errno=True).syscall(IO_URING_SETUP, 1, parameters)
    if ring < 0:
        return False
    os.close(ring)
    return True
