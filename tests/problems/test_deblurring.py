"""Deblurring: derivatives, free curvature, and runs that stop before they amplify the noise."""

import numpy as np
import pytest
from scipy import ndimage

import surefoot as sf
from surefoot import rules
from surefoot.errors import InvalidInput, InvalidType, NotFinite
from surefoot.operators import convolution
from surefoot.problems import Deblurring, LeastSquares, discrepancy, noise_level
from surefoot.solvers import FISTA, Box, Nonnegative
from surefoot.testing import check_operator

MODES = {"periodic": "wrap", "zero": "constant", "reflect": "reflect", "replicate": "nearest"}
each_boundary = pytest.mark.parametrize("boundary", MODES)


def gaussian(sigma):
    radius = 4 * sigma
    kernel = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    return np.outer(kernel, kernel) / kernel.sum() ** 2


def scene(size=96):
    """Blocks, a disc and a ramp, in [0, 1]."""
    i, j = np.indices((size, size)) / size
    image = 0.2 + 0.3 * j
    image[(abs(i - 0.3) < 0.15) & (abs(j - 0.3) < 0.2)] = 0.9
    image[(i - 0.65) ** 2 + (j - 0.6) ** 2 < 0.04] = 0.05
    image[(abs(i - 0.65) < 0.02) & (j > 0.1)] = 1.0
    return image


def observed(truth, kernel, noise, boundary="reflect", seed=0):
    blurred = ndimage.convolve(truth, kernel, mode=MODES[boundary])
    return blurred + noise * np.random.default_rng(seed).standard_normal(truth.shape)


def psnr(x, truth):
    return -10 * np.log10(np.mean((x.reshape(truth.shape) - truth) ** 2))


