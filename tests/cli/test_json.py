"""What --json prints against the page that documents it: every record has the entries and types of its section."""

import json
import re
from pathlib import Path

import pytest
from cli.test_width import COMMANDS, here  # noqa: F401 - a fixture

from surefoot.cli import run
from surefoot.cli._verbs import VERBS
from surefoot.report import KINDS

PAGE = (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8")
LINES = {**COMMANDS, "advise ode": "advise ode:kepler", "run network": "run small:task --steps 40"}
ALWAYS = {"kind", "version"}


def sections():
    """The entries of each kind, and the types that each may have, parted by "or"."""
    found = {}
    for section in PAGE.split("\n## ")[1:]:
        kind, _, text = section.partition("\n")
        rows = re.findall(r"^\| (\w+) \| ([^|]+) \|", text.partition("| --- |")[2], flags=re.MULTILINE)
        found[kind] = {entry: types.replace("yes or no", "boolean") for entry, types in rows}
    return found


SECTIONS = sections()


def fits(value, kind):
    """Whether a value is of one of the types, which are parted by "or"."""
    return any(fits_one(value, each) for each in kind.split(" or "))


def fits_one(value, kind):
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind.startswith("list of "):
        return isinstance(value, list) and all(fits_one(item, kind.removeprefix("list of ")) for item in value)
    if kind.startswith("record of "):
        return isinstance(value, dict) and all(fits(item, kind.removeprefix("record of ")) for item in value.values())
    simple = {
        "text": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "integer": number and isinstance(value, int),
        "number": number or value in ("inf", "-inf", "nan"),
        "complex": isinstance(value, dict) and set(value) == {"real", "imag"},
        "null": value is None,
        "list": isinstance(value, list),
        "record": isinstance(value, dict),
    }
    return simple[kind] if kind in simple else isinstance(value, dict) and value["kind"] == kind


def check(value):
    """Every record inside a value that the page describes; the kinds that were met."""
    met = set()
    if isinstance(value, dict):
        kind = value.get("kind")
        if kind in SECTIONS:
            met.add(kind)
            assert set(value) - ALWAYS == set(SECTIONS[kind]), kind
            for entry, types in SECTIONS[kind].items():
                assert fits(value[entry], types), (kind, entry, types, value[entry])
        met |= {each for item in value.values() for each in check(item)}
    elif isinstance(value, list):
        met = {each for item in value for each in check(item)}
    return met


def test_json_is_what_the_page_says_and_nothing_else(here, capsys):  # noqa: F811
    pytest.importorskip("torch")
    met = set()
    reporting = {verb.name for verb in VERBS if "report" in verb.writes}
    for line in LINES.values():
        reports = line.split()[0] in reporting
        assert run([*line.split(), "--json", *(["--report", "page.html"] if reports else [])]) in (0, 1), line
        record = json.loads(capsys.readouterr().out)
        # every verb that writes reports has a view of what it finds
        assert (record["kind"] in KINDS) is reports
        assert list(record)[:2] == ["kind", "version"]
        assert record["kind"] in SECTIONS, f"{line}: docs/json.md has no section {record['kind']}"
        met |= check(record)
    # nothing is described that no verb prints
    assert met == set(SECTIONS)
