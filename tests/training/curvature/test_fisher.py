"""Fisher matrices against the sums over samples, targets and draws that define them."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from surefoot.errors import InvalidInput, InvalidType
from surefoot.training import empirical_fisher, fisher, gauss_newton, hessian, supervised

mse = supervised(functional.mse_loss)
cross_entropy = supervised(functional.cross_entropy)
bce = supervised(functional.binary_cross_entropy_with_logits)


def small(outputs=3, *layers, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), *layers, nn.Linear(5, outputs)).double()


def inputs(n=7):
    return torch.randn(n, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def dense(F):
    return np.stack([F @ e for e in np.eye(F.shape[0])])


def gradient(model, value):
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, list(model.parameters()), retain_graph=True)])


def naive(model, losses, weights):
    """sum_i w_i g_i g_i' / sum_i w_i, gradient by gradient."""
    gradients = torch.stack([gradient(model, value) for value in losses])
    weights = torch.as_tensor(weights, dtype=torch.float64)
    return (gradients.T @ (weights[:, None] * gradients) / weights.sum()).numpy()


LABELS = torch.tensor([0, 2, 1, 1, 0, 2, 2])


@pytest.mark.parametrize(
    ("loss", "target"),
    [
        (cross_entropy, LABELS),
        (mse, torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))),
        (bce, (LABELS[:, None] == torch.arange(3)).double()),
    ],
    ids=["cross-entropy", "mse", "bce"],
)
def test_empirical_fisher_is_the_mean_of_outer_products(loss, target):
    model, x = small(), inputs()
    losses = [loss(model, (x[i : i + 1], target[i : i + 1])) for i in range(7)]
    F = empirical_fisher(model, loss, (x, target))
    assert F.psd
    np.testing.assert_allclose(dense(F), naive(model, losses, np.ones(7)), atol=1e-13)


def test_a_loss_of_ones_own_and_ragged_batches_give_the_same():
    model, x = small(), inputs()

    def own(model, batch):
        return functional.cross_entropy(model(batch["x"]), batch["y"])

    whole = empirical_fisher(model, cross_entropy, (x, LABELS))
    split = empirical_fisher(model, own, [{"x": x[:5], "y": LABELS[:5]}, {"x": x[5:], "y": LABELS[5:]}])
    np.testing.assert_allclose(dense(split), dense(whole), atol=1e-13)


def test_ignored_labels_and_class_weights():
    model, x = small(), inputs()
    criterion = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 5.0]).double(), ignore_index=1)
    F = empirical_fisher(model, supervised(criterion), (x, LABELS))
    kept = LABELS != 1
    plain = [functional.cross_entropy(model(xi[None]), yi[None]) for xi, yi in zip(x[kept], LABELS[kept], strict=True)]
    np.testing.assert_allclose(dense(F), naive(model, plain, criterion.weight[LABELS[kept]]), atol=1e-13)


def test_a_criterion_that_branches_on_its_data():
    model, x, y = small(1), inputs(), torch.randn(7, 1, dtype=torch.float64)

    def criterion(z, t):
        return functional.mse_loss(z, t) if float(z.detach().sum()) > -1e9 else z.sum()

    F = empirical_fisher(model, supervised(criterion), (x, y))
    np.testing.assert_allclose(dense(F), dense(empirical_fisher(model, mse, (x, y))), atol=1e-13)


def test_it_vanishes_at_a_perfect_fit_where_the_hessian_does_not():
    model, x = small(), inputs()
    batch = (x, model(x).detach())
    assert np.abs(dense(empirical_fisher(model, mse, batch))).max() == 0
    assert np.abs(dense(hessian(model, mse, batch))).max() > 0.1


def test_samples_that_batch_normalisation_couples():
    model, x = small(3, nn.BatchNorm1d(5)), inputs()

    def own(model, batch):
        return functional.cross_entropy(model(batch[0]), batch[1])

    losses = functional.cross_entropy(model(x), LABELS, reduction="none")
    F = empirical_fisher(model, cross_entropy, (x, LABELS))
    np.testing.assert_allclose(dense(F), naive(model, losses, np.ones(7)), atol=1e-12)
    with pytest.raises(InvalidInput, match="eval"):
        empirical_fisher(model, own, (x, LABELS))
    model.eval()
    np.testing.assert_allclose(
        dense(empirical_fisher(model, own, (x, LABELS))),
        dense(empirical_fisher(model, cross_entropy, (x, LABELS))),
        atol=1e-13,
    )


def test_a_penalty_is_not_a_mean_over_samples():
    model, x = small(), inputs()

    def total(model, batch):
        return functional.cross_entropy(model(batch[0]), batch[1]) * len(batch[0])

    with pytest.raises(InvalidInput, match="mean over its samples"):
        empirical_fisher(model, total, (x, LABELS))


