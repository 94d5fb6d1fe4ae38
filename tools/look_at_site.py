"""Look at built pages in a browser: contrast, sizes of controls and text, width, faults on the console.

python tools/look_at_site.py site        # 90 pages, about half a minute; each wide and light, then narrow and dark
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser import PATH, browser

# What can be seen of a page as it stands. Contrast: WCAG 2.2, 1.4.3, which asks 4.5 of words, and 3 of large ones (24
# pixels, or 18.66 in bold). Controls: 24 pixels, 2.5.8, which leaves out links within a sentence. Text: 11 pixels, by
# convention; what is smaller is hard to read on a phone.
LOOK = """
(() => {
  const seen = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const parts = (text) => text.match(/[0-9.]+/g).map(Number);
  const light = (color) => color.slice(0, 3).map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  // The colours behind an element, laid one over the other where they are transparent.
  const behind = (e) => {
    const layers = [];
    for (; e; e = e.parentElement) {
      const color = parts(getComputedStyle(e).backgroundColor), share = color[3] ?? 1;
      if (share > 0) layers.unshift([color, share]);
      if (share === 1) break;
    }
    const over = (below, [color, share]) => below.map((v, i) => v * (1 - share) + color[i] * share);
    return layers.reduce(over, [255, 255, 255]);
  };
  const faults = [], root = document.documentElement;
  if (root.scrollWidth > innerWidth) faults.push(`is ${root.scrollWidth} pixels wide in a window of ${innerWidth}`);
  for (const e of document.querySelectorAll("body *")) {
    const words = [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.textContent.trim()).filter(Boolean);
    if (!words.length || !seen(e) || e.closest("svg, script, noscript, [aria-hidden=true]")) continue;
    const box = e.getBoundingClientRect();
    if (box.width < 2 || box.height < 2) continue;  // for screen readers alone
    const style = getComputedStyle(e), size = parseFloat(style.fontSize);
    const [most, least] = [light(parts(style.color)), light(behind(e))].sort((a, b) => b - a);
    const ratio = (most + 0.05) / (least + 0.05), large = size >= 24 || size >= 18.66 && style.fontWeight >= 700;
    const what = `<${e.tagName.toLowerCase()} class="${e.className}"> ${JSON.stringify(words[0].slice(0, 30))}`;
    if (ratio < (large ? 3 : 4.5)) faults.push(`contrast ${ratio.toFixed(2)}: ${what}`);
    if (size < 11) faults.push(`text of ${size} pixels: ${what}`);
  }
  for (const e of document.querySelectorAll("button, input, select, textarea, nav a, summary")) {
    const box = e.getBoundingClientRect();
    if (!seen(e) || box.width < 2) continue;
    const [width, height] = [Math.round(box.width), Math.round(box.height)];
    if (width < 24 || height < 24) faults.push(`${width} x ${height} pixels: ${e.outerHTML.slice(0, 70)}`);
  }
  return faults;
})()
"""


def look(folder: Path) -> list[str]:
    """Every fault that is seen on the pages of a folder, each once, with its page and how the page was shown."""
    found: list[str] = []
    with browser() as chromium:
        for path in sorted(folder.resolve().rglob("*.html")):
            chromium.open(path)
            seen = {f"wide, light: {fault}" for fault in chromium.js(LOOK)}
            chromium.show(width=390, dark=True)
            seen |= {f"narrow, dark: {fault}" for fault in chromium.js(LOOK)}
            seen |= {f"console: {fault}" for fault in chromium.faults}
            found += [f"{path.relative_to(folder.resolve())}: {fault}" for fault in sorted(seen)]
    return found


def main() -> None:
    """Say what is wrong, and end with 1 if anything is."""
    if PATH is None:
        print("no Chromium here: the pages were not looked at")
        return
    faults = look(Path(sys.argv[1]))
    print(*faults, sep="\n") if faults else print("every page can be read, wide and narrow, light and dark")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
