"""The seven scenes as data: what can be moved, what to try, the same in Python, and the answers of the exercises.

An answer is worked out here by the library, never typed in. The words of a scene are in `words.toml`, under its name.
The page knows no formula of its own: see `_formulas`.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from surefoot.methods import RK4, AdamsBashforth, GradientDescent, HeavyBall, RungeKuttaChebyshev
from surefoot.playground._formulas import STAGES
from surefoot.recipes import scale_batch
from surefoot.stability import limits


@dataclass(frozen=True, slots=True)
class Slider:
    """A number that can be moved.

    Parameters
    ----------
    name : str
        Key in the page's address; its label is "slider.<name>" of the scene.
    low, high, value : float
        Range and default.
    log : bool
        Whether equal distances are equal ratios.
    whole : bool
        Whether only whole numbers are offered.
    choice : bool
        Whether the whole numbers are names, "option.<name><number>" of the scene: a list instead of a slider.
    shown : tuple of float
        Numbers to show in place of the whole numbers from `low` on.
    """

    name: str
    low: float
    high: float
    value: float
    log: bool = False
    whole: bool = False
    choice: bool = False
    shown: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Exercise:
    """The answer to "exercise.q<number>" of a scene.

    Parameters
    ----------
    answer : float
    tolerance : float
        Relative error that still counts as right.
    values : dict
        What the words of question and reason leave open.
    """

    answer: float
    tolerance: float = 1e-3
    values: dict[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One scene of the page.

    Parameters
    ----------
    name : str
        Key in the page's address and in the table of words, and name of its drawing function in scenes.js.
    sliders : tuple of Slider
    tries : tuple of dict
        Values that the buttons set, in the order of "try.1", "try.2" and so on.
    pictures : tuple of str
        Canvases in order; "picture.<name>" and "picture.<name>_text" say what they show.
    python : str
        The same in Python; {name} is replaced by a slider's value.
    exercises : tuple of Exercise
    """

    name: str
    sliders: tuple[Slider, ...]
    tries: tuple[dict[str, float], ...]
    pictures: tuple[str, ...]
    python: str
    exercises: tuple[Exercise, ...]

    def to_dict(self) -> dict[str, Any]:
        """For the page."""
        return asdict(self)


@cache
def records() -> dict[str, Any]:
    """What Python recorded for the page, by tools/record_playground.py."""
    return json.loads(files("surefoot.playground").joinpath("records.json").read_text(encoding="utf-8"))


def _canyon() -> Scene:
    bounds = limits([[4.0, 0.0], [0.0, 0.04]], GradientDescent())
    return Scene(
        name="canyon",
        sliders=(
            Slider("eta", 0.05, 2.2, 1.0),
            Slider("kappa", 1.0, 1000.0, 20.0, log=True),
            Slider("steps", 5, 200, 40, whole=True),
        ),
        tries=(
            {"eta": 1.0},
            {"eta": 2 / (1 + 1 / 20.0), "kappa": 20.0},
            {"eta": 1.98},
            {"eta": 2.02},
            {"eta": 1.9, "kappa": 500.0},
        ),
        pictures=("path", "loss", "growth"),
        python=(
            "import surefoot as sf\n\n"
            "L, mu = 1.0, 1.0 / {kappa}\n"
            "problem = sf.problems.Quadratic([[mu, 0.0], [0.0, L]])\n"
            "print(sf.limits(problem, sf.methods.GradientDescent()))\n"
            "run = sf.descend(problem, rule=sf.rules.Constant(step={eta} / L), x0=[1.0, 1.0], steps={steps})\n"
            "print(run)"
        ),
        exercises=(
            Exercise(bounds.stable),
            Exercise(bounds.optimal or math.nan, 2e-3),
            Exercise(float(math.ceil(math.log(1e-6) / math.log(bounds.rate or math.nan))), 0.01),
        ),
    )


