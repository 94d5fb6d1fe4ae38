"""Lightning with the callbacks: rescued, bitwise the same where nothing happens, resumed."""

import contextlib
import warnings

import pytest

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pl = pytest.importorskip("lightning.pytorch")
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from surefoot.errors import InvalidInput, LossFailed
from surefoot.integrations._rehearsed import rehearsed, warmed_up
from surefoot.integrations.lightning import GuardCallback, PilotCallback
from surefoot.rules import Watch
from surefoot.training import Guard
from surefoot.training.loop import Loop

pytestmark = pytest.mark.filterwarnings("ignore")


def loss_of(model, batch):
    x, y = batch
    return nn.functional.cross_entropy(model.net(x), y)


class Small(pl.LightningModule):
    """A classifier."""

    def __init__(self, rate=0.01, manual=False, dropout=0.1):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 2))
        self.rate, self.automatic_optimization = rate, not manual
        self.rates = []

    def training_step(self, batch, index):
        return loss_of(self, batch)

    def on_before_zero_grad(self, optimizer):
        self.rates.append(optimizer.param_groups[0]["lr"])

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=self.rate)
        return [optimizer], [{"scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 10, 0.9), "interval": "step"}]


def loader(bad=()):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, 4, generator=generator)
    y = (x[:, 0] > x[:, 1]).long()
    x[list(bad)] = float("nan")
    return DataLoader(TensorDataset(x, y), batch_size=8)


def fit(callbacks, model=None, bad=(), steps=40, resume=None, **more):
    pl.seed_everything(1, verbose=False)
    trainer = pl.Trainer(
        max_steps=steps, callbacks=callbacks, enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
        **{"logger": False, "enable_checkpointing": False, **more},
    )  # fmt: skip
    model = Small() if model is None else model
    trainer.fit(model, loader(bad), ckpt_path=resume)
    return trainer, model


def weights(model):
    return torch.cat([p.detach().ravel() for p in model.parameters()])


def final_loss(model):
    model.eval()
    with torch.no_grad():
        return loss_of(model, loader().dataset.tensors).item()


ALL = {"precision": "bf16-mixed", "accumulate_grad_batches": 2, "gradient_clip_val": 0.05}


@pytest.mark.parametrize(
    "more", [{}, {"accumulate_grad_batches": 3}, {"gradient_clip_val": 0.5}, {"precision": "bf16-mixed"}, ALL], ids=str
)
def test_where_nothing_happens_the_run_is_the_plain_one(more):
    _, plain = fit([], **more)
    callback = GuardCallback()
    _, guarded = fit([callback], **more)
    assert torch.equal(weights(plain), weights(guarded))
    assert not callback.loop.events
    assert callback.loop.updates == 40


@pytest.mark.parametrize("more", [{}, ALL], ids=["plain", "bf16-mixed, accumulate, clip"])
def test_a_bad_row_is_left_out(more):
    trainer, plain = fit([], bad=[3], **more)
    assert torch.isnan(weights(plain)).any()
    callback = GuardCallback()
    trainer, guarded = fit([callback], bad=[3], **more)
    assert torch.isfinite(weights(guarded)).all()
    assert "not finite" in callback.loop.explain()
    assert final_loss(guarded) < 0.6
    assert trainer.global_step == callback.loop.updates == 40


def test_without_a_rate():
    losses = []
    for given in (1e-6, 10.0):
        callback = PilotCallback()
        _, model = fit([callback], Small(given), steps=120)
        losses.append(final_loss(model))
        assert "chose" in callback.said
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)  # the rate that was given plays no part
    assert losses[0] < 0.3


