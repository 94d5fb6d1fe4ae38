// One entry for each scene: draw(settings, canvases) -> [words, mood]. Numbers come from compute.js and the records.
"use strict";

const logspace = (low, high, n) => Array.from({ length: n }, (_, i) => low * Math.pow(high / low, i / (n - 1)));
const linspace = (low, high, n) => Array.from({ length: n }, (_, i) => low + (high - low) * i / (n - 1));
const indexed = (values) => values.map((value, i) => [i, value]);
const nearest = (values, wanted) => values.reduce((best, value, i) => Math.abs(value - wanted) < Math.abs(values[best] - wanted) ? i : best, 0);
const TINY = 1e-12;

function valley(canvas, mu, states) {
  const picture = new Picture(canvas, { x: [-1.25, 1.25], y: [-1.25, 1.25], xlabel: "flat direction" });
  picture.frame();
  // contour lines mu x^2 + y^2 = c, each a quarter of the loss of the next
  for (let c = 4; c > 1e-4; c /= 4) {
    const reach = Math.min(1.25, Math.sqrt(c / mu)), upper = linspace(-reach, reach, 161).map((x) => [x, Math.sqrt(Math.max(0, c - mu * x * x))]);
    picture.line(upper, { name: "muted", width: 0.7 }).line(upper.map(([x, y]) => [x, -y]), { name: "muted", width: 0.7 });
  }
  picture.line(states.map((s) => [s[0], s[1]]), { width: 1.5 }).dots(states.map((s) => [s[0], s[1]]), { radius: 2.5 });
  picture.dots([[states[0][0], states[0][1]]], { name: "ink", radius: 4 }).dots([[0, 0]], { name: "good", radius: 4 });
}

function lossCurve(canvas, values) {
  const shown = values.map((v) => Math.min(Math.max(v, TINY), 1e12));
  const top = Math.max(...shown.filter(Number.isFinite)), bottom = Math.min(...shown.filter(Number.isFinite));
  new Picture(canvas, { x: [0, values.length - 1], y: [bottom / 2, top * 2], ylog: true, xlabel: "steps" })
    .frame().line(indexed(shown));
}

// The least number of steps to 1e-6 of the error at a factor per step.
const stepsTo = (factor) => factor < 1 ? Math.ceil(Math.log(1e-6) / Math.log(factor)) : Infinity;

