"""What a plan can be: a name, a schedule, a torch scheduler, rates, a callable, another log."""

import math

import pytest
from audits.schedules import TOTAL, cosine, held, torch_rates

import surefoot as sf
from surefoot.audits._named_plan import NAMES
from surefoot.errors import InvalidInput, InvalidType
from surefoot.rules import (
    WSD,
    Constant,
    Cosine,
    Exponential,
    InverseSqrt,
    InverseTime,
    Linear,
    OneCycle,
    StepDecay,
    Warmup,
    named_rules,
)


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
        ("cosine:total=10,0.1", "has no key"),
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


@pytest.mark.parametrize(
    ("plan", "make"),
    [
        ("cosine:0.1,total=200", lambda o, s: s.CosineAnnealingLR(o, 200)),
        ("cosine:0.1,total=200,final=0.01", lambda o, s: s.CosineAnnealingLR(o, 200, eta_min=0.01)),
        ("linear:0.1,total=200", lambda o, s: s.LinearLR(o, 1.0, 0.0, 200)),
        ("step-decay:0.1,every=30,factor=0.2", lambda o, s: s.StepLR(o, 30, 0.2)),
        ("multi-step:0.1,milestones=30+80,factor=0.1", lambda o, s: s.MultiStepLR(o, [30, 80])),
        ("exponential:0.1,factor=0.98", lambda o, s: s.ExponentialLR(o, 0.98)),
        ("constant:0.1", lambda o, s: s.ConstantLR(o, 1.0)),
        ("one-cycle:0.1,total=200", lambda o, s: s.OneCycleLR(o, 0.1, 200)),
        (
            "cosine:0.1,total=210,warmup=10,start=0.1",
            lambda o, s: s.SequentialLR(o, [s.LinearLR(o, 0.1, total_iters=10), s.CosineAnnealingLR(o, 200)], [10]),
        ),
    ],
)
def test_torch_schedulers_and_the_plans_that_name_them_agree(plan, make):
    torch = pytest.importorskip("torch")
    ran = torch_rates(0.1, make, 200)
    found = sf.audit(ran, plan)
    assert (found.verdict, found.largest_departure < 1e-7) == ("as planned", True), str(found)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler = make(optimizer, torch.optim.lr_scheduler)
    before = (optimizer.param_groups[0]["lr"], scheduler.last_epoch)
    assert sf.audit(ran, scheduler).verdict == "as planned"
    # a copy was stepped, not the scheduler itself
    assert (optimizer.param_groups[0]["lr"], scheduler.last_epoch) == before
    if not plan.startswith("constant"):
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


@pytest.mark.parametrize(
    "schedule",
    [
        Constant(step=0.3),
        Cosine(step=0.3, steps=50, final=0.01),
        Linear(step=0.3, steps=50, final=0.01),
        OneCycle(peak=0.3, steps=50),
        WSD(peak=0.3, steps=50, warmup=0.1, decay=0.4, final=0.02),
        InverseTime(step=0.3, halving=7.0),
        InverseSqrt(step=0.3, offset=5.0),
        StepDecay(step=0.3, every=7, factor=0.5),
        Exponential(step=0.3, factor=0.9),
    ],
    ids=lambda schedule: type(schedule).__name__,
)
def test_the_rules_own_rates_are_as_planned_to_rounding(schedule):
    """The audit has the schedules' formulas once more, for arrays."""
    found = sf.audit([schedule.at(k) for k in range(80)], schedule)
    assert found.verdict == "as planned"
    assert found.largest_departure < 1e-12
