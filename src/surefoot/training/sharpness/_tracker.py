"""Sharpness along a run: cheap warm estimates between certificates from fresh starts."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.checks import Count, checked
from surefoot.errors import InvalidInput
from surefoot.operators import Operator
from surefoot.spectra import Bounds
from surefoot.spectra.measured.ends import measured_ends
from surefoot.spectra.measured.lanczos import Lanczos
from surefoot.training.curvature import CurvatureOperator, hessian
from surefoot.training.curvature.operator import DEFAULT_MEMORY
from surefoot.training.model.loss import Loss
from surefoot.training.optimizers.frozen import Frozen, freeze
from surefoot.training.sharpness._minibatch_bias import MiniBatchBias, minibatch_bias
from surefoot.training.sharpness._reading import SharpnessReading

# A warm update ends where the residual over the Ritz value is this small: the value is off by the residual's square
# over the gap, 4e-4 of it where the gap is as large as the value.
SETTLED = 0.02
# A residual over the Ritz value as large as this belongs to no eigenvector: the old one is lost. By convention.
LOST = 0.5
# Change of the estimate since its certificate after which it may have crossed other eigenvalues. By convention.
DRIFT = 1.5
# The share of the second direction in a warm start: a crossing of the first two shows after two products. By
# convention.
MIX = 0.1
# The seeds of certificates, apart from what a caller may have drawn.
STREAM = 0x7EAC


@checked
class SharpnessTracker:
    """The largest curvature along a training run, as the optimizer sees it.

        warm:       Ritz value of span(v, A v, A^2 v), v the last update's vector: a proved lower end, nothing above
        certified:  Lanczos from a fresh random start, as `surefoot.spectrum`: both ends

    An update costs `products` at most, 2 where the vectors have settled. A warm start from two directions sees when
    they cross. A warm start cannot see an eigenvalue that crossed from a direction it has lost, so it is never
    certified. A fresh start comes when `cadence` updates are over, or the estimate changed by half since the last, or
    its residual says that the vector is lost. The cadence doubles (up to `longest`) each time the fresh start agrees
    with the warm estimate within rtol, and halves when it finds more.

    Parameters
    ----------
    model, loss
        As in `hessian`.
    data : batch, list of batches, DataLoader or callable
        Data to measure on, the same at each update, or a function that returns a batch, called at each update. A batch
        given to `update` takes the place of either. On mini-batches the sharpness is biased up: see `bias`.
    optimizer : torch.optim.Optimizer, optional
        Optimizer that sees the curvature, P^-1/2 (H + w) P^-1/2; readings then have the rate and its limit.
    products : int
        Largest number of products of a warm update; with 1 it follows one direction.
    cadence : int
        Updates between fresh starts, at first.
    longest : int
        Largest number that the cadence may grow to.
    recertify : bool
        If False, fresh starts come only from `certify` (and at the first update); readings say when they are stale.
    rtol, failure : float
        Relative width of each certificate, and its probability of missing.
    parameters, max_memory, count
        As in `hessian`.
    check : bool
        As in `hessian`, at the first update only. False for a loss that holds values constant by detach().
    rng : int
        Seed of the fresh starts.

    Raises
    ------
    InvalidInput
        If a number is out of range.

    Examples
    --------
    >>> import torch
    >>> from surefoot.training.sharpness._tracker import SharpnessTracker
    >>> from surefoot.training.model import supervised
    >>> model = torch.nn.Linear(3, 1, bias=False)
    >>> batch = (torch.diag(torch.tensor([1.0, 2.0, 3.0])), torch.zeros(3, 1))
    >>> sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> tracker = SharpnessTracker(model, supervised(torch.nn.functional.mse_loss), batch, sgd)
    >>> tracker.update().certified, tracker.update().certified  # 2 * 9/3
    (True, False)
    >>> round(tracker.update().value, 4), round(tracker.history[-1].ratio, 4)
    (6.0, 0.3)
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        data: Any,
        optimizer: Optimizer | None = None,
        *,
        products: Count = 3,
        cadence: Count = 10,
        longest: Count = 160,
        recertify: bool = True,
        rtol: float = 0.05,
        failure: float = 1e-3,
        parameters: str | Iterable[Any] | None = None,
        max_memory: int = DEFAULT_MEMORY,
        count: Callable[[Any], float] | None = None,
        check: bool = True,
        rng: int = 0,
    ) -> None:
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.max_products, self.longest, self.recertify = products, longest, recertify
        self.rtol, self.failure, self.rng = rtol, failure, rng
        self.cadence = cadence
        self.history: list[SharpnessReading] = []
        # read once: an iterator would be empty at the second measurement
        parameters = None if parameters is None else list(parameters)
        self._settings: dict[str, Any] = {"parameters": parameters, "max_memory": max_memory, "count": count}
        self._source: Callable[[], Any] | None = data if callable(data) and not hasattr(data, "to") else None
        self._checked = not check
        self._fixed = None if self._source else self._hessian(data)
        self._vectors: Tensor | None = None
        self._anchor: float | None = None
        self._since = 0
        self._certificates = 0

    def update(self, batch: Any = None) -> SharpnessReading:
        """Measure the sharpness where the model is now.

        Parameters
        ----------
        batch : optional
            Measure on it instead of the tracker's data, this time.

        Returns
        -------
        SharpnessReading
            Also the last of `history`. Parameters, gradients, states, buffers and random states are as before.

        Raises
        ------
        SurefootError
            As `hessian`: a loss that is not finite, dropout in train mode.
        """
        return self._measure(batch, fresh=False)

    def certify(self, batch: Any = None) -> SharpnessReading:
        """A reading from a fresh start; parameters and errors as `update`."""
        return self._measure(batch, fresh=True)

    def bias(self, batch_size: int, draws: int = 8) -> MiniBatchBias:
        """The largest curvature of mini-batches compared with that of the tracker's data, at this point.

        Parameters
        ----------
        batch_size : int
        draws : int
            Mini-batches that are measured.

        Returns
        -------
        MiniBatchBias

        Raises
        ------
        InvalidInput
            If the tracker has no fixed data to compare with.
        """
        if self._fixed is None:
            raise InvalidInput("the data is a source of batches; give all the data to compare mini-batches with")
        frozen = None if self.optimizer is None else freeze(self._fixed, self.optimizer)
        bias = minibatch_bias(
            self._fixed,
            batch_size,
            draws=draws,
            failure=self.failure,
            operator=lambda H: _optimizer_view(H, frozen),
            rng=self.rng,
        )
        self._fixed.release()
        return bias

    @property
    def stale(self) -> str:
        """Why the last reading should not be relied on; empty if it may be."""
        return self.history[-1].stale if self.history else "nothing measured yet"

    @property
    def products(self) -> int:
        """Number of products of all readings."""
        return sum(reading.products for reading in self.history)

    def state_dict(self) -> dict[str, Any]:
        """The state that a resumed run needs: tensors and plain values, for torch.save."""
        return {
            "vectors": None if self._vectors is None else self._vectors.cpu().clone(),
            "anchor": self._anchor,
            "since": self._since,
            "cadence": self.cadence,
            "certificates": self._certificates,
            "history": [reading.to_dict() for reading in self.history],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken.

        Raises
        ------
        InvalidInput
            If it belongs to a model with another number of parameters.
        """
        vectors = state["vectors"]
        if vectors is not None and self._fixed is not None and vectors.shape[1] != self._fixed.shape[0]:
            raise InvalidInput(
                f"the state is of a model with {vectors.shape[1]} parameters and this one has {self._fixed.shape[0]}"
            )
        self._vectors = None if vectors is None else vectors.detach().clone()
        self._anchor, self._since = state["anchor"], int(state["since"])
        self.cadence, self._certificates = int(state["cadence"]), int(state["certificates"])
        self.history = [SharpnessReading.from_dict(reading) for reading in state["history"]]

    def _measure(self, batch: Any, *, fresh: bool) -> SharpnessReading:
        if batch is None and self._source is not None:
            batch = self._source()
        H = self._fixed if batch is None and self._fixed is not None else self._hessian(batch)
        frozen = None if self.optimizer is None else freeze(H, self.optimizer)
        operator = _optimizer_view(H, frozen)
        warm = None if self._vectors is None else self._warm(operator, self._vectors)
        self._since += 1
        stale = self._staleness(warm)
        cost = 0 if warm is None else warm.steps
        if warm is None or fresh or (self.recertify and stale):
            value, residual, bounds, more = self._certify(operator, warm)
            cost, stale, certified, top = cost + more, "", True, bounds.upper
        else:
            values, vectors = warm.ritz_pairs(2)
            self._vectors = _largest_first(vectors)
            value, residual = float(values[-1]), _residual(warm)
            slack = warm.rounding * max(float(np.abs(warm.ritz).max()), warm.scale)
            bounds, certified, top = Bounds(value - slack, np.inf, "proved", "proved"), False, value
        rate = limit = None
        if frozen is not None and self.optimizer is not None:
            rate = float(self.optimizer.param_groups[0]["lr"])
            limit = frozen.method.real_limit / top if top > 0 else float("inf")
        reading = SharpnessReading(
            update=len(self.history), value=value, bounds=bounds, certified=certified, stale=stale, residual=residual,
            products=cost, rate=rate, limit=limit,
        )  # fmt: skip
        self.history.append(reading)
        H.release()
        return reading

    def _hessian(self, data: Any) -> CurvatureOperator:
        H = hessian(self.model, self.loss, data, check=not self._checked, **self._settings)
        self._checked = True
        return H

    def _warm(self, operator: Operator, vectors: Tensor) -> Lanczos:
        """A few steps of Lanczos from the last update's vectors."""
        # two directions in one start need two products to be told apart
        least = min(len(vectors), self.max_products)
        rows: Any = operator.space.asarray(vectors)
        start = rows[0] + MIX * rows[1] if least > 1 else rows[0]
        run = Lanczos(operator, start / operator.space.norm(start))
        while True:
            run.advance()
            settled = run.steps >= least and _residual(run) <= SETTLED * abs(float(run.ritz[-1]))
            if settled or run.exhausted or run.steps == self.max_products:
                return run

    def _staleness(self, warm: Lanczos | None) -> str:
        """Why a fresh start is due; empty if it is not."""
        if warm is None or self._anchor is None:
            return ""
        value, residual = float(warm.ritz[-1]), _residual(warm)
        if residual > LOST * abs(value):
            return f"the direction is lost: residual {residual:.3g} at {value:.3g}"
        least, most = sorted((self._anchor / DRIFT, self._anchor * DRIFT))
        if not least <= value <= most:
            return f"changed from {self._anchor:.3g} to {value:.3g} since the last fresh start"
        if self._since > self.cadence:
            return f"{self._since} updates since the last fresh start, cadence {self.cadence}"
        return ""

    def _certify(self, operator: Operator, warm: Lanczos | None) -> tuple[float, float, Bounds, int]:
        """A fresh start, from which the cadence is adapted: value, residual, bounds and the products that it cost."""
        # a new start each time: an unlucky direction is not repeated
        rng = np.random.default_rng([STREAM, self.rng, self._certificates])
        ends = measured_ends(
            operator, which="largest", rtol=self.rtol, failure=self.failure, max_products=None, rng=rng
        )
        self._certificates += 1
        values, vectors = ends.lanczos.ritz_pairs(2)
        value = float(values[-1])
        if warm is not None:
            missed = value - float(warm.ritz[-1]) > self.rtol * abs(value)
            self.cadence = max(1, self.cadence // 2) if missed else min(2 * self.cadence, self.longest)
        self._vectors = _largest_first(vectors)
        self._anchor, self._since = value, 0
        return value, _residual(ends.lanczos), ends.largest, ends.products


def _optimizer_view(H: CurvatureOperator, frozen: Frozen | None) -> Operator:
    """The curvature as the optimizer sees it; decoupled decay counts as the curvature that gives the exact limit."""
    return H if frozen is None else frozen.with_decay(frozen.curvature(H))


def _largest_first(vectors: Any) -> Tensor:
    """The rows in reverse: Lanczos gives Ritz values in ascending order."""
    return torch.flip(vectors, (0,))


def _residual(run: Lanczos) -> float:
    """||A v - theta v|| of the largest Ritz pair."""
    from scipy.linalg import eigh_tridiagonal

    _, vectors = eigh_tridiagonal(run.alphas, run.betas[:-1])
    return float(run.betas[-1] * abs(np.asarray(vectors)[-1, -1]))
