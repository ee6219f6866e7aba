// What is not well with the node, by one snapshot: the worst first. Whoever looks for a second shall see whether
// anything is wrong, and what; so what is usual is not told here.

import { count, decimal, el, hour, moment, number, percent } from "./common.js";
import { isOurs, mostFirst, whyDropped } from "./reasons.js";

/** So many are told by name. */
const NAMES_MAX = 6;
/** Fewer attempts make no ratio. */
const ATTEMPTS_MIN = 10;
const RATIOS = { ner: { bad: 0.5, warn: 0.9 }, mos: { bad: 3.1, warn: 3.6 }, load: { bad: 0.9, warn: 0.7 }, ports: { bad: 1, warn: 0.9 } };
const CONFIGURATION = "/etc/drawbridge/";

/** Where a trunk stands in the page. */
export const placeOf = (trunk) => `trunk-${encodeURIComponent(trunk.name)}`;

const below = (value, { bad, warn }) => (value < bad ? "bad" : value < warn ? "warn" : "good");
const above = (value, { bad, warn }) => (value >= bad ? "bad" : value >= warn ? "warn" : "good");

/** How a share of delivered calls is. */
export const nerIs = (window) => (window.attempts < ATTEMPTS_MIN ? "good" : below(window.ner, RATIOS.ner));
/** How an opinion score is. */
export const mosIs = (window) => (window.mos === null ? "good" : below(window.mos, RATIOS.mos));
/** How the load of a thread is. */
export const loadIs = (load) => above(load ?? 0, RATIOS.load);

const linksTo = (trunks) => {
  if (trunks.length === 1) return [[`Show ${trunks[0].name}`, `#${encodeURIComponent(placeOf(trunks[0]))}`]];
  const links = trunks.slice(0, NAMES_MAX).map((trunk) => [trunk.name, `#${encodeURIComponent(placeOf(trunk))}`]);
  return trunks.length > NAMES_MAX ? [...links, [`and ${number(trunks.length - NAMES_MAX)} more`, "#trunks-title"]] : links;
};

const are = (many) => (many === 1 ? "is" : "are");
const target = ({ address, transport }) => `${address} ${transport}`;
const because = (failure) => (failure ? `: ${failure.reason}` : "");

// ------------------------------------------------------------------------------------------- node

function ofNode({ status }) {
  const all = [];
  const { faults, waiting_for_restart: waiting } = status.configuration;
  if (status.state === "unresponsive") {
    all.push({ key: "engine", is: "bad", title: "The engine does not answer.", text: "Trunks and calls below are as they were last known. Why: journalctl -u drawbridge. The watchdog starts it anew if it hangs." });
  }
  if (status.state === "draining") {
    const until = status.drain_deadline ? ` What is left at ${moment(status.drain_deadline)} is hung up, calls for help excepted.` : "";
    all.push({ key: "drain", is: "warn", announced: true, title: "The node is draining: new calls are refused.", text: `${count(status.calls ?? 0, "call")} left.${until} "drawbridge undrain" takes new calls again.` });
  }
  if (faults.length > 0) {
    all.push({ key: "refused", is: "bad", announced: true, title: `The files on disk are refused (${count(faults.length, "fault")}).`, text: "What was in force before still is.", faults });
  }
  if (waiting.length > 0) {
    all.push({ key: "restart", is: "warn", title: "Some keys wait for a restart:", text: waiting.join(", ") });
  }
  return [...all, ...ofRecords(status.cdrs)];
}

function ofRecords(cdrs) {
  const all = [];
  if (cdrs?.fault) all.push({ key: "cdrs", is: "bad", title: "Call records cannot be written.", text: `${count(cdrs.waiting, "record")} wait: ${cdrs.fault}` });
  if (cdrs?.lost > 0) all.push({ key: "cdrs lost", is: "warn", title: `${count(cdrs.lost, "call record")} ${cdrs.lost === 1 ? "was" : "were"} lost`, text: "since the start: too many waited for the disk." });
  if (cdrs?.post?.fault) all.push({ key: "cdr post", is: "warn", title: "Copies of call records are not taken.", text: `${number(cdrs.post.waiting)} wait for ${cdrs.post.url}: ${cdrs.post.fault}` });
  return all;
}

