"""Residual blocks as Euler steps: against closed forms, dense oracles and the growth that theory predicts."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from training.residual.residual_cases import MLP, Linear, PreNorm, inputs, stack

from surefoot.errors import InvalidInput, InvalidType, NotFinite, NotRepeatable
from surefoot.training import ResidualStability, residual_stability, supervised
from surefoot.training.residual import _measure as measuring
from surefoot.training.residual._jacobian import JacobianOf


def pair(a, b, h=1.0):
    return Linear(h * torch.tensor([[-a, b], [-b, -a]], dtype=torch.float64))


def scalings(found):
    return {scaling.label: scaling for scaling in found.scalings}


@settings(max_examples=12)
@given(a=st.floats(0.05, 5.0), b=st.floats(0.0, 5.0))
def test_a_complex_pair_is_stable_up_to_its_limit(a, b):
    """Eigenvalues -a +- ib: h < 2a/(a^2 + b^2), from both sides."""
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    (block,) = residual_stability([pair(a, b)], x).blocks
    limit = 2 * a / (a * a + b * b)
    assert block.limits.stable == pytest.approx(limit, rel=1e-9)
    assert block.contractive == pytest.approx(limit, rel=1e-9)
    for factor, grows in ((0.99, False), (1.01, True)):
        one = pair(a, b, factor * limit)
        assert (float(torch.linalg.vector_norm(one(x).detach())) > 1) == grows
        (scaled,) = residual_stability([one], x).blocks
        assert (scaled.limits.stable < 1) == grows
        assert (scaled.growth.upper > 1) == grows


@pytest.mark.parametrize(("factor", "grows"), [(0.99, False), (1.01, True)])
def test_a_deep_stack_of_pairs_decays_or_grows(factor, grows):
    a, b = 1.0, 3.0
    h = factor * 2 * a / (a * a + b * b)
    found = residual_stability([pair(a, b, h) for _ in range(60)], torch.ones(1, 2, dtype=torch.float64))
    as_it_is = scalings(found)["as it is"]
    expected = ((1 - h * a) ** 2 + (h * b) ** 2) ** 30
    assert (expected > 1) == grows
    for value in (as_it_is.forward[-1], as_it_is.backward[0], as_it_is.worst.upper, as_it_is.bound):
        assert value == pytest.approx(expected, rel=1e-9)
    for prediction in (as_it_is.predicted_forward[-1], as_it_is.predicted_backward[0]):
        assert prediction == pytest.approx(expected, rel=1e-9)
    assert len(as_it_is.forward) == len(as_it_is.backward) == 61


def test_an_oscillation_without_decay_has_no_stable_step():
    (block,) = residual_stability([pair(0.0, 1.0)], torch.ones(1, 2, dtype=torch.float64)).blocks
    assert block.limits.stable == 0
    assert block.contractive == 0
    assert block.growth.upper == pytest.approx(math.sqrt(2))


def dense(block, x):
    J = torch.func.jacrev(lambda v: block(v) - v)(x.reshape(-1)).reshape(x.numel(), x.numel())
    return J.detach().double().numpy()


@pytest.mark.parametrize("activation", [torch.relu, torch.tanh])
def test_a_block_agrees_with_its_dense_jacobian(activation):
    torch.manual_seed(3)
    model = nn.Sequential(*[MLP(10, activation).double() for _ in range(3)])
    x = inputs(1, 10).double()
    found = residual_stability(model, x)
    for measured, block in zip(found.blocks, model, strict=True):
        J = dense(block, x)
        eigenvalues = np.linalg.eigvals(J)
        assert measured.norm.upper == pytest.approx(np.linalg.norm(J, 2))
        assert measured.log_norm.upper == pytest.approx(np.linalg.eigvalsh((J + J.T) / 2)[-1])
        assert measured.growth.upper == pytest.approx(np.linalg.norm(np.eye(10) + J, 2))
        np.testing.assert_allclose(np.sort(measured.spectrum.points.real), np.sort(eigenvalues.real), atol=1e-12)
        assert measured.mean == pytest.approx(np.trace(J) / 10)
        assert measured.mean_square == pytest.approx(np.sum(J * J) / 10)
        assert measured.limits.stable == 0  # a random Jacobian has growing eigenvalues
        x = block(x).detach()


@pytest.mark.parametrize("block", [lambda: MLP(8, torch.tanh), lambda: PreNorm(8)])
def test_products_alone_agree_with_the_matrix(block, monkeypatch):
    """The path for large Jacobians on a small one: intervals hold what the matrix says."""
    torch.manual_seed(0)
    model = nn.Sequential(block()).double()
    x = inputs(1, 2, 8).double()
    exact = residual_stability(model, x)
    monkeypatch.setattr(measuring, "FORMED", 1)
    monkeypatch.setattr(measuring, "PROBES", 400)
    close = {"rtol": 0.01, "failure": 1e-6}
    for one, other in zip(exact.blocks, residual_stability(model, x, **close).blocks, strict=True):
        for name in ("norm", "log_norm", "growth"):
            interval, value = getattr(other, name), getattr(one, name).upper
            assert interval.lower - 1e-9 <= value <= interval.upper + 1e-9
            assert interval.width <= 0.03 * interval.upper
        assert other.mean == pytest.approx(one.mean, abs=0.05)
        assert other.mean_square == pytest.approx(one.mean_square, rel=0.15)
        assert other.degree == pytest.approx(one.degree, rel=1e-6, abs=1e-9)
        assert other.spectrum.points.real.max() == pytest.approx(one.spectrum.points.real.max(), rel=1e-6)
        assert other.spectrum.largest.upper >= one.spectrum.points.real.max() - 1e-9
    worst = scalings(exact)["as it is"].worst
    measured = scalings(residual_stability(model, x, **close))["as it is"].worst
    assert measured.lower - 1e-9 <= worst.upper <= measured.upper + 1e-9


def test_large_jacobians_take_a_bounded_number_of_products_and_stay_tensors(monkeypatch):
    counts = dict.fromkeys(("_apply", "_apply_adjoint"), 0)

    def count(name):
        product = getattr(JacobianOf, name)

        def counted(self, x):
            assert isinstance(x, torch.Tensor)
            assert x.dtype == torch.float32
            counts[name] += 1
            return product(self, x)

        monkeypatch.setattr(JacobianOf, name, counted)

    for name in counts:
        count(name)
    monkeypatch.setattr(measuring, "FORMED", 1)
    depth, most = 3, 6
    found = residual_stability(stack(depth, width=40), inputs(4, 40), rtol=1e-6, samples=None, max_products=most)
    assert all(block.norm.upper > block.norm.lower > 0 for block in found.blocks)
    # three intervals of each block and one of the stack at each of four scales; degree; Ritz values and moments
    assert counts["_apply"] <= depth * (3 * most + 1) + 4 * most
    assert counts["_apply_adjoint"] <= depth * (3 * most + measuring.ARNOLDI_STEPS + measuring.PROBES) + 4 * most


def test_the_worst_direction_is_the_norm_of_the_product_and_under_its_bound():
    torch.manual_seed(1)
    model = nn.Sequential(*[MLP(8).double() for _ in range(6)])
    x = inputs(1, 8).double()
    as_it_is = scalings(residual_stability(model, x))["as it is"]
    whole = torch.func.jacrev(lambda v: model(v))(x.reshape(-1)).detach().numpy()
    assert as_it_is.worst.upper == pytest.approx(np.linalg.norm(whole, 2))
    assert as_it_is.worst.upper <= as_it_is.bound


def test_gradients_are_those_of_autograd():
    model, x, y = stack(4), inputs(6, 8), torch.arange(6) % 3
    loss = supervised(nn.functional.cross_entropy)
    seen = scalings(residual_stability(model, (x, y), loss=loss))["as it is"]
    states = [model[0](x).detach().requires_grad_()]
    for block in model[1:5]:
        states.append(block(states[-1]))
    gradients = torch.autograd.grad(nn.functional.cross_entropy(model[5](states[-1]), y), states)
    sizes = [float(g.norm()) for g in gradients]
    np.testing.assert_allclose(seen.backward, np.asarray(sizes) / sizes[-1], rtol=1e-5)
    norms = [float(s.detach().norm()) for s in states]
    np.testing.assert_allclose(seen.forward, np.asarray(norms) / norms[0], rtol=1e-5)


def test_iid_blocks_grow_as_predicted():
    """E|x_L|^2/|x_0|^2 = (1 + h^2)^L: to e at h = L^-1/2 and to 1 at 1/L, forward and backward."""
    depth, width, seeds = 64, 32, 24
    grown = {label: [] for label in ("1/sqrt(L)", "1/L")}
    predictions = {label: [] for label in grown}
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(seed)
        weights = torch.randn(depth, width, width, generator=generator, dtype=torch.float64) / width**0.5
        for label, h in (("1/sqrt(L)", depth**-0.5), ("1/L", 1 / depth)):
            x = start = torch.randn(1, width, generator=generator, dtype=torch.float64)
            for weight in weights:
                x = x + h * x @ weight.T
            grown[label].append(float(x.norm() / start.norm()) ** 2)
    found = residual_stability([Linear(weight) for weight in weights], start)
    for label, h in (("1/sqrt(L)", depth**-0.5), ("1/L", 1 / depth)):
        expected = (1 + h * h) ** depth
        values = np.asarray(grown[label])
        assert abs(values.mean() - expected) < 4 * values.std() / math.sqrt(seeds)
        scaling = scalings(found)[label]
        predictions[label] = scaling.predicted_forward[-1] ** 2, scaling.predicted_backward[0] ** 2
        assert predictions[label] == pytest.approx((expected, expected), rel=0.1)
        # one draw of a width-32 network scatters by about (e - 1)^(1/2) (2/32)^(1/2)
        assert scaling.forward[-1] ** 2 == pytest.approx(expected, rel=0.6)
    assert (1 + 1 / depth) ** depth == pytest.approx(math.e, rel=0.01)
    assert found.bounded_scale == pytest.approx(depth**-0.5, rel=0.1)
    assert all(block.limits.stable == 0 for block in found.blocks)


def test_depth_scalings_bound_what_theory_says():
    """With 1/L the bound on the worst direction does not grow with depth; with 1/sqrt(L) it does."""
    bounds = {}
    for depth in (16, 64):
        torch.manual_seed(0)
        found = residual_stability(nn.Sequential(*[MLP(16) for _ in range(depth)]), inputs(4, 16))
        bounds[depth] = {label: scaling.bound for label, scaling in scalings(found).items()}
    assert bounds[64]["1/L"] == pytest.approx(bounds[16]["1/L"], rel=0.4)
    assert bounds[64]["1/sqrt(L)"] > 20 * bounds[16]["1/sqrt(L)"]


@settings(max_examples=10)
@given(c=st.floats(0.1, 10.0))
def test_scale_covariance(c):
    """G -> c g: norms times c, steps over c."""
    J = torch.tensor([[-1.0, 2.0, 0.0], [-2.0, -1.5, 0.3], [0.1, 0.0, -0.7]], dtype=torch.float64)
    x = torch.ones(1, 3, dtype=torch.float64)
    (one,), (other,) = (residual_stability([Linear(k * J)], x).blocks for k in (1.0, c))
    assert other.norm.upper == pytest.approx(c * one.norm.upper)
    assert other.log_norm.upper == pytest.approx(c * one.log_norm.upper)
    assert other.limits.stable == pytest.approx(one.limits.stable / c)
    assert other.contractive == pytest.approx(one.contractive / c)
    assert other.worst_growth() == pytest.approx(one.worst_growth(c))
    assert other.rms_growth() == pytest.approx(one.rms_growth(c))


def test_no_direction_grows_at_the_contractive_scale():
    rng = np.random.default_rng(0)
    for _ in range(20):
        J = rng.standard_normal((5, 5)) - 4 * np.eye(5)
        (block,) = residual_stability([Linear(J)], torch.ones(1, 5, dtype=torch.float64)).blocks
        if block.contractive:
            assert np.linalg.norm(np.eye(5) + block.contractive * J, 2) <= 1 + 1e-9
            assert block.contractive <= block.limits.stable * (1 + 1e-9)


def test_degree_tells_a_linear_branch_from_a_normalised_one():
    torch.manual_seed(0)
    linear = residual_stability([Linear(torch.randn(6, 6).double())], inputs(1, 6).double()).blocks[0]
    assert linear.degree == pytest.approx(1)
    normalised = residual_stability(nn.Sequential(PreNorm(8).double()), inputs(1, 3, 8).double()).blocks
    assert all(abs(block.degree) < 0.01 for block in normalised)


def test_behind_a_norm_the_signal_grows_with_the_root_of_depth():
    """Pre-norm: |x_L|^2 = |x_0|^2 + sum |g|^2, and the prediction at another scale follows."""
    torch.manual_seed(0)
    model = nn.Sequential(*[PreNorm(16) for _ in range(8)]).double()
    found = residual_stability(model, inputs(2, 4, 16).double())
    assert found.depth == 16
    for scaling in found.scalings:
        assert scaling.predicted_forward[-1] == pytest.approx(scaling.forward[-1], rel=0.25)


def test_samples_are_independent():
    model, x = stack(2).double(), inputs(3, 8).double()
    each = [residual_stability(model, x[i : i + 1]).blocks[0].norm.upper for i in range(3)]
    together = residual_stability(model, x, samples=None)
    assert together.blocks[0].norm.upper == pytest.approx(max(each))
    assert (together.samples, together.blocks[0].size) == (3, 24)
    assert residual_stability(model, x).blocks[0].norm.upper == pytest.approx(each[0])


def test_the_model_is_left_as_it_was():
    model, x = stack(3), inputs(5, 8)
    model.insert(1, nn.BatchNorm1d(8).eval())
    model[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    first, second = residual_stability(model, x), residual_stability(model, x)
    assert first.to_dict() == second.to_dict()
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert next(p.requires_grad for p in model.parameters()) is False
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_it_prints_and_survives_json():
    found = residual_stability(stack(14), inputs(5, 8))
    again = ResidualStability.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False)))
    assert again.to_dict() == found.to_dict()
    assert str(again) == str(found)
    text = str(found)
    assert text.startswith("14 residual blocks x + g(x) as Euler steps")
    assert "... 3 more" in text
    assert "14 of 14 blocks" in text


def test_what_stands_between_blocks_is_said():
    model = nn.Sequential(MLP(8), nn.ReLU(), MLP(8), nn.Linear(8, 8), MLP(8))
    x = inputs(5, 8)
    found = residual_stability(model, x)
    assert not found.linked
    assert "something else stands between" in str(found)
    # the first and last sizes are still those of the whole
    as_it_is = scalings(found)["as it is"]
    assert as_it_is.forward[-1] == pytest.approx(float(model(x).detach().norm() / x.norm()), rel=1e-5)


def test_a_branch_that_cannot_be_scaled_leaves_the_measurement():
    """Two branches that end in functions, in one module: no hook tells them apart."""

    class Two(nn.Linear):
        def forward(self, x):
            x = x + torch.tanh(super().forward(x))
            return x + torch.sin(super().forward(x))

    found = residual_stability(nn.Sequential(Two(4, 4)), inputs(3, 4))
    assert found.note.startswith("scales were not tried: the branch of")
    assert scalings(found)["1/L"].forward == ()
    assert scalings(found)["as it is"].forward
    assert "-" in str(found)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: (nn.Sequential(MLP(4), nn.Dropout(0.5)), inputs(3, 4)), NotRepeatable, "dropout is active .*eval"),
        (lambda: (stack(2), torch.full((3, 8), math.nan)), NotFinite, "the data holds NaN"),
        (lambda: (nn.Sequential(nn.Linear(4, 4)), inputs(3, 4)), InvalidInput, r"no x \+ g\(x\)"),
        (lambda: ([], inputs(3, 4)), InvalidInput, "empty"),
        (lambda: ([3], inputs(3, 4)), InvalidType, "entry 0 is 3"),
        (lambda: ([nn.Linear(4, 5)], inputs(3, 4)), InvalidInput, r"its shape changes from \(3, 4\) to \(3, 5\)"),
        (lambda: ([lambda x: 2 * x], inputs(3, 4)), InvalidInput, "0 is not of the form"),
        (lambda: ("model", inputs(3, 4)), InvalidType, "must be modules|give a torch.nn.Module"),
        (lambda: (nn.Sequential(nn.BatchNorm1d(8), MLP(8)), inputs(3, 8)), InvalidInput, "0 normalises over the batch"),
        (lambda: (stack(2), []), InvalidInput, "no batch"),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        residual_stability(*make())


def test_overflow_is_named_with_its_block():
    blocks = [Linear(1e6 * torch.eye(4)) for _ in range(12)]
    with pytest.raises(NotFinite, match=r"at 6, block 7 of 12, after growing 1e\+36-fold; scale .*double"):
        residual_stability(blocks, torch.ones(1, 4))
    assert residual_stability(nn.Sequential(*blocks).double(), torch.ones(1, 4).double()).depth == 12


def test_a_loss_that_ignores_the_blocks_is_refused():
    with pytest.raises(InvalidInput, match="does not depend on the residual blocks"):
        residual_stability(stack(2), inputs(3, 8), loss=lambda model, x: (model(x) * 0).sum() + model[0].weight.sum())


def test_samples_out_of_range():
    with pytest.raises(InvalidInput, match="samples must be a whole number >= 1"):
        residual_stability(stack(2), inputs(3, 8), samples=0)


def test_data_of_other_shapes():
    """A loader's first batch, keywords of the model, and pairs whose second entry is not used."""

    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = MLP(4)

        def forward(self, *, hidden, unused=None):
            return (self.block(hidden),)

    x = inputs(6, 4)
    wanted = residual_stability(Named(), {"hidden": x}).depth
    torch.manual_seed(0)
    model = nn.Sequential(MLP(4))
    direct = residual_stability(model, x[:2])
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x), batch_size=2)
    assert wanted == 1
    assert residual_stability(model, loader).to_dict() == direct.to_dict()
    assert residual_stability(model, (x[:2], x)).scalings[0].forward == direct.scalings[0].forward


def test_a_custom_function_is_no_obstacle():
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, gradient):
            return 2 * ctx.saved_tensors[0] * gradient

    torch.manual_seed(0)
    block = MLP(5, Square.apply).double()
    x = inputs(1, 5).double()
    measured = residual_stability([block], x).blocks[0]
    J = torch.autograd.functional.jacobian(lambda v: block(v) - v, x).reshape(5, 5)
    assert measured.norm.upper == pytest.approx(float(torch.linalg.matrix_norm(J, 2)))
