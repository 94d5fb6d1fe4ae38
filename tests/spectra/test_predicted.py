"""Spectra predicted without a measurement: laws by their moments and by finite matrices, networks by exact kernels."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.linalg import eigvalsh

from surefoot import limits
from surefoot.errors import InvalidInput, NotFinite, SurefootError
from surefoot.spectra import MarchenkoPastur, Spectrum, Wigner, predict_wide, spectrum
from surefoot.spectra.random_matrices._wide_edge import Layers, top_eigenvalue
from surefoot.spectra.random_matrices._wide_kernels import ACTIVATIONS

# Next to 1 the lower edge nears 0, where the density has a peak that the test's own quadrature misses.
RATIOS = st.floats(0.05, 8.0).filter(lambda g: abs(g - 1) > 1e-3)


def integral(law, power):
    """The moment by quadrature in the angle, in which both edges are smooth."""
    low, high = law.support
    centre, half = (low + high) / 2, (high - low) / 2

    def at(angle):
        x = centre + half * math.cos(angle)
        return x**power * float(law.density(x)) * half * math.sin(angle)

    return quad(at, 0, math.pi, epsabs=1e-12, limit=400)[0]


@settings(max_examples=30)
@given(ratio=RATIOS, variance=st.floats(0.1, 10.0))
def test_marchenko_pastur_moments(ratio, variance):
    law = MarchenkoPastur(ratio, variance)
    assert integral(law, 0) + law.atom == pytest.approx(1.0, abs=1e-6)
    for k in (1, 2, 3, 4):
        assert integral(law, k) == pytest.approx(law.moment(k), rel=1e-6)
    assert law.moment(1) == pytest.approx(variance)
    assert law.moment(2) == pytest.approx(variance**2 * (1 + ratio))


@settings(max_examples=30)
@given(ratio=RATIOS, q=st.floats(0.001, 0.999))
def test_cdf_is_the_integral_and_quantile_its_inverse(ratio, q):
    law = MarchenkoPastur(ratio)
    low, high = law.support
    x = low + q * (high - low)
    mass = quad(lambda s: 2 * s * float(law.density(high - s * s)), 0, math.sqrt(high - x), limit=200)[0]
    assert float(law.cdf(x)) == pytest.approx(1 - mass, abs=1e-7)
    assert law.cdf([-1.0, high, high + 1]) == pytest.approx([0.0, 1.0, 1.0], abs=1e-12)
    assert float(law.cdf(low * 0.999)) == pytest.approx(law.atom, abs=1e-12)
    back = float(law.quantile(q))
    assert back == 0.0 if q < law.atom else float(law.cdf(back)) == pytest.approx(q, abs=1e-10)


@pytest.mark.parametrize(("n", "p", "seen", "room"), [(50, 25, -0.081, 0.02), (400, 200, -0.0195, 0.006)])
def test_largest_eigenvalue_of_finite_matrices(n, p, seen, room):
    rng = np.random.default_rng(0)
    law = MarchenkoPastur(p / n)
    tops = np.array([np.linalg.norm(rng.standard_normal((n, p)), 2) ** 2 / n for _ in range(60)])
    edge, (mean, deviation) = law.support[1], law.largest(n)
    assert tops.mean() / edge - 1 == pytest.approx(seen, abs=room)
    # Johnstone's centring takes most of that away
    assert tops.mean() == pytest.approx(mean, rel=0.004 + 3 * deviation / mean / math.sqrt(60))
    assert tops.std() == pytest.approx(deviation, rel=0.35)


@pytest.mark.slow
def test_largest_eigenvalue_of_a_large_matrix():
    rng = np.random.default_rng(1)
    top = np.mean([np.linalg.norm(rng.standard_normal((2000, 1000)), 2) ** 2 / 2000 for _ in range(3)])
    law = MarchenkoPastur(0.5)
    assert top / law.support[1] - 1 == pytest.approx(-0.0065, abs=0.004)
    assert top == pytest.approx(law.largest(2000)[0], rel=0.004)


def test_share_of_eigenvalues_of_a_finite_matrix():
    rng = np.random.default_rng(2)
    for n, p in ((400, 200), (200, 400)):
        values = np.linalg.eigvalsh(np.cov(rng.standard_normal((n, p)), rowvar=False, bias=True))
        for q in (0.1, 0.4, 0.6, 0.9):
            at = float(MarchenkoPastur(p / n).quantile(q))
            assert (values <= at + 1e-9).mean() == pytest.approx(q if at > 0 else 0.5, abs=0.015)


@pytest.mark.parametrize("spike", [2.5, 4.0, 10.0])
def test_outlier_of_a_spiked_covariance(spike):
    rng = np.random.default_rng(3)
    n, p = 800, 400
    tops = []
    for _ in range(8):
        x = rng.standard_normal((n, p))
        x[:, 0] *= math.sqrt(3 * spike)
        tops.append(np.linalg.norm(math.sqrt(1.0) * np.column_stack([x[:, :1], math.sqrt(3) * x[:, 1:]]), 2) ** 2 / n)
    assert np.mean(tops) == pytest.approx(MarchenkoPastur(0.5, 3.0).spike(3 * spike), rel=0.04)


def test_below_the_threshold_a_spike_is_not_seen():
    law = MarchenkoPastur(0.25)
    assert law.spike(1.49) == law.support[1] == 2.25
    assert law.spike(1.5 + 1e-9) == pytest.approx(2.25)
    assert law.spike(4.0) == pytest.approx(4 * (1 + 0.25 / 3))


def test_limits_take_a_law():
    law = MarchenkoPastur(0.25, variance=2.0)
    lim = limits(law)
    assert lim.stable == pytest.approx(2 / law.support[1])
    assert lim.optimal == pytest.approx(2 / sum(law.support))
    assert law.curvature().provenance == "predicted"
    assert "of a large size" in str(law.curvature())
    assert limits(MarchenkoPastur(4.0)).rate == 1.0  # more features than samples: 0 is an eigenvalue
    assert limits(Wigner()).stable == 0.0


def test_wigner():
    law = Wigner(4.0)
    assert law.support == (-4.0, 4.0)
    for k in (0, 2, 4, 6):
        assert integral(law, k) == pytest.approx(law.moment(k), rel=1e-9)
    assert [Wigner().moment(k) for k in (2, 3, 4, 6, 8)] == [1, 0, 2, 5, 14]
    q = np.array([0.01, 0.3, 0.5, 0.99])
    np.testing.assert_allclose(law.cdf(law.quantile(q)), q, atol=1e-12)
    assert law.quantile(0.5) == pytest.approx(0.0, abs=1e-12)
    assert law.cdf(1.0) - law.cdf(-1.0) == pytest.approx(quad(lambda x: float(law.density(x)), -1, 1)[0], rel=1e-10)
    assert law.spike(1.9) == 4.0
    assert law.spike(4.0) == 5.0


def test_wigner_of_finite_matrices():
    rng = np.random.default_rng(4)
    n, tops, spiked = 200, [], []
    for _ in range(40):
        g = rng.standard_normal((n, n))
        a = (g + g.T) / math.sqrt(2 * n)
        tops.append(np.linalg.eigvalsh(a)[-1])
        a[0, 0] += 3.0
        spiked.append(np.linalg.eigvalsh(a)[-1])
    mean, deviation = Wigner().largest(n)
    assert np.mean(tops) == pytest.approx(mean, abs=4 * deviation / math.sqrt(40))
    assert np.std(tops) == pytest.approx(deviation, rel=0.4)
    assert np.mean(spiked) == pytest.approx(Wigner().spike(3.0), rel=0.02)


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_kernels_are_the_expectations(name):
    covariance = np.array([[1.3, 0.7, -0.4], [0.7, 0.6, -0.2], [-0.4, -0.2, 0.9]])
    z = np.random.default_rng(5).multivariate_normal(np.zeros(3), covariance, 400_000)
    smooth = ACTIVATIONS[name].function
    h = 1e-5
    values = np.maximum(z, 0) if smooth is None else smooth(z)
    slopes = (z > 0).astype(float) if smooth is None else (smooth(z + h) - smooth(z - h)) / (2 * h)
    got, derivatives = ACTIVATIONS[name].kernels(covariance)
    np.testing.assert_allclose(got, values.T @ values / len(z), atol=8e-3)
    np.testing.assert_allclose(derivatives, slopes.T @ slopes / len(z), atol=8e-3)


def test_erf_kernel_in_closed_form():
    """E erf(u) erf(v) = (2/pi) asin(2 k_uv / sqrt((1 + 2 k_uu)(1 + 2 k_vv))) (Williams 1997)."""
    covariance = np.array([[0.9, 0.5], [0.5, 0.7]])
    spread = np.sqrt(1 + 2 * np.diag(covariance))
    expected = 2 / np.pi * np.arcsin(2 * covariance / np.outer(spread, spread))
    np.testing.assert_allclose(ACTIVATIONS["erf"].kernels(covariance)[0], expected, rtol=1e-9)


def test_top_eigenvalue_of_one_layer_is_marchenko_pastur():
    n, m = 2000, 4000
    white = Layers(np.stack([np.zeros(n), np.full(n, float(m))]), np.ones((1, n)), (m,))
    largest, outlier = top_eigenvalue(white)
    assert not outlier
    assert largest / m == pytest.approx(MarchenkoPastur(n / m).largest(m)[0], rel=2e-3)
    population = np.r_[5.0, np.ones(n - 1)]
    spiked = Layers(np.stack([np.zeros(n), m * population]), population[None], (m,))
    largest, outlier = top_eigenvalue(spiked)
    assert outlier
    assert largest / m == pytest.approx(MarchenkoPastur(n / m).spike(5.0), rel=1e-3)


def test_top_eigenvalue_of_a_product_of_two_random_matrices():
    n, first, second = 300, 500, 400
    rng = np.random.default_rng(6)
    tops = [
        np.linalg.norm(rng.standard_normal((second, first)) @ rng.standard_normal((first, n)), 2) ** 2 / first
        for _ in range(20)
    ]
    parts = np.stack([np.zeros(n), np.zeros(n), np.full(n, float(second))])
    assert top_eigenvalue(Layers(parts, np.ones((2, n)), (first, second)))[0] == pytest.approx(np.mean(tops), rel=0.02)


def network_gram(x, sizes, activation, weight, bias=None, *, seed=0, ntk=False):
    """J J'/n of one random fully connected network with one output, exactly, layer by layer."""
    rng = np.random.default_rng(seed)
    act, slope = {
        "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
        "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    }[activation]
    fans, hidden, slopes, weights = [x.shape[1], *sizes], [x], [], []
    for k, (inward, outward) in enumerate(zip(fans, [*sizes, 1], strict=True)):
        if bias is None:
            w, b = rng.standard_normal((outward, inward)) * math.sqrt(weight / inward), 0.0
        else:  # as torch.nn.Linear draws them
            w = rng.uniform(-1, 1, (outward, inward)) * math.sqrt(3 * weight / inward)
            b = rng.uniform(-1, 1, outward) * math.sqrt(3 * bias / inward)
        weights.append(w)
        if k < len(sizes):
            z = hidden[-1] @ w.T + b
            hidden.append(act(z))
            slopes.append(slope(z))
    back, gram = np.ones((len(x), 1)), np.zeros((len(x), len(x)))
    for k in range(len(sizes), -1, -1):
        scale = weight / fans[k] if ntk else 1.0
        gram += (scale * (hidden[k] @ hidden[k].T) + (0.0 if bias is None else 1.0)) * (back @ back.T)
        if k:
            back = (back @ weights[k]) * slopes[k - 1]
    return gram / len(x)


def largest_of(gram):
    return float(eigvalsh(gram, subset_by_index=(len(gram) - 1, len(gram) - 1))[0])


def mean_largest(x, *args, seeds=4, **kwargs):
    return float(np.mean([largest_of(network_gram(x, *args, seed=s, **kwargs)) for s in range(seeds)]))


@pytest.fixture(scope="module")
def white():
    return np.random.default_rng(1).standard_normal((1000, 32))


def test_the_exact_kernel_is_the_gauss_newton():
    """The oracle itself, against a Jacobian by the complex step."""
    x = np.random.default_rng(7).standard_normal((6, 3))
    w0, rng = [], np.random.default_rng(0)
    for inward, outward in ((3, 5), (5, 4), (4, 1)):
        w0.append(rng.standard_normal((outward, inward)) * math.sqrt(1.0 / inward))
    flat = np.concatenate([w.ravel() for w in w0])

    def run(theta):
        a, b, c = theta[:15].reshape(5, 3), theta[15:35].reshape(4, 5), theta[35:].reshape(1, 4)
        return (np.tanh(np.tanh(x @ a.T) @ b.T) @ c.T)[:, 0]

    jacobian = np.stack([run(flat + 1e-30j * e).imag / 1e-30 for e in np.eye(flat.size)], axis=1)
    np.testing.assert_allclose(network_gram(x, [5, 4], "tanh", 1.0), jacobian @ jacobian.T / 6, rtol=1e-10)


def test_one_relu_layer_within_two_percent_of_the_measured_spectrum(white):
    for width in (1024, 2048):
        predicted = predict_wide([width], white)
        measured = [spectrum(network_gram(white, [width], "relu", 1.0, seed=s)).largest.midpoint for s in range(3)]
        assert predicted.largest.upper == pytest.approx(np.mean(measured), rel=0.02)
        assert "outlier" in predicted.note


def test_one_relu_layer_in_closed_form(white):
    n, d = white.shape
    for m in (256, 1024, 4096):
        pi = math.pi
        outlier = m * (1 / (2 * pi) + 1 / (4 * pi * d)) + 1 / (2 * pi) + (m * (0.5 - 1 / (2 * pi)) + d / 2) / n
        assert predict_wide([m], white).largest.upper == pytest.approx(outlier, rel=0.02)
    ntk = predict_wide([2048], white, parametrization="ntk").largest.upper
    assert ntk == pytest.approx(0.16746, rel=0.02)
    assert ntk == pytest.approx(mean_largest(white, [2048], "relu", 1.0, ntk=True), rel=0.02)


def test_one_tanh_layer_within_six_percent(white):
    for width in (256, 1024):
        predicted = predict_wide([width], white, activation="tanh")
        assert predicted.largest.upper == pytest.approx(mean_largest(white, [width], "tanh", 1.0), rel=0.06)
        assert "edge" in predicted.note


@pytest.mark.parametrize(
    ("activation", "weight", "bias"),
    [("relu", 2.0, None), ("relu", 1 / 3, 1 / 3), ("tanh", 1.0, None), ("tanh", 1 / 3, 1 / 3)],
)
@pytest.mark.parametrize("depth", [2, *(pytest.param(depth, marks=pytest.mark.slow) for depth in (4, 6))])
def test_depth_within_ten_percent(white, activation, weight, bias, depth):
    x, sizes = white[:500], [512] * depth
    got = predict_wide(sizes, x, activation=activation, weight_variance=weight, bias_variance=bias).largest.upper
    assert got == pytest.approx(mean_largest(x, sizes, activation, weight, bias), rel=0.10)


def test_inputs_with_a_covariance_of_their_own():
    rng = np.random.default_rng(8)
    x = rng.standard_normal((500, 24)) * np.geomspace(3.0, 0.1, 24) @ np.linalg.qr(rng.standard_normal((24, 24)))[0]
    x[:, 0] += 1.0
    for activation in ("relu", "tanh"):
        got = predict_wide([1024], x, activation=activation).largest.upper
        assert got == pytest.approx(mean_largest(x, [1024], activation, 1.0), rel=0.05)
    assert predict_wide([1024], 24, samples=500).largest.upper != pytest.approx(
        predict_wide([1024], x).largest.upper, rel=0.2
    )


def test_prediction_of_a_linear_network_is_random_matrix_theory():
    """phi(x) = x with the first layer's kernel added: F'F/n + X X'/(nd) for Gaussian F."""
    x = np.random.default_rng(9).standard_normal((400, 100))
    m, tops = 300, []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        features = x @ rng.standard_normal((100, m)) / 10
        a = rng.standard_normal(m) / math.sqrt(m)
        tops.append(largest_of((features @ features.T + (a @ a) * x @ x.T) / 400))
    assert predict_wide([m], x, activation="identity").largest.upper == pytest.approx(np.mean(tops), rel=0.04)


def test_record_and_limits():
    spec = predict_wide([256], 16, samples=100)
    assert (spec.provenance, spec.kind, spec.scope) == ("predicted", "curvature", "local")
    assert spec.size == 16 * 256 + 256
    assert (spec.largest.lower_is, spec.largest.upper_is) == ("estimate", "estimate")
    assert spec.smallest.lower == spec.smallest.upper == 0.0
    assert Spectrum.from_dict(spec.to_dict()) == spec
    assert limits(spec).curvature_limit == pytest.approx(2 / spec.largest.upper)
    biased = predict_wide([8, 4], 2, samples=500, bias_variance=1.0, outputs=3)
    assert biased.size == 2 * 8 + 8 * 4 + 4 * 3 + 8 + 4 + 3
    assert biased.smallest.upper > 0
    assert "rough" in biased.note


def test_cross_entropy_of_a_classifier_with_default_initialisation():
    """Against the exact matrix of n * K outputs, S^(1/2) J J' S^(1/2) / n with S = diag(p) - p p' of each sample."""
    n, d, m, classes, tops = 80, 20, 512, 5, []
    x = np.random.default_rng(11).standard_normal((n, d))
    for seed in range(4):
        rng = np.random.default_rng(seed)
        w, b = (rng.uniform(-1, 1, shape) / math.sqrt(d) for shape in ((m, d), m))
        v, c = (rng.uniform(-1, 1, shape) / math.sqrt(m) for shape in ((classes, m), classes))
        z = x @ w.T + b
        hidden, open_ = np.maximum(z, 0), (z > 0) * 1.0
        logits = hidden @ v.T + c
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        kernel = np.einsum("ij,kl->ikjl", hidden @ hidden.T + 1, np.eye(classes))
        kernel += np.einsum("ij,iu,ju,ku,lu->ikjl", x @ x.T + 1, open_, open_, v, v, optimize=True)
        root = np.zeros((n * classes, n * classes))
        for i in range(n):
            values, vectors = np.linalg.eigh(np.diag(p[i]) - np.outer(p[i], p[i]))
            block = slice(i * classes, (i + 1) * classes)
            root[block, block] = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
        tops.append(largest_of(root @ kernel.reshape(n * classes, -1) @ root / n))
    got = predict_wide([m], x, weight_variance=1 / 3, bias_variance=1 / 3, outputs=classes, loss="cross-entropy")
    assert got.largest.upper == pytest.approx(np.mean(tops), rel=0.10)


def test_losses_are_factors():
    def largest(**more):
        return predict_wide([128], 8, samples=60, **more).largest.upper

    one, ten = largest(), largest(outputs=10)
    assert largest(loss="squared") == pytest.approx(2 * one)
    assert largest(loss="squared", outputs=10) == pytest.approx(ten / 5)
    # equal probabilities would make it 1/K; random logits make it a little more
    assert 1 < largest(loss="cross-entropy", outputs=10) / (one / 10) < 3
    small = {"weight_variance": 1e-6}
    # nine directions with the curvature 1/10 each
    assert 1 < largest(loss="cross-entropy", outputs=10, **small) * 10 / largest(outputs=9, **small) < 1.01
    # outputs that share a layer get in each other's way
    assert one < largest(outputs=2) < ten < 2 * one


def test_variances_of_each_layer():
    x = np.random.default_rng(11).standard_normal((80, 6))

    def largest(weights, biases):
        return predict_wide([128, 256], x, weight_variance=weights, bias_variance=biases).largest.upper

    assert largest([2.0] * 3, [0.5] * 3) == largest(2.0, 0.5)
    assert largest([2.0] * 3, [None] * 3) == largest(2.0, None)
    # the output's bias adds 1 to each entry of the kernel, so at most 1 to the top, and reaches no other layer
    without, with_one = largest(2.0, None), largest(2.0, [None, None, 0.0])
    assert without < with_one <= without + 1.05
    assert largest(2.0, [None, None, 9.0]) == with_one
    # no bias at the start, but a trained one
    assert largest(2.0, 0.0) > with_one
    assert largest(2.0, 0.0) == pytest.approx(largest(2.0, 1e-12), rel=1e-9)
    # exactly those of the last layer read it: the rest scales with the output weights
    assert largest([2.0, 2.0, 1e-12], None) < without < largest([2.0, 2.0, 4.0], None)
    number = 6 * 128 + 128 * 256 + 256
    assert predict_wide([128, 256], x, bias_variance=[0.0, None, 1.0]).size == number + 128 + 1


def test_scale_of_relu_inputs_and_weights():
    """ReLU is homogeneous: without biases the kernel is, too."""
    x = np.random.default_rng(10).standard_normal((80, 6))
    base = predict_wide([64, 64], x).largest.upper
    assert predict_wide([64, 64], 3 * x).largest.upper == pytest.approx(9 * base, rel=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: predict_wide([], 4, samples=10), "widths"),
        (lambda: predict_wide([8], 4), "samples"),
        (lambda: predict_wide([8], np.ones((5, 2)), samples=4), "contradicts"),
        (lambda: predict_wide([8], np.ones(5)), "shape"),
        (lambda: predict_wide([8], np.full((5, 2), np.nan)), "NaN"),
        (lambda: predict_wide([8], 2, samples=5000), "at most 4000"),
        (lambda: predict_wide([8], 4, samples=10, activation="swish"), "activation must be one of"),
        (lambda: predict_wide([8], 4, samples=10, weight_variance=0.0), "weight_variance"),
        (lambda: predict_wide([8], 4, samples=10, weight_variance=[1.0]), "weight_variance must be a number, or 2"),
        (lambda: predict_wide([8], 4, samples=10, bias_variance=[1.0, -1.0]), "bias_variance"),
        (lambda: predict_wide([8], 4, samples=10, bias_variance=math.nan), "bias_variance"),
        (lambda: predict_wide([8], 4, samples=10, loss="hinge"), "loss"),
        (lambda: predict_wide([8], 4, samples=10, loss="cross-entropy"), "two outputs"),
        (lambda: predict_wide([8], 4, samples=10, parametrization="maximal"), "parametrization"),
        (lambda: MarchenkoPastur(0.0), "ratio"),
        (lambda: MarchenkoPastur(1.0, -1.0), "variance"),
        (lambda: MarchenkoPastur(1.0).quantile(1.5), "share"),
        (lambda: MarchenkoPastur(0.1).largest(3), "samples"),
        (lambda: Wigner(math.inf), "variance"),
        (lambda: Wigner().largest(1), "size"),
    ],
)
def test_errors_say_what_was_seen(call, words):
    with pytest.raises(InvalidInput, match=words) as caught:
        call()
    assert isinstance(caught.value, SurefootError)
    if words == "NaN":
        assert isinstance(caught.value, NotFinite)
