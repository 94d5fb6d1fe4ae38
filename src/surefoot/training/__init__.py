"""PyTorch: curvature of models, limits of optimizers, training problems. Needs the extra `training`."""

from surefoot.errors import MissingExtra

try:
    import torch as _torch
except ModuleNotFoundError as error:
    raise MissingExtra("surefoot.training needs PyTorch: pip install 'surefoot[training]'") from error
else:
    del _torch

from surefoot.rules._watch import Watch
from surefoot.training._blocks import blocks, preconditioned
from surefoot.training._builtin import digits_task
from surefoot.training._builtin_sequences import char_transformer_task, digits_rnn_task, mnist1d_cnn_task
from surefoot.training._clipped import ClippedLimits, Oscillation
from surefoot.training._effective import effective_rate, equivalent_rate
from surefoot.training._expected_fisher import fisher
from surefoot.training._fisher import empirical_fisher
from surefoot.training._frozen import method_of
from surefoot.training._gauss_newton import gauss_newton
from surefoot.training._guard import Guard, SnapshotCost
from surefoot.training._guard_history import Diverged, Event
from surefoot.training._hessian import hessian
from surefoot.training._loss import Supervised, supervised
from surefoot.training._minibatch_bias import MiniBatchBias, minibatch_bias
from surefoot.training._operator import CurvatureOperator
from surefoot.training._optimizer_limits import optimizer_limits
from surefoot.training._reading import SharpnessReading
from surefoot.training._task import Candidate, Task
from surefoot.training._tracker import SharpnessTracker

__all__ = [
    "Candidate",
    "ClippedLimits",
    "CurvatureOperator",
    "Diverged",
    "Event",
    "Guard",
    "MiniBatchBias",
    "Oscillation",
    "SharpnessReading",
    "SharpnessTracker",
    "SnapshotCost",
    "Supervised",
    "Task",
    "Watch",
    "blocks",
    "char_transformer_task",
    "digits_rnn_task",
    "digits_task",
    "effective_rate",
    "empirical_fisher",
    "equivalent_rate",
    "fisher",
    "gauss_newton",
    "hessian",
    "method_of",
    "minibatch_bias",
    "mnist1d_cnn_task",
    "optimizer_limits",
    "preconditioned",
    "supervised",
]
