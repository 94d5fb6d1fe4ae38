"""The audit: each cause from a run that went wrong that way, and no cause where nothing did.

The runs are torch's own schedulers where there is one, so that the plan's formula meets another. The threads that the
causes are from are named beside them.
"""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import surefoot as sf
from surefoot.audits._plan import NAMES, plan_of
from surefoot.errors import InvalidInput, InvalidType, NotFinite, UnknownTarget
from surefoot.rules import Cosine, Warmup, named_rules

PLAN = "cosine:3e-4,total=1000,warmup=100"
BARE = "cosine:3e-4,total=1000"
RATE, TOTAL, WARM = 3e-4, 1000, 100


def cosine(k, total=TOTAL, warmup=WARM, rate=RATE):
    """The schedule of transformers' get_cosine_schedule_with_warmup, written out."""
    if k < warmup:
        return rate * k / warmup
    return rate * 0.5 * (1 + math.cos(math.pi * (k - warmup) / (total - warmup)))


def held(k, **settings):
    """The same, 0 after its end."""
    return cosine(min(k, settings.get("total", TOTAL)), **settings)


def cause_of(ran, plan=PLAN, **settings):
    found = sf.audit(ran, plan, **settings)
    return found.cause, found


def torch_rates(optimizer_rate, make, steps, each=1):
    """The rates that a torch scheduler gives, stepped so many times per optimizer step."""
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=optimizer_rate)
    scheduler = make(optimizer, torch.optim.lr_scheduler)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for _ in range(each):
            scheduler.step()
    return rates


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


@pytest.mark.parametrize(
    ("plan", "rate", "make"),
    [
        ("cosine:0.1,total=200", 0.1, lambda o, s: s.CosineAnnealingLR(o, 200)),
        ("cosine:0.1,total=200,final=0.01", 0.1, lambda o, s: s.CosineAnnealingLR(o, 200, eta_min=0.01)),
        ("linear:0.1,total=200", 0.1, lambda o, s: s.LinearLR(o, 1.0, 0.0, 200)),
        ("step-decay:0.1,every=30,factor=0.2", 0.1, lambda o, s: s.StepLR(o, 30, 0.2)),
        ("exponential:0.1,factor=0.98", 0.1, lambda o, s: s.ExponentialLR(o, 0.98)),
        ("constant:0.1", 0.1, lambda o, s: s.ConstantLR(o, 1.0)),
        ("one-cycle:0.1,total=200", 0.1, lambda o, s: s.OneCycleLR(o, 0.1, 200)),
    ],
)
def test_torch_schedulers_follow_the_plans_that_name_them(plan, rate, make):
    found = sf.audit(torch_rates(rate, make, 200), plan)
    assert found.verdict == "as planned", str(found)
    assert found.largest_departure < 1e-7


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
    cause, found = cause_of([cosine(4 * k) if 4 * k < TOTAL else 0.0 for k in range(TOTAL)], plan)
    assert cause == "stepped too often"
    assert max(found.planned) == pytest.approx(RATE, rel=0.01)


# each cause


@pytest.mark.parametrize("n", [2, 4, 8])
def test_stepped_once_for_each_process(n):
    """huggingface/accelerate#2926: a prepared scheduler advances num_processes times."""
    cause, found = cause_of([held(n * k) for k in range(TOTAL)])
    assert cause == "stepped too often"
    assert f"{n} times per step" in found.explanation
    assert f"num_processes={n}" in found.fix
    assert found.first_departure == 1


def test_stepped_for_each_process_by_torch_itself_goes_up_again():
    """huggingface/accelerate#2926 and #2773: after its end torch's cosine rises."""
    ran = torch_rates(0.1, lambda o, s: s.CosineAnnealingLR(o, 200), 200, each=4)
    cause, found = cause_of(ran, "cosine:0.1,total=200")
    assert cause == "stepped too often"
    assert "4 times per step" in found.explanation
    assert "rose again" in found.explanation


def test_steps_of_a_staircase_came_four_times_too_early():
    """huggingface/accelerate#2926 as it was reported: a StepLR on four processes."""
    ran = torch_rates(0.1, lambda o, s: s.StepLR(o, 20, 0.1), 60, each=4)
    assert cause_of(ran, "step-decay:0.1,every=20,factor=0.1")[0] == "stepped too often"


