"""PyTorch: curvature of models, limits of optimizers, training problems. Needs the extra `training`."""

from surefoot.errors import MissingExtra

try:
    import torch as _torch
except ModuleNotFoundError as error:
    raise MissingExtra(
        "surefoot.training needs PyTorch: pip install '.[training]' in a checkout of Surefoot"
    ) from error
else:
    del _torch

from surefoot.training.curvature import CurvatureOperator, empirical_fisher, fisher, gauss_newton, hessian
from surefoot.training.groups import (
    GroupAdvice,
    GroupEvidence,
    GroupRatio,
    UpdateRatios,
    blocks,
    optimizer_curvature,
    suggest_groups,
    update_ratios,
)
from surefoot.training.guard import Guard
from surefoot.training.loop import Event, Moment, RunLog, SnapshotCost
from surefoot.training.model import Supervised, causal_lm, supervised
from surefoot.training.noise import gradient_noise, mean_square_limits
from surefoot.training.optimizers import effective_rate, equivalent_rate, method_of, optimizer_limits
from surefoot.training.pilot import Pilot
from surefoot.training.range_tests import RangeTest, Rehearsal, range_test
from surefoot.training.residual import (
    DepthScaling,
    ResidualBlock,
    ResidualScales,
    ResidualStability,
    residual_stability,
    scale_residuals,
)
from surefoot.training.sharpness import (
    MiniBatchBias,
    SharpnessReading,
    SharpnessTracker,
    StochasticCurvature,
    minibatch_bias,
    stochastic_curvature,
)
from surefoot.training.tasks import (
    Candidate,
    DescentMap,
    ModelProblem,
    ResidualTask,
    Task,
    TrainingRun,
    as_map,
    as_problem,
    char_transformer_task,
    digits_rnn_task,
    digits_task,
    mnist1d_cnn_task,
    resnet_mlp_task,
    train,
    wide_mlp_task,
)
from surefoot.training.width import predict_network

__all__ = [
    "CurvatureOperator", "Guard", "Pilot", "ResidualTask", "RunLog", "SharpnessTracker", "Task", "as_map", "as_problem",
    "blocks", "causal_lm", "effective_rate", "empirical_fisher", "equivalent_rate", "fisher", "gauss_newton",
    "gradient_noise", "hessian", "mean_square_limits", "method_of", "minibatch_bias", "optimizer_curvature",
    "optimizer_limits", "predict_network", "range_test", "residual_stability", "scale_residuals",
    "stochastic_curvature", "suggest_groups", "supervised", "train", "update_ratios",
]  # fmt: skip
