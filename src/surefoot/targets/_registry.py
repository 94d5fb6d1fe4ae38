"""The one place where a name becomes a target: built-ins, files, ``module:factory``."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from surefoot.errors import InvalidInput, MissingExtra, SurefootError, UnknownTarget
from surefoot.problems import Problem
from surefoot.targets._base import Target
from surefoot.targets._files import Loss, load_problem
from surefoot.targets._formats import SUFFIXES
from surefoot.targets._problem import ProblemTarget
from surefoot.targets._shaped import ShapedQuadratic

__all__ = ["BuiltIn", "built_ins", "resolve"]

# ode:NAME will name the differential equations; until then nothing else may take the prefix.
RESERVED_PREFIXES = ("ode",)
# resnet-mlp-DEPTH
RESNET = re.compile(r"resnet-mlp-(\d{1,9})")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltIn:
    """A target that ships with Surefoot.

    Parameters
    ----------
    name : str
        What to type.
    summary : str
        One line.
    build : callable
        Seed to the targets that the name stands for: one, or several that are worth comparing.
    """

    name: str
    summary: str
    build: Callable[[int], tuple[Target, ...]]


def built_ins() -> tuple[BuiltIn, ...]:
    """The built-in targets, in the order they are listed.

    Examples
    --------
    >>> from surefoot.targets._registry import built_ins
    >>> [target.name for target in built_ins()][:4]
    ['digits', 'digits-softmax', 'breast-cancer', 'quadratic']
    """
    return _BUILT_INS


def resolve(
    name: str,
    *,
    loss: str | None = None,
    label: str | None = None,
    rng: int = 0,
    condition: float | None = None,
    spectrum: str | None = None,
    size: int | None = None,
    image: str | Path | None = None,
    sigma: float | None = None,
    noise: float | None = None,
) -> tuple[Target, ...]:
    """The targets that a name stands for.

    Parameters
    ----------
    name : str
        A built-in name, a .npy, .npz, .mtx or .csv file, or ``module:factory``.
    loss : str, optional
        For a file: quadratic, least-squares, logistic or softmax.
    label : str, optional
        For a file: the column that holds the label or right-hand side.
    rng : int
        Seed of whatever the target draws.
    condition, spectrum, size : float, str, int, optional
        For ``quadratic``: see `ShapedQuadratic`.
    image, sigma, noise : path, float, float, optional
        For ``deblur``: see `surefoot.targets.deblur.deblur_target`.

    Returns
    -------
    tuple of Target
        Usually one; a built-in may stand for several that are worth comparing.

    Raises
    ------
    UnknownTarget
        If nothing answers to the name; the message names the nearest.
    InvalidInput
        If the file or factory behind it is not usable, or an option is given that the target does not have.
    MissingExtra
        If the target needs a package that is not installed.

    Examples
    --------
    >>> from surefoot.targets._registry import resolve
    >>> resolve("digit")
    Traceback (most recent call last):
    surefoot.errors.UnknownTarget: unknown target 'digit'; did you mean digits?
    """
    given = {
        "quadratic": {"condition": condition, "spectrum": spectrum, "size": size},
        "deblur": {"image": image, "sigma": sigma, "noise": noise},
    }
    shape = _shape_of(name, given)
    if _names_a_file(name):
        # load_problem checks the loss itself and names the choices
        return (ProblemTarget(load_problem(name, loss=cast("Loss | None", loss), label=label), rng=rng),)
    for option, value in (("--loss", loss), ("--label", label)):
        if value is not None:
            raise InvalidInput(f"{option} says how to read a file, and {name!r} is none; leave it out")
    if deep := RESNET.fullmatch(name):
        return _network("resnet_mlp_task", "training,data", depth=int(deep[1]))(rng)
    for built_in in _BUILT_INS:
        if built_in.name == name:
            return built_in.build(rng) if not shape else SHAPED[name](rng, **shape)
    prefix, colon, _ = name.partition(":")
    if colon and prefix not in RESERVED_PREFIXES:
        from surefoot.targets._factory import load_factory

        return (load_factory(name, rng=rng),)
    raise UnknownTarget(_unknown(name, reserved=bool(colon)))


def _shape_of(name: str, given: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The options given, which must be those of the built-in that is named."""
    for owner, options in given.items():
        wrong = [option for option, value in options.items() if value is not None and name != owner]
        if wrong:
            raise InvalidInput(f"--{wrong[0]} shapes the built-in {owner}, and {name!r} is not it; leave it out")
    return {option: value for option, value in given.get(name, {}).items() if value is not None}


