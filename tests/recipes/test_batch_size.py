"""Another batch size: the rules as laws, and both put to the test by simulation, where they hold and where not."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.cli import run
from surefoot.errors import InvalidInput, InvalidType
from surefoot.noise import step_moments
from surefoot.problems import LeastSquares
from surefoot.recipes import BatchScaling, scale_batch
from surefoot.recipes._batch_size import LINEAR, SQUARE_ROOT

rates = st.floats(1e-8, 10)
batches = st.integers(1, 10**6)
optimizers = st.sampled_from([*LINEAR, *SQUARE_ROOT])

# the formulas


def test_the_two_rules():
    assert scale_batch(0.1, 256, 8192, "sgd").rate == pytest.approx(3.2)
    assert scale_batch(3e-4, 256, 2048, "adamw").rate == pytest.approx(3e-4 * math.sqrt(8))
    assert scale_batch(3e-4, 256, 64, "adamw").rate == pytest.approx(1.5e-4)


def test_adam_scales_its_averages_and_its_floor():
    """Malladi et al. 2022, definition 5.4."""
    found = scale_batch(1e-3, 32, 128, "adam", betas=(0.9, 0.999), eps=1e-8)
    assert found.betas == pytest.approx((0.6, 0.996))
    assert found.eps == pytest.approx(0.5e-8)
    assert scale_batch(1e-3, 128, 32, "adam", betas=found.betas, eps=found.eps).betas == pytest.approx((0.9, 0.999))


def test_an_average_too_short_to_scale_is_said():
    found = scale_batch(1e-3, 32, 32 * 16, "adam")
    assert found.betas == pytest.approx((0.0, 0.984))
    assert any("no longer holds exactly" in reason for reason in found.reasons)
    assert not any("no longer" in reason for reason in scale_batch(1e-3, 32, 256, "adam").reasons)


@given(rates, batches, batches, optimizers, st.none() | st.floats(1, 1e6))
def test_there_and_back_again(lr, batch, to, optimizer, noise):
    there = scale_batch(lr, batch, to, optimizer, noise)
    assert scale_batch(there.rate, to, batch, optimizer, noise).rate == pytest.approx(lr)
    assert scale_batch(lr, batch, batch, optimizer, noise).rate == pytest.approx(lr)


@given(rates, batches, batches, optimizers, st.floats(1, 1e6))
def test_two_scalings_are_one(lr, batch, to, optimizer, noise):
    half = scale_batch(lr, batch, 77, optimizer, noise)
    assert scale_batch(half.rate, 77, to, optimizer, noise).rate == pytest.approx(
        scale_batch(lr, batch, to, optimizer, noise).rate
    )


@given(batches, batches, st.sampled_from(["sgd", "adamw"]))
def test_far_below_the_noise_scale_the_simple_rule_and_far_above_nothing(batch, to, optimizer):
    simple = scale_batch(1.0, batch, to, optimizer).rate
    assert scale_batch(1.0, batch, to, optimizer, 1e15).rate == pytest.approx(simple, rel=1e-6)
    assert scale_batch(1.0, batch, to, optimizer, 1e-9).rate == pytest.approx(1.0, rel=1e-6)


def test_the_critical_batch_size_in_numbers():
    """McCandlish et al. 2018: eta_max/(1 + B/batch) and steps = least (1 + B/batch): at batch = B half and twice."""
    noise = 1000.0
    huge, at = 10**9, 1000
    found = scale_batch(1.0, huge, at, "sgd", noise, steps=10_000)
    assert found.rate == pytest.approx(0.5, rel=1e-5)
    assert found.steps == 20_000
    assert scale_batch(1.0, 1, at, "sgd", noise).samples == pytest.approx(2, rel=2e-3)


def test_beyond_the_critical_batch_size_it_says_what_that_costs():
    found = scale_batch(0.1, 256, 8192, "sgd", 4000, steps=90_000)
    assert any("beyond the critical batch size 4000" in reason for reason in found.reasons)
    samples = (1 + 8192 / 4000) / (1 + 256 / 4000)
    assert found.steps == round(90_000 * samples / 32)
    assert not any("beyond" in reason for reason in scale_batch(0.1, 256, 1024, "sgd", 4000).reasons)


def test_steps_and_warmup_keep_their_samples():
    found = scale_batch(3e-4, 256, 2048, "adamw", steps=10_000, warmup=500)
    assert (found.steps, found.warmup) == (1250, 62)
    assert scale_batch(3e-4, 256, 2048, "adamw", warmup=0).warmup == 0
    assert scale_batch(3e-4, 256, 2048, "adamw", steps=2, warmup=1).warmup == 1


def test_decoupled_weight_decay_keeps_its_sum_over_the_run():
    for noise in (None, 3000.0):
        found = scale_batch(3e-4, 256, 2048, "adamw", noise, steps=10**6)
        assert found.rate * found.weight_decay * found.steps == pytest.approx(3e-4 * 10**6, rel=1e-4)
    assert scale_batch(3e-4, 256, 2048, "adam").weight_decay == 1


def test_settings_come_from_a_torch_optimizer():
    torch = pytest.importorskip("torch")
    parameters = [torch.zeros(1, requires_grad=True)]
    found = scale_batch(1e-3, 32, 64, torch.optim.AdamW(parameters, lr=1e-3, betas=(0.8, 0.99), eps=1e-6))
    assert (found.optimizer, found.betas, found.eps) == ("adamw", pytest.approx((0.6, 0.98)), 1e-6 / math.sqrt(2))
    assert scale_batch(0.1, 32, 64, torch.optim.SGD(parameters, lr=0.1, momentum=0.9)).momentum == 0.9
    assert scale_batch(0.1, 32, 64, torch.optim.RMSprop(parameters, alpha=0.98)).betas == pytest.approx((0.96,))


def test_a_measured_noise_is_taken():
    torch = pytest.importorskip("torch")
    from surefoot import training

    torch.manual_seed(0)
    data = torch.randn(200, 3), torch.randn(200, 1) + 5
    loss = training.supervised(torch.nn.functional.mse_loss)
    noise = training.gradient_noise(torch.nn.Linear(3, 1), loss, data)
    found = scale_batch(0.1, 64, 128, "sgd", noise)
    assert found.noise_scale == noise.scale


# simulation


def sgd_losses(rate, batch, samples, runs=2000, rng=0):
    """Mean excess risk of SGD on linear regression, fresh data, at a quarter, half and the end; and its deviation."""
    generator = np.random.default_rng(rng)
    scales, x = np.array([1.0, 0.5, 0.2]), np.ones((runs, 3))
    steps, kept = samples // batch, []
    for k in range(1, steps + 1):
        a = generator.standard_normal((runs, batch, 3)) * np.sqrt(scales)
        residual = np.einsum("rbd,rd->rb", a, x) - generator.standard_normal((runs, batch))
        x = x - rate * np.einsum("rbd,rb->rd", a, residual) / batch
        if k in (steps // 4, steps // 2, steps):
            loss = 0.5 * (scales * x**2).sum(1)
            kept.append((loss.mean(), loss.std() / math.sqrt(runs)))
    return np.array(kept)


def test_sgd_traces_the_same_loss_at_the_same_rate_over_batch_while_the_rate_is_small():
    base = sgd_losses(0.004, 2, 1600)
    for batch in (4, 8):
        rate = scale_batch(0.004, 2, batch, "sgd").rate
        scaled = sgd_losses(rate, batch, 1600, rng=batch)
        # the statistical error, and what second order in rate x curvature can do: half of it per unit of time
        allowed = 4 * np.hypot(base[:, 1], scaled[:, 1]) + 0.5 * rate * base[:, 0] * np.array([1.6, 3.2, 6.4]) * 0.5
        assert np.all(np.abs(scaled[:, 0] - base[:, 0]) < allowed)
        # the same rate at another batch is another curve: the test can tell
        assert np.all(np.abs(sgd_losses(0.004, batch, 1600, rng=batch)[:, 0] - base[:, 0])[:2] > allowed[:2])


def test_the_linear_rule_breaks_at_the_stability_limit():
    """A rate that is fine at batch 2 is multiplied beyond 2/lambda at batch 64."""
    fine = sgd_losses(0.1, 2, 1600, runs=200)
    rate = scale_batch(0.1, 2, 64, "sgd").rate
    assert rate > 2.0
    assert fine[-1, 0] < 1
    assert sgd_losses(rate, 64, 1600, runs=200)[-1, 0] > 10 * fine[-1, 0]


def adam_losses(rate, batch, samples, betas, eps, runs=2000):
    """Mean loss of Adam on x^2/2 with gradient noise 30/sqrt(batch), at a quarter, half and the end."""
    generator = np.random.default_rng(batch)
    x, m, v = np.full(runs, 1.0), np.zeros(runs), np.zeros(runs)
    steps, kept = samples // batch, []
    for k in range(1, steps + 1):
        g = x + 30 / math.sqrt(batch) * generator.standard_normal(runs)
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        x = x - rate * (m / (1 - betas[0] ** k)) / (np.sqrt(v / (1 - betas[1] ** k)) + eps)
        if k in (steps // 4, steps // 2, steps):
            kept.append((0.5 * x**2).mean())
    return np.array(kept)


def test_adam_traces_the_same_loss_by_the_square_root_rule_and_not_by_the_linear_one():
    """Noise far above the signal: sqrt(v) is the noise, so the move per sample goes as rate/sqrt(batch)."""
    samples, base = 12_000, adam_losses(0.01, 1, 12_000, (0.9, 0.999), 1e-8)
    for batch in (2, 4):
        scaled = scale_batch(0.01, 1, batch, "adam")
        same = adam_losses(scaled.rate, batch, samples, scaled.betas, scaled.eps)
        linear = adam_losses(0.01 * batch, batch, samples, scaled.betas, scaled.eps)
        assert np.abs(same / base - 1).max() < 0.1
        assert np.abs(linear / base - 1).max() > 0.3


# input


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"lr": 0}, "lr must be positive"),
        ({"lr": math.nan}, "lr must be positive"),
        ({"batch": -1}, "batch must be positive"),
        ({"to": math.inf}, "to must be positive"),
        ({"optimizer": "adan"}, "no rule for the optimizer 'adan'"),
        ({"noise_scale": 0}, "noise_scale must be positive"),
        ({"steps": 0}, "whole number >= 1"),
        ({"warmup": -1}, "whole number"),
        ({"momentum": 1.0}, "momentum must be in"),
        ({"betas": (0.9, 1.0), "optimizer": "adam"}, "betas must be in"),
        ({"betas": (0.9, 0.99)}, "has no betas"),
        ({"eps": 0, "optimizer": "adam"}, "eps must be positive"),
    ],
)
def test_bad_numbers_are_refused(arguments, says):
    with pytest.raises(InvalidInput, match=says):
        scale_batch(**{"lr": 0.1, "batch": 32, "to": 64, **arguments})


def test_bad_types_are_refused():
    with pytest.raises(InvalidType, match="lr must be"):
        scale_batch("fast", 32, 64)
    with pytest.raises(InvalidType, match="name or a torch optimizer"):
        scale_batch(0.1, 32, 64, 3)
    with pytest.raises(InvalidType, match="steps must be a whole number"):
        scale_batch(0.1, 32, 64, steps=1.5)


# the command


def test_the_command_prints_the_rate_and_the_reasons(capsys):
    assert run(["scale", "--lr", "3e-4", "--batch", "256", "--to", "2048", "--optimizer", "adamw"]) == 0
    out = capsys.readouterr().out
    assert "0.0003 -> 0.000848528  (x 2.828, square root rule)" in out
    assert "Malladi" in out


def test_the_command_prints_json(capsys):
    arguments = ["--lr", "0.1", "--batch", "256", "--to", "512", "--noise-scale", "1000", "--steps", "100", "--json"]
    assert run(["scale", *arguments]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["kind"] == "batch scaling"
    assert BatchScaling.from_dict(record) == scale_batch(0.1, 256, 512, "sgd", 1000, steps=100)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--lr", "0.1", "--batch", "256"], "--to"),
        (["--lr", "0", "--batch", "256", "--to", "1"], "lr must be positive"),
        (["--lr", "1", "--batch", "2", "--to", "1", "--optimizer", "x"], "no rule for the optimizer"),
        (["--lr", "1", "--batch", "2", "--to", "1", "--betas", "a"], "--betas takes numbers"),
    ],
)
def test_the_command_refuses(capsys, arguments, says):
    assert run(["scale", *arguments]) == 2
    assert says in capsys.readouterr().err


def test_the_arithmetic_needs_no_torch():
    code = "import sys, surefoot.recipes._batch_size; assert 'torch' not in sys.modules and 'scipy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("k", [0.25, 4, 32])
def test_what_the_rules_of_sgd_keep_constant(k):
    """By the exact moments of one step: drift and diffusion per sample, or the covariance of one update."""
    rng = np.random.default_rng(0)
    problem = LeastSquares(rng.standard_normal((50, 3)), rng.standard_normal(50))
    batch = 32
    advice = scale_batch(0.01, batch, k * batch, "sgd")
    before = step_moments(problem, rate=0.01, batch=batch)
    linear = step_moments(problem, rate=advice.rate, batch=int(k * batch))
    root = step_moments(problem, rate=advice.square_root, batch=int(k * batch))
    np.testing.assert_allclose(linear.drift / (k * batch), before.drift / batch)
    np.testing.assert_allclose(linear.covariance / (k * batch), before.covariance / batch)
    np.testing.assert_allclose(root.covariance, before.covariance)
    np.testing.assert_allclose(root.drift / (k * batch), before.drift / batch / k**0.5)
    assert f"1/{k**0.5:.4g} of the drift" in str(advice)
    assert scale_batch(0.01, batch, k * batch, "adamw").square_root is None
