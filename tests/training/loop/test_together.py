"""Updates that are noted and judged together are judged as they would have been one by one."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy
from training.guard.guard_runs import adamw, batches, everything, network, same, sgd

from surefoot.training import Guard
from surefoot.training.loop import _judge


def run(make, monkeypatch, together, split=None, steps=200, **options):
    """The end of a run with a NaN, a spike and a rate 1,000 times too high for a while; and how many were noted."""
    noted = []
    real = _judge.Judge.note

    def note(self, *numbers):
        noted.append(real(self, *numbers))
        return noted[-1]

    with monkeypatch.context() as patch:
        patch.setattr(_judge, "TOGETHER", together)
        patch.setattr(_judge.Judge, "note", note)
        model = network()
        optimizer = make(model)
        guard = Guard(model, optimizer, **options)
        for k, (x, y) in enumerate(batches(steps)):
            if k == split:
                saved = everything(model, optimizer, guard)
                model = network(1)
                optimizer = make(model)
                guard = Guard(model, optimizer, **options)
                for thing, state in zip((model, optimizer, guard), saved, strict=True):
                    thing.load_state_dict(state)
            x = torch.full_like(x, math.nan) if k == 64 else 1e4 * x if k == 90 else x
            for group in optimizer.param_groups:
                group["lr"] *= 1000 if k == 120 else 1e-3 if k == 124 else 1
            guard.step(lambda x=x, y=y, model=model: cross_entropy(model(x), y))
    state = guard.state_dict()
    return everything(model, optimizer), guard.explain(), state["watch"], state["oscillation"], sum(noted)


@pytest.mark.parametrize("options", [{}, {"clip": 3.0}], ids=str)
@pytest.mark.parametrize("make", [adamw, sgd])
def test_judged_together_or_one_by_one_the_run_is_the_same(make, options, monkeypatch):
    one_by_one = run(make, monkeypatch, 0, **options)
    together = run(make, monkeypatch, 10, **options)
    assert one_by_one[-1] == 0
    assert together[-1] > 40
    assert same(together[0], one_by_one[0])
    assert together[1:4] == one_by_one[1:4]
    assert "rolled back" in together[1]


def test_a_state_taken_while_updates_are_noted_goes_on_bit_for_bit(monkeypatch):
    # 120: before the return, since snapshots are taken anew after loading
    whole = run(sgd, monkeypatch, 10, steps=120)
    for split in (41, 47, 65):
        again = run(sgd, monkeypatch, 10, split, steps=120)
        assert same(whole[0], again[0])
        assert whole[1] == again[1]
