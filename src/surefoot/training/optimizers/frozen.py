"""An optimizer at its current state as a linear iteration: method, preconditioner and weight decay, held fixed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from surefoot.checks import checked
from surefoot.errors import InvalidInput, InvalidType
from surefoot.methods import Method
from surefoot.operators import Operator, scaled, shifted
from surefoot.tables import abridge
from surefoot.training.curvature import CurvatureOperator
from surefoot.training.model.agreement import local
from surefoot.training.model.parameters import Block
from surefoot.training.optimizers.families import FAMILIES, REFUSED, Family
from surefoot.training.optimizers.unwrapped import refuse_maximizing, unwrap

__all__ = ["Frozen", "family_of", "freeze", "method_of", "probe_state"]

# The largest relative rounding of a product, magnified by the preconditioner's span, that needs no float64: a hundredth
# of the usual 1% interval.
MAGNIFIED = 1e-4


@dataclass(frozen=True, slots=True)
class Frozen:
    """The linear iteration of an optimizer whose state is held fixed, on a block of n scalars.

    Parameters
    ----------
    method : Method
        Acts on P^-1 (gradient + coupled * x).
    preconditioner : Tensor, shape (n,), or None
        P, with the ratio of the first group's rate to each group's own inside: the step is the first group's
        rate. In the space of the curvature's vectors; None for the identity.
    coupled, decoupled : float or Tensor, shape (n,)
        Weight decay that joins the gradient, and that multiplies the parameters (times the ratio of rates); a number
        where it is the same for all.
    note : str
        Remark for a reader.
    """

    method: Method
    preconditioner: Any
    coupled: Any
    decoupled: Any
    note: str

    @property
    def decays(self) -> tuple[bool, bool]:
        """Whether there is any coupled, and any decoupled weight decay."""
        coupled, decoupled = (isinstance(decay, Tensor) or decay != 0 for decay in (self.coupled, self.decoupled))
        return coupled, decoupled

    def curvature(self, hessian: CurvatureOperator) -> Operator:
        """P^-1/2 (H + coupled) P^-1/2; the curvature itself where that changes nothing.

        Where P spans more than the products' precision (a bias before batch normalisation or in attention's keys has a
        gradient of rounding size, so P near eps) the rounding of H would be magnified to the size of the answer; the
        products are then made on a float64 copy of the model, if it runs in float64.
        """
        if self.preconditioner is not None and hessian.precision * _span(self.preconditioner) > MAGNIFIED:
            hessian = _in_double(hessian)
        curvature: Operator = shifted(hessian, self.coupled) if self.decays[0] else hessian
        # P is infinite for parameters whose rate is 0: they do not move
        return curvature if self.preconditioner is None else scaled(curvature, self.preconditioner.rsqrt())

    def with_decay(self, operator: Operator) -> Operator:
        """The operator with decoupled decay counted as the curvature that gives the largest step exactly."""
        return shifted(operator, self.decoupled * (self.method.real_limit / 2)) if self.decays[1] else operator


@checked
def method_of(optimizer: Optimizer) -> Method:
    """The method that a torch optimizer is, acting on preconditioned gradients.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        SGD, Adam, AdamW, NAdam, RAdam, Adamax or RMSprop.

    Returns
    -------
    Method

    Raises
    ------
    InvalidType
        If the optimizer is not one of these; the message says why.
    InvalidInput
        If it maximises, or its groups differ in momentum.

    Examples
    --------
    >>> import torch
    >>> from surefoot.training.optimizers.frozen import method_of
    >>> x = torch.nn.Parameter(torch.zeros(2))
    >>> method_of(torch.optim.SGD([x], lr=0.1, momentum=0.9))
    HeavyBall(momentum=0.9, dampening=0.0)
    >>> method_of(torch.optim.AdamW([x]))
    EMAMomentum(beta=0.9)
    """
    optimizer = unwrap(optimizer)
    refuse_maximizing(optimizer)
    return _common_method(family_of(optimizer), optimizer.param_groups, _count_steps(optimizer.state.values()))


def family_of(optimizer: Optimizer) -> Family:
    """The optimizer's row of the table; an error that says why there is none."""
    # not isinstance: a subclass may update differently
    family = FAMILIES.get(type(optimizer))
    if family is None:
        name = type(optimizer).__name__
        reason = REFUSED.get(name, "its update is not known here")
        known = ", ".join(sorted(kind.__name__ for kind in FAMILIES))
        raise InvalidType(
            f"no limit for {name}: {reason}. Known: {known}; for others pass surefoot.operators.scaled(H, P**-0.5) "
            "and a method to surefoot.limits"
        )
    return family


