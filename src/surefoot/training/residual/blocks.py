"""Which sums of a forward pass are a model's residual blocks: all of them, or those in the modules that are named."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, cast

from torch import Tensor, nn

from surefoot.errors import InvalidInput, InvalidType
from surefoot.tables import abridge
from surefoot.training.residual._trace import Call, Edge, Step, Trace

__all__ = ["Blocks", "as_model", "named_steps"]

# A pattern, names, or (name, module) -> bool; None finds the blocks.
Blocks = str | Iterable[str] | Callable[[str, nn.Module], bool] | None

# Modules named in a message: enough to recognise a pattern. By convention.
SHOWN = 4


class _Function(nn.Module):
    """A function as a module, so that its calls are seen."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def as_model(source: Any, blocks: Blocks) -> tuple[nn.Module, Blocks]:
    """The model, or the given blocks in sequence, each of which then has to be of the form x + g(x)."""
    if isinstance(source, nn.Module) and not isinstance(source, nn.ModuleList):
        return source, blocks
    if not isinstance(source, Sequence | nn.ModuleList):
        raise InvalidType(f"give a torch.nn.Module or a sequence of blocks; got a {type(source).__name__}")
    if not len(source):
        raise InvalidInput("the sequence of blocks is empty; give at least one block x -> x + g(x)")
    for i, block in enumerate(source):
        if not callable(block):
            raise InvalidType(f"blocks must be modules or functions x -> x + g(x); entry {i} is {block!r}")
    chain = nn.Sequential(*(b if isinstance(b, nn.Module) else _Function(cast("Any", b)) for b in source))
    return chain, [str(i) for i in range(len(chain))] if blocks is None else blocks


def named_steps(model: nn.Module, trace: Trace, blocks: Blocks) -> dict[str, Step]:
    """The residual branches of a traced model by name, in the order in which they run.

    A branch is named by the module whose code makes the sum or, where that makes several, by the module that returned
    the branch. `blocks` says which modules are blocks, as in `residual_stability`.
    """
    if blocks is None:
        steps = _innermost(trace.steps)
        if not steps:
            raise InvalidInput(_explain_no_blocks(model, trace))
    else:
        wanted = [id(step) for name in _block_names(model, blocks) for step in _steps_of(name, trace)]
        steps = [step for step in trace.steps if id(step) in wanted]
    return dict(zip(_step_names(trace, steps), steps, strict=True))


def _innermost(steps: list[Step]) -> list[Step]:
    """The innermost sums with parameters; where none has any, the innermost."""
    return [s for s in steps if s.parametric and not s.crossed] or [s for s in steps if not s.crossed]


def _block_names(model: nn.Module, blocks: str | Iterable[str] | Callable[[str, nn.Module], bool]) -> list[str]:
    modules = dict(model.named_modules())
    listed = f"the modules are {abridge([name for name in modules if name], 8)}"
    if isinstance(blocks, str):
        names = [name for name in modules if name and fnmatchcase(name, blocks)]
    elif callable(blocks):
        names = [name for name, module in modules.items() if name and blocks(name, module)]
    else:
        names = list(blocks)
        unknown = [name for name in names if name not in modules]
        if unknown:
            raise InvalidInput(f"no module is called {unknown[0]!r}; {listed}")
    if not names:
        raise InvalidInput(f"no module matches blocks={blocks!r}; {listed}")
    return names


def _steps_of(name: str, trace: Trace) -> list[Step]:
    """The branches of a module that is a block, or is itself a branch; an error where it is neither."""
    within = _innermost([step for step in trace.steps if name in step.inside])
    produced = [step for step in trace.steps if any(name in _producers(trace, edge) for edge in step.addends)]
    calls = [call for call in trace.calls if call.name == name]
    why = next((why for call in calls if (why := _objection(call, within))), "" if calls else "it never ran")
    if why and not produced:
        raise InvalidInput(f"{name} is not of the form x + g(x): {why}; name the modules that are, or leave blocks out")
    return produced if why else within


def _objection(call: Call, steps: list[Step]) -> str:
    """Why a call is not x + g(x); empty if it is."""
    if call.input_shape is None or call.output_shape is None:
        return "it takes or returns no tensor"
    if call.input_shape != call.output_shape:
        return f"its shape changes from {call.input_shape} to {call.output_shape}"
    inside = [step for step in steps if call.name in step.inside]
    if not inside:
        return f"its output is made by {_maker(call.output)} and nothing in it is added to what it was computed from"
    if all(step.sum != call.output for step in inside):
        return f"{_maker(call.output)} acts after the sum"
    streams = {step.start for step in inside}
    if call.input not in streams:
        return f"the branch is added to what {_maker(next(iter(streams)))} returned, not to its input"
    return ""


def _maker(edge: Edge | None) -> str:
    """The operation that made a value, by autograd's name for it."""
    if edge is None:
        return "something outside autograd"
    return str(edge[0].name()).removeprefix("torch::autograd::").rstrip("0123456789").removesuffix("Backward")


def _producers(trace: Trace, edge: Edge) -> list[str]:
    return [name for name, _ in trace.producers.get(edge, [])]


def _step_names(trace: Trace, steps: list[Step]) -> list[str]:
    written = Counter(step.inside[-1] for step in steps)
    names: list[str] = []
    for step in steps:
        makers = [name for edge in step.addends for name in _producers(trace, edge)[-1:]]
        home = step.inside[-1]
        names.append(home if home and written[home] == 1 else " + ".join(makers) or home or "the model")
    total, numbers = Counter(names), Counter[str]()
    for i, name in enumerate(names):
        numbers[name] += 1
        if total[name] > 1:
            names[i] = f"{name} #{numbers[name]}"
    return names


def _explain_no_blocks(model: nn.Module, trace: Trace) -> str:
    """The message where no block was found, with the reason for the likeliest modules."""
    # modules with children are likelier to be meant as blocks than single layers
    parents = [call for call in trace.calls if call.name and list(model.get_submodule(call.name).children())]
    calls = parents or [call for call in trace.calls if call.name]
    reasons = [f"{call.name}: {why}" for call in calls if (why := _objection(call, trace.steps))]
    listed = "; ".join(dict.fromkeys(reasons[:SHOWN]))
    return (
        f"no x + g(x) in {type(model).__name__}: {trace.additions} additions of two tensors of one shape were seen, "
        f"none to what the other was computed from through parameters ({listed or 'no module was called'}); sums in "
        "compiled, in-place or checkpointed code may not be seen: write x = x + g(x)"
    )
