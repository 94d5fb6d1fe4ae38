"""A report's page without its own script and the numbers of its figures: what is left must run nothing."""

import re
from importlib.resources import files

SCRIPT = files("surefoot.report").joinpath("plot.js").read_text(encoding="utf-8").strip()


def without_script(html):
    """The page without exactly what Surefoot put there; a script of anybody else's stays, and is found."""
    assert SCRIPT in html
    html = re.sub(r"<script>\s*" + re.escape(SCRIPT) + r"\s*</script>", "", html)
    return re.sub(r'<script type="application/json">[^<]*</script>', "", html)


def drawings(html):
    """The figures as they stand in the page."""
    return re.findall(r'<div class="drawing">(<svg.*?</svg>)', html, re.DOTALL)
