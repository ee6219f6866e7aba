// The page of one call: its legs, the way it took, its media, its messages. What an older daemon does not say is
// left out.

import { announce, byId, decimal, duration, el, Freshness, hour, millis, moment, number, setData, setText, span, table } from "./common.js";
import { drawLadder, endsOf, lifelinesOf } from "./ladder.js";

const PHASES = { answered: "good", ringing: "warn", setup: "new", ending: "off", ended: "off" };
const EVERY_MS = 1000;
const ENDED_EVERY_MS = 15000;

const id = decodeURIComponent(location.pathname.split("/")[2] ?? "");
const fresh = new Freshness(4);
let call = null;
let phase = null;

function fill(list, rows) {
  const told = JSON.stringify(rows);
  if (list.told === told) return;
  list.told = told;
  const known = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  list.replaceChildren(...known.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

const legWords = (leg) => (leg ? [leg.trunk, leg.realm, leg.remote].filter(Boolean).join(", ") : "no target yet");

function drawHead() {
  const now = call.state === "ended" ? "ended" : call.phase;
  setText(byId("title"), `${call.from || "unknown"} → ${call.to || "unknown"}`);
  setText(byId("id"), call.id);
  const lasted = call.answer ? call.seconds - (Date.parse(call.answer) - Date.parse(call.start)) / 1000 : null;
  setText(byId("state"), now === "answered" && lasted !== null ? `answered, ${duration(lasted)}` : now);
  setData(byId("state"), "is", PHASES[now] ?? "warn");
  document.title = `${call.from} → ${call.to}: ${now}`;
  if (phase !== null && phase !== now) announce(`The call is ${now}.`);
  phase = now;
}

function drawLegs() {
  fill(byId("legs"), [
    ["In", legWords(call.ingress)],
    ["Out", legWords(call.egress)],
    ["Call-IDs", [call.ingress?.call_id, call.egress?.call_id].filter(Boolean).join(" and ")],
    ["Began", moment(call.start)],
    ["Rang", call.ring ? `${moment(call.ring)}, after ${millis(Date.parse(call.ring) - Date.parse(call.start)).join(" ")}` : null],
    ["Answered", call.answer ? `${moment(call.answer)}, after ${millis(Date.parse(call.answer) - Date.parse(call.start)).join(" ")}` : null],
    ["Ended", call.end ? moment(call.end) : null],
    ["Ended by", call.ended_by],
    ["Cause", call.cause],
    ["Codec", call.codec],
    ["Emergency", call.emergency ? "a call for help" : null],
  ]);
}

function redraw(place, data, make) {
  const told = JSON.stringify(data ?? null);
  if (place.told === told) return;
  place.told = told;
  place.replaceChildren(...make());
}

const cells = (heads, values) => values.map((value, index) => (index === 0
  ? el("th", { scope: "row", role: "rowheader", class: "wrap" }, value)
  : el("td", { role: "cell", class: heads[index][1] ?? "wrap", "data-label": heads[index][0] }, value)));

function tableOf(label, heads, rows) {
  const { whole, body } = table(label, "stacks", heads);
  body.append(...rows.map((values) => el("tr", { role: "row" }, ...cells(heads, values))));
  return whole;
}

function drawRoute() {
  const { route } = call;
  redraw(byId("route"), route, () => {
    if (!route) return [el("p", { class: "empty" }, "No route is known.")];
    const why = el("p", { class: "why" }, "Route ", el("strong", {}, route.name ?? "none"), route.matched ? `: ${route.matched}` : "");
    const tried = route.tried ?? [];
    if (tried.length === 0) return [why, el("p", { class: "empty" }, "No target was tried yet.")];
    const rows = tried.map((one) => [one.trunk ?? "–", one.target ?? "no address", String(one.status ?? "under way"), one.ms === null || one.ms === undefined ? "–" : millis(one.ms).join(" ")]);
    return [why, tableOf("Targets that were tried", [["Trunk"], ["Target"], ["Result"], ["Took", "figure"]], rows)];
  });
}

const MEDIA_HEADS = [["Direction"], ["Packets", "figure"], ["Lost", "figure"], ["Jitter", "figure"], ["MOS", "figure"], ["Dropped", "figure"], ["Last heard", "figure"]];

function drawMedia() {
  const { media } = call;
  redraw(byId("media"), media, () => {
    const directions = [["a_to_b", "Caller to callee"], ["b_to_a", "Callee to caller"]].filter(([key]) => media?.[key]);
    if (directions.length === 0) return [el("p", { class: "empty" }, "No media is measured.")];
    const rows = directions.map(([key, name]) => {
      const one = media[key];
      const last = one.last_packet_ms_ago;
      return [name, number(one.packets), number(one.lost), one.jitter_ms === null || one.jitter_ms === undefined ? "–" : `${decimal(one.jitter_ms, 1)} ms`,
        decimal(one.mos, 2), number(one.dropped), last === null || last === undefined ? "–" : last < 1000 ? "now" : `${span(last / 1000)} ago`];
    });
    return [tableOf("Media of both directions", MEDIA_HEADS, rows)];
  });
}

function drawMessages() {
  const messages = call.messages ?? [];
  const place = byId("ladder-drawing");
  const width = Math.max(Math.floor(place.clientWidth - 20), 300);
  byId("ladder-details").hidden = messages.length === 0;
  const dropped = call.messages_dropped ? `${call.messages_dropped} after the first ${call.messages_gap_after ?? 0} are not kept` : "";
  setText(byId("ladder-aside"), [messages.length > 0 ? `${messages.length}, seconds since the first` : "", dropped].filter(Boolean).join("; "));
  redraw(place, [messages, width], () => (messages.length === 0 ? [el("p", { class: "empty" }, "No message is kept of this call.")] : [drawLadder({ ...call, messages }, width)]));
  redraw(byId("ladder-table"), messages, () => {
    const lines = lifelinesOf({ ...call, messages });
    const rows = messages.map((message) => {
      const [from, to] = endsOf(message, lines).map((index) => lines[index].name);
      return [hour(message.at) + message.at.slice(19, 23), from, to, message.line + (message.is_retransmission ? " (again)" : ""), message.cseq ?? "", `${message.peer} ${message.transport ?? ""}`];
    });
    return [tableOf("Messages of the call", [["Time"], ["From"], ["To"], ["Message"], ["CSeq"], ["Peer"]], rows)];
  });
}

function drawAll() {
  drawHead();
  drawLegs();
  drawRoute();
  drawMedia();
  drawMessages();
}

function gone(problem) {
  setText(byId("state"), "over");
  setData(byId("state"), "is", "off");
  const place = byId("notices");
  place.hidden = false;
  place.replaceChildren(el("p", { class: "notice" }, el("strong", {}, call ? "The call is over." : "There is no such call."), ` ${problem?.cure ?? ""}`));
  if (call) announce("The call is over.");
  else setText(byId("id"), id);
  fresh.end("over");
}

async function look() {
  let pause = EVERY_MS;
  try {
    if (!document.hidden) {
      const answer = await fetch(`/api/v1/calls/${encodeURIComponent(id)}`, { cache: "no-store", signal: AbortSignal.timeout(5000) });
      if (answer.status === 404) return gone(await answer.json().catch(() => null));
      if (answer.ok) {
        call = await answer.json();
        drawAll();
        if (call.state === "ended") {
          fresh.end("ended");
          pause = ENDED_EVERY_MS;
        } else fresh.heard();
      }
    }
  } catch {
    // The lamp says that nothing comes.
  }
  setTimeout(look, pause);
}

new ResizeObserver(() => call && drawMessages()).observe(byId("ladder-drawing"));
look();
