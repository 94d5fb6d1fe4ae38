"""A record with everything in it, made by hand from the types that `advise` returns."""

import math

import numpy as np
import pytest

import surefoot as sf
from surefoot.advice import Advice, Recommendation, Verification
from surefoot.records import with_floats
from surefoot.report._write import render
from surefoot.solvers import Ending
from surefoot.trials.trial import Trial


def make_recommendation(**changes):
    terrain = sf.spectrum(np.diag([-0.25, 0.0, 0.5, 1.0, 4.0]))
    limits = sf.limits(terrain)
    verification = tuple(
        Verification(
            factor=factor,
            step=factor * limits.curvature_limit,
            what="frozen quadratic model",
            expected=word,
            observed=word,
            values=tuple(base**i for i in range(30)),
        )
        for factor, word, base in ((0.95, "converges", 0.9), (1.05, "diverges", 1.1))
    )
    trials = tuple(
        Trial(step=step, losses=(1.0, final), ending=Ending(outcome))
        for step, final, outcome in (
            (0.0625, 0.5, "slow"),
            (0.125, 0.25, "good"),
            (0.25, 0.2, "good"),
            (1.0, 1.01, "no progress"),
            (4.0, math.nan, "diverged"),
        )
    )
    values = {
        "label": "SGD",
        "spectrum": terrain,
        "ritz": (-0.25, 0.0, 0.5, 1.0, 4.0),
        "limits": limits,
        "verification": verification,
        "trials": trials,
        "usable": (0.125, 0.25),
        "suggested": 0.25,
        "finding": "short runs do best at 0.25",
        "amplification": tuple((s, max(1.0, abs(1 - 4 * s))) for s in (0.1, 0.2, 0.4, 0.5, 0.6)),
        "note": "set up as PyTorch does",
    }
    return Recommendation(**values | changes)


def make_record(*recommendations, **changes):
    values = {
        "target": "a small network",
        "description": {"parameters": "12", "loss at the start": "1"},
        "recommendations": recommendations or (make_recommendation(),),
        "initial_loss": 1.0,
        "constant_loss": 0.9,
        "products": 1234,
        "runs": 5,
        "seconds": 0.5,
    }
    # as `render` hands it to the figures
    return with_floats(Advice(**values | changes).to_dict())


@pytest.fixture
def recommendation():
    return make_recommendation


@pytest.fixture
def record():
    return make_record


@pytest.fixture(scope="session")
def html():
    """The page of the record with everything in it: to draw its figures is what a page costs."""
    return render(make_record())