def _names_a_file(name: str) -> bool:
    if any(built_in.name == name for built_in in _BUILT_INS):
        return False
    return Path(name).suffix.lower() in SUFFIXES or "/" in name or "\\" in name or Path(name).exists()


def _unknown(name: str, *, reserved: bool) -> str:
    if reserved:
        return f"unknown target {name!r}: differential equations cannot be named yet; see surefoot list"
    near = get_close_matches(name.lower(), [built_in.name for built_in in _BUILT_INS], n=1)
    if near:
        return f"unknown target {name!r}; did you mean {near[0]}?"
    return (
        f"unknown target {name!r}; "
        f"give a built-in name (surefoot list), a {', '.join(SUFFIXES)} file, or module:factory"
    )


class _Named(ProblemTarget):
    """A problem's target under a name that tells it from its neighbour."""

    def __init__(self, problem: Problem, name: str, rng: int) -> None:
        super().__init__(problem, rng=rng)
        self._name = name

    @property
    def name(self) -> str:
        """The name it was given."""
        return self._name


def _digits(rng: int) -> tuple[Target, ...]:
    try:
        from surefoot.training import digits_task
    except SurefootError:
        raise
    except ImportError as error:
        raise MissingExtra("digits is a PyTorch network; pip install 'surefoot[training,data]'") from error
    return (digits_task(seed=rng),)


def _network(name: str, extras: str, **options: Any) -> Callable[[int], tuple[Target, ...]]:
    """A built-in training problem by the name of its factory, imported when built."""

    def build(rng: int) -> tuple[Target, ...]:
        try:
            from surefoot import training
        except ImportError as error:
            raise MissingExtra(f"this is a PyTorch network; pip install 'surefoot[{extras}]'") from error
        return (getattr(training, name)(seed=rng, **options),)

    return build


def _digits_softmax(rng: int) -> tuple[Target, ...]:
    from surefoot.targets._datasets import digits_softmax

    return (ProblemTarget(digits_softmax(), rng=rng),)


def _breast_cancer(rng: int) -> tuple[Target, ...]:
    from surefoot.targets._datasets import breast_cancer

    raw, standardised = breast_cancer(standardise=False), breast_cancer(standardise=True)
    return (
        _Named(raw, f"breast-cancer, raw: {raw.name}", rng),
        _Named(standardised, f"breast-cancer, standardised: {standardised.name}", rng),
    )


def _quadratic(rng: int, **shape: Any) -> tuple[Target, ...]:
    return (ProblemTarget(ShapedQuadratic(**shape), rng=rng),)


def _deblur(rng: int, **shape: Any) -> tuple[Target, ...]:
    from surefoot.targets.deblur import deblur_target

    return (deblur_target(rng=rng, **shape),)


# Built-ins with options of their own.
SHAPED = {"quadratic": _quadratic, "deblur": _deblur}

_BUILT_INS = (
    BuiltIn(
        name="digits",
        summary="a small neural network on images of handwritten digits: SGD, momentum, Adam",
        build=_digits,
    ),
    BuiltIn(
        name="digits-softmax",
        summary="softmax regression on the same images: convex, so the limits hold everywhere",
        build=_digits_softmax,
    ),
    BuiltIn(
        name="breast-cancer",
        summary="logistic regression on 30 measurements of tumours, raw and standardised side by side",
        build=_breast_cancer,
    ),
    BuiltIn(
        name="quadratic",
        summary="a quadratic with a condition number and a spectrum of your choice, 1e4 and linear by default",
        build=_quadratic,
    ),
    BuiltIn(
        name="mnist1d-cnn",
        summary="a convolutional network on one-dimensional signals in ten classes, generated",
        build=_network("mnist1d_cnn_task", "training"),
    ),
    BuiltIn(
        name="char-transformer",
        summary="a small transformer that predicts the next character of Python's documentation",
        build=_network("char_transformer_task", "training"),
    ),
    BuiltIn(
        name="digits-rnn",
        summary="an LSTM that reads the images of digits row by row",
        build=_network("digits_rnn_task", "training,data"),
    ),
    BuiltIn(
        name="resnet-mlp",
        summary="a residual MLP on the images of digits, 16 blocks; resnet-mlp-64 has 64, and so on from 4 to 256",
        build=_network("resnet_mlp_task", "training,data"),
    ),
    BuiltIn(
        name="wide-mlp",
        summary="how the rate must change with width: a ReLU network on digits in three parametrisations",
        build=_network("wide_mlp_task", "training,data"),
    ),
    BuiltIn(
        name="deblur",
        summary="a photograph, blurred and noisy, or one of yours with --image and --sigma",
        build=_deblur,
    ),
)
