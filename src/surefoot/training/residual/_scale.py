"""Scale residual branches, x + g(x) to x + h g(x), with hooks: nothing else of the model changes."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from surefoot.checks import checked
from surefoot.errors import InvalidInput
from surefoot.training.model.loss import Loss
from surefoot.training.model.trees import leaves
from surefoot.training.residual._signals import prepare, run
from surefoot.training.residual._trace import Edge, Step, Trace
from surefoot.training.residual.blocks import Blocks, as_model, named_steps

# Scales by name: with the first the square of a random stack's signal grows by e, the second is the step of a
# differential equation on [0, 1].
DEPTH_SCALES = {"1/sqrt(L)": lambda depth: depth**-0.5, "1/L": lambda depth: 1 / depth}
# What may stand between a module and the sum: linear in the module's output.
LINEAR = ("View", "Transpose", "Permute", "T", "Squeeze", "Unsqueeze", "Clone", "Alias", "Reshape", "Expand", "Mul")


class ResidualScales:
    """The scales that `scale_residuals` set, by branch; ``remove()``, or the end of a ``with``, takes them off."""

    def __init__(self, scales: Mapping[str, float], handles: Sequence[Any]) -> None:
        self.scales = dict(scales)
        self._handles = list(handles)

    def remove(self) -> None:
        """Take the scales off: the model is bitwise what it was."""
        while self._handles:
            self._handles.pop().remove()

    def __enter__(self) -> "ResidualScales":
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def __repr__(self) -> str:
        values = sorted(set(self.scales.values()))
        span = f"{values[0]:.6g}" if len(values) == 1 else f"{values[0]:.6g} .. {values[-1]:.6g}"
        return f"ResidualScales({len(self.scales)} branches, {span if self._handles else 'removed'})"


@checked
def scale_residuals(
    model: nn.Module,
    data: Any,
    scale: float | str | Sequence[float] = "1/sqrt(L)",
    *,
    loss: Loss | None = None,
    blocks: Blocks = None,
) -> ResidualScales:
    """Make every residual block x + g(x) of a model the step x + h g(x), until it is taken off again.

    A forward hook multiplies what the module at the end of each branch returns (where a branch ends in no module, a
    hook around its block does: x + h (block(x) - x)). So the parameters, their initialisation, the optimizer and the
    state_dict are as before, a checkpoint fits with and without, copies and pickles of the model keep the scales, and
    taking them off is exact. Scaling the last layer's weights instead would not stay: Adam moves a small weight as
    fast as a large one. A state_dict does not hold the scales: set them again where the model is made.

    Parameters
    ----------
    model : Module
        Changed in place.
    data : tensor or batch
        Batch, as in `residual_stability`; one forward pass on it shows the blocks.
    scale : float, str or sequence of float
        h, positive; ``"1/sqrt(L)"`` or ``"1/L"``, L the number of branches (two for each layer of a transformer); or
        one number for each branch, in the order in which they run. Set twice, scales multiply.
    loss, blocks
        Arguments of `residual_stability`.

    Returns
    -------
    ResidualScales
        ``.remove()`` undoes it; also a context manager.

    Raises
    ------
    InvalidInput
        If a scale is not positive and finite, their number is wrong, there is no residual block, or one cannot be
        scaled by hooks; says which and why.
    InvalidType
        If the model is no module.
    NotRepeatable
        If dropout is active.
    NotFinite
        If the data holds NaN or infinity.

    References
    ----------
    B. Hanin, D. Rolnick, How to start training, NeurIPS 2018 (why sums of squared scales must stay bounded).

    Examples
    --------
    >>> import torch
    >>> from surefoot.training.residual._scale import scale_residuals
    >>> class Block(torch.nn.Linear):
    ...     def forward(self, x):
    ...         return x + torch.tanh(super().forward(x))
    >>> model = torch.nn.Sequential(*[Block(8, 8) for _ in range(16)])
    >>> x = torch.ones(2, 8)
    >>> before = model(x)
    >>> scales = scale_residuals(model, x)
    >>> scales
    ResidualScales(16 branches, 0.25)
    >>> scales.remove()
    >>> torch.equal(model(x), before)
    True
    """
    model, blocks = as_model(model, blocks)
    model, batch = prepare(model, data, loss)
    trace = run(model, batch, loss)
    steps = named_steps(model, trace, blocks)
    return attach(model, trace, steps, _scale_of_each(scale, len(steps)))


def attach(model: nn.Module, trace: Trace, steps: Mapping[str, Step], scales: Sequence[float]) -> ResidualScales:
    """Hook the branches of a traced model; all of them or, on an error, none."""
    hooks: dict[tuple[str, int | None, bool], float] = {}
    uses: Counter[tuple[str, int | None, bool]] = Counter()
    for (name, step), scale in zip(steps.items(), scales, strict=True):
        for place in _places(name, trace, step):
            uses[place] += 1
            if hooks.setdefault(place, scale) != scale:
                raise InvalidInput(f"{place[0]} ends several branches and can have one scale only; give all the same")
    # a hook acts at every call of its module, so each call has to end a branch
    calls = Counter(call.name for call in trace.calls)
    for place, count in uses.items():
        if calls[place[0]] != count:
            raise InvalidInput(
                f"{place[0]} runs {calls[place[0]]} times and ends a residual branch in {count} of them: a hook cannot "
                "tell them apart; give each its own module"
            )
    handles = [
        model.get_submodule(module).register_forward_hook(
            _Around(scale) if around else _Times(scale, place), with_kwargs=True
        )
        for (module, place, around), scale in hooks.items()
    ]
    return ResidualScales(dict(zip(steps, scales, strict=True)), handles)


# Classes, not closures: a model that is pickled takes its hooks with it.
@dataclass(frozen=True, slots=True)
class _Times:
    """Multiplies what a module returns, or one entry of it."""

    scale: float
    place: int | None

    def __call__(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:  # noqa: ARG002
        if self.place is None:
            return output * self.scale
        entries = list(output)
        entries[self.place] = entries[self.place] * self.scale
        return type(output)(*entries) if hasattr(output, "_fields") else tuple(entries)


@dataclass(frozen=True, slots=True)
class _Around:
    """Makes the step of a whole block smaller: x + h (block(x) - x)."""

    scale: float

    def __call__(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:  # noqa: ARG002
        # the stream is the block's first tensor, by place or by name
        x = next(leaf for leaf in leaves((args, kwargs)) if isinstance(leaf, Tensor))
        if isinstance(output, tuple):
            return (x.lerp(output[0], self.scale), *output[1:])
        return x.lerp(output, self.scale)


def _places(name: str, trace: Trace, step: Step) -> list[tuple[str, int | None, bool]]:
    """Where the branch is scaled: (module, entry of what it returns, whether around it)."""
    ends = [end for edge in step.addends for end in _ends(trace, edge)]
    if all(end is not None for end in ends):
        return [(*end, False) for end in ends if end is not None]
    home = step.inside[-1]
    own = [s for s in trace.steps if home in s.inside and s.parametric == step.parametric]
    calls = [call for call in trace.calls if call.name == home]
    if home and len(own) == 1 and len(calls) == 1 and calls[0].input == step.start and calls[0].output == step.sum:
        return [(home, None, True)]
    raise InvalidInput(
        f"the branch of {name} ends in no module whose output a hook could scale, and {home or 'the model'} is more "
        "than that one sum; put the branch, or an nn.Identity() at its end, in a module"
    )


def _ends(trace: Trace, edge: Edge) -> list[tuple[str, int | None] | None]:
    """The modules that returned a value, or the parts of it; None where no module did."""
    if edge in trace.producers:
        return [trace.producers[edge][-1]]
    if edge in trace.plain:
        return [end for part in trace.plain[edge] for end in _ends(trace, part)]
    node = edge[0]
    if node.name().partition("Backward")[0].lstrip("_").removeprefix("Unsafe") in LINEAR:
        inputs = [e for e in node.next_functions if e[0] is not None and not hasattr(e[0], "variable")]
        if len(inputs) == 1:
            return _ends(trace, inputs[0])
    return [None]


def _scale_of_each(scale: float | str | Sequence[float], depth: int) -> list[float]:
    """The scale of each branch."""
    if isinstance(scale, str):
        if scale not in DEPTH_SCALES:
            raise InvalidInput(f"scale must be a number, {' or '.join(DEPTH_SCALES)}; got {scale!r}")
        return [DEPTH_SCALES[scale](depth)] * depth
    values = [float(scale)] * depth if isinstance(scale, float | int) else [float(value) for value in scale]
    if len(values) != depth:
        raise InvalidInput(f"{depth} branches need as many scales; got {len(values)}")
    if bad := [value for value in values if not 0 < value < math.inf]:
        raise InvalidInput(f"a scale must be positive and finite; got {bad[0]!r}")
    return values
