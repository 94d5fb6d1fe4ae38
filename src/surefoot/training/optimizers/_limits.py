"""The largest learning rate that an optimizer can take, from the curvature it sees."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from torch.optim import Optimizer

from surefoot.checks import Positive, checked
from surefoot.methods import EMAMomentum
from surefoot.operators import Operator, shifted
from surefoot.spectra import Spectrum, spectrum
from surefoot.stability import Limits, limits
from surefoot.stability.clipped import clipped_limits
from surefoot.training.curvature import CurvatureOperator
from surefoot.training.optimizers._weight_decay import best_step_with_decay
from surefoot.training.optimizers.frozen import Frozen, freeze
from surefoot.training.optimizers.unwrapped import unwrap


@checked
def optimizer_limits(
    H: CurvatureOperator,
    optimizer: Optimizer,
    *,
    clip: Positive | None = None,
    rtol: float = 0.01,
    failure: float = 1e-6,
    rng: int | np.random.Generator = 0,
) -> Limits:
    """The step limits of a torch optimizer at its current state, in units of its learning rate.

        limits of the optimizer's method on P^-1/2 (H + w) P^-1/2

    P is the preconditioner held fixed at the optimizer's state (Cohen et al. 2022), w coupled weight decay.
    Decoupled decay, x <- (1 - step w) x - step m/P, moves the two ends of the spectrum M of P^-1/2 H P^-1/2
    differently (derived):

        largest:  M + w R/2, R the method's limit of step * curvature (EMA momentum: w (1 + b)/(1 - b))
        smallest: M + w, the sign of which decides whether anything grows

    With a cap on the gradient's norm, as ``torch.nn.utils.clip_grad_norm_`` sets it, plain gradient descent above the
    limit ends in an oscillation whose size is known (derived; see `ClippedLimits`).

    Parameters
    ----------
    H : CurvatureOperator
        Curvature from `hessian` or `gauss_newton`; may be restricted to a block that the optimizer trains.
    optimizer : torch.optim.Optimizer
        SGD, Adam, AdamW, NAdam, RAdam, Adamax or RMSprop. Without a state yet, an adaptive one is probed on a
        copy by a few steps of rate 0 over H's batches, which the reasons say. With several groups the limit
        is the first group's rate, the others following at their present ratios.
    clip : float, optional
        The norm at which gradients are cut.
    rtol, failure, rng
        Arguments of `surefoot.spectrum`. A step needs no more than ``rtol=0.05, failure=1e-3``, for a third to three
        quarters of the products.

    Returns
    -------
    Limits
        A linear claim at this point, with the preconditioner held fixed. A live one adapts: Adam hovers near
        the limit. With `clip`, a `ClippedLimits`. The cost: at most the products that ``H.cost`` says, of two gradients
        each where graphs are kept, twice that with decoupled decay, and one gradient over the data where an adaptive
        optimizer has no state.

    Raises
    ------
    InvalidType
        If H or the optimizer is of no known kind; the message says why.
    InvalidInput
        If the optimizer maximises, does not train a parameter of H, or its groups differ in momentum.

    Examples
    --------
    >>> import torch
    >>> from surefoot.training.curvature import hessian
    >>> from surefoot.training.optimizers._limits import optimizer_limits
    >>> from surefoot.training.model import supervised
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> H = hessian(model, supervised(torch.nn.functional.mse_loss), (torch.ones(4, 1), torch.zeros(4, 1)))
    >>> sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> round(optimizer_limits(H, sgd).stable, 4)  # 2 (1 + 0.9) / 2
    1.9
    """
    frozen = freeze(H, optimizer)
    settings: dict[str, Any] = {"rtol": rtol, "failure": failure, "rng": rng}
    if frozen.decays[1]:
        spec = _spectrum_with_decay(frozen.curvature(H), frozen, **settings)
        limit = _with_best_step(limits(spec, frozen.method), spec, frozen)
    else:
        spec = spectrum(frozen.curvature(H), **settings)
        limit = limits(spec, frozen.method)
    reasons = dict(limit.reasons)
    if frozen.note:
        reasons["curvature limit"] += f" ({frozen.note})"
        reasons["note"] = frozen.note
    limit = replace(limit, method=f"{type(unwrap(optimizer)).__name__} ({limit.method})", reasons=reasons)
    if clip is None:
        return limit
    # the closed form is for a step along the clipped gradient itself; what changes it after the clip voids the form
    unknown = ""
    if frozen.preconditioner is not None and frozen.method.memory == 1:
        unknown = "a preconditioner or unequal rates act after the cap; not derived"
    elif frozen.preconditioner is not None:
        unknown = "momentum and a preconditioner act after the cap; not derived"
    elif any(frozen.decays):
        unknown = "weight decay acts after the cap; not derived"
    return clipped_limits(limit, frozen.method, spec.largest.upper, clip, unknown=unknown)


def _with_best_step(limit: Limits, spec: Spectrum, frozen: Frozen) -> Limits:
    """The limits with the best step under decoupled decay, where it is derived.

    The best step of the spectrum with decay is not the method's: decay shifts the spectrum's two ends differently.
    """
    reasons = {**limit.reasons, "optimal": "not derived with this decoupled weight decay", "rate": "not derived"}
    reasons.pop("tuned", None)
    decay, method = frozen.decoupled, frozen.method
    if not isinstance(decay, float):
        reasons["optimal"] = "not derived where decoupled weight decay differs between parameters"
    elif isinstance(method, EMAMomentum) and spec.smallest.lower > 0 and 0 < limit.stable < math.inf:
        smallest, largest = spec.smallest.lower - decay, spec.largest.upper - decay * method.real_limit / 2
        step, rate = best_step_with_decay(smallest, largest, method.beta, decay, limit.stable)
        reasons["optimal"] = f"best worst rate over [{smallest:.6g}, {largest:.6g}] with decoupled decay {decay:g}"
        reasons["rate"] = "error per step at the optimal step"
        return replace(limit, optimal=step, rate=rate, reasons=reasons)
    return replace(limit, optimal=None, rate=1.0, reasons=reasons)


def _spectrum_with_decay(
    curvature: Operator, frozen: Frozen, *, rtol: float, failure: float, rng: int | np.random.Generator
) -> Spectrum:
    """The spectrum for limits with decoupled decay w: its ends are the largest of M + w R/2 and the least of M + w."""
    decay, stretch = frozen.decoupled, frozen.method.real_limit / 2
    if isinstance(decay, float):
        spec = spectrum(curvature, rtol=rtol, failure=failure, rng=rng)
        largest, smallest = spec.largest.shifted(stretch * decay), spec.smallest.shifted(decay)
    else:
        # where the decay differs between parameters the two ends belong to two different matrices
        settings: dict[str, Any] = {"rtol": rtol, "failure": failure / 2, "rng": rng}
        spec = spectrum(shifted(curvature, stretch * decay), which="largest", **settings)
        below = spectrum(shifted(curvature, decay), which="smallest", **settings)
        largest, smallest = spec.largest, below.smallest
        spec = replace(spec, products=spec.products + below.products)
    return replace(spec, largest=largest, smallest=smallest, points=None)
