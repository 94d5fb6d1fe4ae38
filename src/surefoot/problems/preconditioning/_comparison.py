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
        rows = [("", "before", "after"), *(self._row(name) for name in ("stable", "safe", "optimal", "rate"))]
        rows.append(("condition", _condition(self.before), _condition(self.after)))
        rows.append(("steps to 1e-6", _count(self.before), _count(self.after)))
        return "\n".join([f"step limits of {self.before.method}: {self.change}", *align(rows)])

    def _row(self, name: str) -> tuple[str, str, str]:
        before, after = (getattr(limits, name) for limits in (self.before, self.after))
        return name, _number(before), _number(after)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _condition(limits: Limits) -> str:
    return "-" if limits.condition is None else str(limits.condition)


def _count(limits: Limits) -> str:
    count = limits.iterations(1e-6)
    return f"{count:g}" if count < float("inf") else "sublinear"
