"""Trainer with the callbacks: rescued, bitwise the same where nothing happens, resumed, and the log shows what ran."""

import copy

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from integrations.tiny_models import gpt2, lora
from torch import nn
from transformers import Trainer, TrainingArguments

import surefoot as sf
from surefoot.errors import InvalidInput, InvalidType, LossFailed
from surefoot.integrations._rehearsed import warmed_up
from surefoot.integrations.transformers import GuardCallback, PilotCallback, range_test
from surefoot.rules import Watch
from surefoot.training.loop import Loop

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


class Small(nn.Module):
    """A classifier with a loss of its own, as models of the library have."""

    def __init__(self, dropout=0.1):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 2))

    def forward(self, x, labels=None):
        logits = self.net(x)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def rows(bad=()):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, 4, generator=generator)
    y = (x[:, 0] > x[:, 1]).long()
    for i in bad:
        x[i] = float("nan")
    return [{"x": x[i], "labels": y[i]} for i in range(len(x))]


def trainer(tmp_path, data, callbacks, make=Small, collate=None, **more):
    settings = {
        "output_dir": str(tmp_path),
        "per_device_train_batch_size": 8,
        "max_steps": 40,
        "learning_rate": 0.01,
        "logging_steps": 5,
        "report_to": [],
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
        "seed": 0,
        **more,
    }
    return Trainer(
        model=make(),
        args=TrainingArguments(**settings),
        train_dataset=data,
        data_collator=collate,
        callbacks=[copy.copy(c) for c in callbacks],
    )


def weights(run):
    return torch.cat([p.detach().ravel() for p in run.model.parameters()])


def guard_of(run):
    return next(c for c in run.callback_handler.callbacks if isinstance(c, GuardCallback))


def final_loss(run):
    data = rows()
    run.model.eval()
    with torch.no_grad():
        out = run.model(torch.stack([r["x"] for r in data]), torch.stack([r["labels"] for r in data]))
    return out["loss"].item()


@pytest.mark.parametrize("accumulate", [1, 3])
def test_where_nothing_happens_the_run_is_the_plain_one(tmp_path, accumulate):
    runs = []
    for callbacks in ([], [GuardCallback()]):
        run = trainer(tmp_path, rows(), callbacks, gradient_accumulation_steps=accumulate, warmup_steps=5)
        run.train()
        runs.append(run)
    plain, guarded = runs
    assert torch.equal(weights(plain), weights(guarded))
    assert not guard_of(guarded).loop.events
    rates = [[entry["learning_rate"] for entry in run.state.log_history if "learning_rate" in entry] for run in runs]
    assert rates[0] == rates[1]
    assert guarded.args.max_grad_norm == plain.args.max_grad_norm


def test_a_bad_row_is_left_out(tmp_path):
    plain = trainer(tmp_path, rows(bad=[3]), [])
    plain.train()
    assert torch.isnan(weights(plain)).any()
    guarded = trainer(tmp_path, rows(bad=[3]), [GuardCallback()])
    guarded.train()
    assert torch.isfinite(weights(guarded)).all()
    assert "not finite" in guard_of(guarded).loop.explain()
    assert final_loss(guarded) < 0.6


def test_without_a_rate(tmp_path):
    losses = []
    for given in (1e-6, 10.0):
        run = trainer(tmp_path, rows(), [PilotCallback()], learning_rate=given, max_steps=120, warmup_steps=10)
        run.train()
        losses.append(final_loss(run))
        callback = guard_of(run)
        assert "chose" in callback.said
        logged = [entry["learning_rate"] for entry in run.state.log_history if "learning_rate" in entry]
        assert max(logged) == pytest.approx(float(callback.said.split("chose ")[1].split(";")[0]), rel=0.01)
        assert logged[0] < max(logged)
        assert logged[-1] < 0.2 * max(logged)
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)  # the rate that was given plays no part
    assert losses[0] < 0.3


class Watched(Small):
    """Remembers the batches that it was trained on; a copy of it remembers its own."""

    def __init__(self):
        super().__init__(dropout=0.0)
        self.seen = []

    def forward(self, x, labels=None):
        self.seen.append((x, labels))
        return super().forward(x, labels)


