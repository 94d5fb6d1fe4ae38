"""Every layer and loss of torch.nn with its options: a right Hessian, or a refusal that names the reason."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from training.cases import Case, Lambda, after, bag, cell, cross_entropy, embedding, evaluated, mse, recurrent

from surefoot.training import supervised

LINE, SIGNAL, IMAGE, VOLUME = (6, 4), (5, 4, 6), (3, 2, 6, 6), (2, 2, 4, 4, 4)
Layer = Callable[[], nn.Module]

# By the shape of what goes in. A name is the layer as it would be written.
LAYERS: dict[tuple[int, ...], dict[str, Layer]] = {
    LINE: {
        "CELU(0.5)": lambda: nn.CELU(0.5), "ELU(0.5)": lambda: nn.ELU(0.5), "GELU(tanh)": lambda: nn.GELU("tanh"),
        "Hardshrink": nn.Hardshrink, "Hardtanh(-0.5, 0.5)": lambda: nn.Hardtanh(-0.5, 0.5), "ReLU6": nn.ReLU6,
        "LeakyReLU(0.3)": lambda: nn.LeakyReLU(0.3), "PReLU(4)": lambda: nn.PReLU(4), "Softmin": lambda: nn.Softmin(-1),
        "Softplus(2, 1)": lambda: nn.Softplus(2.0, 1.0), "Softshrink": nn.Softshrink, "LogSoftmax":
        lambda: nn.LogSoftmax(-1), "Threshold": lambda: nn.Threshold(0.1, -0.3), "Identity": nn.Identity,
        "ReLU in place": lambda: nn.ReLU(inplace=True), "ELU in place": lambda: nn.ELU(inplace=True),
        "SiLU in place": lambda: nn.SiLU(inplace=True), "Mish in place": lambda: nn.Mish(inplace=True),
        "Hardswish in place": lambda: nn.Hardswish(inplace=True), "CELU in place": lambda: nn.CELU(inplace=True),
        "Hardsigmoid in place": lambda: nn.Hardsigmoid(inplace=True), "SELU in place": lambda: nn.SELU(inplace=True),
        "Hardtanh in place": lambda: nn.Hardtanh(inplace=True), "ReLU6 in place": lambda: nn.ReLU6(inplace=True),
        "RReLU eval": lambda: nn.RReLU().eval(), "AlphaDropout eval": lambda: nn.AlphaDropout(0.5).eval(),
        "FeatureAlphaDropout eval": lambda: nn.FeatureAlphaDropout(0.5).eval(),
        "Dropout(0)": lambda: nn.Dropout(0.0), "Linear without bias": lambda: nn.Linear(4, 5, bias=False),
        "LayerNorm without affine": lambda: nn.LayerNorm(4, elementwise_affine=False),
        "LayerNorm without bias": lambda: nn.LayerNorm(4, bias=False),
        "RMSNorm without affine": lambda: nn.RMSNorm(4, elementwise_affine=False),
        "BatchNorm1d without affine": lambda: nn.BatchNorm1d(4, affine=False),
        "BatchNorm1d without statistics": lambda: nn.BatchNorm1d(4, track_running_stats=False),
        "BatchNorm1d, momentum None": lambda: nn.BatchNorm1d(4, momentum=None),
        "SyncBatchNorm eval": lambda: nn.SyncBatchNorm(4).eval(), "GroupNorm of vectors": lambda: nn.GroupNorm(2, 4),
        "Unflatten": lambda: nn.Unflatten(1, (2, 2)), "GLU of features": lambda: nn.GLU(1),
        "Sequential": lambda: nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)),
    },
    SIGNAL: {
        "AdaptiveAvgPool1d": lambda: nn.AdaptiveAvgPool1d(4), "AdaptiveMaxPool1d": lambda: nn.AdaptiveMaxPool1d(4),
        "AvgPool1d": lambda: nn.AvgPool1d(2), "AvgPool1d, ceil": lambda: nn.AvgPool1d(4, ceil_mode=True),
        "MaxPool1d": lambda: nn.MaxPool1d(2), "MaxPool1d dilated": lambda: nn.MaxPool1d(2, dilation=2),
        "LPPool1d(2)": lambda: nn.LPPool1d(2, 2), "LPPool1d(4)": lambda: nn.LPPool1d(4, 2),
        "CircularPad1d": lambda: nn.CircularPad1d(2), "ConstantPad1d": lambda: nn.ConstantPad1d(1, 0.5),
        "ReflectionPad1d": lambda: nn.ReflectionPad1d(2), "ReplicationPad1d": lambda: nn.ReplicationPad1d(2),
        "ZeroPad1d": lambda: nn.ZeroPad1d(1), "Conv1d circular": lambda: nn.Conv1d(4, 3, 3, padding=1,
        padding_mode="circular"), "Conv1d reflect": lambda: nn.Conv1d(4, 3, 3, padding=1, padding_mode="reflect"),
        "Conv1d same": lambda: nn.Conv1d(4, 3, 3, padding="same"), "Conv1d depthwise": lambda: nn.Conv1d(4, 8, 2,
        groups=4), "ConvTranspose1d": lambda: nn.ConvTranspose1d(4, 3, 2, stride=2),
        "ConvTranspose1d, output padding": lambda: nn.ConvTranspose1d(4, 3, 3, stride=2, output_padding=1),
        "InstanceNorm1d, statistics": lambda: nn.InstanceNorm1d(4, track_running_stats=True),
        "BatchNorm1d of signals": lambda: nn.BatchNorm1d(4),
        "LayerNorm of two dimensions": lambda: nn.LayerNorm((4, 6)),
        "Dropout1d eval": lambda: nn.Dropout1d(0.5).eval(), "LocalResponseNorm": lambda: nn.LocalResponseNorm(2),
        "Upsample linear": lambda: nn.Upsample(scale_factor=2, mode="linear"),
        "Upsample nearest-exact": lambda: nn.Upsample(scale_factor=1.5, mode="nearest-exact"),
        "Softmax of channels": lambda: nn.Softmax(1), "PReLU of channels": lambda: nn.PReLU(4),
        "Linear of signals": lambda: nn.Linear(6, 3), "Bilinear with itself": lambda: Lambda(
            lambda m, x: m.pair(x, x), pair=nn.Bilinear(6, 6, 2)),
        "Transformer layer": lambda: nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True),
        "Transformer layer, GELU": lambda: nn.TransformerEncoderLayer(6, 2, 8, 0.0, "gelu", batch_first=True),
        "Transformer layer without bias": lambda: nn.TransformerEncoderLayer(6, 2, 8, 0.0, bias=False),
        "Transformer decoder layer": lambda: Lambda(lambda m, x: m.layer(x, x), layer=nn.TransformerDecoderLayer(
            6, 2, 8, 0.0, batch_first=True)),
        "Transformer decoder": lambda: Lambda(lambda m, x: m.stack(x, x), stack=nn.TransformerDecoder(
            nn.TransformerDecoderLayer(6, 2, 8, 0.0, batch_first=True), 2)),
        "Transformer": lambda: Lambda(lambda m, x: m.both(x, x), both=nn.Transformer(
            6, 2, 1, 1, 8, 0.0, batch_first=True)),
        "attention with a key bias": lambda: Lambda(lambda m, x: m.a(x, x, x)[0], a=nn.MultiheadAttention(
            6, 2, add_bias_kv=True, batch_first=True)),
        "attention with a zero key": lambda: Lambda(lambda m, x: m.a(x, x, x)[0], a=nn.MultiheadAttention(
            6, 3, add_zero_attn=True, batch_first=True)),
        "attention to other sizes": lambda: Lambda(lambda m, x: m.a(x, x[..., :4], x[..., 1:5])[0],
            a=nn.MultiheadAttention(6, 2, kdim=4, vdim=4, batch_first=True)),
        "attention with a mask": lambda: Lambda(lambda m, x: m.a(x, x, x, attn_mask=torch.ones(
            4, 4, dtype=torch.bool).triu(1))[0], a=nn.MultiheadAttention(6, 2, batch_first=True)),
        "scaled dot product": lambda: Lambda(lambda m, x: functional.scaled_dot_product_attention(x, x, x, scale=0.7)),
    },
    IMAGE: {
        "AdaptiveMaxPool2d": lambda: nn.AdaptiveMaxPool2d(3), "AdaptiveAvgPool2d(None, 2)": lambda:
        nn.AdaptiveAvgPool2d((None, 2)), "AvgPool2d padded": lambda: nn.AvgPool2d(3, padding=1),
        "AvgPool2d, divisor": lambda: nn.AvgPool2d(2, divisor_override=3), "MaxPool2d padded": lambda:
        nn.MaxPool2d(3, 2, padding=1), "MaxPool2d dilated": lambda: nn.MaxPool2d(2, dilation=2),
        "LPPool2d": lambda: nn.LPPool2d(2, 2), "CircularPad2d": lambda: nn.CircularPad2d(1), "ConstantPad2d":
        lambda: nn.ConstantPad2d(1, 2.0), "ReflectionPad2d": lambda: nn.ReflectionPad2d(1), "ReplicationPad2d":
        lambda: nn.ReplicationPad2d(1), "ZeroPad2d": lambda: nn.ZeroPad2d(1), "ChannelShuffle": lambda:
        nn.ChannelShuffle(2), "PixelUnshuffle": lambda: nn.PixelUnshuffle(2), "Softmax2d": nn.Softmax2d,
        "Fold of unfolded": lambda: nn.Sequential(nn.Unfold(2, stride=2), nn.Fold((6, 6), 2, stride=2)),
        "Unfold": lambda: nn.Unfold(2), "UpsamplingNearest2d": lambda: nn.UpsamplingNearest2d(scale_factor=2),
        "UpsamplingBilinear2d": lambda: nn.UpsamplingBilinear2d(scale_factor=2), "Upsample bicubic": lambda:
        nn.Upsample(scale_factor=2, mode="bicubic"), "Upsample bilinear, aligned": lambda: nn.Upsample(
            scale_factor=2, mode="bilinear", align_corners=True),
        "interpolate, antialiased": lambda: Lambda(lambda m, x: functional.interpolate(x, (3, 3), mode="bilinear",
            antialias=True)),
        "LocalResponseNorm of images": lambda: nn.LocalResponseNorm(3),
        "InstanceNorm2d plain": lambda: nn.InstanceNorm2d(2), "GroupNorm of images": lambda: nn.GroupNorm(1, 2),
        "GroupNorm without affine": lambda: nn.GroupNorm(2, 2, affine=False), "LayerNorm of images": lambda:
        nn.LayerNorm((2, 6, 6)), "Conv2d depthwise": lambda: nn.Conv2d(2, 4, 3, groups=2), "Conv2d replicate":
        lambda: nn.Conv2d(2, 2, 3, padding=1, padding_mode="replicate"), "Conv2d 1 x 1": lambda: nn.Conv2d(2, 3, 1),
        "Conv2d of one row": lambda: nn.Conv2d(2, 2, (1, 3)), "Conv2d without bias": lambda: nn.Conv2d(2, 3, 2,
        bias=False), "ConvTranspose2d dilated": lambda: nn.ConvTranspose2d(2, 2, 2, dilation=2),
        "ConvTranspose2d grouped": lambda: nn.ConvTranspose2d(2, 4, 2, groups=2), "Dropout2d eval": lambda:
        nn.Dropout2d(0.5).eval(), "max unpooled": lambda: Lambda(lambda m, x: m.un(*m.pool(x)), pool=nn.MaxPool2d(
            2, return_indices=True), un=nn.MaxUnpool2d(2)),
        "grid_sample": lambda: Lambda(lambda m, x: functional.grid_sample(x, functional.affine_grid(
            m.turn.expand(len(x), 2, 3), (len(x), 2, 4, 4), align_corners=False), align_corners=False),
            turn_=nn.Identity()),
        "normalize": lambda: Lambda(lambda m, x: functional.normalize(x, dim=1)), "einsum": lambda: Lambda(
            lambda m, x: torch.einsum("bcij,bckj->bcik", x, x)), "logsumexp": lambda: Lambda(
            lambda m, x: x.logsumexp(-1)), "standard deviation": lambda: Lambda(lambda m, x: x.std(-1)),
        "cumulative product": lambda: Lambda(lambda m, x: x.cumprod(-1)), "sorted": lambda: Lambda(
            lambda m, x: x.sort(-1).values), "fft": lambda: Lambda(lambda m, x: torch.fft.rfft2(x).abs()),
        "matrix exponential": lambda: Lambda(lambda m, x: torch.linalg.matrix_exp(0.1 * x)), "determinant": lambda:
        Lambda(lambda m, x: torch.linalg.slogdet(x @ x.mT + torch.eye(6)).logabsdet[..., None]), "inverse": lambda:
        Lambda(lambda m, x: torch.linalg.inv(x @ x.mT + torch.eye(6))), "Cholesky": lambda: Lambda(
            lambda m, x: torch.linalg.cholesky(x @ x.mT + torch.eye(6))),
        "eigenvalues": lambda: Lambda(lambda m, x: torch.linalg.eigvalsh(x @ x.mT)), "singular values": lambda:
        Lambda(lambda m, x: torch.linalg.svdvals(x)),
    },
    VOLUME: {
        "AdaptiveAvgPool3d": lambda: nn.AdaptiveAvgPool3d(2), "AdaptiveMaxPool3d": lambda: nn.AdaptiveMaxPool3d(2),
        "AvgPool3d": lambda: nn.AvgPool3d(2), "MaxPool3d": lambda: nn.MaxPool3d(2), "LPPool3d": lambda:
        nn.LPPool3d(2, 2), "BatchNorm3d": lambda: nn.BatchNorm3d(2), "InstanceNorm3d": lambda: nn.InstanceNorm3d(2),
        "CircularPad3d": lambda: nn.CircularPad3d(1), "ConstantPad3d": lambda: nn.ConstantPad3d(1, 1.0),
        "ReflectionPad3d": lambda: nn.ReflectionPad3d(1), "ReplicationPad3d": lambda: nn.ReplicationPad3d(1),
        "ZeroPad3d": lambda: nn.ZeroPad3d(1), "ConvTranspose3d": lambda: nn.ConvTranspose3d(2, 2, 2), "Dropout3d eval":
        lambda: nn.Dropout3d(0.5).eval(), "Upsample trilinear": lambda: nn.Upsample(scale_factor=2, mode="trilinear"),
        "Conv3d strided": lambda: nn.Conv3d(2, 2, 2, stride=2), "max unpooled, 3-D": lambda: Lambda(
            lambda m, x: m.un(*m.pool(x)), pool=nn.MaxPool3d(2, return_indices=True), un=nn.MaxUnpool3d(2)),
    },
}  # fmt: skip


def _after(layer: Layer, shape: tuple[int, ...]) -> Case:
    made = layer()
    if hasattr(made, "turn_"):
        made.turn = nn.Parameter(torch.tensor([[0.9, 0.1, 0.05], [-0.1, 0.8, 0.02]]))
    return after(made, *shape)


def pair(function: Any, target: Callable[[], torch.Tensor], width: int = 4) -> Case:
    """A network with two outputs of a row each, of which a loss of pairs is taken."""
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2 * width))
    goal = target()
    return model, lambda m, b: function(*m(b).chunk(2, -1), goal), torch.randn(6, 3)


def single(function: Any, target: Callable[[], torch.Tensor]) -> Case:
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4))
    return (
        model,
        supervised(function) if isinstance(function, nn.Module) else (lambda m, b: function(m(b[0]), b[1])),
        (torch.randn(6, 3), target()),
    )


def triple(function: Any) -> Case:
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 12))
    return model, lambda m, b: function(*m(b).chunk(3, -1)), torch.randn(6, 3)


def sequences(function: Any) -> Case:
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4))
    labels, long, short = torch.randint(1, 4, (2, 3)), torch.tensor([7, 7]), torch.tensor([3, 2])
    return model, lambda m, b: function(m(b).log_softmax(-1), labels, long, short), torch.randn(7, 2, 3)


def classes() -> torch.Tensor:
    return torch.randint(4, (6,))


def signs(*shape: int) -> Callable[[], torch.Tensor]:
    return lambda: torch.randint(2, shape).double() * 2 - 1


class Ranked(nn.Module):
    """A head of AdaptiveLogSoftmaxWithLoss over a body."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(3, 8), nn.AdaptiveLogSoftmaxWithLoss(8, 12, [4, 8], div_value=2.0)


