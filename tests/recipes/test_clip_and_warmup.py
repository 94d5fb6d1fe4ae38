import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.errors import InvalidInput, InvalidType, NotFinite
from surefoot.recipes import ClipAdvice, WarmupAdvice, clip_advice, warmup_advice
from surefoot.rules import Constant, Warmup

NORMS = st.lists(st.floats(0, 1e6), min_size=1, max_size=80)


@given(NORMS, st.floats(1, 100), st.floats(1e-6, 1e6))
def test_values_are_percentiles_and_shares(norms, percentile, clip):
    advice = clip_advice(norms, clip, percentile=percentile)
    assert advice.value == pytest.approx(np.percentile(norms, percentile), rel=1e-9, abs=1e-9)
    assert advice.clip_cut == np.mean(np.array(norms) > clip)
    assert advice.clip_percentile == pytest.approx(100 * np.mean(np.array(norms) <= clip))
    assert advice.cut <= 1 - percentile / 100 + 1 / len(norms) + 1e-9
    assert ClipAdvice.from_dict(json.loads(json.dumps(advice.to_dict()))) == advice


@given(NORMS, st.sampled_from([2.0**-10, 0.5, 8.0, 2.0**20]))
def test_advice_scales_with_the_norms(norms, unit):
    one, other = clip_advice(norms, 1.0), clip_advice([unit * n for n in norms], unit)
    assert other.value == unit * one.value
    assert other.clip_cut == one.clip_cut


@pytest.mark.parametrize(
    ("clip", "share", "verdict"),
    [
        (1.0, "100%", "normalised gradient"),
        (5.5, "50%", "holds back the larger"),
        (4.5, "75%", "most steps are normalised"),
        (8.0, "0%", "never acts; the largest norm is 7"),
    ],
)
def test_a_cap_is_judged_by_what_it_cuts(clip, share, verdict):
    text = str(clip_advice([4.0, 5.0, 6.0, 7.0] * 20, clip))
    assert f"would cut {share} of steps" in text
    assert verdict in text


def test_a_share_is_not_rounded_to_all_or_nothing():
    assert "more than 99.9%" in str(clip_advice([0.5] + [2.0] * 4999, 1.0))
    assert "less than 0.1%" in str(clip_advice([2.0] + [0.5] * 4999, 1.0))


def test_what_is_not_finite_is_told_and_left_out():
    advice = clip_advice([1.0, math.nan, 2.0, math.inf] * 25)
    assert (advice.steps, advice.not_finite, advice.largest) == (50, 50, 2.0)
    assert "50 of 100 norms are not finite" in str(advice)


def test_drifting_norms_and_few_norms_are_told():
    text = str(clip_advice(np.geomspace(100, 0.1, 90)))
    assert "one cap cuts" in text
    assert "measure again" in text
    assert "few" in str(clip_advice([1.0] * 10))
    assert "most gradients are 0" in str(clip_advice([0.0] * 100))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: clip_advice([]), InvalidInput, "no norms"),
        (lambda: clip_advice([math.nan]), NotFinite, "Guard"),
        (lambda: clip_advice([-1.0]), InvalidInput, "negative"),
        (lambda: clip_advice([1.0, "loss"]), InvalidType, r"norms must be several numbers; .*\[1\] is 'loss'"),
        (lambda: clip_advice(1.5), InvalidType, "norms must be several"),
        (lambda: clip_advice([1.0], 0.0), InvalidInput, "clip"),
        (lambda: clip_advice([1.0], percentile=0), InvalidInput, "percentile"),
        (lambda: warmup_advice(0.0), InvalidInput, "rate"),
        (lambda: warmup_advice(math.nan, beta2=0.9), InvalidInput, "rate"),
        (lambda: warmup_advice(0.1, beta2=1.0), InvalidInput, "beta2"),
        (lambda: warmup_advice(0.1, margin=2.0), InvalidInput, "margin"),
        (lambda: warmup_advice(0.1, total=0), InvalidInput, "total"),
        (lambda: warmup_advice(0.1, limits=[]), InvalidInput, "empty"),
        (lambda: warmup_advice(0.1, limits=[(0, math.nan)]), InvalidInput, "positive"),
        (lambda: warmup_advice(0.1, limits=[(0, 1.0), (0, 2.0)]), InvalidInput, "differ"),
        (lambda: warmup_advice(0.1, limits=[0.1]), InvalidType, "a whole number, a number"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def ramp(rate, steps, count):
    """The rates of a run with that warm-up, from the rule itself."""
    rule = Warmup(rule=Constant(step=rate), steps=steps)

    class Here:
        iteration = 0

    state, found = rule.init(), []
    for k in range(count):
        Here.iteration = k
        decision, state = rule.update(state, Here)
        found.append(decision.step)
    return np.array(found)


RECORDS = st.lists(
    st.tuples(st.integers(0, 60), st.floats(0.01, 2.0)), min_size=1, max_size=6, unique_by=lambda pair: pair[0]
)


@given(RECORDS, st.floats(0.01, 2.0), st.floats(0.3, 1.0))
def test_the_rate_stays_under_the_limit_and_no_shorter_warmup_would_do(record, rate, margin):
    advice = warmup_advice(rate, limits=record, margin=margin)
    record = sorted(record)
    steps = np.arange(record[-1][0] + 1)
    # between two readings the lower one counts
    limit = np.array([
        min(
            next((v for s, v in reversed(record) if s <= k), record[0][1]),
            next(v for s, v in record if s >= k),
        )
        for k in steps
    ])  # fmt: skip
    if advice.steps is None:
        assert rate > margin * record[-1][1]
        return
    assert np.all(ramp(rate, advice.steps, len(steps)) <= margin * limit * (1 + 1e-9))
    if advice.steps > 1:
        assert np.any(ramp(rate, advice.steps - 1, len(steps)) > margin * limit * (1 - 1e-9))
    assert WarmupAdvice.from_dict(json.loads(json.dumps(advice.to_dict()))) == advice


@pytest.mark.parametrize(("beta2", "steps"), [(0.999, 2000), (0.99, 200), (0.95, 40), (0.9999, 20000)])
def test_adams_rule_of_thumb(beta2, steps):
    assert warmup_advice(1e-3, beta2=beta2).steps == steps


def test_a_record_outranks_the_rule_of_thumb():
    advice = warmup_advice(0.1, limits=[(0, math.inf), (9, 1.0)], beta2=0.999)
    assert (advice.steps, advice.source) == (1, "limits")
    assert "no warm-up needed" in str(advice)


def test_it_abstains_where_nothing_supports_a_length():
    assert warmup_advice(0.1).steps is None
    assert "nothing was measured" in str(warmup_advice(0.1))
    beyond = warmup_advice(0.1, limits=[(0, 0.01), (10, 0.05)])
    assert beyond.steps is None
    assert "0.05 is the most it supports" in str(beyond)


def test_a_long_warmup_is_put_in_proportion():
    text = str(warmup_advice(1e-3, beta2=0.999, total=5000))
    assert "40% of a run of 5000 steps" in text
    assert "beta2 = 0.996" in text
    assert warmup_advice(1e-3, beta2=0.996, total=5000).steps == 500
    assert "%" not in str(warmup_advice(1e-3, beta2=0.99, total=5000))
