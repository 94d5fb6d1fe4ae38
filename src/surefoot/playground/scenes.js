// One entry for each scene: draw(settings, canvases) -> {mood, verdict, facts}. Numbers come from compute.js and the records.
"use strict";

const logspace = (low, high, n) => Array.from({ length: n }, (_, i) => low * Math.pow(high / low, i / (n - 1)));
const linspace = (low, high, n) => Array.from({ length: n }, (_, i) => low + (high - low) * i / (n - 1));
const indexed = (values) => values.map((value, i) => [i, value]);
const last = (values) => values[values.length - 1];
const nearest = (values, wanted) => values.reduce((best, value, i) => Math.abs(value - wanted) < Math.abs(values[best] - wanted) ? i : best, 0);
// The least loss that a picture shows: below it the curve leaves the frame.
const TINY = 1e-12;

const axis = (name) => say("axis." + name);

function valley(canvas, mu, states) {
  const picture = new Picture(canvas, { x: [-1.25, 1.25], y: [-1.25, 1.25], xlabel: axis("flat"), ylabel: axis("steep") });
  picture.frame();
  // contour lines mu x^2 + y^2 = c, each a quarter of the loss of the next
  for (let c = 4; c > 1e-4; c /= 4) {
    const reach = Math.min(1.25, Math.sqrt(c / mu)), upper = linspace(-reach, reach, 161).map((x) => [x, Math.sqrt(Math.max(0, c - mu * x * x))]);
    picture.line(upper, { name: "edge", width: 0.8 }).line(upper.map(([x, y]) => [x, -y]), { name: "edge", width: 0.8 });
  }
  picture.line(states.map((s) => [s[0], s[1]]), { width: 1.5 }).dots(states.map((s) => [s[0], s[1]]), { radius: 2.5 });
  picture.dots([[0, 0]], { name: "good", radius: 5 }).dots([[states[0][0], states[0][1]]], { name: "ink", radius: 5 });
}

function lossCurve(canvas, values) {
  const finite = values.filter(Number.isFinite).map((v) => Math.min(Math.max(v, TINY), 1e12));
  const top = Math.max(...finite), bottom = Math.min(...finite);
  new Picture(canvas, { x: [0, values.length - 1], y: [bottom / 2, top * 2], ylog: true, xlabel: axis("steps"), ylabel: axis("loss") })
    .frame().line(indexed(values));
}

// The least number of steps to 1e-6 of the error at a factor per step.
const stepsTo = (factor) => factor < 1 ? Math.max(1, Math.ceil(Math.log(1e-6) / Math.log(factor))) : Infinity;
const times = (value) => "× " + number(value);

