"""The error of one step against the step: the order of a method as a slope."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from surefoot.report._canvas import MUTED, SERIES, Drawing, draw
from surefoot.solvers import LocalError


def order_figure(measured: Sequence[LocalError]) -> Drawing:
    """Local errors on logarithmic axes, each with the line h^(p + 1) that its order predicts.

    Parameters
    ----------
    measured : sequence of LocalError
        At most eight, from `surefoot.solvers.local_error`.

    Returns
    -------
    Drawing
        An ``<svg>`` element.
    """

    def paint(axes: Axes) -> None:
        for error, color in zip(measured, SERIES, strict=False):
            label = f"{error.method}: slope {error.slope:.2f}, order {error.order}"
            axes.loglog(error.steps, error.errors, "o", ms=4, color=color, label=label)
            last = int(np.argmax(error.steps))
            line = error.errors[last] * (error.steps / error.steps[last]) ** (error.order + 1)
            axes.loglog(error.steps, line, color=MUTED, lw=1, ls="--")
        axes.set(xlabel="step", ylabel="error of one step")
        axes.legend()

    return draw(paint, measured=True)
