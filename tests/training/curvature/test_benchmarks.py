"""The script for a device runs small on a CPU, with intervals that hold a float64 Hessian's; so does that of growth."""

import json
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.mark.slow
def test_the_device_benchmark_runs_small(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    state = torch.get_rng_state()
    try:
        import device

        assert device.main("small") == 0
    finally:
        torch.set_rng_state(state)
        for name in ("device", "models"):
            sys.modules.pop(name, None)
    printed = capsys.readouterr().out
    assert "holds" in printed
    assert "Error" not in printed


def test_growth_measures_a_row_and_its_slope(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    try:
        import growth

        assert growth.slope([1, 10, 100], [3, 30, 300]) == pytest.approx(1)
        assert growth.slope([1, 10, 100], [5, 5, 5]) == pytest.approx(0)
        growth.main(["--row", "sparse", "1000"])
    finally:
        for name in ("growth", "bench"):
            sys.modules.pop(name, None)
    n, unit, products, in_units, peak = json.loads(capsys.readouterr().out)
    assert n == 1000
    assert 5 < products < 200
    assert min(unit, in_units, peak) > 0
