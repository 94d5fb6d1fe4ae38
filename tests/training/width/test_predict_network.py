"""The curvature of a torch model by reading it: near what is measured, or an error that says why not."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from surefoot.errors import InvalidInput, InvalidType, NotFinite
from surefoot.spectra import predict_wide, spectrum
from surefoot.training import gauss_newton, predict_network, supervised
from surefoot.training.width._initial import check_initial

SQUARE, ENTROPY = supervised(nn.functional.mse_loss), supervised(nn.CrossEntropyLoss())
X = torch.randn(300, 16, generator=torch.Generator().manual_seed(0))


def seeded(make, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


def drawn(model, variance):
    """Weights N(0, variance/fan_in), biases zero."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=(variance / layer.in_features) ** 0.5)
            nn.init.zeros_(layer.bias)
    return model


def mlp(act=nn.ReLU, width=128, inputs=16, outputs=1, depth=1, variance=None):
    layers = [nn.Linear(inputs, width), act()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), act()]
    model = nn.Sequential(*layers, nn.Linear(width, outputs))
    return model if variance is None else drawn(model, variance)


def measured(model, loss, x, y):
    return spectrum(gauss_newton(model, loss, (x, y)), which="largest", rtol=0.01).largest.lower


@pytest.mark.parametrize(
    ("act", "variance", "room"),
    [(nn.ReLU, 2.0, 0.02), (nn.ReLU, None, 0.02), (nn.Tanh, 1.0, 0.06), (nn.Tanh, None, 0.06)],
)
def test_near_what_is_measured(act, variance, room):
    x = torch.randn(500, 32, generator=torch.Generator().manual_seed(0))
    told, seen = [], []
    for seed in range(4):
        model = seeded(lambda: mlp(act, 1024, inputs=32, variance=variance), seed)
        found = predict_network(model, SQUARE, x)
        told.append(found.largest.upper)
        seen.append(measured(model, SQUARE, x, torch.zeros(500, 1)))
    assert (found.provenance, found.kind, found.scope) == ("predicted", "curvature", "local")
    assert np.mean(told) == pytest.approx(np.mean(seen), rel=room)


def test_cross_entropy_and_several_outputs():
    y = torch.randint(10, (300,), generator=torch.Generator().manual_seed(1))
    models = [seeded(lambda: mlp(width=512, outputs=10, depth=2), seed) for seed in range(3)]
    told = np.mean([predict_network(m, ENTROPY, X).largest.upper for m in models])
    seen = np.mean([measured(m, ENTROPY, X, y) for m in models])
    assert told == pytest.approx(seen, rel=0.1)


@pytest.mark.parametrize("factor", [3, 0.1])
def test_each_layer_has_its_own_variance(factor):
    """ReLU is homogeneous: a factor moved from one layer to the next leaves the function, and changes the curvature."""
    model = seeded(lambda: mlp(width=1024, variance=2.0))
    even = predict_network(model, SQUARE, X).largest.upper
    with torch.no_grad():
        model[0].weight.mul_(factor)
        model[2].weight.div_(factor)
    told = predict_network(model, SQUARE, X).largest.upper
    # one factor makes the outer layer's part larger, the other one the inner layer's and less so
    assert not 0.5 < told / even < 2
    assert told == pytest.approx(measured(model, SQUARE, X, torch.zeros(300, 1)), rel=0.05)


def test_it_is_what_predict_wide_says():
    model = seeded(lambda: mlp(width=256, depth=2, variance=2.0))
    told = predict_network(model, SQUARE, X)
    same = predict_wide([256] * 2, X.double().numpy(), weight_variance=2.0, bias_variance=0.0, loss="squared")
    assert told.largest.upper == pytest.approx(same.largest.upper, rel=0.1)
    assert told.size == same.size == sum(p.numel() for p in model.parameters())
    assert told.note == same.note


