"""The page in a browser: no fault, a verdict for every setting, the bits equal; and what stands on it is true."""

import html
import math
import re
import shutil
import subprocess
from importlib.resources import files

import numpy as np
import pytest

from surefoot.errors import InvalidInput
from surefoot.playground import page, play
from surefoot.playground._scenes import scenes
from surefoot.playground._words import LANGUAGES, words

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
NAMES = [scene.name for scene in scenes()]

# Appended to the page: every scene drawn at random settings and at those of its buttons.
EVERYWHERE = """
<script>
(() => {
  const next = uniforms(20), faults = [];
  let drawn = 0;
  for (const s of SCENES) {
    open(s.name);
    const draws = [...s.tries];
    const anywhere = () => s.sliders.map((k) => [k.name, fromPosition(k, 1000 * next())]);
    for (let i = 0; i < 30; i++) draws.push(Object.fromEntries(anywhere()));
    for (const values of draws) {
      change(values);
      language = LANGUAGES[drawn % LANGUAGES.length];
      const { verdict, mood, facts } = DRAW[s.name](settings, canvases);
      drawn++;
      const words = [verdict, ...facts.flat()], whole = words.every((w) => w && !/NaN|undefined|null|[{}]/.test(w));
      if (!whole || !["good", "bad", "limit"].includes(mood)) faults.push(s.name + ": " + words);
    }
  }
  document.title = JSON.stringify([drawn, faults]);
})();
</script>
"""


# A page around the page, as wide as a phone: every scene in every language, its width and the size of its controls.
# A finger needs 44 pixels (Apple's and Google's guides); a slider's track is as long as the page, so 30 do across it.
PHONE = """
<!doctype html><title>phone</title>
<iframe id="phone" style="border:0;width:390px;height:844px" src="playground.html"></iframe>
<script>
onload = () => {
  const page = document.getElementById("phone").contentWindow, faults = [];
  for (const lang of page.eval("LANGUAGES")) for (const name of page.eval("SCENES.map((s) => s.name)")) {
    page.eval(`language = "${lang}"; open("${name}")`);
    const root = page.document.documentElement, wide = root.scrollWidth;
    if (wide > 390) faults.push(`${name} ${lang} is ${wide} wide`);
    for (const control of page.document.querySelectorAll("button, select, input")) {
      const box = control.getBoundingClientRect(), enough = control.type === "range" ? 30 : 44;
      const large = box.height >= enough && box.width >= 44;
      if (!control.hidden && !large) faults.push(`${name} ${lang}: ${control.outerHTML.slice(0, 60)}`);
    }
  }
  document.title = JSON.stringify([page.innerWidth, faults]);
};
</script>
"""


