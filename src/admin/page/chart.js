// The small charts: a line of what was, the latest at the right. A young daemon's line begins in the middle.

import { svg } from "./common.js";

const WIDTH = 300;
const HEIGHT = 40;
const ROOM = 3;

/** An empty chart, for `draw`. */
export function chart() {
  return svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
}

/**
 * Draws `values` (null: not known) into a chart of `capacity` points. `range` is [low, high]; `dots`: single
 * readings that no line joins.
 */
export function draw(element, values, { capacity, range, dots, label }) {
  const [low, high] = range;
  const x = (index) => ((capacity - values.length + index + 0.5) / capacity) * WIDTH;
  const y = (value) => HEIGHT - ROOM - ((Math.min(Math.max(value, low), high) - low) / (high - low || 1)) * (HEIGHT - 2 * ROOM);
  const at = (index) => `${x(index).toFixed(1)} ${y(values[index]).toFixed(1)}`;
  const parts = [svg("line", { class: "base", x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 })];
  if (dots) {
    const path = values.map((value, index) => (value === null ? "" : `M${at(index)}h0.01`)).join("");
    parts.push(svg("path", { class: "dots", d: path }));
  } else {
    for (const [begin, end] of runs(values)) {
      const line = Array.from({ length: end - begin }, (_, offset) => at(begin + offset)).join("L");
      const floor = `L${x(end - 1).toFixed(1)} ${HEIGHT}L${x(begin).toFixed(1)} ${HEIGHT}Z`;
      parts.push(svg("path", { class: "area", d: `M${line}${floor}` }));
      parts.push(svg("path", { class: "line", d: `M${line}` }));
    }
  }
  element.setAttribute("aria-label", label);
  element.replaceChildren(...parts);
}

/** The stretches that are known: [first, behind the last]. */
function runs(values) {
  const found = [];
  let begin = null;
  for (let index = 0; index <= values.length; index += 1) {
    const known = index < values.length && values[index] !== null && values[index] !== undefined;
    if (known && begin === null) begin = index;
    if (!known && begin !== null) {
      found.push([begin, index]);
      begin = null;
    }
  }
  return found;
}

/** A ratio over the last `width` points before each: of one second alone there is none worth drawing. */
export function rolling(points, part, whole, width) {
  let [parts, wholes] = [0, 0];
  return points.map((point, index) => {
    const gone = points[index - width];
    parts += (point?.[part] ?? 0) - (gone?.[part] ?? 0);
    wholes += (point?.[whole] ?? 0) - (gone?.[whole] ?? 0);
    return wholes > 0 ? parts / wholes : null;
  });
}