def freeze(
    curvature: CurvatureOperator, optimizer: Optimizer, gradients: Iterable[Sequence[Tensor | None]] | None = None
) -> Frozen:
    """The optimizer's iteration on the curvature's parameters, at the optimizer's state.

    Parameters
    ----------
    curvature : CurvatureOperator, shape (n, n)
    optimizer : torch.optim.Optimizer
        Must train all of the curvature's parameters; it may train others too.
    gradients : iterable of gradients, optional
        Gradients at this point to probe an adaptive optimizer without a state with. Default: the mean gradients of
        the curvature's batches in turn.

    Raises
    ------
    InvalidType
        If the optimizer is of no known kind.
    InvalidInput
        If it does not train a parameter, maximises, has no rate to express the limit in, or its groups differ
        in momentum.
    """
    optimizer = unwrap(optimizer)
    refuse_maximizing(optimizer)
    family = family_of(optimizer)
    block = curvature.block
    groups = _groups(optimizer, block)
    state: Mapping[Any, Any] = optimizer.state
    notes: list[str] = []
    if family.preconditioner is not None and not any(state.get(p) for p in block.owners):
        state, note = probe_state(optimizer, family, block, gradients or curvature.batch_gradients())
        notes.append(note)
    ratios, note = _rate_ratios(groups)
    notes.append(note)
    method = _common_method(family, groups, _count_steps(state[p] for p in block.owners if state.get(p)))

    preconditioner: Tensor | None = None
    if family.preconditioner is not None or any(ratio != 1 for ratio in ratios):
        preconditioner = block.zeros()
        for p, piece, group, ratio in zip(block.owners, block.pieces(preconditioner), groups, ratios, strict=True):
            if ratio == 0:
                piece.fill_(torch.inf)  # the parameter does not move
            elif family.preconditioner is None or not state.get(p):
                piece.fill_(1 / ratio)
            else:
                piece.copy_(local(family.preconditioner(group, state[p])).reshape(-1) / ratio)
    _check_states(curvature, family, state)
    coupled, decoupled = list[float](), list[float]()
    for group, ratio in zip(groups, ratios, strict=True):
        decay, apart = float(group.get("weight_decay", 0.0)), family.decoupled(group)
        coupled.append(0.0 if apart else decay)
        decoupled.append(ratio * decay if apart else 0.0)
    note = "; ".join(note for note in notes if note)
    return Frozen(method, preconditioner, _spread(block, coupled), _spread(block, decoupled), note)


def probe_state(
    optimizer: Optimizer, family: Family, block: Block, gradients: Iterable[Sequence[Tensor | None]]
) -> tuple[Mapping[Any, Any], str]:
    """The state that a fresh optimizer of the same kind has after steps of rate 0 over the gradients, on a copy.

    With rate 0 the copy gathers its averages where the parameters are; nothing of the caller's changes. All gradients
    are used: a coordinate that no gradient has reached yet has P = eps, and any curvature there looks enormous (on the
    digits network the limit after 5 of 28 mini-batches is 4000 times lower than after all).

    Returns
    -------
    state : mapping of Parameter to dict
        States of the block's own parameters.
    note : str
    """
    pairs = zip(block.owners, block.tensors, strict=True)
    copies = {p: part.detach().clone().requires_grad_() for p, part in pairs}
    # each parameter in a group of its own, with the settings that it has
    settings = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    kind: Any = type(optimizer)
    probe = kind([{**settings[id(p)], "params": [copy], "lr": 0.0} for p, copy in copies.items()])

    def step(gradient: Sequence[Tensor | None]) -> None:
        for copy, g in zip(copies.values(), gradient, strict=True):
            copy.grad = None if g is None else g.clone()
        try:
            probe.step()
        except RuntimeError as error:
            if "sparse" not in str(error):
                raise
            raise InvalidInput(f"{kind.__name__} cannot train this model: {error}") from error

    # kept to go over again where there are fewer batches than probing steps
    few: list[Sequence[Tensor | None]] = []
    batches = 0
    for gradient in gradients:
        step(gradient)
        batches += 1
        if len(few) < family.probing:
            few.append(gradient)
    for i in range(batches, family.probing):
        step(few[i % batches])
    state = {p: dict(probe.state[copy]) for p, copy in copies.items()}
    steps = max(batches, family.probing)
    over = f"{batches} batches" if batches > 1 else "one batch, so without the noise of mini-batches"
    return state, f"preconditioner after {steps} probing steps of rate 0 on a copy, over {over}"


