"""The audit of a schedule that ran: when it is as planned, what a result holds, and what input is refused."""

import json
import math
import random

import pytest
from audits.schedules import PLAN, RATE, TOTAL, WARM, cosine, held, run

import surefoot as sf
from surefoot.errors import InvalidInput, InvalidType, NotFinite, UnknownTarget
from surefoot.rules import Cosine, Warmup

# nothing wrong


@pytest.mark.parametrize("every", [1, 7, 50])
def test_a_run_as_planned(every):
    found = sf.audit([(k, cosine(k)) for k in range(0, TOTAL, every)], PLAN)
    assert (found.verdict, found.cause, found.first_departure) == ("as planned", "", None)
    assert found.largest_departure < 1e-12


def test_both_first_rates_of_a_warmup_and_ours_are_as_planned():
    from_one = [RATE * (k + 1) / WARM if k < WARM else cosine(k) for k in range(TOTAL)]
    ours = Warmup(rule=Cosine(step=RATE, steps=TOTAL), steps=WARM)
    over = [min((k + 1) / WARM, 1) * ours.rule.at(k) for k in range(TOTAL)]
    for ran in (from_one, over):
        assert sf.audit(ran, PLAN).verdict == "as planned"
    assert sf.audit(over, ours).verdict == "as planned"
    assert sf.audit(over, ours.rule).verdict == "departs"


def test_a_run_that_stopped_early_is_as_planned_and_not_annealed():
    found = sf.audit([cosine(k) for k in range(400)], PLAN)
    assert found.verdict == "as planned"
    assert any("not annealed yet" in line for line in found.evidence)


def test_rates_rounded_in_the_log_are_as_planned_and_said():
    found = sf.audit([float(f"{cosine(k):.2e}") for k in range(TOTAL)], PLAN)
    assert found.verdict == "as planned"
    assert any("3 digits" in line for line in found.evidence)
    assert sf.audit([float(f"{cosine(2 * k):.2e}") for k in range(500)], PLAN).cause == "stepped too often"


def test_a_plan_without_a_rate_takes_its_scale_from_the_log():
    plan = "cosine:total=1000,warmup=100"
    assert sf.audit([7 * cosine(k) for k in range(TOTAL)], plan).verdict == "as planned"
    found = sf.audit(run(lambda k: held(4 * k)), plan)
    assert found.cause == "stepped too often"
    assert max(found.planned) == pytest.approx(RATE, rel=0.01)


def test_rates_of_zero_are_a_departure():
    for plan in (PLAN, "constant:0.1", "cosine:total=1000"):
        found = sf.audit([0.0] * 50, plan)
        assert (found.verdict, found.cause) == ("departs", "rate is 0")


def nanogpt(k, total=TOTAL, warmup=WARM, rate=RATE):
    return rate * (k + 1) / (warmup + 1) if k < warmup else cosine(k, total, warmup, rate)


def test_the_third_convention_of_a_warmup_is_as_planned_and_hides_nothing():
    found = sf.audit([nanogpt(k) for k in range(TOTAL)], PLAN)
    assert found.verdict == "as planned"
    assert any("peak/(warmup + 1)" in line for line in found.evidence)
    found = sf.audit([nanogpt(k, total=1600) for k in range(TOTAL)], PLAN)
    assert found.cause == "total too long"
    assert "1600 steps, not 1000" in found.explanation


def test_epochs_may_be_fractions():
    ran = [(k / 10, cosine(k / 10, total=100, warmup=10)) for k in range(1000)]
    assert sf.audit([{"epoch": e, "lr": r} for e, r in ran], "cosine:3e-4,total=100,warmup=10").verdict == "as planned"
    ran = [(k / 10, held(k / 5, total=100, warmup=10)) for k in range(1000)]
    found = sf.audit([{"epoch": e, "lr": r} for e, r in ran], "cosine:3e-4,total=100,warmup=10")
    assert found.cause == "stepped too often"


