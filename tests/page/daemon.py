"""The daemon under the page: on loopback, with a configuration of its own."""

import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import time

MAIN = """\
[node]
name = "sbc1"

[admin]
listen = "127.0.0.1:{admin}"
socket = "{directory}/admin.sock"

[[listener]]
realm = "trusted"
bind = "127.0.0.1:{trusted}"

[[listener]]
realm = "untrusted"
bind = "127.0.0.1:{untrusted}"

[realm.trusted]
media_bind = "127.0.0.1"

[realm.untrusted]
media_bind = "127.0.0.1"

[media]
workers = 1
ports = "{ports}"

[cdr]
path = ""

[trunk.pbx]
realm = "trusted"
host = "{pbx[0]}"
port = {pbx[1]}

[trunk.carrier]
hosts = [{{ host = "{carrier[0]}", port = {carrier[1]} }}, {{ host = "{dead[0]}", port = {dead[1]} }}]
health = {{ interval = "5s", timeout = "600ms", down_after = 2, up_after = 2 }}
failover = {{ timeout = "1s" }}
limits = {{ calls = 200 }}

[trunk.spare]
host = "{spare[0]}"
port = {spare[1]}
health = {{ interval = "5s", timeout = "600ms", down_after = 2, up_after = 2 }}

[[route]]
name = "out"
from = "trusted"
to = ["+1*", "+44*"]
trunks = ["carrier", "spare"]
"""


def free_port(kind=socket.SOCK_DGRAM):
    with socket.socket(socket.AF_INET, kind) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Daemon:
    def __init__(self, program):
        self.program = program
        self.directory = tempfile.mkdtemp(prefix="drawbridge-page-")
        self.admin, self.trusted, self.untrusted = free_port(socket.SOCK_STREAM), free_port(), free_port()
        self.config = os.path.join(self.directory, "drawbridge.toml")
        self.process = None

    def write(self, **parties):
        # Below the ports that the system gives away: free_port's are none of them.
        first = 20000 + os.getpid() % 100 * 100
        self.text = MAIN.format(admin=self.admin, directory=self.directory, trusted=self.trusted,
                                untrusted=self.untrusted, ports=f"{first}-{first + 399}", **parties)
        self.put(self.text)

    def put(self, text):
        with open(f"{self.config}.new", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(f"{self.config}.new", self.config)

    def start(self):
        self.log = open(os.path.join(self.directory, "log"), "ab")
        self.process = subprocess.Popen([self.program, "run", "--config", self.config], stderr=self.log)
        end = time.monotonic() + 20
        while True:
            try:
                if self.get("/readyz")[0] == 200:
                    return
            except OSError:
                pass
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError(f"the daemon does not start: {self.read_log()}")
            time.sleep(0.05)

    def read_log(self):
        with open(os.path.join(self.directory, "log"), encoding="utf-8") as file:
            return file.read()

    def get(self, path, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=5)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read() if "event-stream" not in (answer.getheader("Content-Type") or "") else b""
        connection.close()
        return answer.status, dict(answer.getheaders()), body

    def json(self, path):
        return json.loads(self.get(path)[2])

    def command(self, *words):
        return subprocess.run([self.program, *words, "--config", self.config], capture_output=True, text=True, timeout=20)

    @property
    def address(self):
        return f"http://127.0.0.1:{self.admin}"

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None
            self.log.close()
