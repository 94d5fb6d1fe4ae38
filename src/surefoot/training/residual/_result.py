"""Residual blocks as Euler steps, as values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from surefoot.records import Record
from surefoot.spectra import Bounds, Spectrum
from surefoot.stability import Limits
from surefoot.tables import align

# Blocks shown in print: with the other lines a screen of 24. By convention.
SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualBlock(Record):
    """One block x + g(x) as a step of forward Euler, J the Jacobian of g at the samples.

    Parameters
    ----------
    name : str
    size : int
        Entries of x, of all samples that J was measured at.
    spectrum : Spectrum
        Eigenvalues of J: all of a small one, Ritz values (estimates) of a large one.
    limits : Limits
        Limits of forward Euler on it. `stable`: the largest h for which a block that is repeated lets no
        perturbation grow for ever; 0 where an eigenvalue grows, as half of them do at a random start.
    norm : Bounds
        Interval of ||J||, the largest singular value.
    log_norm : Bounds
        Interval of the largest eigenvalue of (J + J')/2: perturbations grow at most like exp(h log_norm) at small h.
    growth : Bounds
        Interval of ||I + J||: what the block does to the worst perturbation.
    contractive : float
        No perturbation grows at any h up to here, in blocks that differ too: 2 a / ||J||^2 if log_norm <= -a < 0,
        else 0.
    mean, mean_square : float
        tr(J)/n and ||J||_F^2/n: an isotropic perturbation grows by (1 + 2 h mean + h^2 mean_square)^(1/2) in the root
        mean square. Exact of a small J, estimated by random vectors of a large one.
    degree : float
        d log|g| / d log|x|: 1 where g is linear or ReLU without biases, 0 behind a normalisation.
    """

    name: str
    size: int
    spectrum: Spectrum
    limits: Limits
    norm: Bounds
    log_norm: Bounds
    growth: Bounds
    contractive: float
    mean: float
    mean_square: float
    degree: float

    def rms_growth(self, h: float = 1.0) -> float:
        """Root mean square growth of an isotropic perturbation by x + h g(x)."""
        return math.sqrt(max(0.0, 1 + 2 * h * self.mean + h * h * self.mean_square))

    def worst_growth(self, h: float = 1.0) -> float:
        """An upper bound on ||I + h J||: (1 + 2 h log_norm + h^2 ||J||^2)^(1/2)."""
        return math.sqrt(max(0.0, 1 + 2 * h * self.log_norm.upper + (h * self.norm.upper) ** 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthScaling(Record):
    """The growth of signal and gradient with one scale h of all L branches.

    Parameters
    ----------
    label : str
        ``as it is``, ``1/sqrt(L)``, ``1/L`` or ``bounded``.
    scale : float
        h, relative to the model as it is.
    forward, backward : tuple of float, length L + 1
        Measured with the scales set: |x_k| / |x_0|, and the gradient by x_k over that by x_L; empty where a branch
        cannot be scaled.
    predicted_forward, predicted_backward : tuple of float, length L + 1
        Sizes of signal and gradient that follow from the blocks as they are.
    worst : Bounds or None
        Measured: on the largest singular value of the Jacobian of x_L by x_0, at the samples.
    bound : float
        The product of the blocks' `worst_growth` at this scale; holds for the model as it is, and for another scale as
        far as the Jacobians stay.
    """

    label: str
    scale: float
    forward: tuple[float, ...]
    backward: tuple[float, ...]
    predicted_forward: tuple[float, ...] = field(repr=False)
    predicted_backward: tuple[float, ...] = field(repr=False)
    worst: Bounds | None
    bound: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualStability(Record):
    """A stack of residual blocks as Euler steps; made by `residual_stability`.

    Parameters
    ----------
    blocks : tuple of ResidualBlock
        Blocks in the order in which they run.
    scalings : tuple of DepthScaling
        The model as it is, 1/sqrt(L), 1/L, and the largest h (``bounded``) at which neither the squared signal nor the
        squared gradient is predicted to grow by more than e across depth, where there is one.
    samples : int
        Number of samples that the Jacobians were measured at.
    linked : bool
        Whether each branch adds to what the one before it made. Where something else stands between, its effect on the
        sizes is taken as measured, and products over depth leave it out.
    note : str
        Remark for a reader: why a scale could not be tried.
    """

    blocks: tuple[ResidualBlock, ...]
    scalings: tuple[DepthScaling, ...]
    samples: int
    linked: bool
    note: str = ""

    @property
    def depth(self) -> int:
        """L, the number of branches."""
        return len(self.blocks)

    @property
    def bounded_scale(self) -> float | None:
        """The h of the scaling ``bounded``."""
        return next((s.scale for s in self.scalings if s.label == "bounded"), None)

    def __str__(self) -> str:
        where = f"{self.samples} sample" + ("s" if self.samples > 1 else "")
        head = f"{self.depth} residual blocks x + g(x) as Euler steps, J the Jacobian of g at {where}"
        chosen = self.blocks if self.depth <= SHOWN else (*self.blocks[: SHOWN - 2], self.blocks[-1])
        rows = [("block", "growth ||I + J||", "||J||", "log norm", "rms growth", "stable h", "contractive h")]
        rows += [_block_row(block) for block in chosen]
        lines = align(rows)
        if len(chosen) < self.depth:
            lines.insert(-1, f"  ... {self.depth - len(chosen)} more")
        table = [("scale of all", "h", "signal x", "predicted", "gradient x", "predicted", "worst direction", "bound")]
        table += [_scaling_row(scaling) for scaling in self.scalings]
        notes = [f"  {text}" for text in (self.meaning, self.note) if text]
        return "\n".join([head, *lines, "", *align(table), *notes])

    @property
    def meaning(self) -> str:
        """A sentence on what `stable` means for these blocks."""
        growing = sum(block.limits.stable == 0 for block in self.blocks)
        gap = "" if self.linked else "; something else stands between the blocks and is taken as measured"
        if growing:
            return (
                f"in {growing} of {self.depth} blocks an eigenvalue of J has a positive real part: repeated, they let "
                f"some perturbation grow at every h > 0. Depth is finite: what counts is the growth across it{gap}"
            )
        return f"no eigenvalue of J has a positive real part: each block, repeated, is stable up to its h{gap}"

    def derived(self) -> Mapping[str, Any]:
        return {"meaning": self.meaning}


def _block_row(block: ResidualBlock) -> tuple[str, ...]:
    allowed = block.limits.stable
    estimated = "~" if block.spectrum.provenance == "measured" and allowed else ""
    return (
        block.name,
        _interval(block.growth),
        _interval(block.norm),
        _interval(block.log_norm),
        f"{block.rms_growth():.4g}",
        f"{estimated}{allowed:.4g}",
        f"{block.contractive:.4g}",
    )


def _scaling_row(scaling: DepthScaling) -> tuple[str, ...]:
    measured = [f"{curve[i]:.4g}" if curve else "-" for curve, i in ((scaling.forward, -1), (scaling.backward, 0))]
    return (
        scaling.label,
        f"{scaling.scale:.4g}",
        measured[0],
        f"{scaling.predicted_forward[-1]:.4g}",
        measured[1],
        f"{scaling.predicted_backward[0]:.4g}",
        "-" if scaling.worst is None else _interval(scaling.worst),
        f"{scaling.bound:.4g}",
    )


def _interval(bounds: Bounds) -> str:
    return f"{bounds.upper:.4g}" if bounds.lower == bounds.upper else f"[{bounds.lower:.4g}, {bounds.upper:.4g}]"
