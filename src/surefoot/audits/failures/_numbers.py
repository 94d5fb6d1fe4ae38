"""Numbers that are not finite, the loss scale, gradients of 0, and clipping."""

from dataclasses import dataclass

import numpy as np

from surefoot.audits.failures._run import Look, Run, instead, number, rate_was
from surefoot.logs import Curve

# A loss scale that fell by this factor and still falls is no search for a scale: AMP begins at 2^16 and settles within
# a few halvings.
COLLAPSE = 2.0**8
# Norms within a thousandth of their maximum in this part of the rows: no gradient does that by itself.
CAPPED, AT_CAP = 0.3, 1e-3
# Fewer norms say nothing of where they usually are. By convention.
FEW_ROWS = 20
# A norm that fell by this factor while the loss did not is a gradient that no longer arrives.
VANISHED = 1e-6
# Rows at the very start: what happens there had no time to grow.
AT_ONCE = 3


@dataclass(frozen=True, slots=True)
class Broken:
    """Where a curve is not finite: the first step and row, how often, and whether it ends so."""

    step: float
    row: int
    times: int
    rows: int
    ends: bool

    @classmethod
    def of(cls, curve: Curve) -> "Broken | None":
        """None where all of it is finite."""
        bad = ~np.isfinite(curve.values)
        if not bad.any():
            return None
        row = int(np.argmax(bad))
        return cls(float(curve.steps[row]), row, int(bad.sum()), len(bad), bool(bad[-1]))


def look_at_numbers(run: Run, look: Look) -> None:
    """Add what is not finite, and what came first."""
    broken = {
        role: hole
        for role, curve in (("loss", run.curves.loss), ("norm", run.curves.norm), ("rate", run.curves.rate))
        if curve is not None and (hole := Broken.of(curve)) is not None
    }
    collapsed = _scale(run, look)
    for role, hole in broken.items():
        name = {"loss": "the loss", "norm": "the gradient's norm", "rate": "the rate"}[role]
        often = f"{hole.times} of {hole.rows} rows" + (", the last among them" if hole.ends else "")
        search = role == "norm" and not hole.ends and run.curves.scale is not None and not collapsed
        look.find(
            word=f"{role} not finite",
            says=f"{name} is not finite first at {run.at(hole.step)} ({often})"
            + ("; single ones while the loss scale is sought are usual" if search else ""),
            step=hole.step,
            fault=not search,
            mark="" if search else f"{role} not finite",
        )
    _explain(run, look, broken, collapsed=collapsed)
    _norms(run, look)


def _explain(run: Run, look: Look, broken: dict[str, Broken], *, collapsed: bool) -> None:
    """Causes of numbers that came from nowhere; those that grew are the rate's affair."""
    loss, norm = broken.get("loss"), broken.get("norm")
    if "rate" in broken:
        look.suspect(
            word="rate not finite",
            says=f"the schedule gave {run.at(broken['rate'].step)} a rate that is not finite",
            certain=True,
            try_first=("look at the schedule at that step: a division by 0, or a warm-up of length 0",),
            measure="print the scheduler's rates before the run",
            weight=5,
        )
    # with AMP a gradient that is not finite now and then is how the scale is found, and updates are left out there
    gradient_first = norm is not None and (loss is None or norm.step < loss.step)
    if gradient_first and norm is not None and not collapsed and (loss is not None or norm.ends) and run.rise is None:
        look.suspect(
            word="gradient not finite",
            says=f"the gradient was not finite at {run.at(norm.step)} while the loss still was"
            + ("" if loss is None else f" (until {run.at(loss.step)})")
            + ": an overflow or a division by 0 in the backward pass (sqrt or a norm at 0, fp16)",
            try_first=(
                "leave such updates out: Guard, or a GradScaler that skips them",
                f"torch.autograd.set_detect_anomaly(True) for a few updates before {run.at(norm.step)}",
                "bfloat16 instead of float16; eps inside of square roots and norms",
            ),
            measure="torch.autograd.set_detect_anomaly(True): the operation whose backward pass is not finite",
            weight=3,
        )
    if loss is None or run.rise is not None:
        return
    if loss.row == 0:
        says = f"the first loss of the log is not finite at {run.at(loss.step)}"
        says += ": no step had been taken, so no rate is to blame" if loss.step <= 1 else ""
    elif loss.ends:
        before = number(float(run.logged_loss.values[loss.row - 1]))
        says = f"the loss was {before} in the row before and had not grown"
    else:
        says = (
            f"the loss is finite again after {loss.times} such rows, so the parameters are whole: their batches are not"
        )
    look.suspect(
        word="bad numbers",
        says=f"{says}: NaN or inf in the data, a label out of range, log(0) or 0/0 in the loss",
        certain=False,
        try_first=(
            f"look at the batch of {run.at(loss.step)}: NaN, empty sequences, labels out of range",
            "Guard: it leaves out updates whose loss or gradient is not finite",
            "compute the loss from logits, with eps where there is a log or a division",
        ),
        measure=f"the loss of that batch alone, at a snapshot from before {run.at(loss.step)}",
        weight=1.5 if gradient_first else 2.5,
    )
    # between two rows that are far apart, or at the very start, a fast divergence leaves no trace
    between = run.loss.every > 1
    if loss.row > 0 and loss.ends and (between or loss.row <= AT_ONCE):
        rate = run.rate_at(loss.step)
        seen = f"the log shows every {number(run.loss.every)}th {run.curves.unit}"
        look.suspect(
            word="rate above the limit",
            says=(seen if between else "it broke within a few rows")
            + ": a divergence fast enough would not be seen to grow"
            + rate_was(rate),
            try_first=(instead(rate, 1 / 3, "a third of the rate"),),
            measure="log every step around there: a loss that grows by a factor each step is the rate's",
            weight=2 if loss.row <= AT_ONCE else 1.2,
        )


