// The page around the scenes: tabs, sliders, buttons, verdict, exercises, language, the address.
"use strict";

const byId = (id) => document.getElementById(id);
let language = LANGUAGES[0];
// Every word comes from the table; one that is missing is a fault of the page, not an empty place on it.
function say(key, values = {}) {
  const words = WORDS[language][key];
  if (words === undefined) throw new Error(`no words for ${key}`);
  return words.replace(/\{(\w+)\}/g, (whole, name) => {
    if (!(name in values)) throw new Error(`${key} needs ${name}`);
    return typeof values[name] === "number" ? number(values[name]) : values[name];
  });
}
// A fault of the page is said on the page: a picture that stands still looks like an answer.
window.addEventListener("error", (event) => {
  byId("error").hidden = false;
  byId("error").textContent = WORDS[language]["page.fault"].replace("{message}", event.message);
});
const make = (tag, attributes = {}, text = "") => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
};
let scene = SCENES[0], settings = {}, canvases = {};
const remembered = {};

// A value within the slider's range, to four digits: what is seen and what the address holds is what is computed.
const clean = (slider, value) => {
  const number = Number.isFinite(value) ? Math.min(slider.high, Math.max(slider.low, value)) : slider.value;
  return slider.whole ? Math.round(number) : Number(number.toPrecision(4));
};
// A slider of 1000 positions; where equal distances are equal ratios, positions are logarithms.
const toPosition = (s, v) => 1000 * (s.log ? Math.log(v / s.low) / Math.log(s.high / s.low) : (v - s.low) / (s.high - s.low));
const fromPosition = (s, p) => clean(s, s.log ? s.low * Math.pow(s.high / s.low, p / 1000) : s.low + (s.high - s.low) * p / 1000);
const asShown = (s, v) => s.shown.length ? s.shown[v - s.low] : v;

function open(name, wanted = {}) {
  scene = SCENES.find((s) => s.name === name) || SCENES[0];
  settings = {};
  for (const slider of scene.sliders) settings[slider.name] = clean(slider, wanted[slider.name] ?? remembered[scene.name]?.[slider.name] ?? slider.value);
  build();
}

// Everything that has words; the settings stay as they are when the language changes.
function build() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
  byId("tabs").setAttribute("aria-label", say("page.scenes"));
  byId("tries").setAttribute("aria-label", say("page.try"));
  byId("controls").setAttribute("aria-label", say("page.controls"));
  const same = GOLDEN_SAME;
  byId("equal").textContent = say("page.equal", { same: String(same), all: String(GOLDEN.length) });
  byId("equal").className = same === GOLDEN.length ? "right" : "wrong";
  byId("made").textContent = say("page.made", { version: VERSION });
  byId("languages").replaceChildren(...LANGUAGES.map((tag) => {
    const button = make("button", { type: "button", lang: tag, "aria-pressed": tag === language }, WORDS[tag]["page.language"]);
    // The buttons are made anew: the one that was pressed keeps the focus, for whoever goes on by keyboard.
    button.addEventListener("click", () => { language = tag; build(); document.querySelector(`#languages [lang=${tag}]`).focus(); });
    return button;
  }));
  byId("tabs").replaceChildren(...SCENES.map((s) => {
    const tab = make("button", { type: "button", id: "tab-" + s.name, ...(s === scene ? { "aria-current": "page" } : {}) }, say(s.name + ".title"));
    tab.addEventListener("click", () => { open(s.name); byId("tab-" + s.name).focus({ preventScroll: true }); });
    return tab;
  }));
  const tab = byId("tab-" + scene.name);
  byId("tabs").scrollLeft = tab.offsetLeft - (byId("tabs").clientWidth - tab.offsetWidth) / 2;
  byId("title").textContent = say(scene.name + ".title");
  byId("lead").textContent = say(scene.name + ".lead", scene.words);
  buildSliders();
  byId("tries").replaceChildren(...scene.tries.map((values, i) => {
    const button = make("button", { type: "button" }, say(`${scene.name}.try.${i + 1}`));
    button.addEventListener("click", () => change(values));
    return button;
  }));
  buildPictures();
  buildExercises();
  redraw();
}

