"""Limits for complex spectra: exact for pairs, both sides by real runs, careful where a matrix is not normal."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import surefoot as sf
from surefoot.errors import InvalidInput
from surefoot.methods import RK4, AdamsBashforth, ForwardEuler, HeavyBall, Leapfrog, RungeKuttaChebyshev
from surefoot.stability.largest_step import largest_step

METHODS = [ForwardEuler(), RK4(), AdamsBashforth(3), RungeKuttaChebyshev(6), HeavyBall(0.5)]
NAMED = pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)


def complex_pairs(seed, pairs=4):
    rng = np.random.default_rng(seed)
    decay, turn = -np.exp(rng.uniform(-1, 3, pairs)), np.exp(rng.uniform(-3, 2, pairs))
    basis = np.linalg.qr(rng.standard_normal((2 * pairs, 2 * pairs)))[0] @ np.diag(rng.uniform(0.5, 2, 2 * pairs))
    block = np.zeros((2 * pairs, 2 * pairs))
    for k, (a, b) in enumerate(zip(decay, turn, strict=True)):
        block[2 * k : 2 * k + 2, 2 * k : 2 * k + 2] = [[a, b], [-b, a]]
    return basis @ block @ np.linalg.inv(basis), decay + 1j * turn


def growth(method, eigenvalues, step):
    return method.amplification(step * eigenvalues).max()


def first_exit(method, eigenvalues):
    """By brute force: the first step of a fine grid at which something grows."""
    steps = np.linspace(0, 40 / np.abs(eigenvalues).max(), 20001)[1:]
    unstable = method.amplification(np.outer(steps, eigenvalues)).max(axis=1) > 1 + 1e-9
    return steps[unstable.argmax()] if unstable.any() else np.inf


def test_fifty_complex_pairs_within_one_percent_and_none_unsafe():
    for seed in range(50):
        matrix, eigenvalues = complex_pairs(seed)
        lim = sf.limits(matrix, kind="jacobian")
        truth = (-2 * eigenvalues.real / np.abs(eigenvalues) ** 2).min()
        assert truth * 0.99 <= lim.curvature_limit <= truth * (1 + 1e-9)
        assert lim.stable <= truth * (1 + 1e-9)
        lim = sf.limits(matrix, RK4(), kind="jacobian")
        truth = first_exit(RK4(), eigenvalues)
        assert truth * 0.99 <= lim.stable <= truth


@NAMED
def test_both_sides_by_real_runs(method):
    matrix, _ = complex_pairs(7, pairs=2)
    lim = sf.limits(matrix, method, kind="jacobian")
    sizes = []
    for factor in (0.99, 1.01):
        state = method.start(np.ones(4))
        for _ in range(3000):
            state = method.update(state, lambda x, f=factor: f * lim.stable * (matrix @ x))
            if np.abs(state[0]).max() > 1e12:
                break
        sizes.append(np.abs(state[0]).max())
    assert sizes[0] < 2
    assert sizes[1] > 10 * sizes[0]


@given(st.integers(0, 40), st.floats(1e-4, 1e4))
@settings(max_examples=20)
def test_covariance(seed, scale):
    matrix, _ = complex_pairs(seed)
    plain, scaled = sf.limits(matrix, RK4(), kind="jacobian"), sf.limits(scale * matrix, RK4(), kind="jacobian")
    assert scaled.stable == pytest.approx(plain.stable / scale, rel=1e-7)


@NAMED
def test_many_eigenvalues_are_bundled_without_loss(method):
    rng = np.random.default_rng(2)
    eigenvalues = -np.exp(rng.uniform(-9, 2, 1500)) + 1j * rng.standard_normal(1500)
    found = sf.Spectrum(
        kind="jacobian",
        largest=sf.Bounds.exactly(eigenvalues.real.max()),
        smallest=sf.Bounds.exactly(eigenvalues.real.min()),
        size=1500,
        provenance="exact",
        points=eigenvalues,
    )
    lim = sf.limits(found, method)
    one_by_one = min(
        float(method.limit_along(z / abs(z))) / abs(z)
        for z in sorted(eigenvalues, key=lambda z: z.real / abs(z) ** 2)[:60]
    )
    assert lim.stable <= one_by_one * (1 + 1e-9)
    assert growth(method, eigenvalues, 0.999 * lim.stable) <= 1 + 1e-9
    assert growth(method, eigenvalues, 1.001 * lim.stable) > 1


def test_the_imaginary_axis():
    turning = np.asarray([[0.0, 3.0], [-3.0, 0.0]])
    assert sf.limits(turning, ForwardEuler(), kind="jacobian").stable == 0
    assert sf.limits(turning, RK4(), kind="jacobian").stable == pytest.approx(8**0.5 / 3, rel=1e-9)
    assert sf.limits(turning, Leapfrog(), kind="jacobian").stable == pytest.approx(1 / 3, rel=1e-9)
    assert sf.limits(turning, AdamsBashforth(2), kind="jacobian").stable == 0
    assert sf.limits(turning, sf.methods.RadauIIA(3), kind="jacobian").stable == np.inf


def test_transient_growth_is_said_and_the_field_of_values_decides():
    n = 40
    upwind = -np.eye(n) + np.diag(np.ones(n - 1), -1)  # eigenvalue -1, n-fold: Euler "may" take a step of 2
    lim = sf.limits(upwind, kind="jacobian")
    assert lim.curvature_limit == pytest.approx(2, rel=1e-9)
    assert lim.stable == pytest.approx(1, rel=0.01)
    assert "may grow" in lim.reasons["transient"]
    assert "fold" in str(lim)

    # and it is true: at 1.9 a unit vector grows a billionfold, at the limit not at all
    def largest(step):
        x, sizes = np.eye(n)[0], []
        for _ in range(200):
            x = x + step * (upwind @ x)
            sizes.append(np.linalg.norm(x))
        return max(sizes)

    assert largest(1.9) > 1e6
    assert largest(0.999 * lim.stable) <= 1.1


@pytest.mark.parametrize(("corner", "decides"), [(450.0, "eigenvalue"), (550.0, "field of values")])
def test_a_condition_of_a_thousand_hands_over_to_the_field_of_values(corner, decides):
    """Eigenvectors of [[-1, c], [0, -2]] have the condition 2 c: below a thousand growth is said, above it counts."""
    lim = sf.limits([[-1.0, corner], [0.0, -2.0]], RK4(), kind="jacobian")
    assert decides in lim.reasons["stable"]
    assert "transient" in lim.reasons
    assert (lim.stable == lim.curvature_limit) == (decides == "eigenvalue")
    assert (lim.optimal is not None) == (decides == "eigenvalue")


def test_a_normal_matrix_has_no_field_to_speak_of():
    found = sf.spectrum([[-1.0, 2.0], [-2.0, -1.0]], kind="jacobian")
    assert found.field_of_values is None
    assert found.eigenvector_condition == 1


def test_growing_modes():
    lim = sf.limits([[1.0, 2.0], [-2.0, 1.0]], RK4(), kind="jacobian")
    assert lim.stable == 0
    assert "growing" in lim.reasons["stable"]
    assert lim.curvature_limit == np.inf


def test_random_jacobian_of_a_wide_network():
    # J = -I + s G/sqrt(d), s < 1: Euler's limit 2/(1 + s)
    d, s = 500, 0.6
    J = -np.eye(d) + s * np.random.default_rng(0).standard_normal((d, d)) / np.sqrt(d)
    assert sf.limits(J, kind="jacobian").curvature_limit == pytest.approx(2 / (1 + s), rel=0.05)


def test_an_empty_spectrum():
    nothing = sf.Spectrum(
        kind="jacobian",
        largest=sf.Bounds.exactly(0.0),
        smallest=sf.Bounds.exactly(0.0),
        size=0,
        provenance="predicted",
        points=np.asarray([], dtype=complex),
    )
    with pytest.raises(InvalidInput, match="spectrum is empty"):
        sf.limits(nothing)


@pytest.mark.parametrize("method", [RungeKuttaChebyshev(6), RK4(), ForwardEuler()], ids=lambda m: m.name)
def test_a_ray_that_its_bundle_overlooks(method):
    """Of two neighbouring rays the longer one stands for both, though the other one leaves the region first."""
    rays = np.exp(1j * (np.pi / 2 + np.linspace(0.05, 1.5, 300)))
    limits = method.limit_along(rays)
    for k in range(5, 60):
        sizes = np.full(300, 0.2)
        sizes[k], sizes[k + 1 if limits[k + 1] > limits[k] else k - 1] = 1.0, 1.0001
        step = largest_step(rays * sizes, method).step
        assert growth(method, rays * sizes, 0.999 * step) <= 1 + 1e-9


def of_field(corners, ritz, real=(-0.5, -0.4), note=""):
    """A spectrum of which a convex set is certain and some values are guessed."""
    return sf.Spectrum(
        kind="jacobian",
        largest=sf.Bounds(*real),
        smallest=sf.Bounds(-9.0, -3.0),
        size=9,
        provenance="measured",
        points=np.asarray(ritz, dtype=complex),
        field_of_values=np.asarray(corners, dtype=complex),
        note=note,
    )


def test_a_field_of_values_decides_where_eigenvalues_are_guessed():
    corners = np.asarray([-0.5, -2 + 1j, -3, -2 - 1j])
    lim = sf.limits(of_field(corners, [-1.0]))
    edges = (corners[:, None] + np.linspace(0, 1, 2001) * (np.roll(corners, -1) - corners)[:, None]).ravel()
    assert lim.stable == pytest.approx((-2 * edges.real / np.abs(edges) ** 2).min(), rel=0.01)
    assert lim.curvature_limit == 2.0
    assert lim.reasons["stable"] == "field of values; set by its point -3"
    assert sf.limits(of_field(corners, [-1.0], note="a set")).reasons["stable"] == "a set; set by its point -3"
    # a guess of growth is left out, as in the limit of all that decays
    assert sf.limits(of_field(corners, [-1.0, 0.5])).curvature_limit == 2.0
    # a guess on the axis allows Euler's method no step at all
    assert sf.limits(of_field(corners, [-1.0, 2j])).curvature_limit == 0.0


@pytest.mark.parametrize("count", [3, 20, 60])
def test_a_neck_of_the_region_ends_the_step_between_two_corners(count):
    """A flat field of values, as of diffusion with some advection, in a region that is a chain of lobes."""
    method, arc = RungeKuttaChebyshev(6), np.exp(1j * np.linspace(np.pi / 2, 3 * np.pi / 2, count - 2))
    corners = np.asarray([-0.5 - 0.5j, -0.5 + 0.5j, *(-6 + 0.5 * arc)])
    edges = (corners[:, None] + np.linspace(0, 1, 2001) * (np.roll(corners, -1) - corners)[:, None]).ravel()
    stable = sf.limits(of_field(corners, [-1.0]), method).stable
    assert growth(method, edges, 0.99 * stable) <= 1 < growth(method, edges, 1.01 * stable)
    assert sf.limits(of_field([-1.0], [-1.0])).stable == 2.0  # a field of one point has no edge


def test_a_field_of_values_that_reaches_the_axis():
    lim = sf.limits(of_field([2j, -3, -2j], [-1.0]))
    assert lim.stable == 0.0
    assert lim.reasons["stable"].startswith("no step is certified")
    undecided = sf.limits(of_field([0.5 + 1j, -3, 0.5 - 1j], [-1.0], real=(-0.1, 0.5)), RK4())
    assert "real parts up to 0.5" in undecided.reasons["stable"]
    assert "set by its point" in undecided.reasons["stable"]
    assert undecided.stable > 0


@pytest.mark.parametrize(("share", "said"), [(0.93, False), (0.87, True)])
def test_a_field_of_values_is_worth_a_word_below_nine_tenths(share, said):
    """The field of [[-1, c], [0, -1.05]] is an ellipse, whose leftmost point is where Euler's step ends."""
    left = 1.05 / share - 1.025
    lim = sf.limits([[-1.0, 2 * np.sqrt(left**2 - 0.025**2)], [0.0, -1.05]], kind="jacobian")
    assert ("transient" in lim.reasons) == said


def test_the_growth_that_is_said_is_the_largest_norm_of_a_power():
    """Of eigenvalues -0.98 and 0.98 the first power is the largest: the next has no corner."""
    matrix = np.asarray([[-1.0, 20.0], [0.0, -0.01]])
    expected = np.linalg.norm(np.eye(2) + 1.98 * matrix, 2)
    assert f"measured at 1.98: {expected:.3g}-fold" in sf.limits(matrix, kind="jacobian").reasons["transient"]


def test_the_eigenvalue_one_grows_like_any_other():
    lim = sf.limits([[1.0, 1.0], [0.0, -2.0]], kind="jacobian")
    assert lim.stable == 0.0
    assert lim.reasons["stable"] == "no step is stable: growing mode 1"
    assert lim.curvature_limit == 1.0
