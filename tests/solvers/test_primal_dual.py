"""Primal-dual splitting against exact solutions, and on both sides of its limits."""

import numpy as np
import pytest

from surefoot.errors import InvalidInput, InvalidType
from surefoot.operators import convolution, gradient, stacked
from surefoot.problems import Deblurring, LeastSquares, Quadratic
from surefoot.rules import Constant
from surefoot.solvers import L1, Box, GroupL1, Nonnegative, SquaredDistance, descend, primal_dual
from surefoot.spectra import norm_squared

RNG = np.random.default_rng(7)


class At:
    """The indicator of one point: h(Kx) then says K x = point, the bilinear saddle <K x - point, y>."""

    def __init__(self, point):
        self.point = point

    def __call__(self, x):
        return 0.0 if np.allclose(x, self.point, atol=1e-6) else np.inf

    def prox(self, x, tau):
        return self.point


K = RNG.standard_normal((6, 4))
POINT = K @ np.array([1.0, -2.0, 3.0, 0.5])


def test_solves_linear_equations():
    run = primal_dual(None, K, At(POINT), tol=1e-10, steps=20_000)
    assert run.converged, repr(run)
    np.testing.assert_allclose(run.x, [1, -2, 3, 0.5], atol=1e-6)


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("ratio", [None, 0.1, 10.0])
def test_lasso_agrees_with_proximal_descent(adaptive, ratio):
    A, b = RNG.standard_normal((20, 8)), RNG.standard_normal(20)
    problem = LeastSquares(A, b)
    L = problem.curvature().largest.upper
    expected = descend(problem, rule=Constant(step=1 / L), penalty=L1(0.1), tol=1e-12, steps=5000)
    run = primal_dual(problem, np.eye(8), L1(0.1), ratio=ratio, adaptive=adaptive, tol=1e-10, steps=20_000)
    assert run.converged
    assert run.objective == pytest.approx(expected.loss, rel=1e-9)
    np.testing.assert_allclose(run.x, expected.x, atol=1e-6)
    limit = run.tau * (L / 2 + run.sigma * run.norm_squared.upper)
    np.testing.assert_allclose(limit, run.share)
    assert bool(np.ptp(run.sigma)) is adaptive


def test_total_variation_of_a_step_in_closed_form():
    """Two levels c cells apart from b: the step of height 1 shrinks by weight/4 at each end."""
    b = np.r_[np.zeros(4), np.ones(4)]
    for spread in (1.0, 50.0):
        D = gradient((8,))
        run = primal_dual(None, D, GroupL1(0.2 * spread, parts=1), g=SquaredDistance(spread * b), tol=1e-10)
        np.testing.assert_allclose(run.x, spread * np.r_[np.full(4, 0.05), np.full(4, 0.95)], atol=1e-6 * spread)


def test_total_variation_denoises_an_image():
    truth = np.zeros((32, 32))
    truth[8:24, 10:20] = 1
    noisy = truth + 0.2 * np.random.default_rng(0).standard_normal(truth.shape)
    run = primal_dual(None, gradient(truth.shape), GroupL1(0.25), g=SquaredDistance(noisy), tol=1e-4)
    assert run.converged
    assert run.norm_squared.upper_is == "exact"
    error = [float(np.sqrt(np.mean((x.reshape(truth.shape) - truth) ** 2))) for x in (noisy, run.x)]
    assert error[1] < error[0] / 3
    assert "0.99 of the limit" in str(run)


def blurred_disc():
    i, j = np.indices((32, 32))
    truth = ((i - 16) ** 2 + (j - 14) ** 2 < 60).astype(float)
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    A = convolution(kernel, truth.shape, "reflect")
    b = (A @ truth.ravel()).reshape(truth.shape) + 0.02 * np.random.default_rng(1).standard_normal(truth.shape)
    return truth, kernel, A, b


