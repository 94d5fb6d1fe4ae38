"""The whole answer: suggestions come from real runs, claims are checked, and nothing is guessed."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import surefoot as sf
from surefoot.advice import Advice
from surefoot.errors import InvalidInput, InvalidType
from surefoot.trials.bracket import MOST_RUNS, assess, search, suggestion, usable_range


def rng_matrix(seed=0, n=6):
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))
    matrix = rotation @ np.diag(np.geomspace(1, 30, n)) @ rotation.T
    return (matrix + matrix.T) / 2


def test_a_quadratic_is_verified_from_both_sides():
    advice = sf.advise(sf.problems.Quadratic(rng_matrix(), np.ones(6)))
    assert not advice.abstained
    assert [r.label for r in advice.recommendations] == ["gradient descent", "heavy ball 0.9", "Nesterov 0.9"]
    for r in advice.recommendations:
        assert [v.expected for v in r.verification] == ["converges", "diverges"]
        assert all(v.agrees for v in r.verification)
        assert r.usable[0] <= r.suggested <= r.usable[1] < 2 * r.limits.stable
        assert any(t.ending == "diverged" and t.step > r.limits.stable for t in r.trials)
        assert len(r.trials) <= MOST_RUNS


def test_a_bound_is_not_tested_above_the_limit_where_it_need_not_be_met():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((80, 3))
    advice = sf.advise(sf.problems.Logistic(x, (x @ [1.0, 2, 3] > 0).astype(int), ridge=1e-3))
    over = advice.recommendations[0].verification[1]
    assert over.expected == ""
    assert over.agrees is None
    assert advice.recommendations[0].suggested is not None


def test_suggested_steps_really_work():
    problem = sf.problems.LeastSquares(np.random.default_rng(1).standard_normal((40, 5)), np.arange(40.0))
    step = sf.advise(problem).recommendations[0].suggested
    x = problem.start()
    for _ in range(300):
        x = x - step * problem.gradient(x)
    assert np.linalg.norm(problem.gradient(x)) < 1e-6 * np.linalg.norm(problem.gradient(problem.start()))


def test_abstains_without_a_minimum():
    advice = sf.advise(np.diag([2.0, -0.5]))
    assert "no step is stable" in advice.abstained
    assert "ridge > 0.5" in advice.abstained
    assert advice.recommendations == ()
    assert "no advice" in str(advice)


def test_abstains_on_a_flat_loss():
    advice = sf.advise(np.zeros((3, 3)))
    assert "flat" in advice.abstained


class NonFinite(sf.problems.Quadratic):
    def value(self, x):
        return math.nan


def test_abstains_where_the_loss_is_not_finite():
    assert "nan" in sf.advise(NonFinite(np.eye(2))).abstained


def test_table_json_and_repeatability():
    problem = sf.problems.Quadratic(rng_matrix(), np.ones(6))
    advice, again = sf.advise(problem), sf.advise(problem)
    text = str(advice)
    for words in ("gradient descent", "linear limit", "suggested", "2/2 agree", "closed form"):
        assert words in text
    record, other = advice.to_dict(), again.to_dict()
    json.dumps(record, allow_nan=False)
    for volatile in (record, other):
        volatile.pop("seconds")
    assert record == other


def test_progress_counts_up_and_estimates():
    told = []
    sf.advise(rng_matrix(), progress=lambda *event: told.append(event))
    done = [event[0] for event in told]
    assert done == sorted(done)
    assert all(event[0] <= event[1] for event in told)
    assert told[0][3] is None
    assert told[-1][3] >= 0


class TwoMethods:
    """A network as `advise` sees one: the second method ends at `behind`, the first at .1, from 1."""

    name, constant_curvature = "two methods", False

    def __init__(self, behind, constant=None):
        self.behind, self.constant = behind, constant

    def describe(self):
        return {}

    def candidates(self):
        method = sf.methods.GradientDescent()
        return [SimpleNamespace(label=label, method=method, note="") for label in ("ahead", "behind")]

    def global_curvature(self):
        return None

    def operator(self, candidate):
        return sf.operators.as_operator(np.eye(2))

    def trial(self, candidate, step, steps):
        best = 0.1 if candidate.label == "ahead" else self.behind
        return [1.0, min(1.0, best + 0.01 * math.log(step / 0.5) ** 2)]

    def gradient_norms(self, candidate, step, steps):
        return None

    def initial_loss(self):
        return 1.0

    def constant_loss(self):
        return self.constant


@pytest.mark.parametrize(("behind", "constant", "suggested"), [
    (0.90, None, True), (0.92, None, False), (0.74, 0.75, False), (0.68, 0.75, True), (0.76, 0.75, False),
])  # fmt: skip
def test_a_method_far_behind_another_one_is_suggested_no_step(behind, constant, suggested):
    """A tenth of the other's improvement, over the start and over the constant predictor, is where it begins."""
    ahead, other = sf.advise(TwoMethods(behind, constant)).recommendations
    assert ahead.suggested == pytest.approx(0.5, rel=0.5)
    assert (other.suggested is not None) == suggested
    if not suggested:
        assert "no suggestion" in other.finding


