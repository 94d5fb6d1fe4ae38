"""Models of the transformers library as they are: losses of their own, tied weights, adapters, sparse gradients."""

import logging

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from integrations.tiny_models import WORDS, gpt2, lora
from torch import nn

import surefoot as sf
from surefoot.errors import InvalidInput, InvalidType
from surefoot.training import (
    Guard,
    Pilot,
    causal_lm,
    fisher,
    gauss_newton,
    gradient_noise,
    hessian,
    mean_square_limits,
    optimizer_limits,
    range_test,
    suggest_groups,
    supervised,
)

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
logging.getLogger("transformers").setLevel(logging.ERROR)


def own(model, batch):
    return model(**batch).loss


def llama(tied=False):
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=WORDS, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=1, max_position_embeddings=16, tie_word_embeddings=tied,
        )
    )  # fmt: skip


def t5():
    return transformers.T5ForConditionalGeneration(
        transformers.T5Config(
            vocab_size=WORDS, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, dropout_rate=0.0,
            decoder_start_token_id=0, pad_token_id=0,
        )
    )  # fmt: skip


def mamba():
    return transformers.MambaForCausalLM(
        transformers.MambaConfig(vocab_size=WORDS, hidden_size=16, state_size=4, num_hidden_layers=2, conv_kernel=3)
    )


def seeded(make):
    torch.manual_seed(0)
    return make()


def text(samples=6, length=6):
    ids = torch.randint(1, WORDS, (samples, length), generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids, "labels": ids.clone()}


@pytest.mark.parametrize("make", [gpt2, llama, t5, mamba], ids=lambda make: make.__name__)
def test_second_derivatives_are_checked_and_right(make):
    model = seeded(make).train()
    assert hessian(model, own, text()).checked.startswith("agrees with a difference of gradients")
    assert gauss_newton(model, own, text()).psd


@pytest.mark.parametrize("make", [gpt2, llama, mamba], ids=lambda make: make.__name__)
def test_the_causal_loss_is_the_models_own_told_apart(make):
    model, batch, loss = seeded(make), text(), causal_lm()
    batch["labels"][0, 3] = -100
    batch["labels"][1] = -100
    assert loss(model, batch).item() == pytest.approx(own(model, batch).item(), rel=1e-6)
    assert loss.weight(batch) == 4 * 5 + 4
    G, reference = gauss_newton(model, loss, batch), gauss_newton(model, own, batch)
    v = np.random.default_rng(0).standard_normal(G.shape[0])
    np.testing.assert_allclose(G @ v, reference @ v, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(fisher(model, loss, batch) @ v, G @ v)
    drawn = fisher(model, loss, batch, draws=300) @ v
    assert np.linalg.norm(drawn - G @ v) < 0.3 * np.linalg.norm(G @ v)


def test_batches_with_unequal_labels_are_joined_by_their_labels():
    model, loss, whole = seeded(gpt2), causal_lm(), text()
    whole["labels"][0] = -100
    parts = [{k: v[rows] for k, v in whole.items()} for rows in (slice(0, 2), slice(2, 6))]
    v = np.random.default_rng(0).standard_normal(sum(p.numel() for p in model.parameters()))
    np.testing.assert_allclose(hessian(model, loss, parts) @ v, hessian(model, loss, whole) @ v, rtol=1e-3, atol=1e-5)


def test_mean_square_limits_of_a_language_model():
    """Batches of all the samples have no noise: the limit is that of gradient descent on Gauss-Newton, 2/largest."""
    model, loss = seeded(gpt2), causal_lm()
    batch = {k: v[:3, :4] for k, v in text().items()}
    block = {"parameters": ["transformer.wte.weight"]}
    whole = mean_square_limits(model, loss, batch, 3, replacement=False, **block).stable
    largest = sf.spectrum(gauss_newton(model, loss, batch, **block), which="largest").largest
    assert 0.98 * 2 / largest.upper <= whole <= 1.02 * 2 / largest.lower
    assert mean_square_limits(model, loss, batch, 1, **block).stable < whole
    assert gradient_noise(model, loss, batch).samples == 3


def test_what_the_criterion_takes_can_be_said():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.line = nn.Linear(3, 2)

        def forward(self, x, **more):
            assert "answer" not in more or self.sees
            return {"score": self.line(x), "other": x}

        sees = False

    torch.manual_seed(0)
    model, x, y = Two(), torch.randn(8, 3), torch.randn(8, 2)
    expected = nn.functional.mse_loss(model.line(x), y).item()
    named = supervised(nn.functional.mse_loss, outputs="score", target="answer")
    assert named(model, {"x": x, "answer": y}).item() == expected
    assert named.weight({"x": x, "answer": y}) == 8
    model.sees = True
    by_function = supervised(
        nn.functional.mse_loss, outputs=lambda out: out["score"], target=lambda batch: batch["answer"]
    )
    assert by_function(model, {"x": x, "answer": y}).item() == expected
    lstm = nn.LSTM(3, 2)
    first = supervised(nn.functional.mse_loss, outputs=0)
    assert first(lstm, (x[None], y[None])).item() == nn.functional.mse_loss(lstm(x[None])[0], y[None]).item()
    recover = supervised(nn.functional.mse_loss, target=lambda batch: batch)
    assert recover(nn.Identity(), x).item() == 0
    H = gauss_newton(model, by_function, {"x": x, "answer": y})
    np.testing.assert_allclose(
        H @ np.ones(8), gauss_newton(model.line, supervised(nn.functional.mse_loss), (x, y)) @ np.ones(8)
    )
    with pytest.raises(InvalidType, match=r"without logits.*outputs="):
        supervised(nn.functional.mse_loss)(model, (x, y))
    with pytest.raises(InvalidType, match=r'entry "answer".*target='):
        named(model, (x, y))


@pytest.mark.parametrize(
    ("make", "present", "absent"),
    [
        (gpt2, {"embeddings", "transformer.h.0", "transformer.h.1"}, {"head"}),  # tied
        (llama, {"embeddings", "model.layers.0", "head"}, set()),
        (lambda: llama(tied=True), {"embeddings", "model.layers.0"}, {"head"}),
        (lambda: lora("c_attn", "c_proj"), {"base_model.model.transformer.h.1"}, {"head", "embeddings"}),
        (lambda: lora("q_proj", "lm_head", "embed_tokens", model=llama), {"head", "embeddings"}, set()),
    ],
    ids=["gpt2", "llama", "llama tied", "adapters", "adapters at both ends"],
)
def test_groups_by_the_models_own_modules(make, present, absent):
    model = seeded(make)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    from surefoot.training.groups._partition import output_module, partition

    members = partition(model, None, output_module(model, own, text()))
    assert present <= set(members)
    assert not absent & set(members)
    if "head" in members:
        assert all("lm_head" in name for name in members["head"])
    assert sum(map(len, members.values())) == len(optimizer.param_groups[0]["params"])


def test_adapters_are_advised_on_and_trained():
    model = seeded(lambda: lora("c_attn"))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    assert "transformer.h.1" in str(suggest_groups(model, own, [text(2), text(4)], optimizer))
    frozen = {name: p.clone() for name, p in model.named_parameters() if not p.requires_grad}
    pilot = Pilot(model, optimizer, total_steps=40)
    losses = [pilot.step(lambda: own(model, text())) for _ in range(40)]
    assert losses[-1] < losses[0]
    assert all(torch.equal(frozen[name], p) for name, p in model.named_parameters() if name in frozen)


# --- embeddings with sparse gradients


def bag(sparse):
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(20, 6, sparse=sparse), nn.Flatten(), nn.Linear(24, 3))


