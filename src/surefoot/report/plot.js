// Draws each figure anew from its numbers, at the width at which it is shown: on a phone, a wide screen, paper.
// Without this script the drawing that stands in the page stays.
"use strict";
(() => {
const SVG = document.querySelector("svg").namespaceURI, FONT = 12, GAP = 36, PAPER = 680;
// Below this width a figure is a phone's: curves are named in a legend, panels stand over one another.
const NARROW = 430;
// A curve is named at its end where the name takes no more of the width than this.
const MOST_NAME = 0.27;
const pen = document.createElement("canvas").getContext("2d");
let ids = 0;

const width = (text, size = FONT, weight = 400) => {
  pen.font = `${weight} ${size}px ${getComputedStyle(document.body).fontFamily}`;
  return pen.measureText(text).width;
};
const clamp = (v, low, high) => Math.min(Math.max(v, low), high);

function add(parent, name, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return parent.appendChild(made);
}

function html(parent, name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return parent.appendChild(made);
}

const RAISED = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
function written(value, digits = 6) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e-3 && size < 1e5) return String(Number(value.toPrecision(digits))).replace("-", "−");
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  const power = "10" + [...String(Number(exponent))].map((c) => RAISED[c]).join("");
  const front = Number(mantissa);
  return (front === 1 ? power : `${front}·${power}`).replace(/^-/, "−");
}

// Tick values of an axis that has room for so many.
function ticksOf(axis, from, to, most) {
  if (axis.ticks) return axis.ticks.filter(([v]) => v >= from && v <= to);
  const label = (values) => values.map((v) => [v, written(v, 4)]);
  if (axis.log) {
    for (const parts of [[1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 5], [1, 3], [1]]) {
      const low = Math.floor(Math.log10(from)), high = Math.ceil(Math.log10(to));
      let found = [];
      for (let e = low; e <= high; e++) for (const p of parts) found.push(Number(`${p}e${e}`));
      found = found.filter((v) => v >= from * (1 - 1e-9) && v <= to * (1 + 1e-9));
      if (found.length <= most && found.length >= 2) return label(found);
      if (parts.length === 1 && found.length > most) {
        const every = Math.ceil(found.length / most);
        return label(found.filter((_, i) => i % every === 0));
      }
    }
  }
  const span = (to - from) / Math.max(most, 1), unit = 10 ** Math.floor(Math.log10(span || 1));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * unit).find((s) => s >= span) || unit;
  const found = [];
  for (let k = Math.ceil(from / step - 1e-9); k * step <= to * (1 + 1e-9) + 1e-12; k++) found.push(Number((k * step).toPrecision(12)));
  return label(found);
}

// Place of a value along an axis, from 0 to 1.
const part = (axis, [from, to], v) =>
  axis.log ? Math.log(v / from) / Math.log(to / from) : (v - from) / (to - from);
const value = (axis, [from, to], p) =>
  axis.log ? from * (to / from) ** p : from + p * (to - from);

class Plot {
  constructor(figure) {
    this.figure = figure;
    this.drawing = figure.querySelector(".drawing");
    this.spec = JSON.parse(figure.querySelector("script").textContent);
    this.pictures = [...this.drawing.querySelectorAll("image")].map((i) => i.getAttribute("href"));
    this.title = figure.getAttribute("aria-label");
    this.zoomed = new Map();
    this.legend = html(figure, "ul", "legend");
    figure.insertBefore(this.legend, this.drawing);
    this.reading = html(figure, "output", "reading");
    this.reading.hidden = true;
    this.back = html(figure, "button", "back", "Show all");
    this.back.type = "button";
    this.back.hidden = true;
    this.back.addEventListener("click", () => this.zoom(null));
    this.at = null;
    this.draw(this.drawing.clientWidth);
  }

  // The range of an axis: its own, or what was zoomed to. Panels over one another share theirs.
  across(k) {
    const axis = this.spec.panels[k].x;
    return this.zoomed.get(this.spec.stacked ? 0 : k) || [axis.from, axis.to];
  }

  zoom(range, k = 0) {
    if (range === null) this.zoomed.clear();
    else this.zoomed.set(this.spec.stacked ? 0 : k, range);
    this.back.hidden = this.zoomed.size === 0;
    this.draw(this.drawn);
    if (this.at) this.show(this.at);
  }