const DRAW = {
  canyon(s, c) {
    const mu = 1 / s.kappa, states = iterate(descent, [1, 1], [s.eta, mu, 1], s.steps);
    valley(c.path, mu, states);
    lossCurve(c.loss, states.map(([x, y]) => canyon_loss(x, y, mu, 1)[0]));
    const picture = new Picture(c.growth, { x: [mu, 1.0001], y: [0, 1.3], xlog: s.kappa > 20, xlabel: "curvature, in units of L" }).frame();
    const curve = (s.kappa > 20 ? logspace(mu, 1, 200) : linspace(mu, 1, 200)).map((a) => [a, growth(s.eta, a)[0]]);
    picture.line(curve).level(1).dots([curve[0], curve[199]], { name: "ink", radius: 4 });
    const slow = growth(s.eta, mu)[0], steep = growth(s.eta, 1)[0], worst = Math.max(slow, steep);
    const factors = `The steep direction is multiplied by ${number(steep)} per step, the flat one by ${number(slow)}.`;
    if (s.eta > 2) return [`Diverges: the step is ${number(s.eta / 2)} x the limit 2/L. ${factors}`, "bad"];
    if (s.eta === 2) return [`Neither converges nor diverges: exactly at the limit 2/L. ${factors}`, "limit"];
    const words = s.eta > 1.9 ? "Oscillates: just below the limit 2/L."
      : s.eta > 1 ? "Good: between 1/L and 2/L." : s.eta > 0.5 ? "Safe: at most 1/L, no direction overshoots." : "Small: nothing overshoots, and it takes long.";
    return [`${words} ${factors} ${stepsTo(worst)} steps to a millionth of the error; the best step 2/(L + mu) = ${number(2 / (1 + mu))}/L needs ${stepsTo((s.kappa - 1) / (s.kappa + 1)) || 1}.`, s.eta > 1.9 ? "limit" : "good"];
  },

  ball(s, c) {
    const mu = 1 / s.kappa, worst = (eta, beta) => Math.max(heavy_ball_growth(eta, beta, mu)[0], heavy_ball_growth(eta, beta, 1)[0]);
    const root = Math.sqrt(s.kappa), best = (root - 1) / (root + 1), fastest = Math.log(best);
    const map = new Picture(c.map, { x: [0, 4], y: [0, 0.999], xlabel: "rate, in units of 1/L" });
    map.shade((eta, beta) => {
      const factor = worst(eta, beta);
      return factor > 1 ? null : Math.min(1, 0.06 + 0.94 * Math.pow(Math.log(factor) / fastest, 0.8));
    }, "accent", 3).frame();
    map.line([[2, 0], [4, 1]], { name: "limit", dash: [5, 4] }).dots([[s.eta, s.beta]], { name: "bad", radius: 6 });
    const states = iterate(heavy_ball, [1, 1, 0, 0], [s.eta, s.beta, mu, 1], 120);
    valley(c.path, mu, states);
    lossCurve(c.loss, states.map(([x, y]) => canyon_loss(x, y, mu, 1)[0]));
    const factor = worst(s.eta, s.beta), limit = 2 * (1 + s.beta);
    if (s.eta > limit) return [`Diverges: the limit at this momentum is 2(1 + beta)/L = ${number(limit)}/L. Factor per step ${number(factor)}.`, "bad"];
    const near = factor < best + 0.3 * (1 - best);
    return [`${near ? "Good" : s.eta > 0.97 * limit ? "Just below the limit" : "Converges"}: factor per step ${number(factor, 4)}, ${stepsTo(factor)} steps to a millionth; the best pair has ${number(best, 4)} (${stepsTo(best)} steps), and no momentum at best ${number((s.kappa - 1) / (s.kappa + 1), 4)}. The effective rate of flat directions is eta/(1 - beta) = ${number(s.eta / (1 - s.beta))}/L.`, near ? "good" : "limit"];
  },

  chaos(s, c) {
    const long = iterate(cubic, [s.x], [s.eta, 1], 1400).map((row) => row[0]);
    const tail = long.slice(-60);
    const curve = linspace(-0.6, 1.6, 200).map((x) => [x, cubic(x, s.eta, 1)[0]]);
    const web = new Picture(c.cobweb, { x: [-0.6, 1.6], y: [-0.6, 1.6], xlabel: "x now; up: x next" }).frame();
    web.line([[-0.6, -0.6], [1.6, 1.6]], { name: "muted", width: 1 }).line(curve, { name: "ink", width: 1.5 });
    const steps = [];
    for (let t = 1300; t < 1399; t++) steps.push([long[t], long[t]], [long[t], long[t + 1]]);
    web.line(steps, { width: 1 });
    const drawn = new Picture(c.orbit, { x: [1, 3], y: [-0.6, 1.6], xlabel: "step, in units of 1/a" }).frame();
    drawn.dots(cascade(s.x), { radius: 1, name: "ink" }).upright(s.eta);
    new Picture(c.series, { x: [0, 59], y: [-0.6, 1.6], xlabel: "steps" }).frame().line(indexed(tail), { width: 1 }).dots(indexed(tail), { radius: 2.5 });
    const { low, high, values } = RECORDS.exponents;
    const exponents = values.map((v, i) => [low + (high - low) * i / (values.length - 1), v === null ? NaN : v]);
    new Picture(c.exponent, { x: [low, high], y: [-2, 0.8], xlabel: "step, in units of 1/a" }).frame().line(exponents, { width: 1 }).level(0).upright(s.eta);
    const exponent = exponents[nearest(exponents.map((p) => p[0]), s.eta)][1];
    if (!Number.isFinite(tail[59])) return ["Leaves for infinity: beyond 3/a nothing holds it.", "bad"];
    const period = [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32].find((q) => tail.every((x, i) => i + q >= 60 || Math.abs(tail[i + q] - x) < 1e-6));
    if (s.eta <= 2) return [`Converges: below the limit 2/a. Each step multiplies the error by about ${number(1 - s.eta)}.`, "good"];
    if (period) return [`Period ${period}: past the limit 2/a it does not blow up, it repeats after ${period} steps. Exponent near ${number(exponent)}.`, "limit"];
    return [exponent > 0 ? `Chaos: no period; nearby starts part by a factor ${number(Math.exp(exponent))} per step (exponent ${number(exponent)}).` : `Still on its way to a cycle: exponent near ${number(exponent)}.`, "bad"];
  },

  dent(s, c) {
    const { rates, constant, high_then_low, loss, grid } = RECORDS.dents;
    const which = nearest(rates.map(Math.log), Math.log(s.rate)), rate = rates[which];
    const run = constant[which], mixed = high_then_low[which];
    const xs = linspace(grid[0], grid[1], loss.length);
    const value = (x) => loss[Math.round((x - grid[0]) / (grid[1] - grid[0]) * (loss.length - 1))];
    const shown = run.filter((x) => x !== null && Math.abs(x) <= grid[1]).map((x) => [x, value(x)]);
    new Picture(c.valley, { x: grid, y: [-0.1, 1.3], xlabel: "x" }).frame().line(xs.map((x, i) => [x, loss[i]]), { name: "ink" })
      .dots(shown, { radius: 3 }).dots([[0.97, value(0.97)]], { name: "bad", radius: 5 }).label(0.97, value(0.97), "start");
    const time = new Picture(c.run, { x: [0, run.length], y: [-1.6, 1.6], xlabel: "steps" }).frame();
    time.line(indexed(run), { width: 1.5 }).line(indexed(mixed), { name: "good", dash: [6, 3] }).upright(RECORDS.switch);
    time.label(2, -1.45, "solid: constant", "accent").label(RECORDS.switch, -1.45, "dashed: then low", "good");
    const cycle = iterate(clipped, [0.9], [s.eta, 1, s.clip], 80).map((row) => row[0]);
    const size = Math.max(1, ...cycle.map(Math.abs)) * 1.15;
    const third = new Picture(c.cycle, { x: [0, 80], y: [-size, size], xlabel: "steps" }).frame();
    third.line(indexed(cycle), { width: 1 }).dots(indexed(cycle), { radius: 2 });
    if (s.eta > 2) third.level(s.eta * s.clip / 2).level(-s.eta * s.clip / 2);
    const ends = run.slice(-20), inside = ends.every((x) => x !== null && x > 0.9 && x < 1.08);
    const spread = Math.max(...ends) - Math.min(...ends);
    const dent = inside ? (spread < 1e-3 ? `At rate ${number(rate)} the run is caught in the dent.` : `At rate ${number(rate)} the run oscillates inside the dent: past 2/23.85 = 0.0839, but not out.`)
      : `At rate ${number(rate)} the run leaves the dent${Math.abs(ends[19]) < 0.05 ? " and ends in the wide minimum" : ""}.`;
    const clip = s.eta > 2 ? `Clipped at ${number(s.clip)}, eta ${number(s.eta)}/a: a cycle ${number(s.eta * s.clip)} wide (eta C).` : `Clipped, eta ${number(s.eta)}/a: below 2/a it settles.`;
    return [`${dent} ${clip}`, inside ? "limit" : "good"];
  },

  time(s, c) {
    const methods = [
      ["Euler", (p, q) => modulus(...euler(p, q))[0], euler], ["RK4", (p, q) => modulus(...rk4(p, q))[0], rk4],
      ["Runge-Kutta-Chebyshev", (p, q) => modulus(...rkc(p, q, ...CHEBYSHEV))[0], (p, q) => rkc(p, q, ...CHEBYSHEV)],
      ["Adams-Bashforth 2", (p, q) => ab2(p, q)[0], null],
      ["backward Euler", (p, q) => modulus(...backward_euler(p, q))[0], backward_euler],
    ];
    const [name, size, factor] = methods[s.method - 1], far = s.p * s.stiff;
    const left = s.method === 3 ? -52 : Math.min(-4, s.stiff > 1 && far < -4 ? Math.max(far * 1.1, -30) : -4);
    const region = new Picture(c.region, { x: [left, 1], y: [-3.6, 3.6], xlabel: "Re h lambda; up: Im h lambda" });
    region.shade((p, q) => size(p, q) <= 1 ? 0.28 : null, "accent", 2).frame();
    region.line([[0, -3.6], [0, 3.6]], { name: "muted", width: 1 });
    region.dots([[s.p, s.q]], { name: "bad", radius: 6 }).label(s.p, s.q, "h lambda").dots([[far, 0]], { name: "limit", radius: 6 }).label(Math.max(far, left), 0, "fast", "limit");
    // The asymptotic factor per step; a multistep method starts with other factors.
    const decay = (canvas, p, q) => {
      const g = size(p, q), n = 40;
      const points = linspace(0, n, n + 1).map((t) => [t, Math.max(1e-8, Math.min(1e8, Math.pow(g, t)))]);
      const exact = points.map(([t]) => [t, Math.max(1e-8, Math.exp(p * t))]);
      new Picture(canvas, { x: [0, n], y: [1e-8, g > 1 ? 1e8 : 10], ylog: true, xlabel: "steps" }).frame()
        .line(exact, { name: "muted", dash: [4, 4] }).line(points);
      return g;
    };
    const slow = decay(c.solution, s.p, s.q), fast = decay(c.fast, far, 0);
    const worst = Math.max(slow, fast);
    const words = worst > 1 ? `${name} blows up: ${slow > 1 ? "the point h lambda is" : "the fast component is"} outside its region.` : `${name} is stable on both components.`;
    return [`${words} Factors per step: ${number(slow)} (exact ${number(Math.exp(s.p))}), fast ${number(fast)}.${worst > 1 && slow <= 1 ? ` This is stiffness: the step is set by a component that ${far < -5 ? "has long died out" : "dies out fast"}.` : ""}`, worst > 1 ? "bad" : "good"];
  },

  noise(s, c) {
    const samples = 1600, runs = 12, seen = [];
    const floor = (eta, batch) => eta < 2 ? eta * s.noise * s.noise / (batch * (2 - eta)) : Infinity;
    for (const [key, scale] of [["linear", s.times], ["root", Math.sqrt(s.times)]]) {
      const pair = [[s.eta, s.batch, "accent"], [s.eta * scale, s.batch * s.times, "bad"]];
      const lines = pair.map(([eta, batch]) => noisyMeanSquares(s.seed, eta, 1, s.noise / Math.sqrt(batch), 3, Math.floor(samples / batch), runs)
        .map((value, t) => [t * batch, Math.min(1e4, Math.max(1e-6, value))]));
      const top = Math.min(1e4, 2 * Math.max(9, ...lines.flat().map((p) => p[1]))), picture = new Picture(c[key], { x: [0, samples], y: [1e-3, top], ylog: true, xlabel: "samples seen" }).frame();
      pair.forEach(([eta, batch, name], i) => {
        picture.line(lines[i], { name, width: 1.5, dash: i ? [7, 3] : [] });
        if (floor(eta, batch) > 1e-3 && floor(eta, batch) < top) picture.level(floor(eta, batch), { name, width: 1 });
      });
      picture.label(samples * 0.98, 2.2 * 1e-3, `solid: batch ${s.batch}; dashed: batch ${number(s.batch * s.times)} at ${number(s.eta * scale)}`, "muted", "right");
      seen.push(s.eta * scale);
    }
    const other = seen[0];
    if (other >= 2) return [`Linear scaling stops here: ${number(other)}/a is past the limit 2/a, which no batch size moves. The root rule asks for ${number(seen[1])}.`, "bad"];
    return [`Hovers at ${number(floor(s.eta, s.batch))}. Batch x ${s.times} with rate x ${s.times} keeps the floor near (${number(floor(other, s.batch * s.times))}) and the fall per sample; the root rule gives a floor of ${number(floor(seen[1], s.batch * s.times))} and falls more slowly.${other > 1 ? " The larger rate is past 1/a: the floor rises faster than linearly." : ""}`, s.noise === 0 || other < 1 ? "good" : "limit"];
  },

  network(s, c) {
    const { rates, runs, loss_every, sharpness_every, steps } = RECORDS.network;
    const run = runs[s.run], rate = rates[s.run], finals = runs.map((r) => r.loss[r.loss.length - 1]);
    const shown = (v) => v === null ? NaN : Math.max(v, 1e-4);
    const curves = new Picture(c.loss, { x: [0, steps], y: [2e-2, 2], ylog: true, xlabel: "steps" }).frame();
    for (const other of runs) curves.line(other.loss.map((v, i) => [i * loss_every, shown(v)]), { name: "line", width: 1 });
    curves.line(run.loss.map((v, i) => [i * loss_every, shown(v)]), { width: 2.5 });
    const sharp = run.sharpness.map((v, i) => [i * sharpness_every, shown(v)]);
    const top = Math.max(2.5 / rate, ...sharp.map((p) => p[1]).filter(Number.isFinite));
    new Picture(c.sharpness, { x: [0, steps], y: [0, top * 1.1], xlabel: "steps" }).frame().line(sharp).dots(sharp).level(2 / rate).label(steps * 0.6, 2 / rate - top * 0.09, `2/eta = ${number(2 / rate)}`, "limit");
    new Picture(c.final, { x: [rates[0] * 0.8, rates[23] * 1.25], y: [2e-2, 2], xlog: true, ylog: true, xlabel: "rate" }).frame()
      .dots(rates.map((r, i) => [r, shown(finals[i])]), { name: "muted" }).dots([[rate, shown(finals[s.run])]], { radius: 6 }).upright(rate);
    const rnn = RECORDS.recurrent, all = rnn.weights.flatMap((row, i) => row.map((w) => [rnn.rates[i], w === null ? NaN : w]));
    const weights = all.map((p) => p[1]).filter(Number.isFinite), low = rnn.rates[0], high = rnn.rates[rnn.rates.length - 1], here = s.rnn;
    new Picture(c.rnn, { x: [low, high], y: [Math.min(...weights) - 0.05, Math.max(...weights) + 0.05], xlabel: "rate" }).frame().dots(all, { radius: 1, name: "ink" }).upright(here);
    const end = finals[s.run], best = Math.min(...finals.filter((v) => v !== null)), last = sharp[sharp.length - 1][1];
    const chaos = rnn.period[nearest(rnn.rates, here)];
    const state = end === null || !(end < run.loss[0]) ? ["Diverged", "bad"] : last * rate > 1.7 ? ["At the edge of stability: sharpness has met 2/eta and hovers there", "good"]
      : end < 2 * best ? ["Good", "good"] : ["Below the edge: stable, and slow", "limit"];
    return [`Rate ${number(rate)}: ${state[0]}. Final loss ${end === null ? "not finite" : number(end)} (best of the 24: ${number(best)}); ${Number.isFinite(last) ? "sharpness " + number(last) : "no sharpness"}, 2/eta ${number(2 / rate)}. The recurrent network at ${number(here)}: ${chaos ? "period " + chaos : "no period, chaos or still creeping"}.`, state[1]];
  },
};

// The orbit diagram for a start, kept until the start changes: 360 steps of the rate, 100 states each.
const cascade = (() => {
  let start = null, points = [];
  return (x) => {
    if (x !== start) {
      start = x;
      points = linspace(1, 3, 360).flatMap((eta) => iterate(cubic, [x], [eta, 1], 500).slice(-100).map((row) => [eta, row[0]]));
    }
    return points;
  };
})();

// What a click on a picture sets: canvas key -> (settings from the point).
const CLICKS = {
  ball: { map: (x, y) => ({ eta: x, beta: y }) },
  chaos: { orbit: (x) => ({ eta: x }), exponent: (x) => ({ eta: x }) },
  time: { region: (x, y) => ({ p: x, q: y }) },
  network: { final: (x) => ({ run: nearest(RECORDS.network.rates.map(Math.log), Math.log(x)) }), rnn: (x) => ({ rnn: x }) },
};
