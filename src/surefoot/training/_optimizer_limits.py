"""The largest learning rate that an optimizer can take, from the curvature it sees."""

from dataclasses import replace
from typing import Any

import numpy as np
from torch.optim import Optimizer

from surefoot._limits import Limits, limits
from surefoot.errors import InvalidType
from surefoot.operators import Operator, shifted
from surefoot.spectra import Spectrum, spectrum
from surefoot.training._frozen import Frozen, freeze
from surefoot.training._operator import CurvatureOperator

__all__ = ["optimizer_limits"]


def optimizer_limits(
    H: CurvatureOperator,
    optimizer: Optimizer,
    *,
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

    Parameters
    ----------
    H : CurvatureOperator
        From `hessian` or `gauss_newton`; may be restricted to a block that the optimizer trains.
    optimizer : torch.optim.Optimizer
        SGD, Adam, AdamW, NAdam, RAdam, Adamax or RMSprop. Without a state yet, an adaptive one is probed on a
        copy by a few steps of rate 0 over H's batches, which the reasons say. With several groups the limit
        is the first group's rate, the others following at their present ratios.
    rtol, failure, rng
        As in `surefoot.spectrum`.

    Returns
    -------
    Limits
        A linear claim at this point, with the preconditioner held fixed. A live one adapts: Adam hovers near
        the limit.

    Raises
    ------
    InvalidType
        If H or the optimizer is of no known kind; the message says why.
    InvalidInput
        If the optimizer maximises, does not train a parameter of H, or its groups differ in momentum.

    Examples
    --------
    >>> import torch
    >>> from surefoot.training import hessian, optimizer_limits, supervised
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> H = hessian(model, supervised(torch.nn.functional.mse_loss), (torch.ones(4, 1), torch.zeros(4, 1)))
    >>> sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> round(optimizer_limits(H, sgd).stable, 4)  # 2 (1 + 0.9) / 2
    1.9
    """
    if not isinstance(H, CurvatureOperator):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidType(f"H must be a curvature operator from hessian(model, loss, data); got {type(H).__name__}")
    frozen = freeze(H, optimizer)
    settings: dict[str, Any] = {"rtol": rtol, "failure": failure, "rng": rng}
    if frozen.decoupled.any():
        found = decayed_spectrum(frozen.terrain(H), frozen, **settings)
        limit = replace(limits(found, frozen.method), optimal=None, rate=1.0)
        reasons = {**limit.reasons, "optimal": "not derived with decoupled weight decay", "rate": "not derived"}
        reasons.pop("tuned", None)
    else:
        limit = limits(frozen.terrain(H), frozen.method, **settings)
        reasons = dict(limit.reasons)
    if frozen.note:
        reasons["curvature limit"] += f" ({frozen.note})"
        reasons["note"] = frozen.note
    return replace(limit, method=f"{type(optimizer).__name__} ({limit.method})", reasons=reasons)


def decayed_spectrum(
    terrain: Operator, frozen: Frozen, *, rtol: float, failure: float, rng: int | np.random.Generator
) -> Spectrum:
    """The spectrum whose ends give the limits of a method with decoupled weight decay.

    Parameters
    ----------
    terrain : Operator, shape (n, n)
        P^-1/2 H P^-1/2.
    frozen : Frozen
        Holds the decay.
    rtol, failure, rng
        As in `surefoot.spectrum`.

    Returns
    -------
    Spectrum
        Largest end that of the terrain plus decay * R/2, smallest that of the terrain plus decay.
    """
    decay, stretch = frozen.decoupled, frozen.method.real_limit / 2
    if (decay == decay[0]).all():
        found = spectrum(terrain, rtol=rtol, failure=failure, rng=rng)
        largest, smallest = found.largest.shifted(stretch * decay[0]), found.smallest.shifted(decay[0])
    else:
        # where the decay differs between parameters the two ends belong to two different matrices
        settings: dict[str, Any] = {"rtol": rtol, "failure": failure / 2, "rng": rng}
        found = spectrum(shifted(terrain, stretch * decay), which="largest", **settings)
        below = spectrum(shifted(terrain, decay), which="smallest", **settings)
        largest, smallest = found.largest, below.smallest
        found = replace(found, products=found.products + below.products)
    return replace(found, largest=largest, smallest=smallest, points=None)