LOSSES: dict[str, Callable[[], Case]] = {
    "MSELoss": lambda: single(nn.MSELoss(), lambda: torch.randn(6, 4)),
    "L1Loss": lambda: single(lambda z, t: functional.l1_loss(z.exp(), t), lambda: torch.randn(6, 4)),
    "BCELoss": lambda: single(lambda z, t: nn.BCELoss()(z.sigmoid(), t), lambda: torch.rand(6, 4)),
    "BCEWithLogitsLoss, weights": lambda: single(nn.BCEWithLogitsLoss(pos_weight=torch.tensor([1.0, 2, 3, 4])),
        lambda: torch.rand(6, 4)),
    "NLLLoss": lambda: single(lambda z, t: nn.NLLLoss()(z.log_softmax(-1), t), classes),
    "CrossEntropyLoss of shares": lambda: single(nn.CrossEntropyLoss(), lambda: torch.rand(6, 4).softmax(-1)),
    "CrossEntropyLoss, ignored": lambda: single(nn.CrossEntropyLoss(ignore_index=0), lambda: torch.arange(6) % 4),
    "GaussianNLLLoss": lambda: pair(lambda m, v, t: nn.GaussianNLLLoss()(m, t, v.exp()), lambda: torch.randn(6, 4)),
    "GaussianNLLLoss, full": lambda: pair(lambda m, v, t: nn.GaussianNLLLoss(full=True)(m, t, v.exp()),
        lambda: torch.randn(6, 4)),
    "PoissonNLLLoss, plain": lambda: single(lambda z, t: nn.PoissonNLLLoss(log_input=False)(z.exp(), t),
        lambda: torch.rand(6, 4)),
    "PoissonNLLLoss, full": lambda: single(nn.PoissonNLLLoss(full=True), lambda: 3 * torch.rand(6, 4)),
    "KLDivLoss of logs": lambda: single(lambda z, t: nn.KLDivLoss(reduction="batchmean", log_target=True)(
        z.log_softmax(-1), t), lambda: torch.rand(6, 4).log_softmax(-1)),
    "SoftMarginLoss": lambda: single(nn.SoftMarginLoss(), signs(6, 4)),
    "MultiLabelSoftMarginLoss": lambda: single(nn.MultiLabelSoftMarginLoss(),
        lambda: torch.randint(2, (6, 4)).double()),
    "HingeEmbeddingLoss": lambda: single(lambda z, t: nn.HingeEmbeddingLoss()(z.exp(), t), signs(6, 4)),
    "CosineEmbeddingLoss": lambda: pair(nn.CosineEmbeddingLoss(margin=-0.5), signs(6)),
    "MarginRankingLoss": lambda: pair(lambda a, b, t: nn.MarginRankingLoss(margin=1.0)(a.exp(), b.exp(), t),
        signs(6, 4)),
    "TripletMarginLoss": lambda: triple(nn.TripletMarginLoss(margin=5.0)),
    "TripletMarginLoss, swapped": lambda: triple(nn.TripletMarginLoss(margin=5.0, swap=True)),
    "TripletMarginWithDistanceLoss": lambda: triple(nn.TripletMarginWithDistanceLoss(margin=5.0)),
    "CosineSimilarity": lambda: pair(lambda a, b, t: (nn.CosineSimilarity()(a, b) * t).mean(), signs(6)),
    "PairwiseDistance": lambda: pair(lambda a, b, t: (nn.PairwiseDistance()(a, b) * t).mean(), signs(6)),
    "PairwiseDistance(3)": lambda: pair(lambda a, b, t: (nn.PairwiseDistance(p=3)(a, b) * t).mean(), signs(6)),
    "AdaptiveLogSoftmaxWithLoss": lambda: (Ranked(), lambda m, b: m.head(m.body(b[0]).tanh(), b[1]).loss,
        (torch.randn(6, 3), torch.tensor([0, 3, 5, 7, 9, 11]))),
    "HuberLoss(2)": lambda: single(nn.HuberLoss(delta=2.0), lambda: torch.randn(6, 4)),
    "SmoothL1Loss(0.2)": lambda: single(nn.SmoothL1Loss(beta=0.2), lambda: torch.randn(6, 4)),
}  # fmt: skip

