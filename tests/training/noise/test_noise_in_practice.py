"""The noise scale where people meet it: in the facts about a task, in a log, and as what training does."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from surefoot.errors import InvalidInput, UnknownTarget
from surefoot.recipes import clip_advice, logged_norms
from surefoot.training import Task, gradient_noise, supervised

loss = supervised(functional.cross_entropy)


def data(samples=256):
    torch.manual_seed(0)
    x = torch.randn(samples, 5)
    return x, (x[:, :3] + torch.randn(samples, 3)).argmax(1)


def test_a_task_says_its_noise_scale():
    task = Task(lambda: nn.Linear(5, 3), loss, data(), optimizers={"SGD": lambda p, lr: torch.optim.SGD(p, lr=lr)})
    assert "samples" in task.describe()["gradient noise scale"]
    assert task.describe() == task.describe()


def test_dropout_is_off_while_noise_is_measured():
    model = nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.5), nn.Linear(8, 3))
    assert "gradient noise scale" in Task(model, loss, data(), name="t").describe()


def test_a_task_without_a_noise_scale_has_no_such_fact():
    """Of one sample nothing is known, and batch normalisation has nothing to normalise over in batches of one."""
    one = Task(nn.Linear(5, 3), loss, data(1), name="t")
    normed = Task(nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 3)), loss, data(20), name="t")
    assert all("gradient noise scale" not in task.describe() for task in (one, normed))


def test_the_scale_predicts_how_much_a_batch_makes_of_a_step():
    """The best decrease of one step, over all rates, with batches of B against that of the full gradient."""
    torch.set_default_dtype(torch.float64)
    try:
        x = data(2000)[0].double()
        model = nn.Linear(5, 1, bias=False)
        mse = supervised(functional.mse_loss)
        target = (x @ torch.ones(5, 1)) + torch.randn(2000, 1)
        noise = gradient_noise(model, mse, (x, target), whole=True)
        H = 2 * (x.T @ x / 2000).numpy()
        w = model.weight.detach().numpy().ravel()
        g = (2 * (x.numpy() * (x.numpy() @ w - target.numpy().ravel())[:, None])).astype(float)
    finally:
        torch.set_default_dtype(torch.float32)
    G, rng = g.mean(axis=0), np.random.default_rng(0)
    full = (G @ G) ** 2 / (2 * G @ H @ G)
    for batch in (2, 16):
        drawn = np.stack([g[rng.integers(2000, size=batch)].mean(axis=0) for _ in range(4000)])
        # E f(x - r g_B) = f - r |G|^2 + r^2 E g_B'H g_B/2, at the best r
        best = (G @ G) ** 2 / (2 * np.einsum("bi,ij,bj->b", drawn, H, drawn).mean())
        assert noise.progress(batch) == pytest.approx(best / full, rel=0.15)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json"])
def test_norms_from_a_log(tmp_path, kind):
    path, norms = tmp_path / f"log.{kind}", [1.0, 2.5, 3.0]
    rows = [{"step": i, "grad_norm": n} for i, n in enumerate(norms)]
    if kind == "csv":
        path.write_text("step,loss,grad_norm\n" + "\n".join(f"{i},0.1,{n}" for i, n in enumerate(norms)) + "\n")
    elif kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, [*rows, {"step": 4, "loss": 0.2}])) + "\n")
    else:
        path.write_text(json.dumps({"log_history": rows}))
    assert logged_norms(path) == norms
    assert clip_advice(logged_norms(path, "grad_norm"), 1.0).clip_cut == pytest.approx(2 / 3)


def test_a_norm_that_a_logger_could_not_write_is_kept(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"gnorm": 1.0}\n{"gnorm": null}\n')
    assert clip_advice(logged_norms(path)).not_finite == 1


@pytest.mark.parametrize(
    ("text", "column", "error", "message"),
    [
        ("step,lr\n0,1\n", None, InvalidInput, "it has step, lr"),
        ("step,lr\n0,1\n", "norm", InvalidInput, "'norm'"),
        ("step,gnorm\n0,big\n", None, InvalidInput, "step 0: the norm must be a number; got 'big'"),
        (None, None, UnknownTarget, "no such file"),
    ],
)
def test_logs_without_norms(tmp_path, text, column, error, message):
    path = tmp_path / "log.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(error, match=message):
        logged_norms(path, column)