class TestSearch:
    @staticmethod
    def bowl(best, fails_from=math.inf):
        """Final loss against step: a parabola in the log, nan from some step on."""
        return lambda step: [1.0, math.nan if step >= fails_from else math.log(step / best) ** 2]

    @pytest.mark.parametrize("guess", [1e-3, 0.1, 1.0, 300.0])
    def test_finds_the_best_step_within_a_factor_of_two(self, guess):
        found = search(self.bowl(0.37), guess, 60.0)
        trials = assess(found, 60.0, None)
        assert 0.37 / 2 <= suggestion(trials, 60.0) <= 0.37 * 2
        assert len(found) <= MOST_RUNS

    @pytest.mark.parametrize("guess", [0.05, 0.2, 0.7])
    def test_a_plateau_of_the_constant_predictor_is_left_for_rates_decades_below(self, guess):
        """What an adaptive method does on a small transformer: .73 at any rate from .02 on, .05 near .003."""

        def run(step):
            learns = 0.05 + 0.5 * math.log10(step / 3e-3) ** 2
            return [1.4, 0.73 + 0.01 * math.sin(40 * step) if step > 0.02 else min(1.4, learns)]

        found = search(run, guess, 1.4)
        assert 1.5e-3 <= suggestion(assess(found, 1.4, None), 1.4) <= 6e-3
        assert len(found) <= MOST_RUNS

    def test_decades_below_the_best_step_are_always_known(self):
        found = search(self.bowl(1.0), 1.0, 60.0)
        assert min(found) <= 1 / 256
        assert sum(1 / 256 < step <= 1 / 16 for step in found) >= 1

    def test_chance_above_the_constant_predictor_is_no_progress(self):
        near = {0.1: [2.31, 2.3005], 1.0: [2.31, 2.301]}
        assert [t.ending for t in assess(near, 2.31, 2.302)] == ["no progress", "no progress"]
        assert suggestion(assess(near, 2.31, 2.302), 2.31) is None
        clear = {0.1: [2.31, 2.2992], 1.0: [2.31, 2.301]}  # .0028 below it, more than a thousandth of it
        assert [t.ending for t in assess(clear, 2.31, 2.302)] == ["good", "slow"]

    def test_steps_back_from_a_cliff(self):
        trials = assess(search(self.bowl(1.0, fails_from=1.5), 1.0, 30.0), 30.0, None)
        assert suggestion(trials, 30.0) == 0.5
        low, high = usable_range(trials, 30.0)
        assert low < 0.5 < high < 1.5

    def test_nothing_good_is_no_suggestion(self):
        diverged = assess(search(lambda step: [1.0, math.nan], 1.0, 1.0), 1.0, None)
        assert suggestion(diverged, 1.0) is None
        assert {t.ending for t in diverged} == {"diverged"}
        flat = assess(search(lambda step: [1.0, 1.0], 1.0, 1.0), 1.0, None)
        assert usable_range(flat, 1.0) is None
        assert {t.ending for t in flat} == {"no progress"}

    def test_nine_tenths_of_the_best_gain_are_good(self):
        trials = assess({0.1: [1.0, 0.11], 0.2: [1.0, 0.09], 0.4: [1.0, 0.0]}, 1.0, None)
        assert [t.ending for t in trials] == ["slow", "good", "good"]

    def test_no_better_than_a_constant_is_no_progress(self):
        trials = assess({0.1: [2.31, 1.0], 1.0: [2.31, 2.302]}, 2.31, 2.302)
        assert [t.ending for t in trials] == ["good", "no progress"]


def test_bad_input():
    with pytest.raises(InvalidType, match="is a map, and a step is advised for problems and networks"):
        sf.advise("rnn")
    with pytest.raises(InvalidInput, match="trial_steps"):
        sf.advise(np.eye(2), trial_steps=0)
    with pytest.raises(InvalidInput, match="square"):
        sf.advise(np.ones((3, 2)))


def test_units_that_cost_steps_are_named():
    described = sf.targets.as_target(np.diag([1.0, 1e4])).describe()
    assert described["scaling the unknowns"] == "raises the limit from 0.0002 to 2 (Jacobi preconditioning)"
    features = np.random.default_rng(0).standard_normal((200, 2)) * [1, 100]
    uneven = sf.problems.LeastSquares(features, features.sum(axis=1))
    assert "scaling the unknowns" in sf.targets.as_target(uneven).describe()
    assert "scaling the unknowns" not in sf.targets.as_target(rng_matrix()).describe()
    # one common unit moves the limit and buys nothing
    assert "scaling the unknowns" not in sf.targets.as_target(1e6 * rng_matrix()).describe()


