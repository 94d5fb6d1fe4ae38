"""The size of each group's updates relative to its weights."""

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from surefoot.checks import Count, checked
from surefoot.errors import InvalidInput
from surefoot.records import VERSION, Record, encode
from surefoot.training.optimizers.unwrapped import unwrap

# The ratio of a healthy training, by a rule of thumb (A. Karpathy, lecture notes for CS231n, 2016).
USUAL = 1e-3
# Factors from the median over the groups, and from the usual ratio, beyond which a group is flagged. By convention.
APART, STRANGE = 10.0, 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRatio(Record):
    """The update ratio of one group.

    Parameters
    ----------
    name : str
    ratio : float
        The median over the steps of rms(update)/rms(weight); inf where the weights were zero and moved, 0.0 where
        nothing moved.
    update, weight : float
        The root mean squares of the last step.
    steps : int
        Number of steps measured.
    flags : tuple of str
        Remarks on what stands out; empty if nothing does.
    """

    name: str
    ratio: float
    update: float
    weight: float
    steps: int
    flags: tuple[str, ...] = ()


class UpdateRatios:
    """Records rms(update)/rms(weight) per group around ``optimizer.step()``; made by `update_ratios`.

    Training with it is bitwise that without: parameters are read, never written. It holds one copy of them while a step
    is measured.

    Parameters
    ----------
    optimizer : Optimizer
    groups : mapping of str to list of Tensor
    every : int
        Number of steps from one measurement to the next.
    """

    def __init__(self, optimizer: Optimizer, groups: Mapping[str, list[Tensor]], every: int) -> None:
        self._optimizer, self._groups, self._every = optimizer, groups, every
        self._seen = 0
        self._before: dict[str, list[Tensor]] | None = None
        self._history: dict[str, list[tuple[float, float]]] = {name: [] for name in groups}
        self._handles = [
            optimizer.register_step_pre_hook(self._remember),
            optimizer.register_step_post_hook(self._measure),
        ]

    def close(self) -> None:
        """Stop measuring; what was recorded stays."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._before = [], None

    def __enter__(self) -> "UpdateRatios":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def history(self) -> dict[str, list[float]]:
        """The ratios of each group, a number for each step measured."""
        return {name: [_ratio(u, w) for u, w in rows] for name, rows in self._history.items()}

    def groups(self) -> tuple[GroupRatio, ...]:
        """The ratio of each group so far, with what stands out; empty before the first step."""
        ratios = {name: statistics.median(rows) for name, rows in self.history.items() if rows}
        moving = [ratio for ratio in ratios.values() if 0 < ratio < math.inf]
        middle = statistics.median(moving) if moving else math.nan
        return tuple(
            GroupRatio(
                name=name,
                ratio=ratio,
                update=self._history[name][-1][0],
                weight=self._history[name][-1][1],
                steps=len(self._history[name]),
                flags=_flags(ratio, middle, len(moving)),
            )
            for name, ratio in ratios.items()
        )

    def to_dict(self) -> dict[str, Any]:
        """The ratios so far, for JSON; a meter cannot be made from them again."""
        return {"kind": "update ratios", "version": VERSION, "groups": encode(self.groups())}

    def __str__(self) -> str:
        groups = self.groups()
        if not groups:
            return "no step was taken yet"
        width = max(len(group.name) for group in groups)
        rows = [
            f"{row.name:<{width}}  {row.ratio:9.2g}  {row.update:9.2g}  {row.weight:9.2g}  {'; '.join(row.flags)}"
            for row in groups
        ]
        head = f"{'group':<{width}}  {'ratio':>9}  {'update':>9}  {'weight':>9}  over {groups[0].steps} steps"
        return "\n".join(row.rstrip() for row in [head, *rows])

    def _remember(self, *_: Any) -> None:
        if self._seen % self._every == 0:
            self._before = {name: [p.detach().clone() for p in ps] for name, ps in self._groups.items()}

    def _measure(self, *_: Any) -> None:
        self._seen += 1
        if self._before is None:
            return
        for name, old in self._before.items():
            new = self._groups[name]
            update = _rms([q.detach() - p for p, q in zip(old, new, strict=True)])
            self._history[name].append((update, _rms(old)))
        self._before = None


@checked
def update_ratios(
    optimizer: Optimizer, *, groups: Mapping[str, Iterable[Tensor]] | None = None, every: Count = 1
) -> UpdateRatios:
    """Record the update-to-weight ratio per group while an optimizer steps.

        r = rms(x_{t+1} - x_t) / rms(x_t)

    A group is flagged if its median ratio is 10 times over or under the median over all groups, 100 times over or under
    1e-3, or not finite: *heuristics*, of which the first asks no more than that groups learn alike.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Optimizer whose step hooks are used: the loop stays as it is.
    groups : mapping of str to parameters, optional
        Groups by name. Default: the optimizer's own, by their "name" if they have one; those of `suggest_groups` do.
    every : int
        Number of steps from one measurement, which copies the parameters, to the next; the first step is measured.

    Returns
    -------
    UpdateRatios
        Prints itself as a table; ``close()`` or leaving a ``with`` block ends it.

    Raises
    ------
    InvalidType
        If the optimizer is none.
    InvalidInput
        If a group is empty, or `every` not positive.

    Examples
    --------
    >>> import torch
    >>> from surefoot.training.groups._update_ratio import update_ratios
    >>> x = torch.nn.Parameter(torch.full((4,), 2.0))
    >>> optimizer = torch.optim.SGD([x], lr=0.1)
    >>> with update_ratios(optimizer) as ratios:
    ...     x.sum().backward()
    ...     optimizer.step()
    >>> round(ratios.groups()[0].ratio, 6)  # 0.1 / 2
    0.05
    """
    optimizer = unwrap(optimizer)
    own: dict[str, Any] = {}
    for i, group in enumerate(optimizer.param_groups):
        name = str(group.get("name", f"group {i}"))
        # names of groups need not differ
        own[f"{name} ({i})" if name in own else name] = group["params"]
    chosen = {name: list(parameters) for name, parameters in (own if groups is None else groups).items()}
    empty = [name for name, parameters in chosen.items() if not sum(p.numel() for p in parameters)]
    if empty or not chosen:
        raise InvalidInput(f"group {empty[0] if empty else ''!r} has no parameters; leave it out")
    return UpdateRatios(optimizer, chosen, every)


def _rms(tensors: list[Tensor]) -> float:
    # in float64: squares of small updates underflow in lower precision
    squares = torch.stack([t.to(torch.float64).square().sum().cpu() for t in tensors]).sum()
    return math.sqrt(float(squares) / sum(t.numel() for t in tensors))


def _ratio(update: float, weight: float) -> float:
    if not math.isfinite(update) or not math.isfinite(weight):
        return math.inf
    if update == 0:
        return 0.0
    return update / weight if weight > 0 else math.inf


def _flags(ratio: float, middle: float, groups: int) -> tuple[str, ...]:
    if ratio == math.inf:
        return ("not finite: the weights are zero, or the update is not a number",)
    if ratio == 0:
        return ("does not move",)
    flags: list[str] = []
    if groups > 2 and not 1 / APART <= ratio / middle <= APART:
        flags.append(_times(ratio / middle, "the median of the groups"))
    if not 1 / STRANGE <= ratio / USUAL <= STRANGE:
        flags.append(_times(ratio / USUAL, f"the usual {USUAL:g}"))
    return tuple(flags)


def _times(quotient: float, of: str) -> str:
    return f"{quotient:.3g} x {of}" if quotient > 1 else f"1/{1 / quotient:.3g} of {of}"
