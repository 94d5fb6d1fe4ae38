"""Worst cases of step sequences, against closed forms and attained ones."""

import json
import math

import pytest

import surefoot as sf
from surefoot import Certificate, certify
from surefoot.errors import InvalidInput, InvalidType

pytest.importorskip("PEPit")


@pytest.mark.parametrize("n", [1, 2, 5, 15])
def test_gradient_descent(n):
    found = certify([1.0] * n, 1.0)
    assert found.worst_case == pytest.approx(1 / (4 * n + 2), abs=1e-5)
    assert found.worst_case <= found.textbook + 1e-6


@pytest.mark.parametrize(("n", "value"), [(1, 0.13060194), (3, 0.04691816), (7, 0.01842154), (15, 0.00746925)])
def test_silver(n, value):
    assert certify(sf.rules.Silver(smoothness=1.0), 1.0, count=n).worst_case == pytest.approx(value, abs=1e-5)


def test_units():
    plain = certify([1.0, 1.5], 1.0, 0.1)
    scaled = certify([1e-6, 1.5e-6], 1e6, 1e5)
    assert scaled.worst_case == pytest.approx(1e6 * plain.worst_case, rel=1e-4)


def test_the_textbook_rate_is_tight_for_strongly_convex_functions():
    found = certify([2 / 11] * 3, 10.0, 1.0)
    assert found.worst_case == pytest.approx(found.textbook, rel=1e-4)
    assert found.textbook == pytest.approx(5 * (9 / 11) ** 6)


def test_chebyshev_steps_hold_on_quadratics_only():
    steps = sf.rules.Chebyshev(smallest=1.0, largest=50.0, steps=6)
    found = certify(steps, 50.0, 1.0, count=6)
    # on quadratics the error shrinks; on other functions of the same class the loss can end above where it began
    assert found.worst_case > 25.0
    assert "end higher" in str(found)


def test_json():
    found = certify([0.5], 1.0)
    assert Certificate.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (([1.0], 0.0), InvalidInput, "mu < L"),
        (([1.0], 1.0, 1.0), InvalidInput, "mu < L"),
        (([], 1.0), InvalidInput, "at least one step"),
        (([math.nan], 1.0), InvalidInput, "finite"),
        (("silver", 1.0), InvalidType, "str"),
        ((sf.rules.Constant(step=1.0), 1.0), InvalidInput, "how many"),
        ((sf.rules.AdGD(), 1.0), InvalidInput, "AdGD adapts to what it sees"),
    ],
)
def test_bad_input(arguments, error, says):
    with pytest.raises(error, match=says):
        certify(*arguments)


def test_what_it_will_take_is_said_before():
    told = []
    certify([1.0] * 3, 1.0, progress=lambda *seen: told.append(seen))
    (done, total, label, left), last = told
    assert (done, total) == (0, 1)
    assert "3 steps" in label
    assert 0 < left < 1
    assert last[:2] == (1, 1)