def test_without_a_rate_it_is_the_bare_loop_to_rounding(tmp_path):
    theirs = trainer(tmp_path, rows(), [PilotCallback()], make=Watched, learning_rate=1e-6, max_steps=60)
    theirs.train()
    assert len(theirs.model.seen) == 60
    found = guard_of(theirs).state()
    ours = trainer(tmp_path, rows(), [], make=Watched, learning_rate=1e-6, max_steps=60)
    rule = warmed_up(found["rate"], found["warmup"])
    loop = Loop(ours.model, ours.create_optimizer(), watch=Watch(), rule=rule, clip=1.0, total_steps=60)
    for x, labels in theirs.model.seen:
        loop.step(lambda x=x, labels=labels: ours.model(x, labels)["loss"])
    torch.testing.assert_close(weights(theirs), weights(ours), rtol=1e-4, atol=1e-6)


def kept(tmp_path, callback, bad=()):
    run = trainer(tmp_path / "a", rows(bad), [callback], save_strategy="steps", save_steps=20)
    run.train()
    return run, str(tmp_path / "a" / "checkpoint-20")


@pytest.mark.parametrize("folder", ["a", "elsewhere"])
@pytest.mark.parametrize("kind", [GuardCallback, PilotCallback])
def test_a_checkpoint_goes_on_bit_for_bit(tmp_path, kind, folder):
    """Also from a checkpoint that is not in the run's own folder, and with the rate that was found at the start."""
    bad = [3] if kind is GuardCallback else []
    whole, saved = kept(tmp_path, kind(), bad)
    rest = trainer(tmp_path / folder, rows(bad), [kind()])
    rest.train(resume_from_checkpoint=saved)
    assert torch.equal(weights(whole), weights(rest))
    assert guard_of(rest).loop.updates == guard_of(whole).loop.updates == 40
    assert guard_of(rest).loop.explain() == guard_of(whole).loop.explain()
    assert rates_of(rest) == rates_of(whole)
    assert getattr(guard_of(rest), "said", "") == getattr(guard_of(whole), "said", "")
    assert torch.load(f"{saved}/training_args.bin", weights_only=False).max_grad_norm == 1.0  # as it was given


def rates_of(run):
    return [entry["learning_rate"] for entry in run.state.log_history if "learning_rate" in entry]


def test_a_run_that_goes_on_for_longer_than_it_was_to_cools_down_later(tmp_path):
    _, saved = kept(tmp_path, PilotCallback())
    rest = trainer(tmp_path, rows(), [PilotCallback()], max_steps=60)
    rest.train(resume_from_checkpoint=saved)
    rates = rates_of(rest)[-8:]  # of updates 25, 30, ... 60; the first run's cool-down began at 32, this one's at 48
    assert rates[0] == rates[4] == max(rates)
    assert 0 < rates[-1] < 0.1 * rates[0]


def test_what_a_callback_changes_is_put_back_whatever_is_raised(tmp_path):
    class Raises(Small):
        calls = 0

        def forward(self, x, labels=None):
            self.calls += 1
            if self.calls == 6:
                raise KeyError("an entry of the batch")
            return super().forward(x, labels)

    run = trainer(tmp_path, rows(), [GuardCallback()], Raises)
    with pytest.raises(KeyError, match="an entry"):  # the caller's own, as in a run without the callback
        run.train()
    assert run.args.max_grad_norm == 1.0
    assert not run.model._forward_hooks
    run.train()
    assert guard_of(run).loop.updates == 40


def test_what_a_model_raises_in_a_rehearsal_says_where(tmp_path):
    class Raises(Small):
        def forward(self, x, labels=None):
            if x[:, 0].max() > 2:
                raise KeyError("an entry of the batch")
            return super().forward(x, labels)

    for start in (trainer(tmp_path, rows(), [PilotCallback()], Raises).train,
                  lambda: range_test(trainer(tmp_path, rows(), [], Raises))):  # fmt: skip
        with pytest.raises(LossFailed, match=r"raised KeyError at update \d+ of the rehearsal: 'an entry") as seen:
            start()
        assert isinstance(seen.value.__cause__, KeyError)


def test_a_rehearsal_makes_its_updates_of_as_many_batches_as_the_run(tmp_path):
    """A batch of 32 and four of 8 are the same updates, so the same rate, to rounding."""
    said = []
    for parts in (1, 4):
        run = trainer(
            tmp_path, rows(), [PilotCallback()], lambda: Small(dropout=0.0), per_device_train_batch_size=32 // parts,
            gradient_accumulation_steps=parts,
        )  # fmt: skip
        run.train()
        said.append(float(guard_of(run).said.split("chose ")[1].split(";")[0]))
    assert said[0] == pytest.approx(said[1], rel=1e-3)


