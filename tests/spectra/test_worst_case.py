"""A step for the worst member is stable for every member, and for exact sets no larger step is."""

import numpy as np
import pytest

import surefoot as sf
from surefoot.errors import InvalidInput, InvalidType
from surefoot.methods import GradientDescent
from surefoot.spectra import Affine, Ball, FeatureRanges, Hull, Interval, Rectangular, RowPerturbation, worst_case

RNG = np.random.default_rng(11)


def random_psd(n, seed):
    factor = np.random.default_rng(seed).standard_normal((2 * n, n))
    return factor.T @ factor / n


def widths(n, size):
    half = size * np.random.default_rng(5).uniform(0, 1, (n, n))
    return (half + half.T) / 2


CENTER = random_psd(4, 0) + 2 * np.eye(4)
LARGE = random_psd(20, 3)
DESIGN = RNG.standard_normal((6, 3))

SETS = {
    "hull": Hull([random_psd(4, seed) for seed in range(5)]),
    "spectral ball": Ball(CENTER, 0.3),
    "Frobenius ball": Ball(CENTER, 0.3, "frobenius"),
    "interval": Interval(CENTER - widths(4, 0.2), CENTER + widths(4, 0.2)),
    "large interval": Interval(LARGE - widths(20, 0.05), LARGE + widths(20, 0.05)),
    "affine": Affine(CENTER, [random_psd(4, 7), random_psd(4, 8)], [(-0.1, 0.2), (0.0, 0.3)]),
    "many parameters": Affine(CENTER, [random_psd(4, s) for s in range(20)], [(-0.01, 0.02)] * 20),
    "rectangular": Rectangular(DESIGN - 0.1, DESIGN + 0.1),
    "large rectangular": Rectangular(np.tile(DESIGN, (4, 1)) - 0.1, np.tile(DESIGN, (4, 1)) + 0.1),
    "feature ranges": FeatureRanges(DESIGN, 0.8, [1.0, 1.5, 2.0]),
    "rows": RowPerturbation(DESIGN, 0.2),
}
NAMED = pytest.mark.parametrize("members", SETS.values(), ids=SETS.keys())


@NAMED
def test_no_sampled_member_exceeds_it(members):
    found = worst_case(members)
    rng = np.random.default_rng(0)
    members = np.stack([members.sample(rng) for _ in range(10_000)])
    values = np.linalg.eigvalsh(members)
    assert values.max() <= found.largest.upper * (1 + 1e-12)
    assert values.min() >= found.smallest.lower - 1e-12 * found.largest.upper
    step = sf.limits(found).stable
    assert (GradientDescent().amplification(-step * values[values > 0]) <= 1 + 1e-9).all()


def test_exact_sets_have_a_member_that_1_02_times_the_step_makes_diverge():
    hull = SETS["hull"]
    worst = max(hull.matrices, key=lambda m: np.linalg.eigvalsh(m)[-1])
    values, vectors = np.linalg.eigh(CENTER)
    ball = CENTER + 0.3 * np.outer(vectors[:, -1], vectors[:, -1])
    design = DESIGN * SETS["feature ranges"].high
    for members, member in ((hull, worst), (SETS["spectral ball"], ball), (SETS["feature ranges"], design.T @ design)):
        found = worst_case(members)
        assert found.largest.lower_is == found.largest.upper_is == "exact"
        top = np.linalg.eigvalsh(member)[-1]
        assert GradientDescent().amplification(-1.02 * sf.limits(found).stable * top) > 1
    assert values[-1] < worst_case(SETS["spectral ball"]).largest.upper


@pytest.mark.parametrize("n", [2, 3])
def test_the_interval_is_exact_by_brute_force_over_all_vertices(n):
    rng = np.random.default_rng(n)
    center = rng.standard_normal((n, n))
    center = center + center.T
    half = rng.uniform(0, 1, (n, n))
    half = (half + half.T) / 2
    rows, columns = np.tril_indices(n)
    tops, bottoms = [], []
    for code in range(2 ** len(rows)):
        pattern = np.zeros((n, n))
        pattern[rows, columns] = [1.0 if code >> k & 1 else -1.0 for k in range(len(rows))]
        pattern = np.tril(pattern) + np.tril(pattern, -1).T
        values = np.linalg.eigvalsh(center + pattern * half)
        tops.append(values[-1])
        bottoms.append(values[0])
    found = worst_case(Interval(center - half, center + half))
    assert found.largest.upper == pytest.approx(max(tops), rel=1e-12)
    assert found.smallest.lower == pytest.approx(min(bottoms), rel=1e-12)


def test_reference_value():
    nominal = np.array([[2.0, 1.0], [1.0, 3.0]])
    found = worst_case(Rectangular(nominal - 0.1, nominal + 0.1))
    assert found.largest.upper == pytest.approx(14.503183906, rel=1e-8)
    step = sf.limits(sf.operators.gram(nominal)).stable
    assert step * found.largest.upper == pytest.approx(2.2159, rel=1e-4)
    assert found.provenance == "worst case"
    assert "largest exact" in found.note


@pytest.mark.parametrize("name", ["large interval", "many parameters", "large rectangular", "rows"])
def test_a_bound_is_called_one_and_is_not_far_off(name):
    found = worst_case(SETS[name])
    assert found.largest.upper_is == "proved"
    assert found.largest.lower < found.largest.upper < 1.5 * found.largest.lower
    assert "largest a bound" in found.note


def test_several_spectra():
    parts = [sf.spectrum(random_psd(4, seed)) for seed in range(3)]
    found = worst_case(parts)
    assert found.largest.upper == max(part.largest.upper for part in parts)
    assert found.smallest.lower == min(part.smallest.lower for part in parts)
    flows = [sf.spectrum([[-1.0, w], [-w, -1.0]], kind="jacobian") for w in (1.0, 3.0)]
    assert sf.limits(worst_case(flows)).stable == pytest.approx(2 / (1 + 9))
    skewed = [sf.spectrum([[-1.0, s], [0.0, -2.0]], kind="jacobian") for s in (0.5, 9.0)]
    assert sf.limits(worst_case(skewed)).stable <= min(sf.limits(s).stable for s in skewed) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: Hull([]), InvalidInput, "at least one"),
        (lambda: Hull([np.eye(2), np.eye(3)]), InvalidInput, "one size"),
        (lambda: Hull([[[1.0, 2], [0, 1]]]), InvalidInput, r"matrices\[0\] must be real and symmetric"),
        (lambda: Ball(np.eye(2), -1.0), InvalidInput, "radius"),
        (lambda: Ball(np.eye(2), 1.0, "max"), InvalidInput, "norm"),
        (lambda: Interval(np.eye(2), np.zeros((2, 2))), InvalidInput, "lower exceeds upper"),
        (lambda: Interval(np.eye(2), np.eye(3)), InvalidInput, "one shape"),
        (lambda: Affine(np.eye(2), [], []), InvalidInput, "direction"),
        (lambda: Affine(np.eye(2), [np.eye(2)], [(1.0, 0.0)]), InvalidInput, "box"),
        (lambda: FeatureRanges(DESIGN, -1.0, 1.0), InvalidInput, "positive"),
        (lambda: RowPerturbation(DESIGN, np.nan), InvalidInput, "radius"),
        (lambda: worst_case([]), InvalidInput, "at least one"),
        (lambda: worst_case(np.eye(2)), InvalidType, "ndarray"),
    ],
)
def test_bad_input(make, error, says):
    with pytest.raises(error, match=says):
        make()