def _in_double(curvature: CurvatureOperator) -> CurvatureOperator:
    """The operator on a float64 copy of the model, where that fits, runs and is more precise; else as it is."""
    if not curvature.fits_in_double or curvature.shards is not None:
        return curvature
    try:
        double = curvature.in_double()
    except Exception:  # the user's model, in a precision it may not be made for
        return curvature
    return double if double.precision < curvature.precision else curvature


def _groups(optimizer: Optimizer, block: Block) -> list[Mapping[str, Any]]:
    """The parameter group of each parameter of the block."""
    owner = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    missing = [name for name, p in zip(block.names, block.owners, strict=True) if id(p) not in owner]
    if missing:
        raise InvalidInput(
            f"the optimizer does not train {abridge(missing)}; restrict the curvature to what it trains: "
            "hessian(..., parameters=...)"
        )
    return [owner[id(p)] for p in block.owners]


def _rate_ratios(groups: Sequence[Mapping[str, Any]]) -> tuple[list[float], str]:
    """Each rate over the first one's."""
    # rates may be tensors (capturable optimizers)
    rates = [float(group["lr"]) for group in groups]
    if len(set(rates)) == 1:
        return [1.0] * len(rates), ""
    if rates[0] == 0:
        raise InvalidInput(f"the first group has rate 0 and others {max(rates):g}; set a rate to express limits in")
    listed = ", ".join(f"{rate:g}" for rate in dict.fromkeys(rates))
    return [rate / rates[0] for rate in rates], f"the first group's rate; groups keep their ratios ({listed})"


def _common_method(family: Family, groups: Sequence[Mapping[str, Any]], steps: float) -> Method:
    methods = list(dict.fromkeys(family.method(group, steps) for group in groups))
    if len(methods) > 1:
        names = " and ".join(method.name for method in methods)
        raise InvalidInput(f"parameter groups with {names} have no common limit; measure them one by one")
    return methods[0]


def _check_states(curvature: CurvatureOperator, family: Family, state: Mapping[Any, Any]) -> None:
    """Refuse a parameter without a state beside others with one, unless the loss does not use it."""
    if family.preconditioner is None:
        return
    block = curvature.block
    lacking = [i for i, p in enumerate(block.owners) if not state.get(p)]
    if not lacking:
        return
    gradients = block.split(curvature.gradient_vector())
    used = [block.names[i] for i in lacking if gradients[i].any()]
    if used:
        raise InvalidInput(f"{', '.join(used[:4])} has no optimizer state beside others that have; take a step first")


def _spread(block: Block, values: Sequence[float]) -> float | Tensor:
    """A number for each parameter as a vector, or as one number where they are the same."""
    if len(set(values)) == 1:
        return float(values[0])
    spread = block.zeros()
    for piece, value in zip(block.pieces(spread), values, strict=True):
        piece.fill_(value)
    return spread


def _span(preconditioner: Tensor) -> float:
    """The largest over the smallest entry of P, infinite ones left out: those parameters do not move."""
    moved = preconditioner.isfinite()
    if not moved.any():
        return 1.0
    largest = float(preconditioner.where(moved, 0.0).max())
    return largest / float(preconditioner.min())


def _count_steps(states: Iterable[Mapping[str, Any]]) -> float:
    return max((float(state.get("step", 0)) for state in states), default=0.0)
