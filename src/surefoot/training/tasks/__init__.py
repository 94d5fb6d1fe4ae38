"""Training problems: your own and built in."""

from surefoot.training.tasks._as_map import DescentMap, as_map
from surefoot.training.tasks._digits import digits, digits_task
from surefoot.training.tasks._resnet import ResidualTask, ResnetMLP, resnet_mlp_task
from surefoot.training.tasks._sequences import char_transformer_task, digits_rnn_task, mnist1d_cnn_task
from surefoot.training.tasks._task import Candidate, Task
from surefoot.training.tasks._train import TrainingRun, train
from surefoot.training.tasks._wide_mlp import wide_mlp_task
from surefoot.training.tasks.as_problem import ModelProblem, as_problem

__all__ = [
    "Candidate", "DescentMap", "ModelProblem", "ResidualTask", "ResnetMLP", "Task", "TrainingRun", "as_map",
    "as_problem", "char_transformer_task", "digits", "digits_rnn_task", "digits_task", "mnist1d_cnn_task",
    "resnet_mlp_task", "train", "wide_mlp_task",
]  # fmt: skip
