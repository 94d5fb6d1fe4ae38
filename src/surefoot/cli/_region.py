"""The verb `region`: where a method is stable, as numbers and a picture."""

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from surefoot.cli._failures import bad_input
from surefoot.cli._output import Output, deliver
from surefoot.errors import InvalidType
from surefoot.methods import Method, Region, named
from surefoot.trials.factories import make

MethodName = Annotated[
    str, typer.Argument(metavar="METHOD", help="A method by name, such as rk4 or rkc10, or module:factory.")
]
# Degrees from the imaginary to the negative real axis: fine enough to see where a region is cut.
ANGLES = range(90, 181, 15)


def region(out: Output, method: MethodName) -> None:
    """Show where METHOD is stable, in terms of step * eigenvalue: limits on both axes, and the region.

    Exit code 0: done; 2: unknown method, or a file that cannot be written.
    """
    with bad_input():
        chosen = make(method) if ":" in method else named(method)
        if not isinstance(chosen, Method):
            raise InvalidType(f"{method}() returned a {type(chosen).__name__}; return a surefoot.methods.Method")
        stable = chosen.region()

    def figure() -> str:
        from surefoot.report.figures import region_figure

        return region_figure(stable)

    deliver([Reach(stable, _reach(chosen))], out, figure=figure)


@dataclass(frozen=True, slots=True)
class Reach:
    """A region with how far it reaches from 0 in some directions, (degrees, largest |step * eigenvalue|)."""

    region: Region
    rows_: tuple[tuple[int, float], ...]

    def __str__(self) -> str:
        table = (f"  {angle:>5}  {reach:.6g}" for angle, reach in self.rows_)
        return "\n".join([str(self.region), "", "  angle  largest |step * eigenvalue|", *table])

    def to_dict(self) -> dict[str, Any]:
        """For JSON and for the report."""
        # the grid that the picture is drawn from is 800 kB of digits; it is `Region.to_dict` that has it
        record = {k: v for k, v in self.region.to_dict().items() if k not in ("real", "imaginary", "amplification")}
        return {**record, "reach": [list(row) for row in self.rows_]}

    def rows(self) -> list[tuple[Any, ...]]:
        """The table, its heading first."""
        return [("angle", "reach"), *self.rows_]


def _reach(method: Method) -> tuple[tuple[int, float], ...]:
    import numpy as np

    rays = np.exp(1j * np.radians(ANGLES))
    # exactly along the axes: cos(90 degrees) is not 0 in floating point, and leapfrog is stable on the axis only
    rays[0], rays[-1] = 1j, -1
    return tuple(zip(ANGLES, method.limit_along(rays).tolist(), strict=True))
