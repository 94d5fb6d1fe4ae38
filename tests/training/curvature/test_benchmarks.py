"""The script for a device runs small on a CPU: its intervals hold the eigenvalues of a float64 Hessian."""

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