  draw(w) {
    if (!w) return;
    this.drawn = w;
    this.narrow = w < NARROW;
    this.named = this.namedAtEnd(w);
    const boxes = this.layout(w);
    const svg = document.createElementNS(SVG, "svg");
    const height = boxes.height;
    for (const [key, v] of Object.entries({ viewBox: `0 0 ${w} ${height}`, width: w, height, tabindex: 0, role: "application" })) svg.setAttribute(key, v);
    svg.setAttribute("aria-label", `${this.title} Arrow keys read the values, + and − zoom, 0 shows all.`);
    this.panels = this.spec.panels.map((panel, k) => this.panel(svg, panel, boxes[k], k, w));
    this.cursor = add(svg, "g", { class: "cursor" });
    this.drawing.replaceChildren(svg);
    this.key();
    this.listen(svg);
    this.svg = svg;
  }

  // Curves whose names stand at their ends, in the last panel, where there is room.
  namedAtEnd(w) {
    const last = this.spec.panels.length - 1;
    const lines = this.spec.panels[last].items.filter((i) => i.is === "line" && i.in === "data" && i.label && i.label !== this.spec.panels[last].y.label && i.width && i.x.length > 4);
    const room = this.spec.stacked ? w : w / this.spec.panels.length;
    const longest = Math.max(0, ...lines.map((i) => width(i.label, FONT, 600)));
    if (this.narrow || !lines.length || lines.length > 9 || longest > MOST_NAME * room) return { lines: new Set(), room: 0 };
    return { lines: new Set(lines.map((i) => i.label)), room: longest + 12, panel: last };
  }

  layout(w) {
    const { panels, stacked } = this.spec;
    const over = stacked || this.narrow;
    const scale = this.narrow ? 68 : 78;
    const whole = this.spec.height * scale;
    const shares = panels.map((p) => p.box[3]), sum = shares.reduce((a, b) => a + b, 0);
    const boxes = [];
    let y = 0;
    const lefts = panels.map((p) => this.left(p));
    const left = Math.max(...lefts);
    panels.forEach((p, k) => {
      const top = 8 + (p.y.label ? FONT + 6 : 0);
      const bottom = this.bottom(p);
      const right = Math.max(this.named.room, 16);
      if (over) {
        let h = stacked ? Math.max(whole * shares[k] / sum, 44) : Math.max(whole * 0.8, 150);
        const inner = w - left - right;
        if (p.equal) h = inner * (p.y.to - p.y.from) / (p.x.to - p.x.from);
        boxes.push({ x: left, y: y + top, w: inner, h });
        y += top + h + bottom + (k < panels.length - 1 ? 4 : 0);
      } else {
        const first = lefts[0], room = (w - first - right - GAP * (panels.length - 1)) / panels.length;
        boxes.push({ x: first + k * (room + GAP), y: 8 + FONT + 6, w: room, h: whole - 8 - FONT - 6 - bottom });
        y = whole;
      }
    });
    boxes.height = Math.ceil(y);
    return boxes;
  }

  left(p) {
    // how many ticks there will be hangs on the height, which is not known yet
    const texts = [3, 5, 7, 9, 12].flatMap((most) => ticksOf(p.y, p.y.from, p.y.to, most).map(([, text]) => text));
    return 10 + Math.max(10, ...texts.map((text) => width(text, /[a-z]/i.test(text) ? FONT + 1 : FONT)));
  }

  bottom(p) {
    const last = this.spec.panels[this.spec.panels.length - 1] === p;
    return !this.spec.stacked || last ? 22 + (p.x.label ? FONT + 4 : 0) : 6;
  }

