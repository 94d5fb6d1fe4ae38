"""A check of the second derivative that autograd gives, by a difference of first derivatives."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from surefoot.errors import NotSmooth, SurefootError
from surefoot.training.curvature._memory import footprint
from surefoot.training.curvature.linearised import Linearised
from surefoot.training.model.internals import forward_pre_hooks
from surefoot.training.model.parameters import Block, select
from surefoot.training.model.sandbox import couples_samples, isolate
from surefoot.training.model.shards import Shards
from surefoot.training.model.trees import first_sizes, on_device, spread, to_double

if TYPE_CHECKING:
    from surefoot.training.curvature.operator import CurvatureOperator

# At most so many samples, and no more than a share of a batch: the check then costs at most five of its gradients, two
# for the precision, also where a batch has few samples.
SAMPLES, SHARE = 4, 8
# With more parameters a copy in double precision costs more than the samples do, and single precision tells enough.
LARGE = 2_000_000


@dataclass(frozen=True, slots=True)
class Precision:
    """Tolerance and step sizes for differences of gradients in one precision.

    Parameters
    ----------
    name : str
    tolerance : float
        Largest relative error that counts as agreement. The errors to find are of the size of the curvature itself: 28%
        in one layer of PyTorch's.
    steps : tuple of float
        Tried in turn, relative to the parameters' size. The first balances truncation against rounding; a kink crossed
        on the way (ReLU) calls for smaller ones, rounding inside the model for larger ones.
    """

    name: str
    tolerance: float
    steps: tuple[float, ...]


DOUBLE = Precision("float64", 1e-3, (1e-6, 1e-8, 1e-4, 1e-3))
# Rounding of a gradient, eps, over the step: some 1e-4 of a curvature of the gradient's size.
SINGLE = Precision("float32", 0.05, (1e-3, 1e-2, 1e-4))
# The eps that a model which runs in double, or in single, precision throughout has at most: between 2e-16, 1e-7 and the
# 1e-3 of half precision.
DOUBLE_EPS, SINGLE_EPS = 1e-9, 1e-6


def self_check(operator: "CurvatureOperator") -> str:
    """Compare one product with a central difference of gradients, on a copy of the model and a few samples.

        H v = (g(theta + h v) - g(theta - h v)) / 2h + O(h^2)

    A custom backward that hides its dependence on the inputs, or a kernel with a wrong second derivative, gives
    products that are symmetric, repeatable and wrong; only this tells. On a float64 copy where the model is not large
    and runs in float64 throughout; else in its own precision, by a coarser tolerance. Rows that are fixed by design
    (padding of an embedding) are held fixed in v.

    Returns
    -------
    str
        The outcome in words; a check that could not decide says why.

    Raises
    ------
    NotSmooth
        If differences agree with each other and not with the product.
    """
    batch = operator.batches.items[0]
    # batch normalisation in train mode needs two samples
    least = 2 if couples_samples(operator.model) else 1
    few = spread(batch, max(least, min(SAMPLES, min(first_sizes(batch), default=0) // SHARE)))
    if operator.shards is not None:
        return _check_in_place(operator, batch if few is None else few, operator.shards)
    if not operator.fits_in_double:
        return "not checked: a float64 copy of the model would not fit in max_memory"
    reason = ""
    # in double precision, else in the model's own, on a few samples; on the whole batch where it cannot be cut
    for samples in (batch,) if few is None else (few, batch):
        for in_double in (True, False) if operator.shape[0] <= LARGE else (False,):
            try:
                outcome = _check_on_copy(operator, samples, in_double=in_double)
            except NotSmooth:
                raise
            except SurefootError as error:
                reason = reason or f"not checked in float64: {error}"
            except Exception as error:  # the user's own code, on data or in a precision it may not be made for
                reason = reason or f"the model does not run in float64 ({type(error).__name__}: {error})"
            else:
                return f"{outcome}; {reason}" if reason and samples is few else outcome
    return reason if reason.startswith("not checked") else f"not checked: {reason}"


def _check_on_copy(operator: "CurvatureOperator", batch: Any, *, in_double: bool) -> str:
    model = _without_adjustments(copy.deepcopy(operator.model))
    batch = on_device(batch, operator.block.device)
    if in_double:
        model, batch, curvature = model.double(), to_double(batch), operator.curvature.in_double()
    else:
        curvature = operator.curvature.in_full()
    block = select(model, operator.names)

    def linearise() -> tuple[Linearised, float]:
        graph, _, coarsest = footprint(lambda: curvature.linearise(model, batch, block.tensors), block.tensors)
        return graph, coarsest

    return _compare(model, block, linearise, lambda: curvature.value(model, batch))


def _check_in_place(operator: "CurvatureOperator", batch: Any, shards: Shards) -> str:
    """The check on sharded parameters, which are moved and put back: a copy would need an exchange of its own.

    Derivatives and norms are summed over processes, so all of them reach the same verdict.
    """
    model, block, curvature = operator.model, operator.block, operator.curvature.in_full()
    batch = on_device(batch, block.device)
    before = [p.detach().clone() for p in block.tensors]

    def linearise() -> tuple[Linearised, float]:
        with shards.assemble(model):
            return curvature.linearise(model, batch, block.tensors), shards.coarsest

    def value() -> Tensor:
        with shards.assemble(model):
            return curvature.value(model, batch)

    try:
        return _compare(model, block, linearise, value)
    finally:
        shards.let_go()
        for p, values in zip(block.tensors, before, strict=True):
            p.data.copy_(values)


def _compare(
    model: nn.Module, block: Block, linearise: Callable[[], tuple[Linearised, float]], value: Callable[[], Tensor]
) -> str:
    """A product against differences of gradients, along one direction.

    Parameters
    ----------
    model : Module
    block : Block
        The parameters, which are moved.
    linearise : callable
        Returns the product and the coarsest precision inside the model.
    value : callable
        Returns the loss at the parameters as they are.
    """
    with isolate(model):
        linearised, coarsest = linearise()
        if coarsest > SINGLE_EPS:
            return f"not checked: the model computes with a precision of {coarsest:.1g} by itself"
        direction = _direction(model, block)
        product = block.zeros()
        block.add(product, linearised.product(block.split(direction), False), 1.0)
        del linearised  # it holds a gradient's worth of memory

    moves, position = block.split(direction), 0.0

    def gradient(step: float) -> Tensor:
        nonlocal position
        # from where the parameters are to where they are wanted: no second copy of them. Not by p itself, so that
        # graphs made before stay valid where the values come back
        for p, move in zip(block.tensors, moves, strict=True):
            p.data.add_(move, alpha=step - position)
        position = step
        total = block.zeros()
        with isolate(model):
            at_step = value()
        block.add(total, torch.autograd.grad(at_step, block.tensors, allow_unused=True), 1.0)
        return total

    precision = DOUBLE if coarsest <= DOUBLE_EPS else SINGLE
    return _verdict(precision, product, gradient, block.space.norm)


def _without_adjustments(model: nn.Module) -> nn.Module:
    """The same model, changed so that no layer adjusts itself to the parameters that differences move.

    Two kinds do, unseen by the gradient: embeddings that cap the norm of their rows, and spectral normalisation, whose
    vectors follow the weight in train mode.
    """
    for module in model.modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            module.max_norm = None
        hooks = [type(hook).__name__ for hook in forward_pre_hooks(module).values()]
        if type(module).__name__ == "_SpectralNorm" or "SpectralNorm" in hooks:
            module.training = False
    return model


def _verdict(
    precision: Precision, product: Tensor, gradient: Callable[[float], Tensor], norm: Callable[[Tensor], float]
) -> str:
    def distance(a: Tensor, b: Tensor) -> float:
        size = max(norm(a), norm(b))
        return norm(a - b) / size if size else 0.0

    errors: list[float] = []
    differences: list[Tensor] = []
    for step in precision.steps:
        difference = gradient(step).sub_(gradient(-step)).div_(2 * step)
        if norm(product) == norm(difference) == 0:
            # no evidence: a function without curvature, or samples that see none
            return "not decided: product and difference of gradients are both 0 on the samples of the check"
        errors.append(distance(product, difference))
        if errors[-1] <= precision.tolerance:
            return f"agrees with a difference of gradients to {errors[-1]:.1g} ({precision.name}, one direction)"
        differences.append(difference)
    drift = min(distance(a, b) for i, a in enumerate(differences) for b in differences[:i])
    if drift <= precision.tolerance:
        raise NotSmooth(
            f"the second derivative is wrong by {100 * min(errors):.3g}% along a random direction: differences of the "
            "gradient agree with each other and not with it. A custom autograd.Function whose backward hides its "
            "inputs, an operation with a wrong double backward, or values held constant by detach() or no_grad() (a "
            "target network, an advantage, a stopped gradient); write it with differentiable operations, or say "
            "check=False to measure with detached values held constant"
        )
    return "not decided: differences of gradients do not agree with each other (kinks, or rounding inside the model)"


def _direction(model: nn.Module, block: Block) -> Tensor:
    """A fixed random direction, each tensor of the size of its parameter, 0 in the rows that are fixed by design."""
    generator = torch.Generator().manual_seed(0)
    sizes = [float(torch.linalg.vector_norm(p.detach())) / max(p.numel(), 1) ** 0.5 for p in block.tensors]
    typical = max(sizes) or 1.0
    # rows of embeddings, by the weight's id, that take part in the loss and get no gradient
    padding: dict[int, list[int]] = {}
    for module in model.modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.padding_idx is not None:
            padding.setdefault(id(module.weight), []).append(int(module.padding_idx))
    direction = block.zeros()
    for p, owner, piece, size in zip(block.tensors, block.owners, block.pieces(direction), sizes, strict=True):
        # any direction does; uniform numbers are the cheapest to draw
        values = torch.rand(p.shape, generator=generator).sub_(0.5).mul_(3 * (size or typical))
        # of a parameter that is held in parts, this process has the rows from here on
        start = 0 if block.shards is None else block.shards.rows_of(owner)[0]
        for row in padding.get(id(owner), ()):
            if 0 <= row - start < len(values):
                values[row - start] = 0
        piece.copy_(values.reshape(-1))
    return direction
