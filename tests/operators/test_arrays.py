"""Operators whose vectors are no NumPy arrays: a product stays in the array's library, NumPy in gives NumPy out."""

import numpy as np
import pytest

import surefoot as sf
from surefoot.errors import InvalidInput, InvalidType, NotFinite, NotSymmetric
from surefoot.operators import (
    LinearMap,
    Space,
    as_operator,
    block_diagonal,
    gram,
    kronecker,
    scaled,
    shifted,
    stacked,
)
from surefoot.testing import check_operator

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(5)
DENSE = RNG.standard_normal((6, 4)).astype(np.float32)
T = torch.from_numpy(DENSE)


def csr(tensor):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls its CSR layout beta
        return tensor.to_sparse_csr()


MATRICES = {
    "dense": lambda: T,
    "double": lambda: T.double(),
    "complex": lambda: T.to(torch.complex64) * (1 + 2j),
    "bfloat16": lambda: T.bfloat16(),
    "integers": lambda: torch.arange(24).reshape(6, 4),
    "COO": lambda: T.to_sparse(),
    "CSR": lambda: csr(T),
    "a parameter": lambda: torch.nn.Parameter(T),
}


@pytest.mark.parametrize("name", MATRICES)
def test_a_tensor_multiplies_as_its_matrix(name):
    matrix = MATRICES[name]()
    operator = as_operator(matrix)
    dense = matrix.detach().to_dense() if matrix.layout != torch.strided else matrix.detach()
    dense = dense.to(operator.space.dtype)
    x, y = torch.randn(4).to(dense.dtype), torch.randn(6).to(dense.dtype)
    product = operator @ x
    assert product.dtype == dense.dtype
    assert not product.requires_grad
    torch.testing.assert_close(product, dense @ x)
    torch.testing.assert_close(operator.rmatvec(y), dense.mH @ y)
    host = operator @ x.numpy()
    assert isinstance(host, np.ndarray)
    assert host.dtype == operator.dtype
    np.testing.assert_allclose(host, product.numpy(), rtol=1e-6)
    np.testing.assert_allclose(operator @ x[:, None].numpy(), host[:, None], rtol=1e-6)
    check_operator(operator)


def test_the_operator_says_where_its_vectors_live():
    operator = as_operator(T)
    assert operator.space.xp.__name__.endswith("torch")
    assert str(operator.space.device) == "cpu"
    assert operator.space.dtype == torch.float32
    assert operator.precision == pytest.approx(2.0**-23)
    assert as_operator(T.double()).precision == pytest.approx(2.0**-52)
    assert as_operator(DENSE).space == Space.host_space()


def test_a_function_with_an_example_of_its_vectors():
    operator = as_operator(lambda x: 3 * x, 5, like=torch.zeros(1, dtype=torch.float64))
    assert (operator @ torch.ones(5, dtype=torch.float64)).tolist() == [3.0] * 5
    assert (operator @ np.ones(5)).tolist() == [3.0] * 5
    assert (as_operator(lambda x: 3 * x, 5) @ np.ones(5)).tolist() == [3.0] * 5
    with pytest.raises(InvalidType, match="as_operator"):
        as_operator(lambda x: x)


def test_what_is_made_of_tensors_stays_where_they_are():
    x, weights = torch.randn(4), torch.rand(6)
    S = T.T @ T
    scale = torch.rand(4) + 0.5
    cases = {
        gram(T): S,
        gram(T, weights): T.T @ torch.diag(weights) @ T,
        gram(as_operator(T.to_sparse()), weights.numpy()): T.T @ torch.diag(weights) @ T,
        shifted(gram(T), 0.3): S + 0.3 * torch.eye(4),
        shifted(gram(T), scale): S + torch.diag(scale),
        scaled(gram(T), scale): scale[:, None] * S * scale,
        scaled(gram(T), 2.0): 4 * S,
        stacked([T, T], [1.0, 2.0]): torch.cat([T, 2 * T]),
        kronecker(torch.eye(1), T): T,
        block_diagonal([S]): S,
    }
    for operator, matrix in cases.items():
        assert operator.space.dtype == torch.float32
        torch.testing.assert_close(operator @ x, matrix @ x, rtol=1e-5, atol=1e-5)
        check_operator(operator)
    y = torch.randn(8)
    torch.testing.assert_close(kronecker(T, torch.eye(2)) @ y, torch.kron(T, torch.eye(2)) @ y, rtol=1e-5, atol=1e-5)
    with pytest.raises(InvalidInput, match="one array library"):
        stacked([T, DENSE])


