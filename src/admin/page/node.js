// The page of the node: how it is, its traffic, its calls. trunks.js draws the trunks.

import { announce, bits, byId, count, decimal, duration, el, Freshness, hour, millis, moment, number, percent, reconcile, setData, setText, shown, span, svg, table } from "./common.js";
import { chart, draw, rolling } from "./chart.js";
import { findings, loadIs, mosIs, nerIs, verdict } from "./findings.js";
import { drawNotices } from "./notices.js";
import { mostFirst, whyDropped } from "./reasons.js";
import { drawTrunks } from "./trunks.js";

const SECONDS_KEPT = 300;
/** Fewer points do not fill a chart. */
const POINTS_MIN = 60;
/** No more rows are drawn: a search finds the others. */
const ROWS_MAX = 200;
/** No more calls are in one answer. */
const LISTED_MAX = 1000;

const fresh = new Freshness(3, () => snapshot && drawHead(snapshot));
let history = { seconds: [], minutes: [] };
let snapshot = null;
let found = [];
let told = null;

// ---------------------------------------------------------------------------------------- readings

const spread = (values) => Math.max(...values.filter((value) => value !== null && value !== undefined), 0);

/** Each reading: what its figure, its note and its line are made of. */
const READINGS = [
  {
    name: "Active calls",
    value: ({ status }) => [number(status.calls), ""],
    note: ({ window }) => `${number(window.active_max)} at most`,
    line: (points) => points.map((point) => point?.active ?? null),
    told: (value) => number(value),
  },
  {
    name: "New calls",
    value: ({ recent }) => [decimal(recent, recent < 10 ? 1 : 0), "/s"],
    note: ({ window }) => `${count(window.calls, "call")} came`,
    line: (points, step) => points.map((point) => (point ? point.calls / step : null)),
    told: (value) => `${decimal(value, 1)} a second`,
  },
  {
    name: "Answered", short: "ASR", long: "Answer-seizure ratio: calls that were answered",
    value: ({ window }) => [percent(window.asr), window.asr === null ? "" : "%"],
    note: ({ window }) => `${number(window.answered)} of ${count(window.attempts, "attempt")}`,
    line: (points, step) => rolling(points, "answered", "attempts", step === 1 ? 30 : 15),
    range: () => [0, 1], told: (value) => `${percent(value)} per cent`,
  },
  {
    name: "Delivered", short: "NER", long: "Network effectiveness ratio: answered, busy, rang or declined by the callee",
    value: ({ window }) => [percent(window.ner), window.ner === null ? "" : "%"],
    note: ({ window }) => (window.refused > 0 ? `${number(window.refused)} more refused here` : `${number(window.effective)} of ${count(window.attempts, "attempt")}`),
    line: (points, step) => rolling(points, "effective", "attempts", step === 1 ? 30 : 15),
    range: () => [0, 1], told: (value) => `${percent(value)} per cent`,
    is: ({ window }) => nerIs(window),
  },
  {
    name: "Post-dial delay", short: "PDD", long: "From the INVITE to the first ringing that the caller hears; median",
    value: ({ window }) => millis(window.delay_p50_ms),
    note: ({ window }) => (window.delay_p95_ms === null ? "none rang" : `95 % within ${millis(window.delay_p95_ms).join(" ")}`),
    line: (points) => points.map((point) => point?.delay_p50_ms ?? null), dots: true,
    told: (value) => millis(value).join(" "),
  },
  {
    name: "Opinion score", short: "MOS", long: "Mean opinion score of calls that ended, 1.0 to 4.5",
    value: ({ window }) => [decimal(window.mos, 2), ""],
    note: ({ window }) => (window.mos === null ? "no call with media ended" : "of calls that ended"),
    line: (points) => points.map((point) => point?.mos ?? null), dots: true,
    range: () => [1, 4.5], told: (value) => decimal(value, 2),
    is: ({ window }) => mosIs(window),
  },
  {
    name: "Media",
    value: ({ second }) => [number(second?.packets), "packets/s"],
    note: ({ second, window }) => `${bits((second?.bytes ?? 0) * 8)}, ${number(window.dropped)} dropped`,
    line: (points, step) => points.map((point) => (point ? point.packets / step : null)),
    told: (value) => `${number(Math.round(value))} packets a second`,
  },
  {
    name: "Relay load", long: "Share of the time that the busiest media worker's thread runs",
    value: ({ second }) => [percent(second?.relay_load), second?.relay_load === null ? "" : "%"],
    note: ({ second, loads }) => `${loads.length > 1 ? `of ${loads.length} workers; ` : ""}engine ${percent(second?.engine_load)} %`,
    line: (points) => points.map((point) => point?.relay_load ?? null),
    range: (values) => [0, Math.max(0.25, spread(values))], told: (value) => `${percent(value)} per cent`,
    is: ({ second }) => loadIs(second?.relay_load),
  },
];