  panel(svg, p, box, k, w) {
    const xr = this.across(k), yr = [p.y.from, p.y.to];
    const px = (v) => box.x + box.w * part(p.x, xr, v), py = (v) => box.y + box.h * (1 - part(p.y, yr, v));
    const place = (item, x, y) => [
      item.in === "y" || item.in === "axes" ? box.x + box.w * x : px(x),
      item.in === "x" || item.in === "axes" ? box.y + box.h * (1 - y) : py(y),
    ];
    const g = add(svg, "g");
    const last = !this.spec.stacked || k === this.spec.panels.length - 1;
    for (const [v, text] of ticksOf(p.x, ...xr, Math.max(2, Math.floor(box.w / 62)))) {
      const x = px(v);
      add(g, "line", { x1: x, x2: x, y1: box.y, y2: box.y + box.h, class: "grid" });
      if (last) add(g, "text", { x: clamp(x, width(text) / 2, w - width(text) / 2), y: box.y + box.h + 16, class: "tick", "text-anchor": "middle" }, text);
    }
    const words = p.y.ticks && p.y.ticks.some(([, t]) => /[a-z]/i.test(t));
    for (const [v, text] of ticksOf(p.y, ...yr, words ? 99 : Math.max(2, Math.floor(box.h / 34)))) {
      const y = py(v);
      if (!words) add(g, "line", { x1: box.x, x2: box.x + box.w, y1: y, y2: y, class: "grid" });
      if (k === 0 || this.spec.stacked || this.narrow) add(g, "text", { x: box.x - 7, y: y + 4, class: words ? "name" : "tick", "text-anchor": "end" }, text);
    }
    if (p.y.label) add(g, "text", { x: 2, y: box.y - 8, class: "axis" }, p.y.label);
    if (last && p.x.label) add(g, "text", { x: box.x + box.w, y: box.y + box.h + 16 + FONT + 4, class: "axis", "text-anchor": "end" }, p.x.label);
    add(g, "line", { x1: box.x, x2: box.x + box.w, y1: box.y + box.h, y2: box.y + box.h, class: "base" });
    const id = `clip${++ids}`;
    add(add(g, "clipPath", { id }), "rect", { x: box.x - 6, y: box.y - 6, width: box.w + 12, height: box.h + 12 });
    const inside = add(g, "g", { "clip-path": `url(#${id})` });
    const points = [];
    for (const item of p.items) this.item(inside, item, place, points, k, box);
    const ends = [];
    for (const item of p.items) if (item.is === "line" && this.named.panel === k && this.named.lines.has(item.label)) {
      const seen = points.filter((q) => q.item === item && q.x >= box.x - 1 && q.x <= box.x + box.w + 1);
      if (seen.length) ends.push({ item, y: seen.reduce((a, b) => (b.x > a.x ? b : a)).y });
    }
    spread(ends, box);
    for (const { item, y } of ends) add(g, "text", { x: box.x + box.w + 7, y: y + 4, class: "named", style: `fill: ${item.color}` }, item.label);
    return { p, box, xr, yr, px, py, points };
  }

  item(g, item, place, points, k, box) {
    const paint = { fill: item.color, "fill-opacity": item.alpha };
    if (item.is === "area") {
      const d = item.rings.map((ring) => "M" + ring.map(([x, y]) => place(item, x, y).map(short).join(" ")).join("L") + "Z").join("");
      add(g, "path", { d, ...paint, "fill-rule": "evenodd" });
    } else if (item.is === "picture") {
      const [left, right, low, high] = item.extent, [x1, y1] = place({ in: "data" }, left, high), [x2, y2] = place({ in: "data" }, right, low);
      add(g, "image", { x: x1, y: y1, width: x2 - x1, height: y2 - y1, href: this.pictures[item.at] || "", preserveAspectRatio: "none" });
    } else if (item.is === "words") {
      const [x, y] = place(item, item.x, item.y);
      const lines = item.text.split("\n"), widest = Math.max(...lines.map((t) => width(t, FONT, 600)));
      let right = item.right;
      if (right && x + 5 + widest > box.x + box.w + 4) right = false;
      if (!right && x - 5 - widest < box.x - 4) right = true;
      lines.forEach((text, i) => add(g, "text", {
        x: x + (right ? 5 : -5), y: y + (item.below ? 10 - 1.1 * item.dy - 2 : -6) + i * (FONT + 2), class: "named", style: `fill: ${item.color}`, "text-anchor": right ? "start" : "end",
      }, text));
    } else {
      let d = "", open = false;
      item.x.forEach((x, i) => {
        const y = item.y[i];
        if (x === null || y === null) { open = false; return; }
        const [a, b] = place(item, x, y);
        if (!Number.isFinite(a) || !Number.isFinite(b)) { open = false; return; }
        d += `${open ? "L" : "M"}${short(a)} ${short(b)}`;
        open = true;
        if (item.in === "data") points.push({ item, x: a, y: b, at: [x, y], k });
        if (item.marker) mark(g, item, a, b);
      });
      if (item.width && d) add(g, "path", { d, fill: "none", stroke: item.color, "stroke-width": Math.max(item.width, 1), "stroke-opacity": item.alpha, "stroke-dasharray": item.dash });
    }
  }

  // What is not named at its curve.
  key() {
    this.legend.replaceChildren();
    const seen = new Set(this.named.lines);
    for (const p of this.spec.panels) for (const item of p.items) {
      if (!item.label || seen.has(item.label) || item.label === p.y.label) continue;
      seen.add(item.label);
      const row = html(this.legend, "li");
      const swatch = add(row, "svg", { width: 26, height: 12, viewBox: "0 0 26 12", "aria-hidden": "true" });
      if (item.is === "area") add(swatch, "rect", { x: 2, y: 1, width: 22, height: 10, rx: 2, fill: item.color, "fill-opacity": Math.max(item.alpha, 0.25) });
      else {
        if (item.width) add(swatch, "line", { x1: 1, x2: 25, y1: 6, y2: 6, stroke: item.color, "stroke-width": Math.min(item.width, 6), "stroke-dasharray": item.dash, "stroke-opacity": item.alpha });
        if (item.marker) mark(swatch, { ...item, size: Math.min(item.size, 9) }, 13, 6);
      }
      html(row, "span", "", item.label);
    }
    this.legend.hidden = !this.legend.children.length;
  }