def test_bad_tensors():
    with pytest.raises(NotFinite, match="1 NaN or infinite entries of 4"):
        as_operator(torch.tensor([[1.0, torch.nan], [0, 1]]))
    with pytest.raises(InvalidInput, match="two dimensions"):
        as_operator(torch.ones(3))
    with pytest.raises(InvalidInput, match="empty"):
        as_operator(torch.ones(0, 3))
    with pytest.raises(InvalidInput, match=r"4 entries; got shape \(5,\)"):
        as_operator(T) @ torch.ones(5)
    with pytest.raises(NotFinite, match="1 of 2 entries"):
        LinearMap((2, 2), lambda x: x * torch.tensor([torch.inf, 1]), like=T) @ torch.ones(2)
    with pytest.raises(InvalidInput, match=r"returned shape \(3,\)"):
        LinearMap((2, 2), lambda x: torch.ones(3), like=T) @ torch.ones(2)
    with pytest.raises(InvalidType, match="like must be an array"):
        as_operator(lambda x: x, 3, like="torch")


def test_rounding_is_no_asymmetry():
    """X'WX in float32 differs from its transpose by rounding: a curvature, and the note says what was done."""
    X = torch.randn(500, 30, generator=torch.Generator().manual_seed(0))
    matrix = X.T @ (torch.rand(500, 1, generator=torch.Generator().manual_seed(1)) * X) / 500
    matrix[0, 1] *= 1 + 4e-7
    found = sf.spectrum(matrix)
    assert found.kind == "curvature"
    assert "made symmetric" in found.note
    assert found.largest.midpoint == pytest.approx(np.linalg.eigvalsh(matrix.numpy().astype(float))[-1], rel=1e-5)
    # far more than rounding is asked about, sparse or not
    matrix[0, 1] += 0.5
    for source in (matrix, matrix.to_sparse()):
        with pytest.raises(NotSymmetric, match="nothing says what it is"):
            sf.spectrum(source)
    assert sf.spectrum(matrix, kind="jacobian").kind == "jacobian"


def test_dot_products_of_ten_million_single_precision_entries():
    # torch.dot of these is off by 2e-4 on a CPU, an interval at 1e-6 could not hold
    space = Space.of(T)
    x = space.normal(10_000_000, np.random.default_rng(0))
    exact = float(torch.sum(x.double() ** 2))
    assert space.inner(x, x) == pytest.approx(exact, rel=1e-7)
    assert space.norm(x) == pytest.approx(exact**0.5, rel=1e-7)


def test_norms_without_over_or_underflow():
    space = Space.of(T)
    for size in (1e-30, 1.0, 1e30):
        assert space.norm(torch.full((100,), size)) == pytest.approx(10 * size, rel=1e-6)
    assert space.norm(torch.zeros(3)) == 0


def test_random_vectors_are_reproducible():
    space = Space.of(T)
    one, other = (space.normal(1000, np.random.default_rng(s)) for s in (3, 3))
    assert torch.equal(one, other)
    assert not torch.equal(one, space.normal(1000, np.random.default_rng(4)))
    state = torch.get_rng_state()
    space.normal(10, np.random.default_rng(0))
    assert torch.equal(state, torch.get_rng_state())


def test_jax_arrays():
    jnp = pytest.importorskip("jax.numpy")
    matrix = jnp.asarray(DENSE)
    operator = as_operator(matrix)
    x = jnp.ones(4)
    assert type(operator @ x) is type(x)
    np.testing.assert_allclose(operator @ np.ones(4), DENSE @ np.ones(4), rtol=1e-5)
    # far apart: each further step would be compiled anew, for a longer basis
    values = jnp.linspace(0, 1, 3000).at[:-1].mul(0.5)
    found = sf.spectrum(as_operator(lambda v: values * v, 3000, like=values), which="largest")
    assert found.largest.contains(1.0)
    assert found.largest.width <= 0.01
