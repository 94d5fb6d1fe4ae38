"""Limits of torch optimizers against torch.optim itself: just under the limit it stays, just over it leaves."""

import math

import numpy as np
import pytest
import torch
from torch import nn, optim
from torch.nn import functional

import surefoot as sf
from surefoot.training import hessian, method_of, optimizer_limits, supervised

mse = supervised(functional.mse_loss)
FROZEN = 1 - 2**-53  # a second-moment decay so near 1 that the moment stands still


def quadratic(seed=0):
    """A linear model whose loss is a quadratic of condition 50 with its minimum at a known place."""
    torch.manual_seed(seed)
    x = torch.randn(40, 6).double() @ torch.diag(torch.logspace(0, -0.85, 6).double())
    target = torch.randn(6, 1).double()
    model = nn.Linear(6, 1, bias=False).double()
    return model, (x, x @ target), target


def preset(optimizer, names, steps=1e6):
    """Give the optimizer a state as after many steps: fixed, uneven second moments, no momentum."""
    for group in optimizer.param_groups:
        for p in group["params"]:
            generator = torch.Generator().manual_seed(1)
            state = {"step": torch.tensor(steps)}
            for name in names:
                zero = name in ("exp_avg", "momentum_buffer", "grad_avg")
                even = torch.zeros_like(p) if zero else 0.1 + torch.rand(p.shape, generator=generator).double()
                state[name] = even + 1 if name.startswith("max") else even
            if type(optimizer) is optim.NAdam:
                state["mu_product"] = torch.tensor(0.0)
            optimizer.state[p] = state
    return optimizer


ADAM = ("exp_avg", "exp_avg_sq")
MAKERS = {
    "SGD": lambda p, lr: optim.SGD(p, lr=lr),
    "heavy ball": lambda p, lr: optim.SGD(p, lr=lr, momentum=0.9),
    "dampened": lambda p, lr: optim.SGD(p, lr=lr, momentum=0.9, dampening=0.5),
    "Nesterov": lambda p, lr: optim.SGD(p, lr=lr, momentum=0.9, nesterov=True),
    "coupled decay": lambda p, lr: optim.SGD(p, lr=lr, momentum=0.5, weight_decay=0.3),
    "Adam": lambda p, lr: preset(optim.Adam(p, lr=lr, betas=(0.9, FROZEN)), ADAM, 1e18),
    "Adam coupled decay": lambda p, lr: preset(optim.Adam(p, lr=lr, betas=(0.9, FROZEN), weight_decay=0.3), ADAM, 1e18),
    "Adam amsgrad": lambda p, lr: preset(
        optim.Adam(p, lr=lr, betas=(0.8, 0.999), amsgrad=True), (*ADAM, "max_exp_avg_sq"), 1e6
    ),
    "AdamW": lambda p, lr: preset(optim.AdamW(p, lr=lr, betas=(0.9, FROZEN), weight_decay=0.4), ADAM, 1e18),
    "AdamW no decay": lambda p, lr: preset(optim.AdamW(p, lr=lr, betas=(0.5, FROZEN), weight_decay=0), ADAM, 1e18),
    "NAdam": lambda p, lr: preset(optim.NAdam(p, lr=lr, betas=(0.9, FROZEN)), ADAM, 1e18),
    "NAdam decoupled": lambda p, lr: preset(
        optim.NAdam(p, lr=lr, betas=(0.9, FROZEN), weight_decay=0.4, decoupled_weight_decay=True), ADAM, 1e18
    ),
    "RAdam": lambda p, lr: preset(optim.RAdam(p, lr=lr, betas=(0.9, 1 - 1e-9)), ADAM, 1e6),
    "RMSprop": lambda p, lr: preset(optim.RMSprop(p, lr=lr, alpha=FROZEN), ("square_avg",)),
    "RMSprop momentum": lambda p, lr: preset(
        optim.RMSprop(p, lr=lr, alpha=FROZEN, momentum=0.6), ("square_avg", "momentum_buffer")
    ),
    "RMSprop centered": lambda p, lr: preset(
        optim.RMSprop(p, lr=lr, alpha=FROZEN, centered=True), ("square_avg", "grad_avg")
    ),
    "Adamax": lambda p, lr: preset(optim.Adamax(p, lr=lr, betas=(0.9, FROZEN)), ("exp_avg", "exp_inf"), 1e6),
}


