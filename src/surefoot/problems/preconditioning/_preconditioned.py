"""A problem in other variables."""

from typing import Any

import numpy as np

from surefoot.checks import checked
from surefoot.methods import Method
from surefoot.operators import Array
from surefoot.problems._base import Problem, compute_once
from surefoot.problems._changes import Change
from surefoot.problems.preconditioning._comparison import Comparison
from surefoot.spectra import Spectrum
from surefoot.stability import limits


@checked
class Preconditioned(Problem):
    """A problem f in the variables z, x = S z: the same values, other curvatures.

        F(z) = f(S z),    grad F = S' grad f,    H_F = S'H S

    A gradient step in z is a step x - h S S' grad f(x) in x: S S' is the preconditioner. Made by `precondition`.

    Parameters
    ----------
    problem : Problem
        Function f.
    change : Change
        Change of variables S.
    """

    def __init__(self, problem: Problem, change: Change) -> None:
        self.problem = problem
        self.change = change

    @property
    def name(self) -> str:
        """The names of the problem and of the change."""
        return f"{self.problem.name}, {self.change.name}"

    @property
    def loss_is(self) -> str:
        """That of the problem: the values are the same."""
        return self.problem.loss_is

    @property
    def size(self) -> int:
        """Number of unknowns: the same."""
        return self.problem.size

    @property
    def convex(self) -> bool:
        """That of the problem in x."""
        return self.problem.convex

    @property
    def constant_curvature(self) -> bool:
        """That of the problem in x."""
        return self.problem.constant_curvature

    def to_original(self, z: Array) -> Array:
        """The point x = S z."""
        return self.change.apply(self.checked(z, "z"))

    def from_original(self, x: Array) -> Array:
        """The point z = S^-1 x."""
        return self.change.invert(self.problem.checked(x))

    def start(self) -> Array:
        """The problem's own start, in z."""
        return self.from_original(self.problem.start())

    def value(self, x: Array) -> float:
        """F(z)."""
        return self.problem.value(self.change.apply(self.checked(x)))

    def gradient(self, x: Array) -> Array:
        """The gradient in z."""
        return self.change.adjoint(self.problem.gradient(self.change.apply(self.checked(x))))

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        """Both at once."""
        value, gradient = self.problem.value_and_gradient(self.change.apply(self.checked(x)))
        return value, self.change.adjoint(gradient)

    @property
    def has_products(self) -> bool:
        """Whether the problem in its own variables has them."""
        return self.problem.has_products

    def hessian_product(self, x: Array, v: Array) -> Array:
        """S'H S v."""
        x, v = self.change.apply(self.checked(x)), self.change.apply(self.checked(v, "v"))
        return self.change.adjoint(self.problem.hessian_product(x, v))

    @compute_once
    def curvature(self) -> Spectrum:
        """Bounds on the eigenvalues of S'HS; from the entries if the problem has them."""
        return self.problem.curvature_in(self.change)

    def curvature_in(self, change: Change) -> Spectrum:
        """The bounds for a further change of z."""
        return self.problem.curvature_in(self.change.then(change))

    @property
    def blocks(self) -> int:
        """The number of parts in x, if S treats them alike; else 1."""
        return 1 if self._block is None else self.problem.blocks

    @property
    def _block(self) -> Any:
        """The entries of S for one part, if they are stored."""
        block = self.change.on_part(self.problem.blocks)
        return None if block is None else block.matrix

    def hessian_matrix(self, at: Array | None = None) -> Any:
        """S'HS with the problem's `hessian_matrix` at a point or, by default, without one."""
        S = self._block
        if S is None:
            return super().hessian_matrix(at)
        return S.T @ self.problem.hessian_matrix(None if at is None else self.to_original(at)) @ S

    def hessian_diagonal(self, at: Array | None = None) -> Array:
        """The diagonal of `hessian_matrix`."""
        return np.asarray(self.hessian_matrix(at).diagonal())

    def compare(self, method: Method | None = None) -> Comparison:
        """Limits of a method before and after, gradient descent by default.

        Raises
        ------
        NotSmooth
            If the problem has no curvature.
        """
        return Comparison(limits(self.problem, method), limits(self, method), self.change.name)
