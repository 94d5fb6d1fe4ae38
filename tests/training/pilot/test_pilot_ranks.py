"""Several processes with batches of their own: one decision, one model, to the bit, at every update."""

import pytest
from training.rank_runs import needs_gloo, run_ranks

RANKS = """
    import hashlib
    from torch import nn
    from surefoot.training import Pilot
    seed, fault = int(arguments[0]), arguments[1]
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    model = DistributedDataParallel(inner)
    W = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
    own = torch.Generator().manual_seed(seed + rank)
    pilot = Pilot(model, torch.optim.AdamW(model.parameters(), lr=1e-2), total_steps=300)
    states = hashlib.sha256()
    def plain(value):
        if isinstance(value, torch.Tensor):
            return value.tolist()
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value
    for k in range(300):
        x = torch.randn(32, 8, generator=own)
        y = (x @ W).argmax(1)
        if fault == "batch" and rank == 1 and k in (5, 150):
            x.fill_(math.nan)
        if fault == "state" and rank == 1 and k == 150:
            with torch.no_grad():
                inner[0].weight[0, 0] = math.nan
        pilot.step(lambda: nn.functional.cross_entropy(model(x), y))
        states.update(repr(plain(pilot.state_dict())).encode() + repr(plain(model.state_dict())).encode())
        if k % 50 == 49:
            print(k, states.hexdigest())
    print([(e.step, e.action, e.kind) for e in pilot.events], [m.event for m in pilot.history if "chose" in m.event])
"""


@needs_gloo
@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "fault", "count"),
    [(10, "none", 2), (30, "state", 2), (40, "batch", 4)],
    ids=lambda value: str(value),
)
def test_all_ranks_hold_the_same_state_at_every_update(seed, fault, count, tmp_path):
    codes, said, errors = run_ranks(RANKS, tmp_path, seed, fault, count=count)
    assert codes == [0] * count, errors
    assert set(said) == {said[0]}
    assert "chose" in said[0]
    assert ("'skip'" in said[0] or "left out" in said[0]) == (fault == "batch")
    assert ("'back'" in said[0]) == (fault == "state")
