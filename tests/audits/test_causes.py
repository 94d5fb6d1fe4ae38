"""Each cause from a run that went wrong that way: alone, in pairs, and in the order of simplicity.

The runs are torch's own schedulers where there is one, so that the plan's formula meets another. The threads that the
causes are from are named beside them.
"""

import math
import random

import numpy as np
import pytest
from audits.schedules import BARE, PLAN, RATE, TOTAL, WARM, cosine, held, run, torch_rates
from hypothesis import given, settings
from hypothesis import strategies as st

import surefoot as sf

SKIPPED = sorted(random.Random(1).sample(range(900), 9))


def carry_over(at=450):
    """The recursion of CosineAnnealingLR, begun at its place from the base rate."""
    rates, rate = run(lambda k: cosine(k, warmup=0), at), RATE
    for k in range(at, TOTAL):
        rates.append(rate)
        rate *= (1 + math.cos(math.pi * (k + 1) / TOTAL)) / (1 + math.cos(math.pi * k / TOTAL))
    return rates


# name: rates, the plan that they are held to, the cause, the first step that departs (None: not asked), what is said
CAUSES = {
    # huggingface/accelerate#2926: a prepared scheduler advances num_processes times
    **{
        f"stepped once for each of {n} processes": (
            run(lambda k, n=n: held(n * k)), PLAN, "stepped too often", 1, [f"{n} times per step", f"num_processes={n}"]
        )
        for n in (2, 4, 8)
    },
    # ultralytics/yolov5#292 and many others: the resumed run made a new scheduler; the plan's own schedule again is
    # simpler than a new one that happens to be as long
    "restarted on resume": (
        run(lambda k: cosine(k if k < 450 else k - 450)), PLAN, "restarted", 450,
        ["the schedule began again from its start at step 450;"],
    ),
    "restarted twice": (
        run(lambda k: cosine(k if k < 300 else k - 300 if k < 700 else k - 700)), PLAN, "restarted", 300,
        ["steps 300, 700"],
    ),
    "restarted over the steps that were left": (
        run(lambda k: cosine(k) if k < 400 else cosine(k - 400, total=600)), PLAN, "restarted", None,
        ["the steps that were left"],
    ),
    "restarted with its counter": (
        [(k, cosine(k)) for k in range(400)] + [(k, cosine(k)) for k in range(600)], PLAN, "restarted", None,
        ["went back to 0"],
    ),
    # pytorch/pytorch#60265: a scheduler made with last_epoch counts on from the optimizer's rate
    "a rate carried over a resume": (
        carry_over(), BARE, "rate carried over", 450, [f"{RATE / cosine(450, warmup=0):.6g} times"]
    ),
    # huggingface/transformers#27749: the resumed run computed another number of steps
    **{
        f"another total of {total} after a resume": (
            run(lambda k, total=total: cosine(k) if k < 400 else held(k, total=total)), PLAN, "total changed", 400,
            [f"{total} steps, not 1000"],
        )
        for total in (1600, 1500, 700)
    },
    # Lightning-AI/pytorch-lightning#4655: the schedule lags behind after a resume
    "a position lost on resume": (
        run(lambda k: cosine(k if k < 400 else k - 37)), PLAN, "position lost", 400, ["37 steps behind"]
    ),
    # JDAI-CV/fast-reid#131: after a resume the rate is the base rate until the end
    "stopped after a resume": (run(lambda k: cosine(k) if k < 400 else RATE), PLAN, "stopped", 400, []),
    "never annealed": (
        run(lambda k: cosine(k, total=1370)), PLAN, "total too long", None,
        ["made for 1370 steps, not 1000: never annealed", f"{cosine(999, total=1370) / RATE:.0%} of the peak"],
    ),
    "total too short": (
        run(lambda k: held(k, total=700)), PLAN, "total too short", None, ["made for 700 steps, not 1000"]
    ),
    # huggingface/accelerate#963, huggingface/diffusers#4387: lengths counted before accumulation
    **{
        f"a total in {n} micro-batches": (
            run(lambda k, n=n: cosine(k, total=n * TOTAL)), PLAN, "counted in micro-batches", None,
            [f"{n} times", "never annealed"],
        )
        for n in (2, 4, 16)
    },
    **{
        f"both lengths in {n} micro-batches": (
            run(lambda k, n=n: cosine(k, total=n * TOTAL, warmup=n * WARM)), PLAN, "counted in micro-batches", None,
            [f"{n} times too long, warm-up included"],
        )
        for n in (2, 4, 16)
    },
    "a log in micro-batches holds each rate": (
        run(lambda k: cosine(k // 4)), PLAN, "stepped too seldom", None, ["once every 4 steps"]
    ),
    "updated once per epoch": (
        run(lambda k: cosine(k // 50 * 50)), PLAN, "held between updates", None, ["stairs of 50"]
    ),
    # Lightning-AI/pytorch-lightning#18828, pytorch/pytorch#67590: GradScaler left the update out, not the schedule
    **{
        f"skipped steps of AMP, {says}": (
            run(lambda k, sign=sign: cosine(k + sign * sum(s < k for s in SKIPPED))), PLAN, "skipped steps", None,
            [f"{says} the steps by 9"],
        )
        for sign, says in ((1, "ahead of"), (-1, "behind"))
    },
    # AMP's first steps overflow while the scale is sought: nothing tells that from logging begun later
    "skips at the very beginning look like an offset": (
        run(lambda k: cosine(k + 5), TOTAL - 5), PLAN, "offset", None, ["5 steps ahead of"]
    ),
    "no warm-up": (run(lambda k: cosine(k, warmup=0)), PLAN, "wrong warm-up", None, ["is missing"]),
    **{
        f"a warm-up of {length}": (
            run(lambda k, length=length: cosine(k, warmup=length)), PLAN, "wrong warm-up", None,
            [f"took {length} steps"],
        )
        for length in (37, 50, 200)
    },
    "a warm-up on top of the total": (
        run(lambda k: cosine(k, total=TOTAL + WARM)), PLAN, "warm-up added to the total", None, []
    ),
    "a constant factor": (run(lambda k: 8 * cosine(k)), PLAN, "constant factor", None, ["8 times"]),
    "never stepped": ([RATE] * 500, PLAN, "never stepped", None, []),
    "no known cause": (
        run(lambda k: cosine(k) if k < 500 else RATE * random.Random(k).random()), PLAN, "unknown", 500, []
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CAUSES)
def test_each_cause(name):
    ran, plan, cause, first, says = CAUSES[name]
    found = sf.audit(ran, plan)
    assert (found.verdict, found.cause) == ("departs", cause), str(found)
    assert first in (None, found.first_departure)
    said = f"{found.explanation}; {found.fix}"
    assert all(text in said for text in says), said


TORCH = {
    # huggingface/accelerate#2926 and #2773: after its end torch's cosine rises
    "a cosine on four processes": (
        lambda o, s: s.CosineAnnealingLR(o, 200), 200, 4, "cosine:0.1,total=200", "stepped too often",
        ["4 times per step", "rose again"],
    ),
    # huggingface/accelerate#2926 as it was reported
    "a staircase on four processes": (
        lambda o, s: s.StepLR(o, 20, 0.1), 60, 4, "step-decay:0.1,every=20,factor=0.1", "stepped too often", []
    ),
    "a cosine past its end": (
        lambda o, s: s.CosineAnnealingLR(o, 100), 150, 1, "cosine:0.1,total=100", "ran past its end", []
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TORCH)
def test_causes_from_torch_itself(name):
    make, steps, each, plan, cause, says = TORCH[name]
    found = sf.audit(torch_rates(0.1, make, steps, each), plan)
    assert found.cause == cause
    assert all(text in found.explanation for text in says)


@pytest.mark.parametrize(("shift", "says"), [(1, "one step ahead of"), (-1, "one step behind")])
def test_offset_by_one(shift, says):
    """huggingface/transformers#35942: the logged rate is that of the next step."""
    ran = torch_rates(0.1, lambda o, s: s.CosineAnnealingLR(o, 100), 102)
    found = sf.audit([(k, ran[max(k + shift, 0)]) for k in range(100)], "cosine:0.1,total=100")
    assert found.cause == "offset"
    assert says in found.explanation
    assert "harmless" in found.fix


def test_a_factor_and_another_cause():
    found = sf.audit(run(lambda k: 8 * held(4 * k)), PLAN)
    assert found.cause == "stepped too often and constant factor"
    assert "and all rates are 8 times" in found.explanation


def test_two_causes_that_cannot_be_told_apart_are_both_named():
    """Without a warm-up, a schedule stepped four times a step is one of a quarter of the length."""
    found = sf.audit(run(lambda k: held(4 * k, warmup=0)), BARE)
    assert found.cause == "stepped too often"
    assert any("made for 250 steps" in line and "cannot tell" in line for line in found.evidence)


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


# laws


@settings(max_examples=8)
@given(st.integers(2, 40), st.integers(40, 900), st.sampled_from(["cosine", "linear"]), st.integers(1, 30))
def test_any_number_of_steps_per_step_is_found(n, total, name, warmup):
    # enough rows before the end to tell
    if total / n < 12 or warmup / n < 2:
        return
    part = np.clip((n * np.arange(total) - warmup) / (total - warmup), 0, 1)
    rates = (1 + np.cos(np.pi * part)) / 2 if name == "cosine" else 1 - part
    rates = np.minimum(n * np.arange(total) / warmup, 1) * rates
    found = sf.audit(rates, f"{name}:1,total={total},warmup={warmup}")
    assert (found.cause, f"{n} times per step" in found.explanation) == ("stepped too often", True)


@settings(max_examples=8)
@given(st.integers(60, 900), st.integers(1, 20))
def test_a_restart_is_found_wherever_it_was_and_however_seldom_it_was_logged(at, every):
    found = sf.audit([(k, cosine(k if k < at else k - at)) for k in range(0, TOTAL, every)], PLAN)
    assert found.cause == "restarted"
    assert at <= found.first_departure <= at + every


@settings(max_examples=8)
@given(st.floats(1e-8, 1e8), st.integers(1, 9))
def test_the_unit_of_the_rate_does_not_matter(unit, n):
    ran = [unit * held(n * k) for k in range(300)]
    found = sf.audit(ran, f"cosine:{RATE * unit},total=1000,warmup=100")
    assert found.cause == ("stepped too often" if n > 1 else "")


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
