"""The stage equations of an implicit Runge-Kutta step, solved densely: for comparison, not for production."""

from typing import Any

import numpy as np

from surefoot.errors import InvalidInput
from surefoot.methods._base import Flow
from surefoot.methods._tableau import ButcherTableau

# Most unknowns of the dense solve: a matrix of 32 MB. For more, use SciPy's implicit solvers.
LARGEST = 2000
# Twelve digits in 30 iterations; an iteration that converges more slowly needs a shorter step.
ITERATIONS = 30
# Relative size of the last correction: a few rounding errors of the solve on a linear flow.
TOLERANCE = 1e-12
# Step of the one-sided differences, the root of eps: an inexact Jacobian costs iterations, not accuracy.
DIFFERENCE = 2.0**-26


def implicit_stages(tableau: ButcherTableau, x: Any, flow: Flow) -> np.ndarray[Any, Any]:
    """k_i = flow(x + sum_j a_ij k_j), by a simplified Newton iteration.

        (I - A kron Z) dk = flow(x + A k) - k,    Z = the derivative of the flow at x

    Parameters
    ----------
    tableau : ButcherTableau
    x : array, any shape, at most 2000 unknowns times stages
    flow : callable
        x to h F(x).

    Returns
    -------
    array, shape (stages, *x.shape)

    Raises
    ------
    InvalidInput
        If there are too many unknowns, or the iteration does not converge (a nonlinear flow and a large step).
    """
    x = np.asarray(x)
    s, n = tableau.stages, x.size
    if s * n > LARGEST:
        raise InvalidInput(
            f"an implicit step here solves {s * n} dense equations, more than {LARGEST}; "
            "use scipy.integrate.solve_ivp with method='Radau' or 'BDF'"
        )
    A = tableau.matrix
    base = np.asarray(flow(x))
    Z = np.empty((n, n), dtype=np.result_type(base, np.float64))
    size = max(1.0, float(np.abs(x).max(initial=0.0))) * DIFFERENCE
    for j in range(n):
        moved = x.astype(Z.dtype).reshape(-1)
        moved[j] += size
        Z[:, j] = (np.asarray(flow(moved.reshape(x.shape))) - base).reshape(-1) / size
    system = np.eye(s * n) - np.kron(A, Z)
    k = np.broadcast_to(base.reshape(-1), (s, n)).astype(Z.dtype)
    scale = max(float(np.abs(x).max(initial=0.0)), float(np.finfo(np.float64).tiny))
    for _ in range(ITERATIONS):
        points = x.reshape(-1) + A @ k
        residual = np.stack([np.asarray(flow(p.reshape(x.shape))).reshape(-1) for p in points]) - k
        correction = np.linalg.solve(system, residual.reshape(-1)).reshape(s, n)
        k = k + correction
        if float(np.abs(correction).max(initial=0.0)) <= TOLERANCE * max(scale, float(np.abs(k).max(initial=0.0))):
            return k.reshape(s, *x.shape)
    raise InvalidInput(
        "the stage equations did not converge: take a smaller step, or use solve_ivp with method='Radau'"
    )
