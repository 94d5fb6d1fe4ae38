"""A picture before and after a run, and what the run would have made of it above the limit."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from surefoot.operators import Array
from surefoot.problems import discrepancy
from surefoot.progress import Progress
from surefoot.records import encode
from surefoot.rules import Constant
from surefoot.solvers import Descent, descend
from surefoot.targets.deblur import DeblurTarget
from surefoot.targets.images import as_base64, shrink

__all__ = ["Beyond", "Restoration", "beyond", "restoration"]

# Most rows and columns of a picture in a record, by convention; the file that is written holds the whole picture.
SHOWN = 512
# Shares of the limit 2/L, below and above; and the length of those runs.
BELOW, ABOVE, STEPS = 0.98, 1.02, 60


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Beyond:
    """Gradient descent from a black picture, a little below the limit and a little above it.

    Parameters
    ----------
    limit : float
        2/L, the largest stable step.
    below, above : float
        The shares of it that were tried.
    losses_below, losses_above : tuple of float
        After 0, 1, ... steps.
    picture_below, picture_above : array of the image's shape
        What the runs came to.
    """

    limit: float
    below: float
    above: float
    losses_below: tuple[float, ...] = field(repr=False)
    losses_above: tuple[float, ...] = field(repr=False)
    picture_below: Array = field(repr=False)
    picture_above: Array = field(repr=False)

    @property
    def predicted(self) -> float:
        """Growth of the loss a step along the sharpest direction, (1 - 2 share)^2."""
        return (1 - 2 * self.above) ** 2

    @property
    def observed(self) -> float:
        """Growth of the loss over the last step above the limit."""
        return self.losses_above[-1] / self.losses_above[-2]

    def __str__(self) -> str:
        return (
            f"at {self.above:g} times the limit {self.limit:.4g} gradient descent from black multiplies the loss by "
            f"{self.observed:.4g} a step (predicted {self.predicted:.4g}); at {self.below:g} times it falls"
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Restoration:
    """A picture before and after a run.

    Parameters
    ----------
    before, after : array of the image's shape
        As observed, and what the run made of it.
    truth : array of that shape, or None
    psnr : (float, float) or None
        PSNR of both, in dB, for a peak of 1; None where the truth is not known.
    gradients : int
        What it cost.
    enough : bool
        Whether the residual is down to the noise.
    noise : float
        Standard deviation of the noise, of a white of 1.
    beyond : Beyond or None
        What happens above the limit, where that was tried.
    """

    before: Array = field(repr=False)
    after: Array = field(repr=False)
    truth: Array | None = field(repr=False)
    psnr: tuple[float, float] | None
    gradients: int
    enough: bool
    noise: float
    beyond: Beyond | None = None

    def __str__(self) -> str:
        text = self._reason()
        if self.psnr is not None:
            text = f"PSNR {self.psnr[0]:.2f} dB before, {self.psnr[1]:.2f} dB after; {text}"
        return text if self.beyond is None else f"{text}\n{self.beyond}"

    def _reason(self) -> str:
        if not self.enough:
            return f"the residual is still above the noise of {self.noise:.3g}"
        if self.gradients == 1:
            return (
                f"blurring it once more changes the image by no more than its noise of {self.noise:.3g}: left as it is"
            )
        return f"the residual is down to the noise of {self.noise:.3g} after {self.gradients} gradients"

    def to_dict(self) -> dict[str, Any]:
        """For JSON and for the report: pictures as base64 of a PNG, at most 512 pixels high and wide."""
        pictures = {"before": self.before, "after": self.after, "truth": self.truth}
        return {
            "said": self._reason(),
            "psnr": encode(self.psnr),
            "shape": list(self.before.shape),
            "pictures": {name: _picture(image) for name, image in pictures.items() if image is not None},
            "beyond": None if self.beyond is None else _beyond(self.beyond),
        }


def restoration(target: DeblurTarget, run: Descent, tried: Beyond | None = None) -> Restoration:
    """What a run made of the picture of a target.

    Parameters
    ----------
    target : DeblurTarget
    run : Descent
        On the target's problem.
    tried : Beyond, optional
        What `beyond` found.
    """
    problem = target.deblurring
    known = target.truth is not None
    return Restoration(
        before=problem.as_image(problem.data),
        after=problem.as_image(run.x),
        truth=target.truth,
        psnr=(target.psnr(problem.data), target.psnr(run.x)) if known else None,
        gradients=run.evaluations,
        enough=discrepancy(problem)(run.x),
        noise=problem.noise,
        beyond=tried,
    )


def beyond(target: DeblurTarget, *, progress: Progress | None = None) -> Beyond:
    """Try gradient descent at 0.98 and at 1.02 times the limit, from a black picture.

    From black the whole picture is still to be found, which gives the sharpest direction, nearly constant over it,
    something to grow from. It grows by |1 - 2 share| a step.

    Parameters
    ----------
    target : DeblurTarget
    progress : callable, optional
        Called with (done, total, label, remaining seconds or None).
    """
    problem = target.deblurring
    limit = 2 / problem.curvature().largest.upper
    runs: list[Descent] = []
    for share in (BELOW, ABOVE):

        def move(made: int, *_: object, share: float = share) -> None:
            if progress is not None:
                progress(len(runs) * STEPS + made, 2 * STEPS, f"{share:g} times the limit", None)

        black, rule = np.zeros(problem.size), Constant(step=share * limit)
        runs.append(descend(problem, black, rule=rule, steps=STEPS, tol=0.0, progress=move, curvature=False))
    below, above = runs
    return Beyond(
        limit=limit,
        below=BELOW,
        above=ABOVE,
        losses_below=tuple(below.trace.loss.tolist()),
        losses_above=tuple(above.trace.loss.tolist()),
        picture_below=problem.as_image(below.x),
        picture_above=problem.as_image(above.x),
    )


def _beyond(tried: Beyond) -> dict[str, Any]:
    return {
        "said": str(tried),
        "below": tried.below,
        "above": tried.above,
        "losses_below": encode(tried.losses_below),
        "losses_above": encode(tried.losses_above),
        "pictures": {"below": _picture(tried.picture_below), "above": _picture(tried.picture_above)},
    }


def _picture(image: Array) -> str:
    return as_base64(shrink(image, -(-max(image.shape[:2]) // SHOWN)))
