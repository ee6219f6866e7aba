// The media of a call: who is heard and who is not, in both directions; why packets were dropped; where they come from.

import { byId, count, decimal, duration, el, number, redraw, setText, span, tableOf } from "./common.js";
import { isOurs, lookAt, mostFirst, whyDropped } from "./reasons.js";

/** Who has been heard since is heard now. */
const NOW_MS = 2000;
/** Fewer packets that were dropped for no fault of ours are usual. */
const DROPPED_MIN = 50;

/** Each direction: whom it comes from, and who would hear it. */
const DIRECTIONS = [
  { key: "a_to_b", name: "Caller to callee", from: "caller", to: "callee", leg: "ingress" },
  { key: "b_to_a", name: "Callee to caller", from: "callee", to: "caller", leg: "egress" },
];

const directionsOf = (media) => DIRECTIONS.filter(({ key }) => media?.[key]).map((one) => ({ ...one, ...media[one.key] }));
const sourcesOf = (media, key) => (media.streams ?? []).map((stream) => stream[key].source).filter(Boolean);

// --------------------------------------------------------------------------------------- findings

/** What of a side that is not heard came, and where to look. */
function whyNotHeard(direction, media) {
  const { key, from, dropped_by: droppedBy } = direction;
  const [most] = mostFirst(droppedBy);
  const sources = sourcesOf(media, key);
  if (!most) {
    const place = sources.find((source) => source.signalled)?.signalled;
    return `None of its packets was dropped: none came.${place ? ` Its SDP says ${place}.` : ""} See whether a firewall lets UDP through to media.ports, and what media_advertise says; or the ${from} is muted.`;
  }
  const [reason, packets] = most;
  const source = sources.find((one) => one.stranger);
  const where = reason === "source_mismatch" && source
    ? ` The last came from ${source.stranger}; its SDP says ${source.signalled ?? "nothing"}.` : "";
  return `${count(packets, "packet")} of the ${from} ${whyDropped(reason)} (${reason}).${where} ${lookAt(reason) ?? ""}`;
}

function ofDirection(direction, call) {
  const { media } = call;
  const { key, from, to, not_heard: notHeard, one_way_ms: oneWay } = direction;
  if (!oneWay && !notHeard) return [];
  const long = duration(oneWay / 1000);
  const why = whyNotHeard(direction, media);
  if (notHeard && media.live) return [{ key, is: "bad", title: `The ${to} does not hear the ${from}, for ${long} now.`, text: why, said: `The ${to} does not hear the ${from}.` }];
  if (notHeard) return [{ key, is: "bad", title: `The ${to} did not hear the ${from} at the end, for ${long} in all.`, text: why }];
  return [{ key, is: "warn", title: `The ${to} did not hear the ${from} for ${long}, and then did.`, text: "The other side spoke meanwhile." }];
}

/** What is not well with the media of a call, for the top of its page. */
export function mediaFindings(call) {
  const { media } = call;
  if (!media || !call.answer) return [];
  const directions = directionsOf(media);
  const all = directions.flatMap((direction) => ofDirection(direction, call));
  const isOld = Date.parse(call.end ?? call.start) - Date.parse(call.answer) > 5000 || call.seconds > 10;
  if (all.length === 0 && isOld && !media.held && directions.every(({ packets }) => packets === 0)) {
    all.push({ key: "nothing", is: "bad", title: `Nobody ${media.live ? "is" : "was"} heard: no media crossed.`, text: directions.map((one) => whyNotHeard(one, media)).join(" ") });
  }
  for (const { key, from, dropped_by: droppedBy } of directions) {
    for (const [reason, packets] of mostFirst(droppedBy).filter(([reason]) => isOurs(reason))) {
      all.push({ key: `${key} ${reason}`, is: "warn", title: `${count(packets, "packet")} of the ${from}`, text: `${whyDropped(reason)} (${reason}). ${lookAt(reason) ?? ""}` });
    }
  }
  return all;
}

/** In a line: [kind, words]. */
function hearing(call) {
  const { media } = call;
  if (media.held) return ["off", "The call is on hold."];
  const directions = directionsOf(media);
  const isHeard = ({ packets, not_heard: notHeard, last_packet_ms_ago: last }) => packets > 0 && !notHeard && (!media.live || (last !== null && last < NOW_MS));
  const silent = directions.filter((one) => !isHeard(one));
  const was = media.live ? "is" : "was";
  if (silent.length === 0) return ["good", media.live ? "Both sides are heard." : "Both sides were heard."];
  if (silent.length === directions.length) return [call.answer ? "bad" : "off", call.answer ? `Neither side ${was} heard.` : "Nobody is heard yet."];
  const is = silent[0].not_heard ? "bad" : call.answer ? "warn" : "off";
  return [is, `The ${silent[0].from} ${was} not heard, the ${silent[0].to} ${was}.`];
}