@each_boundary
def test_it_is_least_squares_with_the_blur_as_its_matrix(boundary):
    rng = np.random.default_rng(0)
    image, kernel = rng.standard_normal((5, 6)), rng.standard_normal((3, 3))
    problem = Deblurring(image, kernel, boundary, ridge=0.3)
    A = convolution(kernel, (5, 6), boundary)
    matrix = np.stack([A.matvec(unit) for unit in np.eye(30)], axis=1)
    same = LeastSquares(matrix, image.ravel(), ridge=0.3 / 30)
    x, v = rng.standard_normal((2, 30))
    assert problem.value(x) == pytest.approx(30 * same.value(x), rel=1e-12)
    np.testing.assert_allclose(problem.gradient(x), 30 * same.gradient(x), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(problem.hessian_product(x, v), 30 * same.hessian_product(x, v), rtol=1e-10, atol=1e-12)
    value, gradient = problem.value_and_gradient(x)
    assert value == problem.value(x)
    np.testing.assert_array_equal(gradient, problem.gradient(x))
    check_operator(problem.hessian(x))
    truth = 30 * same.curvature().largest.upper
    found = problem.curvature()
    assert found.largest.lower * (1 - 1e-12) <= truth <= found.largest.upper * (1 + 1e-12)
    assert found.largest.upper <= truth * 1.0011
    assert found.smallest.lower == pytest.approx(0.3, abs=truth * 1e-3)


def test_colour_blurs_each_channel_alike():
    rng = np.random.default_rng(1)
    image, kernel = rng.standard_normal((7, 8, 3)), rng.standard_normal((3, 3))
    together = Deblurring(image, kernel, "reflect", ridge=0.1)
    channels = [Deblurring(image[..., c], kernel, "reflect", ridge=0.1) for c in range(3)]
    x = rng.standard_normal(image.shape)
    assert together.colour
    assert together.value(x.ravel()) == pytest.approx(sum(p.value(x[..., c].ravel()) for c, p in enumerate(channels)))
    parts = np.stack([p.as_image(p.gradient(x[..., c].ravel())) for c, p in enumerate(channels)], axis=-1)
    np.testing.assert_allclose(together.as_image(together.gradient(x.ravel())), parts, atol=1e-12)
    one, all_three = channels[0].curvature().largest, together.curvature().largest
    assert all_three.upper == pytest.approx(one.upper, rel=1e-3)
    assert together.name == "deblurring, 7 x 8 x 3, reflect boundary, ridge 0.1"


def test_the_curvature_of_a_separable_blur_costs_no_product():
    for boundary in MODES:
        found = Deblurring(np.zeros((40, 50)), gaussian(2), boundary).curvature()
        assert (found.products, found.provenance) == (0, "closed form")


def test_scale_covariance():
    """Data times c: the value times c^2, the noise times c, the curvature and the stopping point the same."""
    truth, kernel = scene(48), gaussian(2)
    b = observed(truth, kernel, 0.01)
    runs = []
    for c in (1.0, 256.0):
        problem = Deblurring(c * b, kernel)
        stop = discrepancy(problem)
        runs.append((problem, sf.descend(problem, rule=rules.Constant(step=1.0), steps=60, callback=stop)))
    (small, first), (large, second) = runs
    assert large.noise == pytest.approx(256 * small.noise)
    assert second.evaluations == first.evaluations
    np.testing.assert_allclose(second.x, 256 * first.x, rtol=1e-9)


@pytest.mark.parametrize("noise", [0.002, 0.01, 0.05])
@pytest.mark.parametrize("colour", [False, True])
def test_noise_is_read_off_a_blurred_image(noise, colour):
    truth = scene()
    b = observed(truth, gaussian(2), noise)
    if colour:
        b = np.stack([b, observed(truth, gaussian(2), noise, seed=1)], axis=-1)
    assert 0.97 * noise <= noise_level(b, colour=colour) <= 1.12 * noise  # edges read as noise: high, the safe side
    assert Deblurring(b, gaussian(2)).noise_is == "estimated"


def test_noise_of_a_line_and_of_a_constant():
    line = np.random.default_rng(0).standard_normal(20_000)
    assert noise_level(line) == pytest.approx(1, rel=0.03)
    assert noise_level(line[None, :]) == pytest.approx(1, rel=0.03)
    assert noise_level(np.ones((4, 4))) == 0


RUNS = [
    ("1/L", rules.Constant(step=1.0), None, None),
    ("1.99/L", rules.Constant(step=1.99), None, None),
    ("FISTA", rules.Constant(step=1.0), FISTA(), None),
    ("FISTA in a box", rules.Constant(step=1.0), FISTA(), Box(0, 1)),
    ("BB", rules.BarzilaiBorwein(), None, None),
    ("BB nonnegative", rules.BarzilaiBorwein(), None, Nonnegative()),
    ("AdGD", rules.AdGD(), None, None),
    ("auto", rules.Auto(), None, None),
]


@pytest.mark.parametrize(("rule", "method", "penalty"), [r[1:] for r in RUNS], ids=[r[0] for r in RUNS])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("sigma", "noise"), [(1, 0.02), (2, 0.01), (3, 0.003)])
def test_no_stopped_run_ends_a_decibel_under_its_own_best(rule, method, penalty, known, sigma, noise):
    """Not under the best that it passed, and little under what an oracle would pick from the run without a stop."""
    truth = scene(64)
    problem = Deblurring(observed(truth, gaussian(sigma), noise), gaussian(sigma), noise=noise if known else None)
    seen = []
    stop = discrepancy(problem)
    ended = []

    def watch(x, loss):
        seen.append(psnr(x, truth))
        if not ended and stop(x, loss):
            ended.append(len(seen) - 1)

    sf.descend(problem, rule=rule, method=method, penalty=penalty, steps=150, tol=0, callback=watch)
    end = ended[0] if ended else len(seen) - 1
    assert ended or rule.step < 2  # slow rules may not be there yet, where there is little noise
    assert seen[end] > seen[0] + 1.5
    assert seen[end] >= max(seen[: end + 1]) - 0.2
    assert seen[end] >= max(seen) - 1.3


def test_without_a_stop_a_fast_run_amplifies_noise():
    truth = scene(64)
    problem = Deblurring(observed(truth, gaussian(2), 0.02), gaussian(2))
    run = sf.descend(problem, rule=rules.BarzilaiBorwein(), steps=400, tol=0)
    stopped = sf.descend(problem, rule=rules.BarzilaiBorwein(), steps=400, tol=0, callback=discrepancy(problem))
    assert psnr(run.x, truth) < psnr(stopped.x, truth) - 3