def test_total_variation_deblurring_two_ways():
    """The blur in the smooth part, or stacked over the gradient: one minimum."""
    truth, kernel, A, b = blurred_disc()
    problem, D, weight = Deblurring(b, kernel), gradient(truth.shape), 0.01
    smooth = primal_dual(problem, D, GroupL1(weight), g=Nonnegative(), tol=1e-5, steps=5000)

    class Both:
        """h(A x, D x)."""

        parts = SquaredDistance(b), GroupL1(weight)

        def __call__(self, p):
            return sum(h(part) for h, part in zip(self.parts, np.split(p, [b.size]), strict=True))

        def prox(self, p, tau):
            pieces = zip(self.parts, np.split(p, [b.size]), strict=True)
            return np.concatenate([h.prox(part, tau) for h, part in pieces])

    split = primal_dual(None, stacked([A, D]), Both(), g=Nonnegative(), tol=1e-4, steps=4000)
    assert smooth.converged
    assert split.converged
    assert split.norm_squared.upper_is == "exact"
    assert split.objective == pytest.approx(smooth.objective, rel=1e-3)
    assert np.linalg.norm(smooth.x - truth.ravel()) < 0.6 * np.linalg.norm(b - truth)
    assert smooth.x.min() >= 0


def test_adaptive_steps_need_no_luck_with_the_ratio():
    truth = np.zeros((24, 24))
    truth[6:18, 6:18] = 1
    noisy = truth + 0.1 * np.random.default_rng(2).standard_normal(truth.shape)
    counts = {}
    for adaptive in (False, True):
        for ratio in (1e-3, 1.0, 1e3):
            run = primal_dual(
                None,
                gradient(truth.shape),
                GroupL1(0.1),
                g=SquaredDistance(noisy),
                ratio=ratio,
                adaptive=adaptive,
                tol=1e-4,
                steps=4000,
            )
            counts[adaptive, ratio] = len(run.tau)
    assert max(counts[True, r] for r in (1e-3, 1.0, 1e3)) < 0.5 * max(counts[False, r] for r in (1e-3, 1e3))


@pytest.mark.parametrize(("share", "diverges"), [(1.05, False), (0.95 * 4 / 3, False), (1.05 * 4 / 3, True)])
def test_the_limit_of_chambolle_pock_is_four_thirds(share, diverges):
    """On the saddle <K x - b, y> the factor of the singular value s has determinant 1 - q, trace 2 - 2q, q = share."""
    run = primal_dual(None, K, At(POINT), share=share, adaptive=False, tol=1e-9, steps=20_000)
    assert run.diverged is diverges
    assert run.converged is not diverges


@pytest.mark.parametrize(("share", "diverges"), [(0.99, False), (1.05, True)])
def test_with_a_smooth_part_the_limit_is_one(share, diverges):
    problem = Quadratic(np.diag([1.0, 10.0]), [1.0, 1.0])
    weak = 1e-3 * np.eye(2)
    run = primal_dual(
        problem, weak, L1(1e-3), share=share, ratio=1e-6, adaptive=False, x0=[1.0, 1.0], tol=1e-9, steps=5000
    )
    assert run.diverged is diverges


def test_an_estimate_from_below_diverges_where_the_certified_norm_does_not():
    """One spike over a bulk at 0.7, where a short power iteration reads 0.7: then the true share is 1.41."""
    d = np.sqrt(np.r_[1.0, np.full(399, 0.7)])
    spike, point = np.diag(d), d.copy()
    x0 = np.zeros(400)
    estimate = primal_dual(None, spike, At(point), x0=x0, norm=0.7, adaptive=False, tol=1e-9, steps=20_000)
    certified = primal_dual(None, spike, At(point), x0=x0, adaptive=False, tol=1e-9, steps=20_000)
    assert estimate.diverged
    assert certified.converged


def test_scale_covariance():
    """K times c with sigma over c^2: the same iterates, with adaptive steps too."""
    for adaptive in (False, True):
        first, second = (
            primal_dual(None, c * K, At(c * POINT), ratio=1 / c**2, adaptive=adaptive, steps=50, tol=0)
            for c in (1.0, 100.0)
        )
        np.testing.assert_allclose(second.x, first.x, rtol=1e-6)


