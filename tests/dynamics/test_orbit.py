"""Orbits, periods and exponents: against plain loops, closed forms and the laws of conjugacy."""

import csv
import json
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot import dynamics, stability
from surefoot.dynamics import Cubic, TanhRNN, TwoMinima, diagram, lyapunov, orbit, period
from surefoot.errors import InvalidInput, InvalidType, NotFinite, SurefootError

CUBIC = Cubic()


def logistic(x, r):
    return r * x * (1 - x)


def test_orbit_is_what_a_plain_loop_does():
    rates = [0.3, 1.7, 2.3, 2.9]
    points = orbit(CUBIC, rates, 0.4, steps=50, keep=7)
    assert points.shape == (7, 4)
    for k, rate in enumerate(rates):
        x, seen = 0.4, []
        for _ in range(50):
            x = x - rate * (x - x * x)
            seen.append(x)
        np.testing.assert_array_equal(points[:, k], seen[-7:])


def test_a_number_for_the_parameter_drops_the_axis():
    np.testing.assert_array_equal(orbit(CUBIC, 1.5, 0.4, steps=9), orbit(CUBIC, [1.5], 0.4, steps=9)[:, 0])
    assert np.ndim(lyapunov(CUBIC, 1.5, 0.4, 50)) == 0
    assert np.ndim(period(orbit(CUBIC, 1.5, 0.4, steps=99))) == 0


def test_vector_map_and_its_starts():
    matrix = np.array([[1.0, 0.3], [0.3, 2.0]])

    def descent(x, step):
        return x - step * (matrix @ x)

    points = orbit(descent, [0.1, 0.5], [1.0, -2.0], steps=20, keep=3)
    assert points.shape == (3, 2, 2)
    for k, step in enumerate((0.1, 0.5)):
        power = np.linalg.matrix_power(np.eye(2) - step * matrix, 20)
        np.testing.assert_allclose(points[-1, :, k], power @ [1.0, -2.0], rtol=1e-12)
    own = orbit(descent, [0.1, 0.1], [[1.0, 3.0], [-2.0, 0.5]], steps=20, keep=1)
    np.testing.assert_allclose(own[0, :, 0], points[-1, :, 0], rtol=1e-14)
    assert not np.allclose(own[0, :, 1], own[0, :, 0])


@pytest.mark.parametrize(
    ("rate", "expected"), [(1.9, 1), (2.2, 2), (2.5, 4), (2.55, 8), (2.566, 16), (2.83, 3), (2.9, 0), (3.2, 0)]
)
def test_periods_of_the_cubic(rate, expected):
    assert period(orbit(CUBIC, [rate], 0.37, steps=20_000, keep=160))[0] == expected


def test_period_window_three_opens_at_two_root_two():
    rates = 2 * math.sqrt(2) + np.array([-1e-4, 1e-4])
    assert period(orbit(CUBIC, rates, 0.4, steps=30_000, keep=128)).tolist() == [0, 3]


def test_period_reads_the_whole_window_not_the_last_point():
    points = np.tile([[0.0], [1.0]], (20, 1))
    points[3] = 5.0
    assert period(points) == 0
    assert period(points[5:]) == 2
    assert period(np.zeros((8, 2)) + np.array([0.0, np.nan])).tolist() == [1, 0]


def test_period_longest_is_seen_twice():
    points = np.tile(np.arange(6.0), 4)
    assert period(points) == 6
    assert period(points, longest=5) == 0
    assert period(points[:11]) == 0


def test_exponent_of_a_settled_orbit_is_its_multiplier():
    rates = np.array([0.5, 1.2, 1.9])
    np.testing.assert_allclose(lyapunov(CUBIC, rates, 0.4, 4000), np.log(np.abs(1 - rates)), rtol=1e-9)
    two = lyapunov(CUBIC, 2.2, 0.4, 8000)
    r = 3.2
    assert two == pytest.approx(math.log(abs(4 + 2 * r - r * r)) / 2, rel=1e-9)


def test_exponent_at_three_is_ln_two():
    assert lyapunov(CUBIC, 3.0, 0.4, 100_000) == pytest.approx(math.log(2), abs=1e-4)
    assert np.isnan(lyapunov(CUBIC, 3.05, 0.4, 4000))


def test_exponent_of_a_linear_map_is_the_largest_rate():
    matrix = np.array([[2.0, 0.4], [0.4, 1.0]])
    top = np.linalg.eigvalsh(matrix)

    def descent(x, step):
        return x - step * (matrix @ x)

    steps = np.array([0.1, 0.9, 1.3])
    expected = [math.log(np.abs(1 - s * top).max()) for s in steps]
    np.testing.assert_allclose(lyapunov(descent, steps, [1.0, 1.0], 600), expected, atol=2e-3)


