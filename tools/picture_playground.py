"""Take the two pictures of the playground on the site's home page, light and dark, with a headless Chromium.

python tools/picture_playground.py     # writes docs/_static/playground-light.png and -dark.png
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from surefoot.playground import play

TARGET = Path(__file__).parents[1] / "docs" / "_static"
# A moment worth showing: heavy ball a little beside its best pair.
MOMENT = "#scene=ball&eta=2.6&beta=0.72&kappa=100&lang=en"
# What fits a laptop's screen; fewer colours make a file that a repository can hold.
SIZE, COLOURS = (1280, 860), 256
# Chromium's own numbers for the colour scheme that a page is asked for.
SCHEMES = {"light": 1, "dark": 0}


def main():
    """Write both files."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with tempfile.TemporaryDirectory() as folder:
        address = play(Path(folder) / "playground.html").as_uri() + MOMENT
        for name, number in SCHEMES.items():
            target = TARGET / f"playground-{name}.png"
            command = [browser, "--headless=new", "--no-sandbox", "--hide-scrollbars", "--virtual-time-budget=3000"]
            command += [f"--blink-settings=preferredColorScheme={number}", f"--window-size={SIZE[0]},{SIZE[1]}"]
            subprocess.run([*command, f"--screenshot={target}", address], check=True, capture_output=True)
            with Image.open(target) as image:
                image.convert("RGB").quantize(COLOURS).save(target, optimize=True)
            print(f"{target}: {target.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
