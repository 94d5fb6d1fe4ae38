"""PyTorch: curvature of models, limits of optimizers, training problems. Needs the extra `training`."""

from surefoot.errors import MissingExtra

try:
    import torch as _torch
except ModuleNotFoundError as error:
    raise MissingExtra("surefoot.training needs PyTorch: pip install 'surefoot[training]'") from error
else:
    del _torch

from surefoot._limits import ClippedLimits
from surefoot._scale import BatchScaling, scale_batch
from surefoot.errors import Diverged
from surefoot.problems import GradientNoise
from surefoot.rules import ClipAdvice, WarmupAdvice, clip_advice, warmup_advice
from surefoot.rules._along_step import AlongStep
from surefoot.rules._autopilot import Autopilot
from surefoot.rules._cooldown import Cooldown
from surefoot.rules._sharpness import Sharpness
from surefoot.rules._watch import Watch
from surefoot.training._as_map import DescentMap, as_map
from surefoot.training._as_problem import ModelProblem, as_problem
from surefoot.training._blocks import blocks, preconditioned
from surefoot.training._builtin import digits_task
from surefoot.training._builtin_edge import Edge, EdgeRun, edge_of_stability
from surefoot.training._builtin_residual import ResidualTask, resnet_mlp_task
from surefoot.training._builtin_sequences import char_transformer_task, digits_rnn_task, mnist1d_cnn_task
from surefoot.training._builtin_wide import wide_mlp_task
from surefoot.training._effective import effective_rate, equivalent_rate
from surefoot.training._expected_fisher import fisher
from surefoot.training._fisher import empirical_fisher
from surefoot.training._frozen import method_of
from surefoot.training._gauss_newton import gauss_newton
from surefoot.training._groups import GroupAdvice, GroupEvidence, suggest_groups
from surefoot.training._guard import Guard
from surefoot.training._guard_history import Event
from surefoot.training._guard_keeper import SnapshotCost
from surefoot.training._hessian import hessian
from surefoot.training._logged_norms import logged_norms
from surefoot.training._loss import Supervised, supervised
from surefoot.training._minibatch_bias import MiniBatchBias, minibatch_bias
from surefoot.training._noise import gradient_noise
from surefoot.training._noise_limits import mean_square_limits
from surefoot.training._operator import CurvatureOperator
from surefoot.training._optimizer_limits import optimizer_limits
from surefoot.training._pilot import Pilot
from surefoot.training._pilot_history import Moment
from surefoot.training._pilot_log import PilotLog
from surefoot.training._pilot_run import TrainingRun, train
from surefoot.training._predict_network import predict_network
from surefoot.training._range_test import range_test
from surefoot.training._range_test_types import RangeTest, Rehearsal
from surefoot.training._reading import SharpnessReading
from surefoot.training._residual import residual_stability
from surefoot.training._residual_scale import ResidualScales, scale_residuals
from surefoot.training._residual_types import DepthScaling, ResidualBlock, ResidualStability
from surefoot.training._stochastic_curvature import StochasticCurvature, stochastic_curvature
from surefoot.training._task import Candidate, Task
from surefoot.training._tracker import SharpnessTracker
from surefoot.training._update_ratio import GroupRatio, UpdateRatios, watch

__all__ = [
    "AlongStep",
    "Autopilot",
    "BatchScaling",
    "Candidate",
    "ClipAdvice",
    "ClippedLimits",
    "Cooldown",
    "CurvatureOperator",
    "DepthScaling",
    "DescentMap",
    "Diverged",
    "Edge",
    "EdgeRun",
    "Event",
    "GradientNoise",
    "GroupAdvice",
    "GroupEvidence",
    "GroupRatio",
    "Guard",
    "MiniBatchBias",
    "ModelProblem",
    "Moment",
    "Pilot",
    "PilotLog",
    "RangeTest",
    "Rehearsal",
    "ResidualBlock",
    "ResidualScales",
    "ResidualStability",
    "ResidualTask",
    "Sharpness",
    "SharpnessReading",
    "SharpnessTracker",
    "SnapshotCost",
    "StochasticCurvature",
    "Supervised",
    "Task",
    "TrainingRun",
    "UpdateRatios",
    "WarmupAdvice",
    "Watch",
    "as_map",
    "as_problem",
    "blocks",
    "char_transformer_task",
    "clip_advice",
    "digits_rnn_task",
    "digits_task",
    "edge_of_stability",
    "effective_rate",
    "empirical_fisher",
    "equivalent_rate",
    "fisher",
    "gauss_newton",
    "gradient_noise",
    "hessian",
    "logged_norms",
    "mean_square_limits",
    "method_of",
    "minibatch_bias",
    "mnist1d_cnn_task",
    "optimizer_limits",
    "preconditioned",
    "predict_network",
    "range_test",
    "residual_stability",
    "resnet_mlp_task",
    "scale_batch",
    "scale_residuals",
    "stochastic_curvature",
    "suggest_groups",
    "supervised",
    "train",
    "warmup_advice",
    "watch",
    "wide_mlp_task",
]
