"""The cost of measuring a curvature, stated before it is measured."""

from dataclasses import dataclass

from surefoot.records import Record

__all__ = ["CurvatureCost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvatureCost(Record):
    """The expected cost of an interval on the curvature.

    Parameters
    ----------
    products : int
        About the largest number, for eigenvalues that fill the whole range; networks took a sixth to two thirds of it.
    gradients : float
        The same in gradients of the mean loss over all data: two for a product whose graphs are kept, three and a half
        where the batches are run again.
    graphs : int
        Bytes of the graphs that are kept between products.
    vectors : int
        Bytes of the vectors that the iteration works with, the basis among them where it is stored.
    stored : bool
        Whether the basis is stored.
    """

    products: int
    gradients: float
    graphs: int
    vectors: int
    stored: bool

    @property
    def bytes(self) -> int:
        """Bytes of graphs and vectors, on top of the model and what one gradient takes."""
        return self.graphs + self.vectors

    def __str__(self) -> str:
        basis = "the basis stored" if self.stored else "without a stored basis"
        return (
            f"up to {self.products} products, {self.gradients:.0f} gradients; {_size(self.graphs)} of graphs and "
            f"{_size(self.vectors)} of vectors, {basis}"
        )


def _size(count: int) -> str:
    value = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:.3g} GiB"
