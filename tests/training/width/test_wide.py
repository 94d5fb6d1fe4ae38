"""Width: networks in three parametrisations, their predicted and measured limits, and what is said of rates above."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import SGD

from surefoot.errors import InvalidInput
from surefoot.report._width import section
from surefoot.spectra import predict_wide
from surefoot.training import gauss_newton, optimizer_limits, supervised
from surefoot.training.width.wide import WideMLP, WidthPoint, WidthStudy, width_study


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(80, 8, generator=generator)
    return x, nn.functional.one_hot(torch.randint(10, (80,), generator=generator), 10).float()


def network(width, name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return WideMLP(8, width, name)


def test_standard_and_ntk_are_one_function(data):
    standard, ntk = network(32, "standard"), network(32, "ntk")
    torch.testing.assert_close(standard(data[0]), ntk(data[0]))
    shrunk = network(32, "mup")(data[0])
    torch.testing.assert_close(shrunk, standard(data[0]) / math.sqrt(32))


def test_maximal_update_has_a_rate_for_each_layer():
    rates = [group["lr"] for group in network(32, "mup").groups(0.5)]
    assert rates == [16.0, 0.5, 0.5 / 32]
    assert [group["lr"] for group in network(32, "ntk").groups(0.5)] == [0.5] * 3


@pytest.mark.parametrize("name", ["standard", "ntk", "mup"])
def test_the_prediction_of_several_outputs(data, name):
    """Ten outputs share the layers, which makes the top larger by a factor of 1.5 to 2 at this width."""
    width, loss, x = 256, supervised(nn.functional.mse_loss), data[0].double().numpy()
    tops = []
    for seed in range(2):
        torch.manual_seed(seed)
        model = WideMLP(8, width, name)
        allowed = optimizer_limits(gauss_newton(model, loss, data), SGD(model.groups(1.0)), rtol=0.03)
        tops.append(2 * model.rates[0] / allowed.curvature_limit)
    told = predict_wide([width] * 2, x, weight_variance=2.0, outputs=10, loss="squared", parametrization=name)
    alone = predict_wide([width] * 2, x, weight_variance=2.0, outputs=1, loss="squared", parametrization=name)
    assert told.largest.upper == pytest.approx(np.mean(tops), rel=0.2)
    assert told.largest.upper > 1.1 * alone.largest.upper / 10


def test_how_the_limit_goes_with_width(data):
    x = data[0].double().numpy()

    def power(name):
        tops = [
            predict_wide([m] * 2, x, weight_variance=2.0, outputs=10, loss="squared", parametrization=name)
            for m in (1024, 8192)
        ]
        return math.log(tops[0].largest.upper / tops[1].largest.upper) / math.log(8)

    assert power("standard") == pytest.approx(-1, abs=0.1)
    assert power("ntk") == pytest.approx(0, abs=0.1)
    assert power("mup") == pytest.approx(0, abs=0.1)


def test_a_small_study(data):
    told = []
    study = width_study(data, widths=(16, 32), steps=5, networks=1, progress=lambda done, *_: told.append(done))
    assert told == list(range(6))
    assert [(p.parametrization, p.width) for p in study.points] == [
        (name, width) for name in ("standard", "ntk", "mup") for width in (16, 32)
    ]
    for point in study.points:
        tried = dict(point.tried)
        best = min(tried, key=lambda rate: tried[rate] if math.isfinite(tried[rate]) else math.inf)
        assert 0.7 <= point.best / best <= 1.5
        assert 0.1 < point.predicted / point.measured < 10
    assert "standard" in str(study)
    record = study.to_dict()
    page = section(record)
    assert len(page.tables[0].rows) == 6
    assert page.figures[0].drawing.startswith("<svg")
    again = width_study(data, widths=(16, 32), steps=5, networks=1)
    assert again == study


def test_a_slope_is_that_of_a_power_law():
    points = tuple(
        WidthPoint(parametrization="standard", width=m, predicted=3 / m, measured=2.0, best=m**0.5, tried=((1.0, 1.0),))
        for m in (64, 128, 512)
    )
    study = WidthStudy(points=points[::-1], steps=1, networks=1)
    powers = [study.slope("standard", what) for what in ("predicted", "measured", "best")]
    assert powers == pytest.approx([-1, 0, 0.5], abs=1e-12)
    assert study.of("standard") == points


@pytest.mark.parametrize("wrong", [{"widths": (64, 64)}, {"widths": (1, 64)}, {"steps": 0}, {"networks": 0}])
def test_bad_input(data, wrong):
    with pytest.raises(InvalidInput):
        width_study(data, **wrong)
