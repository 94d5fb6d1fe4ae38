"""The rate that a rehearsal points to, in closed form where the batches do not differ."""

import math

import pytest

from surefoot.rules.training.choice import SPACING, choose

RATES = (0.1, 0.1 * SPACING, 1.0)


def flat(*values):
    """Losses that are the same on each batch: no error, so only 5% of the progress counts."""
    return [(value,) * 4 for value in values]


def test_the_mean_in_log_rate_by_what_each_lacks():
    # progress 1 from 2, so a lack of .05 weighs 1/e; one of .1 1/e^2
    found = choose(RATES, flat(1.05, 1.0, 1.1), 2.0, math.inf)
    low, high = math.exp(-1), math.exp(-2)
    place = (high - low) / (1 + low + high)  # in half decades from the best
    assert found.best == 1
    assert found.rate == pytest.approx(RATES[1] * SPACING**place, rel=1e-12)
    assert not found.top


def test_the_interval_has_what_is_as_good_and_the_suggestion():
    both = choose(RATES, flat(1.04, 1.0, 1.04), 2.0, math.inf)
    assert both.interval == (RATES[0], RATES[2])
    lower = choose(RATES, flat(1.04, 1.0, 1.06), 2.0, math.inf)
    assert lower.interval == (RATES[0], RATES[1])
    none = choose(RATES, flat(1.06, 1.0, 1.2), 2.0, math.inf)
    assert none.interval == (none.rate, RATES[1])
    assert none.rate < RATES[1]


def test_batches_that_differ_make_rates_equal():
    noisy = [(1.5, 1.0, 1.5, 1.0), (1.0, 1.0, 1.0, 1.0), (3.0, 3.0, 3.0, 3.0)]
    # mean lack .25, standard error .144, progress 0: weight exp(-1.73)
    found = choose(RATES, noisy, 1.0, math.inf)
    error = math.sqrt(4 * 0.25**2 / 3) / 2
    assert found.rate == pytest.approx(RATES[1] * SPACING ** -(1 / (1 + math.exp(0.25 / error))), rel=1e-12)


def test_next_to_a_rate_that_failed_it_is_a_quarter_of_a_half_decade_lower():
    free, near = (choose(RATES, flat(9.0, 9.0, 1.0), 2.0, failed) for failed in (math.inf, SPACING))
    assert near.rate == pytest.approx(free.rate * SPACING**-0.25, rel=1e-12)
    assert free.top
    assert not near.top
    assert choose(RATES, flat(9.0, 1.0, math.inf), 2.0, math.inf).rate == pytest.approx(RATES[1] * SPACING**-0.25)


def test_a_failure_farther_up_is_no_cliff_beside_the_best():
    found = choose(RATES, flat(1.0, 9.0, math.inf), 2.0, math.inf)
    assert found.rate == pytest.approx(RATES[0])