function buildSliders() {
  byId("sliders").replaceChildren(...scene.sliders.map((slider) => {
    const row = make("div", { class: "slider" }), id = "slider-" + slider.name, label = make("label", { for: id }, say(`${scene.name}.slider.${slider.name}`));
    if (slider.choice) {
      const choice = make("select", { id });
      for (let v = slider.low; v <= slider.high; v++) choice.append(make("option", { value: v }, say(`${scene.name}.option.${slider.name}${v}`)));
      choice.addEventListener("change", () => change({ [slider.name]: Number(choice.value) }));
      row.append(label, choice);
      return row;
    }
    const input = make("input", { type: "range", id, min: 0, max: 1000, step: slider.whole && !slider.log ? 1000 / (slider.high - slider.low) : 1 });
    input.addEventListener("input", () => change({ [slider.name]: fromPosition(slider, Number(input.value)) }));
    // On a logarithmic slider one position is far less than a whole number, so an arrow moves to the next number.
    if (slider.whole && slider.log) input.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (!by) return;
      event.preventDefault();
      const value = clean(slider, settings[slider.name] + by);
      input.value = toPosition(slider, value);
      change({ [slider.name]: value });
    });
    row.append(label, make("output", { for: id, id: "value-" + slider.name }), input);
    return row;
  }));
  byId("controls").onsubmit = (event) => event.preventDefault();
}

function buildPictures() {
  canvases = {};
  byId("pictures").replaceChildren(...scene.pictures.map((key) => {
    const click = CLICKS[scene.name]?.[key], title = say(`${scene.name}.picture.${key}`);
    const words = say(`${scene.name}.picture.${key}_text`) + (click ? say("page.point") : "");
    const figure = make("figure"), caption = make("figcaption"), canvas = make("canvas", { role: "img", "aria-label": title + ". " + words });
    caption.append(make("strong", {}, title), " ", make("span", {}, words));
    figure.append(caption, canvas);
    canvases[key] = canvas;
    if (click) {
      // Where only left and right matter, a thumb may still scroll the page up and down.
      canvas.classList.add(click.length === 1 ? "across" : "anywhere");
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
    const item = make("li"), form = make("form"), id = `answer-${i}`, words = (part) => say(`${scene.name}.exercise.${part}${i + 1}`, exercise.values);
    const input = make("input", { id, inputmode: "decimal", autocomplete: "off" }), said = make("p", { role: "status", "aria-live": "polite" });
    const show = make("button", { type: "button", hidden: "" }, say("page.answer"));
    const tell = (mood, text) => { said.className = mood; said.textContent = text; show.hidden = mood !== "wrong"; };
    show.addEventListener("click", () => tell("right", say("page.is", { answer: number(exercise.answer, 4), reason: words("r") })));
    form.append(input, make("button", {}, say("page.check")), show);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const given = Number(input.value.replace(",", "."));
      if (input.value.trim() === "" || !Number.isFinite(given)) tell("wrong", say("page.number"));
      else if (Math.abs(given - exercise.answer) <= exercise.tolerance * Math.abs(exercise.answer)) tell("right", say("page.right", { reason: words("r") }));
      else tell("wrong", say(given > exercise.answer ? "page.large" : "page.small"));
    });
    item.append(make("label", { for: id }, words("q")), form, said);
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
      if (slider.choice) { input.value = value; continue; }
      if (document.activeElement !== input) input.value = toPosition(slider, value);
      const shown = number(asShown(slider, value), 4);
      input.setAttribute("aria-valuetext", shown);
      byId("value-" + slider.name).textContent = shown;
    }
    const { mood, verdict, facts } = DRAW[scene.name](settings, canvases);
    // Said again only when it changed: a screen reader would read each copy.
    if (byId("verdict").textContent !== verdict) byId("verdict").textContent = verdict;
    byId("answer").className = "answer " + mood;
    byId("facts").replaceChildren(...facts.map(([key, value]) => {
      const fact = make("div");
      fact.append(make("dt", {}, key), make("dd", {}, value));
      return fact;
    }));
    const code = Object.fromEntries(scene.sliders.map((s) => [s.name, number(asShown(s, settings[s.name]), 6).replace(MINUS, "-")]));
    byId("python").textContent = scene.python.replace(/\{(\w+)\}/g, (whole, name) => code[name] ?? whole);
    remembered[scene.name] = { ...settings };
    const address = "#" + new URLSearchParams({ scene: scene.name, ...Object.fromEntries(scene.sliders.map((s) => [s.name, settings[s.name]])), lang: language });
    if (location.hash !== address) history.replaceState(null, "", address);
  });
}

// The language of the address, else one that the reader's browser asks for.
function fromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)), values = {};
  const asked = [given.get("lang"), ...(navigator.languages || [])].map((tag) => String(tag).slice(0, 2));
  language = asked.find((tag) => LANGUAGES.includes(tag)) || LANGUAGES[0];
  for (const [name, value] of given) if (name !== "scene" && name !== "lang") values[name] = parseFloat(value);
  open(given.get("scene"), values);
}

byId("copy").addEventListener("click", async () => {
  try { await navigator.clipboard.writeText(byId("python").textContent); byId("copy").textContent = say("page.copied"); }
  catch { getSelection().selectAllChildren(byId("python")); byId("copy").textContent = say("page.selected"); }
});
const GOLDEN_SAME = GOLDEN.filter(agrees).length;
window.addEventListener("resize", redraw);
window.addEventListener("hashchange", fromAddress);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
fromAddress();
