"""One residual branch, measured: the spectrum, norm and logarithmic norm of its Jacobian."""

import math
from typing import Any

import numpy as np

from surefoot.methods import ForwardEuler
from surefoot.operators import Array, LinearMap, MatrixOperator, Operator, gram, shifted
from surefoot.spectra import Bounds, Spectrum, spectrum
from surefoot.spectra.measured.field import measured_field
from surefoot.spectra.measured.spectrum import private_generator
from surefoot.stability import limits
from surefoot.training.residual._jacobian import JacobianOf
from surefoot.training.residual._result import ResidualBlock
from surefoot.training.residual._trace import Step

# Up to this size a Jacobian is formed, by batched backward passes, and solved exactly, in tenths of a second.
FORMED = 400
# Rows that one batched backward pass forms: each row keeps a copy of every activation. By convention.
ROWS = 128
# Products for Ritz values, which are estimates whatever their number: enough for the outline of a disc.
ARNOLDI_STEPS = 60
# Random vectors for the two moments: 1/sqrt(16 n) of error at n > 400, about 1%.
PROBES = 16


def measure_block(name: str, step: Step, **settings: Any) -> ResidualBlock:
    """The block's Jacobian, exactly where it is small and by certified intervals where it is not.

    Parameters
    ----------
    name : str
    step : Step
    settings
        rtol, failure, max_products and rng of each interval, as in `surefoot.spectrum`.
    """
    J = matrix_or_products(JacobianOf(step.branch, step.stream, step.x))
    space, rng = J.space, settings["rng"]
    size = norm(J, **settings)
    log_norm = spectrum(_hermitian_part(J), which="largest", kind="curvature", **settings).largest
    eigenvalues = spectrum(J, kind="jacobian") if J.entries is not None else _ritz(J, size, log_norm, rng)
    falling = -log_norm.upper  # the certified end: a step is called contractive only if it is
    x, g = (space.asarray(tensor.reshape(-1)) for tensor in (step.x, step.branch))
    # d log|g| / d log|x| = <g, J x>/|g|^2
    square = space.inner(g, g)
    mean, mean_square = _moments(J, rng)
    one_plus = shifted(J, 1.0) if J.entries is None else MatrixOperator(np.eye(J.shape[0]) + J.entries, kind="jacobian")
    return ResidualBlock(
        name=name,
        size=J.shape[1],
        spectrum=eigenvalues,
        limits=limits(eigenvalues, ForwardEuler()),
        norm=size,
        log_norm=log_norm,
        growth=norm(one_plus, **settings),
        contractive=2 * falling / size.upper**2 if falling > 0 else 0.0,
        mean=mean,
        mean_square=mean_square,
        degree=space.inner(g, J.matvec(x)) / square if square > 0 else 1.0,
    )


def matrix_or_products(jacobian: JacobianOf) -> Operator:
    """The matrix itself where it is small, else the operator; NotFinite if an entry of the matrix is."""
    if max(jacobian.shape) > FORMED:
        return jacobian
    m = jacobian.shape[0]
    rows = [jacobian.rows(start, min(m, start + ROWS)) for start in range(0, m, ROWS)]
    return MatrixOperator(np.concatenate(rows), kind="jacobian")


def norm(A: Operator, **settings: Any) -> Bounds:
    """Bounds on the largest singular value."""
    squared = spectrum(gram(A), which="largest", **settings).largest
    low, high = (math.sqrt(max(0.0, end)) for end in (squared.lower, squared.upper))
    return Bounds(low, high, squared.lower_is, squared.upper_is, squared.failure)


def _ritz(J: Operator, size: Bounds, log_norm: Bounds, rng: int) -> Spectrum:
    """Ritz values of J', which has the same eigenvalues and the cheaper product; real parts lie under the log norm."""
    transposed = LinearMap(J.shape, J.rmatvec, symmetric=False, precision=J.precision, like=J.space)
    # no interval of the field is used, only the Ritz values: the loosest accuracy ends it at the number of steps
    field = measured_field(transposed, rtol=1.0, failure=0.5, max_products=ARNOLDI_STEPS, rng=private_generator(rng))
    # a Spectrum adds the failures of its two ends
    failure = (log_norm.failure + size.failure) / 2
    real = Bounds(min(-size.upper, log_norm.upper), log_norm.upper, size.upper_is, log_norm.upper_is, failure)
    return Spectrum(
        kind="jacobian",
        largest=real,
        smallest=real,
        size=J.shape[0],
        provenance="measured",
        scope="local",
        products=field.products,
        points=np.sort_complex(field.ritz),
        field_of_values=field.corners,
        eigenvector_condition=math.inf,
        note=f"eigenvalues estimated by {field.products} Arnoldi steps; real parts bounded by the norms",
    )


def _hermitian_part(J: Operator) -> Operator:
    if J.entries is not None:
        return MatrixOperator((J.entries + J.entries.T) / 2)

    def half(x: Array) -> Array:
        return (J.matvec(x) + J.rmatvec(x)) / 2

    return LinearMap(J.shape, half, symmetric=True, precision=J.precision, scope="local", like=J.space)


def _moments(J: Operator, rng: int) -> tuple[float, float]:
    """tr(J)/n and ||J||_F^2/n; for a large J from products with random signs (Hutchinson 1989)."""
    n = J.shape[0]
    if J.entries is not None:
        return float(np.trace(J.entries)) / n, float(np.sum(J.entries**2)) / n
    space, generator, trace, square = J.space, np.random.default_rng(rng), 0.0, 0.0
    for _ in range(PROBES):
        signs = space.xp.sign(space.normal(n, generator))
        product = J.rmatvec(signs)
        trace, square = trace + space.inner(signs, product), square + space.inner(product, product)
    return trace / (PROBES * n), square / (PROBES * n)
