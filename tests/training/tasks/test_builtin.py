"""The problems that come with the package: the same at every call, learnable, with a curvature."""

import numpy as np
import pytest
import torch

import surefoot as sf
from surefoot.training import char_transformer_task, digits_rnn_task, mnist1d_cnn_task
from surefoot.training.tasks._mnist1d import signals

TASKS = {"mnist1d-cnn": mnist1d_cnn_task, "char-transformer": char_transformer_task, "digits-rnn": digits_rnn_task}


@pytest.fixture(scope="module", params=TASKS)
def name(request):
    if request.param == "digits-rnn":
        pytest.importorskip("sklearn")
    return request.param


def test_a_task_is_fixed_by_its_seed_and_leaves_no_trace(name):
    before = torch.get_rng_state()
    one, again, other = TASKS[name](), TASKS[name](), TASKS[name](rng=1)
    assert torch.equal(before, torch.get_rng_state())
    assert one.name == name
    assert one.initial_loss() == again.initial_loss()
    assert one.initial_loss() != other.initial_loss()
    assert one.initial_loss() == pytest.approx(one.constant_loss(), rel=0.6)  # about as good as guessing
    assert "agrees" in one.curvature().checked


@pytest.mark.slow
def test_a_short_run_beats_guessing(name):
    task = TASKS[name]()
    adamw = next(c for c in task.candidates() if c.label == "AdamW")
    assert task.trial(adamw, 0.01, 80)[-1] < 0.9 * task.constant_loss()


@pytest.mark.slow
def test_the_sharpest_direction_is_certified(name):
    found = sf.spectrum(TASKS[name]().curvature(), which="largest", rtol=0.02)
    assert found.largest.lower > 0
    assert found.largest.width <= 0.02 * found.largest.upper * 1.5


def test_signals_follow_the_recipe():
    x, y = signals(500, seed=0)
    assert x.shape == (500, 40)
    assert np.bincount(y).tolist() == [50] * 10
    assert abs(x.mean()) < 1e-12
    assert x.std() == pytest.approx(1)
    again, _ = signals(500, seed=0)
    np.testing.assert_array_equal(x, again)
    assert (signals(500, seed=1)[0] != x).any()


def test_classes_differ_by_more_than_chance():
    """Shifts and shears hide the class from the mean, not from the shape of the spectrum of the signal."""
    x, y = signals(4000, seed=0)
    power = np.abs(np.fft.rfft(np.diff(x, axis=1), axis=1))
    centres = np.stack([power[:2000][y[:2000] == c].mean(axis=0) for c in range(10)])
    guess = ((power[2000:, None] - centres) ** 2).sum(-1).argmin(1)
    assert (guess == y[2000:]).mean() > 0.2
