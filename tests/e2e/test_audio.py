"""What is said on one side comes out on the other: the same samples, the same packets, the same keys."""

import collections
import itertools
import os
import random
import struct
import subprocess
import wave

import lab
import media
import sipp
from baresip import Baresip
from case import CARRIER_DIALS, LabCase, PBX_DIALS
from script import audio, callee, caller

SAMPLES_A_SECOND = 8000
PACKET_BYTES = 160
# How much of what a phone plays out must be the recording, in one piece: its own jitter buffer may slip.
HEARD_SECONDS = 2


class Recording(LabCase):
    """A recording through baresip, the SBC and baresip, both ways at once, in PCMU."""

    out = ("carrier-a",)

    def test_the_same_samples_come_out(self):
        said = {"pbx": pcmu_noise(1, 10), "carrier": pcmu_noise(2, 10)}
        captures = {"pbx": self.capture(self.lab.pbx), "carrier": self.capture(self.lab.carrier_a)}
        callee_phone = Baresip(self.lab.carrier_a, lab.CARRIER_A, self.directory, user=PBX_DIALS, seconds=12,
                               recording=samples(said["carrier"]))
        lab.wait_until("baresip is ready", lambda: "baresip is ready" in callee_phone.report())
        caller_phone = Baresip(self.lab.pbx, lab.PBX, self.directory, user=CARRIER_DIALS, seconds=6,
                               recording=samples(said["pbx"]), dial=f"sip:{PBX_DIALS}@{lab.SBC_TRUSTED}")
        caller_phone.process.wait(15)
        lab.wait_until("the call is over", lambda: self.sbc.metric("drawbridge_calls_active") == 0)
        lab.stop(callee_phone.process)
        self.expect_recording(captures["pbx"], lab.SBC_TRUSTED, said["carrier"], caller_phone)
        self.expect_recording(captures["carrier"], lab.SBC_UNTRUSTED, said["pbx"], callee_phone)
        self.expect_nothing_left()

    def capture(self, host):
        path = os.path.join(self.directory, f"{host.name}.pcap")
        process = host.start(["dumpcap", "-i", "eth0", "-q", "-P", "-w", path])
        lab.wait_until(f"dumpcap runs on {host.name}", lambda: os.path.exists(path) and os.path.getsize(path) > 0)
        return path, process

    def expect_recording(self, capture, sbc, said, phone):
        """By the wire, and by what the phone played out."""
        path, process = capture
        lab.stop(process)
        [stream] = [stream for stream in tshark_streams(path) if stream.source == sbc]
        self.assertEqual((stream.lost, stream.problems), (0, ""), f"RTP that {phone.directory} got")
        self.assertGreater(stream.packets, 5 * SAMPLES_A_SECOND // PACKET_BYTES)
        heard = tshark_payloads(path, sbc)
        self.assertIn(heard, said, "the samples on the wire are not the recording")
        with wave.open(phone.heard(), "rb") as played:
            frames = played.readframes(played.getnframes())
        pieces = [piece for piece in in_pieces(frames, 2 * HEARD_SECONDS * SAMPLES_A_SECOND)
                  if piece in struct.pack(f"<{len(said)}h", *samples(said))]
        self.assertTrue(pieces, f"no {HEARD_SECONDS} s of what was played out are the recording")


class Payloads(LabCase):
    """Each packet crosses as it is, header and all, whatever the codec."""

    out = ("carrier-a",)

    def expect_same_packets(self, codecs, packets):
        heard = media.Capture(self.lab.carrier_a, "eth0")
        answering = self.carrier_a(callee().is_invited().says(180).answers(audio(codecs=codecs)).is_hung_up_on())
        self.pbx_calls(caller().invites(audio(codecs=codecs)).is_answered().plays().pauses().hangs_up(),
                       packets=packets, pause_ms=20 * len(packets) + 300).must_succeed()
        answering.must_succeed()
        heard.close()
        arrived = [frame.payload for frame in heard.frames if frame.source == lab.SBC_UNTRUSTED
                   and frame.destination_port == sipp.FIRST_MEDIA_PORT]
        self.assertEqual(len(arrived), len(packets), "packets")
        self.assertEqual(arrived, packets)
        self.expect_cdrs(1)
        self.expect_nothing_left()
        return arrived

    def test_g722(self):
        self.expect_same_packets("9", stream(9, 160, [160] * 50))

    def test_g729_with_silence_frames(self):
        self.expect_same_packets("18", stream(18, 160, [20] * 20 + [10, 2] + [20] * 20))

    def test_opus_of_any_length(self):
        self.expect_same_packets("111", stream(111, 960, [3, 40, 160, 1, 80, 320, 1275] * 6))

    def test_ilbc(self):
        self.expect_same_packets("97", stream(97, 160, [38] * 50))

    def test_keys_arrive_once_each_in_their_order(self):
        keys = "1559#0*5"
        packets = stream(0, 160, [160] * 5)
        for key in keys:
            packets += event(key, len(packets)) + stream(0, 160, [160] * 3, first=len(packets) + 9)
        arrived = self.expect_same_packets("0 101", packets)
        self.assertEqual(keys_of(arrived), keys)


# ------------------------------------------------------------------------------------------- packets

def stream(payload_type, step, lengths, first=0):
    """RTP packets of arbitrary bytes, of these lengths."""
    drawn = random.Random(payload_type + first)
    return [rtp(payload_type, first + index, step * (first + index), drawn.randbytes(length))
            for index, length in enumerate(lengths)]


KEYS = "0123456789*#ABCD"


def event(key, first):
    """Nine packets of one key (RFC 4733 §2.5): growing, and its end three times."""
    packets = []
    for index in range(9):
        end = 0x80 if index >= 6 else 0
        duration = 160 * min(index + 1, 7)
        body = struct.pack("!BBH", KEYS.index(key), end | 10, duration)
        packets.append(rtp(101, first + index, 160 * first, body, marker=index == 0))
    return packets


def rtp(payload_type, sequence, timestamp, payload, marker=False):
    second = payload_type | (0x80 if marker else 0)
    return struct.pack("!BBHII", 0x80, second, 7000 + sequence, timestamp, 0x44726177) + payload


def keys_of(packets):
    """The keys of RFC 4733 events: one for each timestamp."""
    events = {}
    for packet in packets:
        if packet[1] & 0x7F == 101:
            events.setdefault(packet[4:8], KEYS[packet[12]])
    return "".join(events.values())


# ------------------------------------------------------------------------------------------- PCMU

def pcmu_noise(seed, seconds):
    """Loud, without the two octets that mean zero: each sample has one octet only."""
    drawn = random.Random(seed)
    return bytes(drawn.choice((drawn.randrange(0, 0x60), drawn.randrange(0x80, 0xE0)))
                 for _ in range(seconds * SAMPLES_A_SECOND))


def samples(pcmu):
    return [LINEAR[octet] for octet in pcmu]


def linear(octet):
    """ITU-T G.711, µ-law."""
    octet = ~octet & 0xFF
    magnitude = (((octet & 0x0F) << 3) + 0x84 << ((octet & 0x70) >> 4)) - 0x84
    return -magnitude if octet & 0x80 else magnitude


LINEAR = [linear(octet) for octet in range(256)]


def in_pieces(frames, length):
    """Pieces of that many bytes, a tenth of a second apart."""
    step = 2 * SAMPLES_A_SECOND // 10
    return [frames[start:start + length] for start in range(0, len(frames) - length + 1, step)]


# ------------------------------------------------------------------------------------------- tshark

Stream = collections.namedtuple("Stream", "source packets lost problems")


def tshark(path, *arguments):
    # Media ports are none that tshark knows.
    command = ["tshark", "-r", path, "-d", "udp.port==10000-20000,rtp", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def tshark_streams(path):
    """What tshark says of each RTP stream."""
    streams = []
    for line in tshark(path, "-q", "-z", "rtp,streams").splitlines():
        fields = line.split()
        if len(fields) > 9 and fields[7] == "g711U":
            packets, lost = int(fields[8]), int(fields[9])
            streams.append(Stream(fields[2], packets, lost, fields[-1] if fields[-1] == "X" else ""))
    return streams


def tshark_payloads(path, source):
    """The payload of all PCMU from an address, whose sequence numbers must be without a gap."""
    # An ICMP error quotes a packet of those that came too late.
    only = f"rtp.p_type == 0 && ip.src == {source} && !icmp"
    lines = tshark(path, "-Y", only, "-T", "fields", "-e", "rtp.seq", "-e", "rtp.payload")
    packets = [(int(sequence), payload) for sequence, payload in map(str.split, lines.splitlines())]
    for (before, _), (after, _) in itertools.pairwise(packets):
        assert after == (before + 1) % (1 << 16), f"RTP {after} follows {before}"
    return b"".join(bytes.fromhex(payload.replace(":", "")) for _, payload in packets)
