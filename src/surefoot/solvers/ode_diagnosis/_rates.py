"""How fast the modes of an equation decay, turn and grow along its solution."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surefoot.operators import dense
from surefoot.spectra import jacobian, spectrum

# Points at which the Jacobian is looked at: half of them even in time, half in steps. Of large systems fewer, because
# each costs all eigenvalues.
SAMPLES, SAMPLES_OF_LARGE, LARGE = 12, 4, 300
# All eigenvalues are computed up to this size: a few seconds each.
FORMED = 1000
# Modes slower than this share of the largest are the rounding of the eigenvalues.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Rates:
    """Eigenvalues of the Jacobian along a solution, and what can be read off them, each of shape (k,), unit 1/t."""

    times: NDArray[np.float64]
    weights: NDArray[np.float64]
    points: Sequence[NDArray[np.complex128]]
    fastest: NDArray[np.float64]
    slowest: NDArray[np.float64]
    frequency: NDArray[np.float64]
    growth: NDArray[np.float64]

    @property
    def stiffness(self) -> float:
        """The largest ratio of fastest to slowest decay."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where(self.slowest > 0, self.fastest / self.slowest, 1.0)
        return float(ratios.max())


def sample(fun: Any, reference: Any, jac: Any, sparsity: Any) -> Rates:
    """Look at the Jacobian along a reference solution (``solve_ivp`` with dense output)."""
    steps = np.asarray(reference.t)
    count = (SAMPLES if reference.y.shape[0] <= LARGE else SAMPLES_OF_LARGE) // 2
    by_step = steps[np.linspace(0, len(steps) - 1, count).astype(int)]
    times = np.unique(np.concatenate([np.linspace(steps[0], steps[-1], count + 2)[1:-1], by_step]))
    edges = np.concatenate([steps[:1], times[:-1] + 0.5 * np.diff(times), steps[-1:]])
    points = [_points(fun, float(t), reference.sol(t), jac, sparsity) for t in times]
    columns = zip(*map(_rates_of, points), strict=True)
    fastest, slowest, frequency, growth = (np.asarray(column) for column in columns)
    return Rates(times, np.diff(edges), points, fastest, slowest, frequency, growth)


def _points(fun: Any, t: float, y: NDArray[np.float64], jac: Any, sparsity: Any) -> NDArray[np.complex128]:
    """The eigenvalues of the Jacobian; of one too large to be formed the corners of its field of values."""
    form = jac is None and sparsity is None and y.size <= FORMED
    J = jacobian(fun, t, y, jac=jac, sparsity=sparsity, scheme="dense" if form else "auto")
    if J.entries is None or y.size > FORMED:
        spec = spectrum(J, kind="jacobian")
        points = spec.points if spec.field_of_values is None else spec.field_of_values
        return np.asarray([] if points is None else points, dtype=np.complex128)
    matrix = dense(J.entries)
    values = np.linalg.eigvalsh(matrix) if J.symmetric else np.linalg.eigvals(matrix)
    return values.astype(np.complex128)


def _rates_of(points: NDArray[np.complex128]) -> tuple[float, float, float, float]:
    """Fastest and slowest decay, largest frequency and growth."""
    real = points.real
    decay = -real[real < -ROUNDING * np.abs(points).max(initial=0.0)]
    return (
        float(decay.max(initial=0.0)),
        float(decay.min()) if decay.size else 0.0,
        float(np.abs(points.imag).max(initial=0.0)),
        float(np.maximum(real, 0.0).max(initial=0.0)),
    )
