"""A model's loss over its data as a problem of one vector, so that every rule and driver can be put to it."""

from typing import Any

from torch import nn

from surefoot.checks import checked
from surefoot.errors import NotSmooth
from surefoot.operators import Array, LinearMap, Operator
from surefoot.problems import Problem
from surefoot.spectra import Spectrum
from surefoot.training.model.loss import Loss
from surefoot.training.model.sandbox import copy_without_dropout
from surefoot.training.tasks._as_map import DescentMap, as_map
from surefoot.training.tasks._task import Task

__all__ = ["ModelProblem", "as_problem", "full_batch"]


class ModelProblem(Problem):
    """The full-batch loss as a function of the model's trainable parameters, joined to one vector; see `as_problem`.

    Parameters
    ----------
    descent : DescentMap
        Evaluates the loss and its derivatives.
    name : str
    """

    def __init__(self, descent: DescentMap, name: str) -> None:
        self._descent, self._name = descent, name

    @property
    def name(self) -> str:
        """The given name, with the number of unknowns."""
        return f"{self._name}, full batch, {self.size} unknowns"

    @property
    def size(self) -> int:
        """Number of trainable scalars."""
        return self._descent.block.size

    def start(self) -> Array:
        """The model's parameters now."""
        return self._descent.start

    def value(self, x: Array) -> float:
        """The loss at x."""
        return self.value_and_gradient(x)[0]

    def gradient(self, x: Array) -> Array:
        """The loss's gradient at x."""
        return self.value_and_gradient(x)[1]

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        """Loss and gradient, from one pass through the model."""
        values, gradients = self._descent.evaluate(self.checked(x)[:, None])
        return float(values[0]), gradients[:, 0]

    def hessian_product(self, x: Array, v: Array) -> Array:
        """The Hessian at x times v, by double backward."""
        return self._descent.product(self.checked(x), self.checked(v, "v"))

    def hessian(self, x: Array) -> Operator:
        """The Hessian at x as an operator, its products in the model's precision."""
        x = self.checked(x)
        return LinearMap(
            (self.size, self.size),
            lambda v: self.hessian_product(x, v),
            symmetric=True,
            kind="curvature",
            precision=self._descent.block.precision,
            scope="local",
        )

    def curvature(self) -> Spectrum:
        """Nothing is known of a network's curvature everywhere.

        Raises
        ------
        NotSmooth
            Always; `spectrum(problem.hessian(x))` measures it at a point.
        """
        raise NotSmooth("nothing bounds a network's curvature everywhere; measure it at a point: problem.hessian(x)")


@checked
def as_problem(model: nn.Module, loss: Loss, data: Any, *, name: str = "") -> ModelProblem:
    """A model's mean loss over all the data as a `surefoot.problems` problem: for `descend`, `race`, `sweep`.

    Parameters
    ----------
    model, loss, data
        Arguments of `as_map`.
    name : str
        Name of the problem; default the model's class.

    Returns
    -------
    ModelProblem
        A problem of vectors of shape (size,), in the model's own precision; the model itself is left as it is.

    Raises
    ------
    SurefootError
        As `as_map`.

    Examples
    --------
    >>> import torch
    >>> import surefoot as sf
    >>> from surefoot.training.tasks.as_problem import as_problem
    >>> from surefoot.training.model import supervised
    >>> x = torch.linspace(-1, 1, 20)[:, None].double()
    >>> model = torch.nn.Linear(1, 1).double()
    >>> problem = as_problem(model, supervised(torch.nn.functional.mse_loss), (x, 2 * x + 1))
    >>> run = sf.descend(problem, rule=sf.rules.Constant(step=0.5))
    >>> run.verdict.ending, run.x.round(6).tolist()
    ('good', [2.0, 1.0])
    """
    return ModelProblem(as_map(model, loss, data), name or type(model).__name__)


def full_batch(task: Task, samples: int | None = None) -> ModelProblem:
    """A training task as a problem: the mean loss over all its data, or over so many samples, dropout off.

    Parameters
    ----------
    task : Task
    samples : int, optional
        Number of samples; default all.
    """
    batches = task.visits.subset(samples)
    name = f"{task.name}, {sum(batches.counts):,.0f} samples"
    return ModelProblem(DescentMap(copy_without_dropout(task.model), task.loss, batches), name)