  listen(svg) {
    const inside = (event) => {
      const box = svg.getBoundingClientRect(), scale = this.drawn / box.width;
      return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    };
    let from = null, frame = null;
    const panelAt = (x, y) => this.panels.findIndex(({ box }) => x >= box.x - 8 && x <= box.x + box.w + 8 && y >= box.y - 8 && y <= box.y + box.h + 8);
    svg.addEventListener("pointermove", (event) => {
      const [x, y] = inside(event), k = panelAt(x, y);
      if (from) {
        const { box } = this.panels[from.k], to = clamp(x, box.x, box.x + box.w);
        frame = frame || add(svg, "rect", { y: box.y, height: box.h, class: "select" });
        frame.setAttribute("x", Math.min(from.x, to));
        frame.setAttribute("width", Math.abs(to - from.x));
      } else if (k >= 0) {
        const near = nearest(this.panels[k].points, x, y);
        if (near) this.show({ k, item: near.item, at: near.at });
      } else this.hide();
    });
    svg.addEventListener("pointerleave", () => this.hide());
    svg.addEventListener("pointerdown", (event) => {
      const [x, y] = inside(event), k = panelAt(x, y);
      if (event.pointerType === "touch" || k < 0) return;
      from = { x, k };
      svg.setPointerCapture(event.pointerId);
    });
    svg.addEventListener("pointerup", (event) => {
      if (!from) return;
      const [x] = inside(event), start = from, { box, p, xr } = this.panels[start.k];
      from = null;
      if (frame) frame.remove();
      frame = null;
      const ends = [start.x, x].map((v) => clamp((v - box.x) / box.w, 0, 1)).sort((a, b) => a - b);
      if (ends[1] - ends[0] > 0.03) this.zoom(ends.map((e) => value(p.x, xr, e)), start.k);
    });
    svg.addEventListener("dblclick", () => this.zoom(null));
    svg.addEventListener("keydown", (event) => this.press(event));
    svg.addEventListener("blur", () => this.hide());
  }

  press(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], Home: [-Infinity, 0], End: [Infinity, 0] };
    if (event.key in moves) {
      const curves = this.panels.flatMap((panel, k) => [...new Set(panel.points.map((q) => q.item))].map((item) => ({ item, k })));
      if (!curves.length) return;
      const [dx, dy] = moves[event.key];
      let c = this.at ? curves.findIndex((each) => each.item === this.at.item) : 0;
      const points = () => this.panels[curves[c].k].points.filter((q) => q.item === curves[c].item).sort((a, b) => a.x - b.x);
      let i = this.at ? points().findIndex((q) => q.at[0] === this.at.at[0] && q.at[1] === this.at.at[1]) + dx : 0;
      if (this.at && dy) {
        const before = points()[clamp(i, 0, points().length - 1)].x;
        c = (c + dy + curves.length) % curves.length;
        i = points().reduce((best, q, j, all) => (Math.abs(q.x - before) < Math.abs(all[best].x - before) ? j : best), 0);
      }
      const own = points(), point = own[clamp(i, 0, own.length - 1)];
      this.show({ k: curves[c].k, item: point.item, at: point.at });
    } else if (["+", "=", "-"].includes(event.key)) {
      const k = this.at ? this.at.k : 0, { p, xr } = this.panels[k], axis = p.x;
      const middle = this.at ? clamp(part(axis, xr, this.at.at[0]), 0, 1) : 0.5, half = event.key === "-" ? 1 : 0.25;
      const range = [middle - half, middle + half].map((e) => value(axis, xr, e));
      const all = part(axis, [axis.from, axis.to], range[0]) <= 0 && part(axis, [axis.from, axis.to], range[1]) >= 1;
      this.zoom(all ? null : [Math.max(range[0], axis.from), Math.min(range[1], axis.to)], k);
    } else if (event.key === "0") this.zoom(null);
    else if (event.key === "Escape") this.hide();
    else return;
    event.preventDefault();
  }

  show(at) {
    this.at = at;
    const { px, py, box, p } = this.panels[at.k], x = px(at.at[0]), y = py(at.at[1]);
    this.cursor.replaceChildren();
    add(this.cursor, "line", { x1: x, x2: x, y1: box.y, y2: box.y + box.h });
    add(this.cursor, "circle", { cx: x, cy: y, r: 4.5, fill: at.item.color });
    const across = p.x.label || this.spec.panels[this.spec.panels.length - 1].x.label || "x";
    const tick = (p.y.ticks || []).find(([v]) => v === at.at[1]);
    const label = p.y.label || this.spec.panels[0].y.label;
    const up = tick ? `, ${tick[1]}` : label ? `, ${label} ${written(at.at[1])}` : "";
    const name = at.item.label && at.item.label !== p.y.label ? `${at.item.label}: ` : "";
    this.reading.textContent = `${name}${across} ${written(at.at[0])}${up}`;
    this.reading.hidden = false;
    const scale = this.svg.getBoundingClientRect().width / this.drawn;
    const half = this.reading.offsetWidth / 2;
    this.reading.style.left = `${clamp(x * scale, half, Math.max(half, this.drawing.clientWidth - half))}px`;
    this.reading.style.top = `${this.drawing.offsetTop + y * scale - this.reading.offsetHeight - 10}px`;
  }

  hide() {
    this.at = null;
    this.cursor.replaceChildren();
    this.reading.hidden = true;
  }
}

