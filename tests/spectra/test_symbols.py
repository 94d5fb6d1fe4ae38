"""Closed-form norms against known values, dense matrices and measured ones; none of them costs a product."""

import numpy as np
import pytest

import surefoot as sf
from surefoot.operators import Operator, block_diagonal, convolution, divergence, gradient, gram, kronecker, stacked
from surefoot.operators import shifted as shift
from surefoot.spectra import Bounds, gram_ends, norm_squared

BOUNDARIES = ["periodic", "zero", "reflect", "replicate"]
each_boundary = pytest.mark.parametrize("boundary", BOUNDARIES)
RNG = np.random.default_rng(3)


def gaussian(sigma, radius):
    kernel = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    return kernel / kernel.sum()


def singular_values(operator):
    matrix = np.stack([operator.matvec(unit) for unit in np.eye(operator.shape[1])], axis=1)
    return np.linalg.svd(matrix, compute_uv=False)


@pytest.fixture
def no_products(monkeypatch):
    def refused(self, *_):
        raise AssertionError("a product was made")

    monkeypatch.setattr(Operator, "matvec", refused)
    monkeypatch.setattr(Operator, "rmatvec", refused)


WIDE, BLUR = gaussian(3, 12), gaussian(2, 8)
SKEW = np.array([0.8**4, 0.8**3, 0.8**2, 0.8, 1, 0, 0, 0, 0])
SKEW = SKEW / SKEW.sum()


@pytest.mark.parametrize(
    ("kernel", "shape", "boundary", "expected", "tolerance"),
    [
        (BLUR, (64,), "periodic", 1, 1e-12),
        (BLUR, (64,), "reflect", 1, 1e-12),
        (BLUR, (64,), "zero", 0.9910934416, 1e-9),
        (BLUR, (64,), "replicate", 1.01585195, 1e-7),
        ([-1, 2, -1], (64,), "zero", 15.98132108, 1e-7),
        ([-1, 2, -1], (64,), "reflect", 15.9807331, 1e-7),
        ([-1, 2, -1], (64,), "periodic", 16, 1e-7),
        (np.outer(WIDE, WIDE), (512, 512), "periodic", 1, 1e-12),
        (np.outer(WIDE, WIDE), (512, 512), "reflect", 1, 1e-12),
        (np.outer(WIDE, WIDE), (512, 512), "zero", 0.999332188626, 1e-10),
        (np.outer(WIDE, WIDE), (512, 512), "replicate", 1.133749797937, 1e-10),
        (np.outer(SKEW, SKEW), (64, 64), "replicate", 3.8017, 1e-4),
        (np.outer(SKEW, SKEW), (64, 64), "reflect", 1.8470, 1e-4),
    ],
)
def test_known_values(kernel, shape, boundary, expected, tolerance, no_products):
    found = norm_squared(convolution(kernel, shape, boundary))
    assert found.upper == pytest.approx(expected, rel=tolerance)
    assert found.upper - found.lower <= tolerance * expected
    assert found.failure == 0


def test_neumann_gradient(no_products):
    assert norm_squared(gradient((512, 512))).upper == pytest.approx(7.999924701130405, rel=1e-12)


@each_boundary
@pytest.mark.parametrize(
    ("taps", "shape"), [((3,), (6,)), ((4,), (7,)), ((9,), (5,)), ((3, 3), (5, 4)), ((3, 2), (4, 6)), ((5, 1), (6, 3))]
)
@pytest.mark.parametrize("kind", ["any", "even", "separable"])
def test_a_closed_form_holds_the_dense_singular_values(boundary, taps, shape, kind):
    kernel = RNG.standard_normal(taps)
    if kind == "even":
        for axis in range(len(taps)):
            kernel = kernel + np.flip(kernel, axis)
    elif kind == "separable" and len(taps) == 2:
        kernel = np.outer(kernel[:, 0], kernel[0])
    operator = convolution(kernel, shape, boundary)
    squares = singular_values(operator) ** 2
    certified = norm_squared(operator)
    slack = 1e-12 * squares[0]
    assert certified.lower - slack <= squares[0] <= certified.upper + slack
    assert certified.upper <= squares[0] * (1 + 1.001e-3)
    known = gram_ends(operator)
    if known is not None:
        assert known[0].lower - slack <= squares[-1] <= known[0].upper + slack
        assert squares[0] <= known[1].upper + slack


@each_boundary
def test_a_closed_form_exists_where_it_should(boundary):
    """Periodic always; reflective with an even kernel; separable always; zero at least an upper bound."""
    lopsided = RNG.standard_normal((3, 3))
    even = np.array([[1, 2, 1], [3, 5, 3], [1, 2, 1.0]])
    assert (gram_ends(convolution(lopsided, (9, 9), boundary)) is None) is (boundary in ("reflect", "replicate"))
    assert (gram_ends(convolution(even, (9, 9), boundary)) is None) is (boundary == "replicate")
    assert gram_ends(convolution(np.outer(lopsided[0], lopsided[1]), (9, 9), boundary)) is not None


def test_youngs_bound_fails_where_it_is_not_used():
    for boundary in ("replicate", "reflect"):
        assert norm_squared(convolution(np.outer(SKEW, SKEW), (64, 64), boundary)).lower > 1.8  # Young: 1
    for boundary in ("periodic", "zero"):
        assert norm_squared(convolution(np.outer(SKEW, SKEW), (64, 64), boundary)).upper <= 1 + 1e-12


