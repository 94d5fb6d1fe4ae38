"""Limits for complex eigenvalues, and for matrices that are not normal, whose eigenvalues alone do not decide."""

import math

import numpy as np
from numpy.typing import NDArray

from surefoot.errors import InvalidInput
from surefoot.methods import Method
from surefoot.methods.search import best_step
from surefoot.operators import Array
from surefoot.spectra import Spectrum
from surefoot.stability._types import Limits
from surefoot.stability.largest_step import Reach, largest_step

# How the reason of a mode that grows at every step begins; reports look for it.
GROWING = "no step is stable"
# Size up to which the growth of errors is measured, by powers of the iteration matrix: a second.
POWERS_LIMIT = 200
# The first powers, among which transient growth usually peaks, then squarings: up to the 12,288th power.
POWERS, SQUARINGS = 48, 8
# Powers of a matrix whose eigenvectors have this condition number may grow by as much before they decay: beyond it the
# field of values decides what is stable, not the eigenvalues. By convention.
TRUSTED_CONDITION = 1e3
# A field of values that allows less than this share of the eigenvalue limit is mentioned. By convention.
NOTABLE = 0.9
# Points on the outline of a field of values, spread by length: along an edge the limit varies, and the region of a
# stabilised method has necks, which a coarse outline steps over. By convention.
OUTLINE = 1000


def limits_of_jacobian(spec: Spectrum, method: Method, matrix: Array | None) -> Limits:
    """The largest step h with every h * lambda in the piece of the stable region connected to 0.

    Parameters
    ----------
    spec : Spectrum
        Spectrum with complex `points`, a `field_of_values`, or both.
    method : Method
    matrix : array, shape (n, n), or None
        The Jacobian, to measure transient growth.

    Raises
    ------
    InvalidInput
        If the spectrum has no point.
    """
    corners = spec.field_of_values
    field = None if corners is None else largest_step(_outline(corners), method)
    if field is not None and (spec.points is None or spec.points.size < spec.size):
        return _of_field(spec, field, method)
    points = np.asarray([] if spec.points is None else spec.points, dtype=np.complex128)
    if not points.size:
        raise InvalidInput("the spectrum is empty: it has no eigenvalue to keep stable; give at least one point")
    points = points[points != 0]
    growing, decaying = points[points.real > 0], points[points.real <= 0]
    reach = largest_step(decaying, method)
    tightest = f"set by the eigenvalue {_complex(reach.point)}" if decaying.size else "no decaying mode"
    stable, reasons = reach.step, {"curvature limit": tightest, "stable": tightest}
    if growing.size:
        stable = 0.0
        reasons["stable"] = f"{GROWING}: growing mode {_complex(complex(growing[growing.real.argmax()]))}"
    elif field is not None and field.step < NOTABLE * reach.step:
        reasons["transient"] = _transient(spec, field, reach, method, matrix)
        if spec.eigenvector_condition > TRUSTED_CONDITION:
            stable = field.step
            reasons["stable"] = f"the field of values allows no more: {_complex(field.point)}"

    optimal, rate = None, 1.0
    # with ill-conditioned eigenvectors the rate of decay is reached only after the growth
    fair = spec.eigenvector_condition <= TRUSTED_CONDITION and points.size == spec.size and not growing.size
    if fair and decaying.size and decaying.real.max() < 0 < reach.step:
        # a method that is always stable (implicit) is searched up to a step of 1e3 of the slowest time scale
        longest = min(reach.step, 1e3 / float(np.abs(decaying).min()))
        optimal, rate = best_step(method.amplification, decaying, longest)
    reasons["optimal"] = "fastest decay; accuracy may ask for less" if optimal is not None else "none: no certain decay"
    reasons["rate"] = "decay per step at the optimal step" if optimal is not None else "no decay"
    return _answer(spec, method, stable, reach, reasons, optimal, rate)


def _of_field(spec: Spectrum, field: Reach, method: Method) -> Limits:
    """Limits from a convex set that holds the eigenvalues, which are only estimated."""
    ritz = np.asarray([] if spec.points is None else spec.points, dtype=np.complex128)
    reach = largest_step(ritz[ritz.real <= 0], method) if ritz.size else field
    reason = f"{spec.note or 'field of values'}; set by its point {_complex(field.point)}"
    if spec.largest.upper > 0:
        reason += f"; whether a mode grows is undecided (real parts up to {spec.largest.upper:.3g}): decaying ones only"
    if field.step == 0 < reach.step:
        reason = f"no step is certified: the field of values may reach the imaginary axis at {_complex(field.point)}"
    guess = f"estimated: Ritz value {_complex(reach.point)}" if ritz.size else "the field of values, as for stable"
    reasons = {"stable": reason, "curvature limit": guess, "rate": "not known"}
    reasons["optimal"] = "none: the slowest mode is not known"
    return _answer(spec, method, min(field.step, reach.step), reach, reasons)


def _answer(
    spec: Spectrum,
    method: Method,
    stable: float,
    reach: Reach,
    reasons: dict[str, str],
    optimal: float | None = None,
    rate: float = 1.0,
) -> Limits:
    return Limits(
        method=method.name,
        stable=stable,
        curvature_limit=reach.step,
        optimal=optimal,
        rate=rate,
        scope=spec.scope,
        failure=spec.failure,
        reasons={**reasons, "safe": "known for gradient descent on a curvature only"},
    )


def _outline(corners: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Points along the edges of the part of a polygon left of the imaginary axis."""
    following = np.roll(corners, -1)
    lengths = np.abs(following - corners)
    counts = 1 + (OUTLINE * lengths / (lengths.sum() or 1.0)).astype(int)
    edges = zip(corners, following, counts, strict=True)
    points = np.asarray(np.hstack([a + (b - a) * np.arange(n) / n for a, b, n in edges]), dtype=np.complex128)
    crossing = corners.real * following.real < 0
    weight = corners.real[crossing] / (corners.real - following.real)[crossing]
    on_axis = 1j * (corners.imag[crossing] + weight * (following.imag - corners.imag)[crossing])
    return np.asarray(np.concatenate([points[points.real <= 0], on_axis]), dtype=np.complex128)


def _transient(spec: Spectrum, field: Reach, reach: Reach, method: Method, matrix: Array | None) -> str:
    text = (
        f"the Jacobian is not normal (condition of its eigenvectors {spec.eigenvector_condition:.2g}): "
        f"beyond a step of {field.step:.6g} errors may grow before they decay"
    )
    # a field that allows less than the eigenvalues do leaves them a step, if not a finite one
    if matrix is None or reach.step == math.inf or method.implicit:
        return text
    step = 0.99 * reach.step
    return f"{text}; measured at {step:.6g}: {_growth(matrix, method, step):.3g}-fold"


def _growth(matrix: Array, method: Method, step: float) -> float:
    """The largest norm of a power of the iteration matrix, over the first 48 powers and then squarings."""
    n, memory = len(matrix), method.memory
    identity = np.eye(n * memory, dtype=matrix.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        blocks = method.update(
            tuple(identity[i * n : (i + 1) * n] for i in range(memory)), lambda x: step * (matrix @ x)
        )
        iteration = np.concatenate(blocks)
        power, largest = iteration, float(np.linalg.norm(iteration, 2))
        for k in range(POWERS + SQUARINGS):
            power = power @ (iteration if k < POWERS else power)
            if not np.isfinite(power).all():
                return math.inf
            largest = max(largest, float(np.linalg.norm(power, 2)))
    return largest


def _complex(value: complex) -> str:
    return f"{value.real:.6g}{value.imag:+.6g}i" if value.imag else f"{value.real:.6g}"