class Chain(nn.Module):
    """Not a Sequential, but applied as one."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(128, 1)
        self.body = nn.Sequential(nn.Linear(16, 128), nn.Sequential(nn.Dropout(0.5), nn.ReLU(inplace=True)))

    def forward(self, x):
        return self.head(self.body(x.flatten(1))).squeeze(-1)


def test_the_order_is_that_of_the_forward_pass():
    model = seeded(Chain).eval()
    plain = nn.Sequential(model.body[0], nn.ReLU(), model.head)
    assert predict_network(model, SQUARE, X.reshape(300, 4, 4)) == predict_network(plain, SQUARE, X)


def test_the_model_is_left_as_it_was():
    model = seeded(lambda: mlp(nn.Tanh))
    before = copy.deepcopy(model.state_dict())
    predict_network(model, SQUARE, X)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


class Residual(nn.Module):
    def __init__(self, where):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(16, 128), nn.Linear(128, 128), nn.Linear(128, 128)
        self.act, self.where = nn.ReLU(), where

    def forward(self, x):
        h = self.act(self.a(x))
        inner = self.act(self.b(h))
        return self.c(inner + h) if self.where == "inside" else self.c(inner) + h


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(16, 128), nn.Linear(128, 1)

    def forward(self, x):
        return self.b(torch.relu(self.a(x)))


class ByKeyword(Functional):
    def forward(self, x):
        return self.b(self.a(input=x))


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c, self.act = nn.Linear(16, 128), nn.Linear(128, 128), nn.Linear(128, 1), nn.Tanh()

    def forward(self, x):
        h = self.act(self.a(x))
        return self.c(self.act(self.b(self.act(self.b(h)))))


def with_part(part):
    return lambda: nn.Sequential(nn.Linear(16, 128), part(), nn.ReLU(), nn.Linear(128, 1))


def tied():
    model = mlp(nn.Tanh, depth=3)
    model[4].weight = model[2].weight
    return model


def changed(change, act=nn.ReLU, **options):
    def make():
        model = mlp(act, **options)
        with torch.no_grad():
            change(model)
        return model

    return make


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (with_part(lambda: nn.BatchNorm1d(128)), r"'1' \(BatchNorm1d\) normalises over the batch"),
        (with_part(lambda: nn.LayerNorm(128)), r"'1' \(LayerNorm\) normalises each sample"),
        (with_part(lambda: nn.MultiheadAttention(128, 1)), r"'1' \(MultiheadAttention\) is attention"),
        (lambda: nn.TransformerEncoderLayer(16, 1), r"'the model' \(TransformerEncoderLayer\) is attention"),
        (lambda: nn.Sequential(nn.Conv1d(1, 4, 3), nn.Flatten()), r"'0' \(Conv1d\) shares its weights between places"),
        (lambda: nn.LSTM(16, 128), r"'the model' \(LSTM\) shares its weights between times"),
        (with_part(lambda: nn.GRU(128, 128)), r"'1' \(GRU\) shares its weights between times"),
        (with_part(nn.SiLU), r"'1' \(SiLU\) is none of Linear, ReLU, Tanh, GELU"),
        (with_part(nn.Dropout), r"'1' \(Dropout\) is in train mode.*eval"),
        (with_part(nn.Tanh), "one kind of activation.*linear - tanh - relu - linear"),
        (lambda: nn.Sequential(*mlp(), nn.ReLU()), "after the last Linear comes relu"),
        (lambda: nn.Linear(16, 1), "no hidden layer"),
        (lambda: mlp(width=127), r"'0' \(Linear\) is 127 wide"),
        (lambda: Residual("inside"), r"'c' \(Linear\) is not applied to what 'act' returned: a residual sum"),
        (
            lambda: Residual("end"),
            r"'c' \(Linear\) is the last layer, but the model returns something else: a residual",
        ),
        (Functional, r"'b' \(Linear\) is not applied to what 'a' returned.* another function"),
        (ByKeyword, r"'a' \(Linear\) is not called with one tensor"),
        (Twice, r"'b' \(Linear\) is applied more than once: tied weights"),
        (tied, r"'4' \(Linear\) shares its weight with '2': tied weights"),
        (changed(lambda m: m[0].weight.requires_grad_(False)), r"'0' \(Linear\) has a frozen weight"),
        (
            changed(lambda m: m[0].weight.add_(0.1)),
            r"'0' \(Linear\) is not at initialisation: its weights have mean 0\.\d+, not 0",
        ),
        (changed(lambda m: m[0].bias.fill_(0.1)), "not at initialisation: its biases have mean 0.1"),
        (changed(lambda m: nn.init.orthogonal_(m[2].weight), depth=2), "'2'.*not at initialisation.*inside the edge"),
        (changed(lambda m: m[0].weight.zero_()), "weights that are all zero"),
        (changed(lambda m: m[0].register_forward_hook(lambda *a: 2 * a[2])), "'0'.*a hook changes it"),
        (lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(16, 128)), *mlp()[1:]), "_WeightNorm"),
        (lambda: nn.Sequential(nn.Unflatten(1, (1, 16)), *mlp()), r"'0' \(Unflatten\) is none of"),
    ],
)
def test_it_abstains_and_says_why(make, words):
    with pytest.raises(InvalidInput, match=f"no prediction: .*{words}"):
        predict_network(seeded(make), SQUARE, X)


def test_parameters_outside_layers_and_layers_outside_the_output():
    bare = nn.Sequential(*seeded(mlp))
    bare.register_parameter("scale", nn.Parameter(torch.ones(1)))
    with pytest.raises(InvalidInput, match=r"'the model' .* has the parameter 'scale'"):
        predict_network(bare, SQUARE, X)
    model = seeded(Chain).eval()
    model.unused = nn.Linear(2, 2)
    with pytest.raises(InvalidInput, match=r"'unused' \(Linear\) has no part in the output"):
        predict_network(model, SQUARE, X)


@pytest.mark.parametrize("act", [nn.ReLU, nn.Tanh])
def test_a_trained_model_is_seen(act):
    model = seeded(lambda: mlp(act, width=256, depth=2))
    y = X[:, :1] * X[:, 1:2]
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    predict_network(model, SQUARE, X)
    for _ in range(100):
        optimizer.zero_grad()
        SQUARE(model, (X, y)).backward()
        optimizer.step()
    with pytest.raises(InvalidInput, match="not at initialisation"):
        predict_network(model, SQUARE, X)


@pytest.mark.parametrize("shape", [(16, 128), (256, 256), (256, 1), (2, 200), (784, 256), (1, 128)])
@pytest.mark.parametrize("init", [None, nn.init.kaiming_normal_, nn.init.xavier_uniform_, nn.init.trunc_normal_])
def test_no_false_alarm(shape, init):
    for seed in range(5):
        layer = seeded(lambda: nn.Linear(*shape), seed)
        if init is not None:
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                init(layer.weight)
        check_initial("layer", layer)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda m: predict_network("model", SQUARE, X), InvalidType, "a torch.nn.Module; got 'model'"),
        (lambda m: predict_network(m, nn.MSELoss(), X), InvalidType, "supervised"),
        (lambda m: predict_network(m, SQUARE, X.numpy()), InvalidType, "ndarray"),
        (lambda m: predict_network(m, SQUARE, X.long()), InvalidType, "int64"),
        (lambda m: predict_network(m, SQUARE, X[0]), InvalidInput, r"shape.*\(16,\)"),
        (lambda m: predict_network(m, SQUARE, X[:1]), InvalidInput, "n >= 2"),
        (lambda m: predict_network(m, SQUARE, X.reshape(100, 3, 16)), InvalidInput, "not one row for each of 100"),
        (lambda m: predict_network(m, SQUARE, X / 0), NotFinite, "inputs"),
        (lambda m: predict_network(m.to("meta"), SQUARE, X), InvalidInput, "meta"),
        (lambda m: predict_network(m, supervised(nn.L1Loss()), X), InvalidInput, "no prediction for L1Loss"),
        (lambda m: predict_network(m, ENTROPY, X), InvalidInput, "two outputs"),
        (
            lambda m: predict_network(m, supervised(nn.CrossEntropyLoss(weight=torch.ones(2))), X),
            InvalidInput,
            "class weights",
        ),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call(seeded(mlp))


def test_weights_that_are_not_finite():
    model = seeded(mlp)
    with torch.no_grad():
        model[2].weight[0, 0] = float("nan")
    with pytest.raises(NotFinite, match=r"2.weight"):
        predict_network(model, SQUARE, X)
