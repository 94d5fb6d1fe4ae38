"""The parts that rules share: the first step, the comparison of losses, the step of two secants."""

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from solvers.functions import Diagonal, Smooth

from surefoot import rules
from surefoot.rules.adaptive._auto import sharp_step
from surefoot.rules.adaptive._barzilai_borwein import secant_steps
from surefoot.rules.searches.acceptance import Reference, loss_change, next_reference
from surefoot.rules.searches.first_step import FirstStepState, first_step
from surefoot.solvers import descend


@pytest.mark.parametrize("scale", [1e-8, 1e-4, 1.0, 1e4, 1e8])
@pytest.mark.parametrize(
    "rule",
    [rules.Auto(), rules.Armijo(), rules.AdGD(), rules.BarzilaiBorwein(), rules.StrongWolfe(), rules.Backtracking()],
)
def test_the_scale_is_found_within_six_trials(rule, scale):
    """In the unit of the data: curvature 1/scale^2 at a distance of scale."""
    problem = Diagonal([1 / scale**2], [scale])
    run = descend(problem, rule=rule, steps=6, tol=0)
    assert 0.2 < run.trace.step[-1] / scale**2 < 5, run.trace.step
    if scale < 1:  # too long a trial tells the scale at once
        assert 0.2 < run.trace.step[2] / scale**2 < 5, run.trace.step


@pytest.mark.parametrize(
    "rule", [rules.Auto(), rules.Armijo(), rules.BarzilaiBorwein(), rules.StrongWolfe(), rules.Backtracking()]
)
def test_searches_go_on_where_the_loss_no_longer_resolves_their_progress(rule):
    """A loss of 1e9 + quadratic: differences below 1e-7 are rounding, the gradient can still fall by 1e8."""
    curvatures = np.linspace(1, 20, 8)
    problem = Smooth(lambda x: (1e9 + 0.5 * float(x @ (curvatures * x)), curvatures * x), np.ones(8))
    run = descend(problem, rule=rule, steps=500, tol=1e-9)
    assert run.converged, repr(run)
    assert run.evaluations < 400


@pytest.mark.parametrize("rule", [rules.Auto(), rules.Armijo(), rules.BarzilaiBorwein(), rules.StrongWolfe()])
def test_searches_are_not_fooled_by_rounding_in_the_loss(rule):
    """A loss with errors of 1e-7, as in single precision, and an exact gradient."""
    curvatures = np.linspace(1, 20, 8)

    def both(x):
        return 1 + 0.5 * float(x @ (curvatures * x)) + 1e-7 * math.sin(1e9 * float(x.sum())), curvatures * x

    run = descend(Smooth(both, np.ones(8)), rule=rule, steps=400, tol=1e-8)
    assert run.converged, repr(run)


class Seen:
    def __init__(self, loss, alignment=0.0, gradient_norm=0.0):
        self.loss, self.alignment, self.gradient_norm = loss, alignment, gradient_norm


def test_the_change_of_the_loss_is_read_where_it_is_resolved_and_from_the_slopes_elsewhere():
    assert loss_change(1.0, Seen(0.5, 123.0), -7.0) == -0.5
    # f = 1e12 + x^2/2 from x = 1 to x = 0.5: <g-, s> = -0.5, <s, y> = 0.25, true change -0.375
    assert loss_change(1e12, Seen(1e12, 0.25), -0.5) == -0.375


@given(st.floats(0.01, 1), st.floats(1.5, 100), st.floats(0.1, 10), st.floats(0.1, 0.9), st.floats(0.1, 0.9))
def test_two_secants_determine_the_sharper_curvature_of_two(small, ratio, slant, first, second):
    """On a quadratic of two curvatures 1/c is the larger: Huang, Dai, Liu, Zhang 2021."""
    curvatures = np.array([small, small * ratio])
    g, pairs = np.array([1.0, slant]), []
    for part in (first, second):
        step = 1 / (curvatures[0] + part * (curvatures[1] - curvatures[0]))
        s = -step * g
        y = curvatures * s
        pairs.append((s @ s / (s @ y), s @ y / (y @ y)))
        g = g + y
    (long_before, short_before), (long, short) = pairs
    assume(abs(long_before - long) > 1e-3 * long)
    assert sharp_step(long, short, long_before, short_before) == pytest.approx(1 / curvatures[1], rel=1e-4)


