"""A PBX and carriers on loopback: SIP over UDP as far as the page's test needs it, and RTP."""

import asyncio
import itertools
import random
import re
import struct
import threading

SDP = ("v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
       "a=rtpmap:0 PCMU/8000\r\n")
KEPT = ("via", "from", "to", "call-id", "cseq", "record-route")
PACKET_SECONDS = 0.02
# Long enough to be found in the page.
DECLINED_AFTER_SECONDS = 6


def header(message, name):
    found = re.search(rf"^{name}:\s*(.*?)\r?$", message, re.I | re.M)
    return found.group(1) if found else ""


def media_of(message):
    address = re.search(r"^c=IN IP4 (\S+)", message, re.M)
    port = re.search(r"^m=audio (\d+)", message, re.M)
    return (address.group(1), int(port.group(1))) if address and port else None


class Rtp(asyncio.DatagramProtocol):
    """Sends an even stream of PCMU, once it knows where to."""

    def __init__(self, loop):
        self.loop, self.to, self.heard, self.is_over = loop, None, 0, False

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.heard += 1

    def start(self, to):
        if self.to is None and to is not None:
            self.to = to
            self.loop.create_task(self.run())

    async def run(self):
        source = random.getrandbits(32)
        due = self.loop.time()
        for number in itertools.count():
            if self.is_over:
                return
            head = struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, number * 160 & 0xFFFFFFFF, source)
            self.transport.sendto(head + b"\xff" * 160, self.to)
            due += PACKET_SECONDS
            await asyncio.sleep(max(0, due - self.loop.time()))

    def stop(self):
        self.is_over = True
        self.transport.close()


class Party(asyncio.DatagramProtocol):
    """One user agent of SIP at an address of its own."""

    def __init__(self, host):
        self.host = host
        self.rtp = {}

    async def start(self):
        self.loop = asyncio.get_running_loop()
        self.transport, _ = await self.loop.create_datagram_endpoint(lambda: self, (self.host, 0))
        self.port = self.transport.get_extra_info("sockname")[1]

    async def open_media(self, call_id, host=None):
        _, rtp = await self.loop.create_datagram_endpoint(lambda: Rtp(self.loop), (host or self.host, 0))
        self.rtp[call_id] = rtp
        return rtp.transport.get_extra_info("sockname")[1]

    def stop_media(self, call_id):
        if rtp := self.rtp.pop(call_id, None):
            rtp.stop()

    def send(self, text, to):
        self.transport.sendto(text.encode(), to)

    def answer(self, request, to, status, body="", tag="t"):
        lines = [f"SIP/2.0 {status}"]
        for line in request.split("\r\n\r\n")[0].split("\r\n")[1:]:
            name = line.split(":")[0].lower()
            if name in KEPT:
                lines.append(f"{line};tag={tag}" if name == "to" and "tag=" not in line else line)
        lines.append(f"Contact: <sip:party@{self.host}:{self.port}>")
        if body:
            lines.append("Content-Type: application/sdp")
        lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines) + "\r\n\r\n" + body, to)

    def datagram_received(self, data, address):
        message = data.decode("utf-8", "replace")
        self.loop.create_task(self.take(message, address))


class Carrier(Party):
    """Answers by the called number's last digits: 86 is busy, 04 unknown, 80 rings for ever, 05 declines with markup; 66 sends its
    media from an address that its SDP does not name."""

    is_dead = False
    elsewhere = "127.0.0.5"
    post_dial_seconds = (0.05, 0.25)

    async def take(self, message, address):
        if self.is_dead:
            return
        method = message.split(" ")[0]
        call_id = header(message, "Call-ID")
        if method == "INVITE":
            await self.ring(message, address, call_id)
        elif method == "ACK":
            pass
        elif method == "CANCEL":
            self.answer(message, address, "200 OK")
            self.answer(self.ringing.pop(call_id, message).replace("CSeq: CANCEL", "CSeq: INVITE"), address, "487 Request Terminated")
        elif method in ("BYE", "OPTIONS"):
            self.stop_media(call_id)
            self.answer(message, address, "200 OK")

    ringing = {}

    async def ring(self, invite, address, call_id):
        if call_id in self.ringing:
            return
        self.ringing[call_id] = invite
        number = re.match(r"INVITE sip:([^@]*)@", invite).group(1)
        await asyncio.sleep(random.uniform(*self.post_dial_seconds))
        if number.endswith("04"):
            return self.answer(invite, address, "404 Not Found")
        self.answer(invite, address, "180 Ringing")
        if number.endswith("05"):
            await asyncio.sleep(DECLINED_AFTER_SECONDS)
            return self.answer(invite, address, "603 <img src=x onerror=alert(1)>\u202egnihton")
        if number.endswith("80"):
            return None
        await asyncio.sleep(random.uniform(0.2, 0.6))
        if number.endswith("86"):
            return self.answer(invite, address, "486 Busy Here")
        if call_id in self.ringing:
            port = await self.open_media(call_id, self.elsewhere if number.endswith("66") else None)
            self.rtp[call_id].start(media_of(invite))
            self.answer(invite, address, "200 OK", SDP.format(host=self.host, port=port))
        return None