def _heavy_ball() -> Scene:
    best, step = HeavyBall.best(0.01, 1.0)
    return Scene(
        name="ball",
        sliders=(
            Slider("eta", 0.02, 4.0, 0.5),
            Slider("beta", 0.0, 0.99, 0.8),
            Slider("kappa", 1.5, 1000.0, 100.0, log=True),
        ),
        tries=(
            {"eta": 1.9, "beta": 0.0},
            {"eta": step, "beta": best.momentum, "kappa": 100.0},
            {"eta": 0.5, "beta": 0.98},
            {"eta": 3.55, "beta": 0.8},
            {"eta": 3.65, "beta": 0.8},
        ),
        pictures=("map", "path", "loss"),
        python=(
            "import surefoot as sf\n\n"
            "L, mu = 1.0, 1.0 / {kappa}\n"
            "method = sf.methods.HeavyBall({beta})\n"
            "print(sf.limits([[mu, 0.0], [0.0, L]], method))\n"
            "print(sf.methods.HeavyBall.best(mu, L))  # the best momentum and its rate"
        ),
        exercises=(
            Exercise(limits([[1.0]], HeavyBall(0.9)).stable),
            Exercise(math.sqrt(best.momentum), 2e-3),
            Exercise(1 / (1 - 0.9), 0.01),
        ),
    )


def _chaos() -> Scene:
    return Scene(
        name="chaos",
        sliders=(Slider("eta", 1.0, 3.0, 2.2), Slider("x", 0.05, 0.95, 0.3)),
        tries=({"eta": 1.9}, {"eta": 2.2}, {"eta": 2.5}, {"eta": 2.8}, {"eta": 2.84}),
        pictures=("cobweb", "orbit", "series", "exponent"),
        python=(
            "from surefoot.dynamics import Cubic, lyapunov, orbit, period\n\n"
            "points = orbit(Cubic(1.0), [{eta}], {x}, steps=2000, keep=128)\n"
            "print('period', period(points))\n"
            "print('exponent', lyapunov(Cubic(1.0), [{eta}], {x}, 20000))"
        ),
        exercises=(Exercise(2 / 5), Exercise(math.sqrt(6), 2e-3), Exercise(2 * math.sqrt(2))),
    )


def _dent() -> Scene:
    return Scene(
        name="dent",
        sliders=(
            Slider("rate", 0.02, 1.99, 0.06, log=True),
            Slider("clip", 0.1, 2.0, 1.0),
            Slider("eta", 0.5, 6.0, 3.0),
        ),
        tries=({"rate": 0.05}, {"rate": 0.1}, {"rate": 0.3}, {"eta": 1.8}, {"eta": 3.0, "clip": 1.0}),
        pictures=("valley", "run", "cycle"),
        python=(
            "from surefoot.dynamics import ClippedQuadratic, TwoMinima, orbit\n"
            "from surefoot.stability import clipped_oscillation\n\n"
            "print(orbit(TwoMinima(), {rate}, 0.97, steps=120, keep=4))\n"
            "print(clipped_oscillation(curvature=1.0, step={eta}, cap={clip}))"
        ),
        exercises=(
            Exercise(2 / 23.849342, 2e-3),
            Exercise(5 * 0.2),
            Exercise(limits([[2.0]], GradientDescent()).stable),
        ),
    )


def _time() -> Scene:
    return Scene(
        name="time",
        sliders=(
            Slider("method", 1, 5, 1, whole=True, choice=True),
            Slider("p", -4.0, 0.5, -1.0),
            Slider("q", -3.5, 3.5, 0.5),
            Slider("stiff", 1.0, 30.0, 3.0, log=True),
        ),
        tries=(
            {"method": 1, "p": -2.0, "q": 0.0},
            {"method": 2, "p": 0.0, "q": 2.8},
            {"method": 3, "p": -1.5, "q": 0.0, "stiff": 30.0},
            {"method": 4, "p": -0.9, "q": 0.0},
            {"method": 5, "p": -1.0, "q": 0.0, "stiff": 30.0},
        ),
        pictures=("region", "solution", "fast"),
        python=(
            "import surefoot as sf\n\n"
            "for method in (sf.methods.ForwardEuler(), sf.methods.RK4(), sf.methods.AdamsBashforth(2)):\n"
            "    growth = float(method.amplification({p} + {q}j))\n"
            "    print(method.name, 'real limit', method.real_limit, '|R| =', growth)"
        ),
        exercises=(
            Exercise(2 / 50),
            Exercise(RK4().real_limit / 50, 2e-3),
            Exercise(
                RungeKuttaChebyshev(STAGES, 0.05, order=1).real_limit / STAGES,
                0.01,
                {"stages": STAGES, "adams": AdamsBashforth(2).real_limit},
            ),
        ),
    )


