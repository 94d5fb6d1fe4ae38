"""The layers that a network applies, and whether one after the other, as seen in a forward pass."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from surefoot.errors import InvalidInput

Kinds = Sequence[type[nn.Module]]

# Difference, relative to the largest entry, of a float32 product computed a second time with its sums in another order.
ROUNDING = 1e-4


@dataclass(frozen=True, slots=True)
class Applied:
    """A layer in the order of application.

    Parameters
    ----------
    name : str
        Name of the layer in the model.
    layer : Module
    inputs : Tensor or None
        Inputs of the first layer with weights; None for the others.
    """

    name: str
    layer: nn.Module
    inputs: Tensor | None


def is_known(module: nn.Module, kinds: Kinds) -> bool:
    """Whether the module is of one of the kinds and its forward is theirs."""
    return any(isinstance(module, kind) and type(module).forward is kind.forward for kind in kinds)


def layers_in_sequence(model: nn.Module, inputs: Tensor, kinds: Kinds) -> list[Applied]:
    """The layers of the given kinds in the order in which the model applies them, each to what the last returned.

    Before the first layer with weights the model may do anything that has no parameters: that layer's input is kept.
    After the last, it may only reshape.

    Parameters
    ----------
    model : Module
        Model in the mode in which it is to be read; it is run once, without gradients.
    inputs : Tensor
    kinds : sequence of types
        Types of the layers; whatever else the model has only holds them.
    """
    record = _Record()
    layers = [(name, module) for name, module in model.named_modules() if is_known(module, kinds)]
    with ExitStack() as hooks, torch.no_grad():
        for name, layer in layers:
            hooks.enter_context(layer.register_forward_pre_hook(record.before(name)))
            hooks.enter_context(layer.register_forward_hook(record.after))
        output = model(inputs)
    if record.applied and not _same(output, record.output, reshaped=True):
        why = "is the last layer, but the model returns something else: a residual sum or another function follows"
        raise abstention(record.applied[-1].name, record.applied[-1].layer, why)
    return record.applied


@dataclass(slots=True)
class _Record:
    """The layers applied so far, and the output of the last one."""

    applied: list[Applied] = field(default_factory=list[Applied])
    weighted: bool = False
    given: Any = None
    output: Any = None

    def before(self, name: str) -> Callable[[nn.Module, Any], None]:
        def hook(layer: nn.Module, arguments: Any) -> None:
            if any(layer is past.layer for past in self.applied) and _has_weights(layer):
                raise abstention(name, layer, "is applied more than once: tied weights")
            x = arguments[0] if len(arguments) == 1 else None
            if not isinstance(x, Tensor):
                raise abstention(name, layer, "is not called with one tensor, by its place")
            if self.weighted and not _same(x, self.output):
                last = self.applied[-1].name
                why = f"is not applied to what {last!r} returned: a residual sum or another function is between them"
                raise abstention(name, layer, why)
            first = not self.weighted and _has_weights(layer)
            self.weighted = self.weighted or first
            # copies: layers may work in place
            self.given = x.clone()
            self.applied.append(Applied(name, layer, x.clone() if first else None))

        return hook

    def after(self, layer: nn.Module, _: Any, output: Any) -> None:
        # compared with the class's own forward: a hook on the layer may change what it returns
        if not _same(output, type(layer).forward(layer, self.given)):
            raise abstention(self.applied[-1].name, layer, "does not return what such a layer does: a hook changes it")
        self.output = output.clone()


def abstention(name: str, part: nn.Module, why: str) -> InvalidInput:
    """The error that names the part without a prediction, and the reason."""
    return InvalidInput(f"no prediction: {name or 'the model'!r} ({type(part).__name__}) {why}")


def _has_weights(layer: nn.Module) -> bool:
    return next(layer.parameters(), None) is not None


def _same(one: Any, other: Any, *, reshaped: bool = False) -> bool:
    if not isinstance(one, Tensor) or not isinstance(other, Tensor) or one.numel() != other.numel():
        return False
    if not reshaped and one.shape != other.shape:
        return False
    return bool((one.reshape(-1) - other.reshape(-1)).abs().max() <= ROUNDING * other.abs().max())
