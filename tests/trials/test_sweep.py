"""Where each rate leads: verdicts and periods where they are known, and what survives on disk."""

import csv
import json
import math

import numpy as np
import pytest

from surefoot.errors import InvalidInput, NotFinite
from surefoot.problems import Function, Quadratic
from surefoot.trials import Sweep, sweep

CUBIC = Function(lambda x: float(x[0] ** 2 / 2 - x[0] ** 3 / 3), lambda x: x - x**2, start=[0.3], name="cubic")
QUADRATIC = Quadratic(np.diag([1.0, 10.0]), np.ones(2))


@pytest.fixture(scope="module")
def cubic():
    return sweep(CUBIC, [1.7, 2.2, 2.5, 2.55, 2.9, 3.1], steps=3000)


def test_the_road_to_chaos(cubic):
    assert [o.period for o in cubic.outcomes] == [1, 2, 4, 8, 0, 0]
    assert [o.ending for o in cubic.outcomes] == ["good", *4 * ["oscillating"], "diverged"]
    assert math.isnan(cubic.outcomes[-1].loss)
    assert cubic.best.rate == 1.7
    assert "lowest rate tried" in cubic.finding


def test_below_and_above_the_limit_of_a_quadratic():
    found = sweep(QUADRATIC, [0.1 * 1.95, 0.1 * 2.05], steps=800)
    assert [o.ending for o in found.outcomes] == ["good", "diverged"]
    assert found.limit == pytest.approx(0.2, rel=0.02)
    assert found.outcomes[0].loss == pytest.approx(QUADRATIC.value(np.array([1.0, 0.1])))


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_the_default_rates_span_the_limit(momentum):
    found = sweep(QUADRATIC, steps=150, count=5, momentum=momentum)
    rates = np.array([o.rate for o in found.outcomes])
    assert found.limit == pytest.approx(0.2 * (1 + momentum), rel=0.02)
    np.testing.assert_allclose(rates / found.limit, np.geomspace(0.1, 4, 5))
    assert [o.ending == "diverged" for o in found.outcomes] == (rates > 0.2 * (1 + momentum)).tolist()


def test_a_cap_turns_divergence_into_a_cycle_of_two():
    found = sweep(QUADRATIC, [0.15, 0.3, 0.5], x0=[0.1, 3.0], steps=3000, clip=1.0)
    assert [o.ending for o in found.outcomes] == ["good", "oscillating", "oscillating"]
    assert [o.period for o in found.outcomes] == [1, 2, 2]
    assert "0.5 from end to end" in found.outcomes[2].evidence


def test_a_symmetric_cycle_is_seen_though_the_loss_stands_still():
    """On x^2/2 the step 2 alternates between x and -x with one and the same loss: the states tell."""
    found = sweep(Function(lambda x: float(x @ x) / 2, lambda x: x, start=[1.0, 2.0]), [2.0], steps=200)
    assert found.outcomes[0].period == 2
    assert found.outcomes[0].ending == "oscillating"


def test_a_run_that_gives_back_what_it_gained_has_collapsed():
    """A trough beside a plateau: a long step throws the run out of it onto the flat."""

    def value(x):
        return float(-np.exp(-(x[0] ** 2)))

    def gradient(x):
        return 2 * x * np.exp(-x * x)

    found = sweep(Function(value, gradient, start=[0.02]), [0.2, 40.0], steps=300)
    assert [o.ending for o in found.outcomes] == ["good", "collapsed"]
    assert found.outcomes[1].best < -0.9
    assert found.outcomes[1].loss > -0.1
    assert found.outcomes[1].period == 1


@pytest.mark.parametrize(("given_back", "ending"), [(0.45, "good"), (0.55, "collapsed")])
def test_half_of_the_gain_given_back_for_good_is_a_collapse(given_back, ending):
    """Steps of length 1 from 2 to 1, and from there to a stationary point at 10: losses 1, 0, given_back."""
    value, slope = {2: 1.0, 1: 0.0, 10: given_back}, {2: 1.0, 1: -9.0, 10: 0.0}
    steps = Function(lambda x: value[round(x[0])], lambda x: np.array([slope[round(x[0])]]), start=[2.0])
    (outcome,) = sweep(steps, [1.0], steps=200).outcomes
    assert (outcome.best, outcome.loss, outcome.ending) == (0.0, given_back, ending)


def test_json_and_csv(cubic, tmp_path):
    record = json.loads(json.dumps(cubic.to_dict(), allow_nan=False))
    assert record["outcomes"][-1]["loss"] == "nan"
    again = Sweep.from_dict(record)
    assert again.outcomes[:-1] == cubic.outcomes[:-1]
    assert str(again) == str(cubic)
    with cubic.to_csv(tmp_path / "s.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["period"]) for row in rows] == [1, 2, 4, 8, 0, 0]


def test_progress_is_told():
    told = []
    sweep(QUADRATIC, [0.1, 0.15], steps=150, progress=lambda *seen: told.append(seen[:3]))
    assert told == [(0, 2, "rate 0.1"), (1, 2, "rate 0.15")]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"steps": 100}, "steps"),
        ({"momentum": 1.0}, "momentum"),
        ({"clip": 0.0}, "clip"),
        ({"rates": []}, "rates"),
        ({"rates": [0.1, -1.0]}, "rates"),
        ({"rates": [math.nan]}, "rates"),
        ({"count": 1}, "count"),
        ({"x0": [1.0]}, "x0|shape"),
    ],
)
def test_what_is_wrong_is_said(settings, says):
    with pytest.raises(InvalidInput, match=says):
        sweep(QUADRATIC, **settings)


def test_a_start_that_is_not_finite_or_has_no_curvature():
    with pytest.raises((NotFinite, InvalidInput)):
        sweep(QUADRATIC, x0=[math.nan, 0.0])
    flat = Function(lambda x: float(-x @ x), lambda x: -2 * x, start=[1.0, 1.0])
    with pytest.raises(InvalidInput, match="give the rates"):
        sweep(flat)