def _noise() -> Scene:
    return Scene(
        name="noise",
        sliders=(
            Slider("eta", 0.005, 1.9, 0.05, log=True),
            Slider("noise", 0.0, 10.0, 4.0),
            Slider("batch", 1, 64, 4, log=True, whole=True),
            Slider("times", 1, 16, 4, log=True, whole=True),
            Slider("seed", 1, 1000, 7, whole=True),
        ),
        tries=(
            {"eta": 0.01, "batch": 4, "noise": 4.0},
            {"eta": 0.5, "batch": 4, "noise": 4.0, "times": 2},
            {"eta": 0.05, "batch": 4, "noise": 4.0, "times": 4},
            {"eta": 0.4, "batch": 4, "noise": 4.0, "times": 8},
            {"noise": 0.0},
        ),
        pictures=("one", "linear", "root"),
        python=(
            "from surefoot.recipes import scale_batch\n\n"
            "print(scale_batch({eta}, {batch}, {batch} * {times}, 'sgd'))\n"
            "print('floor', {eta} * {noise}**2 / ({batch} * (2 - {eta})))"
        ),
        exercises=(
            Exercise(scale_batch(0.1, 32, 128, "sgd").rate),
            Exercise(0.1 * 4**2 / (4 * (2 - 0.1)), 0.01),
            Exercise(scale_batch(3e-4, 256, 2048, "adamw").rate, 0.01),
        ),
    )


def _network() -> Scene:
    rates = tuple(records()["network"]["rates"])
    return Scene(
        name="network",
        sliders=(
            Slider("run", 0, len(rates) - 1, 16, whole=True, shown=rates),
            Slider("rnn", 2.5, 6.5, 4.0),
        ),
        tries=({"run": 2}, {"run": 9}, {"run": 16}, {"run": 23}, {"rnn": 6.0}),
        pictures=("loss", "sharpness", "final", "rnn"),
        python=(
            "import surefoot as sf\n"
            "import torch\n"
            "from surefoot.training import hessian, supervised\n\n"
            "torch.manual_seed(0)\n"
            "data = torch.randn(200, 8), torch.randn(200, 1)\n"
            "model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))\n"
            "optimizer = torch.optim.SGD(model.parameters(), lr={run})\n"
            "for _ in range(200):\n"
            "    optimizer.zero_grad()\n"
            "    torch.nn.functional.mse_loss(model(data[0]), data[1]).backward()\n"
            "    optimizer.step()\n"
            "curvature = hessian(model, supervised(torch.nn.functional.mse_loss), data)\n"
            "print(sf.spectrum(curvature, which='largest').largest, 'and 2/eta =', 2 / {run})"
        ),
        exercises=(
            Exercise(2 / 40, 0.01),
            Exercise(limits([[40.0]], HeavyBall(0.9)).stable, 0.01),
            Exercise(2 / 0.05, 0.02),
        ),
    )


_MAKERS: tuple[Callable[[], Scene], ...] = (_canyon, _heavy_ball, _chaos, _dent, _time, _noise, _network)


def scenes() -> tuple[Scene, ...]:
    """The scenes in the order of the page; made when asked for, since the answers take the library to work out."""
    return tuple(make() for make in _MAKERS)