def dom(path, scene, width):
    """The page as the browser has it after its scripts ran; nothing may stand on its console."""
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={width},900"]
    command += ["--virtual-time-budget=5000", "--enable-logging=stderr", "--allow-file-access-from-files"]
    command += ["--dump-dom", f"{path.as_uri()}#scene={scene}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert "CONSOLE" not in done.stderr, done.stderr
    return done.stdout


@needs_browser
@pytest.mark.parametrize(("name", "width"), [(NAMES[0], 390), (NAMES[-1], 1280)])
def test_a_scene_opens_without_a_fault(tmp_path, name, width):
    seen = dom(play(tmp_path / "playground.html"), name, width)
    equal = re.search(r'id="equal" class="right">(\d+) of (\d+) computations', seen)
    assert equal is not None
    assert equal[1] == equal[2]
    assert re.search(r'id="error"[^>]*hidden', seen)
    assert re.search(r'class="answer (good|bad|limit)"', seen)
    assert re.search(r'id="verdict"[^>]*>[A-Z]', seen)
    assert f'aria-current="page">{words()["en"][name + ".title"]}' in seen


@needs_browser
def test_every_scene_has_a_verdict_wherever_its_sliders_stand(tmp_path):
    path = tmp_path / "playground.html"
    path.write_text(page().replace("</body>", EVERYWHERE + "</body>"), encoding="utf-8")
    seen = dom(path, NAMES[0], 1280)
    assert re.search(r'id="error"[^>]*hidden', seen)
    title = re.search(r"<title[^>]*>(.*?)</title>", seen)
    assert title is not None
    assert html.unescape(title[1]) == f"[{len(NAMES) * 35},[]]"


@needs_browser
def test_every_scene_fits_a_phone_and_a_thumb(tmp_path):
    play(tmp_path / "playground.html")
    (tmp_path / "phone.html").write_text(PHONE, encoding="utf-8")
    title = re.search(r"<title>(.*?)</title>", dom(tmp_path / "phone.html", NAMES[0], 1280))
    assert title is not None
    assert html.unescape(title[1]) == "[390,[]]"


def luminance(colour):
    """The relative luminance of #rrggbb (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_words_can_be_read_in_light_and_in_dark():
    style = files("surefoot.playground").joinpath("page.css").read_text(encoding="utf-8")
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    for theme in re.findall(r":root {(.*?)}", style, flags=re.DOTALL):
        colour = dict(re.findall(r"--(\w+): (#\w{6})", theme))
        for name in ("ink", "muted", "good", "bad", "limit", "accent"):
            assert contrast(colour[name], colour["card"]) >= 4.5, name
            assert contrast(colour[name], colour["paper"]) >= 4.5, name
        assert contrast(colour["ink"], colour["soft"]) >= 4.5
        assert contrast(colour["edge"], colour["card"]) >= 3  # the frame of a control


def test_the_page_is_one_file_and_the_same_each_time():
    text = page()
    assert text == page()
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    assert "https://" not in text
    assert "http://" not in text
    assert len(text) < 1_000_000


@pytest.mark.parametrize("name", NAMES)
def test_the_same_in_python_runs_as_it_stands(name, capsys):
    scene = next(s for s in scenes() if s.name == name)
    code = scene.python
    for slider in scene.sliders:
        value = slider.shown[int(slider.value - slider.low)] if slider.shown else slider.value
        code = code.replace(f"{{{slider.name}}}", f"{value:.6g}")
    assert "{" not in code
    exec(compile(code, name, "exec"), {})
    assert capsys.readouterr().out


def test_a_scene_is_whole():
    for scene in scenes():
        names = {slider.name for slider in scene.sliders}
        assert len(scene.tries) == 5
        assert len(scene.exercises) == 3
        assert 2 <= len(scene.pictures) <= 4
        assert all(set(values) <= names for values in scene.tries)
        for slider in scene.sliders:
            assert slider.low <= slider.value <= slider.high
            assert all(slider.low <= values.get(slider.name, slider.low) <= slider.high for values in scene.tries)
        assert all(math.isfinite(exercise.answer) and exercise.tolerance > 0 for exercise in scene.exercises)


def test_every_word_stands_in_every_language():
    table = words()["en"]
    for language in LANGUAGES:
        assert set(words()[language]) == set(table)
        for key, text in words()[language].items():
            assert text.strip(), key
            assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", table[key])), key
    # Chinese has its own punctuation
    assert not [text for text in words()["zh"].values() if re.search(r"[\u4e00-\u9fff][,:;?(]", text)]


def test_every_word_is_used():
    folder = files("surefoot.playground")
    code = "".join(
        folder.joinpath(name).read_text(encoding="utf-8")
        for name in ("page.html", "page.js", "scenes.js", "drawing.js")
    )
    wanted = set()
    for scene in scenes():
        wanted |= {f"{scene.name}.{part}" for part in ("title", "lead")}
        wanted |= {f"{scene.name}.slider.{slider.name}" for slider in scene.sliders}
        wanted |= {
            f"{scene.name}.option.{slider.name}{i}"
            for slider in scene.sliders
            if slider.choice
            for i in range(int(slider.low), int(slider.high) + 1)
        }
        wanted |= {f"{scene.name}.try.{i + 1}" for i in range(len(scene.tries))}
        wanted |= {f"{scene.name}.picture.{name}{text}" for name in scene.pictures for text in ("", "_text")}
        wanted |= {f"{scene.name}.exercise.{part}{i + 1}" for i in range(len(scene.exercises)) for part in "qr"}
    assert wanted <= set(words()["en"])
    unused = {key for key in set(words()["en"]) - wanted if not re.search(rf"\b{key.split('.')[-1]}\b", code)}
    assert unused == set()


def test_answers():
    answers = {scene.name: [exercise.answer for exercise in scene.exercises] for scene in scenes()}
    assert answers["canyon"] == pytest.approx([0.5, 2 / 4.04, 691])
    assert answers["ball"] == pytest.approx([3.8, 0.818182, 10], rel=1e-6)
    assert answers["chaos"] == pytest.approx([0.4, 2.449489743, 2.828427125])
    assert answers["dent"] == pytest.approx([0.08386, 1.0, 1.0], rel=1e-4)
    assert answers["time"][:2] == pytest.approx([0.04, 2.785293563405 / 50])
    assert answers["noise"] == pytest.approx([0.4, 0.2105263, 3e-4 * math.sqrt(8)])
    assert answers["network"] == pytest.approx([0.05, 0.095, 40])


def test_the_records_are_what_the_library_gives():
    from surefoot.dynamics import Cubic, TwoMinima, lyapunov, orbit
    from surefoot.playground._scenes import records as recorded

    records = recorded()
    where = [50, 100, 250]
    steps = np.linspace(1.0, 3.0, len(records["exponents"]["values"]))[where]
    fresh = lyapunov(Cubic(1.0), steps, 0.3, 4000)
    assert [records["exponents"]["values"][i] for i in where] == pytest.approx(fresh, rel=1e-4)
    rate = records["dents"]["rates"][10]
    run = orbit(TwoMinima(), rate, 0.97, steps=20)
    assert records["dents"]["constant"][10][:20] == pytest.approx(run, rel=1e-3)


@pytest.mark.parametrize(("name", "said"), [("page.txt", "page.html"), ("missing/page.html", "choose a folder")])
def test_where_it_cannot_be_written_it_says_so(tmp_path, name, said):
    with pytest.raises(InvalidInput, match=said):
        play(tmp_path / name)
