"""The stability region of a method as a picture."""

import numpy as np
from matplotlib.axes import Axes

from surefoot.methods import Region
from surefoot.report._canvas import ACCENT, INK, LIMIT, MUTED, Drawing, draw
from surefoot.report._numbers import number
from surefoot.report._page import Figure, Record, Section, Table, view


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

    Examples
    --------
    >>> from surefoot.methods import RK4
    >>> from surefoot.report.figures import region_figure
    >>> region_figure(RK4().region())[:4]
    '<svg'
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


@view(
    title="Where is this method stable?",
    trust="Exact for linear equations, from the method's coefficients. Of a nonlinear one it speaks at a point, by the "
    "eigenvalues of the Jacobian there.",
)
def page(region: Record) -> Section:
    return Section(
        title=region["method"],
        word=f"Stable down to {number(-region['real_limit'], digits=8)}",
        mood="good",
        lead=f"For step times a real eigenvalue from there to 0; on the imaginary axis up to "
        f"±{number(region['imaginary_limit'], digits=8)}i.",
        figures=[
            Figure(
                caption="Step × eigenvalue where the method is stable: the piece at 0 outlined, others only shaded.",
                wide=True,
            )
        ],
        tables=[
            Table(
                heads=("angle", "largest |step × eigenvalue|"),
                rows=[(f"{angle:g}°", number(reach, digits=6)) for angle, reach in region["reach"]],
            )
        ],
    )