def test_superstable_orbit_has_exponent_minus_infinity():
    assert lyapunov(lambda x, p: 0 * x + p, [0.3], 1.0, 100)[0] == -math.inf
    assert lyapunov(CUBIC, 1.0, 0.4, 400) < -5


@pytest.mark.parametrize(
    "update",
    [
        lambda x, r: np.where(np.abs(x) < 10, r * x * (1 - x), 0.0 * np.sign(x)),
        lambda x, r: r.real * x.real * (1 - x.real),
        lambda x, r: np.asarray(np.float64(r) * np.asarray(x, dtype=np.float64) * (1 - np.float64(x))),
        lambda x, r: r * x * (1 - np.abs(x)),
    ],
)
def test_updates_that_complex_numbers_do_not_fit_still_get_an_exponent(update):
    rates = np.array([2.7, 3.2, 4.0])
    got = lyapunov(update, rates, 0.3, 20_000)
    np.testing.assert_allclose(got, lyapunov(logistic, rates, 0.3, 20_000), atol=5e-3)


def test_updates_that_complain_about_complex_numbers_still_get_an_exponent():
    def complaining(x, r):
        if np.iscomplexobj(x):
            warnings.warn("casting", UserWarning, stacklevel=1)
            raise KeyError("complex")
        return logistic(x, r)

    assert lyapunov(complaining, 2.7, 0.3, 2000) == pytest.approx(math.log(0.7), abs=1e-5)


def test_kink_met_only_later_is_noticed():
    clipped = dynamics.ClippedQuadratic(a=10.0, cap=1.0)

    def by_sign(x, step):
        g = 10.0 * x
        return x - step * np.where(np.abs(g) > 1, np.sign(g), g)

    # both points of the cycle are clipped: it is neutral
    for update in (clipped, by_sign):
        assert lyapunov(update, 0.5, 0.03, 4000) == pytest.approx(0.0, abs=1e-6)


@settings(max_examples=25)
@given(rate=st.floats(0.5, 2.99), a=st.floats(0.1, 50.0), x=st.floats(0.05, 0.95))
def test_cubic_is_conjugate_to_the_logistic_map(rate, a, x):
    loss = Cubic(a)
    step = rate / a
    z, r = loss.logistic(x, step)
    after, _ = loss.logistic(loss(x, step), step)
    assert after == pytest.approx(logistic(z, r), abs=1e-13)


@settings(max_examples=15)
@given(scale=st.floats(1e-3, 1e3), rate=st.floats(0.5, 2.9))
def test_exponent_and_period_do_not_depend_on_the_unit_of_time(scale, rate):
    plain = diagram(Cubic(), [rate], 0.3, steps=600)
    scaled = diagram(Cubic(scale), [rate / scale], 0.3, steps=600)
    if plain.exponent[0] < -0.01:
        assert scaled.exponent[0] == pytest.approx(plain.exponent[0], rel=1e-4)
        assert scaled.period[0] == plain.period[0]


