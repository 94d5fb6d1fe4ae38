"""JAX: Hessian-vector products and Hessians as they are, and a rate for optax from both sides of the limit."""

import numpy as np
import pytest

jax = pytest.importorskip("jax")
import jax.numpy as jnp

import surefoot as sf
from surefoot.errors import InvalidInput
from surefoot.operators import as_operator

X = jax.random.normal(jax.random.key(0), (60, 6)) * jnp.array([1.0, 2.0, 3.0, 1.0, 1.0, 0.5])
TARGET = X @ jnp.arange(6.0)
START = jnp.ones(6)


def loss(w):
    return jnp.mean((X @ w - TARGET) ** 2)


def product(v):
    return jax.jvp(jax.grad(loss), (START,), (v,))[1]


def exact():
    matrix = np.asarray(X, dtype=np.float64)
    return np.linalg.eigvalsh(2 * matrix.T @ matrix / 60)


@pytest.mark.parametrize("like", [START, None], ids=["like", "without like"])
@pytest.mark.parametrize("wrap", [jax.jit, lambda f: f], ids=["jit", "plain"])
def test_a_hessian_vector_product(like, wrap):
    operator = as_operator(wrap(product), 6, like=like)
    spectrum = sf.spectrum(operator)
    assert spectrum.largest.lower <= exact()[-1] * (1 + 1e-6)
    assert spectrum.largest.upper >= exact()[-1] * (1 - 1e-6)
    assert spectrum.largest.upper < 1.01 * exact()[-1]
    if like is not None:
        assert isinstance(operator @ START, jax.Array)
    assert operator.precision >= np.finfo(np.float32).eps


def test_a_hessian_is_symmetric_up_to_rounding():
    limits = sf.limits(jax.hessian(loss)(START))
    assert limits.stable == pytest.approx(2 / exact()[-1], rel=1e-5)
    growth = sf.limits(jax.jacobian(lambda u: -u + 0.1 * u[::-1] ** 2)(START), kind="jacobian")
    assert growth.curvature_limit == pytest.approx(2 / 1.2, rel=1e-5)


def test_what_is_not_linear_is_still_found_in_single_precision():
    with pytest.raises(InvalidInput, match="not linear"):
        sf.spectrum(as_operator(lambda v: product(jnp.asarray(v, jnp.float32)) + 1, 6))


@pytest.mark.parametrize(("share", "grows"), [(0.97, False), (1.03, True)])
def test_optax_from_both_sides_of_the_limit(share, grows):
    optax = pytest.importorskip("optax")
    limit = sf.limits(as_operator(jax.jit(product), 6, like=START)).stable
    schedule = sf.rules.Constant(step=share * limit)
    optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=0.0)
    w, state = START, optimizer.init(START)
    gradient = jax.jit(jax.grad(loss))
    for k in range(150):
        state.hyperparams["learning_rate"] = jnp.asarray(schedule.at(k))
        updates, state = optimizer.update(gradient(w), state)
        w = optax.apply_updates(w, updates)
    assert (loss(w) > loss(START)) == grows
