"""Residual networks as Euler steps: the growth of a perturbation in each block, of signal and gradient across all."""

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn

from surefoot.checks import Count, Fraction, Positive, checked
from surefoot.errors import InvalidInput, NotFinite
from surefoot.spectra import Bounds
from surefoot.training.model.internals import BatchNorm
from surefoot.training.model.loss import Loss
from surefoot.training.model.trees import first_sizes, take
from surefoot.training.residual._growth import bounded_scale, predict_growth
from surefoot.training.residual._jacobian import JacobianOf
from surefoot.training.residual._measure import matrix_or_products, measure_block, norm
from surefoot.training.residual._result import DepthScaling, ResidualStability
from surefoot.training.residual._scale import DEPTH_SCALES, attach
from surefoot.training.residual._signals import Signals, prepare, run, signals
from surefoot.training.residual._trace import Step, Trace
from surefoot.training.residual.blocks import Blocks, as_model, named_steps


@checked
def residual_stability(
    model: Any,
    data: Any,
    *,
    loss: Loss | None = None,
    blocks: Blocks = None,
    samples: Count | None = 1,
    rtol: Positive = 0.05,
    failure: Fraction = 1e-3,
    max_products: Count = 40,
    rng: int = 0,
) -> ResidualStability:
    """Each residual block x + h g(x) as a step of forward Euler, and the growth of signal and gradient across depth.

        x_{k+1} = x_k + h g_k(x_k),    d_{k+1} = (I + h J_k) d_k

    Each block's Jacobian J is measured by its eigenvalues and the largest h that forward Euler allows them, by ||J||
    and the logarithmic norm, which bound a perturbation's growth in blocks that differ, and by its root mean square
    growth. The stack is measured by the sizes of x_k and of the gradient by x_k, in the model as it is and with all
    branches scaled by 1/sqrt(L), by 1/L and by the largest h that keeps both within a factor of e^(1/2), beside their
    prediction from the blocks as they are.

    At a random start the eigenvalues of J fill a disc around 0: half of them grow and no h is stable, however small. A
    network is not an endless repetition, though: h sets how much grows across its depth, in the mean square with L h^2,
    in the worst direction at most with L h.

    Parameters
    ----------
    model : Module or sequence of modules or functions
        Model, of which nothing is changed. A sequence holds the blocks, x -> x + g(x), that follow one another.
    data : tensor or batch
        Without a loss the model's input: a tensor, the first entry of a tuple, or a mapping with its keywords. Of a
        list of batches or a DataLoader the first batch.
    loss : callable, optional
        loss(model, batch), whose gradient is measured; default: a random direction at the last block.
    blocks : str, iterable of str or callable, optional
        Modules that are blocks: a pattern (``"layers.*"``), names, or a function (name, module) -> bool. Each must add
        something computed from its input to its input, once or several times (a layer of a pre-norm transformer), or be
        the module that ends a branch. Default: every sum x + g(x) or x - g(x) in the forward pass, g with parameters,
        that has no other in it.
    samples : int or None
        Number of samples, the batch's first, at which Jacobians are measured; None: all of the batch.
    rtol, failure : float
        Intervals for Jacobians too large to form, more than 400 entries: their relative width (of squares, where it is
        a norm), and the probability that any of all blocks' misses, and that the whole stack's at one scale does. A
        norm multiplies over the depth, so that more digits of it say little.
    max_products : int
        Products with J and with J' for each interval; when they end first, it is wider.
    rng : int
        Seed of random directions.

    Returns
    -------
    ResidualStability
        ``print()`` it; ``to_dict()`` for JSON. The cost, however many blocks there are: six gradients; at most 4
        `max_products` products with the whole stack's J and J', for as many scales; and where blocks' J are too large
        to form, 3 `max_products` with all of them and with their J', and 77 more. With 40 that was 290 gradients' time
        on a transformer of 3.2 million parameters. Vectors stay on the model's device, in its precision.

    Raises
    ------
    InvalidInput
        If no block is of the form x + g(x), a named one is not or changes the shape (says which module and why), or
        batch normalisation in train mode would see fewer samples than there are.
    NotRepeatable
        If dropout is active.
    NotFinite
        If the data, or the signal at some block, is NaN or infinite.

    References
    ----------
    E. Haber, L. Ruthotto, Stable architectures for deep neural networks, Inverse Problems 34 (2018) 014004 (blocks as
    Euler steps). G. Dahlquist, Stability and error bounds, 1959; C. Lubich et al. (logarithmic norm).

    Examples
    --------
    A pair of eigenvalues -a +- ib is stable up to h = 2 a / (a^2 + b^2): with a = 1 and b = 3, 0.2.

    >>> import torch
    >>> from surefoot.training.residual._residual import residual_stability
    >>> A = torch.tensor([[-1.0, 3.0], [-3.0, -1.0]])
    >>> stability = residual_stability([lambda x: x + x @ A.T], torch.ones(1, 2))
    >>> block = stability.blocks[0]
    >>> f"{block.limits.stable:.4f} {block.contractive:.4f}"
    '0.2000 0.2000'
    """
    model, blocks = as_model(model, blocks)
    model, batch = prepare(model, data, loss)
    trace, steps = _visit(model, batch, loss, blocks)
    as_it_is = signals(trace, list(steps.values()), loss, rng)
    _check_finite(steps, as_it_is)
    few, count = _some_samples(model, batch, samples)
    settings = {"rtol": rtol, "max_products": max_products, "rng": rng}
    # three intervals for each block share the probability of a miss
    each = failure / (3 * len(steps))
    measured = tuple(
        measure_block(name, step, failure=each, **settings)
        for name, step in _visit(model, few, loss, blocks)[1].items()
    )
    scales = {"as it is": 1.0} | {label: scale_at(len(steps)) for label, scale_at in DEPTH_SCALES.items()}
    if (bounded := bounded_scale(measured, as_it_is)) is not None:
        scales["bounded"] = bounded
    scalings: list[DepthScaling] = []
    note = ""
    for label, scale in scales.items():
        growth, worst = None, None
        try:
            hooks = nullcontext() if scale == 1 else attach(model, trace, steps, [scale] * len(steps))
        except InvalidInput as error:
            note = f"scales were not tried: {error}"
        else:
            with hooks:
                now, scaled = _visit(model, batch, loss, blocks)
                worst = _worst(list(_visit(model, few, loss, blocks)[1].values()), failure=failure, **settings)
                growth = signals(now, list(scaled.values()), loss, rng)
        forward, backward = predict_growth(measured, as_it_is, scale)
        scalings.append(
            DepthScaling(
                label=label,
                scale=scale,
                forward=() if growth is None else growth.forward,
                backward=() if growth is None else growth.backward,
                predicted_forward=forward,
                predicted_backward=backward,
                worst=worst,
                bound=math.prod(block.worst_growth(scale) for block in measured),
            )
        )
    return ResidualStability(
        blocks=measured, scalings=tuple(scalings), samples=count, linked=as_it_is.linked, note=note
    )


