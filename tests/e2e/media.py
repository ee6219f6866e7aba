"""Receives RTP, watches the wire, and listens for tones."""

import collections
import math
import select
import socket
import struct
import threading
import wave

RECEIVE_BUFFER_BYTES = 64 * 1024 * 1024
SO_RCVBUFFORCE = 33
ETH_P_ALL = 3
PACKET_OUTGOING = 4


class MediaSink:
    """Takes the RTP that is sent to a range of a host's ports, and keeps count of what is wrong."""

    def __init__(self, host, address, first_port, step, ports, *, source, octet):
        """Every packet must come from address `source` and consist of `octet`."""
        self.packets = collections.Counter()
        self.wrong_sources = collections.Counter()
        self.wrong_payloads = 0
        self._source = source
        self._octets = bytes([octet])
        self._poll = select.epoll()
        self._sockets = {}
        for index in range(ports):
            opened = host.udp(address, first_port + step * index)
            opened.setblocking(False)
            self._sockets[opened.fileno()] = (opened, index)
            self._poll.register(opened, select.EPOLLIN)
        self._running = True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while self._running:
            for descriptor, _ in self._poll.poll(0.1):
                opened, index = self._sockets[descriptor]
                try:
                    while True:
                        packet, sender = opened.recvfrom(2048)
                        self._take(index, packet, sender[0])
                except (BlockingIOError, ConnectionRefusedError):
                    pass

    def _take(self, index, packet, address):
        if address != self._source:
            self.wrong_sources[address] += 1
        elif len(packet) < 13 or packet[12:].strip(self._octets):
            self.wrong_payloads += 1
        else:
            self.packets[index] += 1

    def close(self):
        self._running = False
        self._thread.join()
        for opened, _ in self._sockets.values():
            opened.close()
        self._poll.close()


Frame = collections.namedtuple("Frame", "outgoing source destination source_port destination_port payload")


class Capture:
    """Every UDP datagram that crosses one interface of a host."""

    def __init__(self, host, interface):
        self.frames = []
        with host.inside():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE if can_force() else socket.SO_RCVBUF,
                                RECEIVE_BUFFER_BYTES)
        self._socket.bind((interface, ETH_P_ALL))
        self._socket.settimeout(0.1)
        self._running = True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while self._running:
            try:
                raw, address = self._socket.recvfrom(65535)
            except TimeoutError:
                continue
            frame = parse_frame(raw, address[2] == PACKET_OUTGOING)
            if frame:
                self.frames.append(frame)

    def close(self):
        """Ends the capture; the kernel must have dropped nothing of it."""
        self._running = False
        self._thread.join()
        SOL_PACKET, PACKET_STATISTICS = 263, 6
        _, dropped = struct.unpack("II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        self._socket.close()
        assert dropped == 0, f"the capture lost {dropped} frames"


def can_force():
    """SO_RCVBUFFORCE wants CAP_NET_ADMIN in the first user namespace."""
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        probe.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4096)
        return True
    except PermissionError:
        return False
    finally:
        probe.close()


def parse_frame(raw, outgoing):
    """The UDP datagram in an Ethernet frame with IPv4, else nothing."""
    if raw[12:14] != b"\x08\x00" or raw[23] != 17:
        return None
    datagram = 14 + (raw[14] & 15) * 4
    source_port, destination_port, length = struct.unpack_from("!HHH", raw, datagram)
    return Frame(outgoing, socket.inet_ntoa(raw[26:30]), socket.inet_ntoa(raw[30:34]), source_port,
                 destination_port, raw[datagram + 8:datagram + length])


def tone_share(path, hertz):
    """The share (0 to 1) of a wave file's energy that is at `hertz` (Goertzel), in its loudest second."""
    with wave.open(path, "rb") as audio:
        rate, channels = audio.getframerate(), audio.getnchannels()
        raw = audio.readframes(audio.getnframes())
    samples = struct.unpack(f"<{len(raw) // 2}h", raw[:len(raw) // 2 * 2])[::channels]
    seconds = [samples[start:start + rate] for start in range(0, len(samples) - rate + 1, rate // 2)]
    if not seconds:
        return 0.0
    loudest = max(seconds, key=lambda second: sum(sample * sample for sample in second))
    energy = sum(sample * sample for sample in loudest)
    return goertzel(loudest, hertz / rate) / energy if energy else 0.0


def goertzel(samples, cycles_per_sample):
    """Energy at one frequency, in the unit of the sum of squares."""
    coefficient = 2 * math.cos(2 * math.pi * cycles_per_sample)
    before, last = 0.0, 0.0
    for sample in samples:
        before, last = last, sample + coefficient * last - before
    power = before * before + last * last - coefficient * before * last
    return 2 * power / len(samples)