// ----------------------------------------------------------------------------------------- trunks

const WORDS = {
  down: ["down", "No call goes there."],
  unauthorized: ["refused", "Its peer takes none of our credentials."],
  unresolved: ["nowhere", "DNS knows no address of it."],
  full: ["full", "Calls beyond its limit take another trunk, or fail."],
};

function ofTrunks({ status, trunks }) {
  const all = [];
  // Of these more is said below.
  const isTold = (trunk) => (status.failing_trunks ?? []).some(({ name }) => name === trunk.name);
  for (const [state, [word, text]] of Object.entries(WORDS)) {
    const such = (trunks ?? []).filter((trunk) => trunk.state === state && !(state === "unauthorized" && isTold(trunk)));
    if (such.length === 0) continue;
    const title = such.length === 1 ? `Trunk ${such[0].name} is ${word}.` : `${number(such.length)} trunks are ${word}.`;
    const failure = such.length === 1 ? such[0].targets.find((one) => one.last_failure) : null;
    const why = state === "down" && failure ? ` ${target(failure)}${because(failure.last_failure)}.` : "";
    all.push({ key: `trunks ${state}`, is: state === "full" ? "warn" : "bad", announced: true, title, text: text + why, links: linksTo(such) });
  }
  for (const trunk of status.failing_trunks ?? []) {
    const most = trunk.attempts?.recent?.most;
    const met = most ? `${most.reason} to ${most.times} of the last ${count(trunk.attempts.recent.attempts, "call")}, last ${hour(most.last)}.` : "";
    const refused = trunk.refused ? `No credentials of ours are taken since ${moment(trunk.refused.since)}: ${trunk.refused.reason}. ` : "";
    all.push({ key: `failing ${trunk.name}`, is: "bad", title: `Calls over ${trunk.name} fail.`, text: refused + met, links: linksTo([trunk]) });
  }
  return [...all, ...ofRegistrations(trunks ?? []), ...ofTargets(trunks ?? [])];
}

/** Trunks that are up in spite of it. */
const goesOn = (trunk) => trunk.enabled && !(trunk.state in WORDS && trunk.state !== "full");

function ofRegistrations(trunks) {
  const such = trunks.filter((trunk) => goesOn(trunk) && trunk.registrations.some((one) => !one.registered && one.fault));
  if (such.length === 0) return [];
  const fault = such[0].registrations.find((one) => one.fault).fault;
  const [title, text] = such.length === 1
    ? [`Trunk ${such[0].name} is not registered: ${fault}.`, "Calls from it may not come."]
    : [`${number(such.length)} trunks are not registered.`, "Calls from them may not come."];
  return [{ key: "registrations", is: "bad", title, text, links: linksTo(such) }];
}

function ofTargets(trunks) {
  const isDown = (one) => one.state === "down";
  const such = trunks.filter((trunk) => goesOn(trunk) && trunk.targets.some(isDown));
  const downs = such.flatMap((trunk) => trunk.targets.filter(isDown));
  if (downs.length === 0) return [];
  const title = downs.length === 1
    ? `1 of ${number(such[0].targets.length)} targets of ${such[0].name} is down.`
    : `${number(downs.length)} targets are down, of ${count(such.length, "trunk")} that ${are(such.length)} up.`;
  const text = downs.length === 1 ? `${target(downs[0])}${because(downs[0].last_failure)}. Calls go to the others.` : "Calls go to the others.";
  return [{ key: "targets", is: "warn", title, text, links: linksTo(such) }];
}

// ---------------------------------------------------------------------------------- calls and media