function makeReading(reading) {
  const name = reading.short ? el("abbr", { title: reading.long }, `${reading.name} `, el("span", { class: "short" }, reading.short)) : reading.name;
  const figure = el("span");
  const unit = el("small");
  const parts = { figure, unit, note: el("p", { class: "note" }), chart: chart() };
  const element = el("article", { class: "reading" }, el("h3", { title: reading.long }, name), el("p", { class: "value" }, figure, unit), parts.note, parts.chart);
  element.parts = parts;
  return element;
}

const isDay = () => document.querySelector("input[name=range]:checked").value === "minutes";

function drawReadings() {
  const day = isDay();
  const points = day ? history.minutes : history.seconds;
  const recent = history.seconds.slice(-10).filter((point) => point);
  const facts = {
    status: snapshot.status,
    second: snapshot.second,
    loads: snapshot.relay_loads,
    window: day ? snapshot.windows.day : snapshot.windows.five_minutes,
    recent: recent.reduce((sum, point) => sum + point.calls, 0) / Math.max(recent.length, 1),
  };
  reconcile(byId("readings"), READINGS, (reading) => reading.name, makeReading, (element, reading) => {
    const [figure, unit] = reading.value(facts);
    const note = reading.note(facts);
    setText(element.parts.figure, figure);
    setText(element.parts.unit, unit);
    setText(element.parts.note, note);
    element.parts.note.title = note;
    setData(element, "is", reading.is?.(facts) ?? "good");
    const values = reading.line(points, day ? 60 : 1);
    const known = values.filter((value) => value !== null && value !== undefined);
    const over = day ? "24 hours" : "5 minutes";
    const label = known.length === 0
      ? `${reading.name}: nothing in the last ${over}`
      : `${reading.name} in the last ${over}: from ${reading.told(Math.min(...known))} to ${reading.told(Math.max(...known))}`;
    const range = reading.range?.(values) ?? [0, Math.max(spread(values) * 1.1, 1)];
    draw(element.parts.chart, values, { capacity: Math.max(values.length, POINTS_MIN), range, dots: reading.dots, label });
  });
}

// -------------------------------------------------------------------------------------------- head

const STATES = { serving: ["good", "serving"], draining: ["warn", "draining, no new calls"], unresponsive: ["bad", "the engine does not answer"] };

/** The worse of both: of what the daemon says of itself, and of what was found. */
function headline({ status }) {
  const [state, words] = STATES[status.state] ?? ["warn", status.state];
  if (fresh.lost) return ["unknown", `was ${words} when it was last heard`];
  const until = status.state === "draining" && status.drain_deadline ? ` until ${hour(status.drain_deadline)} UTC` : "";
  const [is, told] = verdict(found);
  if (status.state !== "serving" && is !== "bad") return [state, words + until];
  return [state === "bad" ? state : is, `${words}${until}, ${told}`];
}

function drawHead(snapshot) {
  const { status } = snapshot;
  setText(byId("node"), status.node);
  const [is, words] = headline(snapshot);
  setData(byId("state"), "is", is);
  setText(byId("state"), words);
  setText(byId("about"), `Drawbridge ${status.version}, media by ${status.engine}, up ${span(status.uptime_seconds)}`);
  const sign = { bad: "■ ", warn: "▲ ", unknown: "? " }[is] ?? "";
  document.title = shown(`${sign}${status.node}: ${status.state}, ${count(status.calls ?? 0, "call")}`);
}

// ------------------------------------------------------------------------------------------- facts

function gauge(used, limit) {
  const share = limit > 0 ? Math.min(used / limit, 1) : 0;
  return svg("svg", { class: "gauge", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "track", width: 100, height: 8 }), svg("rect", { class: "fill", width: share * 100, height: 8 }));
}