def test_diagram_agrees_with_its_parts():
    rates = np.linspace(1.5, 3.1, 33)
    whole = diagram(CUBIC, rates, 0.4, steps=800, keep=100)
    points = orbit(CUBIC, rates, 0.4, steps=800, keep=100)
    settled = np.isfinite(points).all(axis=0) & (whole.exponent < 0)
    np.testing.assert_allclose(whole.points[:, settled], points[:, settled], rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(whole.period[settled], period(points)[settled])
    np.testing.assert_array_equal(whole.exponent, lyapunov(CUBIC, rates, 0.4, 800))
    assert whole.left[-1]
    assert not whole.left[:-3].any()
    assert whole.chaotic[np.flatnonzero(np.isclose(rates, 2.9))].all()
    assert "left" in str(whole)
    assert "period 2" in str(whole)


def test_diagram_of_the_rnn_turns_chaotic():
    picture = diagram(TanhRNN(), [2.0, 2.5, 2.9, 3.12], 1.0, steps=4000)
    assert picture.period.tolist() == [1, 2, 4, 0]
    assert (picture.exponent[:3] < 0).all()
    assert picture.exponent[3] > 0.05


def test_records_survive_json():
    picture = diagram(CUBIC, [1.5, 2.2, 3.2], 0.4, steps=200, keep=4)
    again = dynamics.Diagram.from_dict(json.loads(json.dumps(picture.to_dict(), allow_nan=False)))
    np.testing.assert_array_equal(again.points[:, :2], picture.points[:, :2])
    np.testing.assert_array_equal(again.exponent, picture.exponent)
    np.testing.assert_array_equal(again.left, picture.left)
    assert str(again) == str(picture)
    for record in (
        stability.clipped_oscillation(10.0, 0.5, 1.0),
        dynamics.flip(1.0, -2.0, 0.0),
        dynamics.escape_steps(TwoMinima(), 0.97, 0.92),
        dynamics.Escape(1.0, 0.9, 0.1, math.inf),
    ):
        assert type(record).from_dict(json.loads(json.dumps(record.to_dict(), allow_nan=False))) == record
    orbit_ = dynamics.cycle(CUBIC, 2.2, picture.points[2:, 1])
    back = dynamics.Cycle.from_dict(json.loads(json.dumps(orbit_.to_dict())))
    np.testing.assert_array_equal(back.points, orbit_.points)
    assert str(back) == str(orbit_)


def test_csv_holds_the_data(tmp_path):
    picture = diagram(CUBIC, [1.5, 2.2], 0.4, steps=200, keep=4)
    with picture.to_csv(tmp_path / "d.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(r["parameter"]) for r in rows] == [1.5, 2.2]
    assert [int(r["period"]) for r in rows] == picture.period.tolist()
    assert [float(r["point_3"]) for r in rows] == picture.points[3].tolist()
    pair = diagram(lambda x, p: p * x, [0.5], [1.0, 2.0], steps=4, keep=2)
    header = pair.to_csv(tmp_path / "v.csv").read_text().splitlines()[0]
    assert header == "parameter,period,exponent,point_0_0,point_0_1,point_1_0,point_1_1"


def test_landscapes_have_the_derivatives_they_say():
    for landscape, near in ((Cubic(3.0), 0.1), (TanhRNN(), 1.0), (TwoMinima(), 0.97)):
        x, h = np.linspace(-0.3, 1.4, 35), 1e-5
        slope = (landscape.value(x + h) - landscape.value(x - h)) / (2 * h)
        np.testing.assert_allclose(landscape.gradient(x), slope, atol=1e-7)
        bend = (landscape.gradient(x + h) - landscape.gradient(x - h)) / (2 * h)
        np.testing.assert_allclose(landscape.curvature(x), bend, atol=1e-5)
        assert abs(landscape.gradient(landscape.minimum(near))) < 1e-12


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: orbit(lambda x, p: x[:1], [1, 2], 0.0, steps=3), InvalidInput, "shape it was given"),
        (lambda: orbit(lambda x, p: "no", [1], 0.0, steps=3), InvalidType, "must return numbers"),
        (lambda: orbit(CUBIC, [], 0.0, steps=3), InvalidInput, "parameters"),
        (lambda: orbit(CUBIC, [[1.0]], 0.0, steps=3), InvalidInput, "parameters"),
        (lambda: orbit(CUBIC, [np.inf], 0.0, steps=3), NotFinite, "parameters must be finite"),
        (lambda: orbit(CUBIC, ["a"], 0.0, steps=3), InvalidType, "array of numbers"),
        (lambda: orbit(CUBIC, [1, 2], np.zeros((2, 3)), steps=3), InvalidInput, "x0"),
        (lambda: orbit(CUBIC, [1], 0.0, steps=0), InvalidInput, "steps"),
        (lambda: orbit(CUBIC, [1], 0.0, steps=2.5), InvalidType, "steps must be a whole number"),
        (lambda: orbit(CUBIC, [1], 0.0, steps=3, keep=4), InvalidInput, "keep"),
        (lambda: diagram(CUBIC, [1], 0.0, steps=3, keep=4), InvalidInput, "keep"),
        (lambda: lyapunov(CUBIC, [1], 0.0, 3, discard=3), InvalidInput, "discard"),
        (lambda: period([1.0]), InvalidInput, "points"),
        (lambda: period([1.0, 2.0], tolerance=0), InvalidInput, "tolerance"),
        (lambda: Cubic(-1.0), InvalidInput, "a must be positive"),
        (lambda: TanhRNN(length=0), InvalidInput, "length"),
        (lambda: TwoMinima(width=0), InvalidInput, "width"),
        (lambda: Cubic().minimum(1.0), InvalidInput, "no minimum"),
    ],
)
def test_errors_say_what_was_seen(call, error, words):
    with pytest.raises(error, match=words) as caught:
        call()
    assert isinstance(caught.value, SurefootError)
