"""The picture of a method's order."""

import numpy as np

from surefoot.methods import RK4, ForwardEuler
from surefoot.report.figures import order_figure
from surefoot.solvers import local_error


def test_the_slope_is_the_order_plus_one_and_is_drawn():
    steps = np.geomspace(0.005, 0.05, 6)
    measured = [local_error(lambda t, y: -y * y, 0.0, [1.0], method, steps) for method in (ForwardEuler(), RK4())]
    assert abs(measured[0].slope - 2) < 0.1
    assert abs(measured[1].slope - 5) < 0.2
    svg = order_figure(measured)
    assert svg.lstrip().startswith("<svg")
    assert "order 4" in svg
