"""Two processes with batches of their own: one decision, one model, to the bit."""

import subprocess
import sys
import textwrap

import pytest
import torch

RANKS = """
    import sys, torch, torch.distributed as dist
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel
    from surefoot.training import Pilot
    rank, where = int(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{where}/meet", rank=rank, world_size=2)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(512, 8, generator=generator)
    y = (x @ torch.randn(8, 4, generator=generator)).argmax(1)
    torch.manual_seed(rank)
    model = DistributedDataParallel(nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4)))
    pilot = Pilot(model, torch.optim.AdamW(model.parameters(), lr=1e-9), total_steps=100)
    for k in range(100):
        i = torch.arange(64 * k + 32 * rank, 64 * k + 32 * rank + 32) % 512
        value = pilot.step(lambda: nn.functional.cross_entropy(model(x[i]), y[i]))
    events = [m.event for m in pilot.history if m.event]
    print([m.rate for m in pilot.history], events, [p.tolist() for p in model.parameters()])
    print("trained" if value < 0.7 else value, file=sys.stderr)
    dist.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()), reason="torch without gloo"
)
def test_two_ranks_fly_alike(tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(RANKS)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    ranks = [subprocess.Popen([*command, str(rank), str(tmp_path)], **pipes) for rank in (0, 1)]
    (one, errors), (other, more) = [rank.communicate(timeout=300) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], errors + more
    assert one == other
    assert "chose" in one
    assert "trained" in errors
    assert "trained" in more
