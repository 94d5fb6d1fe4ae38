// The page around the scenes: tabs, sliders, buttons, verdict, exercises, the address.
"use strict";

const byId = (id) => document.getElementById(id);
// A fault of the page is said on the page: a picture that stands still looks like an answer.
window.addEventListener("error", (event) => {
  byId("error").hidden = false;
  byId("error").textContent = `This page has a fault: ${event.message}. What it shows may be old.`;
});
const make = (tag, attributes = {}, text = "") => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
};
let scene = SCENES[0], settings = {}, canvases = {};
const remembered = {};

const clean = (slider, value) => {
  const number = Number.isFinite(value) ? Math.min(slider.high, Math.max(slider.low, value)) : slider.value;
  return slider.whole ? Math.round(number) : number;
};
// A slider of 1000 positions; where equal distances are equal ratios, positions are logarithms.
const toPosition = (s, v) => 1000 * (s.log ? Math.log(v / s.low) / Math.log(s.high / s.low) : (v - s.low) / (s.high - s.low));
const fromPosition = (s, p) => clean(s, s.log ? s.low * Math.pow(s.high / s.low, p / 1000) : s.low + (s.high - s.low) * p / 1000);
// Numbers as they are shown and stored in the address: what is seen is what is computed.
const rounded = (s, v) => s.whole ? v : Number(v.toPrecision(4));

function open(name, wanted = {}) {
  scene = SCENES.find((s) => s.name === name) || SCENES[0];
  settings = {};
  for (const slider of scene.sliders) settings[slider.name] = clean(slider, wanted[slider.name] ?? remembered[scene.name]?.[slider.name] ?? slider.value);
  for (const tab of byId("tabs").children) tab.toggleAttribute("aria-current", false);
  byId("tab-" + scene.name).setAttribute("aria-current", "page");
  byId("title").textContent = scene.title;
  byId("lead").textContent = scene.lead;
  buildSliders();
  byId("tries").replaceChildren(...scene.tries.map(([label, values]) => {
    const button = make("button", { type: "button" }, label);
    button.addEventListener("click", () => change(values));
    return button;
  }));
  buildPictures();
  buildExercises();
  redraw();
}

function buildSliders() {
  byId("sliders").replaceChildren(...scene.sliders.map((slider) => {
    const row = make("div", { class: "slider" }), id = "slider-" + slider.name;
    if (slider.options.length) {
      const choice = make("select", { id });
      slider.options.forEach((words, i) => choice.append(make("option", { value: slider.low + i }, words)));
      choice.addEventListener("change", () => change({ [slider.name]: Number(choice.value) }));
      row.append(make("label", { for: id }, slider.label), choice);
      return row;
    }
    const input = make("input", { type: "range", id, min: 0, max: 1000, step: slider.whole && !slider.log ? 1000 / (slider.high - slider.low) : 1 });
    input.addEventListener("input", () => change({ [slider.name]: rounded(slider, fromPosition(slider, Number(input.value))) }));
    row.append(make("label", { for: id }, slider.label), make("output", { for: id, id: "value-" + slider.name }), input);
    return row;
  }));
  byId("sliders").onsubmit = (event) => event.preventDefault();
}

function buildPictures() {
  canvases = {};
  byId("pictures").replaceChildren(...scene.pictures.map(([key, title, words]) => {
    const figure = make("figure"), caption = make("figcaption"), canvas = make("canvas", { role: "img", "aria-label": title + ". " + words });
    caption.append(make("strong", {}, title), " ", make("span", {}, words));
    figure.append(caption, canvas);
    canvases[key] = canvas;
    const click = CLICKS[scene.name]?.[key];
    if (click) {
      canvas.classList.add("click");
      const go = (event) => {
        const box = canvas.getBoundingClientRect();
        change(click(...canvas.picture.at(event.clientX - box.left, event.clientY - box.top)));
      };
      canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); go(event); });
      canvas.addEventListener("pointermove", (event) => { if (event.buttons) go(event); });
    }
    return figure;
  }));
}

function buildExercises() {
  byId("exercises").replaceChildren(...scene.exercises.map((exercise, i) => {
    const item = make("li"), form = make("form"), id = `answer-${i}`;
    const input = make("input", { id, inputmode: "decimal", autocomplete: "off" }), said = make("span", { role: "status", "aria-live": "polite" });
    form.append(input, make("button", {}, "Check"), said);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const given = Number(input.value.replace(",", "."));
      if (input.value.trim() === "" || !Number.isFinite(given)) { said.className = "wrong"; said.textContent = "A number, please."; return; }
      const right = Math.abs(given - exercise.answer) <= exercise.tolerance * Math.abs(exercise.answer);
      said.className = right ? "right" : "wrong";
      said.textContent = right ? `Right. ${exercise.reason}` : given > exercise.answer ? "Too large. Try again." : "Too small. Try again.";
    });
    item.append(make("label", { for: id }, exercise.question), form);
    return item;
  }));
}

function change(values) {
  for (const slider of scene.sliders) if (slider.name in values) settings[slider.name] = clean(slider, values[slider.name]);
  redraw();
}

let waiting = false;
function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    for (const slider of scene.sliders) {
      const value = settings[slider.name], input = byId("slider-" + slider.name);
      if (slider.options.length) { input.value = value; continue; }
      if (document.activeElement !== input) input.value = toPosition(slider, value);
      input.setAttribute("aria-valuetext", number(value, 4));
      byId("value-" + slider.name).textContent = number(value, 4);
    }
    const [words, mood] = DRAW[scene.name](settings, canvases);
    byId("verdict").textContent = words;
    byId("verdict").className = "verdict " + mood;
    byId("python").textContent = scene.python.replace(/\{(\w+)\}/g, (whole, name) => name in settings ? number(settings[name], 6) : whole);
    remembered[scene.name] = { ...settings };
    const address = "#" + new URLSearchParams({ scene: scene.name, ...Object.fromEntries(scene.sliders.map((s) => [s.name, rounded(s, settings[s.name])])) });
    if (location.hash !== address) history.replaceState(null, "", address);
  });
}

function fromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)), values = {};
  for (const [name, value] of given) if (name !== "scene") values[name] = parseFloat(value);
  open(given.get("scene"), values);
}

byId("tabs").replaceChildren(...SCENES.map((s) => {
  const tab = make("button", { type: "button", id: "tab-" + s.name }, s.title);
  tab.addEventListener("click", () => open(s.name));
  return tab;
}));
byId("copy").addEventListener("click", async () => {
  try { await navigator.clipboard.writeText(byId("python").textContent); byId("copy").textContent = "Copied"; }
  catch { getSelection().selectAllChildren(byId("python")); byId("copy").textContent = "Selected: press Ctrl+C"; }
});
const same = GOLDEN.filter(agrees).length;
byId("equal").textContent = `${same} of ${GOLDEN.length} computations in this browser equal Python's to the last bit.`;
byId("equal").className = same === GOLDEN.length ? "right" : "wrong";
window.addEventListener("resize", redraw);
window.addEventListener("hashchange", fromAddress);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
fromAddress();