def grows(make, rate, steps=1500):
    """Growth of the distance from the fixed point per step, late in a run of real optimizer steps."""
    model, batch, target = quadratic()
    optimizer = make(model.parameters(), rate)
    fixed = fixed_point(model, batch, optimizer, target)
    start = torch.randn(6, generator=torch.Generator().manual_seed(2)).double()
    with torch.no_grad():
        model.weight.copy_(fixed + 1e-6 * start)
    decoupled = type(optimizer) is optim.AdamW or optimizer.param_groups[0].get("decoupled_weight_decay")
    if decoupled:
        # at the fixed point the averaged gradient balances the decay
        x = batch[0]
        optimizer.state[model.weight]["exp_avg"].copy_((2 * x.T @ x / len(x) @ (fixed.T - target)).T)
    distances = []
    for _ in range(steps):
        optimizer.zero_grad()
        mse(model, batch).backward()
        optimizer.step()
        distances.append(float((model.weight.detach() - fixed).norm()))
        if not 1e-12 < distances[-1] < 1e-2:  # farther out a live preconditioner would take part
            break
    late = distances[len(distances) // 2 :]
    return (late[-1] / late[0]) ** (1 / (len(late) - 1))


def fixed_point(model, batch, optimizer, target):
    """Where the gradient and weight decay balance: (H + w P) x = H x*, or (H + w) x = H x* for coupled decay."""
    group = optimizer.param_groups[0]
    decay = group.get("weight_decay", 0.0)
    if not decay:
        return target.T
    x = batch[0]
    H = 2 * x.T @ x / len(x)
    decoupled = type(optimizer) is optim.AdamW or group.get("decoupled_weight_decay")
    second = optimizer.state[model.weight]["exp_avg_sq"].flatten() if decoupled else torch.ones(6).double()
    P = second.sqrt() + group.get("eps", 0) if decoupled else second
    return torch.linalg.solve(H + decay * torch.diag(P), H @ target).T


@pytest.mark.parametrize("name", MAKERS)
def test_real_steps_stay_below_the_limit_and_leave_above(name):
    model, batch, _ = quadratic()
    H = hessian(model, mse, batch)
    limits = optimizer_limits(H, MAKERS[name](model.parameters(), 0.1))
    assert 0 < limits.stable < math.inf
    assert grows(MAKERS[name], 0.97 * limits.stable) < 1
    assert grows(MAKERS[name], 1.03 * limits.stable) > 1


def test_a_network_at_its_minimiser():
    # ridge makes the minimiser of a softmax layer unique and strict; Newton's method finds it
    torch.manual_seed(0)
    model = nn.Linear(5, 3).double()
    batch = (torch.randn(30, 5).double(), torch.randint(3, (30,)))
    cross_entropy = supervised(functional.cross_entropy)

    def loss(model, batch):
        return cross_entropy(model, batch) + 0.05 * sum(p.square().sum() for p in model.parameters())

    H = hessian(model, loss, batch)
    for _ in range(30):
        matrix = np.stack([H @ e for e in np.eye(18)])
        move = H.block.split(torch.from_numpy(np.linalg.solve(matrix, H.gradient())))
        with torch.no_grad():
            for p, d in zip(H.parameters, move, strict=True):
                p.sub_(d)
    assert np.linalg.norm(H.gradient()) < 1e-14
    minimiser = [p.detach().clone() for p in H.parameters]

    def make(rate):
        return preset(optim.Adam(model.parameters(), lr=rate, betas=(0.9, FROZEN)), ADAM, 1e18)

    limits = optimizer_limits(H, make(0.1))
    for factor in (0.97, 1.03):
        optimizer = make(factor * limits.stable)
        with torch.no_grad():
            for p, at in zip(model.parameters(), minimiser, strict=True):
                p.copy_(at + 1e-8)
        for _ in range(400):
            optimizer.zero_grad()
            loss(model, batch).backward()
            optimizer.step()
        moved = zip(model.parameters(), minimiser, strict=True)
        distance = max(float((p.detach() - at).abs().max()) for p, at in moved)
        assert (distance < 1e-8) if factor < 1 else (distance > 1e-6)


def test_groups_keep_the_ratios_of_their_rates():
    model, batch, _ = quadratic()
    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 1)).double()
    H = hessian(model, mse, batch)
    matrix = np.stack([H @ e for e in np.eye(33)])
    groups = [{"params": model[0].parameters()}, {"params": model[1].parameters(), "lr": 0.04}]
    limits = optimizer_limits(H, optim.SGD(groups, lr=0.01))
    scale = np.where(np.arange(33) < 28, 1.0, 2.0)
    assert limits.curvature_limit == pytest.approx(2 / np.linalg.eigvalsh(scale[:, None] * matrix * scale).max())
    assert "0.01, 0.04" in limits.reasons["note"]


