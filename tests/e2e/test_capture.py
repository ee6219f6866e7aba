"""Copies for a capture server: a collector of HEP version 3 that knows nothing of Drawbridge."""

import json
import socket
import struct

import lab
from baresip import Baresip
from case import CARRIER_DIALS, LabCase, PBX_DIALS

COLLECTOR_PORT = 9060
SIP, RTCP = 1, 5
# The types of chunks (vendor 0).
SOURCE, DESTINATION, SOURCE_PORT, DESTINATION_PORT, KIND, PAYLOAD, CORRELATION = 3, 4, 7, 8, 11, 15, 17
SENDER_REPORT, CNAME = 200, 1


class Capture(LabCase):
    """Two softphones talk until both have reported."""

    out = ("carrier-a",)

    def prepare(self):
        self.collector = self.lab.pbx.udp(lab.PBX, COLLECTOR_PORT)
        self.collector.setblocking(False)
        self.addCleanup(self.collector.close)
        self.sbc.media = f'[hep]\ncollector = "{lab.PBX}"'
        self.sbc.set_route("out", self.out)
        self.copies = []

    def test_sip_and_rtcp_of_both_legs_are_found_under_one_id(self):
        callee = Baresip(self.lab.carrier_a, lab.CARRIER_A, self.directory, user=PBX_DIALS, tone=440, seconds=30)
        lab.wait_until("baresip is ready", lambda: "baresip is ready" in callee.report())
        caller = Baresip(self.lab.pbx, lab.PBX, self.directory, user=CARRIER_DIALS, tone=440, seconds=30,
                         dial=f"sip:{PBX_DIALS}@{lab.SBC_TRUSTED}")
        peers = {lab.PBX, lab.CARRIER_A}
        lab.wait_until("both phones have reported of each other",
                       lambda: self.sources_of_reports() == peers, 25)
        lab.stop(caller.process)
        lab.wait_until("the call is over", lambda: self.sbc.metric("drawbridge_calls_active") == 0)
        lab.stop(callee.process)
        self.collect()

        invites = [copy for copy in self.copies if copy[KIND] == SIP and copy[PAYLOAD].startswith(b"INVITE ")]
        ids = [next(line[9:] for line in copy[PAYLOAD].split(b"\r\n") if line.startswith(b"Call-ID: "))
               for copy in invites]
        self.assertEqual(len(set(ids)), 2, "two legs")
        self.assertEqual({copy[CORRELATION] for copy in self.copies if b"OPTIONS" not in copy[PAYLOAD]}, {ids[0]},
                         "the caller's Call-ID, in SIP and RTCP of both")
        for copy in self.reports():
            self.expect_report(copy)
        self.assertEqual(self.sbc.metric("drawbridge_hep_packets_total", protocol="rtcp", result="sent"),
                         len(self.reports()))
        self.assertEqual(self.sbc.metric("drawbridge_hep_packets_total", result="dropped"), 0)
        self.expect_cdrs(1)
        self.expect_nothing_left()

    def expect_report(self, copy):
        """The addresses that it had, and what a phone says."""
        ours = {lab.PBX: lab.SBC_TRUSTED, lab.CARRIER_A: lab.SBC_UNTRUSTED}
        self.assertEqual(copy[DESTINATION], ours[copy[SOURCE]])
        self.assertEqual((copy[SOURCE_PORT] % 2, copy[DESTINATION_PORT] % 2), (1, 1), "ports of RTCP")
        self.assertTrue(10000 < copy[DESTINATION_PORT] <= 20000)
        report = json.loads(copy[PAYLOAD])
        self.assertEqual(report["type"], SENDER_REPORT)
        self.assertGreater(report["sender_information"]["packets"], 0)
        self.assertEqual(report["report_count"], len(report["report_blocks"]))
        [item] = [item for item in report["sdes_information"] if item["type"] == CNAME]
        self.assertEqual(item["sdes_chunk_ssrc"], report["ssrc"])
        self.assertTrue(item["text"].isprintable() and item["text"])

    def reports(self):
        return [copy for copy in self.copies if copy[KIND] == RTCP]

    def sources_of_reports(self):
        """Who has told what it receives."""
        self.collect()
        return {copy[SOURCE] for copy in self.reports() if json.loads(copy[PAYLOAD])["report_blocks"]}

    def collect(self):
        """What has come to the collector since it was looked at last."""
        while True:
            try:
                packet = self.collector.recv(65535)
            except BlockingIOError:
                return
            self.copies.append(read(packet))


def read(packet):
    """The chunks of a packet by their types."""
    magic, length = struct.unpack_from("!4sH", packet)
    assert (magic, length) == (b"HEP3", len(packet)), packet
    chunks, at = {}, 6
    while at < len(packet):
        vendor, kind, size = struct.unpack_from("!HHH", packet, at)
        assert vendor == 0 and kind not in chunks and size >= 6, packet
        chunks[kind] = packet[at + 6:at + size]
        at += size
    for kind in (SOURCE, DESTINATION):
        chunks[kind] = socket.inet_ntoa(chunks[kind])
    for kind in (SOURCE_PORT, DESTINATION_PORT, KIND):
        chunks[kind] = int.from_bytes(chunks[kind], "big")
    return chunks
