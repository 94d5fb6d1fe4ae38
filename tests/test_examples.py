"""The examples do what they say: each prints what theory predicts beside what was observed."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    yield
    for path in EXAMPLES.glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.mark.parametrize(("optimizer", "rate", "first", "limit"), [("SGD", 0.9, 0.9, 2), ("Adam", 0.005, 0.5, 38)])
def test_sharpness_rises_to_the_limit_of_either_optimizer(optimizer, rate, first, limit):
    pytest.importorskip("sklearn")
    import edge_of_stability
    import torch

    found, ratios, losses = edge_of_stability.train(getattr(torch.optim, optimizer), rate, steps=800)
    assert found == pytest.approx(limit / rate)
    assert ratios[0] < first
    late = sorted(ratios[-13:])
    assert 0.85 < late[6] < 1.1
    assert late[0] > 0.75
    assert late[-1] < 1.25
    assert losses[-1] < 0.5 * losses[0]


def test_a_rate_far_below_the_limit_does_not_get_there():
    pytest.importorskip("sklearn")
    import edge_of_stability
    import torch

    _, ratios, _ = edge_of_stability.train(torch.optim.SGD, 0.05, steps=200)
    assert max(ratios) < 0.2


@pytest.mark.parametrize("factor", [1.9, 2.5, 4.0, 30.0])
def test_above_the_limit_at_the_start_a_wide_network_comes_back_and_far_above_it_fails(factor):
    import beyond_the_limit

    losses, before, after = beyond_the_limit.train(factor)
    expected = {"reported to fail": "fails"}.get(beyond_the_limit.predict(factor), beyond_the_limit.predict(factor))
    assert beyond_the_limit.observe(losses) == expected
    if 2 < factor < 12:
        assert after < before
