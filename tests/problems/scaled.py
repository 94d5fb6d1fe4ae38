"""Data in unlike units, and what the tests of preconditioners ask of a problem in other variables."""

import numpy as np

RNG = np.random.default_rng(3)
SCALES = np.array([1.0, 100.0, 0.01, 3.0])
X = (RNG.standard_normal((30, 4)) + np.array([2.0, 0.0, -1.0, 0.5])) * SCALES
TARGET = RNG.standard_normal(30)
LABELS = (RNG.standard_normal(30) > 0).astype(int)
MANY = RNG.permutation(30) % 3
FULL = RNG.standard_normal((5, 5)) + 4 * np.eye(5)


def matrix_of(problem, x=None):
    """The Hessian, by products."""
    x = problem.start() if x is None else x
    return np.stack([problem.hessian_product(x, e) for e in np.eye(problem.size)])


def change_matrix(changed):
    """S."""
    return np.stack([changed.to_original(e) for e in np.eye(changed.size)], axis=1)


def condition(problem):
    """L/mu, from above."""
    spec = problem.curvature()
    return spec.largest.upper / max(spec.smallest.lower, 1e-300)
