"""Full-batch descent of a model as a map and as a problem: the same moves as torch, for many rates at once."""

import numpy as np
import pytest
import torch
from torch import nn

import surefoot as sf
from surefoot.dynamics import bifurcations, diagram, orbit
from surefoot.errors import InvalidInput, InvalidType, NotFinite, NotRepeatable, NotSmooth
from surefoot.training import Task, as_map, as_problem, hessian, supervised
from surefoot.training.tasks.as_problem import full_batch
from surefoot.training.tasks.rnn import two_unit_rnn

mse, ce = supervised(nn.functional.mse_loss), supervised(nn.functional.cross_entropy)


def small(dtype=torch.float64):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(dtype)
    return model, (torch.randn(12, 3).to(dtype), torch.randint(2, (12,)))


def trained(model, loss, batches, rate, steps, clip=None):
    """Plain torch: the mean over all samples, SGD."""
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    total = sum(len(batch[0]) for batch in batches)
    for _ in range(steps):
        optimizer.zero_grad()
        for batch in batches:
            (loss(model, batch) * len(batch[0]) / total).backward()
        if clip is not None:
            norm = torch.linalg.vector_norm(torch.cat([p.grad.reshape(-1) for p in model.parameters()]))
            for p in model.parameters():
                p.grad *= min(1.0, clip / norm.item())
        optimizer.step()
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()]).double().numpy()


@pytest.mark.parametrize("clip", [None, 0.05])
def test_an_orbit_is_what_torch_does(clip):
    model, (x, y) = small()
    batches = [(x[:8], y[:8]), (x[8:], y[8:])]
    update = as_map(model, ce, batches, clip=clip)
    assert update.batched
    ends = orbit(update, [0.1, 0.7], update.start, steps=20, keep=1)[0]
    for i, rate in enumerate((0.1, 0.7)):
        expected = trained(small()[0], ce, batches, rate, 20, clip)
        np.testing.assert_allclose(ends[:, i], expected, rtol=1e-10, atol=1e-12)


def test_the_model_is_left_as_it_is():
    model, batch = small(torch.float32)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    rng = torch.get_rng_state()
    update = as_map(model, ce, batch)
    orbit(update, [0.5], update.start, steps=5)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), rng)
    assert all(p.grad is None for p in model.parameters())


class Stubborn(nn.Linear):
    """What torch cannot batch: a Python decision about a value."""

    def forward(self, x):
        y = super().forward(x)
        return y if y.sum().item() > 1e9 else torch.tanh(y)


def test_a_model_that_cannot_be_batched_is_run_one_by_one():
    torch.manual_seed(0)
    model = Stubborn(3, 1).double()
    x = torch.randn(8, 3).double()
    update = as_map(model, mse, (x, x[:, :1]))
    assert not update.batched
    both = orbit(update, [0.1, 0.4], update.start, steps=6)
    for i, rate in enumerate((0.1, 0.4)):
        alone = orbit(update, [rate], update.start, steps=6)
        np.testing.assert_allclose(both[..., i], alone[..., 0], rtol=1e-14)


def test_normalisation_layers_keep_their_statistics():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()
    x, y = torch.randn(10, 3).double(), torch.randint(2, (10,))
    before = model[1].running_mean.clone()
    update = as_map(model, ce, (x, y))
    end = orbit(update, [0.2], update.start, steps=4, keep=1)[0, :, 0]
    assert torch.equal(model[1].running_mean, before)
    np.testing.assert_allclose(end, trained(model, ce, [(x, y)], 0.2, 4), rtol=1e-9, atol=1e-12)


def test_derivatives_are_those_of_the_hessian():
    model, batch = small()
    update = as_map(model, ce, batch)
    jacobian, slope = update.derivatives(update.start[:, None], np.array([0.3]))
    H = hessian(model, ce, batch)
    whole = np.stack([H @ unit for unit in np.eye(H.shape[0])], axis=1)
    np.testing.assert_allclose(jacobian[..., 0], np.eye(len(whole)) - 0.3 * whole, atol=1e-12)
    np.testing.assert_allclose(slope[:, 0], -H.gradient(), atol=1e-13)
    with pytest.raises(InvalidInput, match="clipped"):
        as_map(model, ce, batch, clip=1.0).derivatives(update.start[:, None], np.ones(1))


