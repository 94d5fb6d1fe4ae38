"""A training run that does not blow up: a loop with a watch."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.checks import Count, Positive, checked
from surefoot.rules import Watch
from surefoot.training.loop import Event, Loop


@checked
class Guard(Loop):
    """Steps an optimizer, and takes back what goes wrong.

        guard = Guard(model, optimizer)
        for batch in loader:
            value = guard.step(lambda: loss(model, batch))

    A `Loop` whose only rule is `surefoot.rules.Watch`. A batch whose loss or gradient is not finite, or far beyond all
    that the run has seen, is left out. A finite loss is taken, however unusual. If other batches then get worse than
    they were at the last good state, or the state is not finite, that state comes back, bit for bit, and if the rate
    may be to blame it is shrunk while the optimizer steps; it grows back with time. For 200 updates (10 times the
    watch's patience) after the start and after each return, what the run reaches has not proved good: failing again in
    that time takes it further back. After a number of returns in a row `Diverged` is raised, with a diagnosis, at the
    last good state. Where it does not intervene the run is bitwise the unguarded one.

    Parameters
    ----------
    model, optimizer, scheduler, scaler, clip, accumulate, also, random_states, keep, every, measure, probe
        As in `surefoot.training.loop.Loop`.
    rule : Watch, optional
        The thresholds.

    Attributes
    ----------
    history : list of Event
    updates : int
        Updates judged so far.

    Raises
    ------
    InvalidType
        If an argument is of the wrong kind.
    InvalidInput
        If a number is out of its range, or the optimizers train nothing.

    Examples
    --------
    >>> import torch
    >>> from surefoot.training.guard import Guard
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Linear(2, 1)
    >>> guard = Guard(model, torch.optim.SGD(model.parameters(), lr=0.1))
    >>> x, y = torch.randn(8, 2), torch.zeros(8, 1)
    >>> for k in range(20):
    ...     bad = torch.full_like(x, float("nan")) if k == 12 else x
    ...     value = guard.step(lambda: torch.nn.functional.mse_loss(model(bad), y))
    >>> print(guard.explain())
    step 12: the loss is not finite; batch left out; recovered by step 13
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | Sequence[Optimizer],
        *,
        scheduler: Any = None,
        scaler: Any = None,
        clip: Positive | None = None,
        accumulate: Count = 1,
        also: Iterable[Any] = (),
        random_states: bool = False,
        keep: Any = "device",
        every: Count | None = None,
        rule: Watch | None = None,
        measure: bool = True,
        probe: Callable[[], Tensor] | None = None,
    ) -> None:
        super().__init__(
            model, optimizer, watch=Watch() if rule is None else rule, scheduler=scheduler, scaler=scaler, clip=clip,
            accumulate=accumulate, also=also, random_states=random_states, keep=keep, every=every, measure=measure,
            probe=probe,
        )  # fmt: skip

    @property
    def history(self) -> list[Event]:
        """What it did and what it has to say, oldest first."""
        return self.events
