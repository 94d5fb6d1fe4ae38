"""Measure the spectrum of any operator: `spectrum`, and `measure`, which keeps the Ritz pairs too."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from surefoot.checks import Count, Fraction, Positive, checked
from surefoot.errors import InvalidInput, NotSymmetric
from surefoot.operators import Array, Kind, Operator, Space, as_operator
from surefoot.operators.extremes import refuse_extremes
from surefoot.operators.symmetry import asymmetry_note
from surefoot.spectra._exact import eigenvalues, symmetric_eigenvalues
from surefoot.spectra.enclosed.closed_forms import known_spectrum
from surefoot.spectra.measured.ends import Ends, Which, measured_ends
from surefoot.spectra.measured.field import departure_from_normality, measured_field
from surefoot.spectra.measured.lanczos import MAX_BASIS_BYTES, not_linear, random_unit
from surefoot.spectra.types import Bounds, Spectrum

__all__ = ["Measurement", "measure", "private_generator", "spectrum"]

# Added to a seed, so that start vectors are independent of anything the caller drew with the same seed.
PRIVATE_STREAM = 0x5EF007
# A non-symmetric operator without entries is formed column by column up to this size.
FORM_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Measurement:
    """A Spectrum together with the Ritz pairs behind it.

    Parameters
    ----------
    spectrum : Spectrum
    values : array, shape (k,)
        Ritz values, ascending: all eigenvalues where they were computed.
    vectors : callable
        From the number of the largest that are wanted (by default all) to their unit vectors, as rows of shape (k, n)
        in the operator's space, ascending. If the basis was not stored the number is needed, and they cost as many
        products again.
    """

    spectrum: Spectrum
    values: Array
    vectors: Callable[..., Any]


@checked
def spectrum(
    operator: Any,
    *,
    rtol: Positive = 0.01,
    failure: Fraction = 1e-6,
    which: Which = "both",
    kind: Kind | None = None,
    symmetric: bool | None = None,
    max_products: Count | None = None,
    max_memory: int = MAX_BASIS_BYTES,
    rng: int | np.random.Generator = 0,
) -> Spectrum:
    """Certified bounds on the extreme eigenvalues of a square operator.

    Small matrices are solved exactly, and operators with a closed form (convolutions, differences and those composed of
    them: `surefoot.operators`) cost no product. Otherwise Lanczos from a random start gives, for each end, a Ritz
    value on the inner side (proved) and a root of the Lanczos polynomials' sum of squares on the outer side (wrong
    with probability `failure`); bounds from the entries and known facts (`psd`) sharpen both.

    Parameters
    ----------
    operator : matrix or operator, shape (n, n)
        Anything `surefoot.operators.as_operator` takes.
    rtol : float
        Wanted width of each interval relative to max |lambda|.
    failure : float
        Probability, in (0, 1), that an interval misses; split over the ends asked for.
    which : "both", "largest" or "smallest"
        Ends to narrow down (algebraically); the other is returned as far as it is known at no extra cost.
    kind : "curvature" or "jacobian", optional
        What the eigenvalues mean. Default: the operator's own kind, else curvature if it is symmetric. For a matrix
        that is not symmetric it has to be given.
    symmetric : bool, optional
        Default: what the operator knows; else tested, by its entries (asymmetry up to 1000 eps of their dtype is
        rounding and removed, as the note says) or by its products.
    max_products : int, optional
        Budget. If it ends the run, the wider interval is returned and the note says so.
    max_memory : int
        Bytes that the basis of the iteration may take (1 GiB). If 128 vectors do not fit, none is stored: that takes
        three vectors and up to a quarter more products, and the certificates hold as often.
    rng : int or numpy Generator
        Seed of the start vectors; the same seed gives the same numbers.

    Returns
    -------
    Spectrum

    Raises
    ------
    InvalidInput
        If the operator is not square, empty, or an argument is out of range.
    NotSymmetric
        If it is declared symmetric, or a curvature, and is not; if it is not symmetric and not declared a Jacobian.
    NotRepeatable
        If two equal products differ.
    NotFinite
        If the entries or a product hold NaN or infinity.

    References
    ----------
    J. L. M. van Dorsselaer, M. E. Hochstenbach, H. A. van der Vorst, Computing probabilistic bounds for extreme
    eigenvalues of symmetric matrices with the Lanczos method, SIAM J. Matrix Anal. Appl. 22 (2001) 837-852.

    Examples
    --------
    >>> import surefoot as sf
    >>> print(sf.spectrum([[2, 1], [1, 3]]))
    exact curvature spectrum of size 2, global
      largest   3.61803  (exact)
      smallest  1.38197  (exact)
    """
    operator = _square(operator, kind)
    if symmetric is not False and operator.symmetric:
        known = known_spectrum(operator, rtol=rtol, which=which, kind=kind)
        if known is not None:
            return known
    return measure(
        operator,
        rtol=rtol,
        failure=failure,
        which=which,
        kind=kind,
        symmetric=symmetric,
        max_products=max_products,
        max_memory=max_memory,
        rng=rng,
    ).spectrum


@checked
def measure(
    operator: Any,
    *,
    rtol: Positive = 0.01,
    failure: Fraction = 1e-6,
    which: Which = "both",
    kind: Kind | None = None,
    symmetric: bool | None = None,
    max_products: Count | None = None,
    max_memory: int = MAX_BASIS_BYTES,
    rng: int | np.random.Generator = 0,
) -> Measurement:
    """`spectrum`, with the Ritz pairs that it came from; same parameters and errors."""
    operator = _square(operator, kind)
    generator = private_generator(rng)
    known = operator.symmetric if symmetric is None else symmetric
    if symmetric and operator.symmetric is False:
        raise NotSymmetric("symmetric=True was given for a matrix that is not; symmetrise it as (A + A.T)/2")

    kind = kind or operator.kind
    # an operator declared not symmetric can only be a Jacobian; one found not symmetric may be a curvature gone wrong
    kind_if_asymmetric = "jacobian" if symmetric is False or (known is False and not asymmetry_note(operator)) else kind
    if known is not False:
        try:
            settings: dict[str, Any] = {"rtol": rtol, "failure": failure, "which": which, "max_products": max_products}
            return _symmetric(operator, kind or "curvature", max_memory=max_memory, rng=generator, **settings)
        except NotSymmetric as error:
            # a map that is not linear looks asymmetric too; it is refused as what it is
            _check_linear(operator, None, generator)
            if known or kind == "curvature":
                raise
            amount = str(error).split(";")[0]
    elif kind == "curvature":
        raise NotSymmetric("a curvature matrix is symmetric and this one is not; say kind='jacobian', or symmetrise it")
    else:
        amount = f"the matrix is not symmetric{asymmetry_note(operator)}"
    if kind_if_asymmetric is None:
        raise NotSymmetric(
            f"{amount}, and nothing says what it is; pass kind='jacobian' for the matrix of x' = A x, "
            "or (A + A.T)/2 for a curvature"
        )
    return _general(operator, rtol, failure, max_products, generator)


def private_generator(rng: int | np.random.Generator) -> np.random.Generator:
    """A generator independent of anything drawn elsewhere from the same `rng`."""
    if isinstance(rng, np.random.Generator):
        return rng.spawn(1)[0]
    if rng < 0:
        raise InvalidInput(f"rng must be a nonnegative seed; got {rng}")
    return np.random.default_rng([PRIVATE_STREAM, int(rng)])


def _square(source: Any, kind: Kind | None) -> Operator:
    operator = as_operator(source, kind=kind)
    refuse_extremes(operator)
    m, n = operator.shape
    if m != n:
        raise InvalidInput(f"a spectrum needs a square operator; got shape {(m, n)}. For least squares pass gram(A)")
    return operator


def _symmetric(operator: Operator, kind: Kind, *, rtol: float, which: Which, **settings: Any) -> Measurement:
    values = symmetric_eigenvalues(operator)
    if values is not None:
        exact = Spectrum(
            kind=kind,
            largest=Bounds.exactly(values[-1]),
            smallest=Bounds.exactly(values[0]),
            size=values.size,
            provenance="exact",
            scope=operator.scope,
            points=values,
            note=operator.note,
        )
        return Measurement(exact, values, lambda top=None: _eigenvectors(operator, top))
    ends = measured_ends(operator, rtol=rtol, which=which, **settings)
    measured = Spectrum(
        kind=kind,
        largest=ends.largest,
        smallest=ends.smallest,
        size=operator.shape[0],
        provenance="measured",
        scope=operator.scope,
        products=ends.products,
        note="; ".join(filter(None, (operator.note, _shortfall(ends, rtol, which)))),
    )
    return Measurement(measured, ends.lanczos.ritz * ends.unit, lambda top=None: ends.lanczos.ritz_pairs(top)[1])


def _eigenvectors(operator: Operator, top: int | None) -> Array:
    rows = np.linalg.eigh(_form(operator))[1].conj().T
    return operator.space.asarray(rows if top is None else rows[-top:])


def _form(operator: Operator) -> Array:
    """The matrix of an operator, column by column."""
    return np.stack([operator.matvec(unit) for unit in np.eye(operator.shape[1], dtype=operator.dtype)], axis=1)


def _shortfall(ends: Ends, rtol: float, which: Which) -> str:
    """Why an interval is wider than wanted, and whether more products would help; empty if it is not."""
    if ends.converged:
        return ""
    wanted = f"the {which} interval is" if which != "both" else "an interval is"
    stopped = f"stopped after {ends.products} products: {wanted} wider than rtol={rtol:g}"
    if not ends.rounded:
        return f"{stopped}; allow more max_products"
    width, eps = 2 * ends.lanczos.rounding, ends.lanczos.precision
    return (
        f"{stopped}, and what is left is the rounding of the products ({width:.2g} of max |lambda| at a precision of "
        f"{eps:.2g}): more products would not help, a higher precision would"
    )


def _general(
    operator: Operator, rtol: float, failure: float, max_products: int | None, generator: np.random.Generator
) -> Measurement:
    """All eigenvalues of an operator that is not symmetric; if they cost too much, its field of values."""
    n = operator.shape[0]
    matrix, products = operator.entries, 0
    if matrix is None and n <= FORM_LIMIT:
        matrix, products = _form(operator), n
        _check_linear(operator, matrix, generator)
    points = None if matrix is None else eigenvalues(matrix)
    if matrix is None or points is None:
        if matrix is None:
            _check_linear(operator, None, generator)
        return _enclosed_field(operator, rtol, failure, max_products, generator)
    corners, condition = departure_from_normality(matrix)
    exact = Spectrum(
        kind="jacobian",
        largest=Bounds.exactly(np.real(points).max()),
        smallest=Bounds.exactly(np.real(points).min()),
        size=n,
        provenance="exact",
        scope=operator.scope,
        products=products,
        points=points,
        field_of_values=corners,
        eigenvector_condition=condition,
        note="" if condition < 1e3 else f"not normal: condition of the eigenvectors {condition:.2g}",
    )
    return Measurement(exact, np.sort(np.real(points)), lambda _=None: None)


def _check_linear(operator: Operator, matrix: Array | None, generator: np.random.Generator) -> None:
    """Refuse an unchecked function that multiplies a random combination of vectors otherwise than a linear map."""
    if not operator.black_box:
        return
    n, space = operator.shape[0], Space.host_space(is_complex=operator.complex)
    x, y = random_unit(space, n, generator), random_unit(space, n, generator)
    product = operator.matvec if matrix is None else matrix.__matmul__
    parts = product(x) - 2 * product(y)
    gap = space.norm(operator.matvec(x - 2 * y) - parts)
    if gap > math.sqrt(operator.precision) * max(space.norm(parts), gap):
        raise not_linear(gap / max(space.norm(parts), gap))


def _enclosed_field(
    operator: Operator, rtol: float, failure: float, max_products: int | None, generator: np.random.Generator
) -> Measurement:
    """The spectrum of an operator whose eigenvalues are known only to lie in its field of values."""
    field = measured_field(operator, rtol=rtol, failure=failure, max_products=max_products, rng=generator)
    real = field.corners.real
    chance = failure if field.trust == "probabilistic" else 0.0
    # the real parts of all eigenvalues lie in here, and the field says no more about the extreme ones
    bounds = Bounds(float(real.min()), float(real.max()), field.trust, field.trust, chance / 2)
    enclosed = Spectrum(
        kind="jacobian",
        largest=bounds,
        smallest=bounds,
        size=operator.shape[0],
        provenance="measured",
        scope=operator.scope,
        products=field.products,
        points=np.sort_complex(field.ritz),
        note=field.note,
        field_of_values=field.corners,
        eigenvector_condition=math.inf,
    )
    return Measurement(enclosed, np.sort(real), lambda _=None: None)
