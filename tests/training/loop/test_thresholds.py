"""What the parts of a loop promise, each from both sides, on numbers rather than on runs."""

import math

import pytest
import torch
from torch import nn

from surefoot.errors import InvalidInput
from surefoot.training import Guard, Pilot
from surefoot.training.loop._clipped_oscillation import ClippedOscillation
from surefoot.training.loop._line_minimum import _search, line_minimum
from surefoot.training.loop._sharpness import Sharpness, measure
from surefoot.training.loop.training_step import TrainingStep


def linear(rate=0.1, **options):
    torch.manual_seed(0)
    model = nn.Linear(2, 1, dtype=torch.float64)
    return model, torch.optim.SGD(model.parameters(), lr=rate, **options)


# The line minimum.


def looks(loss, start):
    """What the search finds, and where it looked."""
    seen = []

    def at(r):
        seen.append(r)
        return loss(r)

    return _search(at, start), seen


@pytest.mark.parametrize("best", [1e-6, 1e-3, 1.0, 1e6])
def test_the_least_loss_along_a_line_is_found_within_a_quarter_of_a_decade(best):
    found, seen = looks(lambda r: (r / best - 1) ** 2, 1e-3)
    assert abs(math.log10(found / best)) <= 0.25
    assert seen[:2] == [0.0, 1e-3]


def test_it_goes_on_outwards_while_the_loss_does_not_resolve_the_move():
    found, _ = looks(lambda r: 1.0 if r < 1 else (math.log10(r) - 1) ** 2, 1e-3)
    assert 5 < found < 20
    assert math.isnan(looks(lambda r: 1.0 + (r > 1), 1e-3)[0])
    assert math.isnan(looks(lambda r: 1.0 + r, 1e-3)[0])


@pytest.mark.parametrize(("fall", "endless"), [(0.99e6, False), (1.01e6, True)])
def test_a_loss_that_falls_by_a_million_times_itself_has_no_minimum(fall, endless):
    """Thirty looks, half a decade apart, each lower than the one before."""
    farthest = 1e-3 * 10**15

    def loss(r):
        return 1 - fall * (r / farthest) ** 0.1

    if endless:
        with pytest.raises(InvalidInput, match="falls without end"):
            looks(loss, 1e-3)
    else:
        assert looks(loss, 1e-3)[0] == pytest.approx(farthest * 10**0.25, rel=1e-6)


def test_without_a_direction_there_is_no_minimum():
    model, _ = linear()
    for value in (0.0, math.inf, math.nan):
        direction = [torch.full_like(p, value) for p in model.parameters()]
        assert math.isnan(line_minimum(model, lambda: pytest.fail("looked"), [*model.parameters()], direction))


@pytest.mark.parametrize(("start", "length"), [(0.0, 1e-3), (1.0, 5.005)])
def test_the_first_look_is_a_thousandth_of_the_parameters_or_of_1_where_they_are_zero(start, length):
    model, _ = linear()
    direction = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_(start * direction)
    lengths = []

    def closure():
        lengths.append(model.weight.detach().norm().item())
        return (model.weight - 1).square().sum()

    line_minimum(model, closure, [model.weight], [direction])
    assert lengths[1] == pytest.approx(length)


# The step and the sense for clipped oscillation.


class Scaler:
    def is_enabled(self):
        return True


def test_twenty_overflows_in_a_row_are_the_loss_scales():
    model, optimizer = linear()
    step = TrainingStep(model, [optimizer], Scaler())
    assert [step.overflowed(1.0, math.inf) for _ in range(21)] == [True] * 20 + [False]
    assert not step.overflowed(math.nan, math.inf)
    assert step.overflowed(1.0, math.nan)
    assert not step.overflowed(1.0, 1.0)
    assert not TrainingStep(model, [optimizer]).overflowed(1.0, math.inf)


def oscillate(levels, norms=None, cosine=-1.0):
    """What is told of gradients that turn back, for a row of mean losses and one of norms."""
    sense, weight = ClippedOscillation(1.0), nn.Parameter(torch.zeros(2))
    said = []
    for k, level in enumerate(levels):
        weight.grad = torch.tensor([1.0, 0.0] if k % 2 else [cosine, math.sqrt(1 - cosine**2)])
        norm = 2.0 if norms is None else norms[k]
        if turns := sense.see(k, norm, level, [weight]):
            said.append((k, turns))
    return said


# As documented: twenty that are cut, twenty more that turn back; news again a hundred updates later.
LEAST, EPISODE = 40, 100


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(("fall", "told"), [(0.009, True), (0.011, False)])
def test_a_mean_loss_that_falls_by_a_hundredth_is_progress(fall, told, sign):
    levels = [sign * 1.0] * 10 + [sign * 1.0 - fall] * (LEAST - 9)
    assert bool(oscillate(levels)) == told


def test_what_is_told_of_a_clipped_oscillation():
    ((step, turns),) = oscillate([1.0] * (LEAST + 1), [2.0, 5.0] * LEAST, cosine=-0.95)
    assert step == LEAST
    assert (turns.cap, turns.clipped) == (1.0, LEAST + 1)
    assert turns.excess == 3.5
    assert turns.cosine == pytest.approx(-0.95)


def test_a_norm_at_the_cap_is_not_cut():
    assert oscillate([1.0] * 100, [1.0] * 100) == []
    assert len(oscillate([1.0] * (LEAST + 1), [1.001] * 100)) == 1


@pytest.mark.parametrize(("pause", "told"), [(EPISODE - 1, [LEAST]), (EPISODE, [LEAST, LEAST + EPISODE])])
def test_it_is_news_again_a_hundred_updates_after_it_was_last_seen(pause, told):
    norms = [2.0] * (LEAST + 1) + [0.5] * (pause - LEAST - 1) + [2.0] * (LEAST + 1)
    assert [k for k, _ in oscillate([1.0] * len(norms), norms)] == told
    assert len(oscillate([1.0] * 1000)) == 1  # seen again and again, so never a hundred updates ago


# Curvature at a return.


@pytest.mark.parametrize(("limit", "ratio"), [(2.0, 1.5), (None, None), (0.0, None), (math.inf, None)])
def test_the_ratio_of_rate_and_limit(limit, ratio):
    assert Sharpness(largest=None, limit=limit, rate=3.0).ratio == ratio


def test_a_loss_without_second_derivatives_is_a_note():
    model, optimizer = linear()
    found = measure(model, lambda: model.weight.sum() * math.nan, optimizer, 0.1)
    assert found.largest is found.limit is None
    assert str(found).startswith("sharpness not measured: ")


# The length of a run.


@pytest.mark.parametrize(("total", "cooling"), [(100, 20), (3, 1), (1, 1)])
def test_the_last_fifth_of_a_run_is_its_cool_down(total, cooling):
    model, optimizer = linear()
    pilot = Pilot(model, optimizer, "constant:0.1", total_steps=total)
    x = torch.ones(4, 2, dtype=torch.float64)
    parts = []
    for k in range(total):
        assert pilot._updates.until_cooldown == max(total - cooling - k, 0)
        parts.append(pilot._updates.remaining)
        pilot.step(lambda: (model(x) - 1).square().mean())
    assert parts == pytest.approx([1.0] * (total - cooling) + [(cooling - k) / cooling for k in range(cooling)])


def test_a_run_of_unknown_length_never_cools_down():
    model, optimizer = linear()
    guard = Guard(model, optimizer, accumulate=2)
    assert guard._updates.remaining == 1
    assert guard._updates.until_cooldown == math.inf
