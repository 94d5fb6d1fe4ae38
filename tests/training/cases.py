"""Layers and whole models, each with a batch and a loss, in float64: where curvature must be right."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, weight_norm
from torch.utils.checkpoint import checkpoint

from surefoot.training import supervised

mse = supervised(functional.mse_loss)
cross_entropy = supervised(functional.cross_entropy)
Case = tuple[nn.Module, Callable[..., torch.Tensor], Any]


class Lambda(nn.Module):
    def __init__(self, function, **modules):
        super().__init__()
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, *inputs):
        return self.function(self, *inputs)


def after(layer, *shape, features=None):
    """A small trainable layer before and after the layer in question, so that its inputs move too."""
    x = torch.randn(*shape)
    with torch.no_grad():
        width = layer(x).flatten(1).shape[1] if features is None else features
    front = nn.Linear(shape[-1], shape[-1])
    model = nn.Sequential(front, layer, nn.Flatten(), nn.Linear(width, 3))
    return model, cross_entropy, (x, torch.randint(3, (shape[0],)))


def attention(causal):
    def forward(m, x):
        q, k, v = m.qkv(x).chunk(3, dim=-1)
        y = functional.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None], is_causal=causal)
        return m.out(y[:, 0].mean(dim=1))

    model = Lambda(forward, qkv=nn.Linear(4, 12), out=nn.Linear(4, 3))
    return model, cross_entropy, (torch.randn(5, 6, 4), torch.randint(3, (5,)))


def multihead():
    def forward(m, x):
        return m.out(m.attention(x, x, x, need_weights=False)[0].mean(dim=1))

    model = Lambda(forward, attention=nn.MultiheadAttention(4, 2, batch_first=True), out=nn.Linear(4, 3))
    return model, cross_entropy, (torch.randn(5, 6, 4), torch.randint(3, (5,)))


def recurrent(kind, **options):
    def forward(m, x):
        return m.out(m.rnn(x)[0][:, -1])

    rnn = kind(3, 4, batch_first=True, **options)
    width = 8 if options.get("bidirectional") else 4
    model = Lambda(forward, rnn=rnn, out=nn.Linear(width, 2))
    return model, mse, (torch.randn(5, 6, 3), torch.randn(5, 2))


def cell(kind):
    def forward(m, x):
        state = m.cell(x[:, 0])
        for t in range(1, x.shape[1]):
            state = m.cell(x[:, t], state)
        return state[0] if isinstance(state, tuple) else state

    return Lambda(forward, cell=kind(3, 4)), mse, (torch.randn(5, 4, 3), torch.randn(5, 4))


def embedding(**options):
    model = nn.Sequential(nn.Embedding(11, 4, **options), nn.Flatten(), nn.Linear(20, 3))
    return model, cross_entropy, (torch.randint(11, (6, 5)), torch.randint(3, (6,)))


def bag(**options):
    model = nn.Sequential(nn.EmbeddingBag(11, 4, **options), nn.Tanh(), nn.Linear(4, 3))
    return model, cross_entropy, (torch.randint(11, (6, 5)), torch.randint(3, (6,)))


def mobile():
    """A block of MobileNetV3: expansion, depthwise convolution, squeeze and excitation, projection."""

    def forward(m, x):
        y = m.deep(m.wide(x))
        y = m.narrow(y * m.gate(y.mean((2, 3), keepdim=True)))
        return m.out((x + y).flatten(1))

    model = Lambda(
        forward,
        wide=nn.Sequential(nn.Conv2d(2, 6, 1), nn.BatchNorm2d(6), nn.Hardswish()),
        deep=nn.Sequential(nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.BatchNorm2d(6), nn.Hardswish()),
        gate=nn.Sequential(nn.Conv2d(6, 2, 1), nn.ReLU(), nn.Conv2d(2, 6, 1), nn.Hardsigmoid()),
        narrow=nn.Sequential(nn.Conv2d(6, 2, 1), nn.BatchNorm2d(2)),
        out=nn.Linear(32, 3),
    )
    return model, cross_entropy, (torch.randn(5, 2, 4, 4), torch.randint(3, (5,)))


def distances(function):
    model = Lambda(function, front=nn.Linear(4, 4))
    model.centres = nn.Parameter(torch.randn(3, 4))
    return model, cross_entropy, (torch.randn(7, 4), torch.randint(3, (7,)))


def tied():
    def forward(m, x):
        return functional.linear(m.norm(m.embed(x).tanh()).mean(dim=1), m.embed.weight)

    model = Lambda(forward, embed=nn.Embedding(7, 4), norm=nn.LayerNorm(4))
    return model, cross_entropy, (torch.randint(7, (6, 5)), torch.randint(7, (6,)))


def unused():
    def forward(m, x):
        return m.used(x).tanh()

    return (
        Lambda(forward, used=nn.Linear(3, 2), idle=nn.Linear(3, 2)),
        mse,
        (torch.randn(5, 3), torch.randn(5, 2)),
    )


def frozen():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    model[0].weight.requires_grad_(False)
    return model, mse, (torch.randn(5, 3), torch.randn(5, 2))


def ragged():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    x, y = torch.randn(11, 3), torch.randn(11, 2)
    return model, mse, [(x[:4], y[:4]), (x[4:8], y[4:8]), (x[8:], y[8:])]


def checkpointed():
    def forward(m, x):
        return m.out(checkpoint(m.body, x, use_reentrant=False))

    body = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh())
    return Lambda(forward, body=body, out=nn.Linear(4, 2)), mse, (torch.randn(5, 3), torch.randn(5, 2))


def transformer(**options):
    def forward(m, x):
        return m.out(m.encoder(m.embed(x)))

    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, **options)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    model = Lambda(forward, embed=nn.Embedding(7, 8), encoder=encoder, out=nn.Linear(8, 7))

    def loss(model, batch):
        return functional.cross_entropy(model(batch["x"]).flatten(0, 1), batch["y"].flatten())

    return model, loss, {"x": torch.randint(7, (4, 6)), "y": torch.randint(7, (4, 6))}


def evaluated(case: Case) -> Case:
    model, loss, data = case
    with torch.no_grad():  # running statistics that are not the initial ones
        model(data[0])
    return model.eval(), loss, data


def criterion(function, target):
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    return model, supervised(function), (torch.randn(6, 3), target())


def old_weight_norm():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return activation(weight_norm(nn.Linear(4, 4), dim=None))


def activation(layer):
    return after(layer, 6, 4)


ACTIVATIONS = {
    kind.__name__: kind
    for kind in (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Softplus, nn.Sigmoid, nn.Tanh, nn.Mish, nn.PReLU,
                 nn.SELU, nn.Hardswish, nn.Softsign, nn.GLU, nn.Tanhshrink, nn.LogSigmoid)
}  # fmt: skip

CASES: dict[str, Callable[[], Case]] = {
    **{name: (lambda kind=kind: activation(kind())) for name, kind in ACTIVATIONS.items()},
    "Softmax": lambda: activation(nn.Softmax(dim=-1)),
    "Linear": lambda: activation(nn.Linear(4, 5)),
    "Bilinear": lambda: (
        Lambda(lambda m, x: m.pair(x, m.front(x)), pair=nn.Bilinear(3, 4, 2), front=nn.Linear(3, 4)),
        mse,
        (torch.randn(5, 3), torch.randn(5, 2)),
    ),
    "LayerNorm": lambda: activation(nn.LayerNorm(4)),
    "RMSNorm": lambda: activation(nn.RMSNorm(4)),
    "GroupNorm": lambda: after(nn.GroupNorm(2, 4), 5, 4, 3),
    "InstanceNorm1d": lambda: after(nn.InstanceNorm1d(4, affine=True), 5, 4, 3),
    "InstanceNorm2d": lambda: after(nn.InstanceNorm2d(2, affine=True), 5, 2, 3, 3),
    "BatchNorm1d train": lambda: activation(nn.BatchNorm1d(4)),
    "BatchNorm1d eval": lambda: evaluated(activation(nn.BatchNorm1d(4))),
    "BatchNorm2d train": lambda: after(nn.BatchNorm2d(2), 5, 2, 3, 3),
    "BatchNorm2d eval": lambda: evaluated(after(nn.BatchNorm2d(2), 5, 2, 3, 3)),
    "Conv1d": lambda: after(nn.Conv1d(4, 3, 2), 5, 4, 6),
    "Conv2d": lambda: after(nn.Conv2d(2, 3, 3, padding=1), 4, 2, 5, 5),
    "Conv2d strided, grouped": lambda: after(nn.Conv2d(2, 4, 3, stride=2, groups=2), 4, 2, 5, 5),
    "Conv2d dilated": lambda: after(nn.Conv2d(2, 3, 2, dilation=2), 4, 2, 5, 5),
    "Conv3d": lambda: after(nn.Conv3d(1, 2, 2), 3, 1, 3, 3, 3),
    "ConvTranspose2d": lambda: after(nn.ConvTranspose2d(2, 2, 2, stride=2), 4, 2, 3, 3),
    "MaxPool2d": lambda: after(nn.MaxPool2d(2), 4, 2, 4, 4),
    "AvgPool2d": lambda: after(nn.AvgPool2d(2), 4, 2, 4, 4),
    "AdaptiveAvgPool2d": lambda: after(nn.AdaptiveAvgPool2d(2), 4, 2, 5, 5),
    "Upsample bilinear": lambda: after(nn.Upsample(scale_factor=2, mode="bilinear"), 4, 1, 3, 3),
    "PixelShuffle": lambda: after(nn.PixelShuffle(2), 4, 4, 2, 2),
    "Dropout eval": lambda: evaluated(activation(nn.Dropout(0.5))),
    "weight norm": lambda: activation(parametrizations.weight_norm(nn.Linear(4, 4))),
    "weight norm, old": old_weight_norm,
    "spectral norm eval": lambda: evaluated(activation(parametrizations.spectral_norm(nn.Linear(4, 4)))),
    "orthogonal": lambda: activation(parametrizations.orthogonal(nn.Linear(4, 4))),
    "Embedding": embedding,
    **{f"EmbeddingBag {mode}": (lambda mode=mode: bag(mode=mode)) for mode in ("mean", "sum", "max")},
    "cdist": lambda: distances(lambda m, x: torch.cdist(m.front(x), m.centres)),
    "pdist": lambda: distances(lambda m, x: functional.pdist(m.front(x)).view(7, 3) + 0 * m.centres.sum()),
    "Hardsigmoid": lambda: activation(nn.Hardsigmoid()),
    "MobileNetV3 block": mobile,
    "RNN": lambda: recurrent(nn.RNN),
    "LSTM": lambda: recurrent(nn.LSTM),
    "LSTM two layers, both ways": lambda: recurrent(nn.LSTM, num_layers=2, bidirectional=True),
    "GRU": lambda: recurrent(nn.GRU),
    "LSTMCell": lambda: cell(nn.LSTMCell),
    "GRUCell": lambda: cell(nn.GRUCell),
    "attention": lambda: attention(False),
    "attention causal": lambda: attention(True),
    "MultiheadAttention": multihead,
    "MultiheadAttention eval": lambda: evaluated(multihead()),
    "transformer": transformer,
    "transformer norm first": lambda: transformer(norm_first=True),
    "tied weights": tied,
    "unused parameters": unused,
    "frozen parameters": frozen,
    "ragged last batch": ragged,
    "checkpointed": checkpointed,
    "BCEWithLogitsLoss": lambda: criterion(nn.BCEWithLogitsLoss(), lambda: torch.rand(6, 2)),
    "SmoothL1Loss": lambda: criterion(nn.SmoothL1Loss(), lambda: torch.randn(6, 2)),
    "HuberLoss": lambda: criterion(nn.HuberLoss(delta=0.5), lambda: torch.randn(6, 2)),
    "KLDivLoss": lambda: criterion(
        lambda z, p: functional.kl_div(z.log_softmax(-1), p, reduction="batchmean"),
        lambda: torch.rand(6, 2).softmax(-1),
    ),
    "PoissonNLLLoss": lambda: criterion(nn.PoissonNLLLoss(), lambda: torch.rand(6, 2)),
    "label smoothing": lambda: criterion(nn.CrossEntropyLoss(label_smoothing=0.1), lambda: torch.randint(2, (6,))),
    "class weights": lambda: criterion(
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0])), lambda: torch.randint(2, (6,))
    ),
}  # fmt: skip


def built(name: str, seed: int = 0, dtype: torch.dtype = torch.float64) -> Case:
    """The case of a name in the table."""
    return made(CASES[name], seed, dtype)


def made(build: Callable[[], Case], seed: int = 0, dtype: torch.dtype = torch.float64) -> Case:
    """A case in a dtype, its parameters away from special points such as zero biases."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model, loss, data = build()
            with torch.no_grad():
                for p in model.parameters():
                    p.add_(0.1 * torch.randn_like(p))
    finally:
        torch.set_default_dtype(before)
    return model.to(dtype), loss, data
