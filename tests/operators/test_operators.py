"""Every kind of operator multiplies as its matrix does, and bad ones are refused with the reason."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.linalg import LinearOperator, eigsh

from surefoot.errors import InvalidInput, InvalidType, NotFinite, NotRepeatable, NotSymmetric
from surefoot.operators import LinearMap, as_operator, gram, scaled, shifted
from surefoot.testing import check_operator

RNG = np.random.default_rng(5)
DENSE = RNG.standard_normal((6, 4))
COMPLEX = DENSE + 1j * RNG.standard_normal((6, 4))


class Duck:
    shape = (6, 4)

    def matvec(self, x):
        return DENSE @ x

    def rmatvec(self, y):
        return DENSE.T @ y


def pylops_operator():
    pylops = pytest.importorskip("pylops")
    return pylops.MatrixMult(DENSE)


SOURCES = {
    "array": lambda: DENSE,
    "list": lambda: DENSE.tolist(),
    "fortran": lambda: np.asfortranarray(DENSE),
    "csr matrix": lambda: sp.csr_matrix(DENSE),
    "coo array": lambda: sp.coo_array(DENSE),
    "dia array": lambda: sp.dia_array(DENSE),
    "LinearOperator": lambda: LinearOperator((6, 4), lambda x: DENSE @ x, lambda y: DENSE.T @ y, dtype=float),
    "LinearOperator without dtype": lambda: LinearOperator((6, 4), lambda x: DENSE @ x, lambda y: DENSE.T @ y),
    "pylops": pylops_operator,
    "duck": Duck,
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_every_source_multiplies_as_its_matrix(source):
    operator = as_operator(source())
    x, y = RNG.standard_normal(4), RNG.standard_normal(6)
    np.testing.assert_allclose(operator.matvec(x), DENSE @ x, rtol=1e-13)
    np.testing.assert_allclose(operator @ x[:, None], (DENSE @ x)[:, None], rtol=1e-13)
    np.testing.assert_allclose(operator.rmatvec(y), DENSE.T @ y, rtol=1e-13)
    check_operator(operator)


def test_complex_adjoint():
    operator = as_operator(COMPLEX)
    assert operator.complex
    assert check_operator(operator).adjoint < 1e-14
    product = gram(operator)
    x = RNG.standard_normal(4) + 1j * RNG.standard_normal(4)
    np.testing.assert_allclose(product.matvec(x), COMPLEX.conj().T @ (COMPLEX @ x), rtol=1e-12)


@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_array, lambda a: LinearMap(a.shape, a.__matmul__, a.T.__matmul__)])
def test_weighted_gram(wrap):
    weights = RNG.uniform(0, 2, 6)
    operator = gram(wrap(DENSE), weights)
    assert operator.psd
    assert operator.symmetric
    x = RNG.standard_normal(4)
    np.testing.assert_allclose(operator @ x, DENSE.T @ (weights * (DENSE @ x)), rtol=1e-12)


def test_shift_and_scale():
    matrix = DENSE.T @ DENSE
    diagonal = RNG.uniform(0.5, 2, 4)
    x = RNG.standard_normal(4)
    operator = scaled(shifted(as_operator(matrix), 0.3), diagonal)
    np.testing.assert_allclose(operator @ x, diagonal * ((matrix + 0.3 * np.eye(4)) @ (diagonal * x)), rtol=1e-12)
    assert shifted(gram(DENSE), 0.1).psd
    assert not shifted(gram(DENSE), -0.1).psd


def test_scipy_takes_an_operator_as_it_is():
    operator = gram(RNG.standard_normal((40, 30)))
    top = eigsh(operator, k=1, return_eigenvectors=False)[0]
    assert top == pytest.approx(np.linalg.svd(operator.factor.entries, compute_uv=False)[0] ** 2)


@given(st.sampled_from([np.int8, np.int64, np.bool_, np.float32, np.uint16]))
def test_any_numeric_dtype_becomes_float64(dtype):
    operator = as_operator(np.eye(3, dtype=dtype))
    assert operator.dtype == np.float64
    assert (operator @ np.ones(3) == 1).all()


@pytest.mark.parametrize(
    ("source", "error", "says"),
    [
        (np.ones(3), InvalidInput, "two dimensions"),
        (np.empty((0, 3)), InvalidInput, "empty"),
        (np.array([[1, np.nan], [0, 1]]), NotFinite, "1 NaN or infinite entries of 4"),
        (sp.csr_array(np.array([[1, np.inf], [0, 1]])), NotFinite, "NaN or infinite"),
        (np.array([["a", "b"], ["c", "d"]]), InvalidType, "numbers"),
        (np.array([[None, 1]], dtype=object), InvalidType, "numbers"),
        ([[1, 2], [3]], InvalidInput, "cannot read"),
        ("matrix", InvalidType, "str"),
        (3.0, InvalidType, "float"),
    ],
)
def test_bad_sources(source, error, says):
    with pytest.raises(error, match=says):
        as_operator(source)


def test_bad_vectors_and_products():
    operator = as_operator(DENSE)
    with pytest.raises(InvalidInput, match=r"4 entries; got shape \(5,\)"):
        operator.matvec(np.ones(5))
    with pytest.raises(InvalidInput, match="no adjoint"):
        LinearMap((3, 2), lambda x: np.ones(3)).rmatvec(np.ones(3))
    with pytest.raises(InvalidInput, match=r"returned shape \(2,\)"):
        LinearMap((3, 2), lambda x: np.ones(2)).matvec(np.ones(2))
    with pytest.raises(NotFinite, match="1 of 2 entries"):
        LinearMap((2, 2), lambda x: np.array([np.nan, 1])).matvec(np.ones(2))
    with pytest.raises(InvalidInput, match="nonnegative"):
        gram(DENSE, -np.ones(6))
    with pytest.raises(InvalidInput, match=r"weights must be a number or have shape \(6,\)"):
        gram(DENSE, np.ones(5))
    with pytest.raises(NotFinite, match="shift"):
        shifted(as_operator(np.eye(2)), np.nan)
    with pytest.raises(InvalidInput, match="square"):
        scaled(operator, 2.0)


def test_check_operator_finds_what_is_wrong():
    draws = np.random.default_rng(0)
    with pytest.raises(InvalidInput, match="not the adjoint"):
        check_operator(LinearMap((6, 4), DENSE.__matmul__, (2 * DENSE.T).__matmul__))
    with pytest.raises(InvalidInput, match="not linear"):
        check_operator(LinearMap((4, 4), lambda x: x**2))
    with pytest.raises(NotSymmetric):
        check_operator(LinearMap((4, 4), np.triu(np.ones((4, 4))).__matmul__, symmetric=True))
    with pytest.raises(NotRepeatable):
        check_operator(LinearMap((4, 4), lambda x: x * draws.uniform()))
