"""The verb `list`: what can be named."""

from dataclasses import dataclass
from typing import Any

from surefoot.cli._output import Output, deliver
from surefoot.targets import Entry, registry


def list_(out: Output) -> None:
    """List what TARGET can be: name, kind and a line."""
    deliver([Names(registry())], out)


@dataclass(frozen=True, slots=True)
class Names:
    """The rows of the registry."""

    entries: tuple[Entry, ...]

    def __str__(self) -> str:
        name, kind = (max(len(row[i]) for row in self.rows()) for i in (0, 1))
        return "\n".join(f"{n:<{name}}  {k:<{kind}}  {summary}" for n, k, summary in self.rows())

    def rows(self) -> list[tuple[str, str, str]]:
        """Name, kind and summary, the heading first."""
        return [("name", "kind", "summary"), *((e.name, e.kind or "yours", e.summary) for e in self.entries)]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        options = {e.name: [option.name for option in e.options] for e in self.entries}
        rows = [{"name": n, "kind": k, "summary": s, "options": options[n]} for n, k, s in self.rows()[1:]]
        return {"kind": "list", "targets": rows}
