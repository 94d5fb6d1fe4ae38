"""What the benchmarks share: tables as Markdown and JSON, calls timed in turn, the machine, optional peers."""

import functools
import importlib
import importlib.metadata
import json
import math
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

import surefoot

HERE = Path(__file__).parent
# The file that documents quote.
RESULTS = HERE / "results.json"


@dataclass(frozen=True)
class Table:
    """What a group found.

    Parameters
    ----------
    name : str
        Unique in its group.
    columns : sequence of str
    rows : sequence of sequences
        Cells are text, numbers or None.
    note : str
        How to read it, a sentence or two.
    """

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""

    def markdown(self) -> str:
        """The table as Markdown, its columns as wide as they have to be."""
        cells = [[as_text(c).replace("|", r"\|") for c in row] for row in (self.columns, *self.rows)]
        widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
        lines.insert(1, "| " + " | ".join("-" * w for w in widths) + " |")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, numbers to the digits that are shown."""
        rows = [[round_cell(cell) for cell in row] for row in self.rows]
        return {"name": self.name, "columns": list(self.columns), "rows": rows, "note": self.note}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> "Table":
        """The inverse of `to_dict`."""
        return cls(found["name"], found["columns"], found["rows"], found["note"])


def round_cell(cell: Any) -> Any:
    """Three digits of a number, which is what is shown; text for what JSON cannot write."""
    if isinstance(cell, bool) or cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, int) or hasattr(cell, "__index__"):
        return int(cell)
    if not math.isfinite(cell):
        return "inf" if cell > 0 else "-inf" if cell < 0 else None
    return float(f"{cell:.3g}")


def as_text(cell: Any) -> str:
    """A cell as text."""
    cell = round_cell(cell)
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:.0f}" if 1000 <= abs(cell) < 1e6 else f"{cell:.3g}"
    return str(cell)


def in_turn(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of processor time of each call, all of them once in every round.

    What else the machine does then falls on all of them alike. A first round does not count.
    """
    spent = {name: [] for name in calls}
    for _ in range(repeats + 1):
        for name, call in calls.items():
            began = time.process_time()
            call()
            spent[name].append(time.process_time() - began)
    return {name: times[1:] for name, times in spent.items()}


def ratio(spent: Mapping[str, Sequence[float]], one: str, other: str) -> float:
    """The median over rounds of one call's time over another's."""
    return statistics.median(a / max(b, 1e-9) for a, b in zip(spent[one], spent[other], strict=True))


class Counted(LinearOperator):
    """An operator whose products are counted, in float64 as ARPACK has them, whatever it computes in itself."""

    def __init__(self, operator: Any) -> None:
        self.operator, self.count = operator, 0
        super().__init__(dtype=np.dtype(float), shape=operator.shape)

    def _matvec(self, x):
        return self._counted(self.operator.matvec, x)

    def _rmatvec(self, x):
        return self._counted(self.operator.rmatvec, x)

    def _counted(self, function, x):
        self.count += 1
        return np.asarray(function(x.ravel().astype(self.operator.dtype)), dtype=float)


def power_iteration(product: Callable[[Any], Any], size: int, steps: int, rng: np.random.Generator) -> float:
    """The Rayleigh quotient after so many products, from a random start: what is written by hand everywhere."""
    x = rng.standard_normal(size)
    for _ in range(steps):
        x = x / np.linalg.norm(x)
        y = product(x)
        estimate, x = x @ y, y
    return float(estimate)


@functools.cache
def optional(module: str) -> Any | None:
    """A peer's module, or None with a line that says so."""
    try:
        return importlib.import_module(module)
    except (ImportError, RuntimeError, OSError) as error:  # a peer whose own libraries do not fit is missing too
        print(f"  left out: {module} ({str(error).splitlines()[0]})", flush=True)
        return None


def versions(names: Sequence[str]) -> dict[str, str]:
    """The versions of distributions; those that are not installed are left out.

    Surefoot's is that of the code that runs, which may be newer than what was installed.
    """
    found = {"surefoot": surefoot.__version__} if "surefoot" in names else {}
    for name in (name for name in names if name != "surefoot"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Where and of what commit."""
    return {
        "processor": processor(),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "cores": os.cpu_count(),
        "threads": int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)),
        "commit": commit(),
    }


def processor() -> str:
    """Its model, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def commit() -> str:
    """Of the working tree; changes to files that git knows, other than results, are said."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(HERE), *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changes = git("status", "--porcelain", "--untracked-files=no", "--", "..", ":!results.json", ":!results.md")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" and changes" if changes else "")


def read() -> dict[str, Any]:
    """The groups in the results file, by name."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def write(groups: Mapping[str, Any], path: Path = RESULTS) -> None:
    """The results as JSON, rows one a line so that a change can be read, and as Markdown beside it."""
    text = json.dumps(groups, indent=1, allow_nan=False, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(markdown(groups), encoding="utf-8")


def markdown(groups: Mapping[str, Any]) -> str:
    """All groups, each with what it ran on."""
    parts = ["# Results", "Written by `python -m benchmarks`; documents quote this file and a test compares them."]
    for name, group in groups.items():
        ran = group["machine"]
        used = ", ".join(f"{key} {version}" for key, version in group["versions"].items())
        parts += [
            f"## {name}",
            f"{group['compares']}",
            *(part for found in group["tables"] for part in section(Table.from_dict(found))),
            f"Commit {ran['commit']}, {ran['processor']}, {ran['cores']} cores, {ran['threads']} threads; "
            f"{ran['system']}; {used}. {group['seconds']:.0f} s.",
        ]
    return "\n\n".join(parts) + "\n"


def section(table: Table) -> list[str]:
    """A heading, the table, its note."""
    return [f"### {table.name}", table.markdown(), *([table.note] if table.note else [])]
