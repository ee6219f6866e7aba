"""A program in a terminal of its own."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

PATIENCE = 15


class Terminal:
    def __init__(self, command, rows, columns):
        self.text = ""
        self.fd, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "NO_COLOR": "1"}
        self.process = subprocess.Popen(command, stdin=child, stdout=child, stderr=child, env=environment, start_new_session=True)
        os.close(child)

    def _read(self):
        if select.select([self.fd], [], [], 0.1)[0]:
            try:
                self.text += os.read(self.fd, 1 << 16).decode("utf-8", "replace")
            except OSError:
                pass

    def wait(self, part):
        """Until it was written since the last key."""
        end = time.monotonic() + PATIENCE
        begin = getattr(self, "since", 0)
        while part not in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.text[begin:]):
            if time.monotonic() > end:
                raise AssertionError(f"did not come: {part}\n{self.text[begin:][-3000:]!r}")
            self._read()

    def press(self, keys):
        self.since = len(self.text)
        os.write(self.fd, keys.encode())

    def end(self):
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < end:
            self._read()
        self._read()
        return self.process.poll()

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.fd)
