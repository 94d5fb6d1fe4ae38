"""The density of eigenvalues by stochastic Lanczos quadrature."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from surefoot.checks import Count, Range, checked
from surefoot.errors import InvalidInput
from surefoot.operators import Operator
from surefoot.records import Record
from surefoot.spectra._symmetric import symmetric_operator
from surefoot.spectra.measured.lanczos import Lanczos, random_unit
from surefoot.spectra.measured.spectrum import private_generator

Reals = NDArray[np.float64]

# Grid points of the curve: finer than a figure shows, by convention.
POINTS = 400
# The default width is this times range/steps: half the distance of nodes in the middle of a bulk (pi/2 range/steps),
# where their ripple is below one per cent.
SMOOTHING = 0.8
# The squares of distances over a width, and a grid widened by it, must be floats.
Width = Annotated[float, Range("(1e-150, 1e150)")]
# Widths of smoothing kept beyond the outermost node: the normal density has fallen to 3e-4 of its peak there.
MARGIN = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Density(Record):
    """An *estimate* of a spectral density, smoothed for the grid, with the quadrature that it came from.

    Parameters
    ----------
    grid, density, standard_error : array, shape (points,)
        phi at the grid's points, in units of 1/eigenvalue, its integral 1; the standard error of the mean over start
        vectors (nan with one vector).
    nodes, weights, residuals : array, shape (vectors, steps)
        Ritz values, squared first components, whose rows sum to 1, and |A y - theta y| of the unit Ritz vectors. Short
        rows are filled with weight 0.
    width : float
        Standard deviation of the smoothing.
    rounding : float
        Distance by which rounding may have moved a node.
    size : int
        Number of eigenvalues.
    products : int
        Number of products that it cost.
    """

    grid: Reals
    density: Reals
    standard_error: Reals
    nodes: Reals
    weights: Reals
    residuals: Reals
    width: float
    rounding: float
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
        mean, error = _mean_and_error((self.weights * values).sum(axis=1))
        return float(mean), float(error)

    @checked
    def share(self, lower: float, upper: float = math.inf) -> tuple[float, float]:
        """The share of eigenvalues in (lower, upper], and its error.

        The error is the standard error of the mean over starts plus a bound on the error of the quadrature itself,
        which more starts do not lower: an edge inside a bulk cuts through the eigenvalues that one node stands for.
        There the bound is about the weight of a node; in a gap of the spectrum it is nearly 0.

        Parameters
        ----------
        lower, upper : float
            Edges of the interval; may be infinite.

        Returns
        -------
        share, error : float
            The error is nan with one start.

        Raises
        ------
        InvalidInput
            If the edges are not in order.
        """
        if not lower <= upper:
            raise InvalidInput(f"the share in (lower, upper] needs lower <= upper; got {lower!r} and {upper!r}")
        below, above = (self._masses_below(edge) for edge in (lower, upper))
        share, error = _mean_and_error(above[0] - below[0])
        return min(max(float(share), 0.0), 1.0), float(error + (above[1] + below[1]).mean())

    def _masses_below(self, edge: float) -> tuple[Reals, Reals]:
        """The mass of each start's measure up to an edge, and its error, each of shape (vectors,)."""
        if math.isinf(edge):
            return np.full(len(self.nodes), float(edge > 0)), np.zeros(len(self.nodes))
        masses: list[tuple[float, float]] = []
        for nodes, weights, residuals in zip(self.nodes, self.weights, self.residuals, strict=True):
            used = weights > 0
            masses.append(mass_below(edge, nodes[used], weights[used], residuals[used], self.rounding))
        mass, error = np.array(masses).T
        return mass, error

    def __str__(self) -> str:
        mean, error = self.integral(lambda x: x)
        negative, _ = self.share(-math.inf, -self.width)
        flat, off = self.share(-self.width, self.width)
        vectors, steps = self.nodes.shape
        return (
            f"spectral density of size {self.size}: mean {mean:.4g} +- {error:.2g}, "
            f"{100 * flat:.3g}% +- {100 * off:.2g}% within {self.width:.2g} of 0, {100 * negative:.3g}% below "
            f"({vectors} vectors x {steps} steps, {self.products} products)"
        )


