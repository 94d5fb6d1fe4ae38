"""One forward pass, and every x + g(x) and x - g(x) in it, by what is added to what, in any module."""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.overrides import TorchFunctionMode

from surefoot.training.model.sandbox import isolate
from surefoot.training.model.trees import leaves, map_tensors

Edge = tuple[Any, int]  # a node of autograd's graph and which of its outputs: what identifies a value

# All spellings of a sum of two tensors.
ADD = frozenset({torch.add, torch.Tensor.add, torch.Tensor.__add__, torch.Tensor.__radd__})
# A step x - g(x) is x + (-g(x)); g(x) - x is none.
SUBTRACT_IN_PLACE = frozenset({torch.Tensor.sub_, torch.Tensor.subtract_, torch.Tensor.__isub__})
SUBTRACT = SUBTRACT_IN_PLACE | {
    torch.sub, torch.subtract, torch.Tensor.sub, torch.Tensor.subtract, torch.Tensor.__sub__
}  # fmt: skip
IN_PLACE = SUBTRACT_IN_PLACE | {torch.Tensor.add_, torch.Tensor.__iadd__}
# The operation that `scale_residuals` puts around a block: x + h (y - x).
LERP = torch.Tensor.lerp


@dataclass(slots=True)
class Step:
    """One sum x + g(x), where g(x) was computed from x.

    `stream` is x's place in the graph and `x` its value; `branch` is g(x) and `value` the sum, both with their graph.
    `addends` are the places of the values that make up the branch, `sum` that of the sum. `inside` holds the names of
    the modules whose code made the sum, from the outermost. `parametric` says whether the branch has parameters,
    `crossed` whether another sum of this kind lies inside it.
    """

    stream: GradientEdge
    x: Tensor
    branch: Tensor
    addends: list[Edge]
    sum: Edge
    value: Tensor
    inside: tuple[str, ...]
    parametric: bool
    crossed: bool

    @property
    def start(self) -> Edge:
        """X's place in the graph, to compare."""
        return self.stream.node, self.stream.output_nr


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a module: its first tensor in and out."""

    name: str
    input: Edge | None
    input_shape: tuple[int, ...] | None
    output: Edge | None
    output_shape: tuple[int, ...] | None


@dataclass(slots=True)
class Trace:
    """A forward pass: the sums x + g(x) in their order, and the calls of modules.

    `producers` maps a value to the modules that returned it and, where they returned a tuple, its place there; `plain`
    maps a sum that is not of this kind to its two addends; `additions` counts all sums; `returned` is the result.
    """

    steps: list[Step] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    producers: dict[Edge, list[tuple[str, int | None]]] = field(default_factory=dict)
    plain: dict[Edge, tuple[Edge, Edge]] = field(default_factory=dict)
    additions: int = 0
    returned: Any = None


def trace_forward(model: nn.Module, compute: Callable[[], Any]) -> Trace:
    """The trace of a function of no arguments that calls the model, with the graph kept.

    All parameters and floating inputs take part in the graph, so that frozen ones hide nothing; afterwards their
    flags, the buffers and the random states are as before.
    """
    trace = Trace()
    stack: list[str] = []
    with isolate(model), _unfreeze(model), _record_calls(model, trace, stack), _Additions(trace, stack):
        trace.returned = compute()
    return trace


def edge_of(tensor: Tensor) -> Edge:
    """A tensor's place in the graph that it takes part in."""
    edge = get_gradient_edge(tensor)
    return edge.node, edge.output_nr


class _Additions(TorchFunctionMode):
    """While active, adds each addition and subtraction of two tensors of one shape to the trace."""

    def __init__(self, trace: Trace, stack: list[str]) -> None:
        super().__init__()
        self.trace = trace
        self.stack = stack

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is LERP and len(args) == 3:
            return self._rescale(func(*args), *args)
        in_place, minus = func in IN_PLACE, func in SUBTRACT
        pair = _operands(args, kwargs) if in_place or minus or func in ADD else None
        if pair is None:
            return func(*args, **kwargs)
        edges = [get_gradient_edge(operand) for operand in pair]
        # an operation in place overwrites its first operand's value, and its place in the graph
        first = pair[0].clone() if in_place else pair[0]
        result = func(*args, **kwargs)
        alpha = -kwargs.get("alpha", 1) if minus else kwargs.get("alpha", 1)
        self._add(first, pair[1], edges, alpha, result)
        return result

    def _rescale(self, result: Tensor, x: Tensor, total: Tensor, scale: Any) -> Tensor:
        """Follow a sum x + g(x) that is made x + h g(x) afterwards."""
        known = (step for step in reversed(self.trace.steps) if total.requires_grad and step.sum == edge_of(total))
        step = next(known, None)
        if step is not None and x.requires_grad and edge_of(x) == step.start:
            step.branch, step.sum, step.value = scale * step.branch, edge_of(result), result.clone()
        return result

    def _add(self, first: Tensor, second: Tensor, edges: list[GradientEdge], alpha: Any, result: Tensor) -> None:
        """Record first + alpha * second: a step from either operand, one more branch of a step, or a plain sum."""
        self.trace.additions += 1
        scaled = second if alpha == 1 else alpha * second
        one, other = ((edge.node, edge.output_nr) for edge in edges)
        if self._is_step(edges[0], first, scaled, other, result):
            return
        if alpha == 1 and self._is_step(edges[1], second, first, one, result):
            return
        if self._is_parallel(one, scaled, other, result) or (
            alpha == 1 and self._is_parallel(other, first, one, result)
        ):
            return
        if alpha == 1:
            self.trace.plain[edge_of(result)] = (one, other)

    def _is_step(self, stream: GradientEdge, x: Tensor, branch: Tensor, addend: Edge, result: Tensor) -> bool:
        """Whether the branch was computed from x; if so the step is recorded."""
        if isinstance(getattr(stream.node, "variable", None), nn.Parameter):
            return False
        sums = {step.sum for step in self.trace.steps if step.parametric}
        path = _path(addend, (stream.node, stream.output_nr), sums)
        if path is None:
            return False
        # copies: the model may go on to change both in place
        x, value = x.detach().clone(), result.clone()
        self.trace.steps.append(Step(stream, x, branch, [addend], edge_of(result), value, tuple(self.stack), *path))
        return True

    def _is_parallel(self, total: Edge, more: Tensor, addend: Edge, result: Tensor) -> bool:
        """Whether it is (x + f(x)) + g(x), g(x) computed from x and not from the sum; if so the step grows by g(x)."""
        step = next((step for step in reversed(self.trace.steps) if step.sum == total), None)
        path = None if step is None else _path(addend, step.start, set())
        if step is None or path is None:
            return False
        step.branch = step.branch + more
        step.addends.append(addend)
        step.sum, step.value = edge_of(result), result.clone()
        step.parametric |= path[0]
        return True