@each_boundary
def test_a_measured_norm_agrees_with_the_closed_one(boundary):
    """Hidden from the closed forms as a plain operator."""
    operator = convolution(np.outer(BLUR, SKEW), (20, 24), boundary)

    class Duck:
        shape = operator.shape
        matvec = staticmethod(operator.matvec)
        rmatvec = staticmethod(operator.rmatvec)

    measured, closed = norm_squared(Duck()), norm_squared(operator)
    assert measured.lower <= closed.upper * (1 + 1e-12)
    assert closed.upper <= measured.upper
    assert measured.width <= 1e-3 * measured.upper


def test_scale_covariance():
    kernel = RNG.standard_normal((3, 3))
    for boundary in BOUNDARIES:
        one, ten = (norm_squared(convolution(c * kernel, (6, 7), boundary)).upper for c in (1, 10))
        assert ten == pytest.approx(100 * one, rel=1e-9)


def test_a_long_line_is_bisected_to_the_same_value():
    operators = [convolution(BLUR, (n,), b) for n in (1024, 1025) for b in ("zero", "replicate")]
    solved, bisected = [norm_squared(A) for A in operators[:2]], [norm_squared(A) for A in operators[2:]]
    for near, far in zip(solved, bisected, strict=True):
        assert far.width <= 1e-11
        assert far.upper_is == "proved"
        assert far.upper == pytest.approx(near.upper, abs=1e-6)
    # symmetric Toeplitz: 1 - lambda falls as 1/N^2
    assert 0 < bisected[0].upper - solved[0].upper < 1e-7


def test_stacked_with_common_eigenvectors_is_exact(no_products):
    blur, steep = np.outer(BLUR, BLUR), 0.3
    K = stacked([convolution(blur, (64, 48), "reflect"), gradient((64, 48))], [1, steep])
    found = gram_ends(K)
    assert found is not None
    smallest, largest = found
    assert largest.lower_is == largest.upper_is == "exact"
    cosines = [np.cos(np.pi * np.outer(np.arange(-8, 9), np.arange(n)) / n) for n in (64, 48)]
    waves = [4 * np.sin(np.pi * np.arange(n) / (2 * n)) ** 2 for n in (64, 48)]
    values = np.outer(BLUR @ cosines[0], BLUR @ cosines[1]) ** 2 + steep**2 * np.add.outer(*waves)
    assert largest.upper == pytest.approx(values.max(), rel=1e-12)
    assert smallest.upper == pytest.approx(values.min(), rel=1e-9)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("edge", ["neumann", "periodic"])
def test_compositions_hold_the_dense_singular_values(boundary, edge):
    A, D = convolution(np.outer([1, 2, 1], [1, -3, 2]), (4, 5), boundary), gradient((4, 5), edge, spacing=0.7)
    for operator in (
        stacked([A, D], [1, 0.5]),
        stacked([A, D], [1, 0]),
        block_diagonal([A, D]),
        kronecker(RNG.standard_normal((2, 3)), A),
        divergence((4, 5), edge),
        D,
    ):
        squares = singular_values(operator) ** 2
        known = gram_ends(operator)
        assert known is not None
        assert known[1].lower * (1 - 1e-12) <= squares[0] <= known[1].upper * (1 + 1e-12)
        least = squares[-1] if operator.shape[0] >= operator.shape[1] else 0.0
        assert known[0].lower - 1e-12 <= least <= known[0].upper + 1e-12
        assert norm_squared(operator).width <= 1e-3 * squares[0]


def test_ridge_and_spectrum_without_a_product(no_products):
    A = convolution(np.outer(WIDE, WIDE), (128, 128), "zero")
    plain, ridged = sf.spectrum(gram(A)), sf.spectrum(shift(gram(A), 0.25))
    assert plain.provenance == "closed form"
    assert plain.products == 0
    assert ridged.largest.upper == pytest.approx(plain.largest.upper + 0.25)
    assert ridged.smallest.lower == pytest.approx(0.25)
    assert sf.limits(ridged).stable == pytest.approx(2 / ridged.largest.upper)


def test_a_diagonal_shift_is_enclosed():
    A, d = convolution(BLUR, (40,), "zero"), RNG.uniform(0, 2, 40)
    found = sf.spectrum(shift(gram(A), d), rtol=1e-6)
    truth = np.linalg.eigvalsh(np.stack([A.rmatvec(A.matvec(u)) for u in np.eye(40)]) + np.diag(d))
    assert found.largest.contains(truth[-1])
    assert found.smallest.contains(truth[0])


def test_an_operator_of_your_own_joins():
    class Twice(Operator):
        def _apply(self, x):
            raise AssertionError("a product was made")

    @gram_ends.register
    def _(operator: Twice):
        return Bounds.exactly(4.0), Bounds.exactly(4.0)

    assert norm_squared(Twice((30, 30))).upper == 4
    assert norm_squared(block_diagonal([Twice((3, 3)), convolution([3], (5,))])).upper == 9


def test_zero_kernel_and_no_adjoint():
    for boundary in BOUNDARIES:
        assert norm_squared(convolution(np.zeros((3, 3)), (5, 5), boundary)).upper == 0
    with pytest.raises(ValueError, match="no adjoint"):
        norm_squared(sf.operators.LinearMap((3, 4), lambda x: x[:3]))


def test_pylops_operators_go_straight_in():
    pylops = pytest.importorskip("pylops")
    D = pylops.Gradient((12, 10), edge=True, kind="forward")
    found = norm_squared(D)
    truth = np.linalg.norm(D.todense(), 2) ** 2
    assert found.lower <= truth <= found.upper
    assert found.width <= 1e-3 * truth