const short = (v) => Number(clamp(v, -1e5, 1e5).toFixed(2));

function nearest(points, x, y) {
  let best = null, least = Infinity;
  for (const q of points) {
    // across counts more: a finger points at a place on the axis
    const far = (q.x - x) ** 2 + 0.3 * (q.y - y) ** 2;
    if (far < least) { least = far; best = q; }
  }
  return best;
}

// Move names apart until none overlaps another, and all are beside their panel.
function spread(ends, box) {
  ends.sort((a, b) => a.y - b.y);
  for (const end of ends) end.y = clamp(end.y, box.y, box.y + box.h);
  for (let i = 1; i < ends.length; i++) ends[i].y = Math.max(ends[i].y, ends[i - 1].y + FONT + 2);
  let most = box.y + box.h + 6;
  for (let i = ends.length - 1; i >= 0; i--) { ends[i].y = Math.min(ends[i].y, most); most = ends[i].y - FONT - 2; }
}

function mark(g, item, x, y) {
  const r = Math.max(item.size / 2, 1.2), stroke = { stroke: item.color, "stroke-opacity": item.alpha, "stroke-width": 1.8, fill: "none" };
  const shapes = {
    x: `M${x - r} ${y - r}L${x + r} ${y + r}M${x - r} ${y + r}L${x + r} ${y - r}`,
    "|": `M${x} ${y - r}L${x} ${y + r}`,
    "+": `M${x} ${y - r}L${x} ${y + r}M${x - r} ${y}L${x + r} ${y}`,
    v: `M${x - r} ${y - r}L${x + r} ${y - r}L${x} ${y + r}Z`,
    "^": `M${x - r} ${y + r}L${x + r} ${y + r}L${x} ${y - r}Z`,
    s: `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}Z`,
    D: `M${x} ${y - 1.2 * r}L${x + 1.2 * r} ${y}L${x} ${y + 1.2 * r}L${x - 1.2 * r} ${y}Z`,
  };
  if (item.marker in shapes) add(g, "path", { d: shapes[item.marker], ..."x|+".includes(item.marker) ? stroke : { fill: item.color, "fill-opacity": item.alpha } });
  else add(g, "circle", { cx: x, cy: y, r: item.marker === "." ? Math.max(0.55 * r, 1.2) : r, fill: item.color, "fill-opacity": item.alpha });
}

const plots = [...document.querySelectorAll("figure.plot")].map((figure) => new Plot(figure));
const redraw = (paper) => plots.forEach((plot) => plot.draw(paper ? (plot.figure.closest(".figures") ? PAPER / 2 - 16 : PAPER) : plot.drawing.clientWidth));
let asked = 0;
addEventListener("resize", () => { cancelAnimationFrame(asked); asked = requestAnimationFrame(() => redraw()); });

// On paper everything is open, and figures are as wide as the paper.
const closed = [];
addEventListener("beforeprint", () => {
  closed.push(...document.querySelectorAll("details:not([open])"));
  for (const each of closed) each.open = true;
  redraw(true);
});
addEventListener("afterprint", () => {
  for (const each of closed.splice(0)) each.open = false;
  redraw();
});

for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {  // a page from a file may not use the clipboard: select the line, so that it can be copied by hand
      const range = document.createRange();
      range.selectNodeContents(code);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  });
}
})();
