"""Another batch size: the rate that goes with it, why, and where that stops. Numbers only."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from surefoot.checks import Count, Positive, Range, checked
from surefoot.errors import InvalidInput, InvalidType
from surefoot.records import Record

# By how the update depends on the gradient's length: as it is, or divided by it.
LINEAR = ("sgd", "momentum", "nesterov", "heavy-ball")
SQUARE_ROOT = (
    *("adam", "adamw", "nadam", "radam", "adamax", "amsgrad", "rmsprop", "adagrad", "adadelta", "adafactor"),
    *("lamb", "lion", "signsgd"),
)
# Optimizers whose weight decay is multiplied by the rate and not mixed into the gradient.
DECOUPLED = ("adamw", "lion", "lamb")
# torch's defaults.
BETAS, EPS = (0.9, 0.999), 1e-8
# Beyond a tenth of the noise scale the simple rule is off by more than a tenth.
FAR_BELOW = 0.1
# Why decoupled weight decay has to change with the rate.
DECAY = "it is multiplied by the rate, and their product sums up to the same over the run"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchScaling(Record):
    """Settings for another batch size.

    Parameters
    ----------
    optimizer : str
    rule : str
        "linear" or "square root".
    batch, to : float
        Samples per update, before and after.
    lr, rate : float
        Before and after.
    square_root : float or None
        For SGD, the rate of the square-root rule, which keeps the covariance of one update; None for Adam's family,
        whose `rate` it is.
    noise_scale : float or None
        The gradient noise scale, samples: the critical batch size.
    steps, warmup : int or None
        Updates after; None where none were given.
    samples : float
        Samples of the whole run, after over before.
    momentum : float or None
        After, for SGD.
    betas : tuple of float or None
        After, for Adam's family.
    eps : float or None
        After, for Adam's family.
    weight_decay : float
        Factor for decoupled weight decay: its sum over the run stays.
    reasons : tuple of str
        Which rule and why, where it stops, and what follows for the rest.
    """

    optimizer: str
    rule: Literal["linear", "square root"]
    batch: float
    to: float
    lr: float
    rate: float
    square_root: float | None
    noise_scale: float | None
    steps: int | None
    warmup: int | None
    samples: float
    momentum: float | None
    betas: tuple[float, ...] | None
    eps: float | None
    weight_decay: float
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        rows = [("rate", f"{self.lr:.6g} -> {self.rate:.6g}  (x {self.rate / self.lr:.4g}, {self.rule} rule)")]
        if self.square_root is not None:
            rows.append(("or", f"{self.lr:.6g} -> {self.square_root:.6g}  (square-root rule)"))
        if self.steps is not None:
            rows.append(("steps", f"{self.steps}"))
        if self.warmup is not None:
            rows.append(("warm-up", f"{self.warmup} steps"))
        if self.momentum is not None:
            rows.append(("momentum", f"{self.momentum:.6g}"))
        if self.betas is not None:
            rows.append(("betas", ", ".join(f"{beta:.6g}" for beta in self.betas)))
        if self.eps is not None:
            rows.append(("eps", f"{self.eps:.4g}"))
        if self.weight_decay != 1:
            rows.append(("weight decay", f"x {self.weight_decay:.4g}"))
        width = max(len(name) for name, _ in rows)
        head = f"{self.optimizer}, batch {self.batch:g} -> {self.to:g}"
        return "\n".join([
            head,
            "",
            *(f"  {name:<{width}}  {text}" for name, text in rows),
            "",
            *(f"  {reason}" for reason in self.reasons),
        ])  # fmt: skip


@checked
def scale_batch(
    lr: Positive,
    batch: Positive,
    to: Positive,
    optimizer: Any = "sgd",
    noise_scale: Any = None,
    steps: Count | None = None,
    warmup: Annotated[int, Range("[0, inf)")] | None = None,
    momentum: Annotated[float, Range("[0, 1)")] | None = None,
    *,
    betas: Sequence[float] | None = None,
    eps: Positive | None = None,
) -> BatchScaling:
    """The learning rate for another batch size.

        SGD:   eta' = eta k               Adam:  eta' = eta sqrt(k)        k = to/batch

    and with a gradient noise scale B, where the first is eta_max/(1 + B/batch) (McCandlish et al. 2018, equation 2.6):

        SGD:   eta' = eta q               Adam:  eta' = eta sqrt(q)        q = (1 + B/batch)/(1 + B/to)

    The linear rule keeps the drift and the diffusion of SGD per sample (Goyal et al. 2017). SGD has a square-root rule
    too, eta sqrt(k): it keeps the covariance of one update, eta^2 Sigma/batch, and so gives up drift per sample
    (Krizhevsky 2014; Hoffer et al. 2017, section 4). For Adam's family the square-root rule keeps what the linear rule
    keeps for SGD, since their update is the gradient divided by its size, which noise makes proportional to
    1/sqrt(batch) (Malladi et al. 2022, definition 5.4: also 1 - beta' = k (1 - beta) and eps' = eps/sqrt(k)). Both are
    for small rates and batches far below B; larger batches buy little. They are *estimates*: laws of a limit, not of
    your run.

    Parameters
    ----------
    lr : float
        The rate that is good at `batch`.
    batch, to : float
        Samples per update, over all processes and accumulated micro-batches.
    optimizer : str or torch optimizer
        Name such as "sgd", "momentum", "adam", "adamw", "rmsprop", "lion". From an optimizer the momentum, betas and
        eps are taken as well.
    noise_scale : float or GradientNoise, optional
        Noise scale in samples; `surefoot.training.gradient_noise` measures it. Without, batches are taken to be far
        below it.
    steps, warmup : int, optional
        Updates before.
    momentum : float, optional
        Momentum of SGD.
    betas, eps : pair of float, float, optional
        Settings of Adam's family (default: torch's).

    Returns
    -------
    BatchScaling

    Raises
    ------
    InvalidInput
        If a number is out of range or the optimizer is unknown.
    InvalidType
        If an argument is of the wrong kind.

    Examples
    --------
    >>> from surefoot.recipes import scale_batch
    >>> scale_batch(3e-4, 256, 1024, "adamw").rate
    0.0006
    >>> scale_batch(0.1, 256, 1024, "sgd", noise_scale=1000).rate
    0.248...
    """
    name, settings = _name_and_settings(optimizer)
    noise = _noise(noise_scale)
    linear = name in LINEAR
    k = to / batch
    # McCandlish et al.: with a known noise scale the gain levels off beyond it
    gain = k if noise is None else (1 + noise / batch) / (1 + noise / to)
    rate = lr * (gain if linear else math.sqrt(gain))
    samples = 1.0 if noise is None else (1 + to / noise) / (1 + batch / noise)
    momentum = settings.get("momentum") if momentum is None else momentum
    if linear and betas is not None:
        raise InvalidInput(f"{name} has no betas; leave them out")
    pair, epsilon, notes = (None, None, []) if linear else _adam(name, settings, betas, eps, k)
    if momentum and linear:
        notes.append(f"momentum {momentum:g}: as it is; rate/(1 - momentum) is what counts at small rates")
        if k > 1:
            batches = k / (1 - momentum)
            notes.append(f"it now averages over {k:.3g} x the samples, {batches:.3g} batches of the old size")
    elif momentum:
        notes.append(
            f"momentum {momentum:g}: as it is; it counts updates, so it now averages over {k:.3g} x the samples"
        )
    decay = math.sqrt(gain) if name in DECOUPLED else 1.0
    return BatchScaling(
        optimizer=name,
        rule="linear" if linear else "square root",
        batch=batch,
        to=to,
        lr=lr,
        rate=rate,
        square_root=lr * math.sqrt(k) if linear else None,
        noise_scale=noise,
        steps=None if steps is None else max(1, round(steps * samples / k)),
        warmup=None if warmup is None else (max(1, round(warmup * samples / k)) if warmup else 0),
        samples=samples,
        momentum=momentum if linear else None,
        betas=pair,
        eps=epsilon,
        weight_decay=decay,
        reasons=(
            *_rule(name, linear, k),
            *_range(linear, batch, to, noise, samples),
            *_lengths(k, steps, warmup, samples),
            *notes,
            *([] if decay == 1 else [f"weight decay x {decay:.4g}: {DECAY}"]),
        ),
    )


def _name_and_settings(optimizer: Any) -> tuple[str, dict[str, Any]]:
    """The name, and what an optimizer object says of itself."""
    settings: dict[str, Any] = {}
    if isinstance(optimizer, str):
        name = optimizer.strip().lower().replace("_", "-")
    else:
        # frameworks keep the optimizer that does the work as .optimizer of a wrapper
        while hasattr(inner := getattr(optimizer, "optimizer", None), "param_groups"):
            optimizer = inner
        groups = getattr(optimizer, "param_groups", None)
        if not groups:
            raise InvalidType(f"optimizer is a name or a torch optimizer; got a {type(optimizer).__name__}")
        name, settings = type(optimizer).__name__.lower(), dict(groups[0])
    if name not in LINEAR + SQUARE_ROOT:
        raise InvalidInput(f"no rule for the optimizer {name!r}; there is one for {', '.join(LINEAR + SQUARE_ROOT)}")
    return name, settings


def _noise(given: Any) -> float | None:
    if given is None:
        return None
    if hasattr(given, "scale"):
        if given.scale is None:
            raise InvalidInput(
                "this noise has no scale: the mean gradient cannot be told from 0; measure it on more samples"
            )
        given = given.scale
    return _scale(given)


@checked
def _scale(noise_scale: Positive) -> float:
    return noise_scale


def _adam(
    name: str, settings: Mapping[str, Any], betas: Sequence[float] | None, eps: float | None, k: float
) -> tuple[tuple[float, ...] | None, float | None, list[str]]:
    """Averages over the same number of samples, and the floor of the divisor."""
    if name in ("lion", "signsgd", "adagrad", "adadelta", "adafactor", "lamb"):
        return None, None, [f"{name}: the rate follows the same argument; for its other settings no rule is known"]
    if name == "rmsprop":
        known: Sequence[float] = (settings.get("alpha", 0.99),)
    else:
        known = settings.get("betas", BETAS)
    before = tuple(float(beta) for beta in (known if betas is None else betas))
    if not all(0 <= beta < 1 for beta in before):
        raise InvalidInput(f"betas must be in [0, 1); got {before}")
    floor = float(settings.get("eps", EPS)) if eps is None else eps
    # (1 - beta)/batch stays: an average over as many samples, not as many updates
    after = tuple(max(1 - k * (1 - beta), 0.0) for beta in before)
    notes = [f"1 - beta' = {k:.4g} (1 - beta), eps' = eps/sqrt({k:.4g}): the averages reach over the same samples"]
    for beta in before:
        if k * (1 - beta) >= 1:
            notes.append(
                f"beta {beta:g} averages over {1 / (1 - beta):.3g} updates, fewer than the factor {k:.4g}: no average "
                "is as short, 0 is the nearest, and the rule no longer holds exactly"
            )
    return after, floor / math.sqrt(k), notes


def _rule(name: str, linear: bool, k: float) -> list[str]:
    if linear:
        return [
            f"linear rule: {name} moves by rate x gradient, so rate/batch keeps drift and diffusion per sample "
            "(Goyal et al. 2017)",
            "square-root rule: keeps the covariance of one update, rate^2 Sigma/batch, so per sample there is "
            f"1/{math.sqrt(k):.4g} of the drift (Krizhevsky 2014; Hoffer et al. 2017)",
        ]
    return [
        f"square-root rule: {name} divides the gradient by its size, which noise makes 1/sqrt(batch) as large "
        "(Malladi et al. 2022)" + ("; the linear rule would raise it too far" if k > 1 else "")
    ]


def _range(linear: bool, batch: float, to: float, noise: float | None, samples: float) -> list[str]:
    if noise is None:
        return [
            "holds while both batches are far below the gradient noise scale, which was not given, and the rate stays "
            "below the stability limit: measure both (gradient_noise, optimizer_limits)"
        ]
    most = 1 + noise / batch
    form, most = ("(1 + B/batch)", most) if linear else ("sqrt(1 + B/batch)", math.sqrt(most))
    lines = [
        f"with the noise scale B = {noise:.4g}: rate = c/{form} (McCandlish et al. 2018), at most {most:.4g} x the "
        "present rate at any batch size"
    ]
    if max(batch, to) <= FAR_BELOW * noise:
        lines.append("both batches are far below it: the simple rule is all but exact")
    if to > noise and to > batch:
        lines.append(
            f"{to:g} is beyond the critical batch size {noise:.4g}: the same loss takes {samples:.3g} x the samples"
        )
    elif batch > noise and to < batch:
        lines.append(f"{batch:g} was beyond the critical batch size {noise:.4g}: {samples:.3g} x the samples will do")
    return lines


def _lengths(k: float, steps: int | None, warmup: int | None, samples: float) -> list[str]:
    lines: list[str] = []
    if steps is not None or warmup is not None:
        more = "as many samples as before" if samples == 1 else f"{samples:.3g} x the samples of before"
        lines.append(f"steps and warm-up / {k / samples:.4g}: {more}")
    if k > 1 and not warmup:
        lines.append("a warm-up of a few percent of the run: the larger rate is least safe at the start")
    return lines
