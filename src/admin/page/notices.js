// What needs attention, at the top of a page. A notice: `key`, `is` (bad, warn, info), `title`, `text`, and as needed
// `links` ([words, address]), `faults` (of a configuration) and `steps`.

import { byId, el, morph, reconcile, setData } from "./common.js";

/** Colour alone says nothing to many. */
const KINDS = { bad: "Fault: ", warn: "Warning: ", info: "" };

const fault = ({ file, line, column, key, message, cure }) => el("li", {},
  el("code", {}, `${file}:${line}:${column}`), ` ${key ? `${key}: ` : ""}${message}`,
  cure ? el("span", { class: "cure" }, `; ${cure}`) : null);

function fill(element, { is, title, text, links, faults, steps }) {
  setData(element, "is", is);
  const parts = [el("span", { class: "unseen" }, KINDS[is] ?? ""), el("strong", {}, title), text ? ` ${text}` : ""];
  for (const [words, address] of links ?? []) parts.push(" ", el("a", { href: address }, words));
  if (faults?.length > 0) parts.push(el("ul", {}, ...faults.map(fault)));
  if (steps?.length > 0) parts.push(el("ol", {}, ...steps.map((step) => el("li", {}, ...step))));
  morph(element, [...el("div", {}, ...parts).childNodes]);
}

export function drawNotices(all) {
  const place = byId("notices");
  place.hidden = all.length === 0;
  reconcile(place, all, (notice) => notice.key, () => el("div", { class: "notice" }), (element, notice) => {
    const text = JSON.stringify(notice, (_, value) => (value instanceof Node ? value.textContent : value));
    if (element.told === text) return;
    element.told = text;
    fill(element, notice);
  });
}