def test_losses_that_are_not_finite_are_told():
    rows = [{"step": k, "lr": cosine(k), "loss": math.nan if k > 700 else 1.0} for k in range(TOTAL)]
    found = sf.audit(rows, PLAN)
    assert found.verdict == "as planned"
    assert any("loss is not finite in 299 of 1000 rows, first at step 701" in line for line in found.evidence)


# results


def test_a_result_survives_json():
    found = sf.audit([cosine(2 * k) for k in range(500)], PLAN)
    assert sf.Audit.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert "departs: stepped too often" in str(found)
    assert len(found.steps) <= 401


def test_a_long_log_is_compared_whole():
    ran = [cosine(k, total=60_000) for k in range(60_000)]
    ran[31_415] = 0.0
    found = sf.audit(ran, "cosine:3e-4,total=60000,warmup=100")
    assert (found.verdict, found.first_departure) == ("departs", 31_415)


@pytest.mark.parametrize("tol", [0, -1, 1, math.nan])
def test_a_tolerance_out_of_range_is_refused(tol):
    with pytest.raises(InvalidInput, match="tol"):
        sf.audit([1.0], PLAN, tol=tol)


# input


def test_bad_values_are_refused_with_their_place():
    with pytest.raises(NotFinite, match="step 7"):
        sf.audit([(5, 1.0), (7, math.nan)], PLAN)
    with pytest.raises(InvalidInput, match="no rows"):
        sf.audit([], PLAN)
    with pytest.raises(InvalidInput, match="no column of rates among step, loss"):
        sf.audit([{"step": 1, "loss": 2.0}], PLAN)
    with pytest.raises(InvalidInput, match="there are step, loss"):
        sf.audit([{"step": 1, "loss": 2.0}], PLAN, column="lr")
    with pytest.raises(InvalidInput, match="must be a number"):
        sf.audit([{"step": 1, "lr": "fast"}], PLAN)
    with pytest.raises(InvalidInput, match="is empty"):
        sf.audit([{"step": 1, "lr": None}], PLAN)
    with pytest.raises(InvalidType, match="int"):
        sf.audit(3, PLAN)
    with pytest.raises(InvalidType, match="one length"):
        sf.audit({"step": [1, 2], "lr": [1.0]}, PLAN)
    with pytest.raises(UnknownTarget):
        sf.audit("/no/such/file.csv", PLAN)


def test_rows_out_of_order_are_sorted_and_repeated_ones_dropped():
    rows = [(k, cosine(k)) for k in range(TOTAL)]
    random.Random(0).shuffle(rows)
    found = sf.audit(rows, PLAN)
    assert found.verdict == "as planned"
    assert any("out of order" in line for line in found.evidence)
    twice = [row for k in range(TOTAL) for row in [(k, cosine(k))] * 2]
    assert sf.audit(twice, PLAN).rows == TOTAL


def test_columns_by_name_and_lists_of_group_rates():
    columns = {"Step": list(range(200)), "train/Learning Rate": [cosine(k) for k in range(200)]}
    assert sf.audit(columns, PLAN).column == "train/Learning Rate"
    groups = [{"step": k, "lr": [cosine(k), 10 * cosine(k)]} for k in range(200)]
    assert sf.audit(groups, PLAN).verdict == "as planned"
    several = [{"step": k, "lr-AdamW/pg1": cosine(k), "lr-AdamW/pg2": 1.0} for k in range(200)]
    found = sf.audit(several, PLAN)
    assert found.verdict == "as planned"
    assert any("lr-AdamW/pg2" in line for line in found.evidence)
    assert sf.audit(several, PLAN, column="lr-AdamW/pg2").verdict == "departs"


def test_another_group_that_is_as_planned_is_named():
    groups = [{"step": k, "lr": [10 * cosine(k), cosine(k)]} for k in range(200)]
    found = sf.audit(groups, PLAN)
    assert found.cause == "constant factor"
    assert found.evidence[0] == "lr[1] is as planned: column= (--column) chooses it"
    assert sf.audit(groups, PLAN, column="lr[1]").verdict == "as planned"