def test_where_two_secants_say_nothing_the_shorter_step_stands():
    assert sharp_step(1.0, 0.5, math.nan, math.nan) == math.inf
    assert sharp_step(1.0, 0.5, 1.0, 0.4) == 0.4
    assert sharp_step(math.inf, 1.0, math.inf, 0.4) == 0.4


@pytest.mark.parametrize("first", [0.05, 0.5, 1.0, 1.5, 1.9, 5.0, 100.0])
def test_a_wolfe_search_leaves_little_slope_on_either_side(first):
    for problem in (Diagonal([1.0], [1.0]), Smooth(lambda x: (float(np.cosh(x).sum()), np.sinh(x)), [1.0])):
        path = []
        run = descend(problem, rule=rules.StrongWolfe(first=first), steps=30, tol=1e-6,
                      callback=lambda x, _, path=path: path.append(x))  # fmt: skip
        assert run.converged
        for x, y in itertools.pairwise(path):
            if abs(y - x) < 1e-6:
                continue  # a first trial that tells the scale
            g = problem.gradient(x)
            assert abs(problem.gradient(y) @ g) <= 0.1 * g @ g * (1 + 1e-12)


def test_a_rejection_drops_the_momentum():
    """With heavy ball the move after a rejection is a plain step from the point before."""
    from surefoot.methods import HeavyBall

    path = []
    problem = Diagonal([1.0, 30.0], [1.0, 1.0])
    rule = rules.Brake(rule=rules.Constant(step=0.09), ratio=1.5)
    run = descend(problem, rule=rule, method=HeavyBall(0.9), steps=60, tol=0, callback=lambda x, _: path.append(x))
    rejected = np.flatnonzero(~run.trace.accepted)
    assert rejected.size
    checked = 0
    for k in rejected:
        if k + 1 < len(run.trace) and run.trace.accepted[k + 1]:
            before = path[int(run.trace.accepted[:k].sum()) - 1]
            after = path[int(run.trace.accepted[:k].sum())]
            np.testing.assert_allclose(after, before - run.trace.step[k + 1] * problem.gradient(before))
            checked += 1
    assert checked


def test_alternating_takes_the_long_step_after_even_points():
    problem = Diagonal(np.geomspace(0.1, 10, 6), np.ones(6))
    path = []
    run = descend(problem, rule=rules.BarzilaiBorwein(averaging=1.0, first=0.05), steps=8, tol=0,
                  callback=lambda x, _: path.append(x))  # fmt: skip
    assert run.trace.accepted.all()
    for k in range(1, 8):
        s = path[k] - path[k - 1]
        y = problem.curvatures * s
        expected = (s @ y) / (y @ y) if k % 2 else (s @ s) / (s @ y)
        assert run.trace.step[k + 1] == pytest.approx(expected)


def test_polyaks_target_comes_down_to_what_can_be_reached():
    """Told a bound of -100 for a least value of 0, steps would stay hundreds of times too long for good."""
    problem = Diagonal([1.0, 3.0], [1.0, 1.0])
    run = descend(problem, rule=rules.Polyak(lower_bound=-100.0, patience=5), steps=300, tol=0)
    assert run.trace.loss.min() < 1e-6
    # the first gain is the whole gap to the bound; half of it is asked for when a step has not reached it
    rule = rules.Polyak(lower_bound=-1.0, patience=1)
    _, state = rule.update(rule.init(), Seen(3.0, gradient_norm=1.0))
    assert state.gain == 4.0
    _, state = rule.update(state, Seen(2.9, gradient_norm=1.0))
    assert state.gain == 2.0


