"""Forward differences: the gradient of an image and its divergence."""

from collections.abc import Sequence
from math import prod
from typing import Literal

import numpy as np

from surefoot.checks import checked, real_array
from surefoot.errors import InvalidInput
from surefoot.operators._base import Array, Operator
from surefoot.operators.convolution import grid_shape

Edge = Literal["neumann", "periodic"]


@checked
class Gradient(Operator):
    """The linear map of `gradient`, with its grid."""

    def __init__(
        self, image_shape: tuple[int, ...], edge: Edge, axes: tuple[int, ...], spacing: tuple[float, ...]
    ) -> None:
        n = prod(image_shape)
        self.image_shape = image_shape
        self.edge: Edge = edge
        self.axes = axes
        self.spacing = spacing
        super().__init__((n * len(axes), n))

    def _apply(self, x: Array) -> Array:
        image = x.reshape(self.image_shape)
        field = np.zeros((len(self.axes), *image.shape))
        for part, axis, dx in zip(field, self.axes, self.spacing, strict=True):
            rows, out = np.moveaxis(image, axis, 0), np.moveaxis(part, axis, 0)
            np.subtract(rows[1:], rows[:-1], out=out[:-1])
            if self.edge == "periodic":
                out[-1] = rows[0] - rows[-1]
            part /= dx
        return field.ravel()

    def _apply_adjoint(self, x: Array) -> Array:
        field = x.reshape(-1, *self.image_shape)
        image = np.zeros(self.image_shape)
        for part, axis, dx in zip(field, self.axes, self.spacing, strict=True):
            rows, out = np.moveaxis(part, axis, 0) / dx, np.moveaxis(image, axis, 0)
            out[1:] += rows[:-1]
            out[:-1] -= rows[:-1]
            if self.edge == "periodic":
                out[0] += rows[-1]
                out[-1] -= rows[-1]
        return image.ravel()


@checked
class Divergence(Operator):
    """Minus the adjoint of a gradient."""

    def __init__(self, of: Gradient) -> None:
        m, n = of.shape
        self.gradient = of
        super().__init__((n, m))

    def _apply(self, x: Array) -> Array:
        return -self.gradient.rmatvec(x)

    def _apply_adjoint(self, x: Array) -> Array:
        return -self.gradient.matvec(x)


@checked
def gradient(
    shape: Sequence[int],
    edge: Edge = "neumann",
    *,
    axes: Sequence[int] | None = None,
    spacing: float | Sequence[float] = 1.0,
) -> Gradient:
    """Forward differences along axes of a grid.

        (D_a x)_i = (x_{i + e_a} - x_i)/h_a,    0 across the edge ("neumann")

    With N samples along an axis and h = 1 each axis adds 4 cos^2(pi/(2N)) to the squared norm.

    Parameters
    ----------
    shape : sequence of int
        Shape of the grid, (N_1, ..., N_d).
    edge : "neumann" or "periodic"
        No difference across the edge, or the difference with the opposite side.
    axes : sequence of int, optional
        Axes to take differences along, by default all: (0, 1) takes none between the channels of a colour image.
    spacing : float or sequence of floats
        h > 0, one for all axes or one for each.

    Returns
    -------
    Gradient
        Shape (d n, n) for d axes: the differences along the first one come first.

    Raises
    ------
    InvalidInput
        If an argument is out of range.

    Examples
    --------
    >>> import surefoot as sf
    >>> D = sf.operators.gradient((512, 512))
    >>> sf.spectra.norm_squared(D).upper
    7.9999247...
    """
    size = grid_shape(shape, "shape")
    along = tuple(range(len(size))) if axes is None else tuple(axes)
    if not along or len(set(along)) < len(along) or not set(along) <= set(range(len(size))):
        raise InvalidInput(f"axes must be different ones of 0 to {len(size) - 1}; got {axes!r}")
    steps = real_array(spacing, "spacing")
    if steps.shape not in ((), (1,), (len(along),)) or not (np.isfinite(steps) & (steps > 0)).all():
        raise InvalidInput(f"spacing must be positive and finite, one or {len(along)} numbers; got {spacing!r}")
    return Gradient(size, edge, along, tuple(np.broadcast_to(steps, len(along)).tolist()))


@checked
def divergence(
    shape: Sequence[int],
    edge: Edge = "neumann",
    *,
    axes: Sequence[int] | None = None,
    spacing: float | Sequence[float] = 1.0,
) -> Divergence:
    """Minus the adjoint of `gradient`, backward differences summed over the axes: shape (n, d n).

        div p = -sum_a D_a' p_a

    Parameters and errors as in `gradient`.

    Examples
    --------
    The divergence of the gradient is the Laplacian:

    >>> from surefoot.operators import divergence, gradient
    >>> divergence([3]) @ (gradient([3]) @ [0.0, 1.0, 3.0])
    array([ 1.,  1., -2.])
    """
    return Divergence(gradient(shape, edge, axes=axes, spacing=spacing))
