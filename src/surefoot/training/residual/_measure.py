"""One residual branch, measured: the spectrum, norm and logarithmic norm of its Jacobian."""

import math

import numpy as np

from surefoot.methods import ForwardEuler
from surefoot.operators import Array, LinearMap, MatrixOperator, Operator, shifted
from surefoot.spectra import Bounds, Spectrum, norm_squared, spectrum
from surefoot.spectra.measured.field import measured_field
from surefoot.spectra.measured.spectrum import private_generator
from surefoot.stability import limits
from surefoot.training.residual._jacobian import JacobianOf, form
from surefoot.training.residual._result import ResidualBlock
from surefoot.training.residual._trace import Step

__all__ = ["matrix_or_products", "measure_block", "norm"]

# Up to this size a Jacobian is formed, by one batched backward pass, and solved exactly, in tenths of a second.
FORMED = 400
# Products for Ritz values, which are estimates whatever their number: enough for the outline of a disc.
ARNOLDI_STEPS = 60
# Random vectors for the two moments: 1/sqrt(16 n) of error at n > 400, about 1%.
PROBES = 16


def measure_block(name: str, step: Step, *, rtol: float, failure: float, rng: int) -> ResidualBlock:
    """The block's Jacobian, exactly where it is small and by certified intervals where it is not.

    Parameters
    ----------
    name : str
    step : Step
    rtol, failure
        Relative width and failure probability of each interval.
    rng : int

    Returns
    -------
    ResidualBlock
    """
    jacobian = JacobianOf(step.branch, step.stream, step.x)
    J = matrix_or_products(jacobian)
    size = norm(J, rtol, failure, rng)
    log_norm = spectrum(
        _hermitian_part(J), which="largest", kind="curvature", rtol=rtol, failure=failure, rng=rng
    ).largest
    eigenvalues = spectrum(J, kind="jacobian") if J.entries is not None else _ritz(J, size, log_norm, rng)
    falling = -log_norm.upper  # the certified end: a step is called contractive only if it is
    x = step.x.reshape(-1).double().cpu().numpy()
    g = step.branch.detach().reshape(-1).double().cpu().numpy()
    mean, mean_square = _moments(J, rng)
    return ResidualBlock(
        name=name,
        size=J.shape[1],
        spectrum=eigenvalues,
        limits=limits(eigenvalues, ForwardEuler()),
        norm=size,
        log_norm=log_norm,
        growth=norm(_one_plus(J), rtol, failure, rng),
        contractive=2 * falling / size.upper**2 if falling > 0 else 0.0,
        mean=mean,
        mean_square=mean_square,
        degree=float(g @ J.matvec(x) / (g @ g)) if (g @ g) > 0 else 1.0,
    )


def matrix_or_products(jacobian: JacobianOf) -> Operator:
    """The matrix where it is small, else the operator."""
    return form(jacobian) if max(jacobian.shape) <= FORMED else jacobian


def norm(A: Operator, rtol: float, failure: float, rng: int) -> Bounds:
    """Bounds on the largest singular value."""
    squared = norm_squared(A, rtol=rtol, failure=failure, rng=rng)
    low, high = (math.sqrt(max(0.0, end)) for end in (squared.lower, squared.upper))
    return Bounds(low, high, squared.lower_is, squared.upper_is, squared.failure)


def _ritz(J: Operator, size: Bounds, log_norm: Bounds, rng: int) -> Spectrum:
    """Ritz values of J', which has the same eigenvalues and the cheaper product; real parts lie under the log norm."""
    transposed = LinearMap(J.shape, J.rmatvec, symmetric=False, kind="jacobian", precision=J.precision, scope="local")
    field = measured_field(
        transposed, rtol=1.0, failure=0.5, max_products=ARNOLDI_STEPS, rng=private_generator(rng)
    )  # fmt: skip
    trust, failure = log_norm.upper_is, log_norm.failure + size.failure
    real = Bounds(min(-size.upper, log_norm.upper), log_norm.upper, size.upper_is, trust, failure / 2)
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

    return LinearMap(J.shape, half, symmetric=True, precision=J.precision, scope="local")


def _one_plus(J: Operator) -> Operator:
    return MatrixOperator(np.eye(J.shape[0]) + J.entries, kind="jacobian") if J.entries is not None else shifted(J, 1.0)


def _moments(J: Operator, rng: int) -> tuple[float, float]:
    """tr(J)/n and ||J||_F^2/n; of a large one from products with random signs (Hutchinson 1989)."""
    n = J.shape[0]
    if J.entries is not None:
        return float(np.trace(J.entries)) / n, float(np.sum(J.entries**2)) / n
    signs = np.random.default_rng(rng).choice([-1.0, 1.0], (PROBES, n))
    products = [J.rmatvec(v) for v in signs]
    pairs = list(zip(signs, products, strict=True))
    return float(np.mean([v @ p for v, p in pairs])) / n, float(np.mean([p @ p for _, p in pairs])) / n
