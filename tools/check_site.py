"""Check built pages: nesting, ids, links and anchors, images, labels, and that nothing is loaded from elsewhere.

python tools/check_site.py site
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Elements without an end tag.
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
# Elements whose end tag HTML lets a writer leave out.
OPTIONAL = {"p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "option", "colgroup", "body", "html", "head"}
# What a paragraph cannot hold: its start ends the paragraph, and the paragraph's own end tag then closes nothing.
BLOCKS = {"p", "ul", "ol", "dl", "table", "div", "section", "article", "figure", "pre", "form", "h1", "h2", "h3", "h4"}
CONTROLS = {"button", "input", "select", "textarea"}


class Page(HTMLParser):
    """What a page has, and what is wrong with it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.images: list[str] = []
        self._open: list[str] = []
        self._controls: list[tuple[str, dict[str, str]]] = []
        self._labelled: set[str] = set()
        self._button: dict[str, str] | None = None
        self._words = ""
        self.feed(text)
        self.close()
        self.faults += [f"<{tag}> is not closed" for tag in self._open if tag not in OPTIONAL]
        for tag, given in self._controls:
            named = given.get("aria-label") or given.get("title") or given.get("id") in self._labelled
            if not named and given.get("type") not in ("hidden", "submit"):
                self.faults.append(f"<{tag} id={given.get('id')!r}> has no label")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the element asks for."""
        given = {name: value or "" for name, value in attrs}
        if len(given) < len(attrs):
            self.faults.append(f"<{tag}> says an attribute twice")
        if tag in BLOCKS and self._open and self._open[-1] == "p":
            self._open.pop()
        elif tag in BLOCKS and "p" in self._open:
            self.faults.append(f"<{tag}> stands in a paragraph")
        if given.get("id") in self.ids:
            self.faults.append(f"two elements have the id {given['id']!r}")
        self.ids |= {given[name] for name in ("id", "name") if name in given and (name == "id" or tag == "a")}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in ("script", "img", "iframe", "source") and "src" in given:
            self.loads.append(given["src"])
        if tag == "link" and "href" in given and given.get("rel") not in ("canonical", "prev", "next"):
            self.loads.append(given["href"])
        if tag == "img":
            self.images.append(given.get("src", ""))
            if "alt" not in given:
                self.faults.append(f"the image {given.get('src')} has no alternative text")
        if tag == "label":
            self._labelled.add(given.get("for", ""))
        if tag == "button":
            self._button, self._words = given, ""
        elif tag in CONTROLS:
            self._controls.append((tag, given))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element that says itself that it is empty: `<br />`, and whatever stands in an SVG."""
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        """The words of a button are its label."""
        self._words += data.strip()

    def handle_endtag(self, tag: str) -> None:
        """Close the element, and those inside it that need no end tag."""
        if tag == "button" and self._button is not None:
            if not self._words and not self._button.get("aria-label"):
                self._controls.append((tag, self._button))
            self._button = None
        while self._open and self._open[-1] != tag and self._open[-1] in OPTIONAL:
            self._open.pop()
        if self._open and self._open[-1] == tag:
            self._open.pop()
        else:
            self.faults.append(f"</{tag}> closes nothing")


def check(folder: Path) -> list[str]:
    """Every fault of the pages of a folder, each with its page."""
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}
    found: list[str] = []
    for path, page in pages.items():
        faults = [*page.faults]
        for link in page.loads:
            if urlsplit(link).scheme in ("http", "https") or link.startswith("//"):
                faults.append(f"loads {link} from elsewhere")
        for link in [*page.links, *page.loads]:
            faults += broken(link, path, pages)
        for image in page.images:
            file = path.parent / unquote(image)
            if (
                file.suffix == ".svg"
                and file.exists()
                and 'xmlns="http://www.w3.org/2000/svg"' not in text(file)[:2000]
            ):
                faults.append(f"{image} is no SVG file: it lacks its xmlns, and browsers do not draw it")
        found += [f"{path.relative_to(folder.resolve())}: {fault}" for fault in dict.fromkeys(faults)]
    return found


def broken(link: str, path: Path, pages: dict[Path, Page]) -> list[str]:
    """What is wrong with a link inside the site; one to elsewhere is not followed."""
    parts = urlsplit(link)
    if parts.scheme or link.startswith("//"):
        return []
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.exists():
        return [f"{link} leads nowhere"]
    # The part after # of a page that reads it by script, as the playground does, is no anchor.
    if parts.fragment and "=" not in parts.fragment and target in pages:
        return [] if unquote(parts.fragment) in pages[target].ids else [f"{link}: that page has no such place"]
    return []


def text(path: Path) -> str:
    """A file as text."""
    return path.read_text(encoding="utf-8")


def main() -> None:
    """Say what is wrong, and end with 1 if anything is."""
    folder = Path(sys.argv[1])
    faults = check(folder)
    print(*faults, sep="\n") if faults else print(
        f"{folder}: {len(list(folder.rglob('*.html')))} pages without a fault"
    )
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
