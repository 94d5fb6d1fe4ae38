"""Data in Dask's blocks: the answers of the same data in memory, one pass a product."""

import numpy as np
import pytest

import surefoot as sf
from surefoot.errors import InvalidInput, InvalidType, NotFinite
from surefoot.problems import AbsoluteLoss, Hinge, Huber, LeastSquares, Logistic, Softmax

blocks = pytest.importorskip("dask.array")
rng = np.random.default_rng(0)
X = rng.standard_normal((300, 8)) * np.geomspace(1, 10, 8)
Y = X @ rng.standard_normal(8) + rng.standard_normal(300)
LAZY = blocks.from_array(X, chunks=(64, 8))


@pytest.mark.parametrize("options", [{}, {"ridge": 0.1}, {"ridge": 0.1, "intercept": True}], ids=str)
@pytest.mark.parametrize(("kind", "targets"), [(LeastSquares, Y), (Logistic, (Y > 0).astype(int))])
def test_a_model_of_blocks_is_the_model_in_memory(kind, targets, options):
    lazy, here = kind(LAZY, targets, **options), kind(X, targets, **options)
    x = rng.standard_normal(here.size)
    assert lazy.value(x) == pytest.approx(here.value(x), rel=1e-12)
    for made, expected in (
        (lazy.gradient(x), here.gradient(x)),
        (lazy.hessian_product(x, x), here.hessian_product(x, x)),
    ):
        assert isinstance(made, np.ndarray)
        np.testing.assert_allclose(made, expected, rtol=1e-10, atol=1e-12)
    truth = here.curvature().largest.upper
    assert truth * (1 - 1e-9) <= lazy.curvature().largest.upper <= 1.02 * truth


def test_a_solver_and_limits_on_blocks():
    problem = LeastSquares(LAZY, Y)
    run = sf.descend(problem, rule=sf.rules.BarzilaiBorwein(), steps=300)
    assert run.converged
    np.testing.assert_allclose(run.x, np.linalg.lstsq(X, Y)[0], rtol=1e-5)
    factor = sf.operators.gram(LAZY)
    assert sf.limits(factor).stable == pytest.approx(2 / np.linalg.norm(X, 2) ** 2, rel=0.02)


def test_what_blocks_may_hold():
    for wrong, error, said in (
        (LAZY.astype(complex), InvalidType, "real numbers; got dtype complex128"),
        (LAZY[:, 0], InvalidInput, "two dimensions"),
        (blocks.where(LAZY > 9, np.nan, LAZY), NotFinite, "NaN or infinite entries"),
    ):
        with pytest.raises(error, match=said):
            sf.operators.as_operator(wrong)


@pytest.mark.parametrize("options", [{}, {"intercept": True}], ids=str)
@pytest.mark.parametrize("kind", [AbsoluteLoss, Hinge, Huber, LeastSquares, Logistic, Softmax])
def test_each_answer_reads_each_block_once(kind, options):
    read = []

    def block(block_info=None):
        (rows, columns) = block_info[None]["array-location"]
        read.append((rows[0], columns[0]))
        return X[slice(*rows), slice(*columns)]

    # more than one block in each direction
    chunks = ((100, 100, 100), (5, 3))
    lazy = blocks.map_blocks(block, chunks=chunks, dtype=float, meta=np.empty((0, 0)))
    targets = {AbsoluteLoss: (Y,), Huber: (Y, 20.0), LeastSquares: (Y,), Softmax: (np.digitize(Y, [-9, 9]),)}
    arguments = targets.get(kind, ((Y > 0).astype(int),))
    problem, here = kind(lazy, *arguments, ridge=0.1, **options), kind(X, *arguments, ridge=0.1, **options)
    x, v = rng.standard_normal((2, here.size))
    operator, factor = sf.operators.as_operator(lazy), sf.operators.gram(lazy)
    wanted = [
        (problem.value, here.value, (x,)),
        (problem.gradient, here.gradient, (x,)),
        (problem.value_and_gradient, here.value_and_gradient, (x,)),
        (operator.rmatvec, X.T.__matmul__, (Y,)),
        (factor.matvec, lambda v: X.T @ (X @ v), (X[0],)),
    ]
    if here.has_products:
        wanted.append((problem.hessian_product, here.hessian_product, (x, v)))
    for lazily, directly, given in wanted:
        read.clear()
        made, expected = lazily(*given), directly(*given)
        assert len(read) == len(set(read)) == 6, lazily
        for one, other in zip(made, expected, strict=True) if isinstance(made, tuple) else [(made, expected)]:
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