const DRAW = {
  canyon(s, c) {
    const mu = 1 / s.kappa, states = iterate(descent, [1, 1], [s.eta, mu, 1], s.steps);
    valley(c.path, mu, states);
    lossCurve(c.loss, states.map(([x, y]) => canyon_loss(x, y, mu, 1)[0]));
    const picture = new Picture(c.growth, { x: [mu * 0.999, 1.0001], y: [0, 1.3], xlog: s.kappa > 20, xlabel: axis("curvature"), ylabel: axis("factor") }).frame();
    const curve = (s.kappa > 20 ? logspace(mu, 1, 200) : linspace(mu, 1, 200)).map((a) => [a, growth(s.eta, a)[0]]);
    picture.line(curve).level(1).dots([curve[0], curve[199]], { name: "ink", radius: 4 });
    const slow = growth(s.eta, mu)[0], steep = growth(s.eta, 1)[0], fact = (key, values) => say("canyon.fact." + key, values);
    const [key, mood] = s.eta > 2 ? ["diverges", "bad"] : s.eta === 2 ? ["limit", "limit"] : s.eta > 1.9 ? ["below", "limit"]
      : s.eta > 1 ? ["good", "good"] : s.eta > 0.5 ? ["safe", "good"] : ["small", "limit"];
    return { mood, verdict: say("canyon.say." + key, { ratio: s.eta / 2 }), facts: [
      [fact("steep"), times(steep)], [fact("flat"), times(slow)], [fact("count"), number(stepsTo(Math.max(slow, steep)))],
      [fact("best", { step: 2 / (1 + mu) }), number(stepsTo(best_growth(s.kappa)[0]))],
    ] };
  },

  ball(s, c) {
    const mu = 1 / s.kappa, worst = (eta, beta) => Math.max(heavy_ball_growth(eta, beta, mu)[0], heavy_ball_growth(eta, beta, 1)[0]);
    const best = best_ball_growth(s.kappa)[0], fastest = Math.log(best);
    const map = new Picture(c.map, { x: [0, 4], y: [0, 0.999], xlabel: axis("rate_L"), ylabel: axis("momentum") });
    map.frame().shade((eta, beta) => {
      const factor = worst(eta, beta);
      return factor > 1 ? null : Math.min(1, 0.06 + 0.94 * Math.pow(Math.log(factor) / fastest, 0.8));
    }, "accent", 3);
    map.line([[2, 0], [4, 1]], { name: "limit", dash: [5, 4] }).dots([[s.eta, s.beta]], { name: "bad", radius: 7 });
    const states = iterate(heavy_ball, [1, 1, 0, 0], [s.eta, s.beta, mu, 1], 120);
    valley(c.path, mu, states);
    lossCurve(c.loss, states.map(([x, y]) => canyon_loss(x, y, mu, 1)[0]));
    const factor = worst(s.eta, s.beta), limit = 2 * (1 + s.beta), fact = (key) => say("ball.fact." + key);
    const [key, mood] = s.eta > limit ? ["diverges", "bad"] : factor < best + 0.3 * (1 - best) ? ["good", "good"]
      : s.eta > 0.97 * limit ? ["below", "limit"] : ["slow", "limit"];
    const both = (value) => say("ball.fact.both", { factor: number(value, 4), count: number(stepsTo(value)) });
    return { mood, verdict: say("ball.say." + key, { limit }), facts: [
      [fact("factor"), both(factor)], [fact("best"), both(best)], [fact("plain"), both(best_growth(s.kappa)[0])],
      [fact("effective"), number(s.eta / (1 - s.beta)) + "/L"],
    ] };
  },

  chaos(s, c) {
    const long = iterate(cubic, [s.x], [s.eta, 1], 1400).map((row) => row[0]);
    const tail = long.slice(-60), range = [-0.6, 1.6];
    const curve = linspace(...range, 200).map((x) => [x, cubic(x, s.eta, 1)[0]]);
    const web = new Picture(c.cobweb, { x: range, y: range, xlabel: axis("now"), ylabel: axis("next") }).frame();
    web.line([[-0.6, -0.6], [1.6, 1.6]], { name: "muted", width: 1 }).line(curve, { name: "ink", width: 1.5 });
    const steps = [];
    for (let t = 1300; t < 1399; t++) steps.push([long[t], long[t]], [long[t], long[t + 1]]);
    web.line(steps, { width: 1 });
    new Picture(c.orbit, { x: [1, 3], y: range, xlabel: axis("step_a"), ylabel: axis("x") }).frame().dots(cascade(s.x), { radius: 1, name: "ink" }).upright(s.eta);
    new Picture(c.series, { x: [0, 59], y: range, xlabel: axis("steps"), ylabel: axis("x") }).frame().line(indexed(tail), { width: 1 }).dots(indexed(tail), { radius: 2.5 });
    const { low, high, values } = RECORDS.exponents;
    const exponents = values.map((v, i) => [low + (high - low) * i / (values.length - 1), v === null ? NaN : v]);
    new Picture(c.exponent, { x: [low, high], y: [-2, 0.8], xlabel: axis("step_a"), ylabel: axis("exponent") }).frame().line(exponents, { width: 1.2 }).level(0).upright(s.eta);
    const [recorded, exponent] = exponents[nearest(exponents.map((p) => p[0]), s.eta)];
    const period = [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32].find((q) => tail.every((x, i) => i + q >= 60 || Math.abs(tail[i + q] - x) < 1e-6));
    const [key, mood] = !Number.isFinite(tail[59]) ? ["leaves", "bad"] : s.eta <= 2 ? ["converges", "good"] : period ? ["period", "limit"]
      : exponent > 0 ? ["chaos", "bad"] : ["slow", "limit"];
    const facts = [["factor", times(1 - s.eta)], ["exponent", number(exponent)], ["apart", times(Math.exp(exponent))]];
    return { mood, verdict: say("chaos.say." + key, { period: String(period) }), facts: facts.map(([name, value]) => [say("chaos.fact." + name, { recorded: number(recorded, 4) }), value]) };
  },

  dent(s, c) {
    const { rates, curvature, constant, high_then_low, loss, grid } = RECORDS.dents;
    const rate = rates[s.rate], run = constant[s.rate], mixed = high_then_low[s.rate];
    const xs = linspace(grid[0], grid[1], loss.length);
    const value = (x) => loss[Math.round((x - grid[0]) / (grid[1] - grid[0]) * (loss.length - 1))];
    const shown = run.filter((x) => x !== null && Math.abs(x) <= grid[1]).map((x) => [x, value(x)]);
    new Picture(c.valley, { x: grid, y: [-0.1, 1.3], xlabel: axis("x"), ylabel: axis("loss") }).frame().line(xs.map((x, i) => [x, loss[i]]), { name: "ink" })
      .dots(shown, { radius: 3.5 }).dots([[0.97, value(0.97)]], { name: "bad", radius: 5 }).label(0.97, value(0.97), say("dent.picture.start"), "ink", "right");
    new Picture(c.run, { x: [0, run.length], y: [-1.6, 1.6], xlabel: axis("steps"), ylabel: axis("x") }).frame()
      .line(indexed(run), { width: 1.5 }).line(indexed(mixed), { name: "good", dash: [6, 3] }).upright(RECORDS.switch);
    const cycle = iterate(clipped, [0.9], [s.eta, 1, s.clip], 80).map((row) => row[0]);
    const size = Math.max(1, ...cycle.map(Math.abs)) * 1.15;
    const third = new Picture(c.cycle, { x: [0, 80], y: [-size, size], xlabel: axis("steps"), ylabel: axis("x") }).frame();
    third.line(indexed(cycle), { width: 1 }).dots(indexed(cycle), { radius: 2 });
    // Where the cycle lies depends on the start, how wide it is does not: a width of ηC, from the top of the last steps down.
    const peak = Math.max(...cycle.slice(-2));
    if (s.eta > 2) third.level(peak).level(peak - s.eta * s.clip);
    const ends = run.slice(-20), inside = ends.every((x) => x !== null && x > 0.9 && x < 1.08);
    const spread = Math.max(...ends) - Math.min(...ends);
    const key = inside ? (spread < 1e-3 ? "caught" : "inside") : Math.abs(ends[19]) < 0.05 ? "wide" : "out";
    const clip = s.eta > 2 ? say("dent.fact.cycle", { width: s.eta * s.clip }) : say("dent.fact.settles");
    return { mood: inside ? "limit" : "good", verdict: say("dent.say." + key, { rate, curvature: number(curvature, 4) }), facts: [
      [say("dent.fact.limit", { curvature: number(curvature, 4) }), number(2 / curvature)], [say("dent.fact.end"), last(run) === null ? say("page.none") : number(last(run))],
      [say("dent.fact.clipped"), clip],
    ] };
  },

  time(s, c) {
    const size = [
      (p, q) => modulus(...euler(p, q))[0], (p, q) => modulus(...rk4(p, q))[0], (p, q) => modulus(...rkc(p, q, ...CHEBYSHEV))[0],
      (p, q) => ab2(p, q)[0], (p, q) => modulus(...backward_euler(p, q))[0],
    ][s.method - 1];
    const far = s.p * s.stiff, left = s.method === 3 ? -52 : Math.min(-4, far < -4 ? Math.max(far * 1.1, -30) : -4);
    const region = new Picture(c.region, { x: [left, 1], y: [-3.6, 3.6], xlabel: axis("real"), ylabel: axis("imaginary") });
    region.frame().shade((p, q) => size(p, q) <= 1 ? 0.3 : null, "accent", 2);
    region.line([[0, -3.6], [0, 3.6]], { name: "muted", width: 1 });
    region.dots([[far, 0]], { name: "limit", radius: 7 }).label(Math.max(far, left), 0, say("time.picture.far"), "limit");
    region.dots([[s.p, s.q]], { name: "bad", radius: 7 }).label(s.p, s.q, say("time.picture.point"));
    // The asymptotic factor per step; a multistep method starts with other factors.
    const decay = (canvas, p, q) => {
      const g = size(p, q), n = 40, points = indexed(iterate(grow, [1], [g], n).map((row) => row[0]));
      const exact = points.map(([t]) => [t, Math.exp(p * t)]);
      new Picture(canvas, { x: [0, n], y: [1e-8, g > 1 ? 1e8 : 10], ylog: true, xlabel: axis("steps"), ylabel: axis("size") }).frame()
        .line(exact, { name: "muted", dash: [4, 4] }).line(points);
      return g;
    };
    const slow = decay(c.solution, s.p, s.q), fast = decay(c.fast, far, 0);
    const [key, mood] = slow > 1 ? ["slow", "bad"] : fast > 1 ? ["stiff", "bad"] : ["stable", "good"];
    const facts = [["slow", slow], ["exact", Math.exp(s.p)], ["fast", fast]].map(([name, value]) => [say("time.fact." + name), times(value)]);
    return { mood, verdict: say("time.say." + key, { name: say("time.option.method" + s.method) }), facts };
  },

  noise(s, c) {
    const samples = 1600, runs = 12, deviation = s.noise / Math.sqrt(s.batch);
    const floor = (eta, batch) => eta < 2 ? noise_floor(eta, 1, s.noise, batch)[0] : Infinity;
    const kept = (value) => Math.min(1e4, Math.max(1e-6, value));
    const steps = Math.floor(samples / s.batch), here = floor(s.eta, s.batch);
    const one = noisyMeanSquares(s.seed, s.eta, 1, deviation, 3, steps, 1).map((value, t) => [t * s.batch, Math.sqrt(value)]);
    const drift = noisyMeanSquares(s.seed, s.eta, 1, 0, 3, steps, 1).map((value, t) => [t * s.batch, Math.sqrt(value)]);
    new Picture(c.one, { x: [0, samples], y: [0, Math.max(3.2, 1.1 * Math.min(12, Math.max(...one.map((p) => p[1]))))], xlabel: axis("samples"), ylabel: axis("size") }).frame()
      .line(one, { width: 1.5 }).line(drift, { name: "ink", width: 1.5, dash: [5, 4] }).level(Math.sqrt(here), { width: 1.5 });
    const compare = (key, scale) => {
      const pair = [[s.eta, s.batch, "accent"], [s.eta * scale, s.batch * s.times, "bad"]];
      const lines = pair.map(([eta, batch]) => noisyMeanSquares(s.seed, eta, 1, s.noise / Math.sqrt(batch), 3, Math.floor(samples / batch), runs)
        .map((value, t) => [t * batch, kept(value)]));
      const top = Math.min(1e4, 2 * Math.max(9, ...lines.flat().map((p) => p[1])));
      const picture = new Picture(c[key], { x: [0, samples], y: [1e-3, top], ylog: true, xlabel: axis("samples"), ylabel: axis("square") }).frame();
      pair.forEach(([eta, batch, name], i) => {
        picture.line(lines[i], { name, width: 1.5, dash: i ? [7, 3] : [] });
        if (floor(eta, batch) > 1e-3 && floor(eta, batch) < top) picture.level(floor(eta, batch), { name, width: 1 });
      });
      picture.label(samples * 0.99, 1.1e-3, say("noise.picture.pair", { small: String(s.batch), large: String(s.batch * s.times), rate: s.eta * scale }), "muted", "right");
      return floor(s.eta * scale, s.batch * s.times);
    };
    const linear = compare("linear", s.times), root = compare("root", Math.sqrt(s.times)), rate = s.eta * s.times;
    const [key, mood] = rate >= 2 ? ["stops", "bad"] : s.noise === 0 ? ["silent", "good"] : rate > 1 ? ["past", "limit"] : ["keeps", "good"];
    const facts = [["floor", here], ["linear", linear], ["root", root], ["ratio", s.eta / s.batch], ["end", last(one)[1]]].map(([name, value]) => [say("noise.fact." + name), number(value)]);
    return { mood, verdict: say("noise.say." + key, { rate, ratio: linear / here, k: String(s.times) }), facts };
  },

  network(s, c) {
    const { rates, runs, loss_every, sharpness_every, steps } = RECORDS.network;
    const run = runs[s.run], rate = rates[s.run], finals = runs.map((r) => last(r.loss)), top = 2;
    const shown = (v) => v === null ? NaN : Math.max(v, 1e-4);
    const curves = new Picture(c.loss, { x: [0, steps], y: [2e-2, top], ylog: true, xlabel: axis("steps"), ylabel: axis("loss") }).frame();
    for (const other of runs) curves.line(other.loss.map((v, i) => [i * loss_every, shown(v)]), { name: "line", width: 1 });
    curves.line(run.loss.map((v, i) => [i * loss_every, shown(v)]), { width: 2.5 });
    const sharp = run.sharpness.map((v, i) => [i * sharpness_every, shown(v)]);
    const high = Math.max(2.5 / rate, ...sharp.map((p) => p[1]).filter(Number.isFinite));
    new Picture(c.sharpness, { x: [0, steps], y: [0, high * 1.1], xlabel: axis("steps"), ylabel: axis("sharpness") }).frame()
      .line(sharp).dots(sharp).level(2 / rate).label(steps, 2 / rate - high * 0.13, `2/η = ${number(2 / rate)}`, "limit", "right");
    const end = finals[s.run], ended = (v) => v === null ? top : Math.min(top, shown(v));
    new Picture(c.final, { x: [rates[0] * 0.8, rates[23] * 1.25], y: [2e-2, top], xlog: true, ylog: true, xlabel: axis("rate"), ylabel: axis("final") }).frame().upright(rate)
      .dots(rates.map((r, i) => [r, ended(finals[i])]), { name: "muted", radius: 3.5 }).dots([[rate, ended(end)]], { radius: 7 });
    const rnn = RECORDS.recurrent, all = rnn.weights.flatMap((row, i) => row.map((w) => [rnn.rates[i], w === null ? NaN : w]));
    const weights = all.map((p) => p[1]).filter(Number.isFinite), here = rnn.rates[s.rnn];
    new Picture(c.rnn, { x: [rnn.rates[0], last(rnn.rates)], y: [Math.min(...weights) - 0.05, Math.max(...weights) + 0.05], xlabel: axis("rate"), ylabel: axis("weight") })
      .frame().dots(all, { radius: 1, name: "ink" }).upright(here);
    const best = Math.min(...finals.filter((v) => v !== null)), sharpest = last(sharp)[1], period = rnn.period[s.rnn];
    const [key, mood] = end === null || !(end < run.loss[0]) ? ["diverged", "bad"] : sharpest * rate > 1.7 ? ["edge", "good"] : end < 2 * best ? ["good", "good"] : ["below", "limit"];
    const fact = (name, values) => say("network.fact." + name, values);
    return { mood, verdict: say("network.say." + key, { rate, limit: 2 / rate }), facts: [
      [fact("final"), end === null ? say("page.none") : number(end)], [fact("best"), number(best)],
      [fact("sharpness"), Number.isFinite(sharpest) ? number(sharpest) : say("page.none")],
      [fact("rnn", { rate: number(here, 4) }), period ? fact("period", { period: String(period) }) : fact("chaos")],
    ] };
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
  network: { final: (x) => ({ run: nearest(RECORDS.network.rates.map(Math.log), Math.log(x)) }), rnn: (x) => ({ rnn: nearest(RECORDS.recurrent.rates, x) }) },
};
