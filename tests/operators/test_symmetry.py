"""What a matrix is: asymmetry by rounding is removed, more is asked about."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import surefoot as sf
from surefoot.errors import NotSymmetric
from surefoot.operators import MatrixOperator
from surefoot.operators.symmetry import asymmetry
from surefoot.problems import Quadratic


def gram(dtype, rows=1000, columns=6, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, columns)).astype(dtype) * np.logspace(-2, 2, columns).astype(dtype)
    w = rng.uniform(size=rows).astype(dtype)
    return X.T @ (w[:, None] * X) / rows


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("wrap", [np.asarray, np.float64, sp.csr_array, sp.csc_matrix, np.ndarray.tolist])
def test_rounding_of_a_product_is_no_jacobian(dtype, wrap):
    H = gram(dtype)
    truth = np.linalg.eigvalsh((H + H.T) / 2.0)
    lim = sf.limits(wrap(H))
    assert lim.stable == pytest.approx(2 / truth[-1], rel=1e-6)
    assert lim.safe is not None
    assert sf.spectrum(wrap(H)).kind == "curvature"


def test_it_says_so_with_the_amount():
    H = np.array([[2.0, 1.0], [1.0 + 1e-14, 3.0]])
    found, lim = sf.spectrum(H), sf.limits(H)
    assert "differed by 3.3e-15" in found.note
    assert "differed by 3.3e-15" in lim.reasons["matrix"]
    assert "differed by 3.3e-15" in str(lim)
    assert sf.spectrum([[2.0, 1.0], [1.0, 3.0]]).note == ""


@pytest.mark.parametrize(
    ("dtype", "limit"), [(np.float64, 1000 * 2.0**-52), (np.float32, 1000 * 2.0**-23), (np.float16, 0.01)]
)
def test_the_promised_multiple_from_both_sides(dtype, limit):
    # one row's scale is 1, so the gap is the asymmetry
    for factor, symmetric in ((0.9, True), (1.1, False)):
        matrix = np.array([[1.0, 0.25], [0.25 + factor * limit, 1.0]], dtype=dtype)
        assert MatrixOperator(matrix).symmetric is symmetric


def test_more_is_asked_about_and_either_answer_is_taken():
    matrix = np.array([[2.0, 1.0], [1.1, 3.0]])
    for ask in (sf.limits, sf.spectrum):
        with pytest.raises(NotSymmetric, match="pass kind='jacobian'"):
            ask(matrix)
        with pytest.raises(NotSymmetric, match="pass kind='jacobian'"):
            ask(sp.csr_array(matrix))
        assert ask(matrix, kind="jacobian").scope == "global"
        assert ask((matrix + matrix.T) / 2).scope == "global"
        with pytest.raises(NotSymmetric, match="curvature"):
            ask(matrix, kind="curvature")


def test_products_alone_are_asked_about_too():
    matrix = np.random.default_rng(0).standard_normal((30, 30))
    plain = sp.linalg.aslinearoperator(matrix)
    with pytest.raises(NotSymmetric, match="nothing says what it is; pass kind='jacobian'"):
        sf.spectrum(plain)
    assert sf.spectrum(plain, kind="jacobian").kind == "jacobian"
    assert sf.spectrum(plain, symmetric=False).kind == "jacobian"


def test_differences_pass_for_a_curvature():
    A = np.random.default_rng(3).standard_normal((5, 5))
    Q = A @ A.T

    def value(x):
        return 0.5 * x @ Q @ x + 0.1 * np.sum(np.cos(x))

    def gradient(x, h=1e-5):
        return np.array([(value(x + h * e) - value(x - h * e)) / (2 * h) for e in np.eye(5)])

    x = np.ones(5)
    H = np.array([(gradient(x + 1e-4 * e) - gradient(x)) / 1e-4 for e in np.eye(5)])
    assert 1e-12 < asymmetry(H) < 1e-4
    found = sf.spectrum(H, kind="curvature")
    assert found.largest.upper == pytest.approx(np.linalg.eigvalsh(Q - 0.1 * np.diag(np.cos(x)))[-1], rel=1e-4)
    assert "made symmetric" in found.note
    assert Quadratic(H).curvature().largest.upper == pytest.approx(found.largest.upper)


def test_a_small_rotation_beside_a_large_decay_is_not_rounding():
    # the rotation is 1e-9 of the largest entry and all of its own rows: no step of Euler is stable
    for dtype in (np.float32, np.float64):
        matrix = np.array([[-1e9, 0, 0], [0, 0, 1], [0, -1, 0]], dtype=dtype)
        assert sf.limits(matrix, kind="jacobian").stable == 0.0
        with pytest.raises(NotSymmetric):
            sf.spectrum(matrix)
    J = sf.jacobian(lambda t, y: [-1e9 * y[0], y[2], -y[1]], 0.0, [1.0, 1.0, 1.0])
    assert sf.limits(J).stable == 0.0


def test_a_matrix_of_simple_numbers_was_written_so():
    # float32 holds it, but no rounding makes a 1 and a -1
    with pytest.raises(NotSymmetric):
        sf.spectrum([[-65536.0, 1.0], [-1.0, -1.0]])


def test_data_are_not_changed():
    X = gram(np.float32).astype(np.float64)
    assert asymmetry(X) > 0
    operator = sf.operators.gram(X)
    np.testing.assert_array_equal(operator.factor.entries, X)
    gradient = sf.problems.LeastSquares(X, np.zeros(6)).gradient(np.ones(6))
    np.testing.assert_allclose(gradient, X.T @ X.sum(axis=1) / 6, rtol=1e-13)


@given(st.integers(0, 10_000), st.floats(1e-300, 1e300))
@settings(max_examples=50)
def test_the_measure_has_no_scale_and_is_at_most_two(seed, scale):
    matrix = np.random.default_rng(seed).standard_normal((4, 4))
    here = asymmetry(matrix)
    assert here <= 2
    assert asymmetry(scale * matrix) == pytest.approx(here, rel=1e-9)
    assert asymmetry(sp.csr_array(matrix)) == here
    assert asymmetry(matrix + matrix.T) == 0


def test_entries_at_the_ends_of_the_range():
    assert asymmetry(np.array([[0.0, 1.7e308], [-1.7e308, 0.0]])) == 2
    assert asymmetry(np.array([[0.0, 5e-324], [5e-324, 0.0]])) == 0
