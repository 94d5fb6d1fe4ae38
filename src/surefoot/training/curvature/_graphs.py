"""The graphs of a loss's derivatives on all batches: kept between products as far as memory allows."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from surefoot.errors import NotRepeatable, SurefootError
from surefoot.tables import abridge
from surefoot.training.curvature._memory import footprint
from surefoot.training.curvature.linearised import Curvature, HessianOf, Linearised, explain
from surefoot.training.model.agreement import local
from surefoot.training.model.batches import Batches
from surefoot.training.model.loss import locate
from surefoot.training.model.parameters import Block
from surefoot.training.model.sandbox import explain_lone_sample, random_modules, random_states, set_buffers_aside
from surefoot.training.model.trees import on_device

# Two evaluations of a deterministic loss differ by the order of sums at most (atomics on a GPU): by far less than so
# many eps of the loss.
REPEATABLE = 256

# (index of a batch that is done, what was computed)
Report = Callable[[int, str], None]


class Graphs:
    """The linearisation of each batch at one point of the model; built again once the model is elsewhere.

    Parameters
    ----------
    model : Module
    curvature : Curvature
    batches : Batches
    block : Block
        The parameters to differentiate by.
    shares : tuple of float
        Weights of the batches in the mean over all data.
    max_memory : int
        Bytes for graphs that are kept; a batch beyond it is run again for each product.
    """

    def __init__(
        self,
        model: nn.Module,
        curvature: Curvature,
        batches: Batches,
        block: Block,
        shares: tuple[float, ...],
        max_memory: int,
    ) -> None:
        self.model, self.curvature, self.batches, self.block = model, curvature, batches, block
        self.shares, self.max_memory = shares, max_memory
        self.kept: list[Linearised] = []
        self.values: list[float] = []
        self.first_bytes = 0
        self.precision = 0.0
        self._point: tuple[Any, ...] | None = None

    @property
    def complete(self) -> bool:
        """Whether every batch's graph is kept and belongs to the point where the model is now."""
        return len(self.kept) == len(self.batches.items) and self._point == self._fingerprint()

    def start(self, report: Report) -> None:
        """Evaluate the first batch twice: to see what its graph holds, in which precision, and whether it repeats."""
        graph, self.first_bytes, self.precision = footprint(lambda: self._linearise(0), self.block.tensors)
        shards = self.block.shards
        if shards is not None:  # its hooks on saved tensors run in place of the footprint's
            self.first_bytes, self.precision = shards.kept, shards.coarsest
        drew = self.refresh(report, first=graph)
        first, again = graph.value, self.values[0]
        if drew or abs(first - again) > REPEATABLE * self.block.precision * max(abs(first), abs(again)):
            raise NotRepeatable(_explain_difference(self.model, first, again))

    def refresh(self, report: Report, *, first: Linearised | None = None) -> bool:
        """Compute the losses and the graphs to keep where the model is now, unless they are there.

        Parameters
        ----------
        report : callable
        first : Linearised, optional
            A graph of the first batch, to keep; that batch's loss is then computed once more.

        Returns
        -------
        bool
            Whether an evaluation drew random numbers of torch, NumPy or Python; looked for with `first` only.
        """
        point = self._fingerprint()
        if self.values and point == self._point:
            return False
        self.release()
        budget, drew = float(self.max_memory), False
        for i, batch in enumerate(self.batches.items):
            before = random_states() if first is not None else ()
            budget -= self.first_bytes / self.batches.counts[0] * self.batches.counts[i]
            known = first if i == 0 else None
            if budget >= 0:
                self.kept.append(known or self._linearise(i))
            # the loss of a batch whose graph is not kept, and the repeated one of the first
            if budget >= 0 and known is None:
                self.values.append(self.kept[-1].value)
            else:
                with locate(self._place(i)), set_buffers_aside(self.model), self.block.assembled(self.model):
                    value = self.curvature.value(self.model, on_device(batch, self.block.device))
                self.values.append(value.item())
            # zip: CUDA's generators come last, and may not have been there before
            drew = drew or any(a != b for a, b in zip(before, random_states() if before else (), strict=False))
            report(i, "loss")
        self._point = point
        return drew

    def release(self) -> None:
        """Free the graphs; the next product builds them again."""
        self.kept, self.values, self._point = [], [], None

    def product(self, i: int, vectors: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """The product of batch i's curvature with tensors like the parameters; None where it is zero."""
        keep = i < len(self.kept)
        linearised = self.kept[i] if keep else self._linearise(i)
        try:
            return linearised.product(vectors, keep)
        except SurefootError:
            raise
        except RuntimeError as error:
            raise explain(error) from error

    def _linearise(self, i: int) -> Linearised:
        batch = on_device(self.batches.items[i], self.block.device)
        # derivatives by sharded parameters are summed over processes, so the batch's share goes into the loss
        sharded = self.block.shards is not None
        curvature = cast(HessianOf, self.curvature).times(self.shares[i]) if sharded else self.curvature
        lone = (
            f"batch {i + 1} of {len(self.batches.items)} has one sample, and batch normalisation in train mode needs "
            "more; leave it out (drop_last=True), or call model.eval()"
        )
        with locate(self._place(i)):
            try:
                # each batch meets the buffers as they are: what one changes in train mode another must not see
                with explain_lone_sample(lone), set_buffers_aside(self.model), self.block.assembled(self.model):
                    return curvature.linearise(self.model, batch, self.block.tensors)
            except SurefootError:
                raise
            except RuntimeError as error:
                if any(word in str(error) for word in ("backward", "derivative", "differentiation")):
                    raise explain(error) from error
                raise

    def _place(self, i: int) -> str:
        return f"at batch {i + 1} of {len(self.batches.items)}"

    def _fingerprint(self) -> tuple[Any, ...]:
        """What identifies the function being differentiated; cheap beside a product.

        Versions see in-place changes; norms and sums see those made behind autograd's back, through .data.
        """
        tensors = [local(t) for t in (*self.model.parameters(), *self.model.buffers())]
        floating = [t.detach() for t in tensors if t.is_floating_point() and t.numel()]
        prints = [f(t) for t in floating for f in (torch.linalg.vector_norm, torch.sum)]
        return (
            tuple(module.training for module in self.model.modules()),
            tuple((t.data_ptr(), t._version, t.requires_grad) for t in tensors),
            tuple(torch.stack([p.double().cpu() for p in prints]).tolist()),
        )


def _explain_difference(model: nn.Module, first: float, again: float) -> str:
    text = f"two evaluations of the loss on one batch gave {first:.9g} and {again:.9g}"
    active = abridge(list(random_modules(model)))
    if active:
        return f"{text}: dropout is active in train mode ({active}); call model.eval(), or .eval() on those modules"
    return f"{text}: the model or the loss draws random numbers; call model.eval(), or fix the draw inside the loss"
