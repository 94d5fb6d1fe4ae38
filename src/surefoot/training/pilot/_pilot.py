"""A training run without a learning rate: a loop with a watch and a rule for the rate."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.checks import Count, Positive, checked
from surefoot.rules import Autopilot, Constant, Cooldown, Rule, Watch
from surefoot.training.loop import Loop, Moment
from surefoot.training.optimizers.unwrapped import tunes_itself
from surefoot.training.pilot._named import pilot_rule, refuse_foreign_steps


@checked
class Pilot(Loop):
    """Trains with a rate that it finds, holds and anneals itself.

        pilot = Pilot(model, optimizer, total_steps=T)
        for batch in loader:
            value = pilot.step(lambda: loss(model, batch))

    A `Loop` with two rules: at each update `surefoot.rules.Watch` judges the batch and says by what factor the rate is
    braked, then the rule for the rate decides, and the optimizer steps at the product. The rates that the groups have
    at the start only say their ratios.

    Parameters
    ----------
    model, optimizer, scaler, clip, accumulate, also, random_states, keep, every, measure, probe
        As in `surefoot.training.loop.Loop`.
    rule : str or Rule
        "auto"; "sharpness", "along-step"; a schedule or other rule of `surefoot.rules` by name ("cosine:0.1",
        or "module:factory" of your own) or as an object, if it needs nothing that training cannot sense.
    total_steps : int, optional
        Calls of `step` in the run; the last 20% of it are the cool-down, beyond it the rate is 0. Without, the run
        goes on until `finish`.
    scheduler : scheduler or sequence of schedulers, optional
        Its rates over its peak then multiply the pilot's; it sees its own only, and goes back with the rest. You step
        it, as always. One that is not named is found by the mark that it leaves on the optimizer, and said. Without
        any, the pilot's rates stand in the groups, and whatever else changes a group's lr between two updates
        multiplies that group's from then on.
    guard : Watch, optional
        The thresholds at which to intervene.

    Attributes
    ----------
    history : list of Moment
        Each update.
    events : list of Event
        Each intervention.

    Raises
    ------
    InvalidType
        If an argument is of the wrong kind.
    InvalidInput
        If a rule is unknown or needs what training cannot sense, or a number is out of its range.

    Examples
    --------
    >>> import torch
    >>> from surefoot.training.pilot import Pilot
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Linear(2, 1)
    >>> pilot = Pilot(model, torch.optim.SGD(model.parameters(), lr=1e-9), total_steps=50)
    >>> x = torch.randn(64, 2)
    >>> for k in range(50):
    ...     value = pilot.step(lambda: (model(x) - x.sum(1, keepdim=True)).square().mean())
    >>> value.item() < 1e-3
    True
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | Sequence[Optimizer],
        rule: str | Rule = "auto",
        total_steps: Count | None = None,
        *,
        scheduler: Any = None,
        scaler: Any = None,
        clip: Positive | None = None,
        accumulate: Count = 1,
        also: Iterable[Any] = (),
        random_states: bool = False,
        keep: Any = "device",
        every: Count | None = None,
        guard: Watch | None = None,
        measure: bool = True,
        probe: Callable[[], Tensor] | None = None,
    ) -> None:
        super().__init__(
            model, optimizer, watch=Watch() if guard is None else guard,
            rule=pilot_rule(rule, total_steps) if isinstance(rule, str) else rule, scheduler=scheduler, scaler=scaler,
            clip=clip, accumulate=accumulate, also=also, random_states=random_states, keep=keep, every=every,
            measure=measure, probe=probe, total_steps=total_steps,
        )  # fmt: skip
        assert self.rule is not None
        refuse_foreign_steps(self.rule, self.optimizers)
        if isinstance(self.rule, Autopilot) and any(tunes_itself(one) for one in self.optimizers):
            name = next(type(one).__name__ for one in self.optimizers if tunes_itself(one))
            own = float(self.optimizers[0].param_groups[0]["lr"])
            self.drive(
                Cooldown(rule=Constant(step=own)),
                f"{name} finds a rate of its own: lr stays at {own:g} until the cool-down",
            )

    @property
    def history(self) -> list[Moment]:
        """Each update, oldest first."""
        return self.moments
