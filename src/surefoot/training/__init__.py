"""PyTorch: curvature of models, limits of optimizers, training problems. Needs the extra `training`."""

from surefoot.errors import MissingExtra

try:
    import torch as _torch
except ModuleNotFoundError as error:
    raise MissingExtra("surefoot.training needs PyTorch: pip install 'surefoot[training]'") from error
else:
    del _torch

from surefoot.training._blocks import blocks, preconditioned
from surefoot.training._builtin import digits_task
from surefoot.training._expected_fisher import fisher
from surefoot.training._fisher import empirical_fisher
from surefoot.training._frozen import method_of
from surefoot.training._gauss_newton import gauss_newton
from surefoot.training._guard import Guard, SnapshotCost
from surefoot.training._guard_history import Diverged, Event
from surefoot.training._hessian import hessian
from surefoot.training._loss import Supervised, supervised
from surefoot.training._operator import CurvatureOperator
from surefoot.training._optimizer_limits import optimizer_limits
from surefoot.training._task import Candidate, Task

__all__ = [
    "Candidate",
    "CurvatureOperator",
    "Diverged",
    "Event",
    "Guard",
    "SnapshotCost",
    "Supervised",
    "Task",
    "blocks",
    "digits_task",
    "empirical_fisher",
    "fisher",
    "gauss_newton",
    "hessian",
    "method_of",
    "optimizer_limits",
    "preconditioned",
    "supervised",
]
