"""The verbs `region` and `orbit`: what a step does, as numbers and a picture."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from surefoot.cli._console import print_json, say
from surefoot.cli._failures import Stop, bad_input
from surefoot.cli._inputs import AsJson
from surefoot.errors import InvalidInput

__all__ = ["CsvPath", "PngPath", "SvgPath", "check_paths", "orbit", "region", "save_figures"]

SvgPath = Annotated[
    Path | None, typer.Option("--svg", metavar="PATH", help="Draw it into an SVG file.", show_default=False)
]
PngPath = Annotated[
    Path | None, typer.Option("--png", metavar="PATH", help="Draw it into a PNG file.", show_default=False)
]
CsvPath = Annotated[
    Path | None, typer.Option("--csv", metavar="PATH", help="Write the numbers as a table.", show_default=False)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """What `orbit` can follow.

    Parameters
    ----------
    make : callable
        To (update, start).
    interval : (float, float)
        Steps of interest.
    columns, steps, settle : int
        Steps drawn, moves of each, and moves until the first orbit has settled: as many as its cost allows.
    """

    make: Callable[[], tuple[Any, Any]]
    interval: tuple[float, float]
    columns: int = 1500
    steps: int = 2000
    settle: int = 5000


def _rnn() -> tuple[Any, Any]:
    from surefoot.dynamics import TanhRNN

    return TanhRNN(), 1.0


def _cubic() -> tuple[Any, Any]:
    from surefoot.dynamics import Cubic

    return Cubic(), 0.3


def _torch_rnn() -> tuple[Any, Any]:
    from surefoot.training.tasks.rnn import two_unit_rnn

    update, minimum = two_unit_rnn()
    return update, minimum + AWAY


# An orbit that starts at a minimum to the last bit would stay there until rounding moves it.
AWAY = 1e-3
SYSTEMS = {
    "rnn": System(make=_rnn, interval=(1.0, 6.0)),
    "torch-rnn": System(make=_torch_rnn, interval=(2.5, 6.5), columns=150, steps=1000, settle=300),
    "cubic": System(make=_cubic, interval=(1.5, 3.0)),
}


def region(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="A method by name, such as rk4 or rkc10.")],
    as_json: AsJson = False,
    svg: SvgPath = None,
    png: PngPath = None,
) -> None:
    """Show where step * eigenvalue is stable for METHOD: limits on both axes and the region.

    Exit code 0: done; 2: unknown method, or a file that cannot be written.
    """
    from surefoot.methods import named

    check_paths(svg, png)
    with bad_input():
        found = named(method).region()
    if as_json:
        print_json(found.to_dict())
    else:
        say(str(found))
        say(_reach_table(named(method)))
    if svg or png:
        from surefoot.report.figures import region_figure

        save_figures(region_figure(found), svg, png, to_stderr=as_json)


def orbit(
    system: Annotated[
        str, typer.Argument(metavar="SYSTEM", help="rnn or torch-rnn (tanh networks in training), or cubic.")
    ],
    low: Annotated[float | None, typer.Option("--low", help="Smallest step.", show_default=False)] = None,
    high: Annotated[float | None, typer.Option("--high", help="Largest step.", show_default=False)] = None,
    count: Annotated[int, typer.Option("--count", min=1, max=12, help="Period doublings to find.")] = 5,
    as_json: AsJson = False,
    svg: SvgPath = None,
    png: PngPath = None,
    csv: CsvPath = None,
) -> None:
    """Follow gradient descent on SYSTEM as the step grows: converging, period 2, 4, ..., chaos.

    Exit code 0: done; 1: a computation failed; 2: wrong usage or bad input.
    """
    import numpy as np

    from surefoot.dynamics import bifurcations, diagram

    check_paths(svg, png, csv)
    if system not in SYSTEMS:
        raise Stop(f"unknown system {system!r}", f"choose one of {', '.join(SYSTEMS)}", 2)
    chosen = SYSTEMS[system]
    low, high = chosen.interval[0] if low is None else low, chosen.interval[1] if high is None else high
    with bad_input():
        if not 0 < low < high:
            raise InvalidInput(f"needs 0 < low < high; got {low:g} and {high:g}")
        update, start = chosen.make()
        cascade = bifurcations(update, (low, high), start, count, settle=chosen.settle)
    drawn = diagram(update, np.linspace(low, high, chosen.columns), start, steps=chosen.steps)
    if as_json:
        print_json({"kind": "orbit", "system": system, "cascade": cascade.to_dict()})
    else:
        say(str(cascade))
        say(str(drawn))
    if svg or png:
        from surefoot.report.figures import orbit_diagram

        save_figures(orbit_diagram(drawn, thresholds=cascade.parameters), svg, png, to_stderr=as_json)
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


def check_paths(*paths: Path | None) -> None:
    """Refuse what could not be written before anything is computed."""
    from surefoot.report import check_destination

    with bad_input():
        for path in paths:
            if path is not None:
                check_destination(path)


def save_figures(drawing: str, svg: Path | None, png: Path | None, *, to_stderr: bool) -> None:
    """Write a drawing to the files that were asked for; the option says the format, the name need not."""
    from surefoot.report.figures import save_png, save_svg

    for path, save in ((svg, save_svg), (png, save_png)):
        if path is not None:
            say(f"figure: {save(drawing, path)}", error=to_stderr)
