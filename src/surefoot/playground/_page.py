"""The page put together: one HTML file with its scenes, formulas, records and golden values inside."""

import html
import json
import os
import re
import webbrowser
from importlib.resources import files
from pathlib import Path
from tempfile import mkdtemp

from surefoot.checks import as_path, checked
from surefoot.errors import InvalidInput
from surefoot.playground._compute import chebyshev_parameters
from surefoot.playground._formulas import javascript
from surefoot.playground._golden import golden_records
from surefoot.playground._scenes import records, scenes
from surefoot.playground._words import LANGUAGES, words

# Settings of each formula that the page repeats when it opens: milliseconds, and every formula is among them.
GOLDEN_EACH = 4
# In the order in which they need each other.
SCRIPTS = ("compute.js", "drawing.js", "scenes.js", "page.js")


def page() -> str:
    """The playground as one HTML document: no file beside it, nothing loaded from elsewhere.

    Returns
    -------
    str
        The same text at each call.
    """
    from surefoot import __version__

    folder = files("surefoot.playground")

    def text(name: str) -> str:
        return folder.joinpath(name).read_text(encoding="utf-8")

    data = {
        "SCENES": [scene.to_dict() for scene in scenes()],
        "RECORDS": records(),
        "GOLDEN": list(golden_records(GOLDEN_EACH)),
        "CHEBYSHEV": chebyshev_parameters(),
        "LANGUAGES": LANGUAGES,
        "WORDS": words(),
        "VERSION": __version__,
    }
    # "</" would end the script element wherever it stood; "<\\/" is the same string to JavaScript
    constants = [
        f"const {name} = {json.dumps(value, allow_nan=False)};".replace("</", "<\\/") for name, value in data.items()
    ]
    compute, *others = (text(name).replace('"use strict";', "") for name in SCRIPTS)
    script = "\n".join(['"use strict";', *constants, javascript(), compute, *others])
    document = text("page.html").replace("/*STYLE*/", text("page.css"))
    # The first language stands in the file itself, for whoever reads it without scripts.
    first = words()[LANGUAGES[0]]
    document = re.sub(
        r'data-say="([\w.]+)">', lambda match: match[0] + html.escape(first[match[1]], quote=False), document
    )
    return document.replace("/*SCRIPT*/", script)


@checked
def play(path: str | os.PathLike[str] | None = None, *, show: bool | None = None) -> Path:
    """Write the playground as one HTML file, and open it in a browser.

    Parameters
    ----------
    path : path, optional
        File to write, ending in .html; a new one in a temporary folder if not given.
    show : bool, optional
        Whether to open it in a browser; by default only where no path is given.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InvalidInput
        If the file cannot be written there.

    Examples
    --------
    >>> import tempfile
    >>> from surefoot.playground import play
    >>> play(tempfile.mkdtemp() + "/playground.html").name
    'playground.html'
    """
    target = as_path(path) if path is not None else Path(mkdtemp(prefix="surefoot-")) / "playground.html"
    if target.suffix != ".html" or not target.stem:
        raise InvalidInput(f"a page ends in .html; got {target.name!r}: say {(target.stem or 'page') + '.html'!r}")
    try:
        target.write_text(page(), encoding="utf-8", newline="\n")
    except OSError as error:
        raise InvalidInput(f"cannot write {target}: {error.strerror}; choose a folder that exists") from error
    if show if show is not None else path is None:
        webbrowser.open(target.resolve().as_uri())
    return target
