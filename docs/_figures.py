"""The figures of the documentation: what each of their modules draws with, and the table of them by page."""

import io
import re
import tempfile
from collections.abc import Callable
from functools import cache
from inspect import signature
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from surefoot import problems
from surefoot.report.figures import save_svg

matplotlib.use("Agg")
matplotlib.rcParams.update(
    {
        "font.size": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "legend.frameon": False,
        "svg.hashsalt": "surefoot",  # the same figure gives the same file
        "svg.fonttype": "none",
    }
)

# Page -> (drawing function, what the figure shows: the caption, and the text for those who cannot see it).
FIGURES: dict[str, tuple[Callable[[], str], str]] = {}
# The modules that fill it.
MODULES = ("_theory_figures", "_run_figures", "_house_figures", "_training_figures")
BLUE, RED, GREEN, GREY, AMBER = "#1d5fa8", "#b3391f", "#1b7048", "#767c84", "#8a5a00"
DASHES = ("-", "--", "-.", ":")


def shows(page: str, caption: str):
    """Register the function below as the figure of a page.

    One with a parameter draws on the axes that it is handed, and a legend is added where curves have names; one without
    returns a figure, or a drawing of a report.
    """

    def register(draw: Callable[..., Any]) -> Callable[[], Figure | str]:
        @cache  # two pages may show it
        def drawn() -> Figure | str:
            if not signature(draw).parameters:
                return draw()
            figure = Figure(figsize=(6.4, 3.4))
            axes = figure.subplots()
            draw(axes)
            if axes.get_legend_handles_labels()[1] and axes.get_legend() is None:
                axes.legend()
            return figure

        FIGURES[page] = (lambda: svg(drawn()), caption)
        return drawn

    return register


def svg(drawn: Figure | str) -> str:
    """A figure as SVG text without what changes from day to day; one of a report in its colours on white."""
    if isinstance(drawn, str):
        with tempfile.TemporaryDirectory() as folder:
            return save_svg(drawn, Path(folder) / "figure.svg").read_text(encoding="utf-8")
    file = io.StringIO()
    drawn.savefig(file, format="svg", metadata={"Date": None}, bbox_inches="tight")
    return re.sub(r"^.*?(?=<svg)", "", file.getvalue(), flags=re.DOTALL)


def logistic():
    """A small logistic regression that several pages share."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 6)) * [1, 1, 2, 3, 1, 1]
    y = (X @ [1, -1, 0.5, 0.3, 0, 1] + rng.logistic(size=200) > 0).astype(float)
    return problems.Logistic(X, y, ridge=1e-2)


def quadratic(kappa: float = 50.0, size: int = 20):
    """A quadratic with curvatures from 1/kappa to 1."""
    return problems.Quadratic(np.diag(np.geomspace(1 / kappa, 1.0, size)))


def by_products(A):
    """A matrix known by its products alone."""
    from scipy.sparse.linalg import LinearOperator

    return LinearOperator(
        A.shape, matvec=lambda v: A @ np.ravel(v), rmatvec=lambda v: A.T @ np.ravel(v), dtype=np.float64
    )
