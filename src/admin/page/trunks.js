// The trunks: a row each, with its targets and when each was up.

import { byId, count, decimal, el, hour, moment, morph, number, percent, reconcile, setData, setText, span, svg, table } from "./common.js";
import { placeOf } from "./findings.js";

const STATES = { up: "good", new: "new", full: "warn", unauthorized: "bad", down: "bad", unresolved: "bad", disabled: "off" };
const TARGET_STATES = { up: "good", new: "new", returning: "warn", down: "bad" };
const HOUR_S = 3600;
const DAY_S = 86400;
/** A daemon that is younger has strips that begin in the middle. */
const STRIP_MIN_S = 60;
/** Of more trunks than these not all targets are shown. */
const TRUNKS_OPEN_MAX = 10;
const WIDTH = 200;
const HEIGHT = 16;

let drawn = null;

export function drawTrunks({ trunks, status, at }, isDay) {
  const place = byId("trunks");
  // While the engine does not answer they stay as they were.
  if (!trunks) return;
  if (trunks.length === 0) {
    drawn = null;
    setText(byId("trunks-aside"), "");
    return morph(place, [el("p", { class: "empty" }, "No trunk is configured.")]);
  }
  if (!drawn) {
    drawn = table("Trunks", "trunks", [["Trunk"], ["State"], ["Calls", "figure"], ["ASR", "figure"], ["NER", "figure"], ["MOS", "figure"], ["Targets"]]);
    place.replaceChildren(drawn.whole);
  }
  const known = Math.max((Date.parse(at) - Date.parse(status.started)) / 1000, STRIP_MIN_S);
  const seconds = Math.min(isDay ? DAY_S : HOUR_S, known);
  const words = seconds < known ? `the last ${isDay ? "24 hours" : "hour"}` : "all since the start";
  setText(byId("trunks-aside"), `ratios of the last hour; strips of ${words}`);
  const isMany = trunks.length > TRUNKS_OPEN_MAX;
  setData(drawn.whole, "many", isMany);
  const over = { isMany, end: Date.parse(at), seconds, started: Date.parse(status.started) };
  reconcile(drawn.body, trunks, (trunk) => trunk.name, makeTrunk, (row, trunk) => updateTrunk(row, trunk, over));
}

function makeTrunk(trunk) {
  const cell = (label, kind) => el("td", { role: "cell", class: kind, "data-label": label });
  const parts = {
    note: el("span", { class: "under" }), state: el("span", { class: "mark" }), calls: cell("Calls", "figure"),
    asr: cell("ASR", "figure"), ner: cell("NER", "figure"), mos: cell("MOS", "figure"),
    targets: el("ul", { class: "targets", role: "list", "aria-label": `Targets of ${trunk.name}` }),
    folded: el("summary"),
    nowhere: el("span", { class: "faint" }, "no address"),
  };
  parts.fold = el("details", { class: "fold" }, parts.folded, parts.targets);
  const row = el("tr", { role: "row", id: placeOf(trunk), tabindex: "-1" },
    el("th", { scope: "row", role: "rowheader" }, el("span", { class: "name", title: trunk.name }, trunk.name), parts.note),
    el("td", { role: "cell", "data-label": "State" }, parts.state),
    parts.calls, parts.asr, parts.ner, parts.mos,
    el("td", { role: "cell", "data-label": "Targets" }, parts.fold, parts.nowhere));
  row.parts = parts;
  return row;
}

function updateTrunk(row, trunk, over) {
  const { parts } = row;
  setText(parts.state, trunk.state);
  setData(parts.state, "is", STATES[trunk.state] ?? "warn");
  setText(parts.note, noteOf(trunk));
  setText(parts.calls, trunk.limits.calls === null ? number(trunk.calls) : `${number(trunk.calls)} of ${number(trunk.limits.calls)}`);
  const { hour: last } = trunk;
  setText(parts.asr, last.asr === null ? "–" : `${percent(last.asr)} %`);
  setText(parts.ner, last.ner === null ? "–" : `${percent(last.ner)} %`);
  parts.asr.title = `${number(last.answered)} of ${count(last.attempts, "attempt")} answered`;
  setText(parts.mos, decimal(last.mos, 2));
  parts.nowhere.hidden = trunk.targets.length > 0;
  const targets = trunk.targets.map((target, index) => ({ ...target, changes: trunk.changes?.[index] ?? [] }));
  fold(row, targets, over.isMany);
  reconcile(parts.targets, targets, (target) => `${target.address} ${target.transport}`, makeTarget, (element, target) => updateTarget(element, target, over));
}

