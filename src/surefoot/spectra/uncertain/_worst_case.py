"""The worst case over a set of matrices or spectra, as a Spectrum whose limits hold for every member."""

from collections.abc import Sequence

import numpy as np

from surefoot.checks import checked
from surefoot.errors import InvalidInput, InvalidType
from surefoot.operators import Array
from surefoot.spectra.types import Bounds, Spectrum
from surefoot.spectra.uncertain._sets import UncertaintySet


@checked
def worst_case(members: UncertaintySet | Sequence[Spectrum]) -> Spectrum:
    """The spectrum whose ends are the extremes over a set of matrices.

    A step that is stable for it is stable for every member of the set, held fixed.

    Parameters
    ----------
    members : UncertaintySet or sequence of Spectrum
        `Hull`, `Ball`, `Interval`, `Affine`, `Rectangular`, `FeatureRanges`, `RowPerturbation`; or spectra measured
        one by one (batches, parameter points, Jacobians along a solution).

    Returns
    -------
    Spectrum
        Provenance "worst case". `largest` bounds the supremum, `smallest` the infimum; the note names the set and
        says whether they are exact or a bound.

    Raises
    ------
    InvalidType
        If it is neither.
    InvalidInput
        If there are no spectra, or they differ in kind.

    Examples
    --------
    >>> import numpy as np
    >>> from surefoot.spectra.uncertain._design import Rectangular
    >>> from surefoot.spectra.uncertain._worst_case import worst_case
    >>> nominal = np.array([[2.0, 1.0], [1.0, 3.0]])
    >>> worst_case(Rectangular(nominal - 0.1, nominal + 0.1)).largest.upper
    14.503183...
    """
    if isinstance(members, UncertaintySet):
        largest, smallest = members.largest(), members.smallest()
        exactness = ", ".join(
            f"{name} {'exact' if end.upper_is == end.lower_is == 'exact' else 'a bound'}"
            for name, end in (("largest", largest), ("smallest", smallest))
        )
        return Spectrum(
            kind="curvature",
            largest=largest,
            smallest=smallest,
            size=members.size,
            provenance="worst case",
            note=f"{members.name}: {exactness}",
        )
    if isinstance(members, Sequence) and all(isinstance(item, Spectrum) for item in members):
        return _worst_of(members)
    raise InvalidType(
        f"worst_case takes an uncertainty set or a list of Spectrum; got {type(members).__name__}: "
        "for matrices use Hull([...])"
    )


def _worst_of(spectra: Sequence[Spectrum]) -> Spectrum:
    if not spectra:
        raise InvalidInput("worst_case needs at least one spectrum")
    kinds = {spectrum.kind for spectrum in spectra}
    if len(kinds) > 1:
        raise InvalidInput(f"the spectra must be of one kind; got {sorted(kinds)}")
    points = [spectrum.points for spectrum in spectra]
    known = [p for p in points if p is not None]
    fields = [s.field_of_values if s.field_of_values is not None else s.points for s in spectra]
    corners = [f for f in fields if f is not None]
    # if one has a field of values, those of all count; for a normal matrix it is the hull of its eigenvalues
    spread = any(spectrum.field_of_values is not None for spectrum in spectra) and len(corners) == len(fields)
    return Spectrum(
        kind=spectra[0].kind,
        largest=_extreme([spectrum.largest for spectrum in spectra], 1.0),
        smallest=_extreme([spectrum.smallest for spectrum in spectra], -1.0),
        size=max(spectrum.size for spectrum in spectra),
        provenance="worst case",
        scope="local" if any(spectrum.scope == "local" for spectrum in spectra) else "global",
        products=sum(spectrum.products for spectrum in spectra),
        points=np.concatenate(known) if len(known) == len(points) else None,
        note=f"worst of {len(spectra)} spectra",
        field_of_values=outline(np.concatenate(corners)) if spread else None,
        eigenvector_condition=max(spectrum.eigenvector_condition for spectrum in spectra),
    )


def outline(points: Array) -> Array:
    """Corners of the convex hull of complex numbers, in counterclockwise order."""
    points = np.unique(points.astype(np.complex128))
    plane = np.stack([np.real(points), np.imag(points)], axis=1)
    if np.linalg.matrix_rank(plane - plane[0]) < 2:  # one number, or all on a line
        return points[[0, -1]]
    from scipy.spatial import ConvexHull

    return points[ConvexHull(plane).vertices]


def _extreme(bounds: Sequence[Bounds], sign: float) -> Bounds:
    """An interval for the largest (sign 1) or smallest (-1) of numbers known by intervals, any of which may miss."""
    pick = max if sign > 0 else min
    lower, upper = pick(b.lower for b in bounds), pick(b.upper for b in bounds)
    return Bounds(
        lower,
        upper,
        next(b.lower_is for b in bounds if b.lower == lower),
        next(b.upper_is for b in bounds if b.upper == upper),
        min(1.0, sum(b.failure for b in bounds)),
    )