def test_subgradient_moves_have_the_lengths_decided():
    problem = Smooth(lambda x: (float(np.abs(x).sum()), 3.0 * np.sign(x)), [100.0])
    for decay, power in (("constant", 0.0), ("sqrt", 0.5), ("square summable", 1.0)):
        path = []
        descend(problem, rule=rules.Subgradient(length=0.5, decay=decay), steps=20, tol=0,
                callback=lambda x, _, path=path: path.append(float(x[0])))  # fmt: skip
        np.testing.assert_allclose(-np.diff(path), 0.5 / np.arange(1, 21) ** power)


@dataclass
class Trial:
    """A move of length 1 that raised the loss from 1 to 3, against a curvature along it."""

    curvature: float
    iteration: int = 1
    step: float = 1.0
    loss: float = 3.0
    gradient_norm: float = 1.0
    displacement: float = 1.0
    gradient_change: float = 5.0

    @property
    def alignment(self):
        return self.curvature


@pytest.mark.parametrize(("curvature", "factor"), [(1.05, 0.5), (4.0, 0.25), (50.0, 0.1), (-1.0, 0.5)])
def test_a_rejected_step_follows_its_secant_within_a_tenth_and_a_half(curvature, factor):
    rule = rules.BarzilaiBorwein()
    first = FirstStepState(loss=1.0, trials=2, done=True)
    state = replace(rule.init(), search=first, reference=replace(rule.init().reference, loss=1.0))
    decision, _ = rule.update(state, Trial(curvature))
    assert (decision.accept, decision.step) == (False, factor)


@pytest.mark.parametrize(("curvature", "factor"), [(1.05, 0.1), (50.0, 1 / 50), (1e20, 1e-12)])
def test_a_first_trial_that_was_too_long_follows_its_secant_below_a_tenth(curvature, factor):
    decision, _ = first_step(FirstStepState(loss=1.0, trials=1), Trial(curvature), None)
    assert (decision.accept, decision.step) == (False, pytest.approx(factor))


def test_a_first_trial_that_hardly_changed_the_gradient_is_followed_by_a_longer_one():
    for change, done in ((0.9e-6, False), (1.1e-6, True)):
        seen = replace(Trial(1.0), loss=0.5, gradient_change=change)
        decision, after = first_step(FirstStepState(loss=1.0, trials=1), seen, None)
        assert after.done == done
        assert decision is None if done else decision.step == 1e3


@dataclass
class Lost:
    """A point that is not finite, reached by a step of 2."""

    iteration: int = 3
    step: float = 2.0
    loss: float = math.nan
    gradient_norm: float = math.inf
    displacement: float = 1.0
    gradient_change: float = math.inf
    alignment: float = math.nan
    previous_slope: float = -1.0
    arrival_slope: float = math.nan


@pytest.mark.parametrize(
    "rule", [rules.Auto(), rules.Armijo(), rules.AdGD(), rules.BarzilaiBorwein(), rules.StrongWolfe()], ids=repr
)
def test_what_is_not_finite_shortens_a_step_tenfold_and_a_first_one_a_thousandfold(rule):
    start = rule.init()
    decision, _ = rule.update(replace(start, search=FirstStepState(loss=1.0, trials=1)), Lost())
    assert (decision.accept, decision.step) == (False, 2e-3)
    decision, _ = rule.update(replace(start, search=FirstStepState(loss=1.0, trials=2, done=True)), Lost())
    assert (decision.accept, decision.step) == (False, 0.2)
    decision, _ = rules.Polyak(optimum=0.0).update(rules.Polyak(optimum=0.0).init(), Lost())
    assert (decision.accept, decision.step) == (False, 0.2)


def test_a_search_that_sees_no_scale_ends_after_forty_trials():
    state = FirstStepState(loss=1.0, trials=1)
    for trials in range(1, 41):
        assert state.trials == trials
        decision, state = first_step(state, replace(Trial(0.0), loss=1.0, gradient_change=0.0), None)
        assert decision.step == 1e3
    assert first_step(state, Trial(0.0), None) == (None, replace(state, done=True))


