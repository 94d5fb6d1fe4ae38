"""Observations of a made-up run, and what a watch decides on them."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Seen:
    """An observation; by default nobody can be asked about an earlier state."""

    loss: float
    gradient_norm: float = 1.0
    sound: bool = True
    output_variation: float = math.nan
    buffer_change: float = 0.0
    kept_loss: float = math.nan
    kept_gradient_norm: float = 1.0
    kept_limit: float = math.nan
    outside: bool = False
    step: float = 0.1


def noise(k, seed=0):
    """Deterministic, in [-1, 1]."""
    return math.sin(12.9898 * k + 78.233 * seed) * math.cos(4.1 * k)


def calm(steps, level=1.0, rate=0.02, wobble=0.05, scale=1.0, offset=0.0, gradient=1.0, **more):
    return [
        Seen(
            scale * (level + math.exp(-rate * k) + wobble * noise(k)) + offset,
            gradient * (1 + 0.3 * noise(k, 1)),
            **more,
        )
        for k in range(steps)
    ]


def drive(watch, observations, state=None):
    state = watch.init() if state is None else state
    decisions = []
    for seen in observations:
        decision, state = watch.update(state, seen)
        decisions.append(decision)
    return decisions, state


def actions(decisions):
    return [decision.action or "go" for decision in decisions]


NAN = Seen(math.nan)
