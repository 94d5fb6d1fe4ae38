"""The tracker: cheap between certificates, never more certain than it may be, and without a trace."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from training.curvature.test_hessian import snapshot

import surefoot as sf
from surefoot.errors import InvalidInput
from surefoot.training import (
    SharpnessReading,
    SharpnessTracker,
    hessian,
    minibatch_bias,
    optimizer_curvature,
    supervised,
)

mse = supervised(functional.mse_loss)
cross_entropy = supervised(functional.cross_entropy)


class Terrain(nn.Module):
    """f(x) = sum_i c_i x_i^2/2 in coordinates that are rotated, with curvatures that can be set."""

    def __init__(self, curvatures, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        n = len(curvatures)
        self.x = nn.Parameter(torch.randn(n).double())
        self.register_buffer("rotation", torch.linalg.qr(torch.randn(n, n).double())[0])
        self.register_buffer("curvatures", torch.as_tensor(curvatures).double())

    def forward(self, batch):
        return (self.curvatures * (self.rotation @ self.x) ** 2).sum() / 2 * batch.mean()


def loss(model, batch):
    return model(batch)


ONE = torch.ones(1).double()


def bulk(n=300, top=1.0):
    values = np.linspace(-0.05, 0.1, n)
    values[0] = top
    return values


def trained(steps=40):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    x = torch.randn(64, 8).double()
    y = (x[:, :3] + 0.3 * torch.randn(64, 3)).argmax(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.5)

    def step():
        optimizer.zero_grad()
        cross_entropy(model, (x, y)).backward()
        optimizer.step()

    return model, optimizer, (x, y), step


def truth(model, batch, loss=cross_entropy):
    H = hessian(model, loss, batch, check=False)
    return float(np.linalg.eigvalsh(np.stack([H @ e for e in np.eye(H.shape[0])]))[-1])


def test_an_estimate_with_a_proved_lower_end_along_a_run():
    model, optimizer, batch, step = trained()
    tracker = SharpnessTracker(model, cross_entropy, batch, optimizer)
    warm = []
    for _ in range(10):
        step(), step()
        reading, exact = tracker.update(), truth(model, batch)
        assert reading.bounds.lower <= exact * (1 + 1e-12)
        assert reading.certified == np.isfinite(reading.bounds.upper)
        assert exact <= reading.bounds.upper * (1 + 1e-12)
        if not reading.certified:
            warm.append(reading)
            assert 1 <= reading.products <= 3
            assert reading.value == pytest.approx(exact, rel=0.05)
        assert reading.rate == 0.5
        assert reading.limit == pytest.approx(3 / (reading.bounds.upper if reading.certified else reading.value))
        assert reading.ratio == pytest.approx(reading.rate / reading.limit)
    assert len(warm) > 6
    assert tracker.products == sum(r.products for r in tracker.history)


def test_a_crossing_is_never_certified_by_a_warm_start():
    """The top stays at 1 while another direction rises past it from the bulk to 1.3."""
    model = Terrain(bulk())
    tracker = SharpnessTracker(model, loss, ONE, cadence=8)
    assert tracker.update().bounds.contains(1.0)
    model.curvatures[150] = 1.3
    readings = []
    while not readings or not readings[-1].certified:
        readings.append(tracker.update())
        assert len(readings) < 12
    *warm, fresh = readings
    assert len(warm) == 8
    for reading in warm:
        assert not reading.certified
        assert reading.bounds.upper == np.inf
        assert reading.bounds.contains(1.3)
        assert not SharpnessReading.from_dict(reading.to_dict()).certified
    assert warm[-1].value == pytest.approx(1.0, abs=0.01)  # the warm start missed it: that is why it is not certified
    assert fresh.bounds.contains(1.3)
    assert tracker.cadence == 4  # it found more: come back sooner
    assert tracker.update().value == pytest.approx(1.3, rel=1e-3)


def test_a_crossing_of_the_two_known_directions_is_seen_at_once():
    model = Terrain(bulk())
    model.curvatures[1] = 0.8
    tracker = SharpnessTracker(model, loss, ONE, rtol=1e-6)
    tracker.update()
    model.curvatures[1] = 1.2
    reading = tracker.update()
    assert not reading.certified
    assert reading.value == pytest.approx(1.2, rel=1e-3)


def test_the_cadence_grows_while_nothing_is_found_and_has_an_end():
    tracker = SharpnessTracker(Terrain(bulk()), loss, ONE, cadence=2, longest=8)
    for _ in range(40):
        tracker.update()
    fresh = [r.update for r in tracker.history if r.certified]
    assert np.diff(fresh).tolist() == [3, 5, 9, 9, 9]
    assert tracker.cadence == 8
    assert all(r.products == 2 for r in tracker.history if not r.certified)


@pytest.mark.parametrize(("factor", "word"), [(1.6, "changed"), (0.6, "changed")])
def test_a_large_change_calls_for_a_fresh_start(factor, word):
    model = Terrain(bulk())
    passive = SharpnessTracker(model, loss, ONE, recertify=False)
    active = SharpnessTracker(model, loss, ONE)
    passive.update(), active.update()
    assert passive.update().stale == ""
    model.curvatures.mul_(factor)
    assert word in passive.update().stale
    assert word in passive.stale
    assert not passive.history[-1].certified
    assert active.update().certified
    assert passive.certify().certified
    assert passive.stale == ""


def test_without_recertification_it_goes_stale_by_age():
    tracker = SharpnessTracker(Terrain(bulk()), loss, ONE, recertify=False, cadence=3)
    assert [bool(tracker.update().stale) for _ in range(6)] == [False] * 4 + [True] * 2
    assert "3 updates" in tracker.stale or "cadence 3" in tracker.stale
    assert "stale" in str(tracker.history[-1])


def test_a_lost_direction_is_noticed():
    model = Terrain(bulk())
    tracker = SharpnessTracker(model, loss, ONE, recertify=False, products=1)
    tracker.update()
    model.rotation.copy_(torch.linalg.qr(torch.randn(300, 300).double())[0])
    assert "lost" in tracker.update().stale


def test_the_optimizers_view():
    model, _, batch, _ = trained()
    adam = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0)
    for _ in range(5):
        adam.zero_grad()
        cross_entropy(model, batch).backward()
        adam.step()
    tracker = SharpnessTracker(model, cross_entropy, batch, adam)
    reading = tracker.update()
    expected = sf.spectrum(optimizer_curvature(hessian(model, cross_entropy, batch), adam), rtol=1e-3).largest
    assert reading.bounds.lower <= expected.upper
    assert expected.lower <= reading.bounds.upper
    assert reading.limit == pytest.approx(38 / reading.bounds.upper)


def test_a_source_of_batches_and_a_batch_at_hand():
    model, optimizer, (x, y), _ = trained()
    asked = []

    def source():
        asked.append(1)
        return x[:20], y[:20]

    tracker = SharpnessTracker(model, cross_entropy, source, optimizer)
    assert tracker.update().bounds.contains(truth(model, (x[:20], y[:20])))
    assert tracker.certify((x[20:], y[20:])).bounds.contains(truth(model, (x[20:], y[20:])))
    assert len(asked) == 1
    with pytest.raises(InvalidInput, match="source"):
        tracker.bias(16)


def test_it_resumes_where_it_was():
    def run(interrupted):
        model, optimizer, batch, step = trained()
        tracker = SharpnessTracker(model, cross_entropy, batch, optimizer, cadence=4)
        for i in range(14):
            step()
            tracker.update()
            if interrupted and i == 6:
                state = tracker.state_dict()
                tracker = SharpnessTracker(model, cross_entropy, batch, optimizer, cadence=4)
                tracker.load_state_dict(state)
        return tracker.history

    assert run(True) == run(False)


def test_a_state_of_another_model_is_refused():
    one = SharpnessTracker(Terrain(bulk(30)), loss, ONE)
    one.update()
    with pytest.raises(InvalidInput, match="30 parameters"):
        SharpnessTracker(Terrain(bulk(31)), loss, ONE).load_state_dict(one.state_dict())


def test_nothing_is_left_behind():
    model, optimizer, batch, step = trained()
    step()
    tracker = SharpnessTracker(model, cross_entropy, batch, optimizer, cadence=1)
    before = snapshot(model, optimizer)
    for _ in range(4):
        tracker.update()
    tracker.bias(16, draws=2)
    after = snapshot(model, optimizer)
    for name, (value, address, version) in before[0].items():
        assert torch.equal(value, after[0][name][0]), name
        assert (address, version) == after[0][name][1:], name
    assert before[2] == after[2]
    assert torch.equal(before[3], after[3])
    assert (before[5] == after[5]).all()
    assert tracker._fixed.kept_batches == 0  # no graph is held between steps


def test_readings_round_trip():
    tracker = SharpnessTracker(Terrain(bulk()), loss, ONE)
    tracker.update(), tracker.update()
    for reading in tracker.history:
        text = json.dumps(reading.to_dict())
        assert SharpnessReading.from_dict(json.loads(text)) == reading


def test_minibatches_look_sharper_by_jensen():
    model, _, batch, _ = trained()
    small, large = (SharpnessTracker(model, cross_entropy, batch).bias(size, draws=16) for size in (8, 32))
    assert small.ratio > large.ratio > 1 - 3 * large.standard_error
    assert small.ratio > 1 + 3 * small.standard_error
    assert small.full.contains(truth(model, batch))
    assert "sharper than the data" in str(small)
    assert json.dumps(small.to_dict())


def test_bias_on_ready_batches_is_their_own():
    model, _, (x, y), _ = trained()
    halves = [(x[:32], y[:32]), (x[32:], y[32:])]
    found = minibatch_bias(hessian(model, cross_entropy, halves), 32, draws=2, rtol=1e-5)
    expected = [truth(model, half) for half in halves]
    assert sorted(found.largest) == pytest.approx(sorted(expected), rel=1e-4)
    assert found.ratio == pytest.approx(np.mean(expected) / truth(model, (x, y)), rel=1e-4)


@pytest.mark.parametrize("wrong", [{"products": 0}, {"cadence": 0}, {"longest": 0}])
def test_arguments(wrong):
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        SharpnessTracker(Terrain(bulk(5)), loss, ONE, **wrong)


def test_arguments_of_bias():
    model, _, batch, _ = trained()
    with pytest.raises(InvalidInput, match="draws"):
        SharpnessTracker(model, cross_entropy, batch).bias(8, draws=1)
    with pytest.raises(InvalidInput, match="compare"):
        SharpnessTracker(Terrain([-1.0, -2.0]), loss, ONE).bias(1)