TABLES: dict[str, Callable[[], Case]] = {
    **{f"Embedding, {k}={v}": (lambda k=k, v=v: embedding(**{k: v})) for k, v in (
        ("padding_idx", 0), ("padding_idx", -1), ("scale_grad_by_freq", False))},
    **{f"EmbeddingBag {mode}, padded": (lambda mode=mode: bag(mode=mode, padding_idx=0)) for mode in (
        "mean", "sum", "max")},
    "RNN of ReLU": lambda: recurrent(nn.RNN, nonlinearity="relu"),
    "RNN, two layers": lambda: recurrent(nn.RNN, num_layers=2),
    "RNN both ways": lambda: recurrent(nn.RNN, bidirectional=True),
    "GRU, two layers": lambda: recurrent(nn.GRU, num_layers=2),
    "GRU both ways": lambda: recurrent(nn.GRU, bidirectional=True),
    "LSTM without bias": lambda: recurrent(nn.LSTM, bias=False),
    "LSTM eval": lambda: evaluated(recurrent(nn.LSTM)),
    "GRU eval": lambda: evaluated(recurrent(nn.GRU)),
    "RNNCell": lambda: cell(nn.RNNCell),
    "ParameterList and ParameterDict": lambda: (held(), mse, (torch.randn(5, 3), torch.randn(5, 2))),
}  # fmt: skip