def sparse_data():
    torch.manual_seed(1)
    return torch.randint(20, (64, 4)), torch.randint(3, (64,))


def test_sparse_gradients_measure_as_dense_ones():
    loss, data = supervised(nn.functional.cross_entropy), sparse_data()
    batches = list(zip(data[0].split(8), data[1].split(8), strict=True))
    said = []
    for sparse in (False, True):
        model = bag(sparse)
        sgd = torch.optim.SGD(model.parameters(), lr=0.1)
        H = hessian(model, loss, data)
        said.append(
            (
                sf.spectrum(H).largest,
                sf.spectrum(gauss_newton(model, loss, data)).largest,
                optimizer_limits(H, sgd),
                mean_square_limits(model, loss, data, 8),
                pytest.approx(range_test(model, loss, batches, sgd).rate, rel=1e-3),
                suggest_groups(model, loss, batches, sgd),
            )
        )
    assert said[0] == said[1]
    model = bag(True)
    assert gradient_noise(model, loss, batches).samples == 64
    with pytest.raises(InvalidInput, match=r"Adam cannot train this model.*SparseAdam"):
        optimizer_limits(hessian(model, loss, data), torch.optim.Adam(model.parameters()))


@pytest.mark.parametrize("driver", [Guard, lambda m, o, **k: Pilot(m, o, total_steps=40, **k)], ids=["guard", "pilot"])
def test_sparse_gradients_train_as_dense_ones(driver):
    loss, (x, y) = supervised(nn.functional.cross_entropy), sparse_data()
    ends = []
    batches = list(zip(x.split(8), y.split(8), strict=True))
    for model in (bag(False), bag(True)):
        owner = driver(model, torch.optim.SGD(model.parameters(), lr=0.1), clip=0.3)
        for k in range(40):
            factor = float("nan") if k == 20 else 1.0
            owner.step(lambda model=model, k=k, factor=factor: factor * loss(model, batches[k % 8]))
        ends.append(loss(model, (x, y)).item())
        assert "finite" in owner.explain()
    assert ends[0] == pytest.approx(ends[1], rel=1e-4)
