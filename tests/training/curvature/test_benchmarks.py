"""The groups on a device and on growth run small, with intervals that hold a float64 Hessian's."""

import json
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.mark.slow
def test_the_device_group_runs_small(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    state = torch.get_rng_state()
    try:
        import device

        holds, costs = device.device(quick=True)
    finally:
        torch.set_rng_state(state)
        for name in ("device", "models", "bench"):
            sys.modules.pop(name, None)
    assert len(holds.rows) == 6
    assert all(row[holds.columns.index("held")] for row in holds.rows)
    assert all(row[1] > 0 for row in costs.rows)


def test_growth_measures_a_row_and_its_slope(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    try:
        import growth

        assert growth.slope([1, 10, 100], [3, 30, 300]) == pytest.approx(1)
        assert growth.slope([1, 10, 100], [5, 5, 5]) == pytest.approx(0)
        growth.row("sparse", 1000)
    finally:
        for name in ("growth", "bench"):
            sys.modules.pop(name, None)
    n, unit, products, in_units, peak = json.loads(capsys.readouterr().out)
    assert n == 1000
    assert 5 < products < 200
    assert min(unit, in_units, peak) > 0
