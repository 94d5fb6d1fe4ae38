"""The largest curvature along training."""

from surefoot.training.sharpness._minibatch_bias import MiniBatchBias, minibatch_bias
from surefoot.training.sharpness._reading import SharpnessReading
from surefoot.training.sharpness._stochastic import StochasticCurvature, stochastic_curvature
from surefoot.training.sharpness._tracker import SharpnessTracker

__all__ = [
    "MiniBatchBias", "SharpnessReading", "SharpnessTracker", "StochasticCurvature", "minibatch_bias",
    "stochastic_curvature",
]  # fmt: skip
