"""Functions without a global step: the claim is local, and says where it holds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import surefoot as sf
from surefoot import rules
from surefoot.errors import InvalidInput, InvalidType, NotFinite, NotSmooth
from surefoot.problems import Function, PowerSum, Quadratic
from surefoot.spectra import Spectrum

START = np.array([1.0, -0.6, 0.3])


@pytest.mark.parametrize("exponent", [1.5, 3.0, 4.0])
def test_limits_say_that_no_global_step_exists_and_where_the_local_one_holds(exponent):
    problem = PowerSum(exponent, start=START)
    lim = sf.limits(problem)
    text = str(lim)
    assert lim.scope == "local"
    assert "no step holds for all x: the curvature grows without bound" in text
    assert "holds in f <= f(x0) = " in text
    assert "(local claim)" in text
    assert sf.Limits.from_dict(lim.to_dict()).reasons == lim.reasons
    found = problem.curvature()
    assert Spectrum.from_dict(found.to_dict()) == found
    assert "no step holds" in str(found)


@settings(max_examples=60)
@given(exponent=st.sampled_from([1.3, 1.5, 2.5, 3.0, 4.0, 6.0]), seed=st.integers(0, 10**6))
def test_the_curvature_holds_in_its_region(exponent, seed):
    problem = PowerSum(exponent, start=START)
    found, rng = problem.curvature(), np.random.default_rng(seed)
    x = rng.standard_normal(3)
    x *= (problem.value(START) / problem.value(x)) ** (1 / exponent) * rng.uniform()
    if exponent < 2:
        x = np.where(np.abs(x) < 0.15, 0.15, x)  # half the least of the start
        if problem.value(x) > problem.value(START):
            return
    bends = [problem.hessian_product(x, e) @ e for e in np.eye(3)]
    assert max(bends) <= found.largest.upper * (1 + 1e-12)
    assert min(bends) >= found.smallest.lower * (1 - 1e-12)


def test_the_bound_on_the_level_set_is_attained():
    problem = PowerSum(4, start=START)
    corner = np.array([problem.value(START) ** 0.25, 0.0, 0.0])
    assert problem.value(corner) == pytest.approx(problem.value(START))
    assert problem.hessian_product(corner, [1.0, 0, 0])[0] == pytest.approx(problem.curvature().largest.upper)


@settings(max_examples=40)
@given(exponent=st.sampled_from([2.5, 3.0, 4.0, 6.0]), factor=st.floats(0.05, 0.999), scale=st.floats(1e-3, 1e3))
def test_a_step_below_the_local_limit_never_raises_the_loss(exponent, factor, scale):
    problem = PowerSum(exponent, start=scale * START)
    run = sf.descend(problem, rule=rules.Constant(step=factor * sf.limits(problem).stable), steps=200, tol=0)
    assert (np.diff(run.trace.loss) <= 1e-12 * run.trace.loss[:-1]).all()


def test_a_local_limit_is_no_global_one():
    """The step that suits the start diverges from ten times as far out."""
    problem = PowerSum(4, start=[1.0])
    step = rules.Constant(step=0.9 * sf.limits(problem).stable)
    assert sf.descend(problem, rule=step, steps=100).loss < 0.1
    assert sf.descend(problem, [10.0], rule=step, steps=100).verdict.ending == "diverged"


@pytest.mark.parametrize("exponent", [1.2, 1.5, 1.8])
@pytest.mark.parametrize("step", [0.01, 0.1])
def test_below_two_a_constant_step_ends_in_the_stated_cycle(exponent, step):
    run = sf.descend(PowerSum(exponent, start=[1.0]), rule=rules.Constant(step=step), steps=3000, tol=0)
    expected = (step * exponent / 2) ** (1 / (2 - exponent))
    assert abs(run.x[0]) == pytest.approx(expected, rel=1e-6)
    assert "ends in a cycle" in PowerSum(exponent).curvature().region


def test_an_exponent_of_two_is_global():
    problem = PowerSum(2, size=3)
    assert problem.constant_curvature
    found = problem.curvature()
    assert (found.scope, found.region, found.largest.upper, found.smallest.lower) == ("global", "", 2.0, 2.0)
    assert sf.limits(problem).stable == 1.0


@settings(max_examples=30)
@given(exponent=st.sampled_from([1.5, 3.0, 4.0]), s=st.floats(1e-3, 1e3))
def test_the_unit_of_x(exponent, s):
    """x -> s x changes the curvature by s^(p - 2)."""
    top = PowerSum(exponent, start=START).curvature().largest.upper
    assert PowerSum(exponent, start=s * START).curvature().largest.upper == pytest.approx(s ** (exponent - 2) * top)


@pytest.mark.parametrize(
    ("exponent", "options", "error", "message"),
    [
        (1.0, {}, InvalidInput, r"exponent must be in .1, inf.; got 1\.0; for 1 use AbsoluteLoss"),
        (np.inf, {}, InvalidInput, "got inf"),
        ("four", {}, InvalidType, "exponent must be a number; got 'four'"),
        (4, {"start": [0.0, 0.0]}, InvalidInput, "start must not be 0"),
        (1.5, {"start": [1.0, 0.0]}, InvalidInput, "start must not be 0"),
        (4, {"size": 3, "start": [1.0]}, InvalidInput, r"start must have shape \(3,\)"),
        (4, {"size": 0}, InvalidInput, "size must be a whole number >= 1"),
        (4, {"start": [np.nan]}, NotFinite, "start has 1 NaN"),
    ],
)
def test_power_sum_input(exponent, options, error, message):
    with pytest.raises(error, match=message):
        PowerSum(exponent, **options)


def test_power_sum_at_its_kink():
    with pytest.raises(NotSmooth, match="infinite curvature at 0"):
        PowerSum(1.5, size=2).hessian_product([1.0, 0.0], [1.0, 1.0])
    np.testing.assert_array_equal(PowerSum(1.5, size=2).gradient([0.0, 4.0]), [0.0, 3.0])
    assert PowerSum(4, size=1).value([1e200]) == np.inf
    assert PowerSum(4, size=3).name == "sum of |x|^4, 3 unknowns"


# ---- any function ---------------------------------------------------------------------------------


def rosenbrock(x):
    return float(100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2)


def rosenbrock_gradient(x):
    return np.array([-400 * x[0] * (x[1] - x[0] ** 2) - 2 * (1 - x[0]), 200 * (x[1] - x[0] ** 2)])


def rosenbrock_product(x, v):
    H = np.array([[1200 * x[0] ** 2 - 400 * x[1] + 2, -400 * x[0]], [-400 * x[0], 200.0]])
    return H @ v


VALLEY = Function(rosenbrock, rosenbrock_gradient, rosenbrock_product, start=[-1.2, 1.0], radius=0.5)


def test_curvature_of_a_function_is_a_local_estimate_and_says_so():
    found = VALLEY.curvature()
    assert (found.scope, found.provenance) == ("local", "measured")
    ends = (found.largest, found.smallest)
    assert {trust for b in ends for trust in (b.lower_is, b.upper_is)} == {"estimate"}
    assert found.region.startswith("about within 0.5 of the start, by 9 samples")
    assert found.products >= 18
    assert VALLEY.curvature() is found
    text = str(sf.limits(VALLEY))
    assert "(local claim)" in text
    assert "holds about within 0.5 of the start" in text


def test_the_estimate_is_between_what_was_seen_and_what_is_true():
    """Against a fine grid over the disc: at least the curvature at the centre, and near the true ends."""
    angles, radii = np.meshgrid(np.linspace(0, 2 * np.pi, 60), np.linspace(0, 0.5, 20))
    tops, bottoms = [], []
    for a, r in zip(angles.ravel(), radii.ravel(), strict=True):
        x = np.array([-1.2 + r * np.cos(a), 1.0 + r * np.sin(a)])
        values = np.linalg.eigvalsh(np.stack([rosenbrock_product(x, e) for e in np.eye(2)]))
        tops.append(values[-1])
        bottoms.append(values[0])
    found = VALLEY.curvature()
    assert found.largest.lower <= max(tops)
    assert tops[0] <= found.largest.lower
    assert found.largest.upper > 1.1 * found.largest.lower  # the samples differ: so may what lies between them
    assert 0.7 * max(tops) < found.largest.upper < 1.5 * max(tops)
    assert found.smallest.upper >= min(bottoms)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_on_a_quadratic_the_estimate_is_right_and_differences_suffice(scale):
    Q = scale * np.diag([1.0, 5.0, 30.0])
    known = Quadratic(Q, scale * np.ones(3))
    found = Function(known.value, known.gradient, size=3).curvature()
    assert found.largest.upper == pytest.approx(30 * scale, rel=1e-5)
    assert found.smallest.lower == pytest.approx(scale, rel=1e-4)
    assert "by differences of gradients" in found.note


def test_a_promise_of_convexity_clips_rounding():
    flat = Function(lambda x: float(x[0] ** 2), lambda x: np.array([2 * x[0], 0.0]), size=2, convex=True)
    assert flat.curvature().smallest.lower >= 0
    assert flat.convex
    assert not VALLEY.convex


def test_rules_solve_a_function():
    run = sf.descend(VALLEY, rule=rules.Auto(), steps=3000, tol=1e-8)
    np.testing.assert_allclose(run.x, [1.0, 1.0], atol=1e-5)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_the_check_of_the_gradient_does_not_see_the_unit(scale):
    scaled = Function(lambda x: scale * rosenbrock(x), lambda x: scale * rosenbrock_gradient(x), size=2)
    assert scaled.check_gradient() < 1e-6


def test_the_gradient_is_checked_on_request():
    assert VALLEY.check_gradient() < 1e-7
    assert VALLEY.check_gradient([3.0, -2.0], directions=10) < 1e-7
    wrong = {
        "sign": lambda x: -rosenbrock_gradient(x),
        "factor": lambda x: 2 * rosenbrock_gradient(x),
        "one entry": lambda x: rosenbrock_gradient(x) * [1.0, 1.01],
    }
    for gradient in wrong.values():
        with pytest.raises(InvalidInput, match=r"differences of the value give .*; fix the gradient"):
            Function(rosenbrock, gradient, start=[-1.2, 1.0]).check_gradient()


def test_the_same_seed_draws_the_same_samples():
    def make(rng):
        return Function(rosenbrock, rosenbrock_gradient, start=[-1.2, 1.0], rng=rng)

    assert make(3).curvature() == make(3).curvature()
    assert make(3).curvature() != make(4).curvature()


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((rosenbrock, rosenbrock_gradient), {}, InvalidInput, "number of unknowns is not known; give size or start"),
        ((rosenbrock, None), {"size": 2}, InvalidType, "gradient must be a function; got None"),
        ((3.0, rosenbrock_gradient), {"size": 2}, InvalidType, "value must be a function; got 3.0"),
        ((rosenbrock, rosenbrock_gradient, 7), {"size": 2}, InvalidType, "hessian_product must be a function"),
        ((rosenbrock, rosenbrock_gradient), {"size": 2, "start": [1.0]}, InvalidInput, r"start must have shape \(2,\)"),
        ((rosenbrock, rosenbrock_gradient), {"size": 0}, InvalidInput, "size must be a whole number >= 1; got 0"),
        ((rosenbrock, rosenbrock_gradient), {"size": 2, "radius": 0.0}, InvalidInput, "radius must be positive"),
    ],
)
def test_function_input(arguments, options, error, message):
    with pytest.raises(error, match=message):
        Function(*arguments, **options)


def test_a_result_of_another_shape_is_refused():
    problem = Function(lambda x: 0.0, lambda x: np.zeros(3), lambda x, v: 1.0, size=2)
    with pytest.raises(InvalidInput, match=r"gradient must return shape \(2,\); it returned \(3,\)"):
        problem.gradient([0.0, 0.0])
    with pytest.raises(InvalidInput, match=r"hessian_product must return shape \(2,\); it returned \(\)"):
        problem.hessian_product([0.0, 0.0], [1.0, 0.0])
    assert problem.name == "function, 2 unknowns"
    np.testing.assert_array_equal(VALLEY.hessian_product([1.0, 1.0], [0.0, 0.0]), [0.0, 0.0])
