"""Sets up two-way RTP streams through a relay: by SIP calls, or by rtpengine's ng protocol."""

import re
import socket

from systems import CALLEE, CALLER, NG_ADDRESS, SIP_PORT, TRUSTED, UNTRUSTED

FIRST_MEDIA_PORT = 30000
# Called numbers, all valid: +1 202 555 1000 and up.
FIRST_NUMBER = 12025551000
ANSWER_SECONDS = 2.0

SDP = """\
v=0
o=- 1 1 IN IP4 {address}
s=-
c=IN IP4 {address}
t=0 0
m=audio {port} RTP/AVP 0
a=rtpmap:0 PCMU/8000
"""

INVITE = """\
INVITE sip:+{number}@{trusted} SIP/2.0
Via: SIP/2.0/UDP {caller}:5060;branch=z9hG4bK-invite-{number}
From: <sip:+14155550100@{caller}>;tag=a{number}
To: <sip:+{number}@{trusted}>
Call-ID: {number}@{caller}
CSeq: 1 INVITE
Contact: <sip:{caller}:5060>
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: {length}

{body}"""

ACK = """\
ACK {target} SIP/2.0
Via: SIP/2.0/UDP {caller}:5060;branch=z9hG4bK-ack-{number}
From: <sip:+14155550100@{caller}>;tag=a{number}
To: {to}
Call-ID: {number}@{caller}
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

"""


def flow_lines(caller_port, trusted_port, callee_port, untrusted_port):
    """What rtp_load reads: each side's address and where it sends."""
    return [f"{CALLER}:{caller_port} {TRUSTED}:{trusted_port}",
            f"{CALLEE}:{callee_port} {UNTRUSTED}:{untrusted_port}"]


def media_port(message):
    return int(re.search(rb"^m=audio (\d+)", message, re.M)[1])


def by_sip_calls(calls):
    """Places calls through the SBC and leaves them up. Gives the flows' lines."""
    lines = []
    with open_udp(CALLER) as caller, open_udp(CALLEE) as callee:
        for index in range(calls):
            port = FIRST_MEDIA_PORT + 2 * index
            number = FIRST_NUMBER + index
            body = SDP.format(address=CALLER, port=port)
            send(caller, INVITE.format(number=number, trusted=TRUSTED, caller=CALLER, body=body,
                                       length=len(body) + body.count("\n")), (TRUSTED, SIP_PORT))
            offer, sbc = receive(callee, b"INVITE ", str(number).encode())
            send(callee, answer(offer, number, SDP.format(address=CALLEE, port=port)), sbc)
            accepted, _ = receive(caller, b"SIP/2.0 200 ", str(number).encode())
            target = re.search(rb"^(?:Contact|m):.*<([^>]+)>", accepted, re.M | re.I)[1].decode()
            send(caller, ACK.format(target=target, caller=CALLER, number=number,
                                    to=header(accepted, "To")), (TRUSTED, SIP_PORT))
            receive(callee, b"ACK ", b"")
            lines += flow_lines(port, media_port(accepted), port, media_port(offer))
    return lines


def answer(invite, number, body):
    copied = "".join(f"{name}: {header(invite, name)}\n" for name in ("From", "Call-ID", "CSeq"))
    vias = "".join(f"Via: {via.decode().strip()}\n" for via in re.findall(rb"^(?:Via|v):(.*)$", invite, re.M | re.I))
    return (f"SIP/2.0 200 OK\n{vias}{copied}To: {header(invite, 'To')};tag=b{number}\n"
            f"Contact: <sip:{CALLEE}:{SIP_PORT}>\nContent-Type: application/sdp\n"
            f"Content-Length: {len(body) + body.count(chr(10))}\n\n{body}")


def header(message, name):
    short = {"From": "f", "To": "t", "Call-ID": "i"}.get(name, name)
    return re.search(rf"^(?:{name}|{short}):\s*(.*?)\r$".encode(), message, re.M | re.I)[1].decode()


def open_udp(address):
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind((address, SIP_PORT))
    opened.settimeout(ANSWER_SECONDS)
    return opened


def send(opened, text, to):
    opened.sendto(text.replace("\n", "\r\n").encode(), to)


def receive(opened, start, containing):
    """The next message that starts so; others (100, 180, retransmissions) are passed over."""
    while True:
        message, sender = opened.recvfrom(65535)
        if message.startswith(start) and containing in message:
            return message, sender


def by_ng(calls):
    """Makes calls known to rtpengine. Gives the flows' lines."""
    lines = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        control.settimeout(ANSWER_SECONDS)
        for index in range(calls):
            port = FIRST_MEDIA_PORT + 2 * index
            names = {"call-id": f"call-{index}", "from-tag": "a",
                     "replace": ["origin", "session-connection"], "ICE": "remove"}
            offer = ng(control, {**names, "command": "offer", "direction": ["t", "u"],
                                 "sdp": SDP.format(address=CALLER, port=port).replace("\n", "\r\n")})
            accepted = ng(control, {**names, "command": "answer", "to-tag": "b",
                                    "sdp": SDP.format(address=CALLEE, port=port).replace("\n", "\r\n")})
            lines += flow_lines(port, media_port(accepted), port, media_port(offer))
    return lines


def ng(control, command):
    # A cookie of its own: rtpengine answers a known one from memory.
    cookie = f"{command['call-id']}-{command['command']}".encode()
    control.sendto(cookie + b" " + bencode(command), NG_ADDRESS)
    reply = control.recv(65535)
    if b"m=audio" not in reply:
        raise SystemExit(f"bench: rtpengine answered {reply!r}")
    return reply


def bencode(value):
    if isinstance(value, str):
        return b"%d:%s" % (len(value.encode()), value.encode())
    if isinstance(value, list):
        return b"l" + b"".join(map(bencode, value)) + b"e"
    return b"d" + b"".join(bencode(key) + bencode(value[key]) for key in sorted(value)) + b"e"
