// Pictures on a canvas: axes with round numbers, lines, points, shading. Colours come from the style sheet.
"use strict";

const FONT = '12px system-ui, -apple-system, "Segoe UI", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif';
const MARGIN = { left: 50, right: 16, top: 22, bottom: 36 };
// How far a dot may stand out of the frame: one at its very edge is seen whole.
const OVER = 7;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}

// Round numbers inside an interval, about `count` of them; powers of ten on a logarithmic axis.
function ticks(low, high, count, log) {
  if (log) {
    const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high));
    const decades = Math.log10(high / low), every = Math.max(1, Math.ceil(decades / count)), found = [];
    for (let k = first; k <= last; k += every) {
      for (const m of decades < 2.5 ? [1, 2, 5] : [1]) {
        const value = m * Math.pow(10, k);
        if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9)) found.push(value);
      }
    }
    return found;
  }
  const rough = (high - low) / count, power = Math.pow(10, Math.floor(Math.log10(rough)));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step);
  return found;
}

// As it is set in a text; code has the plain sign.
const MINUS = "\u2212";
function number(value, digits = 3) {
  if (!Number.isFinite(value)) return say(value > 0 ? "page.infinity" : "page.nan");
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) return value.toExponential(Math.max(0, digits - 2)).replace(/\.0+e/, "e").replace("e+", "e").replace("-", MINUS);
  return String(Number(value.toPrecision(digits))).replace("-", MINUS);
}

class Picture {
  // axes: {x: [low, high], y: [low, high], xlog, ylog, xlabel, ylabel}
  constructor(canvas, axes) {
    const ratio = window.devicePixelRatio || 1;
    this.width = canvas.clientWidth;
    this.height = canvas.clientHeight;
    canvas.width = Math.round(this.width * ratio);
    canvas.height = Math.round(this.height * ratio);
    this.axes = axes;
    this.pen = canvas.getContext("2d");
    this.pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.pen.clearRect(0, 0, this.width, this.height);
    this.pen.font = FONT;
    canvas.picture = this;
  }

  x(value) { return this.place(value, this.axes.x, this.axes.xlog, MARGIN.left, this.width - MARGIN.right); }
  y(value) { return this.place(value, this.axes.y, this.axes.ylog, this.height - MARGIN.bottom, MARGIN.top); }

  place(value, [low, high], log, from, to) {
    const share = log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
    return from + share * (to - from);
  }

  // The inverse, for the pointer: pixels to numbers on both axes.
  at(px, py) {
    const back = (pixel, [low, high], log, from, to) => {
      const share = Math.min(1, Math.max(0, (pixel - from) / (to - from)));
      return log ? low * Math.pow(high / low, share) : low + share * (high - low);
    };
    return [
      back(px, this.axes.x, this.axes.xlog, MARGIN.left, this.width - MARGIN.right),
      back(py, this.axes.y, this.axes.ylog, this.height - MARGIN.bottom, MARGIN.top),
    ];
  }