@checked
def density(
    operator: Any,
    *,
    n_vectors: Count = 8,
    steps: Count = 60,
    width: Width | None = None,
    points: Annotated[int, Range("[2, inf)")] = POINTS,
    rng: int | np.random.Generator = 0,
) -> Density:
    """The density of a symmetric operator's eigenvalues, by stochastic Lanczos quadrature.

        phi(t) = 1/n sum_i g(t - lambda_i)  ~  1/V sum_v sum_j w_vj g(t - theta_vj),    g normal of deviation `width`

    theta_vj are the Ritz values of `steps` steps from a random start v and w_vj the squared first components of the
    eigenvectors of their tridiagonal matrix: Gauss quadrature of the measure that v has on the spectrum, whose mean
    over v is the density. An *estimate*; its standard error is that of the mean over starts. A single eigenvalue has
    weight 1/n and may be missed: for the ends of the spectrum use `spectrum`.

    Parameters
    ----------
    operator : matrix or operator, shape (n, n)
        Symmetric.
    n_vectors : int
        Starts V. The error falls as 1/sqrt(V n).
    steps : int
        Products per start; fewer if the Krylov space ends before.
    width : float, optional
        Standard deviation of the smoothing. Default: 0.8/steps of the range of the nodes, what so many steps resolve.
    points : int
        Points of the grid, which reaches from a little below the smallest node to a little above the largest.
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
    generator = private_generator(rng)
    runs = [quadrature(operator, steps, generator) for _ in range(n_vectors)]
    *columns, roundings = zip(*runs, strict=True)
    nodes, weights, residuals = map(_table, columns)
    used = nodes[weights > 0]
    low, high = float(used.min()), float(used.max())
    if width is None:
        width = SMOOTHING / steps * ((high - low) or abs(high) or 1.0)
    grid = np.linspace(low - MARGIN * width, high + MARGIN * width, points)
    each = np.stack([_smooth(grid, *row, width) for row in zip(nodes, weights, strict=True)])
    mean, error = _mean_and_error(each)
    return Density(
        grid=grid,
        density=mean,
        standard_error=error,
        nodes=nodes,
        weights=weights,
        residuals=residuals,
        width=float(width),
        rounding=max(roundings),
        size=operator.shape[0],
        products=sum(run[0].size for run in runs),
    )


def quadrature(operator: Operator, steps: int, generator: np.random.Generator) -> tuple[Reals, Reals, Reals, float]:
    """Nodes, weights, residuals and rounding of one start; exact if its Krylov space is exhausted."""
    from scipy.linalg import eigh_tridiagonal

    run = Lanczos(operator, random_unit(operator.space, operator.shape[0], generator))
    while run.steps < steps and not run.exhausted:
        run.advance()
    values, vectors = (np.asarray(part, dtype=np.float64) for part in eigh_tridiagonal(run.alphas, run.betas[:-1]))
    return values, vectors[0] ** 2, run.betas[-1] * np.abs(vectors[-1]), run.rounding * run.scale


def mass_below(edge: float, nodes: Reals, weights: Reals, residuals: Reals, rounding: float) -> tuple[float, float]:
    """The mass up to an edge of the measure that one start has on the spectrum, and its error.

    The estimate spreads half of a node's weight w_j evenly to each side, up to halfway to its neighbour but no further
    than its residual: nodes that stand for a bulk fill it, those that have converged to an eigenvalue stay points.

    Two bounds are *proved* in exact arithmetic, and the closer one is used on each side; the edge is moved by the
    rounding of the nodes. Between the nodes k and k+1

        sum_{j<k} w_j  <=  mass  <=  sum_{j<=k+1} w_j

    by the separation theorem of Chebyshev, Markov and Stieltjes (Szego 1975, theorem 3.41.1). Also, the start is l + h,
    its parts along the Ritz vectors below and above the edge t. An eigenvector u of lambda > t has in l the component
    sum_j s_j r_j/(lambda - theta_j) (u, q), q the vector that the next step would add, |s_j| = sqrt(w_j), so that

        |P_{>t} l| <= e_l = sum_{theta_j <= t} sqrt(w_j) r_j/(t - theta_j),    |P_{<=t} h| <= e_h likewise,
        mass in [|l|^2 - e_l^2 - 2 c, |l|^2 + e_h^2 + 2 c],    c = min(e_l |h|, e_h |l|).
    """
    gaps = np.diff(nodes) / 2
    left, right = np.minimum(residuals, np.append(np.inf, gaps)), np.minimum(residuals, np.append(gaps, np.inf))
    mass = float(weights @ (_part_below(edge, nodes - left, nodes) + _part_below(edge, nodes, nodes + right))) / 2
    least, _ = _bounds_below(edge - rounding, nodes, weights, residuals)
    _, most = _bounds_below(edge + rounding, nodes, weights, residuals)
    return mass, max(most - mass, mass - least, 0.0)


def _bounds_below(edge: float, nodes: Reals, weights: Reals, residuals: Reals) -> tuple[float, float]:
    """The bounds of `mass_below` at an edge, without rounding."""
    count = int(np.searchsorted(nodes, edge, side="right"))
    total = np.concatenate([[0.0], np.cumsum(weights)])
    low, high = total[count], total[-1] - total[count]
    with np.errstate(divide="ignore", over="ignore"):
        # a residual of 0 belongs to an eigenvector, which contributes nothing wherever the edge is
        each = np.where(residuals > 0, np.sqrt(weights) * residuals / np.abs(edge - nodes), 0.0)
        of_low, of_high = each[:count].sum(), each[count:].sum()
    cross = 2 * min(of_low * math.sqrt(high) if high else 0.0, of_high * math.sqrt(low) if low else 0.0)
    least = max(total[max(count - 1, 0)], low - of_low**2 - cross)
    most = min(total[min(count + 1, nodes.size)], low + of_high**2 + cross)
    return float(least), float(most)


def _part_below(edge: float, starts: Reals, ends: Reals) -> Reals:
    """The share of each interval that lies below an edge; for an interval without length 0 or 1."""
    long = ends > starts
    return np.where(long, np.clip((edge - starts) / np.where(long, ends - starts, 1.0), 0.0, 1.0), edge >= ends)


def _table(rows: Sequence[Reals]) -> Reals:
    """Rows of unequal length as one array, filled with zeros."""
    table = np.zeros((len(rows), max(row.size for row in rows)))
    for line, row in zip(table, rows, strict=True):
        line[: row.size] = row
    return table


def _smooth(grid: Reals, nodes: Reals, weights: Reals, width: float) -> Reals:
    distances = (grid[:, None] - nodes) / width
    with np.errstate(over="ignore"):  # the square of a large distance; its exponential is 0
        return (np.exp(-0.5 * distances**2) @ weights) / (width * math.sqrt(2 * math.pi))


def _mean_and_error(values: Reals) -> tuple[Reals, Reals]:
    """The mean over starts, along the first axis, and its standard error; nan for one start."""
    if len(values) == 1:
        return values[0], np.full_like(values[0], np.nan)
    return values.mean(axis=0), values.std(axis=0, ddof=1) / math.sqrt(len(values))
