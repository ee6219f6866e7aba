// What both pages share: elements, figures as people read them, and how old the data is.
// Whatever came from the network is put into the page as text, never as markup.

export const byId = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";

/** Control characters, and those that turn the direction of writing: with them a name could be made to look like another. */
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** As it may stand in the page. */
export const shown = (text) => String(text).replace(UNSEEN, "\ufffd");

function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, shown(value));
  }
  const told = children.filter((child) => child !== null && child !== undefined);
  element.append(...told.map((child) => (child instanceof Node ? child : shown(child))));
  return element;
}

export const el = (tag, attributes, ...children) => build(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) => build(document.createElementNS(SVG, tag), attributes, children);

/** Writes only what differs: nothing is announced or selected anew without need. */
export function setText(element, text) {
  const told = shown(text);
  if (element.textContent !== told) element.textContent = told;
}

export function setData(element, name, value) {
  if (element.dataset[name] !== String(value)) element.dataset[name] = value;
}

/** Makes the children of `parent` those of `items`, in their order; elements stay, and so does the focus. */
export function reconcile(parent, items, keyOf, make, update) {
  const known = (parent.known ??= new Map());
  const wanted = new Set();
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    if (wanted.has(key)) continue;
    wanted.add(key);
    let element = known.get(key);
    if (!element) {
      element = make(item);
      known.set(key, element);
    }
    update(element, item);
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
  for (const [key, element] of known) {
    if (!wanted.has(key)) {
      element.remove();
      known.delete(key);
    }
  }
}

/** Makes the children of `place` like these nodes. What is the same stays, with its focus, and what is selected in it. */
export function morph(place, made) {
  const there = [...place.childNodes];
  made.forEach((node, index) => {
    const old = there[index];
    if (!old) place.append(node);
    else if (old.nodeName !== node.nodeName) old.replaceWith(node);
    else if (node.nodeType === Node.TEXT_NODE) setText(old, node.data);
    else {
      for (const { name } of [...old.attributes]) if (!node.hasAttribute(name)) old.removeAttribute(name);
      for (const { name, value } of node.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
      morph(old, [...node.childNodes]);
    }
  });
  for (const old of there.slice(made.length)) old.remove();
}

/** Draws anew if `data` is another: `make` gives the nodes. */
export function redraw(place, data, make) {
  const told = JSON.stringify(data ?? null);
  if (place.told === told) return;
  place.told = told;
  morph(place, make());
}

/** A table with its head; roles are said, for its cells are stacked where the page is narrow. */
export function table(label, shape, heads) {
  const body = el("tbody", { role: "rowgroup" });
  const cells = heads.map(([text, kind]) => el("th", { scope: "col", role: "columnheader", class: kind }, text));
  const head = el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...cells));
  const whole = el("table", { class: `table ${shape}`, role: "table", "aria-label": label }, head, body);
  return { whole: el("div", { class: "frame" }, whole), body };
}

/** The same with its rows: of texts, nodes, or lists of them. The first cell of each names the row. */
export function tableOf(label, heads, rows) {
  const { whole, body } = table(label, "stacks", heads);
  const cell = (value, index) => {
    const [label, kind] = [heads[index][0], heads[index][1] ?? "wrap"];
    const inside = Array.isArray(value) ? el("span", {}, ...value) : value;
    return index === 0
      ? el("th", { scope: "row", role: "rowheader", class: kind }, inside)
      : el("td", { role: "cell", class: kind, "data-label": label }, inside);
  };
  body.append(...rows.map((values) => el("tr", { role: "row" }, ...values.map(cell))));
  return whole;
}

// ---------------------------------------------------------------------------------------- figures

const NONE = "–";

export const number = (value) => (value === null || value === undefined ? NONE : Number(value).toLocaleString("en"));

export function decimal(value, digits) {
  return value === null || value === undefined ? NONE : Number(value).toFixed(digits);
}

/** 0–1 as per cent; never 100 where something is missing. */
export function percent(share) {
  if (share === null || share === undefined) return NONE;
  const tenths = share < 1 ? Math.min(Math.round(share * 1000), 999) : 1000;
  return tenths >= 1000 ? "100" : (tenths / 10).toFixed(1);
}

export function millis(value) {
  if (value === null || value === undefined) return [NONE, ""];
  if (value >= 10000) return [(value / 1000).toFixed(0), "s"];
  if (value >= 1000) return [(value / 1000).toFixed(1), "s"];
  return [value >= 10 || value === 0 ? value.toFixed(0) : value.toFixed(1), "ms"];
}

export function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [days, hours, minutes] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  if (minutes > 0) return `${minutes} min ${whole % 60} s`;
  return `${whole} s`;
}

/** How long a call lasts, in figures that line up: 0:07, 1:02:03. */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (value) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

export const hour = (rfc3339) => (rfc3339 ?? "").slice(11, 19);

export function moment(rfc3339) {
  return rfc3339 ? `${rfc3339.slice(0, 10)} ${rfc3339.slice(11, 19)} UTC` : NONE;
}

export const count = (many, thing) => `${number(many)} ${thing}${many === 1 ? "" : "s"}`;

export function bits(perSecond) {
  if (perSecond >= 1e9) return `${(perSecond / 1e9).toFixed(1)} Gbit/s`;
  if (perSecond >= 1e6) return `${(perSecond / 1e6).toFixed(1)} Mbit/s`;
  return `${(perSecond / 1e3).toFixed(0)} kbit/s`;
}

// ------------------------------------------------------------------------------------------- life

/** Says once to those who listen that something changed; figures are not announced. */
export function announce(text) {
  setText(byId("announce"), text);
}

/** How old what is shown is, and what the lamp says of it. `changed` is called when that is another. */
export class Freshness {
  #last = null;
  #over = false;
  #since = performance.now();

  constructor(limitSeconds, changed) {
    this.limit = limitSeconds;
    this.changed = changed;
    this.lost = false;
    setInterval(() => this.#look(), 1000);
    document.addEventListener("visibilitychange", () => this.#wake());
  }

  /** Nothing was asked for while nobody looked: that is no loss. */
  #wake() {
    if (document.hidden || this.#over) return;
    [this.#last, this.#since] = [null, performance.now()];
    this.#show("waiting", "connecting");
  }

  heard() {
    this.#last = performance.now();
    this.#look();
  }

  /** Nothing more will come, and that is well. */
  end(text) {
    this.#over = true;
    this.#show("over", text);
    if (!this.lost) return;
    this.lost = false;
    this.changed?.();
  }

  #look() {
    if (this.#over || document.hidden) return;
    const heard = this.#last !== null;
    const age = Math.floor((performance.now() - (heard ? this.#last : this.#since)) / 1000);
    const lost = age >= this.limit;
    // Whoever has just begun to look has not found it again yet.
    if (lost !== this.lost && (lost || heard)) {
      this.lost = lost;
      const words = heard ? "Connection lost: what is shown is old." : "No connection to the daemon.";
      announce(lost ? words : "Connected again.");
      this.changed?.();
    }
    if (lost) this.#show("lost", heard ? `connection lost, data is ${age} s old` : "no connection to the daemon");
    else if (heard) this.#show("live", "live");
  }

  #show(is, text) {
    setData(byId("live"), "is", is);
    setText(byId("live-text"), text);
    document.body.classList.toggle("lost", is === "lost");
  }
}
