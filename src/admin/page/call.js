// The page of one call: its legs, the way it took, its media, its messages. What an older daemon does not say is
// left out.

import { announce, byId, duration, el, Freshness, hour, millis, moment, number, redraw, setData, setText, shown, tableOf } from "./common.js";
import { drawLadder, endsOf, lifelinesOf } from "./ladder.js";
import { drawMedia, mediaFindings } from "./media.js";
import { drawNotices } from "./notices.js";

const PHASES = { answered: "good", ringing: "new", setup: "new", ending: "off", ended: "off" };
const EVERY_MS = 1000;
const ENDED_EVERY_MS = 15000;

const id = decodeURIComponent(location.pathname.split("/")[2] ?? "");
const fresh = new Freshness(4, () => call && drawHead());
let call = null;
let phase = null;
let found = [];
let told = new Set();

function fill(list, rows) {
  const told = JSON.stringify(rows);
  if (list.told === told) return;
  list.told = told;
  const known = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  list.replaceChildren(...known.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

const legWords = (leg) => (leg ? [leg.trunk, leg.realm, leg.remote].filter(Boolean).join(", ") : "no target yet");

/** How it is, for the head: [kind, words]. Of one that ended, how it did: that is what is asked for first. */
function headline(now) {
  if (fresh.lost) return ["unknown", `was ${now} when it was last heard of`];
  const is = found.some((finding) => finding.is === "bad") ? "bad" : PHASES[now] ?? "warn";
  if (now === "ended" && call.outcome) return [is, `ended: ${call.outcome}${call.status ? `, ${call.status}` : ""}`];
  if (now !== "answered" || !call.answer) return [is, now];
  const lasted = call.seconds - (Date.parse(call.answer) - Date.parse(call.start)) / 1000;
  return [is, `answered, ${duration(lasted)}${found.some(({ said }) => said) ? ", one-way audio" : ""}`];
}

function drawHead() {
  const now = call.state === "ended" ? "ended" : call.phase;
  setText(byId("title"), `${call.from || "unknown"} → ${call.to || "unknown"}`);
  setText(byId("id"), call.id);
  const [is, words] = headline(now);
  setText(byId("state"), words);
  setData(byId("state"), "is", is);
  document.title = shown(`${call.from} → ${call.to}: ${now}`);
  if (phase !== null && phase !== now) announce(`The call is ${now}.`);
  phase = now;
}

function drawFindings() {
  drawNotices(found);
  const news = found.filter(({ key, said }) => said && !told.has(key)).map(({ said }) => said);
  told = new Set(found.filter(({ said }) => said).map(({ key }) => key));
  if (news.length > 0) announce(news.join(" "));
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
    ["Ended by", call.ended_by ? `the ${call.ended_by === "sbc" ? "SBC" : call.ended_by}` : null],
    ["Cause", call.cause],
    ["Codec", call.codec],
    ["On hold", ["ingress", "egress"].filter((leg) => call[leg]?.holding).map((leg) => `by the ${leg === "ingress" ? "caller" : "callee"}`).join(" and ")],
    ["Transfers", (call.transfers ?? []).map((one) => `by the ${one.by} to ${one.to}: ${one.status}`).join("; ")],
    ["Emergency", call.emergency ? "a call for help" : null],
  ]);
}

const RESULTS = { timeout: "no answer in time", transport: "not reachable", dns: "no address in DNS", cancelled: "given up" };

function resultOf(status) {
  if (status === null || status === undefined) return el("span", { class: "mark", "data-is": "new" }, "under way");
  const is = status in RESULTS ? (status === "cancelled" ? "off" : "bad") : Number(status) < 300 ? "good" : "bad";
  return el("span", { class: "mark", "data-is": is }, RESULTS[status] ?? String(status));
}

/** Where it would go next, as long as that matters. */
function nextOf({ waiting }) {
  const isOpen = call.state !== "ended" && !call.answer && waiting?.length > 0;
  return isOpen ? [el("p", { class: "aside" }, `Next: ${waiting.join(", ")}`)] : [];
}

function drawRoute() {
  const { route } = call;
  redraw(byId("route"), [route, call.answer, call.state], () => {
    if (!route) return [el("p", { class: "empty" }, "No route is known.")];
    const why = el("p", { class: "why" }, "Route ", el("strong", {}, route.name ?? "none"), route.matched ? `: ${route.matched}` : "");
    const tried = route.tried ?? [];
    if (tried.length === 0) return [why, el("p", { class: "empty" }, "No target was tried yet.")];
    const rows = tried.map((one) => [one.trunk ?? "–", one.target ?? "no address", resultOf(one.status), one.ms === null || one.ms === undefined ? "–" : millis(one.ms).join(" ")]);
    return [why, tableOf("Targets that were tried", [["Trunk"], ["Target"], ["Result"], ["Took", "figure"]], rows), ...nextOf(route)];
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
  found = mediaFindings(call);
  drawHead();
  drawFindings();
  drawLegs();
  drawRoute();
  drawMedia(call);
  drawMessages();
}

function gone(problem) {
  fresh.end("over");
  setText(byId("state"), "over");
  setData(byId("state"), "is", "off");
  drawNotices([{ key: "gone", is: call ? "info" : "warn", title: call ? "The call is over." : "There is no such call.", text: problem?.cure ?? "" }]);
  if (call) announce("The call is over.");
  else setText(byId("id"), id);
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
