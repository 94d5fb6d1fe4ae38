"""The stability region of a method as a picture."""

import numpy as np
from matplotlib.axes import Axes

from surefoot.methods import Region
from surefoot.report._canvas import ACCENT, INK, LIMIT, MUTED, Drawing, draw


def region_figure(region: Region) -> Drawing:
    """Where step * eigenvalue is stable: the connected piece at 0 outlined, other pieces shaded only.

    Parameters
    ----------
    region : Region
        Region from ``method.region()``.

    Returns
    -------
    Drawing
        An ``<svg>`` element.
    """

    def paint(axes: Axes) -> None:
        axes.contourf(region.real, region.imaginary, region.mask.astype(float), [0.5, 1.5], colors=[ACCENT], alpha=0.2)
        axes.plot(np.real(region.boundary), np.imag(region.boundary), color=ACCENT, lw=1.4)
        axes.axhline(0.0, color=MUTED, lw=0.7)
        axes.axvline(0.0, color=MUTED, lw=0.7)
        if -region.real_limit >= region.real[0]:
            axes.plot([-region.real_limit], [0.0], "o", ms=5, color=LIMIT)
            axes.annotate(
                f"{-region.real_limit:.6g}", (-region.real_limit, 0.0), (4, 6), textcoords="offset points", color=INK
            )
        axes.set_xlim(float(region.real[0]), float(region.real[-1]))
        axes.set_ylim(float(region.imaginary[0]), float(region.imaginary[-1]))
        axes.set(xlabel="real part of step * eigenvalue", ylabel="imaginary part")
        axes.set_aspect("equal", adjustable="box")

    return draw(paint, width=5.2, height=4.6, measured=True)
