"""The edge of stability as it was observed: sharpness rises to the limit of the rate, and the record survives."""

import csv
import json

import pytest

pytest.importorskip("sklearn")

from surefoot.errors import InvalidInput, NotFinite
from surefoot.training import Edge, edge_of_stability


@pytest.fixture(scope="module")
def edge():
    told = []
    found = edge_of_stability([0.9], [0.005], steps=800, progress=lambda *seen: told.append(seen))
    assert told[-1][:2] == (80, 80)
    assert [seen[0] for seen in told] == sorted(seen[0] for seen in told)
    return found


def test_sharpness_rises_to_the_limit_of_either_optimizer(edge):
    descent, adam = edge.runs
    assert (descent.threshold, adam.threshold) == (2 / 0.9, pytest.approx(38 / 0.005))
    for run, first in ((descent, 0.9), (adam, 0.5)):
        assert run.ratios[0] < first
        low, middle, high = run.end
        assert 0.85 < middle < 1.1
        assert low > 0.75
        assert high < 1.25
        assert run.loss[-1] < 0.5 * run.loss[0]
    assert "2 of 2" in edge.finding
    assert "not a law" in str(edge)


def test_a_rate_far_below_does_not_get_there():
    (run,) = edge_of_stability([0.05], [], steps=200).runs
    assert run.end[2] < 0.2


def test_json_csv_and_figure(edge, tmp_path):
    record = json.loads(json.dumps(edge.to_dict(), allow_nan=False))
    assert Edge.from_dict(record) == edge
    with edge.to_csv(tmp_path / "edge.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(run.steps) for run in edge.runs)
    pytest.importorskip("matplotlib")
    from surefoot.report import write_report
    from surefoot.report.figures import edge_figure

    assert edge_figure(record) == edge_figure(edge)
    html = write_report(edge.to_dict(), tmp_path / "edge.html").read_text(encoding="utf-8")
    assert "not a law" in html


def test_what_is_wrong_is_said():
    for rates, adam, steps in (([], [], 800), ([0.0], [], 800), ([0.5], [float("nan")], 800), ([0.5], [], 10)):
        with pytest.raises(InvalidInput):
            edge_of_stability(rates, adam, steps=steps)
    with pytest.raises(NotFinite):
        edge_of_stability([50.0], [], steps=200)
