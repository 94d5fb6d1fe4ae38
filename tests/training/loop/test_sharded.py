"""Guard and Pilot over parameters that two processes hold in parts (``fully_shard``), one of which dies at last."""

import re

import pytest
import torch
from training.rank_runs import needs_gloo, run_ranks

SHARDED = """
    from torch import nn
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from surefoot.training import Guard, Pilot
    mesh = init_device_mesh("cpu", (count,))
    W = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
    def network():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 17), nn.ReLU(), nn.Linear(17, 4))  # 17 rows: parts of unequal size
        for layer in (model[0], model[2]):
            fully_shard(layer, mesh=mesh)
        return fully_shard(model, mesh=mesh)
    def plain(value):
        if isinstance(value, torch.Tensor):
            return (value.full_tensor() if hasattr(value, "placements") else value).tolist()
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value
    def state(*things):
        return repr([plain(thing.state_dict()) for thing in things])
    def batches(steps):
        own = torch.Generator().manual_seed(10 + rank)
        for _ in range(steps):
            x = torch.randn(32, 8, generator=own)
            yield x, (x @ W).argmax(1)
    def adamw(model):
        return torch.optim.AdamW(model.parameters(), lr=1e-2)
    def closure(model, x, y):
        return lambda: nn.functional.cross_entropy(model(x), y)
"""
CALM = """
    kept, free = network(), network()
    optimizers = adamw(kept), adamw(free)
    guard = Guard(kept, optimizers[0])
    for x, y in batches(40):
        guard.step(closure(kept, x, y))
        optimizers[1].zero_grad()
        closure(free, x, y)().backward()
        optimizers[1].step()
    print("calm", guard.history, state(kept, optimizers[0]) == state(free, optimizers[1]))
"""
FAULTS = """
    model = network()
    optimizer = adamw(model)
    guard = Guard(model, optimizer, keep=where / "kept")
    seen = {}
    for k, (x, y) in enumerate(batches(80)):
        seen[k] = state(model, optimizer)
        if k == 5 and rank == 1:
            x.fill_(math.nan)
        if k == 37 and rank == 1:
            with torch.no_grad():
                model[0].weight.to_local()[0, 0] = math.nan
        if k == 60:
            optimizer.param_groups[0]["lr"] *= 1000
        if k == 64:
            optimizer.param_groups[0]["lr"] /= 1000
        guard.step(closure(model, x, y))
        for event in guard.history[-1:]:
            if event.step == k and event.action == "back":
                print("back from", k, "to", k - event.undone, state(model, optimizer) == seen[k - event.undone])
    print(guard.explain())
    print(state(model, optimizer, guard))
    del guard
    again = network()
    optimizer = adamw(again)
    where_it_was = Guard(again, optimizer, keep=where / "kept").recover()
    print("recovered", where_it_was, state(again, optimizer) == seen[where_it_was])
"""
PILOT = """
    model = network()
    pilot = Pilot(model, adamw(model), total_steps=60)
    for k, (x, y) in enumerate(batches(60)):
        pilot.step(closure(model, x, y))
        if k in (3, 20, 59):
            print(state(model), [m.rate for m in pilot.history])
    print(pilot.explain())
"""
DYING = """
    import signal
    model = network()
    guard = Guard(model, adamw(model))
    for k, (x, y) in enumerate(batches(10)):
        if k == 5 and rank == 1:
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        if k == 5:
            print("alone at", guard.updates, flush=True)
        guard.step(closure(model, x, y))
    print("went on")
"""


@needs_gloo
@pytest.mark.slow
@pytest.mark.skipif(not hasattr(torch.cpu.Stream, "record_event"), reason="this PyTorch shards no training on the CPU")
def test_guard_and_pilot_with_sharded_parameters(tmp_path):
    codes, said, errors = run_ranks(SHARDED + CALM + FAULTS + PILOT + DYING, tmp_path)
    # the second process is killed at last; the first gets an error from its backend, and does not wait for ever
    assert codes == [1, -9], errors
    told, end = said[0].split("alone at ")
    assert end == "5\n"
    assert "in step" in errors[0]
    assert told == said[1]
    assert "calm [] True" in told
    assert "step 5: the loss is not finite; batch left out" in told
    assert "back from 37 to 30 True" in told
    backs = re.findall(r"^back from .*", told, re.MULTILINE)
    assert len(backs) >= 2
    assert all(line.endswith(" True") for line in backs)
    assert re.search(r"^recovered \d+ True$", told, re.MULTILINE)
    assert "chose" in told