def _operands(args: Any, kwargs: Any) -> tuple[Tensor, Tensor] | None:
    """The two tensors of an addition, if they are of one shape and take part in the graph."""
    named = [kwargs[name] for name in ("input", "other") if name in kwargs]
    pair = [*args[:2], *named]
    if len(pair) != 2 or not all(isinstance(t, Tensor) and t.requires_grad and t.numel() > 1 for t in pair):
        return None
    first, second = pair
    alike = first.shape == second.shape and first.dtype == second.dtype and first.is_floating_point()
    return (first, second) if alike and torch.is_grad_enabled() else None


def _path(start: Edge, target: Edge, sums: set[Edge]) -> tuple[bool, bool] | None:
    """Whether a value depends on another through parameters, and through one of the sums; None where it does not.

    A node depends on older ones only, so the search stops at nodes older than the target.
    """
    leaf = hasattr(target[0], "variable")
    oldest = 0 if leaf else target[0]._sequence_nr()
    reached = parametric = crossed = False
    seen: set[Edge] = set()
    waiting = [start]
    while waiting:
        edge = waiting.pop()
        if edge in seen or edge[0] is None:
            continue
        seen.add(edge)
        if edge == target:
            reached = True
        elif hasattr(edge[0], "variable"):
            parametric |= isinstance(edge[0].variable, nn.Parameter)
        elif edge[0]._sequence_nr() >= oldest:
            crossed |= edge in sums
            waiting.extend(edge[0].next_functions)
    return (parametric, crossed) if reached and start != target else None


@contextmanager
def _unfreeze(model: nn.Module) -> Generator[None]:
    """Let every floating parameter take part in the graph."""
    frozen = [p for p in model.parameters() if not p.requires_grad and p.is_floating_point()]
    try:
        for parameter in frozen:
            parameter.requires_grad_(True)
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


@contextmanager
def _record_calls(model: nn.Module, trace: Trace, stack: list[str]) -> Generator[None]:
    """Add every call of the model's modules to the trace; the stack holds the names of those that run."""
    entered: list[tuple[Edge | None, tuple[int, ...] | None]] = []

    def before(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: Any, kwargs: Any) -> None:
            stack.append(name)
            entered.append(_first_tensor((args, kwargs)))

        return hook

    def after(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            stack.pop()
            trace.calls.append(Call(name, *entered.pop(), *_first_tensor(output)))
            for place, tensor in _places(output):
                if tensor.requires_grad:
                    trace.producers.setdefault(edge_of(tensor), []).append((name, place))

        return hook

    with ExitStack() as hooks:
        hooks.enter_context(model.register_forward_pre_hook(_differentiable_inputs, with_kwargs=True))
        for name, module in model.named_modules():
            hooks.enter_context(module.register_forward_pre_hook(before(name), with_kwargs=True))
            hooks.enter_context(module.register_forward_hook(after(name)))
        yield


def _differentiable_inputs(_: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
    def mark(tensor: Tensor) -> Tensor:
        wanted = tensor.is_floating_point() and not tensor.requires_grad
        # a copy that is no leaf, so that the model may change it in place
        return tensor.detach().requires_grad_().clone() if wanted else tensor

    return map_tensors(mark, tuple(args)), map_tensors(mark, dict(kwargs))


def _first_tensor(tree: Any) -> tuple[Edge | None, tuple[int, ...] | None]:
    """The first tensor's place in the graph, and its shape."""
    first = next((leaf for leaf in leaves(tree) if isinstance(leaf, Tensor)), None)
    if first is None:
        return None, None
    return edge_of(first) if first.requires_grad else None, tuple(first.shape)


def _places(output: Any) -> Iterator[tuple[int | None, Tensor]]:
    """The tensors that a module returned, with their places: the output itself (None), or entries of a tuple."""
    if isinstance(output, Tensor):
        yield None, output
    elif isinstance(output, tuple):
        yield from ((i, entry) for i, entry in enumerate(output) if isinstance(entry, Tensor))