function facts({ status, relay_loads: loads, windows }) {
  const { configuration } = status;
  const rows = [
    ["In force since", `${moment(configuration.since)}: ${count(configuration.listeners, "listener")}, ${count(configuration.trunks, "trunk")}, ${count(configuration.routes, "route")}`],
    ["Files on disk", configuration.last_reload_successful ? "are what is in force" : `refused, ${count(configuration.faults.length, "fault")}: see above`],
  ];
  for (const realm of ["trusted", "untrusted"]) {
    const ports = status.media_ports?.[realm];
    if (ports) rows.push([`Media ports, ${realm}`, `${number(ports.in_use)} of ${number(ports.limit)} in use`, gauge(ports.in_use, ports.limit)]);
  }
  const { dropped_by: droppedBy, packets } = isDay() ? windows.day : windows.five_minutes;
  const over = isDay() ? "24 hours" : "5 minutes";
  const drops = mostFirst(droppedBy).map(([reason, many]) => `${number(many)} ${whyDropped(reason)} (${reason})`);
  rows.push([`RTP dropped in ${over}`, drops.length > 0 ? `of ${count(packets, "packet")}: ${drops.join("; ")}` : "none"]);
  if (loads.length > 1) rows.push(["Media workers", loads.map((load) => `${percent(load)} %`).join(", ")]);
  rows.push(["Transactions", number(status.transactions)]);
  for (const name of status.dns ?? []) {
    const leads = name.endpoints.map((endpoint) => endpoint.address).join(", ") || "nowhere";
    rows.push([`DNS ${name.name}`, `${name.state}, leads to ${leads}${name.fault ? `; ${name.fault}` : ""}`]);
  }
  return rows;
}

function drawFacts() {
  const list = byId("facts");
  const rows = facts(snapshot);
  const text = JSON.stringify(rows.map(([name, value]) => [name, value]));
  if (list.told === text) return;
  list.told = text;
  list.replaceChildren(...rows.flatMap(([name, value, picture]) => [el("dt", {}, name), el("dd", {}, picture, value)]));
}

// ------------------------------------------------------------------------------------------- calls

const PHASES = { answered: "good", ringing: "new", setup: "new", ending: "off" };
let calls = { total: 0, calls: [], at: 0, searched: "" };
let callTable = null;

const party = (leg) => (leg ? leg.trunk ?? leg.remote : "–");

/** What is not well with it. */
const wordsOf = (call) => [call.emergency ? "emergency" : "", ...call.not_heard.map((who) => `${who} not heard`)].filter(Boolean).join(", ");

function matches(call, words) {
  const text = [call.id, call.from, call.to, call.phase, call.ingress?.trunk, call.ingress?.remote, call.egress?.trunk, call.egress?.remote, wordsOf(call)].join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

function makeCall(call) {
  const cell = (label, kind, ...children) => el("td", { role: "cell", class: kind, "data-label": label }, ...children);
  const parts = {
    link: el("a", { href: `/calls/${encodeURIComponent(call.id)}` }), under: el("span", { class: "under mark" }), phase: el("span", { class: "mark" }),
    time: cell("For", "figure"), ingress: cell("In", "wrap"), egress: cell("Out", "wrap"),
  };
  const name = el("th", { scope: "row", role: "rowheader", class: "wrap" }, parts.link, parts.under);
  const row = el("tr", { role: "row" }, name, cell("Phase", null, parts.phase), parts.time, parts.ingress, parts.egress);
  row.parts = parts;
  return row;
}

function drawCalls() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const isWell = (call) => call.not_heard.length === 0;
  const matching = calls.calls.filter((call) => matches(call, words)).sort((one, other) => isWell(one) - isWell(other));
  const rows = matching.slice(0, ROWS_MAX);
  const place = byId("call-list");
  if (!callTable) {
    callTable = table("Calls in progress", "compact", [["From and to"], ["Phase"], ["For", "figure"], ["In"], ["Out"]]);
    callTable.none = el("p", { class: "empty" });
    place.append(callTable.whole, callTable.none);
  }
  callTable.whole.hidden = rows.length === 0;
  callTable.none.hidden = rows.length > 0;
  setText(callTable.none, words.length > 0 && calls.total > 0 ? "No call in progress matches." : "No call is in progress.");
  const parts = [calls.total > 0 ? number(calls.total) : ""];
  if (words.length > 0) parts.push(`${number(matching.length)} match`);
  if (matching.length > rows.length) parts.push(`the first ${ROWS_MAX} are shown`);
  if (calls.isCut) parts.push(`looked at the ${number(calls.calls.length)} oldest`);
  setText(byId("calls-aside"), parts.filter(Boolean).join(", "));
  const since = (performance.now() - calls.at) / 1000;
  reconcile(callTable.body, rows, (call) => call.id, makeCall, (row, call) => {
    setText(row.parts.link, `${call.from || "unknown"} → ${call.to || "unknown"}`);
    const trouble = wordsOf(call);
    setText(row.parts.under, trouble);
    row.parts.under.hidden = trouble === "";
    setData(row.parts.under, "is", isWell(call) ? "warn" : "bad");
    setText(row.parts.phase, call.phase);
    setData(row.parts.phase, "is", PHASES[call.phase] ?? "new");
    setText(row.parts.time, duration(call.seconds + (fresh.lost ? 0 : since)));
    setText(row.parts.ingress, party(call.ingress));
    setText(row.parts.egress, party(call.egress));
  });
}