def test_restarted_on_resume():
    """ultralytics/yolov5#292 and many others: the resumed run made a new scheduler."""
    cause, found = cause_of([cosine(k if k < 450 else k - 450) for k in range(TOTAL)])
    assert (cause, found.first_departure) == ("restarted", 450)
    # the plan's own schedule again is simpler than a new one that happens to be as long
    assert found.explanation == "the schedule began again from its start at step 450"
    cause, found = cause_of([cosine(k if k < 300 else k - 300 if k < 700 else k - 700) for k in range(TOTAL)])
    assert cause == "restarted"
    assert "steps 300, 700" in found.explanation


def test_restarted_over_the_steps_that_were_left():
    cause, found = cause_of([cosine(k) if k < 400 else cosine(k - 400, total=600) for k in range(TOTAL)])
    assert cause == "restarted"
    assert "the steps that were left" in found.explanation


def test_restarted_with_its_counter():
    ran = [(k, cosine(k)) for k in range(400)] + [(k, cosine(k)) for k in range(600)]
    cause, found = cause_of(ran)
    assert (cause, found.verdict) == ("restarted", "departs")
    assert "went back to 0" in found.explanation


def test_going_back_to_a_checkpoint_is_as_planned():
    ran = [(k, cosine(k)) for k in range(400)] + [(k, cosine(k)) for k in range(350, 1000)]
    assert sf.audit(ran, PLAN).verdict == "as planned"


def test_a_rate_carried_over_a_resume():
    """pytorch/pytorch#60265: a scheduler made with last_epoch counts on from the optimizer's rate."""
    ran = [cosine(k, warmup=0) for k in range(450)]
    # the recursion of CosineAnnealingLR, begun at its place from the base rate
    rate = RATE
    for k in range(450, TOTAL):
        ran.append(rate)
        rate *= (1 + math.cos(math.pi * (k + 1) / TOTAL)) / (1 + math.cos(math.pi * k / TOTAL))
    cause, found = cause_of(ran, "cosine:3e-4,total=1000")
    assert (cause, found.first_departure) == ("rate carried over", 450)
    assert f"{RATE / cosine(450, warmup=0):.6g} times" in found.explanation


def test_another_total_after_a_resume():
    """huggingface/transformers#27749: the resumed run computed another number of steps."""
    cause, found = cause_of([cosine(k) if k < 400 else cosine(k, total=1500) for k in range(TOTAL)])
    assert (cause, found.first_departure) == ("total changed", 400)
    assert "1500 steps, not 1000" in found.explanation


def test_a_position_lost_on_resume():
    """Lightning-AI/pytorch-lightning#4655: the schedule lags behind after a resume."""
    cause, found = cause_of([cosine(k if k < 400 else k - 37) for k in range(TOTAL)])
    assert (cause, found.first_departure) == ("position lost", 400)
    assert "37 steps behind" in found.explanation


def test_a_schedule_that_stopped_after_a_resume():
    """JDAI-CV/fast-reid#131: after a resume the rate is the base rate until the end."""
    cause, found = cause_of([cosine(k) if k < 400 else RATE for k in range(TOTAL)])
    assert (cause, found.first_departure) == ("stopped", 400)


def test_never_annealed():
    cause, found = cause_of([cosine(k, total=1370) for k in range(TOTAL)])
    assert cause == "total too long"
    assert "made for 1370 steps, not 1000: never annealed" in found.explanation
    assert f"{cosine(999, total=1370) / RATE:.0%} of the peak" in found.explanation


def test_total_too_short():
    cause, found = cause_of([held(k, total=700) for k in range(TOTAL)])
    assert cause == "total too short"
    assert "made for 700 steps, not 1000" in found.explanation


@pytest.mark.parametrize("n", [2, 4, 16])
def test_a_total_in_micro_batches(n):
    """huggingface/accelerate#963, huggingface/diffusers#4387: lengths counted before accumulation."""
    cause, found = cause_of([cosine(k, total=n * TOTAL) for k in range(TOTAL)])
    assert cause == "counted in micro-batches"
    assert f"{n} times" in found.explanation
    assert "never annealed" in found.explanation
    cause, found = cause_of([cosine(k, total=n * TOTAL, warmup=n * WARM) for k in range(TOTAL)])
    assert cause == "counted in micro-batches"
    assert f"{n} times too long, warm-up included" in found.explanation


