"""Two processes with a part of the data each must agree with one that has it all, and with each other to the bit."""

import json

import numpy as np
import pytest
import torch
from training.curvature.two_processes import measured, problem
from training.rank_runs import needs_gloo, run_ranks

from surefoot.errors import InvalidType
from surefoot.training import hessian, supervised

RANKS = """
    from training.curvature.two_processes import run
    print(json.dumps(run(rank)))
"""


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    codes, said, errors = run_ranks(RANKS, folder)
    assert codes == [0, 0], errors
    return [json.loads(out) for out in said]


@pytest.mark.slow
@needs_gloo
def test_two_processes_agree_with_one(records):
    model, x, y = problem()
    alone = measured(model, (x, y), split=False)
    for record in records:
        assert record["names"] == alone["names"]
        assert record["products"] == alone["products"]
        for name in ("product", "rebuilt", "gauss_newton", "fisher", "block", "gradient", "value", "spectrum", "limit"):
            np.testing.assert_allclose(record[name], alone[name], rtol=1e-9, atol=1e-13, err_msg=name)


@pytest.mark.slow
@needs_gloo
def test_both_processes_have_the_same_bits(records):
    told = {name for record in records for name in record if name == "error" or name.startswith("midway")}
    first, second = ({k: v for k, v in record.items() if k not in told} for record in records)
    assert first == second


@pytest.mark.slow
@needs_gloo
def test_an_error_in_one_process_reaches_the_other(records):
    assert "no batch" in records[1]["error"]
    assert "another process" in records[0]["error"]


@pytest.mark.slow
@needs_gloo
def test_an_error_in_the_middle_of_a_measurement_leaves_none_waiting(records):
    """Each pair of collectives is one: had one process not come to it, the other would have run into the timeout."""
    names = [name for name in records[0] if name.startswith("midway")]
    assert len(names) == 5
    for name in names:
        assert "out of memory" in records[1][name], name
        assert "another process" in records[0][name], name


@pytest.mark.slow
@needs_gloo
def test_uneven_numbers_of_batches_end_with_the_shorter(records):
    assert [len(record["uneven"]) for record in records] == [1, 1]


def test_sharded_parameters_are_refused():
    class FullyShardedDataParallel(torch.nn.Linear):
        pass

    with pytest.raises(InvalidType, match="sharded"):
        hessian(
            torch.nn.Sequential(FullyShardedDataParallel(2, 1)),
            supervised(torch.nn.functional.mse_loss),
            (torch.ones(3, 2), torch.ones(3, 1)),
        )