def _visit(model: nn.Module, batch: Any, loss: Loss | None, blocks: Blocks) -> tuple[Trace, dict[str, Step]]:
    """The trace of a run on the batch, and its blocks by name."""
    trace = run(model, batch, loss)
    return trace, named_steps(model, trace, blocks)


def _worst(steps: Sequence[Step], **settings: Any) -> Bounds | None:
    """The norm of the whole stack's Jacobian; None where it is not finite."""
    across = JacobianOf(steps[-1].value, steps[0].stream, steps[0].x)
    try:
        return norm(matrix_or_products(across), **settings)
    except NotFinite:
        return None


def _check_finite(steps: Mapping[str, Step], sizes: Signals) -> None:
    names = list(steps)
    for k, here in enumerate(zip(sizes.x, sizes.branch, sizes.total, strict=True)):
        if not all(map(math.isfinite, here)):
            grown = [size for size in sizes.x[: k + 1] if math.isfinite(size)]
            raise NotFinite(
                f"the signal is NaN or infinite at {names[k]}, block {k + 1} of {len(names)}"
                + (f", after growing {grown[-1] / sizes.x[0]:.3g}-fold" if k and sizes.x[0] > 0 else "")
                + "; scale the branches first (scale_residuals), or measure it in double precision (model.double())"
            )
    if not all(map(math.isfinite, (*sizes.gradient, *sizes.gradient_after))):
        raise NotFinite(
            "the gradient is NaN or infinite at some block while the signal is not; check the loss, or measure in "
            "double precision: model.double()"
        )


def _some_samples(model: nn.Module, batch: Any, samples: int | None) -> tuple[Any, int]:
    sizes = set(first_sizes(batch))
    size = min(sizes, default=1)
    if samples is None or len(sizes) != 1 or samples >= size:
        return batch, size
    for name, module in model.named_modules():
        if isinstance(module, BatchNorm) and (module.training or module.running_mean is None):
            raise InvalidInput(
                f"{name} normalises over the batch, so that {samples} of {size} samples are another model; call "
                "model.eval(), or samples=None to measure at all of them"
            )
    return take(batch, torch.arange(samples), size), samples
