"""Studies: experiments that have a name and bring their own runs, and their rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from surefoot.errors import MissingExtra
from surefoot.progress import Progress
from surefoot.targets._entry import Entry, Kind

__all__ = ["STUDIES", "Study"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """An experiment with rates, steps and a model of its own.

    Parameters
    ----------
    name : str
    run : callable
        (progress) to a result that prints itself and has a `to_dict`.
    """

    kind: ClassVar[Kind] = "study"

    name: str
    run: Callable[[Progress | None], Any]


def _edge(rng: int) -> tuple[Study, ...]:
    try:
        from surefoot.training import edge_of_stability
    except ImportError as error:
        raise MissingExtra("edge trains a PyTorch network; pip install 'surefoot[training,data]'") from error
    return (Study(name="edge", run=lambda progress: edge_of_stability(rng=rng, progress=progress)),)


STUDIES = (
    Entry(
        name="edge",
        kind="study",
        summary="the edge of stability: sharpness along full-batch training, against the limit of the rate",
        build=_edge,
    ),
)
