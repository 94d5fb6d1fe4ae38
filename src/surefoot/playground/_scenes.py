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

from surefoot.dynamics import TwoMinima, escape_steps
from surefoot.methods import RK4, AdamsBashforth, GradientDescent, HeavyBall, RungeKuttaChebyshev
from surefoot.playground._formulas import STAGES
from surefoot.recipes import scale_batch
from surefoot.stability import clipped_oscillation, limits


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
    values: dict[str, float | str] = field(default_factory=dict[str, float | str])


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
    words : dict
        What the words of the scene leave open, those of its exercises excepted.
    """

    name: str
    sliders: tuple[Slider, ...]
    tries: tuple[dict[str, float], ...]
    pictures: tuple[str, ...]
    python: str
    exercises: tuple[Exercise, ...]
    words: dict[str, str] = field(default_factory=dict[str, str])

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
            "import math\n\n"
            "import surefoot as sf\n\n"
            "L, mu, eta = 1.0, 1.0 / {kappa}, {eta}\n"
            "steep, flat = sf.methods.GradientDescent().amplification([-eta * L, -eta * mu])\n"
            "print('factors per step', steep, flat)\n"
            "worst = max(steep, flat)\n"
            "print('steps to a millionth', math.ceil(math.log(1e-6) / math.log(worst)) if worst < 1 else math.inf)\n"
            "problem = sf.problems.Quadratic([[mu, 0.0], [0.0, L]])\n"
            "limits = sf.limits(problem)\n"
            "print(limits)\n"
            "print('steps at the best step', limits.iterations(1e-6))\n"
            "run = sf.descend(problem, rule=sf.rules.Constant(step=eta), x0=[1.0, 1.0], steps={steps}, tol=0)\n"
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
            "import math\n\n"
            "import surefoot as sf\n\n"
            "L, mu, eta, beta = 1.0, 1.0 / {kappa}, {eta}, {beta}\n"
            "method, matrix = sf.methods.HeavyBall(beta), [[mu, 0.0], [0.0, L]]\n"
            "best, rate = sf.methods.HeavyBall.best(mu, L)  # the best pair\n"
            "here = max(method.amplification([-eta * L, -eta * mu]))\n"
            "for name, factor in (('here', here), ('best', best.momentum**0.5), ('plain', sf.limits(matrix).rate)):\n"
            "    steps = math.ceil(math.log(1e-6) / math.log(factor)) if factor < 1 else math.inf\n"
            "    print(name, 'factor', factor, 'steps to a millionth', steps)\n"
            "print('effective rate', eta / (1 - beta))\n"
            "print(sf.limits(matrix, method))"
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
            "import math\n\n"
            "from surefoot.dynamics import Cubic, lyapunov, orbit, period\n\n"
            "points = orbit(Cubic(1.0), [{eta}], {x}, steps=2000, keep=128)\n"
            "print('period', period(points)[0])\n"
            "print('error near 0, per step', 1 - {eta})\n"
            "exponent = lyapunov(Cubic(1.0), [{eta}], 0.3, 4000)[0]\n"
            "print('exponent', exponent, 'distance of nearby starts, per step', math.exp(exponent))"
        ),
        exercises=(Exercise(2 / 5), Exercise(math.sqrt(6), 2e-3), Exercise(2 * math.sqrt(2))),
    )


def _dent() -> Scene:
    rates, valley = tuple(records()["dents"]["rates"]), TwoMinima()
    dent = escape_steps(valley, minimum=0.97, barrier=0.92)
    curvature = float(valley.curvature(dent.minimum))

    def at(rate: float) -> float:
        return _nearest(rates, rate)

    width = clipped_oscillation(1.0, 5.0, 0.2)
    assert width is not None
    return Scene(
        name="dent",
        sliders=(
            Slider("rate", 0, len(rates) - 1, at(0.06), whole=True, shown=rates),
            Slider("clip", 0.1, 2.0, 1.0),
            Slider("eta", 0.5, 6.0, 3.0),
        ),
        tries=({"rate": at(0.05)}, {"rate": at(0.1)}, {"rate": at(0.3)}, {"eta": 1.8}, {"eta": 3.0, "clip": 1.0}),
        pictures=("valley", "run", "cycle"),
        python=(
            "from surefoot.dynamics import TwoMinima, orbit\n"
            "from surefoot.stability import clipped_oscillation\n\n"
            "valley = TwoMinima()\n"
            "print('limit in the dent', 2 / valley.curvature(valley.minimum(0.97)))\n"
            "print('the last states', orbit(valley, {rate}, 0.97, steps=120, keep=4))\n"
            "print(clipped_oscillation(curvature=1.0, step={eta}, cap={clip}))"
        ),
        exercises=(
            Exercise(
                dent.necessary,
                2e-3,
                {"curvature": f"{curvature:.6g}", "low": dent.necessary, "high": dent.trapped},
            ),
            Exercise(width.peak_to_peak),
            Exercise(limits([[2.0]], GradientDescent()).stable),
        ),
        words={"curvature": f"{curvature:.4g}"},
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
            "import math\n\n"
            "from surefoot import methods\n\n"
            f"chebyshev = methods.RungeKuttaChebyshev({STAGES}, 0.05, order=1)\n"
            "two_steps = methods.AdamsBashforth(2)\n"
            "all_five = methods.ForwardEuler(), methods.RK4(), chebyshev, two_steps, methods.BackwardEuler()\n"
            "method = all_five[{method} - 1]\n"
            "for name, z in (('slow', complex({p}, {q})), ('fast', {p} * {stiff})):\n"
            "    print(method.name, name, 'factor per step', float(method.amplification(z)))\n"
            "print('slow, exactly', math.exp({p}))"
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
            "import math\n\n"
            "from surefoot.recipes import scale_batch\n\n"
            "eta, noise, batch, times = {eta}, {noise}, {batch}, {times}\n"
            "print(scale_batch(eta, batch, batch * times, 'sgd'))\n\n\n"
            "def floor(eta, batch):\n"
            "    return eta * noise**2 / (batch * (2 - eta)) if eta < 2 else math.inf\n\n\n"
            "print('floor', floor(eta, batch), 'rate/batch', eta / batch)\n"
            "print('floor, linear rule', floor(eta * times, batch * times))\n"
            "print('floor, square-root rule', floor(eta * math.sqrt(times), batch * times))\n\n"
            "word, x = {seed}, 3.0\n"
            "for _ in range(1600 // batch):\n"
            "    xi = -6.0  # a sum of 12 uniforms less 6 looks normal\n"
            "    for _ in range(12):\n"
            "        word ^= word << 13 & 0xFFFFFFFF\n"
            "        word ^= word >> 17\n"
            "        word ^= word << 5 & 0xFFFFFFFF\n"
            "        xi += word / 2**32\n"
            "    x = x - eta * (x + noise / math.sqrt(batch) * xi)\n"
            "print('|x| after 1600 samples', abs(x))"
        ),
        exercises=(
            Exercise(scale_batch(0.1, 32, 128, "sgd").rate),
            Exercise(0.1 * 4**2 / (4 * (2 - 0.1)), 0.01),
            Exercise(scale_batch(3e-4, 256, 2048, "adamw").rate, 0.01),
        ),
    )


def _network() -> Scene:
    rates, rnn_rates = tuple(records()["network"]["rates"]), tuple(records()["recurrent"]["rates"])
    return Scene(
        name="network",
        sliders=(
            Slider("run", 0, len(rates) - 1, 16, whole=True, shown=rates),
            Slider("rnn", 0, len(rnn_rates) - 1, _nearest(rnn_rates, 4.0), whole=True, shown=rnn_rates),
        ),
        tries=({"run": 2}, {"run": 9}, {"run": 16}, {"run": 23}, {"rnn": _nearest(rnn_rates, 6.0)}),
        pictures=("loss", "sharpness", "final", "rnn"),
        python=(
            "import surefoot as sf\n"
            "import torch\n"
            "from sklearn.datasets import load_digits\n"
            "from surefoot.dynamics import orbit, period\n"
            "from surefoot.training import hessian, supervised\n"
            "from surefoot.training.tasks.rnn import two_unit_rnn\n"
            "from torch import nn\n\n"
            "digits = load_digits()\n"
            "x = torch.tensor(digits.data[:300] / 16)\n"
            "y = nn.functional.one_hot(torch.tensor(digits.target[:300])).double()\n"
            "torch.manual_seed(0)\n"
            "layers = nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 10)\n"
            "model = nn.Sequential(*layers).double()\n"
            "loss = supervised(lambda outputs, y: ((outputs - y) ** 2).sum(-1).mean() / 2)\n"
            "optimizer = torch.optim.SGD(model.parameters(), lr={run})\n"
            "for _ in range(800):\n"
            "    optimizer.zero_grad()\n"
            "    loss(model, (x, y)).backward()\n"
            "    optimizer.step()\n"
            "print('final loss', loss(model, (x, y)).item())\n"
            "if loss(model, (x, y)) < 1e6:\n"
            "    curvature = hessian(model, loss, (x, y))\n"
            "    sharpness = sf.spectrum(curvature, which='largest', rtol=0.02, failure=1e-3).largest\n"
            "    print('sharpness', sharpness.midpoint, 'and 2/eta =', 2 / {run})\n\n"
            "update, minimum = two_unit_rnn()\n"
            "states = orbit(update, [{rnn}], minimum + 1e-3, steps=1500, keep=40)\n"
            "print('the recurrent network has the period', period(states)[0], '(0: none)')"
        ),
        exercises=(
            Exercise(2 / 40, 0.01),
            Exercise(limits([[40.0]], HeavyBall(0.9)).stable, 0.01),
            Exercise(2 / 0.05, 0.02),
        ),
    )


def _nearest(values: tuple[float, ...], wanted: float) -> int:
    """The index of the value closest to a wanted one."""
    return min(range(len(values)), key=lambda i: abs(values[i] - wanted))


# In the order of the page.
_MAKERS: tuple[Callable[[], Scene], ...] = (_canyon, _heavy_ball, _chaos, _dent, _time, _noise, _network)


def scenes() -> tuple[Scene, ...]:
    """The scenes in the order of the page; made when asked for, since the answers take the library to work out."""
    return tuple(make() for make in _MAKERS)
