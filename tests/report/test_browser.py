"""Reports in a browser: figures at the width they are shown, values that can be read, paper that loses nothing."""

import html
import itertools
import json
import math
import re

import numpy as np
import pytest

import surefoot as sf
from surefoot.dynamics import Cubic, bifurcations, diagram
from surefoot.problems import Quadratic
from surefoot.recipes import clip_advice, scale_batch, warmup_advice
from surefoot.report import figures, write_report
from surefoot.report._canvas import SERIES_VARIABLES, VARIABLES
from surefoot.report._plot import plot_of
from surefoot.report._save import LIGHT
from surefoot.targets import resolve
from surefoot.trials import race, run, sweep

# What the tests ask of a page.
ASK = """
var all = (selector, from = document) => [...from.querySelectorAll(selector)];
var figure = (title) => all("figure.plot").find((f) => !title || f.querySelector("h3")?.textContent === title);
var drawn = (title) => figure(title).querySelector("svg[tabindex]");
var place = (title) => {
  drawn(title).scrollIntoView({ block: "center" });
  return drawn(title).getBoundingClientRect().toJSON();
};
var said = (title) => figure(title).querySelector("output").textContent;
var ticks = () => all(".tick[text-anchor=middle]", drawn().querySelector("g")).map((t) => t.textContent);
var base = () => ["x1", "x2"].map((end) => drawn().querySelector(".base")[end].baseVal.value);
var widths = () => all("figure.plot").map((f) => {
  const svg = f.querySelector("svg[tabindex]");
  return [f.querySelector(".drawing").clientWidth, svg.getBoundingClientRect().width, svg.viewBox.baseVal.width];
});
var smallest = () => Math.min(...all("svg[tabindex] text").map((t) => parseFloat(getComputedStyle(t).fontSize)));
var beyond = (edge) => all("td, th, svg, li, p, code").filter((e) => e.getBoundingClientRect().right > edge).length;
var hidden = () => all("td").filter((e) => e.textContent.trim() && !e.getBoundingClientRect().height).length;
var open_all = () => all("details").forEach((d) => { d.open = true; });

// Words that stand out too little from what is behind them, with the ratio of the two lights (WCAG 2.2, 1.4.3).
var parts = (text) => text.match(/[0-9.]+/g).map(Number);
var light = (color) => color.map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
var behind = (e) => {
  for (; e; e = e.parentElement) {
    const color = parts(getComputedStyle(e).backgroundColor);
    if (color.length < 4 || color[3] > 0) return color.slice(0, 3);
  }
  return [255, 255, 255];
};
var faint = () => all("body *").flatMap((e) => {
  const words = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  if (!words || !e.getClientRects().length) return [];
  const style = getComputedStyle(e);
  const color = parts(e instanceof SVGElement ? style.fill : style.color).slice(0, 3);
  const [most, least] = [light(color), light(behind(e))].sort((a, b) => b - a);
  const ratio = (most + 0.05) / (least + 0.05);
  return ratio < 4.5 ? [[e.textContent.trim().slice(0, 30), ratio]] : [];
});
"""