@pytest.mark.parametrize(("change", "factor"), [(0.1, 0.4545), (9.0, 0.1)])
def test_armijo_shortens_to_the_parabola_within_a_tenth_and_a_half(change, factor):
    """Promised -1, seen `change`: the parabola's minimum is at 1/(2 (1 + change))."""
    rule = rules.Armijo()
    state = replace(rule.init(), search=FirstStepState(loss=1.0, trials=2, done=True), loss=1.0)
    decision, _ = rule.update(state, replace(Lost(), step=1.0, loss=1.0 + change, gradient_norm=1.0))
    assert (decision.accept, decision.step) == (False, pytest.approx(factor, abs=1e-4))


@pytest.mark.parametrize(("reached", "gain"), [(0.51, 8.0), (0.49, 4.0)])
def test_polyaks_gain_doubles_when_half_of_it_is_reached(reached, gain):
    rule = rules.Polyak(lower_bound=-100.0)
    state = replace(rule.init(), best=3.0, gain=4.0)
    _, after = rule.update(state, Seen(3.0 - reached * 4.0, gradient_norm=1.0))
    assert after.gain == gain


@pytest.mark.parametrize(("error", "before"), [(0.3, 1.0), (0.3, 0.05), (0.9, 0.5)])
def test_pi_control_by_its_formula(error, before):
    """h+ = 0.9 h e^(-0.7/5) e_before^(0.4/5) for order 4, within [0.2, 5]."""
    rule = rules.PI(first=1.0, order=4)
    decision, _ = rule.update(replace(rule.init(), error=before), ErrorSeen(error))
    assert decision.step == pytest.approx(0.9 * error ** (-0.7 / 5) * before ** (0.4 / 5))


@dataclass
class ErrorSeen:
    error: float
    iteration: int = 2
    step: float = 1.0


def test_a_named_chebyshev_cycle_gains_a_thousand():
    """acosh(1000)/(2 atanh(1/10)) = 37.9 steps for a condition of 100."""
    rule = rules.named_rule("chebyshev", rules.Known(smallest=1.0, largest=100.0))
    assert rule.steps == 38
    assert rule.factor < 1e-3 < replace(rule, steps=37).factor


def test_a_brake_has_a_floor():
    rule = rules.Brake(rule=rules.Constant(step=1.0))
    _, state = rule.update(rule.init(), replace(Trial(1.0), iteration=0))
    for _ in range(60):
        decision, state = rule.update(state, Lost())
    assert decision.step == 1e-30


def control(rule, error, state=None, **seen):
    return rule.update(rule.init() if state is None else state, ErrorSeen(error, **seen))


def test_pi_control_at_its_bounds():
    rule = rules.PI(first=1.0, order=4)
    first, state = control(rule, 9.0, iteration=0, step=math.nan)
    assert (first.step, state) == (1.0, rule.init())
    assert control(rule, 0.0)[0].step == 5.0
    accepted, after = control(rule, 1.0)
    assert accepted.accept
    assert (accepted.step, after.error) == (0.9, 1.0)
    rejected, after = control(rule, 2.0)
    assert not rejected.accept
    assert rejected.step == pytest.approx(0.9 * 2 ** (-1 / 5))
    assert after.rejected
    assert control(rule, 1e-3, after)[0].step == 1.0  # no growth right after a rejection
    assert control(rule, 1e9)[0].step == 0.2
    assert control(rules.PI(first=1.0, order=4, safety=1e-9), 1.0)[0].step == 0.2
    lost, after = control(rule, math.nan)
    assert (lost.accept, lost.step, after.rejected) == (False, 0.2, True)
    assert control(rule, 1e-30)[1].error == 1e-10


def secant(alignment, change, displacement=2.0, step=0.5):
    return replace(Trial(alignment), gradient_change=change, displacement=displacement, step=step)


@pytest.mark.parametrize(
    ("seen", "steps"),
    [
        (secant(8.0, 5.0), (0.5, 0.32)),
        (secant(-8.0, 5.0), (0.4, 0.4)),
        (secant(0.0, 5.0), (0.4, 0.4)),
        (secant(0.0, 0.0), (0.5, 0.5)),
        (secant(-1.0, math.inf), (0.5, 0.5)),
        (secant(1e-320, 5.0), (0.4, 0.4)),
        (secant(0.2, 0.5), (20.0, 0.8)),
        (secant(-1.0, 5.0, displacement=0.0), (0.5, 0.5)),
    ],
)
def test_both_secant_steps_in_closed_form(seen, steps):
    assert secant_steps(seen) == pytest.approx(steps)