def test_a_model_without_a_loss_is_told(tmp_path):
    run = trainer(tmp_path, rows(), [GuardCallback()])
    run.compute_loss = lambda model, inputs, **_: nn.functional.cross_entropy(model.net(inputs["x"]), inputs["labels"])
    with pytest.raises(InvalidInput, match="no loss"):
        run.train()


def sentences(samples=42):
    """Of unequal lengths: an update's parts have unequal numbers of tokens."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(4, 10, (samples,), generator=generator).tolist()
    return [{"input_ids": torch.randint(1, 31, (n,), generator=generator)} for n in lengths]


def padded(rows):
    ids = nn.utils.rnn.pad_sequence([row["input_ids"] for row in rows], batch_first=True)
    return {"input_ids": ids, "attention_mask": (ids > 0).long(), "labels": ids.masked_fill(ids == 0, -100)}


@pytest.mark.parametrize(
    ("make", "more"),
    [
        (gpt2, {"bf16": True}),
        (gpt2, {"gradient_accumulation_steps": 4, "num_train_epochs": 1, "max_steps": -1}),
        (lora, {"lr_scheduler_type": "cosine", "warmup_steps": 6}),
    ],
    ids=["bf16, tied weights", "token-weighted, short last group", "adapters, warm-up from 0"],
)
def test_language_models_run_bitwise_as_without(make, more, tmp_path):
    runs = []
    for callbacks in ([], [GuardCallback()]):
        run = trainer(
            tmp_path, sentences(), callbacks, make, padded, per_device_train_batch_size=4, logging_steps=1,
            **{"max_steps": 8, **more},
        )  # fmt: skip
        seen = watched(run)
        run.train()
        runs.append(run)
    plain, guarded = runs
    assert torch.equal(weights(plain), weights(guarded))
    losses = [[entry["loss"] for entry in run.state.log_history if "loss" in entry] for run in runs]
    assert losses[0] == losses[1]
    # the loss that is judged is the one that the Trainer logs, whatever the parts weigh
    assert seen == pytest.approx(losses[1], rel=1e-3)
    assert guard_of(guarded).loop.updates == guarded.state.global_step


def watched(run):
    """The losses that the guard is shown."""
    seen = []
    guards = [c for c in run.callback_handler.callbacks if isinstance(c, GuardCallback)]
    for guard in guards:
        made = guard.begin

        def make(*given, guard=guard, made=made):
            made(*given)
            observe = guard.loop.observe
            guard.loop.observe = lambda loss: (seen.append(float(loss)), observe(loss))[1]

        guard.begin = make
    return seen


def test_a_bad_state_is_put_back_in_a_run_with_adapters_in_bf16(tmp_path):
    class Spoil(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, **given):
            if state.global_step == 20:
                with torch.no_grad():
                    next(p for p in given["model"].parameters() if p.requires_grad).fill_(float("nan"))

    run = trainer(
        tmp_path, sentences(), [GuardCallback(), Spoil()], lora, padded, per_device_train_batch_size=4, max_steps=30,
        bf16=True,
    )  # fmt: skip
    run.train()
    assert "rolled back" in guard_of(run).loop.explain()
    assert torch.isfinite(weights(run)).all()


def test_a_range_test_of_what_the_trainer_is_about_to_do(tmp_path):
    run = trainer(
        tmp_path, sentences(), [], gpt2, padded, per_device_train_batch_size=4,
        gradient_accumulation_steps=4, learning_rate=1e-7, bf16=True,
    )  # fmt: skip
    before, state = weights(run), torch.get_rng_state()
    found = range_test(run)
    assert torch.equal(before, weights(run))
    assert torch.equal(state, torch.get_rng_state())
    assert run.optimizer is None
    assert 1e-4 < found.rate < 1  # whatever the Trainer was given
    with pytest.raises(InvalidType, match="Trainer"):
        range_test(run.model)


def test_a_log_history_says_why(tmp_path):
    run = trainer(tmp_path, rows(bad=[100]), [], max_steps=32, logging_steps=1)
    run.train()
    assert "finite" in str(sf.why(run.state.log_history))