  frame() {
    const { pen } = this, right = this.width - MARGIN.right, bottom = this.height - MARGIN.bottom;
    pen.strokeStyle = colour("grid");
    pen.fillStyle = colour("muted");
    pen.lineWidth = 1;
    pen.textAlign = "center";
    pen.textBaseline = "top";
    for (const value of ticks(...this.axes.x, Math.max(2, Math.floor(this.width / 90)), this.axes.xlog)) {
      const px = this.x(value);
      this.segment(px, MARGIN.top, px, bottom + 4);
      pen.fillText(number(value), px, bottom + 6);
    }
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const value of ticks(...this.axes.y, 5, this.axes.ylog)) {
      const py = this.y(value);
      this.segment(MARGIN.left - 4, py, right, py);
      pen.fillText(number(value), MARGIN.left - 7, py);
    }
    pen.textAlign = "right";
    pen.textBaseline = "bottom";
    pen.fillText(this.axes.xlabel || "", right, this.height - 1);
    pen.textAlign = "left";
    pen.textBaseline = "top";
    pen.fillText(this.axes.ylabel || "", 0, 1);
    pen.strokeStyle = colour("edge");
    pen.strokeRect(MARGIN.left, MARGIN.top, right - MARGIN.left, bottom - MARGIN.top);
    return this;
  }

  segment(x0, y0, x1, y1) {
    this.pen.beginPath();
    this.pen.moveTo(x0, y0);
    this.pen.lineTo(x1, y1);
    this.pen.stroke();
  }

  inside(draw, over = 0) {
    const { pen } = this;
    pen.save();
    pen.beginPath();
    pen.rect(MARGIN.left - over, MARGIN.top - over, this.width - MARGIN.left - MARGIN.right + 2 * over, this.height - MARGIN.top - MARGIN.bottom + 2 * over);
    pen.clip();
    draw(pen);
    pen.restore();
    return this;
  }

  // Points that are not finite, or beyond what a canvas can take, break the line.
  line(points, { name = "accent", width = 2, dash = [] } = {}) {
    return this.inside((pen) => {
      pen.strokeStyle = colour(name);
      pen.lineWidth = width;
      pen.setLineDash(dash);
      pen.beginPath();
      let open = false;
      for (const [x, y] of points) {
        const px = this.x(x), py = this.y(y);
        if (!Number.isFinite(px) || !Number.isFinite(py) || Math.abs(px) > 1e6 || Math.abs(py) > 1e6) { open = false; continue; }
        if (open) pen.lineTo(px, py); else pen.moveTo(px, py);
        open = true;
      }
      pen.stroke();
    });
  }

  dots(points, { name = "accent", radius = 3 } = {}) {
    return this.inside((pen) => {
      pen.fillStyle = colour(name);
      for (const [x, y] of points) {
        const px = this.x(x), py = this.y(y);
        if (!Number.isFinite(px) || !Number.isFinite(py)) continue;
        if (radius <= 1) { pen.fillRect(px, py, 1, 1); continue; }
        pen.beginPath();
        pen.arc(px, py, radius, 0, 7);
        pen.fill();
        // A rim in the colour of the paper keeps a large dot apart from the lines below it.
        if (radius >= 4) { pen.strokeStyle = colour("card"); pen.lineWidth = 1.5; pen.stroke(); }
      }
    }, radius > 1 ? OVER : 0);
  }

  upright(value, options = {}) { return this.line([[value, this.axes.y[0]], [value, this.axes.y[1]]], { name: "limit", dash: [5, 4], ...options }); }
  level(value, options = {}) { return this.line([[this.axes.x[0], value], [this.axes.x[1], value]], { name: "limit", dash: [5, 4], ...options }); }

  label(x, y, text, name = "ink", align = "left") {
    return this.inside((pen) => {
      pen.fillStyle = colour(name);
      pen.textAlign = align;
      pen.textBaseline = "bottom";
      // A halo in the colour of the paper, so that words on a line can be read.
      pen.strokeStyle = colour("card");
      pen.lineWidth = 4;
      pen.lineJoin = "round";
      for (const write of ["strokeText", "fillText"]) pen[write](text, this.x(x) + (align === "left" ? 7 : -7), this.y(y) - 5);
    });
  }

  // shade(x, y) -> 0..1, or null for nothing; in squares of a few pixels
  shade(value, name = "accent", cell = 4) {
    return this.inside((pen) => {
      pen.fillStyle = colour(name);
      for (let px = MARGIN.left; px < this.width - MARGIN.right; px += cell) {
        for (let py = MARGIN.top; py < this.height - MARGIN.bottom; py += cell) {
          const share = value(...this.at(px + cell / 2, py + cell / 2));
          if (share === null) continue;
          pen.globalAlpha = share;
          pen.fillRect(px, py, cell, cell);
        }
      }
    });
  }
}