@pytest.mark.parametrize(("ratio", "step", "threshold"), [(0.51, 2.0, 0.51), (0.49, 0.98, 0.5 / 1.02)])
def test_auto_takes_the_long_step_while_the_short_one_is_half_of_it(ratio, step, threshold):
    """a = 2, b = 2 ratio: |s| = 2, <s, y> = 2, |y|^2 = 1/ratio."""
    rule = rules.Auto()
    begun = replace(rule.init(), search=FirstStepState(loss=1.0, trials=2, done=True))
    begun = replace(begun, reference=replace(begun.reference, loss=1.0))
    seen = replace(Trial(2.0), loss=0.5, displacement=2.0, gradient_change=ratio**-0.5)
    decision, after = rule.update(begun, seen)
    assert decision.step == pytest.approx(step)
    assert after.threshold == pytest.approx(threshold)
    assert (after.long, after.short) == pytest.approx((2.0, 2 * ratio))


def test_the_reference_is_zhangs_and_hagers_average():
    """C = 3, Q = 2 at f = 1, then f = 0.5: Q+ = 0.5 2 + 1, C+ = (0.5 2 3 + 0.5)/2."""
    seen = replace(Trial(1.0), loss=0.5, step=1.0, displacement=1.0)
    after = next_reference(Reference(1.0, 2.0, 2.0), seen, 1e-4, 0.5)
    assert (after.loss, after.weight) == (0.5, 2.0)
    assert after.allowance == pytest.approx(1.75 - 0.5)
    # |s|^2/eta = 1: the loss may rise to C less a part of that
    assert next_reference(Reference(1.0, 2.0, 2.0), replace(seen, loss=3.0 - 0.11), 0.1, 0.5) is not None
    assert next_reference(Reference(1.0, 2.0, 2.0), replace(seen, loss=3.0 - 0.09), 0.1, 0.5) is None


@pytest.mark.parametrize(("after", "change"), [(1 + 1.1e-6, 1.1e-6), (1 + 0.9e-6, -0.4)])
def test_losses_that_differ_by_a_millionth_are_resolved(after, change):
    assert loss_change(1.0, Seen(after, 0.2), -0.5) == pytest.approx(change)


@pytest.mark.parametrize(("version", "step"), [(2020, 0.5), (2023, 0.5**0.5)])
def test_adgd_begins_at_a_part_of_the_inverse_of_the_first_smoothness(version, step):
    """|s|/|y| = 0.2."""
    rule = rules.AdGD(version=version)
    state = replace(rule.init(), search=FirstStepState(loss=9.0, trials=1))
    decision, _ = rule.update(state, Trial(1.0))
    assert decision.step == pytest.approx(0.2 * step)
    flat = replace(Trial(1.0), gradient_change=0.0, gradient_norm=0.0, step=0.7)
    assert rule.update(state, flat)[0].step == pytest.approx(0.7 * step)


def test_adgd_stays_where_its_growth_overflows():
    rule = rules.AdGD()
    state = replace(rule.init(), search=FirstStepState(loss=9.0, trials=2, done=True), step=1e308, ratio=1e10)
    decision, after = rule.update(state, replace(Trial(1.0), step=1e308, gradient_change=0.0))
    assert (decision.step, after.ratio) == (1e308, 1.0)


@pytest.mark.parametrize(("trial", "factor"), [(1.0, 1.2), (1.01, 0.5)])
def test_backtracking_grows_where_the_quadratic_bound_holds(trial, factor):
    """Promised -1 with |s|^2/(2 eta) = 0.5: the bound is at a change of -0.5."""
    rule = rules.Backtracking()
    state = replace(rule.init(), search=FirstStepState(loss=1.0, trials=2, done=True), loss=1.5)
    seen = replace(Lost(), step=1.0, loss=trial, gradient_norm=1.0, displacement=1.0)
    decision, _ = rule.update(state, seen)
    assert decision.step == pytest.approx(factor)
    assert decision.accept == (factor > 1)


