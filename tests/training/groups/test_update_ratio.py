"""Update-to-weight ratios: known values, what is flagged, and that training does not notice."""

import copy
import math

import pytest
import torch
from torch import nn

from surefoot.errors import InvalidInput, InvalidType
from surefoot.training import update_ratios


def groups(*values, rate=0.1):
    return torch.optim.SGD([{"params": [nn.Parameter(torch.full((4,), value))], "lr": rate} for value in values])


def step(optimizer, *gradients):
    for group, gradient in zip(optimizer.param_groups, gradients, strict=True):
        group["params"][0].grad = torch.full((4,), gradient)
    optimizer.step()


def test_the_ratio_is_update_over_weight():
    optimizer = groups(2.0, 4.0)
    ratios = update_ratios(optimizer)
    step(optimizer, 1.0, 3.0)
    assert [row.ratio for row in ratios.groups()] == pytest.approx([0.1 / 2, 0.3 / 4])
    assert [row.update for row in ratios.groups()] == pytest.approx([0.1, 0.3])
    assert [row.weight for row in ratios.groups()] == [2.0, 4.0]


def test_the_size_of_a_group_with_several_tensors():
    optimizer = torch.optim.SGD([nn.Parameter(torch.full((3,), 1.0)), nn.Parameter(torch.full((1,), 3.0))], lr=1.0)
    for p in optimizer.param_groups[0]["params"]:
        p.grad = torch.ones_like(p)
    ratios = update_ratios(optimizer)
    optimizer.step()
    assert ratios.groups()[0].ratio == pytest.approx(1 / math.sqrt((3 * 1 + 9) / 4))


def test_outliers_are_flagged_on_both_sides():
    optimizer = groups(1.0, 1.0, 1.0, 1.0, rate=1e-3)
    ratios = update_ratios(optimizer)
    step(optimizer, 1.0, 1.1, 11.0, 0.05)
    flags = [row.flags for row in ratios.groups()]
    assert flags[:2] == [(), ()]
    assert "10.5 x the median of the groups" in flags[2][0]
    assert "1/21 of the median" in flags[3][0]
    assert all("usual" not in text for row in flags for text in row)


@pytest.mark.parametrize(("gradient", "flagged"), [(99.0, False), (101.0, True), (0.0101, False), (0.0099, True)])
def test_far_from_the_usual_value(gradient, flagged):
    optimizer = groups(1.0, rate=1e-3)
    ratios = update_ratios(optimizer)
    step(optimizer, gradient)
    assert bool(ratios.groups()[0].flags) is flagged


def test_what_does_not_move_and_what_started_at_zero():
    optimizer = groups(1.0, 0.0)
    ratios = update_ratios(optimizer)
    step(optimizer, 0.0, 1.0)
    still, zero = ratios.groups()
    assert (still.ratio, still.flags) == (0.0, ("does not move",))
    assert zero.ratio == math.inf
    assert "zero" in zero.flags[0]
    assert zero.to_dict()["ratio"] == "inf"


def test_the_median_over_steps_and_every_second_step():
    optimizer = groups(1000.0)
    every, all_steps = update_ratios(optimizer, every=2), update_ratios(optimizer)
    for gradient in (1.0, 2.0, 30.0):
        step(optimizer, gradient)
    assert len(every.history["group 0"]) == 2
    assert len(all_steps.history["group 0"]) == 3
    assert all_steps.groups()[0].ratio == pytest.approx(2e-4, rel=1e-3)


@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
def test_training_is_bitwise_the_same(kind):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.2), nn.Linear(8, 1))
    twin = copy.deepcopy(model)
    x = torch.randn(20, 16, 5)

    def train(net, watched):
        optimizer = getattr(torch.optim, kind)(net.parameters(), lr=0.01)
        ratios = update_ratios(optimizer) if watched else None
        torch.manual_seed(1)
        for batch in x:
            optimizer.zero_grad()
            net(batch).square().mean().backward()
            optimizer.step()
        return optimizer.state_dict(), ratios

    (one, _), (two, ratios) = train(twin, False), train(model, True)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), twin.parameters(), strict=True))
    for i, state in one["state"].items():
        for key, value in state.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(two["state"][i][key])), key
    assert ratios.groups()[0].steps == 20


def test_close_ends_it_and_the_table_prints():
    optimizer = groups(1.0, 2.0)
    with update_ratios(optimizer) as ratios:
        assert str(ratios) == "no step was taken yet"
        step(optimizer, 1.0, 1.0)
    step(optimizer, 1.0, 1.0)
    assert ratios.groups()[0].steps == 1
    assert str(ratios).splitlines()[0].split() == ["group", "ratio", "update", "weight", "over", "1", "steps"]
    assert len(ratios.to_dict()["groups"]) == 2


def test_names_and_groups_of_ones_own():
    a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([{"params": [a], "name": "x"}, {"params": [b], "name": "x"}], lr=0.1)
    a.grad, b.grad = torch.ones(2), torch.zeros(2)
    named, own = update_ratios(optimizer), update_ratios(optimizer, groups={"only b": [b]})
    optimizer.step()
    assert [row.name for row in named.groups()] == ["x", "x (1)"]
    assert [row.name for row in own.groups()] == ["only b"]


def test_refusals():
    with pytest.raises(InvalidType, match="Optimizer"):
        update_ratios("adam")
    with pytest.raises(InvalidInput, match="every"):
        update_ratios(groups(1.0), every=0)
    with pytest.raises(InvalidInput, match="no parameters"):
        update_ratios(groups(1.0), groups={"none": []})
