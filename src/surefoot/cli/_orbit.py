"""The verb `orbit`: gradient descent as its step grows, from convergence to chaos."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from surefoot.cli._failures import bad_input
from surefoot.cli._output import Output, deliver
from surefoot.cli._verb import Chosen
from surefoot.dynamics import Cascade, Diagram, bifurcations, diagram
from surefoot.errors import InvalidInput
from surefoot.targets import Map

Low = Annotated[float | None, typer.Option(help="Smallest step.")]
High = Annotated[float | None, typer.Option(help="Largest step.")]
Count = Annotated[int, typer.Option(min=1, max=12, help="Period doublings to find.")]


def orbit(chosen: Chosen, out: Output, low: Low = None, high: High = None, count: Count = 5) -> None:
    """Follow TARGET, a map, as its step grows: convergence, period 2, 4, ..., chaos.

    Exit code 0: done; 1: a computation failed; 2: wrong usage or bad input.
    """
    import numpy as np

    (target,) = chosen.targets
    least: float = target.interval[0] if low is None else low
    most: float = target.interval[1] if high is None else high
    with bad_input():
        if not 0 < least < most:
            raise InvalidInput(f"needs 0 < low < high; got {least:g} and {most:g}")
        cascade = bifurcations(target.update, (least, most), target.start, count, settle=target.settle)
    drawn = diagram(target.update, np.linspace(least, most, target.columns), target.start, steps=target.steps)
    result = Orbit(target, cascade, drawn)
    deliver([result], out, figure=result.figure)


@dataclass(frozen=True, slots=True)
class Orbit:
    """What became of the orbits of a map."""

    map: Map
    cascade: Cascade
    drawn: Diagram

    def __str__(self) -> str:
        return f"{self.cascade}\n{self.drawn}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON and for the report."""
        return {"kind": "orbit", "system": self.map.name, "cascade": self.cascade.to_dict(), "said": str(self.drawn)}

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Rows of the diagram: parameter, period, exponent and the kept points, the heading first."""
        return self.drawn.rows()

    def figure(self) -> str:
        """The orbit diagram, the doublings marked."""
        from surefoot.report.figures import orbit_diagram

        return orbit_diagram(self.drawn, thresholds=self.cascade.parameters)