def test_without_a_rate_it_is_the_bare_loop_to_rounding():
    callback = PilotCallback()
    _, theirs = fit([callback], Small(1e-6, dropout=0.0), steps=64)
    pl.seed_everything(1, verbose=False)
    ours = Small(1e-6, dropout=0.0)
    optimizer = torch.optim.Adam(ours.parameters(), lr=ours.rate)
    rate, warmup, said = rehearsed(ours, loss_of, loader(), optimizer, 64)
    loop = Loop(ours, optimizer, watch=Watch(), rule=warmed_up(rate, warmup), total_steps=64)
    for _ in range(2):
        for batch in loader():
            loop.step(lambda batch=batch: loss_of(ours, batch))
    assert said == callback.said
    torch.testing.assert_close(weights(theirs), weights(ours), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("precision", ["64-true", "bf16-true", "bf16-mixed"])
def test_a_rehearsal_is_in_the_precision_of_the_run(precision):
    callback = PilotCallback()
    _, model = fit([callback], steps=60, precision=precision)
    assert torch.isfinite(weights(model)).all()
    rate = float(callback.said.split("chose ")[1].split(";")[0])
    _, model = fit([given := PilotCallback(loss=loss_of)], steps=60, precision=precision)
    assert f"chose {rate:.3g};" in given.said  # what training_step returns is that loss


class AsksItsTrainer(Small):
    def training_step(self, batch, index):
        return super().training_step(batch, index) * (1 + self.trainer.current_epoch)


class Raises(Small):
    def training_step(self, batch, index):
        return loss_of(self, (batch[0][:, :3], batch[1]))


def test_what_a_rehearsal_cannot_do_is_said():
    with pytest.raises(LossFailed, match=r"asks for its trainer.*PilotCallback\(loss="):
        fit([PilotCallback()], AsksItsTrainer())
    fit([PilotCallback(loss=loss_of)], AsksItsTrainer())
    with pytest.raises(LossFailed, match=r"raised RuntimeError at update 1 of the rehearsal: mat1") as seen:
        fit([PilotCallback()], Raises())
    assert type(seen.value.__cause__) is RuntimeError


@pytest.mark.parametrize("kind", [GuardCallback, PilotCallback])
def test_a_checkpoint_goes_on_bit_for_bit(tmp_path, kind):
    """Lightning keeps no random states, so there is no dropout here; what it saves in the middle of an epoch counts."""
    keep = {"enable_checkpointing": True, "default_root_dir": tmp_path}
    callback = kind()
    saver = pl.callbacks.ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=16, save_top_k=-1)
    _, whole = fit([callback, saver], Small(dropout=0.0), bad=[3], **keep)
    second = kind()
    saved = next(path for path in tmp_path.glob("*.ckpt") if "step=32" in path.name)
    trainer, rest = fit([second], Small(dropout=0.0), bad=[3], resume=saved)
    assert second.loop.updates == callback.loop.updates == trainer.global_step == 40
    assert second.loop.explain() == callback.loop.explain()
    assert torch.equal(weights(whole), weights(rest))


class Overflowing(Small):
    """Its first gradients are too large for float16, as with a loss scale that is too high."""

    def on_after_backward(self):
        if self.trainer.global_step < 3:
            self.net[0].weight.grad[0, 0] = float("inf")


@pytest.mark.parametrize("bad", [[], [100]], ids=["nothing wrong", "a bad row"])
def test_a_loss_scale_that_is_too_high_is_no_fault(bad):
    runs = []
    for callbacks in ([], [GuardCallback()]):
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16, growth_interval=4)
        precision = pl.plugins.MixedPrecision("16-mixed", "cpu", scaler=scaler)
        precision.forward_context = contextlib.nullcontext  # float16 itself is for devices
        runs.append(fit(callbacks, Overflowing(), bad=bad, plugins=[precision])[1])
    plain, guarded = runs
    assert torch.isfinite(weights(guarded)).all()
    assert callbacks[0].loop.explain().count("not finite") == len(bad)
    assert torch.equal(weights(plain), weights(guarded))  # a scaler leaves out what is not finite by itself


def test_loggers_get_the_rate_that_ran():
    seen = []

    class Log(pl.loggers.logger.DummyLogger):
        def log_metrics(self, metrics, step=None):
            seen.append(metrics.get("surefoot/rate"))

    callback = PilotCallback()
    fit([callback], steps=60, logger=Log(), log_every_n_steps=1)
    assert len(seen) == 60
    assert seen[-1] == pytest.approx(callback.loop.rate)
    assert seen[-1] < 0.2 * max(seen)
    assert seen[0] < max(seen)


class Manual(Small):
    """Manual optimization as the page shows it."""

    def on_train_start(self):
        self.guard = Guard(self, self.optimizers())

    def training_step(self, batch, index):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        loss = loss_of(self, batch)
        self.manual_backward(loss)
        self.guard.observe(loss)
        self.clip_gradients(optimizer, gradient_clip_val=0.5)
        optimizer.step()

    def on_save_checkpoint(self, checkpoint):
        checkpoint["guard"] = self.guard.state_dict()


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_manual_optimization(precision, tmp_path):
    trainer, model = fit([], Manual(manual=True), bad=[3], precision=precision)
    assert torch.isfinite(weights(model)).all()
    assert "batch left out" in model.guard.explain()
    assert trainer.global_step == model.guard.updates == 40  # max_steps counts as ever
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    assert torch.load(tmp_path / "end.ckpt", weights_only=False)["guard"]["count"] == 40


def test_what_it_cannot_guard_is_said():
    with pytest.raises(InvalidInput, match="manual"):
        fit([GuardCallback()], Small(manual=True))