def held() -> nn.Module:
    model = Lambda(lambda m, x: (x @ m.rows[0]).tanh() @ m.named["w"])
    model.rows = nn.ParameterList([torch.randn(3, 4)])
    model.named = nn.ParameterDict({"w": torch.randn(4, 2)})
    return model


# Rows that a forward pass shrinks are held as it leaves them: a difference of gradients moves them back.
SHRINKING: dict[str, Callable[[], Case]] = {
    "Embedding, max_norm": lambda: embedding(max_norm=0.5),
    "EmbeddingBag, max_norm": lambda: bag(max_norm=0.5),
}

# PyTorch has no second derivative of these.
NOT_TWICE: dict[str, Callable[[], Case]] = {
    "CrossMapLRN2d": lambda: after(nn.CrossMapLRN2d(2), *IMAGE),
    "MultiLabelMarginLoss": lambda: single(nn.MultiLabelMarginLoss(), lambda: torch.tensor([[1, 0, -1, 0]] * 6)),
    "MultiMarginLoss": lambda: single(nn.MultiMarginLoss(), classes),
    "MultiMarginLoss, squares": lambda: single(nn.MultiMarginLoss(p=2), classes),
    "CTCLoss": lambda: sequences(nn.CTCLoss()),
}

# Random in train mode.
RANDOM: dict[str, tuple[Layer, tuple[int, ...]]] = {
    "Dropout": (nn.Dropout, LINE), "Dropout1d": (nn.Dropout1d, SIGNAL), "Dropout2d": (nn.Dropout2d, IMAGE),
    "Dropout3d": (nn.Dropout3d, VOLUME), "AlphaDropout": (nn.AlphaDropout, LINE), "FeatureAlphaDropout":
    (nn.FeatureAlphaDropout, LINE), "RReLU": (nn.RReLU, LINE),
    "FractionalMaxPool2d": (lambda: nn.FractionalMaxPool2d(2, output_ratio=0.5), IMAGE),
    "FractionalMaxPool3d": (lambda: nn.FractionalMaxPool3d(2, output_ratio=0.5), VOLUME),
}  # fmt: skip
LAZY = {name: getattr(nn, name) for name in dir(nn) if name.startswith("Lazy")}

MORE: dict[str, Callable[[], Case]] = {
    **{name: (lambda layer=layer, shape=shape: _after(layer, shape)) for shape, layers in LAYERS.items()
       for name, layer in layers.items()},
    **LOSSES,
    **TABLES,
    "cross-entropy of images": lambda: (nn.Conv2d(2, 3, 2), cross_entropy, (torch.randn(3, 2, 5, 5), torch.randint(
        3, (3, 4, 4)))),
    "max unpooled, 1-D": lambda: after(Lambda(lambda m, x: m.un(*m.pool(x)), pool=nn.MaxPool1d(2, return_indices=True),
        un=nn.MaxUnpool1d(2)), *SIGNAL),
    # the oldest PyTorch that is supported has none
    **({"LinearCrossEntropyLoss": lambda: linear_cross_entropy()} if hasattr(nn, "LinearCrossEntropyLoss") else {}),
}  # fmt: skip


def linear_cross_entropy() -> Case:
    head = nn.LinearCrossEntropyLoss(5, 4)
    return Lambda(lambda m, x: x, body=nn.Linear(3, 5), head=head), lambda m, b: m.head(m.body(b[0]).tanh(), b[1]), (
        torch.randn(6, 3), classes())  # fmt: skip
