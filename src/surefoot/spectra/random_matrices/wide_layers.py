"""The curvature of a wide network at initialisation, from its statistics, without a network or a Hessian."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surefoot.checks import Count, checked, random_generator, real_array
from surefoot.errors import InvalidInput, NotFinite
from surefoot.spectra.random_matrices._marchenko_pastur import TRACY_WIDOM
from surefoot.spectra.random_matrices._wide_edge import Layers, top_eigenvalue
from surefoot.spectra.random_matrices._wide_kernels import activation_of
from surefoot.spectra.types import Bounds, Spectrum

__all__ = ["predict_wide"]

Reals = NDArray[np.float64]
Loss = Literal["half squared", "squared", "cross-entropy"]
Parametrization = Literal["standard", "ntk", "mup"]

# The kernel of the samples is decomposed: at this size a few seconds and 200 MB.
MOST_SAMPLES = 4000
# Random logits over which the curvature of cross-entropy is averaged (to 1/sqrt(200) of its spread), and the most
# classes that are drawn: with more, the curvature of each falls in proportion.
DRAWS = 200
MOST_CLASSES = 64
# Below this width the expansion in 1/width has shown errors above ten percent (`python -m benchmarks wide-networks`).
WIDE = 128
TOO_LARGE = "the kernels leave the floats; scale the inputs and the variances"


@checked
@np.errstate(over="ignore", invalid="ignore")
def predict_wide(
    widths: Sequence[int],
    inputs: int | ArrayLike,
    *,
    samples: int | None = None,
    activation: str = "relu",
    weight_variance: float | Sequence[float] = 1.0,
    bias_variance: float | Sequence[float | None] | None = None,
    outputs: Count = 1,
    loss: Loss = "half squared",
    parametrization: Parametrization = "standard",
    rng: int | np.random.Generator = 0,
) -> Spectrum:
    """The largest Gauss-Newton eigenvalue of a fully connected network at random initialisation.

        G = (c/n) J J',   E J J' = sum_l n_{l-1} Phi_{l-1} o B_l (+ B_l for biases)
        Phi_l = E phi(z) phi(z)',  z ~ N(0, s_w^2 Phi_{l-1} + s_b^2);   B_l = s_w^2 Phi'_l o B_{l+1},  B_{L+1} = 1

    over the n samples (the recursion of the neural tangent kernel: Jacot et al. 2018, Lee et al. 2019; c from the
    loss). The features of a layer are a sample as large as its width, so their covariance has a wider spectrum than its
    mean: the edge, or the outlier caused by the activation's non-zero mean, comes from random-matrix theory (see
    `MarchenkoPastur.spike` and Silverstein, Choi 1995).

    An *estimate* of the Gauss-Newton matrix, that is of the Hessian where residuals are small or average out; a
    *linear* stability limit at initialisation, not a limit of divergence: ReLU networks above it often spike and come
    back less sharp. It is the mean over random networks: within 5% of that of 40 of width 512, depth 1 to 6, ReLU and
    tanh, PyTorch's initialisation and He's (within 1.1% for ReLU). Single networks scatter around it by about
    sqrt(5 sum 1/m) if they are deep with ReLU (Hanin, Nica 2020), 24% at depth 6 and width 512, less otherwise.

    Parameters
    ----------
    widths : sequence of int
        Widths of the hidden layers.
    inputs : int or array, shape (n, d)
        The training inputs, of any covariance; or their dimension d, for `samples` standard normal ones.
    samples : int, optional
        n; needed only if `inputs` is a dimension.
    activation : "relu", "tanh", "erf", "gelu" or "identity"
    weight_variance : float or sequence of float
        s_w^2: a weight's variance times the number of inputs of its layer. 1 for N(0, 1/fan_in), 2 for He, 1/3 for
        PyTorch's default of nn.Linear. A sequence has one for each hidden layer and one for the output.
    bias_variance : float or sequence of (float or None), optional
        Variance of biases times the number of inputs, 1/3 for PyTorch's default; 0: biases that start at zero;
        None: no biases.
    outputs : int
        Number of outputs.
    loss : "half squared", "squared" or "cross-entropy"
        Mean over samples of |f - y|^2/2; mean over samples and outputs of |f - y|^2, as torch.nn.MSELoss; softmax
        cross-entropy, its probabilities those of random logits.
    parametrization : "standard", "ntk" or "mup"
        How weights and rates depend on the width m. Standard: variances in the weights, one learning rate. NTK:
        variances in factors before weights of variance 1. Maximal update (Yang et al. 2022, table 3, SGD): as standard,
        but the output weights' variance is s_w^2/m^2, and the rate is multiplied by a layer's width for the input
        weights and hidden biases, by 1/m for the output weights; the eigenvalue is that of the curvature scaled so.
    rng : int or numpy.random.Generator
        Seed or generator of standard normal inputs.

    Returns
    -------
    Spectrum
        Provenance "predicted", kind "curvature", scope "local"; both ends of `largest` are one estimate.

    Raises
    ------
    InvalidInput
        If an argument is out of range.

    Examples
    --------
    >>> from surefoot.spectra.random_matrices.wide_layers import predict_wide
    >>> spec = predict_wide([1024], 32, samples=500, parametrization="ntk")
    >>> spec.provenance, round(spec.largest.upper, 2)
    ('predicted', 0.17)
    """
    x = _inputs(inputs, samples, rng)
    n, d = x.shape
    sizes = _hidden_sizes(widths)
    if loss == "cross-entropy" and outputs < 2:
        raise InvalidInput("cross-entropy needs at least two outputs")
    weights, biases = _variances(weight_variance, bias_variance, len(sizes) + 1)
    fans = [d, *sizes]
    features, derivatives = _forward(x, sizes, activation, weights, biases, fans)
    parts = _backward(features, derivatives, fans, weights, biases, parametrization)
    if not np.isfinite(parts).all():
        raise NotFinite(TOO_LARGE)
    # the variance of the logits that all samples share
    shrunk = 1 / sizes[-1] if parametrization == "mup" else 1.0
    spread = weights[-1] * shrunk * float(features[-1].mean()) + (biases[-1] or 0.0) / sizes[-1]
    factor, directions = _loss_curvature(loss, outputs, spread)
    active = activation_of(activation).active
    parts = [part * _sharing_factor(directions, sizes[layer:], active) for layer, part in enumerate(parts)]
    largest, outlier = top_eigenvalue(_diagonal(parts, features[1:], sizes))
    number = sum(a * b for a, b in zip(fans, [*sizes, outputs], strict=True))
    number += sum(size for size, bias in zip([*sizes, outputs], biases, strict=True) if bias is not None)
    value = factor * largest / n
    if not math.isfinite(value):
        raise NotFinite(TOO_LARGE)
    # J has n * outputs rows: with more parameters G is singular
    smallest = Bounds.exactly(0.0) if number > n * outputs else Bounds(0.0, value, "proved", "estimate")
    return Spectrum(
        kind="curvature",
        largest=Bounds(value, value, "estimate", "estimate"),
        smallest=smallest,
        size=number,
        provenance="predicted",
        scope="local",
        note=_note(sizes, activation, outlier),
    )


def _forward(
    x: Reals, sizes: list[int], activation: str, weights: list[float], biases: list[float | None], fans: list[int]
) -> tuple[list[Reals], list[Reals]]:
    """Phi_0, ..., Phi_L and the kernels of the derivatives, Phi'_1, ..., Phi'_L."""
    layer = activation_of(activation)
    features, derivatives = [x @ x.T / x.shape[1]], []
    for k in range(len(sizes)):
        values, slopes = layer.kernels(weights[k] * features[-1] + (biases[k] or 0.0) / fans[k])
        features.append(values)
        derivatives.append(slopes)
    return features, derivatives


def _backward(
    features: list[Reals],
    derivatives: list[Reals],
    fans: list[int],
    weights: list[float],
    biases: list[float | None],
    parametrization: str,
) -> list[Reals]:
    """The parts of E J J' due to the weights that read layer 0, ..., L; that of all biases is added to the first."""
    flow = np.ones_like(features[0])
    parts: list[Reals] = []
    from_biases = np.zeros_like(flow)
    last = len(fans) - 1
    for k in range(last, -1, -1):
        # the squared factors of a layer's weights and biases times their learning rates
        scales = {
            "standard": (fans[k], 1.0),
            "ntk": (weights[k], (biases[k] or 0.0) / fans[k]),
            "mup": (_mup_rate(k, fans) * fans[k], 1.0 if k == last else fans[k + 1]),
        }
        of_weights, of_biases = scales[parametrization]
        parts.append(of_weights * features[k] * flow)
        if biases[k] is not None:
            from_biases += of_biases * flow
        if k > 0:
            shrunk = 1 / fans[k] if parametrization == "mup" and k == last else 1.0
            flow = weights[k] * shrunk * derivatives[k - 1] * flow
    parts[-1] = parts[-1] + from_biases
    return parts[::-1]


