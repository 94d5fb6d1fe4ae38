// What a scene computes: the same loops as _compute.py, on the same formulas, to the same bits.
"use strict";

function iterate(formula, state, parameters, steps) {
  const states = [state.slice()];
  for (let t = 0; t < steps; t++) states.push(formula(...states[t], ...parameters));
  return states;
}

// xorshift32 (Marsaglia 2003): integers alone, so that every browser draws the same numbers
function uniforms(seed) {
  let word = seed >>> 0 || 1;
  return () => {
    word ^= word << 13;
    word ^= word >>> 17;
    word ^= word << 5;
    word >>>= 0;
    return word / 4294967296;
  };
}

function noisyMeanSquares(seed, rate, curvature, noise, start, steps, runs) {
  const next = uniforms(seed);
  const points = new Array(runs).fill(start);
  const means = [start * start];
  for (let t = 0; t < steps; t++) {
    let total = 0.0;
    for (let i = 0; i < runs; i++) {
      let xi = -6.0;
      for (let k = 0; k < 12; k++) xi = xi + next();
      points[i] = noisy(points[i], rate, curvature, noise, xi)[0];
      total = total + points[i] * points[i];
    }
    means.push(total / runs);
  }
  return means;
}

// A number's 64 bits as 16 hexadecimal digits; every NaN is the same NaN.
function bits(value) {
  if (Number.isNaN(value)) return "nan";
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return view.getBigUint64(0).toString(16).padStart(16, "0");
}

const FORMULA_BY_NAME = {
  descent, canyon_loss, growth, best_growth, best_ball_growth, heavy_ball, heavy_ball_growth, cubic, clipped, euler, rk4,
  backward_euler, rkc, modulus, grow, ab2, noisy, noise_floor,
};

// One golden record: what to run, and the bits that Python got.
function agrees(record) {
  const values = record.kind === "iterate"
    ? iterate(FORMULA_BY_NAME[record.formula], record.state, record.parameters, record.steps).flat()
    : record.kind === "noise"
      ? noisyMeanSquares(...record.arguments)
      : FORMULA_BY_NAME[record.formula](...record.arguments);
  return values.length === record.bits.length && values.every((value, i) => bits(value) === record.bits[i]);
}

if (typeof module !== "undefined") module.exports = { agrees };
