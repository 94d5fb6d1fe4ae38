"""Maps whose long run depends on their step, and their rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from surefoot.checks import checked
from surefoot.errors import InvalidInput, MissingExtra
from surefoot.targets._entry import Entry, Kind

# An orbit that starts at a minimum to the last bit would stay there until rounding moves it.
AWAY = 1e-3


@checked
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Map:
    """An update x -> update(x, step) whose orbits are of interest as the step grows.

    Parameters
    ----------
    name : str
    update : callable
        (x, step) to the next x, as `surefoot.dynamics.orbit` takes it.
    start : float or array
        Where orbits begin.
    interval : (float, float)
        Steps of interest, both positive and ascending.
    columns, steps, settle : int
        Steps drawn, moves of each, and moves until the first orbit has settled: as many as its cost allows.

    Raises
    ------
    InvalidInput
        If the interval is not one.

    Examples
    --------
    >>> from surefoot.targets import Map
    >>> Map(name="logistic", update=lambda x, r: r * x * (1 - x), start=0.4, interval=(2.5, 4.0)).kind
    'map'
    """

    kind: ClassVar[Kind] = "map"

    name: str
    update: Callable[..., Any]
    start: Any
    interval: tuple[float, float]
    columns: int = 1500
    steps: int = 2000
    settle: int = 5000

    def __post_init__(self) -> None:
        low, high = self.interval
        if not 0 < low < high < float("inf"):
            raise InvalidInput(f"the interval of steps must be 0 < low < high; got {low!r} and {high!r}")


def _rnn(rng: int) -> tuple[Map, ...]:  # noqa: ARG001 - nothing is drawn
    from surefoot.dynamics import TanhRNN

    return (Map(name="rnn", update=TanhRNN(), start=1.0, interval=(1.0, 6.0)),)


def _cubic(rng: int) -> tuple[Map, ...]:  # noqa: ARG001
    from surefoot.dynamics import Cubic

    return (Map(name="cubic", update=Cubic(), start=0.3, interval=(1.5, 3.0)),)


def _torch_rnn(rng: int) -> tuple[Map, ...]:  # noqa: ARG001
    try:
        from surefoot.training.tasks.rnn import two_unit_rnn
    except ImportError as error:
        raise MissingExtra(
            "torch-rnn is a PyTorch network; pip install '.[training]' in a checkout of Surefoot"
        ) from error
    update, minimum = two_unit_rnn()
    start = minimum + AWAY
    return (
        Map(
            name="torch-rnn",
            update=update,
            start=start,
            interval=(2.5, 6.5),
            # a move is a gradient by torch, a hundred times the price of the others
            columns=150,
            steps=1000,
            settle=300,
        ),
    )


# The rows, in the order in which they are listed.
MAPS = (
    Entry(name="rnn", kind="map", summary="training a tanh unit with memory: period doubling and chaos", build=_rnn),
    Entry(
        name="torch-rnn",
        kind="map",
        summary="training a recurrent network of two units in PyTorch, all its four weights",
        build=_torch_rnn,
    ),
    Entry(name="cubic", kind="map", summary="gradient descent on a quartic of two minima, a cubic map", build=_cubic),
)