def expected_scores(model, loss, x, targets, weights):
    """F by summing over every target that the model could give, for a categorical or Bernoulli output."""
    total = 0.0
    for xi in x:
        z = model(xi[None])
        losses = [loss.criterion(z, y) for y in targets]
        p = torch.stack([weights(z.detach(), y) for y in targets])
        gradients = torch.stack([gradient(model, value) for value in losses])
        total = total + gradients.T @ (p[:, None] * gradients)
    return (total / len(x)).numpy()


def test_exact_fisher_is_the_sum_over_all_labels():
    model, x = small(), inputs()
    labels = [torch.tensor([c]) for c in range(3)]
    truth = expected_scores(model, cross_entropy, x, labels, lambda z, y: z.softmax(-1)[0, y.item()])
    np.testing.assert_allclose(dense(fisher(model, cross_entropy, (x, LABELS))), truth, atol=1e-13)


def test_exact_fisher_of_a_bernoulli():
    model, x = small(1), inputs()
    targets = [torch.zeros(1, 1).double(), torch.ones(1, 1).double()]
    truth = expected_scores(model, bce, x, targets, lambda z, y: (z.sigmoid() * y + (1 - z.sigmoid()) * (1 - y))[0, 0])
    np.testing.assert_allclose(dense(fisher(model, bce, (x, targets[0].expand(7, 1)))), truth, atol=1e-13)


@pytest.mark.parametrize(
    ("loss", "outputs", "target"),
    [
        (cross_entropy, 3, LABELS),
        (mse, 2, torch.zeros(7, 2).double()),
        (bce, 2, torch.zeros(7, 2).double()),
        (supervised(nn.CrossEntropyLoss(ignore_index=0)), 3, LABELS),
    ],
    ids=["cross-entropy", "mse", "bce", "ignored labels"],
)
def test_draws_converge_to_the_exact_fisher(loss, outputs, target):
    model, x = small(outputs), inputs()
    exact = dense(fisher(model, loss, (x, target)))
    np.testing.assert_array_equal(exact, dense(gauss_newton(model, loss, (x, target))))
    errors = []
    for draws in (5, 500):
        drawn = fisher(model, loss, (x, target), draws=draws)
        assert drawn.psd
        errors.append(np.linalg.norm(dense(drawn) - exact) / np.linalg.norm(exact))
    assert errors[1] < 0.08
    assert errors[1] < errors[0] / 2  # about 1/10, one over the square root of the draws, give or take that of five


def test_draws_are_fixed_by_the_seed_and_not_by_memory():
    model, x = small(), inputs()
    batches = [(x[:4], LABELS[:4]), (x[4:], LABELS[4:])]
    kept = fisher(model, cross_entropy, batches, draws=1, rng=3)
    rebuilt = fisher(model, cross_entropy, batches, draws=1, rng=3, max_memory=0)
    other = fisher(model, cross_entropy, batches, draws=1, rng=4)
    v = np.ones(kept.shape[0])
    np.testing.assert_allclose(rebuilt @ v, kept @ v, rtol=1e-12)
    assert np.linalg.norm(other @ v - kept @ v) > 1e-3 * np.linalg.norm(kept @ v)


def test_drawing_leaves_the_random_state_alone():
    model, x = small(), inputs()
    before = torch.get_rng_state()
    fisher(model, cross_entropy, (x, LABELS), draws=2) @ np.ones(43)
    assert torch.equal(before, torch.get_rng_state())


def test_class_dimension_of_dense_predictions():
    torch.manual_seed(0)
    model, x = nn.Conv1d(2, 3, 1).double(), torch.randn(4, 2, 5).double()
    target = torch.randint(3, (4, 5))
    exact = dense(fisher(model, cross_entropy, (x, target)))
    drawn = dense(fisher(model, cross_entropy, (x, target), draws=500))
    assert np.linalg.norm(drawn - exact) < 0.16 * np.linalg.norm(exact)


@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        (lambda m, b: m(b[0]).mean(), InvalidType, "supervised"),
        (supervised(functional.huber_loss), InvalidInput, "likelihood"),
        (supervised(nn.CrossEntropyLoss(weight=torch.ones(3).double())), InvalidInput, "weight"),
        (supervised(nn.CrossEntropyLoss(label_smoothing=0.1)), InvalidInput, "label_smoothing"),
    ],
)
def test_losses_without_a_likelihood_are_refused(loss, error, message):
    with pytest.raises(error, match=message):
        fisher(small(), loss, (inputs(), LABELS))


def test_arguments():
    with pytest.raises(InvalidInput, match="draws"):
        fisher(small(), cross_entropy, (inputs(), LABELS), draws=0)
    with pytest.raises(InvalidInput, match="probabilities"):
        fisher(small(), cross_entropy, (inputs(), torch.full((7, 3), 1 / 3).double()), draws=1)
    with pytest.raises(InvalidInput, match="samples"):
        empirical_fisher(small(), supervised(lambda z, t: z.mean() * t), (inputs(), torch.tensor(1.0)))