def _mup_rate(layer: int, fans: list[int]) -> float:
    """The factor of the learning rate of a layer's weights under maximal update: fan_out, 1, ..., 1, 1/fan_in."""
    if layer == len(fans) - 1:
        return 1 / fans[layer]
    return float(fans[1]) if layer == 0 else 1.0


def _diagonal(parts: list[Reals], features: list[Reals], sizes: list[int]) -> Layers:
    """The parts in the basis of the eigenvectors of their sum, the largest first."""
    from scipy.linalg import eigh

    _, basis = eigh(sum(parts[1:], parts[0]))
    basis = basis[:, ::-1]

    def diagonals(matrices: list[Reals]) -> Reals:
        return np.maximum(np.stack([np.einsum("ij,ij->j", basis, matrix @ basis) for matrix in matrices]), 0.0)

    return Layers(diagonals(parts), diagonals(features), tuple(sizes))


def _inputs(inputs: int | ArrayLike, samples: int | None, rng: int | np.random.Generator) -> Reals:
    if isinstance(inputs, int | np.integer):
        if inputs < 1 or samples is None or samples < 2:
            raise InvalidInput(
                f"for inputs={inputs!r}, a dimension >= 1, give the number of samples >= 2; got samples={samples!r}"
            )
        x = random_generator(rng).standard_normal((samples, int(inputs)))
    else:
        x = real_array(inputs, "inputs")
        if x.ndim != 2 or x.shape[0] < 2 or x.shape[1] < 1:
            raise InvalidInput(f"inputs must have shape (n, d) with n >= 2, or be the dimension d; got {x.shape}")
        if samples is not None and samples != len(x):
            raise InvalidInput(f"samples={samples} contradicts the {len(x)} rows of inputs; leave it out")
        if not np.isfinite(x).all():
            raise NotFinite("inputs hold NaN or infinite entries; drop or impute them")
    if len(x) > MOST_SAMPLES:
        raise InvalidInput(
            f"{len(x)} samples need an eigenvalue problem of that size; give at most {MOST_SAMPLES}, drawn at random: "
            "the largest eigenvalue changes little"
        )
    return x


