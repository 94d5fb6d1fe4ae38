"""A model under FSDP2 on four processes: the numbers of one process that has it whole, in parts."""

import json

import numpy as np
import pytest
from training.curvature.sharded_runs import loss, measured, parts, problem
from training.rank_runs import needs_gloo, run_ranks

from surefoot.training import hessian

pytestmark = needs_gloo


RANKS = """
    from training.curvature.sharded_runs import run
    print(json.dumps(run(rank, count)))
"""


# Four: one has no row of the parameters with nine, which two would share.
@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder, size = tmp_path_factory.mktemp("shards"), 4
    codes, said, errors = run_ranks(RANKS, folder, count=size)
    assert codes == [0] * size, errors
    return [json.loads(out) for out in said]


@pytest.mark.slow
def test_shards_agree_with_one_process(records):
    model, x, y = problem()
    alone = measured(model, parts(x, y))
    for record in records:
        for name in ("product", "rebuilt", "gradient", "value", "noise"):
            np.testing.assert_allclose(record[name], alone[name], rtol=1e-9, atol=1e-13, err_msg=name)
        # another start of the iteration: both intervals hold the same eigenvalue
        (lower, upper), (low, high) = record["spectrum"], alone["spectrum"]
        assert max(lower, low) <= min(upper, high)
        assert record["limit"] == pytest.approx(alone["limit"], rel=0.2)
        assert record["unchanged"]
        assert record["trains"]


@pytest.mark.slow
def test_all_processes_have_the_same_bits(records):
    own = ("entries", "uneven", "kept")
    first, *others = [{k: v for k, v in record.items() if k not in own} for record in records]
    assert all(other == first for other in others)


@pytest.mark.slow
def test_no_process_has_the_whole_model(records):
    size = len(records)
    assert sum(record["entries"] for record in records) == records[0]["n"]
    # rows are dealt out in whole numbers
    assert max(record["entries"] for record in records) <= 1.6 * records[0]["n"] / size
    # graphs keep activations of a process's own samples, and none of the parameters put together
    model, x, y = problem()
    alone = hessian(model, loss, parts(x, y), check=False)
    assert records[0]["kept"] < alone.memory_per_sample * 8


@pytest.mark.slow
def test_the_second_derivative_is_checked_in_place(records):
    for record in records:
        assert record["checked"].startswith("agrees with a difference of gradients")
        assert "float64" in record["checked"]
        assert "second derivative is wrong" in record["constant"]


@pytest.mark.slow
def test_bytes_of_a_product(records):
    """Received by each process: v and the weights put together, the result handed out; all parts but its own."""
    share = (len(records) - 1) / len(records)
    for record in records:
        per_batch = record["moved"] / 3 / (record["bytes"] * share)
        assert 2 <= per_batch <= 5


@pytest.mark.slow
def test_what_sharded_parameters_cannot_do_is_said(records):
    for record in records:
        assert "equally many batches" in record["uneven"]
        assert "use hessian" in record["other"]