def test_colour_keeps_the_channels_apart():
    image = RNG.standard_normal((6, 7, 3))
    D = gradient(image.shape, axes=(0, 1))
    assert norm_squared(D).upper == pytest.approx(norm_squared(gradient((6, 7))).upper)
    together = primal_dual(None, D, GroupL1(0.2), g=SquaredDistance(image), tol=1e-8, steps=5000)
    for c in range(3):
        alone = primal_dual(
            None, gradient((6, 7)), GroupL1(0.2), g=SquaredDistance(image[..., c]), tol=1e-8, steps=5000
        )
        np.testing.assert_allclose(together.x.reshape(image.shape)[..., c].ravel(), alone.x, atol=1e-5)


def test_group_l1_prox_is_the_minimiser():
    h, p = GroupL1(0.7, parts=3), RNG.standard_normal(30)
    z = h.prox(p, 0.5)
    best = 0.5 * h(z) + 0.5 * np.sum((z - p) ** 2)
    for _ in range(50):
        other = z + 0.1 * RNG.standard_normal(30)
        assert 0.5 * h(other) + 0.5 * np.sum((other - p) ** 2) >= best
    np.testing.assert_array_equal(h.prox(np.zeros(30), 0.5), 0)
    assert GroupL1(0.0, parts=3).prox(p, 1.0).tolist() == p.tolist()


def test_callback_and_no_steps():
    seen = []
    run = primal_dual(None, K, At(POINT), tol=0, callback=lambda x, made: (seen.append(made), made == 3)[1])
    assert seen == [1, 2, 3]
    assert run.stopped == "stopped by the callback"
    assert len(primal_dual(None, K, At(POINT), steps=0).tau) == 0


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"h": abs}, InvalidType, "h must be a Proximal, with .*prox"),
        ({"g": 3}, InvalidType, "g must be a Proximal, with .*prox"),
        ({"K": 1j * K}, InvalidType, "K must be real"),
        ({"problem": Quadratic(np.eye(3))}, InvalidInput, "each of the 3 unknowns"),
        ({"share": 0.0}, InvalidInput, "share must be positive"),
        ({"ratio": -1.0}, InvalidInput, "ratio must be positive"),
        ({"norm": -1.0}, InvalidInput, "norm must be"),
        ({"steps": -1}, InvalidInput, ">= 0"),
        ({"x0": [1.0]}, InvalidInput, r"x0 must be finite and have shape \(4,\)"),
    ],
)
def test_bad_input_is_refused_with_the_reason(change, error, message):
    arguments = {"problem": None, "K": K, "h": Box(0, 1)} | change
    with pytest.raises(error, match=message):
        primal_dual(**arguments)


@pytest.mark.parametrize("bad", [-1.0, np.inf])
def test_bad_penalties_are_refused(bad):
    with pytest.raises(InvalidInput, match="weight"):
        GroupL1(bad)
    with pytest.raises(InvalidInput, match="weight"):
        SquaredDistance(np.zeros(2), bad)
    with pytest.raises(InvalidInput, match="parts"):
        GroupL1(1.0, parts=0)


def test_our_norm_in_pyproximal_and_its_penalties_in_ours():
    pyproximal = pytest.importorskip("pyproximal")
    pylops = pytest.importorskip("pylops")
    D = pylops.Gradient((12, 12), kind="forward", edge=False)
    noisy = RNG.standard_normal((12, 12))
    L = norm_squared(D).upper
    step = float(np.sqrt(0.99 / L))
    theirs = pyproximal.optimization.primaldual.PrimalDual(
        pyproximal.L2(b=noisy.ravel()),
        pyproximal.L21(ndim=2, sigma=0.3),
        D,
        x0=np.zeros(144),
        tau=step,
        mu=step,
        niter=2000,
    )
    ours = primal_dual(None, D, pyproximal.L21(ndim=2, sigma=0.3), g=pyproximal.L2(b=noisy.ravel()), tol=1e-8)
    np.testing.assert_allclose(ours.x, theirs, atol=1e-5)
