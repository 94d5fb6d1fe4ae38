"""The page's words: one table, `words.toml`, a column for each language."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

# The languages of the table, the first one where nothing else is asked for.
LANGUAGES = ("en", "zh")


@cache
def words() -> dict[str, dict[str, str]]:
    """Every string of the page in every language: {language: {"scene.part.key": text}}."""
    table = tomllib.loads(files("surefoot.playground").joinpath("words.toml").read_text(encoding="utf-8"))
    rows = dict(_rows(table, ""))
    return {language: {key: row[i] for key, row in rows.items()} for i, language in enumerate(LANGUAGES)}


def _rows(table: dict[str, Any], prefix: str) -> Any:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _rows(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
