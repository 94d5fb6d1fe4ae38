"""Evaluations of a model that leave its buffers, its mode and the random states as they were."""

import copy
import random
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from surefoot.errors import InvalidInput, NotRepeatable
from surefoot.tables import abridge
from surefoot.training.model._corrections import Corrected
from surefoot.training.model.internals import BatchNorm, Dropout, buffer_table

__all__ = [
    "copy_without_dropout", "couples_samples", "explain_lone_sample", "isolate", "keep_random_state", "plain_module",
    "random_modules", "random_states", "refuse_dropout", "set_buffers_aside", "threads_for", "twice_differentiable",
]  # fmt: skip

# Bytes of a graph and scalars of a model below which one thread is as fast as several: measured on two cores with the
# digits network, see `threads_for`.
SMALL_MEMORY = 1 << 24
SMALL_MODEL = 1_000_000


@contextmanager
def isolate(model: nn.Module, *, runs: bool = True) -> Generator[None]:
    """Differentiate the model twice inside; outside, buffers and random states are bitwise as before.

    Parameters
    ----------
    model : Module
    runs : bool
        Whether the model's own code runs inside. If only a kept graph is used (whose checkpoints may run parts of the
        model again) the random states of NumPy and Python are not saved, which is a few per cent of a small product.
    """
    with keep_random_state(others=runs), set_buffers_aside(model), twice_differentiable():
        yield


@contextmanager
def keep_random_state(*generators: torch.Generator, others: bool = True) -> Generator[None]:
    """Restore the random states of torch (CPU, CUDA), the given generators and, if `others`, NumPy and Python."""
    states = [generator.get_state() for generator in generators]
    cpu = torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    # the global states that augmentations draw from
    numpy_state = np.random.get_state() if others else None  # noqa: NPY002
    python_state = random.getstate() if others else None
    try:
        yield
    finally:
        if python_state is not None and numpy_state is not None:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)
        torch.set_rng_state(cpu)
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def random_states() -> tuple[Any, ...]:
    """The states of the generators that a model can draw from without being given one; equal if nothing was drawn."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    name, keys, *rest = cast("tuple[Any, ...]", np.random.get_state())  # noqa: NPY002
    torches = (state.numpy().tobytes() for state in (torch.get_rng_state(), *cuda))
    return random.getstate(), (name, keys.tobytes(), *rest), *torches


@contextmanager
def set_buffers_aside(model: nn.Module) -> Generator[None]:
    """Give every module clones of its buffers; put the originals back afterwards, untouched.

    Writing old values back in place would do for the values, but an in-place write after the forward pass
    invalidates a graph that is kept for later products.
    """
    clones: dict[int, Tensor] = {}
    tables = [buffer_table(module) for module in model.modules()]
    originals = [(table, name, buffer) for table in tables for name, buffer in table.items() if buffer is not None]
    try:
        for buffers, name, buffer in originals:
            buffers[name] = clones.setdefault(id(buffer), buffer.detach().clone())
        yield
    finally:
        for buffers, name, buffer in originals:
            buffers[name] = buffer


@contextmanager
def twice_differentiable() -> Generator[None]:
    """Choose implementations that can be differentiated twice, with gradients enabled in any context.

    Fused attention kernels, cuDNN's recurrent layers and compiled graphs have no second derivative; the plain
    ones compute the same function.
    """
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.enter_context(Corrected())
        if torch.cuda.is_available():
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        # setting the stance imports the compiler (a second); where it is not imported yet nothing is compiled
        if "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance"):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield


@contextmanager
def threads_for(memory: float, parameters: int) -> Generator[None]:
    """Compute on one thread inside where the work is too small to share.

    Two threads that wait for each other at every small operation are at best a little faster, and 4 to 9 times slower
    when something else uses the cores (measured on two cores with the digits network). Decided from sizes, not from
    timing, so that results are the same at each call.

    Parameters
    ----------
    memory : float
        Bytes that the graph of one evaluation holds.
    parameters : int
        Number of scalars.
    """
    threads = torch.get_num_threads()
    small = memory < SMALL_MEMORY and parameters < SMALL_MODEL
    if not small or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def random_modules(model: nn.Module) -> dict[str, nn.Module]:
    """The modules, by name, that draw random numbers in the mode they are in: dropout in train mode."""
    kinds = (Dropout, nn.RReLU)
    named_so = ("Dropout", "DropPath", "DropBlock", "StochasticDepth", "GaussianNoise")  # other libraries' layers
    drawing: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        # a layer of rate 0 draws nothing
        rate = getattr(module, "p", getattr(module, "drop_prob", 1.0))
        if isinstance(module, nn.RNNBase | nn.MultiheadAttention):
            # these apply dropout inside, by a function
            draws = module.dropout > 0
        else:
            draws = isinstance(module, kinds) or type(module).__name__.startswith(named_so)
            draws = draws and not (isinstance(rate, int | float) and rate == 0)
        if module.training and draws:
            drawing[name or type(module).__name__] = module
    return drawing


def copy_without_dropout(model: nn.Module) -> nn.Module:
    """A copy of the model with dropout off and every other module in its mode."""
    model = copy.deepcopy(model)
    for module in random_modules(model).values():
        module.eval()
    return model


def refuse_dropout(model: nn.Module) -> None:
    """Raise NotRepeatable if a module draws random numbers: a loss that changes at each call has no curvature."""
    active = list(random_modules(model))
    if active:
        raise NotRepeatable(
            f"dropout is active in train mode ({abridge(active)}); call model.eval(), or .eval() on those modules"
        )


@contextmanager
def explain_lone_sample(reason: str) -> Generator[None]:
    """Raise an InvalidInput with this reason where batch normalisation is given one sample to normalise over."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise InvalidInput(reason) from error


def couples_samples(model: nn.Module) -> bool:
    """Whether samples of a batch see each other through the model: batch normalisation in train mode."""
    return any(isinstance(m, BatchNorm) and m.training for m in model.modules())


def plain_module(model: nn.Module) -> nn.Module:
    """The module inside wrappers whose hooks or compiled graphs a second derivative does not go through."""
    # wrappers may be nested: torch.compile around DistributedDataParallel
    while True:
        inner: Any = getattr(model, "_orig_mod", None)  # torch.compile
        if inner is None and isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            inner = model.module
        if inner is None:
            return model
        model = cast(nn.Module, inner)
