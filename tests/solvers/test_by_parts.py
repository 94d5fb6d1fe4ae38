import numpy as np
import pytest
from solvers.functions import Smooth

from surefoot import rules
from surefoot.errors import InvalidInput
from surefoot.solvers import SAGA, SGD, Coordinate, descend_by_parts


class Rows(Smooth):
    """|Ax - b|^2/(2n) as a mean of its rows, and by its columns."""

    def __init__(self, A, b):
        self.A, self.b = A, b
        self.Q, self.c = A.T @ A / len(b), A.T @ b / len(b)
        super().__init__(self._both, np.zeros(A.shape[1]))

    def _both(self, x):
        r = self.A @ x - self.b
        return float(r @ r) / (2 * len(r)), self.A.T @ r / len(r)

    @property
    def terms(self):
        return len(self.b)

    def term_gradients(self, rows, x):
        return self.A[rows] * (self.A[rows] @ x - self.b[rows])[:, None]

    def term_curvatures(self):
        return (self.A**2).sum(axis=1)

    def partial(self, i, x):
        return float(self.Q[i] @ x - self.c[i])

    def coordinate_curvatures(self):
        return np.diag(self.Q)


RNG = np.random.default_rng(0)
A = RNG.standard_normal((50, 6)) * np.geomspace(0.5, 2, 50)[:, None]
NOISY = Rows(A, A @ RNG.standard_normal(6) + RNG.standard_normal(50))
SHARPEST = float(NOISY.term_curvatures().max())


class Every:
    """A generator that draws what it is told."""

    def __init__(self, i):
        self.i = i

    def choice(self, n, size, p):
        return np.full(size, self.i)

    def integers(self, n):
        return self.i


@pytest.mark.parametrize("importance", [False, True])
def test_sgd_is_unbiased(importance):
    x = RNG.standard_normal(6)
    sampler = SGD(importance=importance)
    memory = sampler.begin(NOISY, x)
    p = np.full(50, 1 / 50) if memory[0] is None else memory[0]
    mean = sum(p[i] * sampler.direction(memory, NOISY, x, Every(i)) for i in range(50))
    np.testing.assert_allclose(mean, -NOISY.gradient(x), rtol=1e-12)
    assert p.sum() == pytest.approx(1)


def test_saga_is_unbiased_at_any_table_and_keeps_its_mean():
    sampler, x = SAGA(), np.zeros(6)
    memory = sampler.begin(NOISY, x)
    for i in (3, 8, 3, 20):
        x = x + 0.01 * sampler.direction(memory, NOISY, x, Every(i))
        np.testing.assert_allclose(memory[1], memory[0].mean(axis=0), rtol=1e-12)
    directions = [sampler.direction([memory[0].copy(), memory[1].copy()], NOISY, x, Every(i)) for i in range(50)]
    np.testing.assert_allclose(np.mean(directions, axis=0), -NOISY.gradient(x), rtol=1e-12)


def test_saga_converges_at_the_proved_rate_where_sgd_stays_in_its_noise():
    step = rules.Constant(step=1 / (3 * SHARPEST))
    saga = descend_by_parts(NOISY, rule=step, sampler=SAGA(), passes=600, tol=1e-8)
    assert saga.converged
    mu = float(np.linalg.eigvalsh(NOISY.Q)[0])
    per_pass = (1 - min(1 / 200, mu / (3 * SHARPEST))) ** 50
    assert saga.verdict.rate <= per_pass**0.5
    sgd = descend_by_parts(NOISY, rule=step, sampler=SGD(), passes=200, tol=1e-8)
    assert not sgd.converged
    assert 1e-3 < sgd.trace.gradient_norm[-50:].mean() / sgd.trace.gradient_norm[0] < 0.5
    fading = descend_by_parts(
        NOISY, rule=rules.InverseTime(step=1 / (3 * SHARPEST), halving=500), sampler=SGD(), passes=200
    )
    assert fading.trace.gradient_norm[-50:].mean() < 0.3 * sgd.trace.gradient_norm[-50:].mean()


def test_sgd_interpolates_without_noise():
    exact = Rows(A, A @ np.ones(6))
    run = descend_by_parts(exact, rule=rules.Constant(step=1 / SHARPEST), sampler=SGD(batch=4), passes=600, tol=1e-8)
    assert run.converged
    np.testing.assert_allclose(run.x, np.ones(6), atol=1e-5)


def test_coordinate_steps_never_raise_the_loss_and_a_cycle_is_gauss_seidel():
    run = descend_by_parts(NOISY, rule=rules.Constant(step=1.0), sampler=Coordinate(), passes=300, tol=1e-10)
    assert run.converged
    assert (np.diff(run.trace.loss) <= 1e-15).all()
    swept = descend_by_parts(NOISY, rule=rules.Constant(step=1.0), sampler=Coordinate(cyclic=True), passes=1, tol=0)
    lower = np.tril(NOISY.Q)
    np.testing.assert_allclose(swept.x, np.linalg.solve(lower, NOISY.c), rtol=1e-12)


def test_the_same_seed_gives_the_same_run():
    runs = [
        descend_by_parts(NOISY, rule=rules.Constant(step=0.01), sampler=SGD(), passes=3, rng=seed).x
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).any()


def test_divergence_is_said_and_observing_rules_are_refused():
    run = descend_by_parts(NOISY, rule=rules.Constant(step=100.0), sampler=SGD(), passes=400)
    assert run.verdict.ending == "diverged"
    assert np.isfinite(run.x).all()
    with pytest.raises(InvalidInput, match="a part"):
        descend_by_parts(NOISY, rule=rules.Auto())
    with pytest.raises(InvalidInput, match="add a ridge"):
        descend_by_parts(
            Rows(np.ones((3, 2)) * [1, 0], np.ones(3)), rule=rules.Constant(step=1.0), sampler=Coordinate()
        )
    with pytest.raises(InvalidInput, match="batch"):
        SGD(batch=0)