class Pbx(Party):
    """Places calls at the SBC."""

    def __init__(self, host, sbc):
        super().__init__(host)
        self.sbc, self.calls, self.numbers = sbc, {}, itertools.count(1)

    def request(self, method, call, cseq, to_tag="", body="", extra=""):
        branch = f"z9hG4bK-{call['id']}-{cseq}" + ("-ack" if method == "ACK" else "") + ("-bye" if method == "BYE" else "")
        to = f"<sip:{call['to']}@{self.sbc[0]}>" + (f";tag={to_tag}" if to_tag else "")
        uri = call.get("contact") if to_tag else f"sip:{call['to']}@{self.sbc[0]}:{self.sbc[1]}"
        kind = "Content-Type: application/sdp\r\n" if body else ""
        return (f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {self.host}:{self.port};branch={branch}\r\nMax-Forwards: 70\r\n"
                f"From: {call['display']}<sip:{call['from']}@{self.host}>;tag={call['id']}\r\nTo: {to}\r\nCall-ID: {call['id']}\r\n"
                f"CSeq: {cseq} {method}\r\nContact: <sip:pbx@{self.host}:{self.port}>\r\n{extra}{kind}"
                f"Content-Length: {len(body)}\r\n\r\n{body}")

    async def place(self, caller, called, seconds, display=""):
        """A call that lasts so long once it is answered; one that is not answered is given up after it."""
        call = {"id": f"page-{next(self.numbers)}-{random.getrandbits(32):x}", "from": caller, "to": called, "display": display,
                "answered": asyncio.Event(), "failed": False}
        self.calls[call["id"]] = call
        port = await self.open_media(call["id"])
        self.send(self.request("INVITE", call, 1, body=SDP.format(host=self.host, port=port)), self.sbc)
        try:
            await asyncio.wait_for(call["answered"].wait(), seconds + 2)
            if not call["failed"]:
                await asyncio.sleep(seconds)
                self.send(self.request("BYE", call, 2, call["tag"]), self.sbc)
        except asyncio.TimeoutError:
            self.send(self.request("CANCEL", call, 1), self.sbc)
        self.stop_media(call["id"])

    async def take(self, message, address):
        call_id = header(message, "Call-ID")
        call = self.calls.get(call_id)
        if not message.startswith("SIP/2.0"):
            if not message.startswith("ACK"):
                self.answer(message, address, "200 OK")
            return
        status = int(message.split(" ")[1])
        if call is None or "INVITE" not in header(message, "CSeq") or status < 200:
            return
        call["tag"] = (re.search(r"tag=([^;\s]+)", header(message, "To")) or [None, ""])[1]
        if status < 300:
            call["contact"] = re.search(r"<([^>]*)>", header(message, "Contact")).group(1)
            self.rtp[call_id].start(media_of(message)) if call_id in self.rtp else None
            self.send(self.request("ACK", call, 1, call["tag"]), self.sbc)
        else:
            call["failed"] = True
            ack = self.request("ACK", call, 1, "").replace("-ack\r\n", "\r\n")
            self.send(ack.replace(f"To: <sip:{call['to']}@{self.sbc[0]}>", f"To: {header(message, 'To')}"), self.sbc)
        call["answered"].set()


class Loop:
    """An event loop on a thread of its own."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    def begin(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)