def test_a_group_with_rate_zero_does_not_move():
    model, batch, _ = quadratic()
    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 1)).double()
    groups = [{"params": model[0].parameters()}, {"params": model[1].parameters(), "lr": 0.0}]
    limits = optimizer_limits(hessian(model, mse, batch), optim.SGD(groups, lr=0.01))
    alone = optimizer_limits(hessian(model, mse, batch, parameters=["0"]), optim.SGD(groups, lr=0.01))
    assert limits.curvature_limit == pytest.approx(alone.curvature_limit)


def test_uneven_decoupled_decay_has_two_matrices():
    model, batch, _ = quadratic()
    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 1)).double()
    groups = [
        {"params": [model[0].weight, model[1].weight], "weight_decay": 0.5},
        {"params": [model[0].bias, model[1].bias], "weight_decay": 0.0},
    ]
    optimizer = preset(optim.AdamW(groups, lr=0.01), ADAM)
    H = hessian(model, mse, batch)
    scale = np.concatenate(
        [1 / np.sqrt(np.sqrt(optimizer.state[p]["exp_avg_sq"].flatten().numpy()) + 1e-8) for p in model.parameters()]
    )
    matrix = scale[:, None] * np.stack([H @ e for e in np.eye(33)]) * scale
    decay = np.repeat([0.5, 0.0, 0.5, 0.0], [24, 4, 4, 1])
    top = np.linalg.eigvalsh(matrix + np.diag(19 * decay)).max()
    limit = optimizer_limits(H, optimizer)
    assert limit.curvature_limit == pytest.approx(38 / top, rel=0.01)
    assert limit.optimal is None
    assert "differs between parameters" in limit.reasons["optimal"]


def test_probing_changes_nothing_and_says_so():
    model, batch, _ = quadratic()
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    before = model.weight.detach().clone()
    batches = [(batch[0][i : i + 10], batch[1][i : i + 10]) for i in range(0, 40, 10)]
    limits = optimizer_limits(hessian(model, mse, batches), optimizer)
    assert "5 probing steps of rate 0 on a copy, over 4 batches" in limits.reasons["note"]
    assert not optimizer.state
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert torch.equal(model.weight, before)
    assert model.weight.grad is None


def test_probing_gives_the_state_of_a_run_at_rate_zero():
    model, batch, _ = quadratic()
    probed = optimizer_limits(hessian(model, mse, batch), optim.RMSprop(model.parameters(), lr=0.1))
    optimizer = optim.RMSprop(model.parameters(), lr=0.0)
    for _ in range(5):
        optimizer.zero_grad()
        mse(model, batch).backward()
        optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.1
    assert probed.stable == optimizer_limits(hessian(model, mse, batch), optimizer).stable