def searching(rule, **state):
    """The rule's state once the scale is known, at a loss of 1."""
    return replace(rule.init(), search=FirstStepState(loss=1.0, trials=2, done=True), loss=1.0, **state)


def test_armijo_grows_after_a_step_that_was_accepted_at_once_and_not_after_a_rejection():
    rule = rules.Armijo()
    seen = replace(Lost(), step=0.5, loss=0.0, gradient_norm=1.0)
    for rejected, step in ((False, 1.0), (True, 0.5)):
        decision, after = rule.update(searching(rule, rejected=rejected), seen)
        assert (decision.accept, decision.step, after.rejected, after.loss) == (True, step, False, 0.0)
    _, after = rule.update(searching(rule), replace(seen, loss=2.0))
    assert after.rejected


def test_a_wolfe_search_that_rounding_hides_ends_at_its_thirtieth_trial():
    rule = rules.StrongWolfe()
    for seen in (
        replace(Lost(), step=1.0, loss=9.0, gradient_norm=1.0, arrival_slope=1.0),
        replace(Lost(), step=1.0, loss=0.0, gradient_norm=1.0, arrival_slope=1.0),
        replace(Lost(), step=1.0, loss=0.0, gradient_norm=1.0, arrival_slope=-0.9),
    ):
        state = searching(rule)
        for trial in range(1, 30):
            decision, state = rule.update(state, seen)
            assert not decision.accept
            assert state.trials == trial
        decision, state = rule.update(state, seen)
        assert decision.accept
        assert "no step in the bracket" in decision.reason
        assert (state.trials, state.low, state.high, state.loss) == (0, 0.0, math.inf, seen.loss)


def test_wolfe_narrows_the_bracket_from_the_side_that_fails():
    """From a slope of -1: the secant's zero, a tenth of the bracket off its ends, 1.1 to 4 times a step still steep."""
    rule = rules.StrongWolfe()
    still = replace(Lost(), step=1.0, loss=0.0, gradient_norm=1.0, arrival_slope=-0.5)
    decision, state = rule.update(searching(rule), still)
    assert (decision.step, state.low, state.low_slope, state.high) == (2.0, 1.0, -0.5, math.inf)
    assert rule.update(searching(rule), replace(still, arrival_slope=-0.99))[0].step == 4.0
    past, bracket = rule.update(state, replace(still, step=3.0, arrival_slope=0.5))
    assert (past.step, bracket.low, bracket.high) == (2.0, 1.0, 3.0)
    assert rule.update(state, replace(still, step=3.0, arrival_slope=99.5))[0].step == pytest.approx(1.2)
    assert rule.update(state, replace(still, step=3.0, arrival_slope=-0.49))[0].step == 12.0
    good, done = rule.update(state, replace(still, step=1.5, arrival_slope=0.1))
    assert (good.accept, good.step, done.low) == (True, 1.5, 0.0)
    assert not rule.update(state, replace(still, step=1.5, arrival_slope=0.11))[0].accept
    assert not rule.update(state, replace(still, step=1.5, arrival_slope=-0.11))[0].accept


def test_polyaks_gain_halves_when_it_was_waited_for_as_often_as_the_patience_says():
    rule = rules.Polyak(lower_bound=-1.0, patience=3)
    state, gains = rule.init(), []
    for _ in range(8):
        _, state = rule.update(state, Seen(3.0, gradient_norm=1.0))
        gains.append(state.gain)
    assert gains == [4.0, 4.0, 4.0, 2.0, 2.0, 2.0, 1.0, 1.0]


def test_a_first_wolfe_trial_that_tells_the_scale_may_be_followed_by_one_of_any_length():
    rule = rules.StrongWolfe()
    first = replace(rule.init(), search=FirstStepState(loss=1.0, trials=1))
    seen = replace(Lost(), step=1.0, loss=0.0, gradient_norm=1.0, arrival_slope=-0.99)
    assert rule.update(first, seen)[0].step == pytest.approx(100.0)
    assert rule.update(first, replace(seen, arrival_slope=-1.0))[0].step == 4.0  # no secant
