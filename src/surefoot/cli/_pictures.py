"""The verbs `region` and `orbit`: what a step does, as numbers and a picture."""

from pathlib import Path
from typing import Annotated, Any

import typer

from surefoot.cli._console import print_json, say
from surefoot.cli._failures import Stop, bad_input
from surefoot.cli._inputs import AsJson
from surefoot.errors import InvalidInput

__all__ = ["orbit", "region"]

SvgPath = Annotated[
    Path | None, typer.Option("--svg", metavar="PATH", help="Draw it into an SVG file.", show_default=False)
]
CsvPath = Annotated[
    Path | None, typer.Option("--csv", metavar="PATH", help="Write the numbers as a table.", show_default=False)
]
COLUMNS = 1500


def region(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="A method by name, such as rk4 or rkc10.")],
    as_json: AsJson = False,
    svg: SvgPath = None,
) -> None:
    """Show where step * eigenvalue is stable for METHOD: limits on both axes and the region.

    Exit code 0: done; 2: unknown method, or a file that cannot be written.
    """
    from surefoot.methods import named

    _check(svg)
    with bad_input():
        found = named(method).region()
    if as_json:
        print_json(found.to_dict())
    else:
        say(str(found))
        say(_reach_table(named(method)))
    if svg is not None:
        from surefoot.report._region import region_figure

        _save(region_figure(found), svg, to_stderr=as_json)


def orbit(
    system: Annotated[str, typer.Argument(metavar="SYSTEM", help="rnn (a tanh RNN in training) or cubic.")],
    low: Annotated[float | None, typer.Option("--low", help="Smallest step.", show_default=False)] = None,
    high: Annotated[float | None, typer.Option("--high", help="Largest step.", show_default=False)] = None,
    count: Annotated[int, typer.Option("--count", min=1, max=12, help="Period doublings to find.")] = 5,
    as_json: AsJson = False,
    svg: SvgPath = None,
    csv: CsvPath = None,
) -> None:
    """Follow gradient descent on SYSTEM as the step grows: converging, period 2, 4, ..., chaos.

    Exit code 0: done; 1: a computation failed; 2: wrong usage or bad input.
    """
    import numpy as np

    from surefoot.dynamics import bifurcations, diagram

    _check(svg, csv)
    update, start, (least, most) = _system(system)
    low, high = least if low is None else low, most if high is None else high
    with bad_input():
        if not 0 < low < high:
            raise InvalidInput(f"needs 0 < low < high; got {low:g} and {high:g}")
        cascade = bifurcations(update, (low, high), start, count)
    drawn = diagram(update, np.linspace(low, high, COLUMNS), start)
    if as_json:
        print_json({"kind": "orbit", "system": system, "cascade": cascade.to_dict()})
    else:
        say(str(cascade))
        say(str(drawn))
    if svg is not None:
        from surefoot.report._dynamics import orbit_diagram

        _save(orbit_diagram(drawn, thresholds=cascade.parameters), svg, to_stderr=as_json)
    if csv is not None:
        drawn.to_csv(csv)
        say(f"table: {csv}", error=as_json)


def _reach_table(method: Any) -> str:
    """How far the region reaches from 0, from the imaginary to the negative real axis."""
    import numpy as np

    angles = np.arange(90, 181, 15)
    rays = np.exp(1j * np.radians(angles))
    rays[0], rays[-1] = 1j, -1
    rows = zip(angles.tolist(), method.limit_along(rays).tolist(), strict=True)
    return "\n".join(["", "  angle  largest |step * eigenvalue|", *(f"  {a:>5}  {reach:.6g}" for a, reach in rows)])


def _check(*paths: Path | None) -> None:
    """Refuse what could not be written before anything is computed."""
    from surefoot.report import check_destination

    with bad_input():
        for path in paths:
            if path is not None:
                check_destination(path)


def _system(name: str) -> tuple[Any, Any, tuple[float, float]]:
    from surefoot.dynamics import Cubic, TanhRNN

    systems: dict[str, tuple[Any, Any, tuple[float, float]]] = {
        "rnn": (TanhRNN(), 1.0, (1.0, 6.0)),
        "cubic": (Cubic(), 0.3, (1.5, 3.0)),
    }
    if name not in systems:
        raise Stop(f"unknown system {name!r}", f"choose one of {', '.join(systems)}", 2)
    return systems[name]


def _save(svg: str, path: Path, *, to_stderr: bool) -> None:
    from surefoot.report._dynamics import save_svg

    say(f"figure: {save_svg(svg, path)}", error=to_stderr)
