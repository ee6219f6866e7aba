// The messages of a call as a ladder: a lifeline for each party, Drawbridge between them, an arrow a message.

import { svg } from "./common.js";

const ROW = 30;
const TOP = 46;
const GUTTER = 52;
/** Lifelines that are nearer have no room for words: then the ladder is wider than the page, and scrolls. */
const GAP_MIN = 96;
const EDGE = 56;
/** About how wide a letter is, to cut what has no room. */
const LETTER = 6.6;
const MONO = 6.8;

/** Who talks to whom in a message: indices of lifelines. */
export function lifelinesOf(call) {
  const lines = [{ name: call.ingress?.trunk ?? "caller", peer: null, leg: "ingress" }, { name: "Drawbridge", peer: "", leg: null }];
  for (const message of call.messages) {
    if (message.leg === "ingress") lines[0].peer ??= message.peer;
    else if (!lines.some((line) => line.leg === "egress" && line.peer === message.peer)) {
      const tried = (call.route?.tried ?? []).find((one) => one.target === message.peer);
      const name = tried?.trunk ?? (call.egress?.remote === message.peer ? call.egress.trunk : null) ?? "callee";
      lines.push({ name, peer: message.peer, leg: "egress" });
    }
  }
  return lines;
}

export function endsOf(message, lines) {
  const peer = message.leg === "ingress" ? 0 : lines.findIndex((line) => line.leg === "egress" && line.peer === message.peer);
  return message.direction === "in" ? [peer, 1] : [1, peer];
}

export function kindOf(line) {
  const status = /^(?:SIP\/2\.0 )?([1-6])\d\d\b/.exec(line);
  if (!status) return "request";
  return { 1: "provisional", 2: "success" }[status[1]] ?? "failure";
}

/** "INVITE" or "180 Ringing": the rest has no room over an arrow. */
export function shortOf(line) {
  const told = line.replace(/^SIP\/2\.0 /, "");
  return kindOf(line) === "request" ? told.split(" ")[0] : told;
}

function cut(text, width, letter) {
  const room = Math.max(Math.floor(width / letter), 1);
  return text.length > room ? `${text.slice(0, Math.max(room - 1, 1))}…` : text;
}

export function drawLadder(call, room) {
  const lines = lifelinesOf(call);
  const height = TOP + call.messages.length * ROW + 14;
  const edge = room > 600 ? EDGE + 10 : EDGE - 6;
  const first = GUTTER + edge;
  const gap = Math.max((room - first - edge) / Math.max(lines.length - 1, 1), GAP_MIN);
  const width = Math.ceil(first + edge + gap * (lines.length - 1));
  const x = (index) => first + index * gap;
  const begin = Date.parse(call.messages[0]?.at);
  const names = lines.map((line) => line.name).join(", ");
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-labelledby": "ladder-name", "aria-describedby": "ladder-words" },
    svg("title", { id: "ladder-name" }, `Ladder of ${call.messages.length} SIP messages between ${names}`),
    svg("desc", { id: "ladder-words" }, "Below it the same messages stand as a table."));
  lines.forEach((line, index) => {
    picture.append(svg("line", { class: "life", x1: x(index), x2: x(index), y1: TOP - 8, y2: height }));
    const most = Math.min(gap, 2 * edge + 4);
    picture.append(svg("text", { class: "party", x: x(index), y: 14, "text-anchor": "middle" }, cut(line.name, most, 7.2)));
    if (line.peer) picture.append(svg("text", { class: "where", x: x(index), y: 30, "text-anchor": "middle" }, cut(line.peer, most, MONO), svg("title", {}, line.peer)));
  });
  call.messages.forEach((message, row) => picture.append(arrow(message, lines, row, x, begin)));
  return picture;
}

function arrow(message, lines, row, x, begin) {
  const [from, to] = endsOf(message, lines).map(x);
  const y = TOP + row * ROW + 20;
  const kind = kindOf(message.line);
  const tip = to > from ? -7 : 7;
  const after = ((Date.parse(message.at) - begin) / 1000).toFixed(3);
  const again = message.is_retransmission ? " (again)" : "";
  const middle = (from + to) / 2;
  return svg("g", { class: `row${again ? " again" : ""}` },
    svg("title", {}, `${message.at} ${message.line}${again} ${message.cseq ?? ""}`),
    svg("text", { class: "when", x: GUTTER - 6, y: y + 4, "text-anchor": "end" }, after),
    svg("line", { class: `arrow ${kind}`, x1: from, x2: to + tip * 0.8, y1: y, y2: y }),
    svg("path", { class: `tip ${kind}`, d: `M${to} ${y}l${tip} -4v8z` }),
    svg("text", { x: middle, y: y - 5, "text-anchor": "middle" }, cut(shortOf(message.line) + again, Math.abs(to - from) - 8, LETTER)));
}