@pytest.fixture
def look(chromium, pages):
    """Opens a report, and returns the function that evaluates on it."""

    def opened(name, **how):
        chromium.open(pages[0][name], **how)
        chromium.js(ASK)
        return chromium

    return opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Reports of several kinds, and the records that they were made from."""
    folder = tmp_path_factory.mktemp("reports")
    problem = Quadratic(np.diag(np.geomspace(1.0, 100.0, 20)), np.ones(20))
    records = {
        "advice": sf.advise(problem).to_dict(),
        "race": race(problem, ["auto", "bb", "armijo", "constant:safe"], steps=60).to_dict(),
        "run": run(problem, "constant:1.9/L", steps=50).to_dict(),
        "sweep": sweep(problem, count=6, steps=130).to_dict(),
    }
    words = {
        "scaling": scale_batch(0.1, 256, 8192, "adamw", betas=(0.9, 0.999)),
        "clipping": clip_advice([1.0, 2.0, math.nan, 5.0, 3.0], 1.5),
        "warming": warmup_advice(1e-3, beta2=0.999, total=5000),
    }
    records |= {name: found.to_dict() for name, found in words.items()}
    records["diagnosis"] = resolve("ode:kepler")[0].diagnose().to_dict() | {"target": "kepler", "summary": "two bodies"}
    paths = {name: write_report(record, folder / f"{name}.html") for name, record in records.items()}
    drawn = diagram(Cubic(), np.linspace(1.5, 3.0, 90), 0.3, steps=300, keep=32)
    cascade = bifurcations(Cubic(), (1.5, 3.0), 0.3, 2)
    records["orbit"] = {"kind": "orbit", "system": "cubic", "cascade": cascade.to_dict(), "said": str(drawn)}
    orbits = figures.orbit_diagram(drawn, thresholds=[2])
    paths["orbit"] = write_report(records["orbit"], folder / "orbit.html", drawing=orbits)
    return paths, records


@pytest.mark.parametrize("name", ["advice", "race", "run", "sweep", "orbit"])
def test_figures_are_drawn_at_the_width_they_are_shown(look, pages, name):
    for width in (390, 1280):
        page = look(name, width=width)
        drawn = page.js("widths()")
        assert drawn
        for room, shown, unit in drawn:
            assert shown == pytest.approx(room, abs=1)
            assert unit == pytest.approx(shown, abs=1)  # so a letter of 12 is 12 pixels high
        assert page.js("smallest()") >= 12
        assert page.js("document.documentElement.scrollWidth") <= width
        assert page.js("all('.drawing').every((d) => d.querySelectorAll('path, image').length)")
        assert page.faults == []
    path = pages[0][name]
    assert path.stat().st_size < 1_000_000
    assert not re.search(r'(src|href)="(?!data:|#)|https?://(?!www\.w3\.org)', path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("dark", [False, True])
def test_every_word_stands_out_from_what_is_behind_it(look, dark):
    for name in ("advice", "race", "sweep", "orbit", "clipping", "diagnosis"):
        page = look(name, dark=dark)
        page.js("open_all()")
        assert page.js("faint()") == []


def test_keys_and_pointer_read_the_values_of_the_record(look, pages):
    page = look("advice")
    recommendation = pages[1]["advice"]["recommendations"][0]
    title = json.dumps("What do real runs say?")
    page.js(f"drawn({title}).focus()")
    page.press("Home")
    said = []
    for _ in recommendation["trials"]:
        said.append(page.js(f"said({title})"))
        page.press("ArrowRight")
    pattern = re.compile(r"step (\S+), loss at the end of a short run (\S+)")
    seen = {tuple(map(number, pattern.search(text).groups())) for text in said}
    assert len(seen) >= 4
    trials = {trial["step"]: trial["final"] for trial in recommendation["trials"]}
    for step, loss in seen:
        true = min(trials, key=lambda each: abs(each - step))
        assert step == pytest.approx(true, rel=1e-5)
        assert loss == pytest.approx(trials[true], rel=1e-5, abs=1e-12)
    page.press("Escape")
    assert page.js(f"figure({title}).querySelector('output').hidden")
    box = page.js(f"place({title})")
    page.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    (pointed,) = pattern.findall(page.js(f"said({title})"))
    assert tuple(map(number, pointed)) in seen


def number(text):
    """A number as the page writes it."""
    raised = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    front, power = re.fullmatch(r"(.*?)(?:·?10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?", text.replace("−", "-")).groups()
    return float(front or 1) * 10.0 ** int((power or "⁰").translate(raised))


def test_a_logarithmic_axis_is_zoomed_by_dragging_and_by_keys(look):
    page = look("race")
    axis = json.loads(page.js("figure().querySelector('script').textContent"))["panels"][0]["x"]
    assert axis["log"]

    def ticks():
        return [number(text) for text in page.js("ticks()")]

    before, (left, right), box = ticks(), page.js("base()"), page.js("place()")
    y, at = box["y"] + box["height"] / 2, [box["x"] + left + part * (right - left) for part in (0.5, 0.75)]
    page.move(at[0], y, "mousePressed", button="left", clickCount=1)
    page.move(at[1], y, "mouseMoved", button="left", buttons=1)
    page.move(at[1], y, "mouseReleased", button="left", clickCount=1)
    low, high = (axis["from"] * (axis["to"] / axis["from"]) ** part for part in (0.5, 0.75))
    assert ticks() != before
    assert all(0.98 * low <= tick <= 1.02 * high for tick in ticks())
    assert page.js("figure().querySelector('button.back').hidden") is False
    page.js("drawn().focus()")
    page.press("0")
    assert ticks() == before
    page.js("drawn().focus()")
    page.press("+")
    assert ticks() != before
    assert page.faults == []


@pytest.mark.parametrize("name", ["advice", "race", "sweep", "orbit", "scaling", "diagnosis"])
def test_paper_loses_nothing(look, name):
    page = look(name, width=702, paper=True)  # A4 less its margins, in the pixels of CSS
    folded = page.js("all('details:not([open])').length")
    page.js("dispatchEvent(new Event('beforeprint'))")
    assert page.js("all('details').every((d) => d.open)")
    assert page.js("beyond(703)") == 0
    assert page.js("hidden()") == 0
    assert page.js("document.documentElement.scrollWidth") <= 702
    assert page.pdf().startswith(b"%PDF")
    # printing has ended with it
    assert page.js("all('details:not([open])').length") == folded
    assert page.faults == []


def test_the_recommended_line_is_copied_and_runs(look):
    page = look("advice")
    code = page.js("all('.code code')[0].textContent")
    page.js("all('button.copy')[0].click()")
    assert page.js("new Promise((r) => setTimeout(() => r(all('button.copy')[0].textContent), 50))") == "Copied"
    problem = Quadratic(np.diag(np.geomspace(1.0, 100.0, 20)), np.ones(20))
    names = {"sf": sf, "problem": problem}
    exec(code, names)
    assert names["run"].loss < problem.value(problem.start())


def code_of(path):
    """The line that a page recommends."""
    return html.unescape(re.search(r'<div class="code"><code>(.*?)</code>', path.read_text(encoding="utf-8"))[1])


@pytest.mark.parametrize("name", ["race", "sweep"])
def test_a_line_for_a_problem_runs(pages, name):
    problem = Quadratic(np.diag(np.geomspace(1.0, 100.0, 20)), np.ones(20))
    names = {"sf": sf, "problem": problem}
    exec(code_of(pages[0][name]), names)
    loss = names["run"].loss if name == "sweep" else names["run"].descent.loss
    assert loss < problem.value(problem.start())
    if name == "sweep":
        outcomes = [o for o in pages[1]["sweep"]["outcomes"] if isinstance(o["loss"], float)]
        best = min(outcomes, key=lambda outcome: outcome["loss"])["rate"]
        assert f"step={best:.3g})" in code_of(pages[0][name])


def test_a_line_for_an_equation_runs(pages):
    names = {"sf": sf, "f": lambda t, y: -y, "y0": [1.0]}
    exec(code_of(pages[0]["diagnosis"]), names)
    assert names["trajectory"].y[-1][0] == pytest.approx(math.exp(-names["trajectory"].t[-1]), abs=1e-3)


def test_lines_for_a_training_do_what_they_say(pages):
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    names = {"torch": torch, "model": model, "optimizer": optimizer}
    exec(code_of(pages[0]["scaling"]), names)
    (group,) = optimizer.param_groups
    record = pages[1]["scaling"]
    assert group["lr"] == pytest.approx(record["rate"], rel=1e-5)
    assert group["betas"] == pytest.approx(record["betas"], rel=1e-5)
    model(torch.ones(4, 2)).sum().mul(100).backward()
    exec(code_of(pages[0]["clipping"]), names)
    norm = sum(p.grad.square().sum() for p in model.parameters()).sqrt()
    assert float(norm) == pytest.approx(pages[1]["clipping"]["value"], rel=1e-3)
    # (k + 1)/W of the rate at step k, as the advice says, and the whole from step W - 1 on
    exec(code_of(pages[0]["warming"]), names)
    rates = []
    for _ in range(2005):
        rates.append(group["lr"])
        optimizer.step()
        names["scheduler"].step()
    rise = [min(1.0, (k + 1) / 2000) * record["rate"] for k in range(2005)]
    assert rates == pytest.approx(rise, rel=1e-4)


def test_every_figure_has_words_and_numbers_behind_it(pages):
    for name, path in pages[0].items():
        found = re.findall(r'<figure class="plot.*?</figure>', path.read_text(encoding="utf-8"), re.DOTALL)
        assert bool(found) is (name not in ("scaling", "clipping", "warming", "diagnosis"))
        for figure in found:
            assert re.search(r'aria-label="[^"]{20,}"', figure)
            assert figure.count("<td>") >= 2


def deuteranope(colour):
    """A colour as those see it who lack the middle cones (Machado, Oliveira, Fernandes 2009), in CIELAB."""
    rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]])
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ (seen @ linear)
    f = np.cbrt(np.maximum(xyz / [0.9505, 1.0, 1.089], 0.008856))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


# Two colours this far apart are told apart side by side; 2.3 is the least difference that is seen at all.
CLEARLY = 12.0


@pytest.mark.parametrize("name", ["advice", "race", "run", "sweep"])
def test_no_two_curves_are_one_for_those_who_see_red_and_green_as_one(pages, name):
    text = pages[0][name].read_text(encoding="utf-8")
    light = {name: LIGHT[color] for color, name in (VARIABLES | SERIES_VARIABLES).items()}
    pairs = 0
    for numbers in re.findall(r'<script type="application/json">(.*?)</script>', text, re.DOTALL):
        for panel in json.loads(numbers)["panels"]:
            lines = {i["label"]: i for i in panel["items"] if i["is"] == "line" and i["label"]}
            for one, two in itertools.combinations(lines.values(), 2):
                pairs += 1
                shape = [(i["dash"], i["marker"], i["width"] > 0) for i in (one, two)]
                apart = np.linalg.norm(deuteranope(light[one["color"]]) - deuteranope(light[two["color"]]))
                assert shape[0] != shape[1] or apart > CLEARLY, (one["label"], two["label"], apart)
    assert pairs or name == "run"


def test_green_and_red_are_one_without_a_dash():
    # what the test above is for: the colours of "converges" and "diverges" alone do not do
    apart = np.linalg.norm(deuteranope("#1b8a5a") - deuteranope("#1b8a5a"))
    assert apart < CLEARLY < np.linalg.norm(deuteranope("#2f6db3") - deuteranope("#a35800"))


def test_a_name_cannot_end_the_numbers():
    from matplotlib.figure import Figure as Drawn

    figure = Drawn()
    figure.add_subplot().plot([0, 1], [0, 1], label="</script><b>")
    text = plot_of(figure)
    assert "<" not in text
    assert json.loads(text)["panels"][0]["items"][-1]["label"] == "</script><b>"