// ----------------------------------------------------------------------------------------- tables

const HEADS = [["Direction", "brief"], ["Heard"], ["Packets", "figure"], ["Lost", "figure"], ["Jitter", "figure"], ["MOS", "figure"], ["Dropped", "figure"], ["Last heard", "figure"]];

const mark = (is, words) => el("span", { class: "mark", "data-is": is }, words);

function heardCell({ packets, not_heard: notHeard, one_way_ms: oneWay, last_packet_ms_ago: last }, { media, answer }) {
  if (media.held) return mark("off", "on hold");
  if (notHeard) return mark("bad", `no, ${duration(oneWay / 1000)}`);
  if (packets === 0) return mark(answer ? "bad" : "new", media.live && !answer ? "not yet" : "never");
  if (oneWay > 0) return mark("warn", `yes, not for ${duration(oneWay / 1000)}`);
  return media.live && (last === null || last >= NOW_MS) ? mark("new", "silent now") : mark("good", "yes");
}

function directionRow(one, call) {
  const last = one.last_packet_ms_ago;
  return [one.name, heardCell(one, call), number(one.packets), number(one.lost),
    one.jitter_ms === null || one.jitter_ms === undefined ? "–" : `${decimal(one.jitter_ms, 1)} ms`,
    decimal(one.mos, 2), number(one.dropped), last === null || last === undefined ? "–" : last < 1000 ? "now" : `${span(last / 1000)} ago`];
}

const DROP_HEADS = [["From", "brief"], ["Packets", "figure"], ["Why they were dropped"], ["What to think of it"]];

function dropRow({ from, packets, of }, reason) {
  const isMuch = isOurs(reason) || packets >= DROPPED_MIN || packets > of;
  return [from, number(packets), [mark(isMuch ? "warn" : "off", `they ${whyDropped(reason)}`), el("span", { class: "under" }, el("code", {}, reason))], lookAt(reason) ?? "–"];
}

const CLAIMS = { exact: "the very place that its SDP names", vouched: "a place that its signalling vouches for", anywhere: "learned from its packets alone" };
const SOURCE_HEADS = [["From", "brief"], ["Its SDP says"], ["Taken from"], ["Because it is"], ["Refused last"]];

function sourceRows(media) {
  return (media.streams ?? []).flatMap((stream, index) => DIRECTIONS.map(({ key, from }) => {
    const { signalled, locked, claim, stranger } = stream[key].source;
    const name = media.streams.length > 1 ? `${from}, ${stream.kind} ${index + 1}` : from;
    // What comes before its own SDP is refused, too.
    const refused = stranger === null ? "nobody" : stranger === locked ? "itself, at the start" : stranger;
    return [name, signalled ?? "nothing", locked ?? "nobody yet", CLAIMS[claim] ?? "–", refused];
  }));
}

function report(title, media, call) {
  const directions = directionsOf(media);
  const whole = { ...call, media };
  const [is, words] = hearing(whole);
  const drops = directions.flatMap(({ from, packets: of, dropped_by: by }) => mostFirst(by).map(([reason, packets]) => dropRow({ from, packets, of }, reason)));
  const sources = sourceRows(media);
  return [
    el("p", { class: "why" }, mark(is, words), title ? ` ${title}` : ""),
    tableOf("Media of both directions", HEADS, directions.map((one) => directionRow(one, whole))),
    ...(drops.length > 0 ? [el("h3", {}, "Dropped packets"), tableOf("Packets that were dropped, and why", DROP_HEADS, drops)] : []),
    ...(sources.length > 0 ? [el("h3", {}, "Where packets come from"), tableOf("Where the packets of each side come from", SOURCE_HEADS, sources)] : []),
  ];
}

export function drawMedia(call) {
  const { media, joined_media: joined } = call;
  setText(byId("media-aside"), media ? (media.live ? "as it is now" : "as it was at the end") : "");
  redraw(byId("media"), [media, joined, call.answer], () => {
    if (directionsOf(media).length === 0) return [el("p", { class: "empty" }, "No media is measured.")];
    return [...report("", media, call), ...(joined ?? []).flatMap((one) => report("Of a party that a transfer brought in.", one, call))];
  });
}
