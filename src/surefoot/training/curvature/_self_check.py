"""A check of the second derivative that autograd gives, by a difference of first derivatives."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from surefoot.errors import NotSmooth, SurefootError
from surefoot.operators import Array

if TYPE_CHECKING:
    from surefoot.training.curvature.operator import CurvatureOperator

__all__ = ["self_check"]

# Errors that this is to find are of the order of the curvature (28% in one layer type, or all of it).
TOLERANCE = 1e-3
# Steps relative to the parameters' size: the first is right for smooth float64 functions; a kink crossed on the way
# (ReLU) calls for smaller ones, rounding to float32 inside the model for larger ones.
STEPS = (1e-6, 1e-8, 1e-4, 1e-3)
SAMPLES = 4


def self_check(operator: "CurvatureOperator") -> str:
    """One product against a central difference of gradients, on a float64 copy and a few samples.

        H v = (g(theta + h v) - g(theta - h v)) / 2h + O(h^2)

    A custom backward that hides its dependence on the inputs, or a kernel with a wrong second derivative, gives
    products that are symmetric, repeatable and wrong; only this tells. Costs a product and 2 to 8 gradients on at most
    4 samples where the batch can be cut, else on the first batch.

    Returns
    -------
    str
        What was found, in words; a check that could not decide says why.

    Raises
    ------
    NotSmooth
        If differences agree with each other and not with the product.
    """
    if not operator.fits_in_double:
        return "not checked: a float64 copy of the model would not fit in max_memory"
    try:
        double = operator.in_double(SAMPLES)
        if double.precision > TOLERANCE**3:
            return "not checked: the loss computes below float64 by itself"
        errors, drift = _compared(double)
    except SurefootError as error:
        return f"not checked in float64: {error}"
    except Exception as error:  # the user's own code, in a precision it may not be made for
        return f"not checked: the model does not run in float64 ({type(error).__name__}: {error})"
    if min(errors) <= TOLERANCE:
        return f"agrees with a difference of gradients to {min(errors):.1g} (float64, one direction)"
    if drift <= TOLERANCE:
        raise NotSmooth(
            f"the second derivative is wrong by {100 * min(errors):.3g}% along a random direction: differences of the "
            "gradient agree with each other and not with it. A custom autograd.Function whose backward hides its "
            "inputs, or an operation with a wrong double backward; write it with differentiable operations"
        )
    return "not decided: differences of gradients do not agree with each other (kinks, or rounding inside the model)"


def _compared(double: "CurvatureOperator") -> tuple[list[float], float]:
    """Relative errors of the product against each difference, and the least disagreement of two differences."""
    direction = _direction(double)
    product = double.matvec(direction)
    errors: list[float] = []
    differences: list[Array] = []
    for difference in _differences(double, direction):
        errors.append(_distance(product, difference))
        if errors[-1] <= TOLERANCE:
            break
        differences.append(difference)
    pairs = [_distance(a, b) for i, a in enumerate(differences) for b in differences[:i]]
    return errors, min(pairs, default=np.inf)


def _differences(double: "CurvatureOperator", direction: Array) -> Iterator[Array]:
    start = double.block.joined([p.detach() for p in double.parameters]).numpy()

    def gradient(at: Array) -> Array:
        with torch.no_grad():
            for p, value in zip(double.parameters, double.block.split(at), strict=True):
                p.copy_(value)
        return double.gradient()

    for step in STEPS:
        yield (gradient(start + step * direction) - gradient(start - step * direction)) / (2 * step)


def _direction(double: "CurvatureOperator") -> Array:
    """A fixed random direction, each tensor of the size of its parameter."""
    generator = np.random.default_rng(0)
    sizes = [float(p.detach().square().mean().sqrt()) for p in double.parameters]
    typical = max(sizes) or 1.0
    return np.concatenate(
        [
            generator.standard_normal(p.numel()) * (size or typical)
            for p, size in zip(double.parameters, sizes, strict=True)
        ]
    )


def _distance(a: Array, b: Array) -> float:
    size = max(float(np.linalg.norm(a)), float(np.linalg.norm(b)))
    return float(np.linalg.norm(a - b)) / size if size else 0.0
