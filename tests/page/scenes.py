"""What a page is drawn from where the daemon under test does not say it by itself. All of it is made of bodies that a
daemon said: those that src/admin/golden/ holds it to, and those of the daemon that runs. Nothing can be written here that
is not in them."""

import copy
import json
import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GOLDEN = os.path.join(ROOT, "src/admin/golden")


def golden(name):
    with open(os.path.join(GOLDEN, f"{name}.json"), encoding="utf-8") as file:
        return json.load(file)


def changed(body, **changes):
    """A copy of a body with other values, of the types that it has."""
    for name, value in changes.items():
        if name not in body:
            raise KeyError(f"the API says no {name}, but {', '.join(body)}")
        known = body[name]
        both_numbers = isinstance(known, (int, float)) and isinstance(value, (int, float))
        if known is not None and value is not None and type(known) is not type(value) and not both_numbers:
            raise TypeError(f"{name} is {known!r} in the API, not {value!r}")
    return copy.deepcopy(body) | changes


def a_call():
    """Failover after a silent start, a retransmission, early media."""
    body = golden("call")

    def message(millis, leg, direction, line, cseq="1 INVITE", again=False):
        peer = {"ingress": "10.0.0.10:5060", "egress": "192.0.2.1:5060", "first": "192.0.2.9:5060"}[leg]
        return changed(body["messages"][0], at=f"2026-11-21T12:09:{39 + millis // 1000:02}.{millis % 1000:03}Z",
                       leg="egress" if leg == "first" else leg, direction=direction, peer=peer, line=line, cseq=cseq,
                       is_retransmission=again)

    media, tried = body["media"], body["route"]["tried"]
    quiet = {"dropped": 0, "dropped_by": {}}
    a_to_b = changed(media["a_to_b"], packets=4250, lost=3, jitter_ms=1.84, mos=4.38, **quiet)
    b_to_a = changed(media["b_to_a"], packets=4250, lost=0, jitter_ms=0.92, mos=4.41, **quiet)
    return changed(
        body, id="00k3v8m1q2w7x5z9a4b6c0d2e8", to="+442079460000", seconds=87, messages_dropped=0, messages_gap_after=None,
        ingress=changed(body["ingress"], trunk="pbx", remote="10.0.0.10:5060"),
        egress=changed(body["egress"], trunk="carrier", remote="192.0.2.1:5060"),
        start="2026-11-21T12:09:39.000Z", ring="2026-11-21T12:09:40.313Z", answer="2026-11-21T12:09:44.120Z",
        route=changed(body["route"], tried=[
            changed(tried[0], trunk="spare", target="192.0.2.9:5060", status=503, ms=1031),
            changed(tried[0], trunk="carrier", target="192.0.2.1:5060", status=None, ms=4100)]),
        media=changed(media, a_to_b=a_to_b, b_to_a=b_to_a),
        messages=[
            message(0, "ingress", "in", "INVITE sip:+442079460000@10.0.0.5"),
            message(1, "ingress", "out", "100 Trying"),
            message(2, "first", "out", "INVITE sip:+442079460000@192.0.2.9"),
            message(502, "first", "out", "INVITE sip:+442079460000@192.0.2.9", again=True),
            message(1033, "first", "in", "503 Service Unavailable"),
            message(1034, "first", "out", "ACK sip:+442079460000@192.0.2.9", "1 ACK"),
            message(1036, "egress", "out", "INVITE sip:+442079460000@192.0.2.1"),
            message(1060, "egress", "in", "100 Trying"),
            message(1312, "egress", "in", "183 Session Progress"),
            message(1313, "ingress", "out", "183 Session Progress"),
            message(5119, "egress", "in", "200 OK"),
            message(5120, "ingress", "out", "200 OK"),
            message(5121, "egress", "out", "ACK sip:+442079460000@192.0.2.1", "1 ACK"),
            message(5131, "ingress", "in", "ACK sip:+442079460000@10.0.0.5", "1 ACK")])