def test_the_answer_comes_first_and_methods_in_the_order_of_what_they_reached():
    advice = sf.advise(sf.problems.Quadratic(rng_matrix(), np.ones(6)))
    lines = str(advice).splitlines()
    chosen = advice.recommended
    assert lines[0] == f"take {chosen.label} at {chosen.suggested:.3g} for quadratic, 6 unknowns"
    assert advice.to_dict()["answer"] == lines[0]
    start = next(i for i, line in enumerate(lines) if line.lstrip().startswith("method"))
    losses = [r.reached for r in sorted(advice.recommendations, key=lambda r: r.reached)]
    labels = [r.label for r in sorted(advice.recommendations, key=lambda r: r.reached)]
    assert chosen.reached == losses[0]
    assert [line.strip().partition("  ")[0] for line in lines[start + 1 : start + 4]] == labels


@pytest.mark.parametrize(("share", "first"), [(0.0, "proved"), (0.9e-3, "proved"), (1.1e-3, "tried")])
def test_of_steps_that_do_as_well_a_proved_one_comes_first(share, first):
    advice = sf.advise(sf.problems.Quadratic(rng_matrix(), np.ones(6)))
    one = next(r for r in advice.recommendations if r.label_of_step == "PROVED")
    # the same runs under a method without a theorem, which come a little further down
    lower = one.reached - share * (advice.initial_loss - one.reached)
    trials = tuple(replace(t, losses=(*t.losses[:-1], lower)) if t.step == one.suggested else t for t in one.trials)
    tried = replace(one, label="tried", proved=None, trials=trials)
    both = replace(advice, recommendations=(tried, replace(one, label="proved")))
    assert both.recommended.label == both.to_dict()["ranking"][0] == first
    assert str(both).startswith(f"take {first} at ")


def test_a_step_on_a_quadratic_is_proved_below_its_limit_and_tried_above():
    (recommendation, *_) = sf.advise(rng_matrix()).recommendations
    limit = recommendation.limits.stable
    assert recommendation.proved == limit
    assert replace(recommendation, suggested=0.999 * limit).label_of_step == "PROVED"
    assert replace(recommendation, suggested=1.001 * limit).label_of_step == "TRIED"
    assert replace(recommendation, suggested=None).label_of_step == ""


@pytest.mark.parametrize(("side", "words"), [(-1, "this one too"), (1, "which this one is not")])
def test_the_answer_says_on_which_side_of_the_proved_limit_its_step_is(side, words):
    advice = sf.advise(rng_matrix())
    one = advice.recommendations[0]
    step = next(t.step for t in one.trials if side * (t.step - one.proved) > 0)
    text = str(replace(advice, recommendations=(replace(one, suggested=step),)))
    assert f"PROVED: {one.label} converges at every step below {one.proved:.4g}, {words}\n" in text


def test_momentum_on_a_convex_problem_that_is_no_quadratic_is_only_tried():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((80, 3))
    advice = sf.advise(sf.problems.Logistic(x, (x @ [1.0, 2, 3] > 0).astype(int), ridge=1e-3))
    descent, *momentum = advice.recommendations
    assert descent.proved == pytest.approx(2 / descent.spectrum.largest.upper)
    assert [r.proved for r in momentum] == [None, None]
    text = str(advice)
    assert "PROVED: gradient descent converges at every step below" in text
    assert "loss a mean over 80 rows (for the sum divide the step by 80)" in text


def test_a_problem_that_is_not_known_to_be_convex_has_no_proof():
    bumpy = sf.problems.Function(lambda x: float(np.cos(x).sum()), lambda x: -np.sin(x), start=np.array([1.0]))
    assert all(r.proved is None for r in sf.advise(bumpy).recommendations)


def test_what_is_worse_than_a_constant_is_not_called_no_improvement():
    class Raw(sf.targets.ProblemTarget):
        def constant_loss(self):
            return 1e-9

    problem = sf.problems.LeastSquares(np.random.default_rng(0).standard_normal((40, 3)), np.arange(40.0))
    advice = sf.advise(Raw(problem), trial_steps=3)
    assert advice.recommended is None
    assert str(advice).startswith("no step to suggest for least squares")
    for r in advice.recommendations:
        assert "no short run" not in r.finding
        assert "the best constant has 1e-09" in r.finding


def test_one_step_alone_is_not_called_a_range():
    (recommendation, *_) = sf.advise(rng_matrix()).recommendations
    only = Advice(target="x", description={}, recommendations=(replace(recommendation, usable=(0.5, 0.5)),))
    assert " 0.5 only " in str(only)