def test_a_log_in_micro_batches_holds_each_rate():
    cause, found = cause_of([cosine(k // 4) for k in range(TOTAL)])
    assert cause == "stepped too seldom"
    assert "once every 4 steps" in found.explanation


def test_a_schedule_updated_once_per_epoch():
    cause, found = cause_of([cosine(k // 50 * 50) for k in range(TOTAL)])
    assert cause == "held between updates"
    assert "stairs of 50" in found.explanation


@pytest.mark.parametrize(("sign", "says"), [(1, "ahead of the steps by 9"), (-1, "behind the steps by 9")])
def test_advanced_on_skipped_amp_steps(sign, says):
    """Lightning-AI/pytorch-lightning#18828, pytorch/pytorch#67590: GradScaler left the update out, not the schedule."""
    skipped = sorted(random.Random(1).sample(range(900), 9))
    cause, found = cause_of([cosine(k + sign * sum(s < k for s in skipped)) for k in range(TOTAL)])
    assert cause == "skipped steps"
    assert says in found.explanation


def test_skips_at_the_very_beginning_look_like_an_offset_and_are_called_one():
    """AMP's first steps overflow while the scale is found: nothing tells that from logging begun later."""
    cause, found = cause_of([cosine(k + 5) for k in range(TOTAL - 5)])
    assert cause == "offset"
    assert "5 steps ahead of" in found.explanation


@pytest.mark.parametrize(("shift", "says"), [(1, "one step ahead of"), (-1, "one step behind")])
def test_offset_by_one(shift, says):
    """huggingface/transformers#35942: the logged rate is that of the next step."""
    ran = torch_rates(0.1, lambda o, s: s.CosineAnnealingLR(o, 100), 102)
    first = 1 if shift > 0 else 0
    rows = [(k, ran[k + first] if shift > 0 else ran[max(k - 1, 0)]) for k in range(100)]
    cause, found = cause_of(rows, "cosine:0.1,total=100")
    assert cause == "offset"
    assert says in found.explanation
    assert "harmless" in found.fix


@pytest.mark.parametrize("length", [0, 37, 50, 200])
def test_wrong_warmup(length):
    cause, found = cause_of([cosine(k, warmup=length) for k in range(TOTAL)])
    assert cause == "wrong warm-up"
    assert ("is missing" if length == 0 else f"took {length} steps") in found.explanation


def test_warmup_on_top_of_the_total():
    assert cause_of([cosine(k, total=TOTAL + WARM) for k in range(TOTAL)])[0] == "warm-up added to the total"


def test_constant_factor():
    cause, found = cause_of([8 * cosine(k) for k in range(TOTAL)])
    assert cause == "constant factor"
    assert "8 times" in found.explanation


def test_a_factor_and_another_cause():
    cause, found = cause_of([8 * held(4 * k) for k in range(TOTAL)])
    assert cause == "stepped too often and constant factor"
    assert "and all rates are 8 times" in found.explanation


def test_never_stepped():
    assert cause_of([RATE] * 500)[0] == "never stepped"
    assert cause_of([RATE] * 500, "constant:3e-4")[1].verdict == "as planned"


def test_ran_past_its_end():
    ran = torch_rates(0.1, lambda o, s: s.CosineAnnealingLR(o, 100), 150)
    assert cause_of(ran, "cosine:0.1,total=100")[0] == "ran past its end"


def test_what_no_cause_explains_is_unknown():
    ran = [cosine(k) for k in range(500)] + [RATE * random.Random(k).random() for k in range(500)]
    cause, found = cause_of(ran)
    assert (cause, found.first_departure) == ("unknown", 500)


def test_two_causes_that_cannot_be_told_apart_are_both_named():
    """Without a warm-up, a schedule stepped four times a step is one of a quarter of the length."""
    found = sf.audit([held(4 * k, warmup=0) for k in range(TOTAL)], "cosine:3e-4,total=1000")
    assert found.cause == "stepped too often"
    assert any("made for 250 steps" in line and "cannot tell" in line for line in found.evidence)


# laws


@settings(max_examples=8)
@given(st.integers(2, 40), st.integers(40, 900), st.sampled_from(["cosine", "linear"]), st.integers(1, 30))
def test_any_number_of_steps_per_step_is_found(n, total, name, warmup):
    plan = plan_of(f"{name}:1,total={total},warmup={warmup}")
    # enough rows before the end to tell
    if total / n < 12 or warmup / n < 2:
        return
    cause, found = cause_of(plan.rates(n * np.arange(total)).tolist(), f"{name}:1,total={total},warmup={warmup}")
    assert (cause, f"{n} times per step" in found.explanation) == ("stepped too often", True)


@settings(max_examples=8)
@given(st.integers(60, 900), st.integers(1, 20))
def test_a_restart_is_found_wherever_it_was_and_however_seldom_it_was_logged(at, every):
    cause, found = cause_of([(k, cosine(k if k < at else k - at)) for k in range(0, TOTAL, every)])
    assert cause == "restarted"
    assert at <= found.first_departure <= at + every


@settings(max_examples=8)
@given(st.floats(1e-8, 1e8), st.integers(1, 9))
def test_the_unit_of_the_rate_does_not_matter(unit, n):
    ran = [unit * held(n * k) for k in range(300)]
    found = sf.audit(ran, f"cosine:{RATE * unit},total=1000,warmup=100")
    assert found.cause == ("stepped too often" if n > 1 else "")


# plans


def test_plans_have_the_names_of_the_rules():
    rules = {rule.name for rule in named_rules()}
    assert set(NAMES) - rules == {"step-decay", "exponential", "multi-step"}


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        ("cosne:total=3", "did you mean cosine"),
        ("cosine", "how long is it"),
        ("cosine:total=10,warmup=10", "leaves nothing"),
        ("cosine:total=10,colour=3", "unknown key 'colour'"),
        ("cosine:total=ten", "takes a number"),
        ("cosine:total=10.5", "whole number"),
        ("cosine:-1,total=10", "positive"),
        ("cosine:total=10,0.1", "says nothing"),
        ("step-decay:0.1", "needs"),
    ],
)
def test_a_plan_that_says_nothing_is_refused(plan, says):
    with pytest.raises(InvalidInput, match=says):
        sf.audit([1.0, 0.5], plan)


def test_a_rule_that_adapts_is_no_plan():
    with pytest.raises(InvalidType, match="a plan is a text or a schedule"):
        sf.audit([1.0], sf.rules.Armijo())
    with pytest.raises(InvalidType, match="adapts"):
        sf.audit([1.0], Warmup(rule=sf.rules.Armijo(), steps=3))


# results


def test_a_result_survives_json():
    import json

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
    assert found.evidence[0] == "lr[1] is as planned: --column chooses it"
    assert sf.audit(groups, PLAN, column="lr[1]").verdict == "as planned"


# single causes that were taken for others


def test_a_warmup_that_the_run_never_left_is_one_cause_and_not_two():
    """A ramp over 2000 steps of a run of 1500, where 150 were planned."""
    ran = [1.5e-4 * k / 2000 for k in range(1500)]
    for plan in (
        "constant:1.5e-4,warmup=150",
        "cosine:1.5e-4,total=10000,warmup=150",
        "linear:1.5e-4,total=3000,warmup=150",
    ):
        found = sf.audit(ran, f"{plan},warmup=150")
        assert found.cause == "wrong warm-up"
        assert "took 2000 steps, not 150" in found.explanation
        assert "the log ends inside it" in found.explanation
        assert found.others == ()


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


@pytest.mark.parametrize("total", [1600, 700])
def test_a_changed_total_is_found_in_both_directions_after_a_resume(total):
    ran = [cosine(k) if k < 400 else held(k, total=total) for k in range(TOTAL)]
    found = sf.audit(ran, PLAN)
    assert found.cause == "total changed"
    assert f"{total} steps, not 1000" in found.explanation


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


def test_the_number_of_curves_does_not_grow_with_the_values_of_steps(monkeypatch):
    from surefoot.audits._plan import Plan

    calls, rates = [0], Plan.rates

    def counted(self, *arguments, **options):
        calls[0] += 1
        return rates(self, *arguments, **options)

    monkeypatch.setattr(Plan, "rates", counted)
    counts = []
    for unit in (1.0, 1e9):
        calls[0] = 0
        # nothing explains this, so everything is tried
        ran = [(k * unit, cosine(k) * (1 if k < 500 else 0.9 + 0.01 * (k % 7))) for k in range(0, TOTAL, 5)]
        found = sf.audit(ran, f"cosine:3e-4,total={TOTAL * unit:.0f},warmup={WARM * unit:.0f}")
        assert found.cause == "unknown"
        counts.append(calls[0])
    assert counts[1] < 1.5 * counts[0] < 30_000


# two causes at once


PAIRS = {
    "total too long and restarted": lambda k: cosine(k if k < 600 else k - 600, total=1370),
    "stepped too often and restarted": lambda k: held(2 * (k if k < 300 else k - 300)),
    "restarted and stopped": lambda k: cosine(k if k < 300 else k - 300) if k < 600 else 1.1e-4,
    "wrong warm-up and position lost": lambda k: cosine(k if k < 500 else k - 123, warmup=37),
    "total too short and wrong warm-up": lambda k: held(k, total=731, warmup=61),
    "total too long and wrong warm-up": lambda k: held(k, total=1370, warmup=61),
    "offset and constant factor": lambda k: 2.5 * cosine(k + 1),
    "total too long and constant factor": lambda k: 0.5 * cosine(k, total=1234),
    "stepped too often and wrong warm-up": lambda k: held(4 * k, warmup=61),
    "wrong warm-up and rate carried over": lambda k: cosine(k, warmup=37) * (1 if k < 500 else 1.7),
}


@pytest.mark.parametrize("pair", sorted(PAIRS))
def test_two_causes_at_once_are_named(pair):
    found = sf.audit([PAIRS[pair](k) for k in range(TOTAL)], PLAN)
    assert pair in (found.cause, *found.others), str(found)
    assert len(found.others) <= 2


def test_a_pair_is_never_named_where_a_single_cause_explains_the_log():
    for ran in ([held(4 * k) for k in range(TOTAL)], [cosine(k, total=1370) for k in range(TOTAL)]):
        found = sf.audit(ran, PLAN)
        assert " and " not in found.cause


# the order of simplicity: each weight decides between stories that explain the log as well


@pytest.mark.parametrize(
    ("ran", "plan", "cause", "others"),
    [
        # an offset by one weighs less than a warm-up of another length: a constant after a ramp has both
        ([min((k + 1) / 10, 1.0) for k in range(100)], "constant:1,warmup=10", "", ()),
        # four steps per step is as light as a total that is exactly a quarter: the log cannot tell, and says so
        (
            [held(4 * k, warmup=0) for k in range(TOTAL)],
            "cosine:3e-4,total=1000",
            "stepped too often",
            ("total too short",),
        ),
        # with a warm-up the quarter also needs another warm-up: no rival
        ([held(4 * k) for k in range(TOTAL)], PLAN, "stepped too often", ()),
        # a rate that never moved is no staircase, no factor, and no restart at each row
        ([RATE / 2] * 300, PLAN, "never stepped", ()),
        # three times too long exactly, lengths counted in micro-batches, before 'total too long'
        (
            [cosine(k, total=3000, warmup=0) for k in range(TOTAL)],
            "cosine:3e-4,total=1000",
            "counted in micro-batches",
            (),
        ),
        # a drift of many single steps is heavier than one offset
        ([cosine(k + 3) for k in range(900)], PLAN, "offset", ()),
        # restarted beats a position lost by as many steps
        ([cosine(k if k < 450 else k - 450) for k in range(TOTAL)], PLAN, "restarted", ()),
        # stopped at the rate of the last planned row is stopped, not another total
        ([cosine(min(k, 400)) for k in range(TOTAL)], PLAN, "stopped", ()),
    ],
)
def test_the_order_of_simplicity(ran, plan, cause, others):
    found = sf.audit(ran, plan)
    assert (found.cause, found.others) == (cause, others), str(found)


def test_equal_stories_are_ordered_by_weight_and_heavier_ones_are_no_rivals():
    from surefoot.audits._explanation import Explanation, simplest
    from surefoot.audits._rows import Rows

    rows = Rows(steps=np.arange(3.0), rates=np.ones(3), largest=1.0, tight=1e-6, loose=1e-3)
    light, heavy = (Explanation(word=str(b), says="", fix="", burden=b, worst=1e-7) for b in (1, 2))
    loose = Explanation(word="loose", says="", fix="", burden=0, worst=1e-4)
    assert [story.word for story in simplest([heavy, loose, light], rows)] == ["1", "2", "loose"]
    # two causes weigh more than either, and more if one of them does
    pairs = [heavy.and_then(heavy), light.and_then(heavy), light.and_then(light)]
    assert [story.burden for story in simplest(pairs, rows)] == sorted(story.burden for story in pairs)
    assert len({story.burden for story in pairs}) == 3
    assert min(story.burden for story in pairs) > heavy.burden


# plans of other kinds


@pytest.mark.parametrize(
    ("plan", "make"),
    [
        ("multi-step:0.1,milestones=30+80,factor=0.1", lambda o, s: s.MultiStepLR(o, [30, 80])),
        ("exponential:0.1,factor=0.98", lambda o, s: s.ExponentialLR(o, 0.98)),
        (
            "cosine:0.1,total=210,warmup=10,start=0.1",
            lambda o, s: s.SequentialLR(o, [s.LinearLR(o, 0.1, total_iters=10), s.CosineAnnealingLR(o, 200)], [10]),
        ),
    ],
)
def test_schedulers_and_the_plans_that_name_them_agree(plan, make):
    torch = pytest.importorskip("torch")
    ran = torch_rates(0.1, make, 200)
    assert sf.audit(ran, plan).verdict == "as planned"
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler = make(optimizer, torch.optim.lr_scheduler)
    before = (optimizer.param_groups[0]["lr"], scheduler.last_epoch)
    assert sf.audit(ran, scheduler).verdict == "as planned"
    assert (optimizer.param_groups[0]["lr"], scheduler.last_epoch) == before
    assert sf.audit(ran[::2], scheduler).cause == "stepped too often"


def test_lists_callables_and_other_logs_are_plans(tmp_path):
    rates = [held(k) for k in range(TOTAL)]
    assert sf.audit(rates, rates).verdict == "as planned"
    assert sf.audit(rates, cosine).verdict == "as planned"
    path = tmp_path / "before.csv"
    path.write_text("step,lr\n" + "\n".join(f"{k},{r!r}" for k, r in enumerate(rates)))
    for plan in (path, str(path), {"step": range(TOTAL), "lr": rates}):
        assert sf.audit(rates, plan).verdict == "as planned"
        assert sf.audit([rates[min(2 * k, 999)] for k in range(TOTAL)], plan).cause == "stepped too often"
    assert sf.audit([2 * rate for rate in rates], rates).cause == "constant factor"


def test_a_plateau_drops_by_its_factor_and_not_sooner_than_its_patience():
    ran = [0.1] * 30 + [0.01] * 40 + [0.001] * 30
    assert sf.audit(ran, "plateau:0.1,factor=0.1,patience=10").verdict == "as planned"
    assert sf.audit(ran, "plateau:0.1,factor=0.5,patience=10").verdict == "departs"
    assert sf.audit(ran, "plateau:0.1,factor=0.1,patience=60").verdict == "departs"


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        ([], "one at least"),
        ([0.1, math.nan], "finite"),
        ([0.1, "fast"], "numbers"),
        (lambda k: 1 / (k - 3), "the plan fails: ZeroDivisionError"),
        (lambda k: math.inf, "not finite at step 0"),
        ("multi-step:0.1", "needs"),
        ("plateau:0.1,factor=2", "factor lies in"),
        ("plateau:0.1,cooldown=2", "unknown key"),
        ("wsd:total=100,decay=2", "decay"),
        ("nowhere.csv", "no such file"),
    ],
)
def test_plans_of_other_kinds_that_say_nothing_are_refused(plan, says):
    with pytest.raises((InvalidInput, InvalidType), match=says):
        sf.audit([1.0, 0.5, 0.2, 0.1, 0.1], plan)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_curves_of_arrays_are_the_rules_own(name):
    """The audit has the schedules' formulas once more, for arrays."""
    from surefoot.audits._shapes import of_schedule
    from surefoot.rules import WSD, Constant, Exponential, InverseSqrt, InverseTime, Linear, OneCycle, StepDecay

    schedules = {
        "constant": Constant(step=0.3),
        "cosine": Cosine(step=0.3, steps=50, final=0.01),
        "linear": Linear(step=0.3, steps=50, final=0.01),
        "one-cycle": OneCycle(peak=0.3, steps=50),
        "wsd": WSD(peak=0.3, steps=50, warmup=0.1, decay=0.4, final=0.02),
        "inverse-time": InverseTime(step=0.3, halving=7.0),
        "inverse-sqrt": InverseSqrt(step=0.3, offset=5.0),
        "step-decay": StepDecay(step=0.3, every=7, factor=0.5),
        "exponential": Exponential(step=0.3, factor=0.9),
    }
    if name not in schedules:
        return
    positions = np.arange(0, 80, 1.0)
    found = of_schedule(schedules[name]).rates(positions, getattr(schedules[name], "steps", None))
    assert found == pytest.approx([schedules[name].at(k) for k in range(80)], rel=1e-12, abs=1e-300)
