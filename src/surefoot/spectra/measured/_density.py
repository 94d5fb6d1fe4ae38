"""Where the eigenvalues are: the spectral density by stochastic Lanczos quadrature."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surefoot.checks import checked
from surefoot.errors import InvalidInput
from surefoot.operators import Operator
from surefoot.records import Record
from surefoot.spectra._symmetric import symmetric_operator
from surefoot.spectra.measured.lanczos import Lanczos, random_unit
from surefoot.spectra.measured.spectrum import private_generator

__all__ = ["Density", "density"]

Reals = NDArray[np.float64]

# Grid points of the curve, by convention: finer than a figure shows.
POINTS = 400
# Default width times steps over the range: half the distance of nodes in the middle of a bulk (pi/2 range/steps),
# where their ripple is below a per cent.
SMOOTHING = 0.8
MARGIN = 4.0  # widths of smoothing kept beyond the outermost node


@dataclass(frozen=True, slots=True, kw_only=True)
class Density(Record):
    """An *estimate* of a spectral density, smoothed for the grid, with the quadrature that it came from.

    Parameters
    ----------
    grid, density, standard_error : array, shape (points,)
        phi at the grid's points, in units of 1/eigenvalue, its integral 1; the standard error of the mean over start
        vectors (nan with one vector).
    nodes, weights : array, shape (vectors, steps)
        Ritz values and squared first components: each row sums to 1. Short rows are filled with weight 0.
    width : float
        Standard deviation of the smoothing.
    size : int
        Number of eigenvalues.
    products : int
        What it cost.
    """

    grid: Reals
    density: Reals
    standard_error: Reals
    nodes: Reals
    weights: Reals
    width: float
    size: int
    products: int

    def integral(self, function: Callable[[Reals], Any]) -> tuple[float, float]:
        """The mean of a function over the eigenvalues, tr f(A)/n, and its standard error; without smoothing.

        Exact in expectation for polynomials of degree below twice the steps.

        Parameters
        ----------
        function : callable
            Elementwise on an array of eigenvalues.

        Returns
        -------
        mean, standard_error : float
        """
        values = np.where(self.weights > 0, function(self.nodes), 0.0)
        return _mean_and_error((self.weights * values).sum(axis=1))

    def share(self, lower: float, upper: float = math.inf) -> tuple[float, float]:
        """The share of eigenvalues in (lower, upper] and its standard error.

        An edge inside a bulk is only as sharp as the steps resolve it.
        """
        return self.integral(lambda x: ((x > lower) & (x <= upper)).astype(np.float64))

    def __str__(self) -> str:
        mean, error = self.integral(lambda x: x)
        negative, _ = self.share(-math.inf, -self.width)
        flat, _ = self.share(-self.width, self.width)
        vectors, steps = self.nodes.shape
        return (
            f"spectral density of size {self.size}: mean {mean:.4g} +- {error:.2g}, "
            f"{100 * flat:.3g}% within {self.width:.2g} of 0, {100 * negative:.3g}% below "
            f"({vectors} vectors x {steps} steps, {self.products} products)"
        )


@checked
def density(
    operator: Any,
    *,
    n_vectors: int = 8,
    steps: int = 60,
    width: float | None = None,
    points: int = POINTS,
    rng: int | np.random.Generator = 0,
) -> Density:
    """The density of a symmetric operator's eigenvalues, by stochastic Lanczos quadrature.

        phi(t) = 1/n sum_i g(t - lambda_i)  ~  1/V sum_v sum_j w_vj g(t - theta_vj),    g normal of deviation `width`

    theta_vj are the Ritz values of `steps` steps from a random start v and w_vj the squared first components of the
    eigenvectors of their tridiagonal matrix: Gauss quadrature of the measure that v has on the spectrum, whose mean
    over v is the density. An *estimate*; its standard error is that of the mean over starts. A single eigenvalue has
    weight 1/n and shows as an outlier only where a start sees it: for the ends use `spectrum`.

    Parameters
    ----------
    operator : matrix or operator, shape (n, n)
        Symmetric.
    n_vectors : int
        Starts V. The error falls as 1/sqrt(V n).
    steps : int
        Products per start; fewer are taken where the Krylov space ends.
    width : float, optional
        Default: 0.8/steps of the range of the nodes, what so many steps resolve.
    points : int
        Of the grid, from a little below the smallest node to a little above the largest.
    rng : int or numpy Generator

    Returns
    -------
    Density

    Raises
    ------
    InvalidInput
        If the operator is not square or a number is out of range.
    NotSymmetric
        If the operator turns out not to be symmetric.

    References
    ----------
    L. Lin, Y. Saad, C. Yang, Approximating spectral densities of large matrices, SIAM Review 58 (2016), section 3.2;
    B. Ghorbani, S. Krishnan, Y. Xiao, An investigation into neural net optimization via Hessian eigenvalue density,
    ICML 2019.

    Examples
    --------
    >>> import numpy as np
    >>> import surefoot as sf
    >>> found = sf.spectra.density(np.diag([0.0] * 75 + [1.0] * 25))
    >>> share, error = found.share(0.5)
    >>> abs(share - 0.25) <= 3 * error
    True
    """
    operator = symmetric_operator(operator)
    for name, value, least in (("n_vectors", n_vectors, 1), ("steps", steps, 1), ("points", points, 2)):
        if value < least:
            raise InvalidInput(f"{name} must be at least {least}; got {value!r}")
    # a density of that height is one over it
    if width is not None and not (0 < width < math.inf and 1 / width < math.inf):
        raise InvalidInput(f"width must be positive and finite, and so must one over it; got {width!r}")
    generator = private_generator(rng)
    runs = [_quadrature(operator, steps, generator) for _ in range(n_vectors)]
    nodes, weights = _table([run[0] for run in runs]), _table([run[1] for run in runs])
    used = nodes[weights > 0]
    low, high = float(used.min()), float(used.max())
    if width is None:
        width = SMOOTHING / steps * ((high - low) or abs(high) or 1.0)
    grid = np.linspace(low - MARGIN * width, high + MARGIN * width, points)
    each = np.stack([_smooth(grid, *row, width) for row in zip(nodes, weights, strict=True)])
    mean, error = each.mean(axis=0), np.full(points, np.nan)
    if n_vectors > 1:
        error = each.std(axis=0, ddof=1) / math.sqrt(n_vectors)
    return Density(
        grid=grid,
        density=mean,
        standard_error=error,
        nodes=nodes,
        weights=weights,
        width=float(width),
        size=operator.shape[0],
        products=sum(run[0].size for run in runs),
    )


def _quadrature(operator: Operator, steps: int, generator: np.random.Generator) -> tuple[Reals, Reals]:
    """Nodes and weights of one start; an exhausted Krylov space gives its measure exactly."""
    from scipy.linalg import eigh_tridiagonal

    run = Lanczos(operator, random_unit(operator.space, operator.shape[0], generator))
    while run.steps < steps and not run.exhausted:
        run.advance()
    values, vectors = eigh_tridiagonal(run.alphas, run.betas[:-1])
    return np.asarray(values, dtype=np.float64), np.asarray(vectors)[0] ** 2


def _table(rows: list[Reals]) -> Reals:
    """Rows of unequal length as one array, filled with zeros."""
    table = np.zeros((len(rows), max(row.size for row in rows)))
    for line, row in zip(table, rows, strict=True):
        line[: row.size] = row
    return table


def _smooth(grid: Reals, nodes: Reals, weights: Reals, width: float) -> Reals:
    distances = (grid[:, None] - nodes) / width
    return (np.exp(-0.5 * distances**2) @ weights) / (width * math.sqrt(2 * math.pi))


def _mean_and_error(values: Reals) -> tuple[float, float]:
    error = float(values.std(ddof=1) / math.sqrt(values.size)) if values.size > 1 else math.nan
    return float(values.mean()), error
