"""What ordinary models do: padding, hooks, casts, random draws, uneven batches, losses of their own."""

import random
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

import surefoot as sf
from surefoot.errors import InvalidInput, InvalidType, NotRepeatable, NotSmooth
from surefoot.training import SharpnessTracker, fisher, gauss_newton, hessian, supervised

mse = supervised(functional.mse_loss)
cross_entropy = supervised(functional.cross_entropy)
AGREES = "agrees with a difference of gradients"
torch.manual_seed(0)
x, y, labels = torch.randn(40, 3), torch.randn(40, 2), torch.randint(3, (40,))
tokens, following = torch.randint(17, (16, 6)), torch.randint(17, (16, 6))


def net(features=2):
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, features))


class Lambda(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.forward = function


class LanguageModel(nn.Module):
    """Casts its logits to float32, as the ones of Hugging Face do."""

    def __init__(self):
        super().__init__()
        self.embed, self.body, self.head = nn.Embedding(17, 8), nn.Linear(8, 8), nn.Linear(8, 17)

    def forward(self, ids):
        return self.head(torch.tanh(self.body(self.embed(ids)))).float()


class Output(dict):
    __getattr__ = dict.get


class OwnLoss(nn.Module):
    def __init__(self, criterion=None):
        super().__init__()
        self.inner = LanguageModel()
        self.criterion = criterion or (lambda z, t: functional.cross_entropy(z.flatten(0, 1), t.flatten()))

    def forward(self, ids, labels):
        z = self.inner(ids)
        return Output(logits=z, loss=self.criterion(z, labels))


def own(model, batch):
    return model(**batch).loss


# --- the self-check


def test_rows_that_are_fixed_by_design_are_no_alarm():
    model = nn.Sequential(nn.Embedding(11, 4, padding_idx=0), nn.Flatten(), nn.Linear(20, 3))
    with torch.no_grad():
        model[0].weight[0] = 1.0
    ids = torch.randint(11, (40, 5))
    ids[:, 3:] = 0
    H = hessian(model, cross_entropy, (ids, labels))
    assert H.checked.startswith(AGREES)
    # the padding is a constant of the loss: no curvature there
    v = np.zeros(H.shape[0])
    v[:4] = 1.0
    assert not (H @ v).any()


def test_what_is_detached_is_named_and_can_be_held_constant():
    def loss(model, batch):
        z = model(batch[0])
        return ((z - 2 * z.detach()) ** 2).mean() + (z**3).mean()

    with pytest.raises(NotSmooth, match=r"detach\(\) or no_grad\(\).*check=False"):
        hessian(nn.Linear(3, 2), loss, (x, y))
    assert hessian(nn.Linear(3, 2), loss, (x, y), check=False).shape == (8, 8)
    with pytest.raises(NotSmooth):
        SharpnessTracker(nn.Linear(3, 2), loss, (x, y))
    assert SharpnessTracker(nn.Linear(3, 2), loss, (x, y), check=False).update().certified


@pytest.mark.parametrize("targets", [following, following.flatten()], ids=["as a table", "flattened"])
def test_language_models_are_checked_in_single_precision(targets):
    def loss(model, batch):
        return functional.cross_entropy(model(batch[0]).flatten(0, 1), batch[1].flatten())

    checked = hessian(LanguageModel(), loss, (tokens, targets)).checked
    assert checked.startswith(AGREES)
    assert "float32" in checked


def test_the_check_costs_at_most_five_gradients_and_sees_the_whole_batch():
    rows = []

    def loss(model, batch):
        rows.append(len(batch[0]))
        return mse(model, batch)

    hessian(net(), loss, (x, y), check=False)
    before = sum(rows)
    rows.clear()
    hessian(net(), loss, (x, y))
    # a graph (two gradients with its product) and two gradients, on an eighth of the samples, in double precision
    assert 2 * (sum(rows) - before) <= 5 * len(x)


def test_samples_come_from_all_over_the_batch():
    model = nn.Linear(3, 1, bias=False)
    sparse = torch.zeros(40, 3)
    sparse[20:] = torch.randn(20, 3)

    def loss(model, batch):
        return (model(batch) ** 2).mean()

    # the first samples alone would give 0 = 0
    assert hessian(model, loss, sparse).checked.startswith(AGREES)


def test_nothing_is_no_evidence():
    checked = hessian(nn.Linear(3, 1), lambda m, b: m(b).mean(), x).checked
    assert "both 0" in checked


def test_a_cut_that_the_model_does_not_take_is_not_blamed_on_the_precision():
    def loss(model, batch):
        return mse(model, batch) if len(batch[0]) == 40 else model(batch[0].flatten())

    assert hessian(net(), loss, (x, y)).checked.startswith(AGREES)


# --- hooks, random draws, buffers


def test_a_gradient_hook_is_refused():
    model = net()
    handle = model[0].weight.register_hook(lambda g: 0.5 * g)
    with pytest.raises(InvalidInput, match=r"0\.weight has a gradient hook.*handle\.remove"):
        hessian(model, mse, (x, y))
    handle.remove()
    hessian(model, mse, (x, y))


@pytest.mark.parametrize("draw", [random.random, np.random.rand, lambda: torch.rand(1)])
@pytest.mark.parametrize("when", [0, 2], ids=["first batch", "last batch"])
def test_any_generator_is_seen_on_any_batch(draw, when):
    batches = [(torch.randn(5, 3), torch.randn(5, 2)) for _ in range(3)]

    def loss(model, batch):
        if batch[0] is batches[when][0]:
            draw()
        return mse(model, batch)

    with pytest.raises(NotRepeatable, match="draws random numbers"):
        hessian(net(), loss, batches)


@pytest.mark.parametrize("kept", [2**30, 0])
def test_buffers_that_follow_the_data_are_not_random(kept):
    class Following(nn.Module):
        def __init__(self):
            super().__init__()
            self.line = nn.Linear(3, 2)
            self.register_buffer("mean", torch.zeros(2))

        def forward(self, x):
            z = self.line(x)
            self.mean.mul_(0.9).add_(0.1 * z.detach().mean(0))
            return z + 0.0 * self.mean

    for model in (Following(), nn.Sequential(parametrizations.spectral_norm(nn.Linear(3, 4)), nn.Linear(4, 2))):
        before = {name: buffer.clone() for name, buffer in model.named_buffers()}
        H = hessian(model.train(), mse, [(x[:20], y[:20]), (x[20:], y[20:])], max_memory=kept)
        v = np.random.default_rng(0).standard_normal(H.shape[0])
        assert (H @ v == H @ v).all()
        assert all(torch.equal(before[name], buffer) for name, buffer in model.named_buffers())


def test_rows_of_capped_norm_are_left_as_they_are():
    model = nn.Sequential(nn.Embedding(11, 4, max_norm=0.5), nn.Flatten(), nn.Linear(20, 3))
    ids = torch.randint(11, (40, 5))
    before = model[0].weight.detach().clone()
    H = hessian(model, cross_entropy, (ids, labels))
    assert torch.equal(before, model[0].weight)
    assert H.checked.startswith(AGREES)
    shrunk = nn.Sequential(nn.Embedding(11, 4), nn.Flatten(), model[2])
    with torch.no_grad():
        shrunk[0].weight.copy_(torch.renorm(before, 2, 0, 0.5))
    v = np.random.default_rng(0).standard_normal(H.shape[0])
    np.testing.assert_allclose(H @ v, hessian(shrunk, cross_entropy, (ids, labels)) @ v, rtol=1e-3, atol=1e-5)


def test_a_piecewise_linear_gate_without_a_second_derivative():
    gate, clamp = nn.Sequential(nn.Linear(3, 4), nn.Hardsigmoid(), nn.Linear(4, 2)), nn.Hardtanh(0, 1)
    written = nn.Sequential(gate[0], Lambda(lambda z: clamp(z / 6 + 0.5)), gate[2])
    H, reference = hessian(gate, mse, (x, y)), hessian(written, mse, (x, y))
    assert H.checked.startswith(AGREES)
    v = np.random.default_rng(0).standard_normal(H.shape[0])
    np.testing.assert_allclose(H @ v, reference @ v, rtol=1e-4, atol=1e-6)


# --- losses


def test_a_loss_that_differentiates_by_itself():
    def penalty(model, batch):
        slope = torch.func.grad(lambda z: model(z).sum())(batch)
        return slope.square().mean() + model(batch).square().mean()

    H = hessian(net(1), penalty, x)
    assert H.checked.startswith(AGREES)
    assert sf.spectrum(H).largest.width > 0


def test_an_attribute_called_weight_is_no_way_to_weigh():
    class Weighted:
        weight = torch.ones(3)

        def __call__(self, model, batch):
            return mse(model, batch)

    assert hessian(net(), Weighted(), [(x[:10], y[:10]), (x[10:], y[10:])]).batches.counts == (10.0, 30.0)


def test_one_sample_in_train_mode_is_named():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    with pytest.raises(InvalidInput, match=r"batch 2 of 2 has one sample.*drop_last"):
        hessian(model, mse, [(x, y), (x[:1], y[:1])])


def whole(criterion, inputs, targets, model):
    """The Hessian of the criterion on all data at once."""
    return hessian(model, supervised(criterion), (inputs, targets), check=False)


def test_a_subclass_weighs_as_what_it_inherits_from():
    class Mine(nn.CrossEntropyLoss):
        pass

    model, few = net(3), labels.clone()
    few[:15], few[15:20] = 0, 1
    batches = [(x[:20], few[:20]), (x[20:], few[20:])]
    H = hessian(model, supervised(Mine(ignore_index=0)), batches)
    v = np.random.default_rng(0).standard_normal(H.shape[0])
    np.testing.assert_allclose(
        H @ v, whole(nn.CrossEntropyLoss(ignore_index=0), x, few, model) @ v, rtol=1e-4, atol=1e-7
    )
    assert supervised(Mine()).convex


def test_a_mean_over_elements_weighs_by_elements():
    model = net()
    short, long = torch.randn(4, 2, 3), torch.randn(4, 7, 3)
    batches = [(short, torch.randn(4, 2, 2)), (long, torch.randn(4, 7, 2))]
    H = hessian(model, mse, batches)
    flat = torch.cat([short.flatten(0, 1), long.flatten(0, 1)]), torch.cat([b[1].flatten(0, 1) for b in batches])
    v = np.random.default_rng(0).standard_normal(H.shape[0])
    np.testing.assert_allclose(H @ v, whole(functional.mse_loss, *flat, model) @ v, rtol=1e-4, atol=1e-7)


def test_a_mean_that_is_not_over_samples_is_warned_of():
    few = labels.clone()
    few[:15], few[15:20] = 0, 1

    def loss(model, batch):
        return functional.cross_entropy(model(batch[0]), batch[1], ignore_index=0)

    batches = [(x[:20], few[:20]), (x[20:], few[20:])]
    with pytest.warns(UserWarning, match=r"weighted mean over its halves.*count="):
        hessian(net(3), loss, batches)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hessian(net(3), loss, batches, count=lambda batch: int((batch[1] != 0).sum()))
        hessian(net(3), loss, batches[:1])  # one batch is all the data


def test_a_loss_of_the_models_own():
    model = OwnLoss()
    batch = {"ids": tokens, "labels": following}

    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model.inner

        def forward(self, ids):
            return self.inner(ids).flatten(0, 1)

    G = gauss_newton(model, own, batch)
    reference = gauss_newton(Flat(), cross_entropy, (tokens, following.flatten()))
    v = np.random.default_rng(0).standard_normal(G.shape[0])
    np.testing.assert_allclose(G @ v, reference @ v, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(fisher(model, own, batch) @ v, G @ v)
    assert not model._forward_hooks
    squares = OwnLoss(lambda z, t: functional.mse_loss(z[..., 0], t.float()))
    assert gauss_newton(squares, own, batch).psd


def test_a_loss_of_the_models_own_that_is_not_convex_or_hides_its_logits():
    batch = {"ids": tokens, "labels": following}
    with pytest.raises(InvalidInput, match="neither a cross-entropy nor a mean square"):
        gauss_newton(OwnLoss(lambda z, t: z.sin().mean()), own, batch)
    with pytest.raises(InvalidType, match="logits"):
        gauss_newton(net(), lambda m, b: mse(m, b), (x, y))
    with pytest.raises(InvalidType, match="without logits"):
        hessian(nn.LSTM(3, 2), mse, (x[None], y[None]))


# --- vectors


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_tensor_stays_a_tensor(dtype):
    H = hessian(net().to(dtype), mse, (x.to(dtype), y.to(dtype)))
    v = torch.randn(H.shape[0], dtype=dtype)
    product = H @ v
    assert product.dtype == H.space.dtype == dtype
    assert not product.requires_grad
    host = H @ v.numpy()
    assert host.dtype == np.float64
    np.testing.assert_allclose(host, product.double().numpy(), rtol=1e-5, atol=1e-7)
    assert H.gradient().dtype == np.float64
    torch.testing.assert_close(torch.from_numpy(H.gradient()).to(dtype), H.gradient_vector())


def test_half_precision_models_have_single_precision_vectors():
    H = hessian(net().bfloat16(), mse, (x.bfloat16(), y.bfloat16()))
    assert (H @ torch.ones(H.shape[0])).dtype == torch.float32
    assert H.precision == pytest.approx(2.0**-7)
    found = sf.spectrum(H)
    assert "rounding of the products" in found.note
    assert found.products < 100


def test_a_cost_is_stated_and_kept():
    H = hessian(net(), mse, [(x[:20], y[:20]), (x[20:], y[20:])])
    cost = H.cost(which="largest")
    found = sf.spectrum(H, which="largest")
    assert found.products <= cost.products
    assert cost.gradients == 2 * cost.products
    assert cost.bytes == cost.graphs + cost.vectors
    assert "products" in str(cost)
    again = hessian(net(), mse, [(x, y)], max_memory=0).cost(max_memory=0)
    assert again.graphs == 0
    assert not again.stored
    assert again.gradients > 3 * again.products
