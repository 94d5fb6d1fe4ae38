"""What a rule can be shown at an update of a training run; each on first access, none leaving a trace."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from surefoot.errors import InvalidInput, SurefootError, first_line
from surefoot.training.loop._line_minimum import line_minimum
from surefoot.training.loop._sharpness import Sharpness, measure
from surefoot.training.loop.group_rates import Rates
from surefoot.training.loop.training_step import TrainingStep
from surefoot.training.model.agreement import agree_on, alone, everywhere, gradient_norm, local, norm_of
from surefoot.training.model.sandbox import isolate, keep_random_state, set_buffers_aside
from surefoot.training.model.snapshot import Snapshot, Subject
from surefoot.training.optimizers import effective_rate
from surefoot.training.sharpness import SharpnessTracker

if TYPE_CHECKING:
    once = property  # a type checker takes the properties of a protocol for nothing else
else:
    from functools import cached_property as once

# What a training run can show a rule; see `surefoot.rules.Observation`.
SENSED = frozenset({
    "iteration", "step", "loss", "losses", "gradient_norm", "gradient_change", "direction_norm", "slope",
    "previous_slope", "curvature", "reach", "displacement", "alignment", "arrival_slope", "arrival_curvature", "limit",
    "remaining", "until_cooldown", "factor", "rescues", "sound", "output_variation", "buffer_change", "kept_loss",
    "kept_gradient_norm", "kept_limit", "outside",
})  # fmt: skip
# A rate to read an update's direction off; the update itself is not kept.
UNIT = 1.0
# It has to move the parameters by so many times their rounding, or is tried so many times higher, up to the highest:
# a power of 2, so that dividing by it rounds nothing.
RESOLVED, HIGHER, HIGHEST = 1e3, 2.0**12, 2.0**96

_subtract: Any = cast(Any, torch)._foreach_sub
_grad: Any = torch.autograd.grad


class Sensors:
    """Measurements at the present point, on the present batch; each number is one that all ranks have agreed on.

    Parameters
    ----------
    step : TrainingStep
    subject : Subject
    rates : Rates
    kept : callable
        () -> the snapshot that a return would go back to, or None.
    probe : callable or None
        () -> the loss that stands in for the batch's in `kept_loss` and `kept_limit`.
    measures : bool
        Whether sharpness may be measured.

    Attributes
    ----------
    closure : callable or None
        Closure of the batch at hand.
    """

    def __init__(
        self,
        step: TrainingStep,
        subject: Subject,
        rates: Rates,
        kept: Callable[[], Snapshot | None],
        probe: Callable[[], Tensor] | None,
        measures: bool,
    ) -> None:
        self._step, self._subject, self._rates = step, subject, rates
        self._kept, self._probe, self._measures = kept, probe, measures
        self.closure: Callable[[], Tensor] | None = None
        self._tracker: SharpnessTracker | None = None

    @property
    def device(self) -> torch.device:
        """Where ranks talk."""
        return self._subject.device

    def gradient_norm(self) -> float:
        """|g| as it is now."""
        return agree_on((gradient_norm(self._step.parameters),), self.device)[0]

    def sound(self) -> bool:
        """Whether everything is finite, but for what the batch did to the buffers."""
        return everywhere(self._subject.sound(self._step.before), self.device)

    def look(self, direction: Sequence[Tensor]) -> tuple[float, float, float]:
        """<g, d>, d'Hd and |Hd| along a direction."""
        measured = along(self._step.model, self._loss, self._step.parameters, direction)
        slope, bend, change = agree_on(measured, self.device)
        return slope, bend, change

    def departure(self) -> list[Tensor]:
        """The update about to be made per unit of rate, off one that is made and taken back.

        A loss in small units has an update that is lost in the rounding of the parameters; it is made at a higher rate.
        """
        parameters = self._step.parameters
        kept = self._subject.capture(0)
        before = [local(p.detach()).clone() for p in parameters]
        coarsest = max(torch.finfo(p.dtype).eps for p in parameters)
        least, rate = min(RESOLVED * coarsest, 1.0) * norm_of(before), UNIT
        while True:
            self._rates.write(rate, at_peak=True)
            try:
                self._step.update_without_scaler()
                moved = moves(parameters, before)
            finally:
                self._subject.restore(kept)
            if norm_of(moved) > least or rate >= HIGHEST:
                return moved if rate == UNIT else [part / rate for part in moved]
            rate *= HIGHER

    def reach(self) -> float:
        """How far the first update may go, in terms of a rate that is held; nan if nowhere."""
        distance = line_minimum(self._step.model, self._loss, self._step.parameters, self.departure())
        distance = math.exp(agree_on((math.log(distance),), self.device)[0])
        try:
            return distance / effective_rate(self._step.optimizers[0], 1.0)
        except SurefootError:  # an optimizer of no known kind: as if it had no memory
            return distance

    def limit(self) -> float:
        """The stability limit on this batch, in units of the first group's rate."""
        if self._tracker is None:
            self._tracker = self._new_tracker()
        limit = self._tracker.update().limit
        return agree_on((math.inf if limit is None else limit,), self.device)[0]

    def at_kept(self, loss: float, last: Tensor | float) -> tuple[float, float]:
        """Loss and gradient norm of this batch at the state that a return would go back to.

        Parameters
        ----------
        loss : float
            Loss of the batch at the present state.
        last : Tensor or float
            Loss of its last part, which alone can be evaluated again.

        Returns
        -------
        (float, float)
            Infinite if not finite there; nan if there is no such state, or nobody to ask.
        """
        kept, closure = self._kept(), self._probe or self.closure
        if not everywhere(kept is not None and closure is not None, self.device) or kept is None or closure is None:
            return math.nan, math.nan
        parameters = self._step.parameters
        gradients = [None if p.grad is None else p.grad.clone() for p in parameters]
        here, asked = math.nan, True
        with torch.no_grad():
            mine = [local(t.detach()).clone() for t in self._subject.tensors()]
        try:
            if self._probe is not None:
                with torch.no_grad(), keep_random_state(), set_buffers_aside(self._step.model):
                    here = float(self._probe())
            self._put(kept.tensors)
            for p in parameters:
                p.grad = None
            with keep_random_state(), torch.enable_grad():
                value = closure()
                value.backward()
            kept, norm = float(value.detach()), gradient_norm(parameters)
        except Exception:  # the user's closure, which went well a moment ago; what it cannot tell is not known
            kept, norm, asked = math.nan, math.nan, False
        finally:
            self._put(mine)
            for p, g in zip(parameters, gradients, strict=True):
                p.grad = g
        difference = kept - (float(last) if self._probe is None else here)
        kept = loss + difference if math.isfinite(loss) and math.isfinite(difference) else kept
        kept, norm, answers = agree_on((kept, norm, float(asked)), self.device)
        if answers < 1:
            return math.nan, math.nan
        finite = math.isfinite(kept) and math.isfinite(norm)
        return (kept, norm) if finite else (math.inf, math.inf)

    def outside(self) -> bool:
        """Whether parameters that are neither the model's nor the optimizers' take part in the loss."""
        tensors = self._subject.tensors()
        if self.closure is None or any(hasattr(t, "placements") for t in tensors):
            return False  # sharded ones are gathered into others for the forward pass
        leaves: list[Tensor] = []
        try:
            with keep_random_state(), set_buffers_aside(self._step.model), torch.enable_grad():
                leaves = leaves_of(self.closure())
        except Exception:  # the user's closure, which went well a moment ago; what it cannot tell is not known
            pass
        own = {id(t) for t in tensors}
        return not everywhere(all(id(p) in own for p in leaves), self.device)

    def sharpness_at_kept(self, rate: float) -> Sharpness | None:
        """The curvature at the state that a return would go back to, and what it means for the rate."""
        kept, closure = self._kept(), self._probe or self.closure
        if not self._measures or kept is None or closure is None or not alone():
            return None
        present = self._subject.capture(0)
        self._subject.restore(kept)
        try:
            return measure(self._step.model, closure, self._step.optimizers[0], rate)
        finally:
            self._subject.restore(present)

    def state_dict(self) -> dict[str, Any]:
        """The tracker's."""
        return {"tracker": None if self._tracker is None else self._tracker.state_dict()}

    def parse(self, data: Mapping[str, Any]) -> Callable[[], None]:
        """What `state_dict` returned; nothing is changed until the result is called."""
        tracker = None
        if data["tracker"] is not None:
            tracker = self._new_tracker()
            tracker.load_state_dict(data["tracker"])
        return lambda: setattr(self, "_tracker", tracker)

    def _put(self, values: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for tensor, value in zip(self._subject.tensors(), values, strict=False):
                local(tensor).copy_(value)

    def _loss(self) -> Tensor:
        if self.closure is None:
            raise InvalidInput("a rule asks for what needs the batch's loss again; step with a closure")
        return self.closure()

    def _same_loss(self) -> Tensor:
        """The loss, with the same dropout each time it is asked for at this update, and no buffer touched."""
        with keep_random_state(), set_buffers_aside(self._step.model):
            torch.manual_seed(0)
            return self._loss()

    def _new_tracker(self) -> SharpnessTracker:
        """The closure has its model and batch inside; the tensor only stands for one batch."""
        return SharpnessTracker(
            self._step.model, lambda _model, _batch: self._same_loss(), lambda: torch.zeros(1),
            self._step.optimizers[0], count=lambda _batch: 1.0,
        )  # fmt: skip


@dataclass(kw_only=True)
class Sensed:
    """An `Observation` of a training run at one update: gradients are there, the optimizer has not stepped.

    What every update needs is a field; the rest is sensed when it is read, once.

    Parameters
    ----------
    sensors : Sensors
    rate : float
        The first group's, in the update before.
    last : Tensor or float
        Loss of the batch's last part.
    update : list of Tensor or None
        The last move.
    """

    sensors: Sensors
    rate: float
    last: Tensor | float
    update: list[Tensor] | None
    iteration: int
    step: float
    loss: float
    losses: tuple[float, ...]
    gradient_norm: float
    output_variation: float
    buffer_change: float
    remaining: float
    until_cooldown: float
    rescues: int
    previous_slope: float
    factor: float = 1.0
    sharpness: Sharpness | None = None

    @once
    def sound(self) -> bool:
        """See `surefoot.rules.Observation`, as the others."""
        return self.sensors.sound()

    @once
    def displacement(self) -> float:
        """|x - x-|."""
        return math.nan if self.update is None else length(self.update)

    @property
    def alignment(self) -> float:
        """<s, Hs>, s = x - x-: how the gradient of this batch changes along the last move, to first order."""
        return self._arrival[1]

    @property
    def gradient_change(self) -> float:
        """|Hs|."""
        return self._arrival[2]

    @property
    def arrival_slope(self) -> float:
        """Slope <g, s> over the rate."""
        return self._arrival[0] / (self.step or math.nan)

    @property
    def arrival_curvature(self) -> float:
        """Curvature s'Hs over the rate squared."""
        return self._arrival[1] / (self.step**2 or math.nan)

    @once
    def direction_norm(self) -> float:
        """|d|."""
        return length(self._direction)

    @property
    def slope(self) -> float:
        """<g, d>."""
        return self._departing[0]

    @property
    def curvature(self) -> float:
        """d'Hd/d'd."""
        norm = self.direction_norm
        return self._departing[1] / norm**2 if norm > 0 else math.nan

    @once
    def reach(self) -> float:
        """Where the first trials begin."""
        return self.sensors.reach()

    @once
    def limit(self) -> float:
        """The stability limit."""
        return self.sensors.limit()

    @property
    def kept_loss(self) -> float:
        """Loss of this batch at the state that a return would go back to."""
        return self._at_kept[0]

    @property
    def kept_gradient_norm(self) -> float:
        """Likewise."""
        return self._at_kept[1]

    @once
    def outside(self) -> bool:
        """Whether the loss also depends on parameters that are trained elsewhere."""
        return self.sensors.outside()

    @once
    def kept_limit(self) -> float:
        """Likewise."""
        self.sharpness = self.sensors.sharpness_at_kept(self.rate)
        limit = None if self.sharpness is None else self.sharpness.limit
        return math.nan if limit is None or not self.rate > 0 else limit * (self.step / self.rate)

    @once
    def _arrival(self) -> tuple[float, float, float]:
        arrived = self.update is not None and self.step > 0
        return self.sensors.look(self.update or []) if arrived else (math.nan, math.nan, math.nan)

    @once
    def _direction(self) -> list[Tensor]:
        return self.sensors.departure()

    @once
    def _departing(self) -> tuple[float, float, float]:
        return self.sensors.look(self._direction)

    @once
    def _at_kept(self) -> tuple[float, float]:
        return self.sensors.at_kept(self.loss, self.last)


def length(tensors: Sequence[Tensor]) -> float:
    """The norm of all of them together."""
    return math.sqrt(dot(tensors, tensors))


def dot(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    """<a, b> over all tensors, in single precision at least; one transfer from the device."""
    parts = [(_wide(x) * _wide(y)).sum().to(a[0].device) for x, y in zip(a, b, strict=True)]
    return float(torch.stack(parts).sum().item())


def moves(parameters: Sequence[Tensor], before: Sequence[Tensor]) -> list[Tensor]:
    """The move x - x-."""
    return list(_subtract([local(p.detach()) for p in parameters], list(before)))


def leaves_of(loss: Tensor) -> list[Tensor]:
    """The parameters at the leaves of a loss's graph."""
    leaves: list[Tensor] = []
    rest, seen = [loss.grad_fn], set[Any]()
    while rest:
        node: Any = rest.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if isinstance(leaf := getattr(node, "variable", None), nn.Parameter):
            leaves.append(leaf)
        rest += [following for following, _ in node.next_functions]
    return leaves


def along(
    model: nn.Module, closure: Callable[[], Tensor], parameters: Sequence[Tensor], direction: Sequence[Tensor]
) -> tuple[float, float, float]:
    """<g, d>, d'Hd and |Hd| of the closure's loss here, by differentiating twice.

    Gradients, buffers and random states are as before; dropout draws whatever comes next.

    Raises
    ------
    InvalidInput
        If the loss cannot be differentiated twice.
    """
    with isolate(model):
        trained = [(p, d) for p, d in zip(parameters, direction, strict=True) if p.requires_grad]
        try:
            first = _grad(closure(), [p for p, _ in trained], create_graph=True, allow_unused=True)
            used = [(g, p, d) for g, (p, d) in zip(first, trained, strict=True) if g is not None]
            if not used:
                return 0.0, 0.0, 0.0
            slope = torch.stack([(g * d).sum() for g, _, d in used]).sum()
            if not slope.requires_grad:
                return slope.item(), 0.0, 0.0
            second = _grad(slope, [p for _, p, _ in used], allow_unused=True)
        except (RuntimeError, NotImplementedError) as error:
            raise InvalidInput(
                f"this rule needs second derivatives, which the loss does not have here ({first_line(error)}); take "
                "another rule, or sparse=False for embeddings"
            ) from error
        bent = [(h, d) for h, (_, _, d) in zip(second, used, strict=True) if h is not None]
        if not bent:
            return slope.item(), 0.0, 0.0
        products = [h for h, _ in bent]
        return slope.item(), dot(products, [d for _, d in bent]), length(products)


def _wide(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
