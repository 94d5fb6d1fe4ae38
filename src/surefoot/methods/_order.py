"""Order conditions of Runge-Kutta methods, from rooted trees."""

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A tree is the tuple of its subtrees, sorted.
Tree = tuple[Any, ...]

# There are 115 conditions at order 8 and 286 at order 9; no tableau here or in SciPy claims a higher order.
HIGHEST_ORDER = 8


@cache
def _trees(order: int) -> tuple[Tree, ...]:
    """All rooted trees with `order` nodes; there are 1, 1, 2, 4, 9, 20, 48, 115."""
    return tuple(dict.fromkeys(tuple(sorted(forest)) for forest in _forests(order - 1, order - 1)))


@cache
def _forests(nodes: int, largest: int) -> tuple[tuple[Tree, ...], ...]:
    """Multisets of trees with `nodes` nodes in all, none of them with more than `largest`."""
    if nodes == 0:
        return ((),)
    return tuple(
        (tree, *rest)
        for size in range(min(nodes, largest), 0, -1)
        for tree in _trees(size)
        for rest in _forests(nodes - size, size)
    )


@cache
def _size(tree: Tree) -> int:
    return 1 + sum(map(_size, tree))


@cache
def _density(tree: Tree) -> int:
    """gamma(t), the product of the sizes of all subtrees."""
    return _size(tree) * math.prod(map(_density, tree))


def order_defect(A: NDArray[np.float64], b: NDArray[np.float64], order: int) -> float:
    """The largest error of a condition of exactly this order, relative to its value.

        sum_i b_i Phi_i(t) = 1/gamma(t)    for every rooted tree t with `order` nodes

    Parameters
    ----------
    A : array, shape (s, s)
    b : array, shape (s,)
    order : int
        Number of nodes of the trees, from 1 to 8.

    Returns
    -------
    float

    References
    ----------
    Hairer, Norsett, Wanner, Solving Ordinary Differential Equations I, theorem II.2.13.
    """
    weights: dict[Tree, NDArray[np.float64]] = {}

    def weight(tree: Tree) -> NDArray[np.float64]:
        if tree not in weights:
            product = np.ones(len(b))
            for branch in tree:
                product = product * (A @ weight(branch))
            weights[tree] = product
        return weights[tree]

    return max(abs(float(b @ weight(tree)) * _density(tree) - 1) for tree in _trees(order))
