"""Limits before and after a change of variables."""

from dataclasses import dataclass

from surefoot.checks import checked
from surefoot.records import Record
from surefoot.stability import Limits
from surefoot.tables import align


@checked
@dataclass(frozen=True, slots=True)
class Comparison(Record):
    """Limits before and after a change of variables, side by side.

    Parameters
    ----------
    before, after : Limits
        Limits of one method.
    change : str
        Name of the change.
    """

    before: Limits
    after: Limits
    change: str

    def __str__(self) -> str:
        both = self.before, self.after
        rows = [("", "before", "after")]
        for name in ("stable", "safe", "optimal", "rate"):
            before, after = (_number(getattr(limits, name)) for limits in both)
            rows.append((name, before, after))
        before, after = ("-" if limits.condition is None else str(limits.condition) for limits in both)
        rows.append(("condition", before, after))
        before, after = (_count(limits.iterations(1e-6)) for limits in both)
        rows.append(("steps to 1e-6", before, after))
        return "\n".join([f"step limits of {self.before.method}: {self.change}", *align(rows)])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _count(count: float) -> str:
    return f"{count:g}" if count < float("inf") else "sublinear"