/** Of many trunks the targets that are well are folded away, until somebody wants to see them. */
function fold(row, targets, isMany) {
  const { parts } = row;
  const well = targets.filter(({ state }) => state === "up" || state === "new").length;
  setText(parts.folded, well === targets.length ? `${count(well, "target")}, none down` : `${well} of ${count(targets.length, "target")} not down`);
  parts.fold.hidden = targets.length === 0;
  const wanted = !isMany || well < targets.length;
  if (row.wanted !== wanted) parts.fold.open = wanted;
  row.wanted = wanted;
}

/** What an operator should know at once, in a few words. */
function noteOf(trunk) {
  const notes = [trunk.realm];
  if (trunk.switched) notes.push(`${trunk.switched.enabled ? "enabled" : "disabled"} by hand at ${hour(trunk.switched.since)}`);
  for (const registration of trunk.registrations) {
    notes.push(registration.registered ? "registered" : `not registered${registration.fault ? `: ${registration.fault}` : ""}`);
  }
  return notes.join(", ");
}

function makeTarget(target) {
  const parts = {
    state: el("span", { class: "mark" }), took: el("span", { class: "took" }),
    strip: svg("svg", { class: "strip", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" }),
    why: el("span", { class: "under" }),
  };
  const address = el("span", { class: "address" }, `${target.address} ${target.transport}`);
  const element = el("li", { class: "target" }, address, parts.state, parts.took, parts.strip, parts.why);
  element.parts = parts;
  return element;
}

function updateTarget(element, target, over) {
  const { parts } = element;
  setText(parts.state, target.state);
  setData(parts.state, "is", TARGET_STATES[target.state] ?? "warn");
  const took = target.latency_ms;
  setText(parts.took, took === null ? "" : `${took < 10 ? took.toFixed(1) : took.toFixed(0)} ms`);
  parts.took.title = "to answer the last OPTIONS";
  const isWell = target.state === "up" || target.state === "new";
  const failure = target.last_failure;
  const failing = target.failing ? `${target.failing.times} of ${target.failing.down_after}: ` : "";
  const why = failure && (!isWell || target.failing) ? `${failing}${failure.reason} at ${moment(failure.at)}` : "";
  setText(parts.why, why);
  parts.why.hidden = why === "";
  drawStrip(parts.strip, target, over);
}

/** Up is a thin band and down a block, so that neither needs its colour to be told from the other. */
const BANDS = { up: [5, 6], new: [7, 2], down: [0, HEIGHT] };

function drawStrip(element, target, { end, seconds, started }) {
  const begin = end - seconds * 1000;
  const stretches = stretchesOf(target, begin, end, started);
  const x = (time) => ((Math.max(time, begin) - begin) / (end - begin)) * WIDTH;
  const parts = [svg("rect", { class: "unknown", x: 0, y: 7, width: WIDTH, height: 2 })];
  for (const { from, to, state, why } of stretches) {
    const [y, height] = BANDS[state] ?? BANDS.up;
    // What was short shall be seen, too.
    const width = Math.max(x(to) - x(from), state === "down" ? 1.5 : 0.2);
    const words = `${state} from ${clock(from)}${why ? `: ${why}` : ""}`;
    parts.push(svg("rect", { class: state, x: x(from).toFixed(2), y, width: width.toFixed(2), height }, svg("title", {}, words)));
  }
  const downs = stretches.filter(({ state }) => state === "down");
  const away = downs.reduce((sum, { from, to }) => sum + to - Math.max(from, begin), 0) / 1000;
  const words = downs.length === 0 ? "never down" : `down ${downs.length === 1 ? "once" : `${downs.length} times`}, ${span(away)} in all`;
  const over = span(Math.min(seconds, Math.max((end - started) / 1000, 0)));
  element.setAttribute("aria-label", `Last ${over}: ${words}`);
  element.replaceChildren(...parts);
}

const clock = (time) => new Date(time).toISOString().slice(11, 19);

/** What is known of the target between two times, oldest first. */
function stretchesOf(target, begin, end, started) {
  const changes = target.changes.map((change) => ({ from: Date.parse(change.at), state: change.state, why: change.why }));
  if (changes.length === 0) changes.push({ from: started, state: target.state === "down" ? "down" : target.state === "new" ? "new" : "up" });
  // It was new until it was asked; whoever answered the first time is up without a change.
  const last = changes.at(-1);
  if (last.state === "new" && target.state === "up") last.state = "up";
  return changes
    .map((change, index) => ({ ...change, to: changes[index + 1]?.from ?? end }))
    .filter(({ to }) => to > begin);
}