def _hidden_sizes(widths: Sequence[int]) -> list[int]:
    sizes = [int(w) for w in widths]
    if not sizes or min(sizes) < 2:
        raise InvalidInput(f"widths must hold at least one number >= 2; got {widths!r}")
    return sizes


def _each(value: Any, layers: int) -> list[Any]:
    """A value for each layer; a sequence may hold None, and an array counts as one."""
    several = isinstance(value, Sequence) or getattr(value, "ndim", 0)
    return [*value] if several else [value] * layers


def _variances(
    weight: float | Sequence[float], bias: float | Sequence[float | None] | None, layers: int
) -> tuple[list[float], list[float | None]]:
    """Both variances, one for each layer of weights."""
    weights: list[float] = _each(weight, layers)
    biases: list[float | None] = _each(bias, layers)
    for name, values in (("weight_variance", weights), ("bias_variance", biases)):
        if len(values) != layers:
            raise InvalidInput(f"{name} must be a number, or {layers}: hidden layers and output; got {len(values)}")
    for value in weights:
        if not 0 < value < math.inf:
            raise InvalidInput(f"weight_variance must be positive and finite; got {value!r}")
    for value in biases:
        if value is not None and not 0 <= value < math.inf:
            raise InvalidInput(f"bias_variance must be finite and not negative; got {value!r}")
    return weights, biases


def _sharing_factor(directions: float, widths: list[int], active: float) -> float:
    """The factor by which several outputs sharing layers of these widths raise the largest eigenvalue.

        E lambda_max(W) = 1 + g sqrt(s) + (K - 1) s,    s = sum 1/(a m)

    The gradients of K outputs with respect to a layer are random vectors, of equal length and at right angles only in
    the mean: their Gram matrix W is a Wishart matrix of a m degrees of freedom, a the share of neurons that pass a
    gradient on, or a product of such, whose variances add to first order. g is the mean largest eigenvalue of the
    Gaussian orthogonal ensemble, by the mean of the Tracy-Widom law, the half chosen so that it vanishes for one
    output. A *heuristic* for layers that are not linear.
    """
    if directions <= 1 or not widths:
        return 1.0
    s, k = sum(1 / m for m in widths) / active, directions - 0.5
    goe = 2 * math.sqrt(k) + TRACY_WIDOM[0] * k ** (-1 / 6)
    return 1 + goe * math.sqrt(s) + (directions - 1) * s


def _loss_curvature(loss: str, outputs: int, spread: float) -> tuple[float, float]:
    """The largest eigenvalue of the loss's second derivative S in the outputs, and how many directions share it.

    The latter is (tr S)^2/tr S^2. For cross-entropy S = diag(p) - p p', p the softmax of the part of the logits that
    all samples share, which has the variance `spread`; 1/K in K - 1 directions for equal probabilities. Averaged over
    draws of it.
    """
    if loss != "cross-entropy":
        return 1.0 if loss == "half squared" else 2.0 / outputs, float(outputs)
    logits = math.sqrt(spread) * np.random.default_rng(0).standard_normal((DRAWS, min(outputs, MOST_CLASSES)))
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    curvatures = p[:, :, None] * np.eye(p.shape[1]) - p[:, :, None] * p[:, None, :]
    values = np.linalg.eigvalsh(curvatures)
    sharing = float((values.sum(axis=1) ** 2 / (values**2).sum(axis=1)).mean())
    # more classes than drawn: each has less, in proportion
    more = outputs / p.shape[1]
    return float(values[:, -1].mean()) / more, sharing * more


def _note(sizes: list[int], activation: str, outlier: bool) -> str:
    where = "an outlier above the bulk" if outlier else "the edge of the bulk"
    text = f"{len(sizes)} hidden layer(s), {activation}: {where}; a linear stability limit at initialisation"
    return text if min(sizes) >= WIDE else f"{text}; narrower than {WIDE}, where this is rough"