@pytest.mark.parametrize(
    ("make", "method"),
    [
        (lambda p: optim.SGD(p, lr=1), sf.methods.GradientDescent()),
        (lambda p: optim.SGD(p, lr=1, momentum=0.8, dampening=0.2), sf.methods.HeavyBall(0.8, 0.2)),
        (lambda p: optim.SGD(p, lr=1, momentum=0.8, nesterov=True), sf.methods.Nesterov(0.8)),
        (lambda p: optim.AdamW(p, betas=(0.95, 0.99)), sf.methods.EMAMomentum(0.95)),
        (lambda p: optim.RMSprop(p), sf.methods.GradientDescent()),
        (lambda p: optim.RMSprop(p, momentum=0.5), sf.methods.HeavyBall(0.5)),
    ],
)
def test_method_of(make, method):
    assert method_of(make([nn.Parameter(torch.zeros(1))])) == method


def test_the_look_ahead_average_agrees_with_its_amplification():
    method = method_of(torch.optim.NAdam([torch.zeros(1, requires_grad=True)], betas=(0.9, 0.999)))
    assert method.name.startswith("averaged Nesterov 0.9, look 0.4501")  # u_1 = 0.9 (1 - 0.96^0.004/2)
    assert method.amplification(-0.999 * method.real_limit) < 1
    assert method.amplification(-1.001 * method.real_limit) > 1
    assert sf.methods.Method.limit_along(method, -1.0) == pytest.approx(method.real_limit, rel=1e-9)


def two_groups(model, first, second):
    return [{"params": [model[0].weight], **first}, {"params": [model[1].weight], **second}]


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda m: optim.Adagrad(m.parameters()), TypeError, "rate decays"),
        (lambda m: optim.LBFGS(m.parameters()), TypeError, "changes at each step"),
        pytest.param(
            lambda m: optim.Muon(m.parameters()),
            TypeError,
            "orthogonalises",
            marks=pytest.mark.skipif(not hasattr(optim, "Muon"), reason="PyTorch has Muon since 2.9"),
        ),
        (lambda m: optim.SGD(m.parameters(), lr=1, maximize=True), ValueError, "maximize"),
        (lambda m: optim.SGD(m[0].parameters(), lr=1), ValueError, "does not train 1.weight"),
        (
            lambda m: optim.AdamW(two_groups(m, {"betas": (0.9, 0.99)}, {"betas": (0.8, 0.99)})),
            ValueError,
            "averaged momentum 0.9 and averaged momentum 0.8",
        ),
        (lambda m: optim.SGD(two_groups(m, {"lr": 0.0}, {"lr": 0.1})), ValueError, "first group has rate 0"),
        (lambda m: "Adam", TypeError, "a torch.optim.Optimizer; got "),
        (lambda m: type("Mine", (optim.SGD,), {})(m.parameters(), lr=1), TypeError, "no limit for Mine"),
    ],
)
def test_what_has_no_limit_is_refused_with_the_reason(make, error, says):
    model = nn.Sequential(nn.Linear(6, 6, bias=False), nn.Linear(6, 1, bias=False)).double()
    H = hessian(model, mse, quadratic()[1])
    with pytest.raises(error, match=says) as caught:
        optimizer_limits(H, make(model))
    assert isinstance(caught.value, sf.errors.SurefootError)


def test_the_curvature_must_be_a_models():
    with pytest.raises(sf.errors.InvalidType, match="hessian"):
        optimizer_limits(np.eye(2), optim.SGD([nn.Parameter(torch.zeros(2))], lr=1))


def test_a_parameter_without_state_beside_others_is_refused():
    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 1)).double()
    optimizer = preset(optim.Adam(model.parameters()), ADAM)
    del optimizer.state[model[1].weight]
    with pytest.raises(sf.errors.InvalidInput, match=r"1.weight has no optimizer state"):
        optimizer_limits(hessian(model, mse, quadratic()[1]), optimizer)


def test_rounding_is_not_magnified_by_a_preconditioner_near_eps():
    # a bias before batch normalisation has no gradient but rounding, so Adam's P there is its eps
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2))
    batch = (torch.randn(12, 3), torch.randn(12, 2))
    single = optimizer_limits(hessian(model, mse, batch), optim.Adam(model.parameters()))
    double = optimizer_limits(
        hessian(model.double(), mse, (batch[0].double(), batch[1].double())), optim.Adam(model.parameters())
    )
    assert single.curvature_limit == pytest.approx(double.curvature_limit, rel=0.02)
