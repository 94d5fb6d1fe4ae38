"""Each torch optimizer as data: its method, its preconditioner, its kind of weight decay.

Read off the single-tensor implementations in ``torch/optim``; fused and foreach variants compute the same.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, optim

from surefoot.methods import EMAMomentum, GradientDescent, HeavyBall, Method, Nesterov
from surefoot.training.optimizers._methods import NesterovAverage

__all__ = ["FAMILIES", "REFUSED", "Family"]

Group = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of optimizer.

    Parameters
    ----------
    method : callable
        (group, steps taken) -> the method that acts on preconditioned gradients.
    preconditioner : callable or None
        (group, state of a parameter) -> P > 0, the update being the method's on P^-1 gradient. None: P = 1.
    decoupled : callable
        group -> whether weight decay multiplies the parameters instead of joining the gradient.
    probing : int
        Steps that a fresh state needs at least.
    """

    method: Callable[[Group, float], Method]
    preconditioner: Callable[[Group, Mapping[str, Any]], Tensor] | None = None
    decoupled: Callable[[Group], bool] = lambda group: bool(group.get("decoupled_weight_decay", False))
    # five steps of an average with beta2 = 0.999 and its correction: about the mean of five squares
    probing: int = 5


def _sgd(group: Group, _steps: float) -> Method:
    momentum = float(group["momentum"])
    if not momentum:
        return GradientDescent()
    return Nesterov(momentum) if group["nesterov"] else HeavyBall(momentum, float(group["dampening"]))


def _ema(group: Group, _steps: float) -> Method:
    return EMAMomentum(float(group["betas"][0]))


def _nadam_method(group: Group, steps: float) -> Method:
    beta = float(group["betas"][0])
    return NesterovAverage(beta, beta * (1 - 0.5 * 0.96 ** ((steps + 1) * float(group["momentum_decay"]))))


def _adam(group: Group, state: Mapping[str, Any]) -> Tensor:
    second = state["max_exp_avg_sq"] if group.get("amsgrad") else state["exp_avg_sq"]
    return second.double().div(_correction(group, state)).sqrt() + float(group["eps"])


def _radam(group: Group, state: Mapping[str, Any]) -> Tensor:
    steps, b2 = float(state["step"]), float(group["betas"][1])
    correction = _correction(group, state)
    longest = 2 / (1 - b2) - 1
    length = longest - 2 * steps * b2**steps / correction
    if length <= 5:  # as in the optimizer: too few gradients for a variance, the update is plain momentum
        return torch.ones_like(state["exp_avg_sq"], dtype=torch.float64)
    top, bottom = (length - 4) * (length - 2) * longest, (longest - 4) * (longest - 2) * length
    rectified = math.sqrt(top / bottom) * math.sqrt(correction)
    return (state["exp_avg_sq"].double().sqrt() + float(group["eps"])) / rectified


def _rmsprop(group: Group, state: Mapping[str, Any]) -> Tensor:
    second = state["square_avg"].double()
    if group["centered"]:
        second = (second - state["grad_avg"].double().square()).clamp(min=0)
    return second.sqrt() + float(group["eps"])


def _correction(group: Group, state: Mapping[str, Any]) -> float:
    """1 - beta2^t."""
    return -math.expm1(float(state["step"]) * math.log(float(group["betas"][1]))) if group["betas"][1] else 1.0


FAMILIES: dict[type, Family] = {
    optim.SGD: Family(_sgd),
    optim.Adam: Family(_ema, _adam),
    optim.AdamW: Family(_ema, _adam, decoupled=lambda _group: True),
    optim.NAdam: Family(_nadam_method, _adam),
    # RAdam has no variance before its sixth step
    optim.RAdam: Family(_ema, _radam, probing=10),
    # eps is inside the infinity norm
    optim.Adamax: Family(_ema, lambda _group, state: state["exp_inf"].double()),
    optim.RMSprop: Family(
        lambda group, _steps: HeavyBall(float(group["momentum"])) if group["momentum"] else GradientDescent(), _rmsprop
    ),
}

# Optimizers of torch whose step no frozen linear iteration describes, and why; others are just not known.
REFUSED: dict[str, str] = {
    "Adagrad": "its sum of squares grows for ever, so its rate decays and every rate is stable in the end",
    "Adadelta": "its step has a unit of its own that follows the last steps, so no frozen preconditioner describes it",
    "Adafactor": "it rescales each update to a fixed size, so no frozen preconditioner describes it",
    "ASGD": "its rate decays by itself",
    "Rprop": "its step depends on signs only, so no linear iteration describes it",
    "LBFGS": "its matrix changes at each step with the last gradients",
    "Muon": "it orthogonalises each update, so its size does not depend on the gradient's: no linear iteration",
    "SparseAdam": "it updates only the rows seen in a batch",
}
