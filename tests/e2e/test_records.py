"""Call detail records when things go wrong: the daemon is killed, the disk is full."""

import datetime
import http.server
import json
import os
import threading
import time

import lab
import scenarios
from case import LabCase


class Crash(LabCase):
    out = ("carrier-a",)

    def test_kill_9_leaves_a_record_of_each_call_once(self):
        at_pbx, _ = self.sinks(1)
        self.carrier_a(scenarios.answer())
        self.pbx_calls(scenarios.call_until_bye())
        lab.wait_until("audio arrives", lambda: at_pbx.packets)
        answered = time.monotonic()
        lab.wait_until("the call lasts for two seconds", lambda: time.monotonic() - answered > 2)
        killed = datetime.datetime.now(datetime.timezone.utc)
        self._kill_and_start()
        record = self.expect_cdrs(1)[0]
        self.assertEqual((record["ended_by"], record["status"]), ("sbc", 200))
        self.assertIn("Drawbridge ended while the call was up", record["cause"])
        self.assertTrue(1000 <= record["duration_ms"] <= 3500, record["duration_ms"])
        before_the_kill = killed - datetime.datetime.fromisoformat(record["end"].replace("Z", "+00:00"))
        self.assertLess(abs(before_the_kill.total_seconds()), 1.2, record["end"])
        self.assertEqual(self.sbc.metric("drawbridge_cdrs_recovered_total"), 1)
        self._kill_and_start()
        self.expect_cdrs(1)
        self.assertEqual(self.sbc.metric("drawbridge_cdrs_recovered_total"), 0)
        self.assertEqual(self.sbc.stop(), 0, "exit status after SIGTERM")

    def _kill_and_start(self):
        self.sbc.process.kill()
        self.sbc.process.wait()
        self.sbc.start()


class FullDisk(LabCase):
    """The records are on a disk of 64 kB that only the daemon has."""

    out = ("carrier-a",)

    def prepare(self):
        disk = os.path.join(self.directory, "disk")
        os.makedirs(disk)
        self.sbc.prefix = ["unshare", "--mount", "sh", "-c",
                           f'mount -t tmpfs -o size=64k tmpfs {disk} && exec "$@"', "sh"]
        self.sbc.cdr = os.path.join(disk, "cdr.jsonl")
        self.sbc.set_route("out", self.out)

    def test_a_full_disk_stops_no_call_and_loses_no_record(self):
        disk = f"/proc/{self.sbc.process.pid}/root{self.directory}/disk"
        self.sbc.cdr = f"{disk}/cdr.jsonl"
        self._one_call()
        self.expect_cdrs(1)
        with open(f"{disk}/ballast", "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass
        # What is left of the file's last page is filled by records.
        for _ in range(6):
            self._one_call()
        lab.wait_until("records wait for the disk", lambda: self.sbc.metric("drawbridge_cdrs_waiting") > 0)
        self.assertIn("No space left on device", self.sbc.get("/api/v1/status")[1])
        for record in self.sbc.cdrs():
            self.assertIn("id", record)
        os.remove(f"{disk}/ballast")
        self.expect_cdrs(7)
        lab.wait_until("no record waits", lambda: self.sbc.metric("drawbridge_cdrs_waiting") == 0)
        self.assertEqual(self.sbc.metric("drawbridge_cdrs_total", result="lost"), 0)
        self.expect_nothing_left()

    def _one_call(self):
        callee = self.carrier_a(scenarios.answer())
        self.pbx_calls(pause_ms=100).must_succeed()
        callee.must_succeed()


class Copy(LabCase):
    """Records go to a server of the SBC's own host as well, by cdr.post."""

    out = ("carrier-a",)
    PORT = 8080

    def prepare(self):
        self.sbc.routes["post"] = (f'[cdr.post]\nurl = "http://127.0.0.1:{self.PORT}/cdr"\n'
                                   f'spool = "{self.directory}/spool"\n')
        self.sbc.set_route("out", self.out)

    def test_what_no_server_took_is_sent_by_the_next_run(self):
        callee = self.carrier_a(scenarios.answer())
        self.pbx_calls(pause_ms=100).must_succeed()
        callee.must_succeed()
        record = self.expect_cdrs(1)[0]
        lab.wait_until("the copy is in the spool", lambda: self.sbc.metric("drawbridge_cdr_spool_records") == 1)
        status = json.loads(self.sbc.get("/api/v1/status")[1])
        self.assertIn("cannot be reached", status["cdrs"]["post"]["fault"])
        self.sbc.process.kill()
        self.sbc.process.wait()
        asked = self._serve()
        self.sbc.start()
        lab.wait_until("the copy", lambda: asked)
        lab.wait_until("nothing is left", lambda: self.sbc.metric("drawbridge_cdr_spool_records") == 0)
        self.assertEqual(self.sbc.metric("drawbridge_cdr_posts_total", result="sent"), 1)
        self.assertEqual(asked, [(record["id"], record)])
        self.expect_nothing_left()

    def _serve(self):
        """What is POSTed from now on: keys and bodies."""
        asked = []

        class Server(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                asked.append((self.headers["Idempotency-Key"], json.loads(body)))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        with self.lab.sbc.inside():
            server = http.server.ThreadingHTTPServer(("127.0.0.1", self.PORT), Server)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return asked
