"""Lightning with the callbacks: rescued, bitwise the same where nothing happens, resumed."""

import warnings

import pytest

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pl = pytest.importorskip("lightning.pytorch")
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from surefoot.errors import InvalidInput
from surefoot.integrations.lightning import GuardCallback, PilotCallback

pytestmark = pytest.mark.filterwarnings("ignore")


def loss_of(model, batch):
    x, y = batch
    return nn.functional.cross_entropy(model.net(x), y)


class Small(pl.LightningModule):
    """A classifier."""

    def __init__(self, rate=0.01, manual=False):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Dropout(0.1), nn.Linear(16, 2))
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
        max_steps=steps, callbacks=callbacks, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu", **more,
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


@pytest.mark.parametrize("more", [{}, {"accumulate_grad_batches": 3}, {"gradient_clip_val": 0.5}], ids=str)
def test_where_nothing_happens_the_run_is_the_plain_one(more):
    _, plain = fit([], **more)
    callback = GuardCallback()
    _, guarded = fit([callback], **more)
    assert torch.equal(weights(plain), weights(guarded))
    assert not callback.loop.events
    assert callback.loop.updates == 40


def test_a_bad_row_is_left_out():
    _, plain = fit([], bad=[3])
    assert torch.isnan(weights(plain)).any()
    callback = GuardCallback()
    _, guarded = fit([callback], bad=[3])
    assert torch.isfinite(weights(guarded)).all()
    assert "not finite" in callback.loop.report()
    assert final_loss(guarded) < 0.6


def test_without_a_rate():
    losses = []
    for given in (1e-6, 10.0):
        callback = PilotCallback(loss_of)
        _, model = fit([callback], Small(given), steps=120)
        losses.append(final_loss(model))
        assert "chose" in callback.said
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)  # the rate that was given plays no part
    assert losses[0] < 0.3


def test_a_checkpoint_goes_on_bit_for_bit(tmp_path):
    callback = GuardCallback()
    _, whole = fit([callback], bad=[3])
    first = GuardCallback()
    trainer, _ = fit([first], bad=[3], steps=32)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    second = GuardCallback()
    _, rest = fit([second], Small(), bad=[3], resume=tmp_path / "half.ckpt")
    assert second.loop.updates == callback.loop.updates == 40
    assert second.loop.report().startswith(first.loop.report())
    assert torch.isfinite(weights(rest)).all()
    assert weights(whole).shape == weights(rest).shape


def test_what_it_cannot_guard_is_said():
    with pytest.raises(InvalidInput, match="manual"):
        fit([GuardCallback()], Small(manual=True))