@pytest.mark.slow
def test_the_camera():
    """512 x 512, Gaussian of sigma 3, 1% noise: 25.6 dB in at most 15 gradients."""
    data = pytest.importorskip("skimage.data")
    truth, kernel = data.camera() / 255.0, gaussian(3)
    b = observed(truth, kernel, 0.01, "zero")
    assert psnr(b, truth) == pytest.approx(23.01, abs=0.02)
    for noise in (0.01, None):
        problem = Deblurring(b, kernel, "zero", noise=noise)
        assert problem.noise == pytest.approx(0.01, rel=0.02)
        run = sf.descend(problem, rule=rules.Auto(), steps=50, callback=discrepancy(problem))
        assert run.stopped == "stopped by the callback"
        assert run.evaluations <= 15
        assert psnr(run.x, truth) >= 25.6


def test_the_limit_divides_descent_from_divergence():
    problem = Deblurring(observed(scene(32), gaussian(1), 0.01), gaussian(1), "zero")
    L = problem.curvature().largest.upper
    start = np.ones(problem.size)
    losses = [sf.descend(problem, start, rule=rules.Constant(step=s / L), steps=2000, tol=0).loss for s in (1.98, 2.02)]
    assert losses[0] < problem.value(start) < losses[1]


def test_a_callback_costs_no_product():
    problem = Deblurring(observed(scene(32), gaussian(1), 0.01), gaussian(1))
    calls = []
    product = problem.operator.matvec
    problem.operator.matvec = lambda x: (calls.append(1), product(x))[1]
    run = sf.descend(problem, rule=rules.Constant(step=1.0), steps=5, tol=0, callback=discrepancy(problem, noise=0.0))
    assert len(calls) == run.evaluations == 6


KERNEL = np.ones((3, 3)) / 9


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Deblurring(np.zeros(4), KERNEL), InvalidInput, "kernel must have an axis"),
        (lambda: Deblurring(np.zeros((2, 2, 2, 2)), KERNEL), InvalidInput, "kernel must have an axis"),
        (lambda: Deblurring(np.zeros((0, 4)), KERNEL), InvalidInput, "at least one axis and one sample"),
        (lambda: Deblurring(3.0, KERNEL), InvalidInput, "at least one axis"),
        (lambda: Deblurring([[1], [1, 2]], KERNEL), InvalidType, "image must be an array of numbers"),
        (lambda: Deblurring(np.full((3, 3), np.nan), KERNEL), NotFinite, "9 NaN or infinite samples of 9"),
        (lambda: Deblurring(np.zeros((3, 3), complex), KERNEL), InvalidType, "real numbers"),
        (lambda: Deblurring(np.zeros((3, 3)), KERNEL, "wrap"), InvalidInput, "boundary must be 'periodic'"),
        (lambda: Deblurring(np.zeros((3, 3)), KERNEL, noise=-1), InvalidInput, "noise must be finite and >= 0"),
        (lambda: Deblurring(np.zeros((3, 3)), KERNEL, ridge=-1), InvalidInput, "ridge must be finite and >= 0"),
        (
            lambda: discrepancy(Deblurring(np.zeros((3, 3)), KERNEL), tau=0.9),
            InvalidInput,
            "tau must be in .1, inf.; got 0.9; below 1",
        ),
        (lambda: discrepancy(Deblurring(np.zeros((3, 3)), KERNEL), noise=-1), InvalidInput, "noise must be"),
        (lambda: noise_level(np.zeros((1, 1))), InvalidInput, "two samples"),
        (lambda: Deblurring(np.zeros((3, 3)), KERNEL).value(np.zeros(8)), InvalidInput, r"\(9,\)"),
    ],
)
def test_bad_input_is_refused_with_the_reason(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_the_data_are_copied():
    image = np.ones((4, 4))
    problem = Deblurring(image, KERNEL)
    before = problem.value(np.zeros(16))
    image[:] = 7
    assert problem.value(np.zeros(16)) == before
    problem.start()[:] = 7
    assert problem.value(problem.data) == problem.value(problem.start())