def a_call_that_is_half_heard(is_over=False):
    """The callee sends from where its SDP does not say."""
    body = golden("ended_call" if is_over else "call")
    media = body["media"]
    b_to_a = changed(media["b_to_a"], packets=0, mos=None, last_packet_ms_ago=None, not_heard=True, one_way_ms=42500,
                     dropped=2125, dropped_by={"source_mismatch": 2100, "not_rtp": 25})
    streams = copy.deepcopy(media["streams"])
    for stream in streams:
        source = stream["b_to_a"]["source"]
        stream["b_to_a"]["source"] = changed(source, signalled="203.0.113.9:40000", locked=None, claim=None, stranger="198.51.100.7:40000")
    return changed(body, media=changed(media, b_to_a=b_to_a, streams=streams))


def with_status(snapshot, **changes):
    return changed(snapshot, status=changed(snapshot["status"], **changes))


def with_window(snapshot, **changes):
    windows = snapshot["windows"]
    return changed(snapshot, windows=changed(windows, five_minutes=changed(windows["five_minutes"], **changes)))


def a_large_node(snapshot, calls):
    """Forty trunks of four targets and 2,000 calls: one trunk is down, one is refused, two have a target that is down."""
    like = next(trunk for trunk in snapshot["trunks"] if trunk["name"] == "carrier")
    up, down = ((target, like["changes"][like["targets"].index(target)])
                for state in ("up", "down") for target in like["targets"] if target["state"] == state)
    failure = down[0]["last_failure"]
    trunks = []
    for number in range(40):
        of = [down if number == 31 or (number in (7, 23) and at == 2) else up for at in range(4)]
        state = {31: "down", 12: "unauthorized"}.get(number, "up")
        targets = [changed(target, address=f"198.51.{number}.{at}:5060", last_failure=failure if target["state"] == "down" else None)
                   for at, (target, _) in enumerate(of)]
        name = ("carrier-eu-west", "transit", "mobile-gateway", "pbx-site")[number % 4]
        trunks.append(changed(like, name=f"{name}-{number:02}", state=state, calls=50, targets=targets, changes=[changes for _, changes in of]))
    listed = [changed(calls["calls"][0], id=f"id{number:05}", **{"from": f"+1202555{number:04}"}, seconds=7300 - number * 7,
                      not_heard=["caller"] if number == 900 else []) for number in range(1000)]
    status = changed(snapshot["status"], calls=2000, failing_trunks=[], media_ports={
        "trusted": {"in_use": 4000, "limit": 10000}, "untrusted": {"in_use": 9400, "limit": 10000}})
    snapshot = changed(with_window(snapshot, attempts=2000, effective=1940, ner=0.97, mos=4.3, dropped_by={"source_mismatch": 1200, "send_queue_full": 12}), trunks=trunks, status=status)
    return snapshot, changed(calls, total=2000, calls=listed)


def a_fresh_node(snapshot, calls):
    """As the package leaves it: nobody is let in, and there is nowhere to call."""
    windows = {name: changed(window, **{key: None if value is None or key.endswith(("_ms", "asr", "ner", "mos"))
                                        else {} if key == "dropped_by" else 0 for key, value in window.items()})
               for name, window in snapshot["windows"].items()}
    configuration = changed(snapshot["status"]["configuration"], trunks=0, routes=0)
    status = changed(snapshot["status"], calls=0, trunks={}, configuration=configuration)
    return changed(snapshot, trunks=[], windows=windows, status=status), changed(calls, total=0, calls=[])


def script(snapshot=None, calls=None, history=None, call=None):
    """Puts these bodies in the place of the daemon's."""
    bodies = json.dumps({"/api/v1/history": history, "/api/v1/calls": calls, "call": call})
    return f"""
window.scene = {json.dumps(snapshot)};
const bodies = {bodies};
window.asked = "";
const found = (path) => {{
  window.asked = path;
  const last = bodies["/api/v1/calls"].calls.at(-1);
  return {{ total: 2000, calls: [{{ ...last, id: "found", from: decodeURIComponent(path.split("=")[1]) }}] }};
}};
window.fetch = async (path) => new Response(path.includes("?match=") ? JSON.stringify(found(path)) : JSON.stringify(bodies[path] ?? bodies.call), {{ status: 200 }});
window.EventSource = class extends EventTarget {{
  constructor() {{
    super();
    const tell = () => this.dispatchEvent(new MessageEvent("snapshot", {{ data: JSON.stringify(window.scene) }}));
    this.clock = setInterval(tell, 500);
    setTimeout(() => {{ this.dispatchEvent(new Event("open")); tell(); }});
  }}
  close() {{ clearInterval(this.clock); }}
}};
"""