// -------------------------------------------------------------------------------------------- life

/** What people who do not see the page are told: changes of state, not figures. */
function tellChanges() {
  const now = new Map([["node", `The node is ${snapshot.status.state}.`]]);
  now.set("files", snapshot.status.configuration.last_reload_successful ? "The configuration on disk is in force." : "The configuration on disk is refused.");
  for (const trunk of snapshot.trunks ?? []) now.set(`trunk ${trunk.name}`, `Trunk ${trunk.name} is ${trunk.state}.`);
  // Of these the figures change, and that is no news.
  for (const { key, title, announced } of found) if (!announced) now.set(`found ${key}`, title);
  if (told) {
    const isNews = ([key, text]) => (key.startsWith("found ") ? !told.has(key) : told.has(key) && told.get(key) !== text);
    const news = [...now].filter(isNews).map(([, text]) => text);
    if (news.length > 0) announce(news.join(" "));
  }
  told = now;
}

function drawAll() {
  if (!snapshot) return;
  found = findings(snapshot);
  drawHead(snapshot);
  drawNotices(found);
  drawReadings();
  drawTrunks(snapshot, isDay());
  drawFacts();
  drawCalls();
}

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(5000) });
  if (!answer.ok) throw new Error(String(answer.status));
  return answer.json();
}

async function askHistory() {
  try {
    const { seconds, minutes } = await ask("/api/v1/history");
    history = { seconds: seconds.points, minutes: minutes.points };
    drawAll();
  } catch {
    // The next time it comes.
  }
}

let nextAsk = null;

/** Of more calls than are listed, the daemon has to search: those that began last are not in the list. */
async function askCalls() {
  clearTimeout(nextAsk);
  let pause = 2000;
  if (!document.hidden) {
    const typed = byId("search").value.trim();
    const searched = calls.isCut || calls.searched ? typed : "";
    try {
      const { total, calls: listed } = await ask(`/api/v1/calls${searched ? `?match=${encodeURIComponent(searched)}` : ""}`);
      const isCut = listed.length >= LISTED_MAX && total > listed.length;
      calls = { total, calls: listed, at: performance.now(), searched, isCut };
      drawCalls();
      pause = byId("search").value.trim() !== typed ? 300 : total > ROWS_MAX ? 5000 : 2000;
    } catch {
      // The lamp says that nothing comes.
    }
  }
  clearTimeout(nextAsk);
  nextAsk = setTimeout(askCalls, pause);
}

/** Draws what is known, and asks for the rest once nobody types. */
function search() {
  drawCalls();
  if (!calls.isCut && !calls.searched) return;
  clearTimeout(nextAsk);
  nextAsk = setTimeout(askCalls, 300);
}

let source = null;

function connect() {
  source?.close();
  source = new EventSource("/api/v1/events");
  source.addEventListener("open", askHistory);
  source.addEventListener("snapshot", (event) => {
    snapshot = JSON.parse(event.data);
    if (snapshot.second) history.seconds = [...history.seconds, snapshot.second].slice(-SECONDS_KEPT);
    fresh.heard();
    drawAll();
    tellChanges();
  });
  source.addEventListener("error", () => {
    // An answer other than 200 (too many watch) ends it for good: so it is asked anew.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => document.hidden || connect(), 5000);
  });
}

document.addEventListener("visibilitychange", () => {
  // Who does not look does not watch.
  if (document.hidden) source?.close();
  else connect();
});
for (const radio of document.querySelectorAll("input[name=range]")) radio.addEventListener("change", drawAll);
byId("search").addEventListener("input", search);
byId("notices").addEventListener("click", (event) => {
  if (event.target.getAttribute?.("href") !== "#not-heard") return;
  event.preventDefault();
  byId("search").value = "not heard";
  search();
  byId("search").focus();
});
document.addEventListener("keydown", (event) => {
  const isTyping = event.target instanceof HTMLInputElement && event.target.type === "search";
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    byId("search").focus();
  }
});
setInterval(askHistory, 60000);
connect();
askCalls();
