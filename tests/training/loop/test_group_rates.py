"""Rates of groups of parameters: who decides them, what a hand or a scheduler changes, and what is given back."""

import pytest
import torch
from torch import nn

from surefoot.errors import InvalidInput
from surefoot.training.loop.group_rates import Rates


def groups(*rates):
    return torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates], lr=0.1)


def rates_of(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


def test_a_rule_decides_the_first_positive_rate_and_ratios_stay():
    optimizer = groups(0.0, 0.5, 0.25)
    rates = Rates([optimizer], driven=True, named=False)
    assert rates.read() == ""
    rates.write(3.0)
    assert rates_of(optimizer) == [0.0, 3.0, 1.5]
    assert rates.in_force == (0.0, 3.0, 1.5)
    assert rates.first == 0.0
    rates.settle()
    assert rates_of(optimizer) == [0.0, 3.0, 1.5]
    with pytest.raises(InvalidInput, match="0, 0: no ratio"):
        Rates([groups(0.0, 0.0)], driven=True, named=False)


def test_what_changes_a_rate_during_the_update_is_undone_unless_a_scheduler_owns_it():
    optimizer = groups(1.0)
    rates = Rates([optimizer], driven=True, named=False)
    rates.read()
    rates.write(2.0)
    optimizer.param_groups[0]["lr"] = 9.0
    rates.settle()
    assert rates_of(optimizer) == [2.0]
    optimizer.param_groups[0] |= {"lr": 9.0, "initial_lr": 1.0}
    rates.settle()
    assert rates_of(optimizer) == [9.0]


def test_a_hand_on_one_group_multiplies_its_weight_and_is_told_once():
    optimizer = groups(1.0, 1.0)
    rates = Rates([optimizer], driven=True, named=False)
    rates.read()
    rates.write(2.0)
    rates.settle()
    optimizer.param_groups[1]["lr"] = 1.0
    assert "group 1 from 2 to 1; that group's rates are 0.5 times" in rates.read()
    rates.write(4.0)
    rates.settle()
    assert rates_of(optimizer) == [4.0, 2.0]
    optimizer.param_groups[0]["lr"] = 8.0
    assert rates.read() == ""
    rates.write(1.0)
    assert rates_of(optimizer) == [2.0, 0.5]


def test_a_group_added_later_has_the_rate_it_came_with_over_the_first():
    optimizer = groups(0.5)
    rates = Rates([optimizer], driven=True, named=False)
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "lr": 1.0})
    rates.read()
    rates.write(3.0)
    assert rates_of(optimizer) == [3.0, 6.0]


def test_the_users_rates_are_lent_for_an_update_and_given_back():
    optimizer = groups(1.0, 3.0)
    rates = Rates([optimizer], driven=False, named=False)
    rates.write(0.5)
    assert rates_of(optimizer) == [0.5, 1.5]
    assert rates.in_force == (0.5, 1.5)
    rates.settle()
    assert rates_of(optimizer) == [1.0, 3.0]
    rates.write(1.0)
    optimizer.param_groups[0]["lr"] = 9.0
    rates.settle()
    assert rates_of(optimizer) == [9.0, 3.0]


@pytest.mark.parametrize("at_peak", [False, True])
def test_a_schedulers_rate_over_its_peak_multiplies_unless_at_the_peak(at_peak):
    optimizer = groups(1.0, 2.0)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 0.1)
    rates = Rates([optimizer], driven=True, named=True)
    assert rates.scheduled
    rates.read()
    rates.write(5.0, at_peak=at_peak)
    assert rates_of(optimizer) == pytest.approx([5.0, 10.0] if at_peak else [0.5, 1.0])
    rates.settle()
    assert rates_of(optimizer) == pytest.approx([0.1, 0.2])
