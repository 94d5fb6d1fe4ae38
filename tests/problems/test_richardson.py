"""Richardson's iteration is gradient descent on least squares."""

import numpy as np
import pytest

import surefoot as sf
from surefoot import rules
from surefoot.problems import LeastSquares, Quadratic

RNG = np.random.default_rng(3)


def richardson(A, b, omega, steps):
    """x <- x + omega A'(b - A x)."""
    x = np.zeros((A.shape[1], 1))
    for _ in range(steps):
        yield x.ravel()
        x = x + omega * (A.T @ (b[:, None] - A @ x))


def test_richardson_is_gradient_descent_bit_for_bit():
    """On the normal equations; with 32 rows the mean over them is exact, so that nothing is rounded differently."""
    rng = np.random.default_rng(0)  # its own: how soon the gradient is exactly zero depends on the draw
    A, b = rng.standard_normal((32, 5)), rng.standard_normal(32)
    omega = 1.7 / np.linalg.norm(A, 2) ** 2
    path = []
    sf.descend(
        LeastSquares(A, b), rule=rules.Constant(step=32 * omega), steps=200, tol=0, callback=lambda x, _: path.append(x)
    )
    assert len(path) > 100
    for x, y in zip(path, richardson(A, b, omega, len(path)), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("rows", [7, 30, 100])
def test_richardson_is_gradient_descent_for_any_number_of_rows(rows):
    A, b = RNG.standard_normal((rows, 5)), RNG.standard_normal(rows)
    omega = 1.7 / np.linalg.norm(A, 2) ** 2
    for problem, step in ((LeastSquares(A, b), rows * omega), (Quadratic(A.T @ A, A.T @ b), omega)):
        path = []
        sf.descend(problem, rule=rules.Constant(step=step), steps=50, tol=0, callback=lambda x, _, p=path: p.append(x))
        for x, y in zip(path, richardson(A, b, omega, len(path)), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-13)