function ofCalls({ windows, trunks }) {
  const window = windows.five_minutes;
  const all = [];
  const ner = nerIs(window);
  if (ner !== "good") {
    const failed = window.attempts - window.effective;
    all.push({ key: "ner", is: ner, title: `Only ${percent(window.ner)} % of calls were delivered in the last 5 minutes.`, text: `${number(failed)} of ${count(window.attempts, "attempt")} failed in the network, not for a busy or absent callee.` });
  }
  if (window.not_heard > 0) {
    const such = (trunks ?? []).filter((trunk) => trunk.hour.not_heard > 0).sort((one, other) => other.hour.not_heard - one.hour.not_heard);
    const where = such.slice(0, NAMES_MAX).map((trunk) => `${trunk.name} (${number(trunk.hour.not_heard)})`).join(", ");
    const text = `A side spoke, and the other was not heard for 5 s.${where ? ` Not heard in the last hour, by trunk: ${where}.` : ""}`;
    all.push({ key: "one way", is: "warn", title: `${count(window.not_heard, "call")} had one-way audio in the last 5 minutes.`, text, links: [["Show those in progress", "#not-heard"]] });
  }
  if (mosIs(window) !== "good") {
    all.push({ key: "mos", is: mosIs(window), title: `Calls of the last 5 minutes sound bad: opinion score ${decimal(window.mos, 2)}.`, text: "Loss or jitter before this machine, or its load; each call's page has both directions." });
  }
  return all;
}

function ofMachine({ status, second, windows }) {
  const all = [];
  const lost = mostFirst(windows.five_minutes.dropped_by).filter(([reason]) => isOurs(reason));
  for (const [reason, packets] of lost) {
    all.push({ key: `dropped ${reason}`, is: "warn", title: `${count(packets, "packet")} of media in the last 5 minutes`, text: `${whyDropped(reason)} (${reason}).` });
  }
  if (loadIs(second?.relay_load) !== "good") {
    all.push({ key: "load", is: loadIs(second.relay_load), title: `The busiest media worker runs ${percent(second.relay_load)} % of the time.`, text: "Beyond 90 % packets are late. docs/sizing.md says what a machine carries." });
  }
  for (const realm of ["trusted", "untrusted"]) {
    const ports = status.media_ports?.[realm];
    const is = ports && ports.limit > 0 ? above(ports.in_use / ports.limit, RATIOS.ports) : "good";
    if (is !== "good") all.push({ key: `ports ${realm}`, is, title: `Media ports, ${realm}: ${number(ports.in_use)} of ${number(ports.limit)} are in use.`, text: "Calls for which none is left are refused (503): see media.ports." });
  }
  return all;
}

// ------------------------------------------------------------------------------------------ first

const code = (text) => el("code", {}, text);

/** A node that nobody has set up yet is well, and of no use: what comes next. */
function ofSetup({ status }) {
  const { trunks, routes } = status.configuration;
  if (trunks === 0) {
    return [{ key: "setup", is: "info", title: "No trunk is configured yet, so no call can go anywhere.", text: "In four steps:", steps: [
      ["Put this machine's addresses where 127.0.0.1 and 127.0.0.2 stand in ", code(`${CONFIGURATION}drawbridge.toml`), ", and restart it."],
      ["Let your PBX in: ", code(`${CONFIGURATION}trunks.d/pbx.toml`), ", a trunk with ", code('realm = "trusted"'), " and a route to it. Until then nobody may send calls here."],
      ["Add your provider: ", code(`${CONFIGURATION}trunks.d/example.toml.sample`), " has all keys; ", code("drawbridge profiles"), " lists providers of which less is enough."],
      [code("drawbridge check"), " names every fault with its cure; ", code("drawbridge reload"), " puts the files in force. At length: docs/quick-start.md."],
    ] }];
  }
  if (routes === 0) {
    return [{ key: "routes", is: "warn", title: "No route is configured: every call is refused (404).", text: "A [[route]] says which calls go to which trunks; \"drawbridge explain\" tries one without placing a call." }];
  }
  return [];
}

const RANKS = { bad: 0, warn: 1, info: 2 };

/** All of them. */
export function findings(snapshot) {
  const all = [ofNode, ofTrunks, ofCalls, ofMachine, ofSetup].flatMap((of) => of(snapshot));
  return all.sort((one, other) => RANKS[one.is] - RANKS[other.is]);
}

/** How the node is in a word or two, for the head: [kind, words]. */
export function verdict(all) {
  const [bad, warn] = ["bad", "warn"].map((is) => all.filter((finding) => finding.is === is).length);
  if (bad > 0) return ["bad", `${count(bad, "fault")}${warn > 0 ? `, ${count(warn, "warning")}` : ""}`];
  if (warn > 0) return ["warn", count(warn, "warning")];
  return all.length > 0 ? ["new", "not set up yet"] : ["good", "all is well"];
}
