"""What the curvature operator promises besides being right: data, blocks, points, and leaving no trace."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, TensorDataset

import surefoot as sf
from surefoot.training import hessian, supervised

mse = supervised(functional.mse_loss)
cross_entropy = supervised(functional.cross_entropy)


def small(seed=0, dtype=torch.float64):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(dtype)
    return model, torch.randn(11, 3, dtype=dtype), torch.randn(11, 2, dtype=dtype)


def vector(H, seed=0):
    return np.random.default_rng(seed).standard_normal(H.shape[0])


def dense(H):
    return np.stack([H @ e for e in np.eye(H.shape[0])])


def test_least_squares_in_closed_form():
    torch.manual_seed(0)
    x, y = torch.randn(20, 3, dtype=torch.float64), torch.randn(20, 1, dtype=torch.float64)
    H = hessian(nn.Linear(3, 1, bias=False).double(), mse, (x, y))
    np.testing.assert_allclose(dense(H), 2 * (x.T @ x).numpy() / 20, rtol=1e-12)


def test_facts():
    model, x, y = small(dtype=torch.float32)
    H = hessian(model, mse, (x, y))
    assert H.symmetric
    assert not H.psd
    assert H.kind == "curvature"
    assert H.scope == "local"
    assert H.precision == torch.finfo(torch.float32).eps
    assert (H @ vector(H)).dtype == np.float64
    assert H.names == ("0.weight", "0.bias", "2.weight", "2.bias")


def test_it_is_symmetric_and_spectrum_takes_it():
    model, x, y = small()
    H = hessian(model, mse, (x, y))
    matrix = dense(H)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-13)
    found = sf.spectrum(H)
    values = np.linalg.eigvalsh(matrix)
    assert found.largest.lower - 1e-12 <= values[-1] <= found.largest.upper + 1e-12
    assert found.smallest.lower - 1e-12 <= values[0] <= found.smallest.upper + 1e-12


@pytest.mark.parametrize(
    "data",
    [
        lambda x, y: [x, y],
        lambda x, y: [(x[:4], y[:4]), (x[4:8], y[4:8]), (x[8:], y[8:])],
        lambda x, y: [[x[:1], y[:1]], [x[1:], y[1:]]],
        lambda x, y: ((x[i : i + 3], y[i : i + 3]) for i in range(0, 11, 3)),
        lambda x, y: DataLoader(TensorDataset(x, y), batch_size=4),
        lambda x, y: DataLoader(TensorDataset(x, y), batch_size=4, shuffle=True),
    ],
    ids=["collated", "list", "list of lists", "generator", "loader", "shuffling loader"],
)
def test_any_form_of_data_gives_the_mean_over_samples(data):
    model, x, y = small()
    whole = hessian(model, mse, (x, y))
    H = hessian(model, mse, data(x, y))
    np.testing.assert_allclose(H @ vector(H), whole @ vector(H), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(H.gradient(), whole.gradient(), rtol=1e-11, atol=1e-14)
    assert H.value == pytest.approx(whole.value, rel=1e-13)


def test_a_shuffling_loader_is_one_fixed_operator_and_keeps_its_own_order():
    model, x, y = small()
    generator = torch.Generator().manual_seed(3)
    loader = DataLoader(TensorDataset(x, y), batch_size=4, shuffle=True, generator=generator)
    expected = [batch[0] for batch in loader]
    generator.manual_seed(3)
    H = hessian(model, mse, loader)
    assert (H @ vector(H) == H @ vector(H)).all()
    assert all(torch.equal(a, b[0]) for a, b in zip(expected, loader, strict=True))


def test_ignored_labels_and_class_weights_join_as_one_large_batch_would():
    torch.manual_seed(0)
    model, x = nn.Linear(3, 4).double(), torch.randn(9, 3, dtype=torch.float64)
    y = torch.tensor([0, 1, -100, 3, -100, -100, 2, 2, 1])
    batches = [(x[:3], y[:3]), (x[3:], y[3:])]
    for criterion in (nn.CrossEntropyLoss(), nn.CrossEntropyLoss(weight=torch.arange(1.0, 5.0).double())):
        joined, split = hessian(model, supervised(criterion), (x, y)), hessian(model, supervised(criterion), batches)
        np.testing.assert_allclose(split @ vector(split), joined @ vector(joined), rtol=1e-12, atol=1e-15)


def test_the_weight_of_a_batch_can_be_said():
    model, x, y = small()

    def loss(model, batch):  # samples along the second dimension
        return functional.mse_loss(model(batch["x"].T), batch["y"].T)

    batches = [{"x": x[:4].T, "y": y[:4].T}, {"x": x[4:].T, "y": y[4:].T}]
    with pytest.raises(sf.errors.InvalidInput, match="count=lambda"):
        hessian(model, loss, batches)
    H = hessian(model, loss, batches, count=lambda batch: batch["x"].shape[1])
    whole = hessian(model, mse, (x, y))
    np.testing.assert_allclose(H @ vector(H), whole @ vector(H), rtol=1e-12, atol=1e-14)


def test_blocks():
    model, x, y = small()
    matrix = dense(hessian(model, mse, (x, y)))
    for chosen, rows in (
        (["2"], slice(16, 26)),
        (["0.weight"], slice(0, 12)),
        ("2.bias", slice(24, 26)),
        ([model[0].weight, model[0].bias], slice(0, 16)),
        (model[2].parameters(), slice(16, 26)),
        (["2.bias", model[2].weight], slice(16, 26)),  # the model's order, whatever the order asked for
    ):
        block = hessian(model, mse, (x, y), parameters=chosen)
        np.testing.assert_allclose(dense(block), matrix[rows, rows], atol=1e-14)


def test_an_unused_block_has_no_curvature():
    model = nn.ModuleDict({"used": nn.Linear(3, 2), "idle": nn.Linear(3, 2)}).double()
    batch = (torch.randn(5, 3).double(), torch.randn(5, 2).double())
    H = hessian(model, lambda m, b: functional.mse_loss(m["used"](b[0]), b[1]), batch, parameters=["idle"])
    assert not (H @ vector(H)).any()


def test_a_linear_loss_has_no_curvature():
    model, x, _ = nn.Linear(3, 1).double(), torch.randn(5, 3).double(), None
    H = hessian(model, lambda m, b: m(b).mean(), x)
    assert not (H @ vector(H)).any()


@pytest.mark.parametrize("change", ["optimizer step", "load_state_dict", "through .data", "eval mode", "buffer"])
@pytest.mark.parametrize("memory", [0, 1 << 30])
def test_the_operator_is_at_the_current_point(change, memory):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)).double()
    batch = (torch.randn(8, 3).double(), torch.randn(8, 2).double())
    if change == "buffer":
        model.eval()
    H = hessian(model, mse, batch, max_memory=memory)
    before = H @ vector(H)
    if change == "optimizer step":
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        mse(model, batch).backward()
        optimizer.step()
    elif change == "load_state_dict":
        model.load_state_dict({k: v * 2 if v.is_floating_point() else v for k, v in model.state_dict().items()})
    elif change == "through .data":
        model[0].weight.data.neg_()
    elif change == "eval mode":
        model.eval()
    else:
        model[1].running_var.mul_(4)
    after = H @ vector(H)
    assert np.linalg.norm(after - before) > 1e-6 * np.linalg.norm(before)
    np.testing.assert_allclose(after, hessian(model, mse, batch) @ vector(H), rtol=1e-10, atol=1e-14)


def snapshot(model, optimizer):
    tensors = {
        **{f"p {k}": v for k, v in model.named_parameters()},
        **{f"b {k}": v for k, v in model.named_buffers()},
        **{f"g {k}": v.grad for k, v in model.named_parameters() if v.grad is not None},
    }
    tensors = {k: (v.detach().clone(), v.data_ptr(), v._version) for k, v in tensors.items()}
    states = [t.clone() for state in optimizer.state.values() for t in state.values()]
    modes = [m.training for m in model.modules()]
    return tensors, states, modes, torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002


@pytest.mark.parametrize("memory", [0, 1 << 30])
def test_nothing_is_left_behind(memory):
    torch.manual_seed(0)
    layers = (nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2), nn.Dropout(0.5))
    model = nn.Sequential(*layers)
    model[4].eval()  # the other layers stay in train mode: batch norm would move its buffers
    x, y = torch.randn(12, 3), torch.randn(12, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    mse(model, (x, y)).backward()
    optimizer.step()
    loader = DataLoader(TensorDataset(x, y), batch_size=4, shuffle=True)

    before = snapshot(model, optimizer)
    H = hessian(model, mse, loader, max_memory=memory)
    for _ in range(2):
        H @ vector(H)
    _ = H.value, H.gradient()
    sf.spectrum(H, rtol=0.1)
    sf.training.optimizer_limits(H, optimizer, rtol=0.1)
    sf.training.optimizer_limits(H, torch.optim.Adam(model.parameters()), rtol=0.1)
    after = snapshot(model, optimizer)

    assert before[0].keys() == after[0].keys()
    for name, (value, address, version) in before[0].items():
        assert torch.equal(value, after[0][name][0]), name
        assert (address, version) == after[0][name][1:], name
    assert all(torch.equal(a, b) for a, b in zip(before[1], after[1], strict=True))
    assert before[2] == after[2]
    assert torch.equal(before[3], after[3])
    assert before[4] == after[4]
    assert (before[5] == after[5]).all()


def test_it_works_where_gradients_are_off():
    model, x, y = small()
    expected = hessian(model, mse, (x, y)) @ np.ones(26)
    with torch.no_grad():
        H = hessian(model, mse, (x, y))
        np.testing.assert_array_equal(H @ np.ones(26), expected)
    with torch.inference_mode():
        np.testing.assert_array_equal(hessian(model, mse, (x, y)) @ np.ones(26), expected)


def test_memory_decides_how_many_batches_are_kept():
    model, x, y = small()
    batches = [(x[i : i + 2], y[i : i + 2]) for i in range(0, 10, 2)]
    one = hessian(model, mse, batches)
    assert one.kept_batches == 5
    some = hessian(model, mse, batches, max_memory=int(5 * one.memory_per_sample))
    assert some.kept_batches == 2
    np.testing.assert_allclose(some @ vector(some), one @ vector(one), rtol=1e-12)


def test_read_only_and_strided_vectors():
    model, x, y = small()
    H = hessian(model, mse, (x, y))
    v = np.ones(52)[::2]
    v.flags.writeable = False
    np.testing.assert_array_equal(H @ v, H @ np.ones(26))
    assert (H @ np.ones((26, 1))).shape == (26, 1)


def test_autocast_lowers_the_stated_precision():
    model, x, y = small(dtype=torch.float32)

    def loss(model, batch):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return functional.mse_loss(model(batch[0]), batch[1])

    low, full = hessian(model, loss, (x, y)), hessian(model, mse, (x, y))
    assert low.precision == torch.finfo(torch.bfloat16).eps
    v = vector(full)
    assert np.linalg.norm(low @ v - full @ v) < 0.05 * np.linalg.norm(full @ v)


class Flipping(Dataset):
    def __len__(self):
        return 12

    def __getitem__(self, i):
        x = torch.arange(3.0) + i
        return (-x if torch.rand(()) < 0.5 else x), torch.zeros(2)


def test_random_augmentation_is_refused_unless_frozen():
    model = nn.Linear(3, 2)
    loader = DataLoader(Flipping(), batch_size=4)
    with pytest.raises(sf.errors.NotRepeatable, match="augmentation"):
        hessian(model, mse, loader)
    hessian(model, mse, list(loader))


def test_compiled_and_wrapped_models_are_looked_through():
    model, x, y = small()
    expected = hessian(model, mse, (x, y)) @ np.ones(26)
    np.testing.assert_array_equal(hessian(nn.DataParallel(model), mse, (x, y)) @ np.ones(26), expected)
    compiled = torch.compile(model, backend="eager")
    np.testing.assert_array_equal(hessian(compiled, mse, (x, y)) @ np.ones(26), expected)