# --- a network of two units


@pytest.fixture(scope="module")
def two_units():
    return two_unit_rnn()


def test_its_first_threshold_is_two_over_the_sharpness(two_units):
    update, minimum = two_units
    jacobian, slope = update.derivatives(minimum[:, None], np.ones(1))
    assert np.abs(slope).max() < 1e-14
    curvatures = np.linalg.eigvalsh(np.eye(4) - jacobian[..., 0])
    assert curvatures[0] > 0.01
    found = bifurcations(update, (3.0, 5.5), minimum, 2, settle=128)
    assert found.parameters[0] == pytest.approx(2 / curvatures[-1], rel=1e-10)
    assert [d.period for d in found.doublings] == [1, 2]


def test_between_thresholds_the_period_is_the_one_that_was_solved_for(two_units):
    update, minimum = two_units
    # beside thresholds found by solving, not by watching
    seen = diagram(update, [3.3, 4.2, 4.95, 5.05, 6.2], minimum + 1e-3, steps=800, keep=32)
    assert seen.period.tolist() == [1, 2, 4, 8, 0]
    assert (seen.exponent[:4] < 0).all()
    assert seen.exponent[4] > 0.2
    assert not seen.left.any()


# --- as a problem


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_problem_has_the_models_derivatives(dtype):
    model, batch = small(dtype)
    problem = as_problem(model, ce, batch)
    H = hessian(model, ce, batch)
    x = problem.start()
    near = {"rtol": 1e-5, "atol": 1e-6} if dtype is torch.float32 else {"rtol": 1e-11, "atol": 1e-13}
    assert problem.value(x) == pytest.approx(H.value, rel=near["rtol"])
    np.testing.assert_allclose(problem.gradient(x), H.gradient(), **near)
    v = np.random.default_rng(0).standard_normal(problem.size)
    np.testing.assert_allclose(problem.hessian_product(x, v), H @ v, **near)
    assert problem.hessian(x).precision == torch.finfo(dtype).eps
    assert sf.spectrum(problem.hessian(x)).largest.contains(sf.spectrum(H, rtol=1e-4).largest.midpoint)


def test_a_run_of_descend_is_training():
    model, batch = small()
    problem = as_problem(model, ce, batch, name="small")
    assert problem.name.startswith("small, full batch")
    run = sf.descend(problem, rule=sf.rules.Constant(step=0.3), steps=15, tol=0.0)
    np.testing.assert_allclose(run.x, trained(model, ce, [batch], 0.3, 15), rtol=1e-9)
    with pytest.raises(NotSmooth, match="at a point"):
        problem.curvature()


def test_a_task_as_a_problem_takes_all_its_samples_or_some():
    model, (x, y) = small()
    model.insert(1, nn.Dropout(0.5))
    task = Task(model, ce, (x, y), batch_size=4)
    model.eval()
    everything = full_batch(task)
    assert everything.value(everything.start()) == pytest.approx(ce(model, (x, y)).item(), rel=1e-12)
    assert "5 samples" in full_batch(task, 5).name


# --- what is wrong is said


def test_what_cannot_be_a_map():
    model, (x, y) = small()
    with pytest.raises(NotRepeatable, match="eval"):
        as_map(nn.Sequential(model, nn.Dropout(0.5)), ce, (x, y))
    with pytest.raises(InvalidType, match="supervised"):
        as_map(model, nn.CrossEntropyLoss(), (x, y))
    with pytest.raises(InvalidInput, match="clip"):
        as_map(model, ce, (x, y), clip=0.0)
    with pytest.raises(NotFinite, match="loss is nan"):
        as_map(model, ce, (x * float("nan"), y))
    with pytest.raises(InvalidInput, match="no batch"):
        as_map(model, ce, [])
    with pytest.raises(InvalidInput, match="one number"):
        as_map(model, lambda model, batch: model(batch[0]), (x, y))
    update = as_map(model, ce, (x, y))
    with pytest.raises(InvalidInput, match="shape"):
        orbit(update, [0.1], [1.0, 2.0], steps=2)
    with pytest.raises(InvalidType, match="real"):
        update(update.start[:, None] + 0j, np.ones(1))