def _scale(run: Run, look: Look) -> bool:
    """Whether the loss scale fell and fell."""
    curve = run.curves.scale
    if curve is None:
        return False
    values = curve.values[np.isfinite(curve.values)]
    if len(values) < 3:
        return False
    top, last = float(values.max()), float(values[-1])
    falls = int((np.diff(values) < 0).sum())
    if not falls:
        return False
    # AMP's scale falls at the start of every run: it has collapsed where it still falls in the second half
    late = values[len(values) // 2 :]
    collapsed = bool(last <= top / COLLAPSE and last <= late[0] and (np.diff(late) < 0).any()) or last < 1
    first = float(curve.steps[1 + int(np.argmax(np.diff(curve.values) < 0))])
    look.find(
        word="loss scale",
        says=f"the loss scale went from {number(top)} to {number(last)}, down {falls} times, first at {run.at(first)}",
        step=first,
        fault=collapsed,
    )
    if not collapsed:
        return False
    look.suspect(
        word="fp16 overflow",
        says=f"the loss scale fell to {number(last)} and did not come back: the backward pass overflows in half "
        "precision at any scale, or the gradient is NaN whatever the scale",
        try_first=(
            "bfloat16 instead of float16: it has the range of float32 and needs no scale",
            "float32 for the loss, the softmax and the norms",
            "torch.autograd.set_detect_anomaly(True) where the scale begins to fall",
        ),
        measure="the same few updates in float32: if they are finite there, it is the precision",
        weight=3.5,
    )
    return True


def _norms(run: Run, look: Look) -> None:
    norm = run.norm
    if len(norm) < FEW_ROWS:
        return
    top = float(norm.values.max())
    share = float(np.mean(norm.values > (1 - AT_CAP) * top))
    if top > 0 and share > CAPPED and float(np.ptp(norm.values)) > AT_CAP * top:
        look.find(
            word="clipped norms",
            says=f"the norm stands at its largest value, {number(top)}, in {share:.0%} of rows: it was logged after "
            f"clipping at {number(top)}, which cuts these steps",
            fault=False,
        )
        look.suspect(
            word="clipping sets the step",
            says=f"{share:.0%} of the gradients are cut to {number(top)}: with plain SGD these moves are rate x clip "
            "long, whatever the gradient",
            try_first=("log the norm before clipping, and clip at its 95th percentile: clip_advice says it",),
            measure="clip_advice(norms before clipping, clip=...)",
            weight=0.8,
        )
    end = float(np.median(norm.values[-max(len(norm) // 10, 3) :]))
    begin = float(np.median(norm.values[: max(len(norm) // 10, 3)]))
    if not len(run.loss) or abs(run.loss.last) < 1e-3 * max(abs(run.loss.first), 1e-300):
        return  # a loss of 0 has no gradient
    if end <= VANISHED * begin:
        gone = norm.values <= VANISHED * begin if begin > 0 else norm.values <= 0
        since = float(norm.steps[int(np.argmax(gone))])
        look.find(
            word="no gradient",
            says=f"the gradient's norm is {number(end)} from {run.at(since)} on, at a loss of {number(run.loss.last)}",
            step=since,
        )
        look.suspect(
            word="no gradient",
            says="no gradient reaches the parameters: dead units, a saturated output, a detached or frozen part",
            certain=end == 0,
            try_first=(
                "check requires_grad, detach() and no_grad() between the loss and the parameters",
                "start anew at a lower rate: units that died in a step too large do not come back",
                "leaky activations, or a smaller initial scale",
            ),
            measure="the norm of each parameter's gradient after one backward pass",
            weight=4,
        )
