"""Failures that no NaN announces."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional
from training.guard.guard_runs import CONSTANT, X, Y, adamw, final, guarded, network

from surefoot.training import Guard
from surefoot.training.model import output_variation as _collapse
from surefoot.training.model.output_variation import OutputVariation


def heard(model, x, variation=None):
    variation = OutputVariation(model) if variation is None else variation
    variation.arm()
    model(x)
    return variation.ratio(*variation.read())


@pytest.mark.parametrize("bias", [-0.5, 3.0])
def test_a_dead_layer_is_deaf_and_a_slow_start_is_not(bias):
    model = network()
    variation = OutputVariation(model)
    assert heard(model, X, variation) == 1
    with torch.no_grad():
        model[4].weight.mul_(0.05)
    assert heard(model, X, variation) > 0.04
    with torch.no_grad():
        model[2].bias.fill_(-1e4)
        model[4].bias.fill_(bias)
    assert heard(model, X, variation) < 1e-6


def test_targets_far_from_zero_are_not_a_collapse():
    model = nn.Linear(8, 1)
    variation = OutputVariation(model)
    heard(model, X, variation)
    with torch.no_grad():
        model.bias.fill_(1e6)
    assert heard(model, X, variation) > 0.9


def test_a_wild_start_that_calms_down_is_not_a_collapse():
    model = nn.Linear(8, 1)
    with torch.no_grad():
        model.weight.mul_(1e6)
    variation = OutputVariation(model)
    heard(model, X, variation)
    with torch.no_grad():
        model.weight.mul_(1e-6)
        model.bias.zero_()
    assert heard(model, X, variation) > 0.9


def test_the_ratio_is_that_of_its_definition():
    model = nn.Linear(8, 3)
    variation = OutputVariation(model)
    heard(model, X, variation)
    largest = variation.largest
    answer = model(X).detach()
    assert largest == pytest.approx(float(torch.linalg.vector_norm(answer.std(0))), rel=1e-5)
    with torch.no_grad():
        model.weight.mul_(0.125)
        model.bias.fill_(5.0)
    answer = model(X).detach()
    spread, size = (float(torch.linalg.vector_norm(t)) for t in torch.std_mean(answer, 0))
    assert heard(model, X, variation) == pytest.approx(max(spread / largest, spread / size), rel=1e-5)


def test_of_a_huge_answer_a_sample_is_heard(monkeypatch):
    model = nn.Linear(8, 1000)
    whole = OutputVariation(model)
    heard(model, X, whole)
    monkeypatch.setattr(_collapse, "MOST", 100)
    part = OutputVariation(model)
    heard(model, X, part)
    assert part.largest == pytest.approx(whole.largest * 0.1**0.5, rel=0.1)


def test_what_cannot_be_heard_is_no_number():
    model = nn.Linear(8, 1)
    variation = OutputVariation(model)
    assert math.isnan(variation.ratio(*variation.read()))  # nobody listened
    assert math.isnan(heard(model, X[:1], variation))
    assert math.isnan(heard(model, X * math.nan, variation))


@pytest.mark.parametrize("output", [lambda y: {"loss": y.sum(), "logits": y}, lambda y: (y, None), lambda y: y[:, 0]])
def test_outputs_of_any_structure(output):
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network()

        def forward(self, x):
            return output(self.inner(x))

    assert heard(Wrapped(), X) == 1


def test_a_hook_is_there_only_while_it_listens():
    model = network()
    guard = Guard(model, adamw(model))
    guarded(guard, 15)
    assert not model._forward_hooks


def kill(model, at):
    """What a far too long step does to a ReLU network: every unit of a layer below zero, for good."""

    def before(k):
        if k == at:
            with torch.no_grad():
                model[2].weight.zero_()
                model[2].bias.fill_(-1.0)

    return before


def test_the_unguarded_run_stays_at_the_best_constant():
    model = network()
    optimizer = adamw(model)
    before = kill(model, 100)
    for k in range(400):
        before(k)
        optimizer.zero_grad()
        functional.cross_entropy(model(X), Y).backward()
        optimizer.step()
    assert final(model) > 0.99 * CONSTANT


@pytest.mark.parametrize("foreign", [False, True], ids=["step", "observe"])
def test_the_guarded_run_comes_back(foreign):
    model = network()
    optimizer = adamw(model)
    guard = Guard(model, optimizer)
    before = kill(model, 100)
    if foreign:
        for k in range(400):
            before(k)
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(X), Y)
            loss.backward()
            if guard.observe(loss):
                optimizer.step()
    else:
        guarded(guard, 400, before=before)
    kinds = [event.kind for event in guard.history if event.action == "back"]
    assert kinds
    assert set(kinds) <= {"collapse", "lost ground", "jump"}
    assert final(model) < 0.5 * CONSTANT


def test_a_silent_death_is_told_by_the_output_alone():
    """With the loss no worse than before, early in the run, only the variation can know."""
    model = network()
    guard = Guard(model, adamw(model, 1e-5))
    guarded(guard, 60, before=kill(model, 25))
    assert [event.kind for event in guard.history] == ["collapse"]
    assert guard.history[0].step <= 25 + 15
    assert float(model[2].weight.detach().abs().sum()) > 1
