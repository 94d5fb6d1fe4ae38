"""The seven scenes as data: what can be moved, what to try, the same in Python, and exercises with their answers.

An answer is worked out here by the library, never typed in. The page knows no formula of its own: see `_formulas`.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from surefoot.methods import RK4, AdamsBashforth, GradientDescent, HeavyBall, RungeKuttaChebyshev
from surefoot.playground._formulas import STAGES
from surefoot.recipes import scale_batch
from surefoot.stability import limits

__all__ = ["Exercise", "Scene", "Slider", "scenes"]


@dataclass(frozen=True, slots=True)
class Slider:
    """A number that can be moved.

    Parameters
    ----------
    name, label : str
        Key in the page's address; words beside the slider.
    low, high, value : float
        Range and default.
    log : bool
        Whether equal distances are equal ratios.
    whole : bool
        Whether only whole numbers are offered.
    options : tuple of str
        Words for the whole numbers from `low` on: a choice instead of a slider.
    """

    name: str
    label: str
    low: float
    high: float
    value: float
    log: bool = False
    whole: bool = False
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exercise:
    """A question with a number for an answer.

    Parameters
    ----------
    question : str
    answer : float
    tolerance : float
        Relative error that still counts as right.
    reason : str
        Shown after a right answer, or on demand.
    """

    question: str
    answer: float
    tolerance: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One scene of the page.

    Parameters
    ----------
    name : str
        Key in the page's address, and name of its drawing function in scenes.js.
    title, lead : str
    sliders : tuple of Slider
    tries : tuple of (label, values)
        Buttons that set sliders.
    pictures : tuple of (key, title, what it shows)
        Canvases in order; the last part is the text for those who cannot see it.
    python : str
        The same in Python; {name} is replaced by a slider's value.
    exercises : tuple of Exercise
    """

    name: str
    title: str
    lead: str
    sliders: tuple[Slider, ...]
    tries: tuple[tuple[str, dict[str, float]], ...]
    pictures: tuple[tuple[str, str, str], ...]
    python: str
    exercises: tuple[Exercise, ...]

    def to_dict(self) -> dict[str, Any]:
        """For the page."""
        return asdict(self)


def _canyon() -> Scene:
    bounds = limits([[4.0, 0.0], [0.0, 0.04]], GradientDescent())
    return Scene(
        name="canyon",
        title="The canyon",
        lead=(
            "Gradient descent on f = (mu x² + L y²)/2. Each step multiplies the error along a direction of "
            "curvature a "
            "by 1 - eta a. The steep direction sets the limit 2/L; the flat one sets how long it takes."
        ),
        sliders=(
            Slider("eta", "step eta, in units of 1/L", 0.05, 2.2, 1.0),
            Slider("kappa", "condition number L/mu", 1.0, 1000.0, 20.0, log=True),
            Slider("steps", "steps", 5, 200, 40, whole=True),
        ),
        tries=(
            ("1/L: safe", {"eta": 1.0}),
            ("2/(L+mu): best", {"eta": 2 / (1 + 1 / 20.0), "kappa": 20.0}),
            ("just below 2/L", {"eta": 1.98}),
            ("just above 2/L", {"eta": 2.02}),
            ("a narrow canyon", {"eta": 1.9, "kappa": 500.0}),
        ),
        pictures=(
            ("path", "Path", "The steps on contour lines of the loss."),
            ("loss", "Loss", "The loss after each step, on a logarithmic axis."),
            (
                "growth",
                "Growth per step",
                "The factor |1 - eta a| against the curvature a from mu to L; above 1 it grows.",
            ),
        ),
        python=(
            "import surefoot as sf\n\n"
            "L, mu = 1.0, 1.0 / {kappa}\n"
            "problem = sf.problems.Quadratic([[mu, 0.0], [0.0, L]])\n"
            "print(sf.limits(problem, sf.methods.GradientDescent()))\n"
            "run = sf.descend(problem, rule=sf.rules.Constant(step={eta} / L), x0=[1.0, 1.0], steps={steps})\n"
            "print(run)"
        ),
        exercises=(
            Exercise(
                "L = 4 and mu = 0.04. Above which step does gradient descent diverge?", bounds.stable, 1e-3, "2/L"
            ),
            Exercise(
                "The same problem: which constant step is fastest in the worst case?",
                bounds.optimal or math.nan,
                2e-3,
                "2/(L + mu): there the factors of both ends are equally large.",
            ),
            Exercise(
                "At that step, how many steps until the error is 1e-6 of what it was?",
                float(math.ceil(math.log(1e-6) / math.log(bounds.rate or math.nan))),
                0.01,
                "The rate is (k - 1)/(k + 1) with k = L/mu = 100; ln(1e-6)/ln(rate), rounded up.",
            ),
        ),
    )


def _heavy_ball() -> Scene:
    best, step = HeavyBall.best(0.01, 1.0)
    return Scene(
        name="ball",
        title="Heavy ball",
        lead=(
            "Momentum keeps a share beta of the last move. The map shows the factor per step of the slowest "
            "direction for "
            "every rate and momentum: dark is fast, and beyond the line eta L = 2(1 + beta) everything diverges. "
            "Click the map to go there."
        ),
        sliders=(
            Slider("eta", "rate eta, in units of 1/L", 0.02, 4.0, 0.5),
            Slider("beta", "momentum beta", 0.0, 0.99, 0.8),
            Slider("kappa", "condition number L/mu", 1.5, 1000.0, 100.0, log=True),
        ),
        tries=(
            ("no momentum", {"eta": 1.9, "beta": 0.0}),
            ("the best pair", {"eta": step, "beta": best.momentum, "kappa": 100.0}),
            ("too much momentum", {"eta": 0.5, "beta": 0.98}),
            ("just below 2(1+beta)", {"eta": 3.55, "beta": 0.8}),
            ("just above", {"eta": 3.65, "beta": 0.8}),
        ),
        pictures=(
            ("map", "Factor per step", "The worst factor per step over rate (across) and momentum (up)."),
            ("path", "Path", "The steps on contour lines of the loss."),
            ("loss", "Loss", "The loss after each step, on a logarithmic axis."),
        ),
        python=(
            "import surefoot as sf\n\n"
            "L, mu = 1.0, 1.0 / {kappa}\n"
            "method = sf.methods.HeavyBall({beta})\n"
            "print(sf.limits([[mu, 0.0], [0.0, L]], method))\n"
            "print(sf.methods.HeavyBall.best(mu, L))  # the best momentum and its rate"
        ),
        exercises=(
            Exercise(
                "beta = 0.9 and L = 1: above which rate does heavy ball diverge?",
                limits([[1.0]], HeavyBall(0.9)).stable,
                1e-3,
                "2(1 + beta)/L (Polyak 1964)",
            ),
            Exercise(
                "Condition number 100: what is the factor per step of the best pair?",
                math.sqrt(best.momentum),
                2e-3,
                "sqrt(beta) = (sqrt k - 1)/(sqrt k + 1)",
            ),
            Exercise(
                "beta = 0.9: how many times the rate is the effective rate of slow directions?",
                1 / (1 - 0.9),
                1e-2,
                "eta/(1 - beta): a geometric series of past gradients",
            ),
        ),
    )


def _chaos() -> Scene:
    return Scene(
        name="chaos",
        title="Past the limit",
        lead=(
            "f = a(x²/2 - x³/3) has a minimum of curvature a at 0. Its gradient descent is the logistic map with "
            "r = 1 + eta a: "
            "past 2/a it does not blow up but oscillates, with period 2, 4, 8, ..., then chaos, with windows of "
            "order inside."
        ),
        sliders=(Slider("eta", "step eta, in units of 1/a", 1.0, 3.0, 2.2), Slider("x", "start x", 0.05, 0.95, 0.3)),
        tries=(
            ("below the limit", {"eta": 1.9}),
            ("period 2", {"eta": 2.2}),
            ("period 4", {"eta": 2.5}),
            ("chaos", {"eta": 2.8}),
            ("the period-3 window", {"eta": 2.84}),
        ),
        pictures=(
            ("cobweb", "Cobweb", "The map and the steps between it and the diagonal."),
            ("orbit", "Where orbits end", "The last 100 states for every step eta; the line is where you are."),
            ("series", "Steps", "The last 60 states one after the other."),
            ("exponent", "Lyapunov exponent", "Above 0, nearby orbits part: chaos. Recorded by Python."),
        ),
        python=(
            "import numpy as np\n"
            "from surefoot.dynamics import Cubic, lyapunov, orbit, period\n\n"
            "points = orbit(Cubic(1.0), [{eta}], {x}, steps=2000, keep=128)\n"
            "print('period', period(points))\n"
            "print('exponent', lyapunov(Cubic(1.0), [{eta}], {x}, 20000))"
        ),
        exercises=(
            Exercise("Curvature at the minimum a = 5: from which step on does the period double?", 2 / 5, 1e-3, "2/a"),
            Exercise(
                "a = 1: at which step does period 2 become period 4?",
                math.sqrt(6),
                2e-3,
                "sqrt 6 = 2.449..., as for the logistic map at r = 1 + sqrt 6",
            ),
            Exercise(
                "a = 1: at which step does the window of period 3 open?",
                2 * math.sqrt(2),
                1e-3,
                "2 sqrt 2 = 2.828...: r = 1 + sqrt 8",
            ),
        ),
    )


def _dent() -> Scene:
    return Scene(
        name="dent",
        title="A dent in the valley",
        lead=(
            "A wide valley (curvature 1) with a narrow dent (curvature 23.8). A small step is caught by the "
            "dent; a larger one "
            "cannot stay in it. High first and low later finds the wide minimum and settles. Below: what "
            "clipping makes of "
            "divergence, a cycle of size eta C. (The runs in the dent need exp and are recorded by Python.)"
        ),
        sliders=(
            Slider("rate", "rate in the dent", 0.02, 1.99, 0.06, log=True),
            Slider("clip", "clip C", 0.1, 2.0, 1.0),
            Slider("eta", "step of the clipped run, in units of 1/a", 0.5, 6.0, 3.0),
        ),
        tries=(
            ("caught", {"rate": 0.05}),
            ("oscillates in the dent", {"rate": 0.1}),
            ("escapes", {"rate": 0.3}),
            ("clipped: settles", {"eta": 1.8}),
            ("clipped: a two-cycle", {"eta": 3.0, "clip": 1.0}),
        ),
        pictures=(
            ("valley", "The valley", "The loss with the dent near x = 1 and the run on it."),
            ("run", "The run", "x after each step, at a constant rate, and high then low (switch after 60 steps)."),
            ("cycle", "A clipped run", "x after each step of clipped gradient descent on a x²/2."),
        ),
        python=(
            "from surefoot.dynamics import ClippedQuadratic, TwoMinima, orbit\n"
            "from surefoot.stability import clipped_oscillation\n\n"
            "print(orbit(TwoMinima(), {rate}, 0.97, steps=120, keep=4))\n"
            "print(clipped_oscillation(curvature=1.0, step={eta}, cap={clip}))"
        ),
        exercises=(
            Exercise(
                "The dent has curvature 23.849342 at its minimum. Above which rate is it unstable there?",
                2 / 23.849342,
                2e-3,
                "2/a_sharp. It is necessary for escape, not sufficient: from 0.0839 to about 0.13 a run "
                "oscillates inside.",
            ),
            Exercise(
                "a = 1, eta = 5, C = 0.2: from peak to peak, how wide is the clipped cycle?",
                5 * 0.2,
                1e-3,
                "eta C: both points are clipped, so each step moves by eta C.",
            ),
            Exercise(
                "a = 2: up to which step does a clip change nothing in the long run?",
                limits([[2.0]], GradientDescent()).stable,
                1e-3,
                "2/a: near the minimum nothing is clipped, and gradient descent settles.",
            ),
        ),
    )


def _time() -> Scene:
    return Scene(
        name="time",
        title="A learning rate is a time step",
        lead=(
            "Gradient descent on f is the Euler method on x' = -grad f. So a limit on the rate and a limit on "
            "the time step are one: "
            "z = h lambda must lie where |R(z)| <= 1. Drag the point, or click in the plane. The second point is "
            "the fast "
            "component of a stiff pair."
        ),
        sliders=(
            Slider("p", "Re h lambda", -4.0, 0.5, -1.0),
            Slider("q", "Im h lambda", -3.5, 3.5, 0.5),
            Slider("stiff", "the fast component is so many times faster", 1.0, 30.0, 3.0, log=True),
            Slider(
                "method",
                "method",
                1,
                5,
                1,
                whole=True,
                options=("Euler", "RK4", "Runge-Kutta-Chebyshev", "Adams-Bashforth 2", "backward Euler"),
            ),
        ),
        tries=(
            ("Euler at its limit", {"method": 1, "p": -2.0, "q": 0.0}),
            ("RK4 on an oscillation", {"method": 2, "p": 0.0, "q": 2.8}),
            ("Chebyshev: long along the real axis", {"method": 3, "p": -1.5, "q": 0.0, "stiff": 30.0}),
            ("Adams-Bashforth is small", {"method": 4, "p": -0.9, "q": 0.0}),
            ("backward Euler: stiff is no matter", {"method": 5, "p": -1.0, "q": 0.0, "stiff": 30.0}),
        ),
        pictures=(
            ("region", "Stability region", "Where |R(z)| <= 1 for the chosen method, with the two points h lambda."),
            ("solution", "The slow component", "|x| after each step: the method, and the exact decay."),
            ("fast", "The fast component", "|x| after each step of the stiff partner."),
        ),
        python=(
            "import surefoot as sf\n\n"
            "for method in (sf.methods.ForwardEuler(), sf.methods.RK4(), sf.methods.AdamsBashforth(2)):\n"
            "    growth = float(method.amplification({p} + {q}j))\n"
            "    print(method.name, 'real limit', method.real_limit, '|R| =', growth)"
        ),
        exercises=(
            Exercise("x' = -50 x by Euler: which time step is the largest stable?", 2 / 50, 1e-3, "h lambda = -2"),
            Exercise(
                "x' = -50 x by RK4?",
                RK4().real_limit / 50,
                2e-3,
                "RK4 reaches h lambda = -2.785 for four evaluations a step.",
            ),
            Exercise(
                f"Runge-Kutta-Chebyshev with {STAGES} stages (damping 0.05): how far along the negative real "
                "axis, per evaluation?",
                RungeKuttaChebyshev(STAGES, 0.05, order=1).real_limit / STAGES,
                1e-2,
                f"About 2 s²/s = 2 s per evaluation, where Euler has 2 and Adams-Bashforth 2 has "
                f"{AdamsBashforth(2).real_limit:g}.",
            ),
        ),
    )


def _noise() -> Scene:
    doubled = scale_batch(0.1, 32, 128, "sgd")
    return Scene(
        name="noise",
        title="Noise and batch",
        lead=(
            "SGD on a x²/2 with noisy gradients: the noise of a batch of B is s/sqrt(B). Runs fall, then hover "
            "where noise and decay "
            "balance: at eta s²/(B a (2 - eta a)). A larger batch with a larger rate is compared over samples "
            "seen, not over steps."
        ),
        sliders=(
            Slider("eta", "rate eta, in units of 1/a", 0.005, 1.9, 0.05, log=True),
            Slider("noise", "noise s of one sample", 0.0, 10.0, 4.0),
            Slider("batch", "batch B", 1, 64, 4, log=True, whole=True),
            Slider("times", "the other run has so many times the batch", 1, 16, 4, log=True, whole=True),
            Slider("seed", "seed", 1, 1000, 7, whole=True),
        ),
        tries=(
            ("small rate, low floor", {"eta": 0.01, "batch": 4}),
            ("large rate, high floor", {"eta": 0.5, "batch": 4}),
            ("batch x 4, rate x 4", {"eta": 0.05, "batch": 4, "times": 4}),
            ("linear scaling stops", {"eta": 0.4, "batch": 4, "times": 8}),
            ("no noise", {"noise": 0.0}),
        ),
        pictures=(
            ("linear", "Rate x k for batch x k", "Mean of x² over samples seen: both runs, and the predicted floors."),
            (
                "root",
                "Rate x sqrt k for batch x k",
                "Mean of x² over samples seen: both runs, and the predicted floors.",
            ),
        ),
        python=(
            "import surefoot as sf\n"
            "from surefoot.recipes import scale_batch\n\n"
            "print(scale_batch({eta}, {batch}, {batch} * {times}, 'sgd'))\n"
            "print('floor', {eta} * {noise}**2 / ({batch} * (2 - {eta})))"
        ),
        exercises=(
            Exercise(
                "SGD at rate 0.1 with a batch of 32: the rate for 128, by the linear rule?", doubled.rate, 1e-3, "x 4"
            ),
            Exercise(
                "a = 1, s = 4, B = 4, eta = 0.1: at which mean of x² does the run hover?",
                0.1 * 16 / (4 * (2 - 0.1)),
                1e-2,
                "eta s²/(B a (2 - eta a))",
            ),
            Exercise(
                "AdamW at 3e-4 with a batch of 256: the rate for 2048, by the square-root rule?",
                scale_batch(3e-4, 256, 2048, "adamw").rate,
                1e-2,
                "x sqrt 8",
            ),
        ),
    )


def _network() -> Scene:
    return Scene(
        name="network",
        title="A real network",
        lead=(
            "Handwritten digits, two hidden layers, squared error, full-batch gradient descent: 24 runs recorded "
            "by Python, one for "
            "each rate. Sharpness (the largest curvature) rises or falls until it meets 2/eta, and hovers there: "
            "the edge of "
            "stability. The last picture is a small recurrent network whose training doubles its period and "
            "becomes chaotic."
        ),
        sliders=(
            Slider("run", "number of the recorded run, from the smallest rate", 0, 23, 16, whole=True),
            Slider("rnn", "rate of the recurrent network", 2.5, 6.5, 4.0),
        ),
        tries=(
            ("too small", {"run": 2}),
            ("slowly sharper", {"run": 9}),
            ("at the edge", {"run": 16}),
            ("too large", {"run": 23}),
            ("the recurrent network in chaos", {"rnn": 6.0}),
        ),
        pictures=(
            ("loss", "Training loss", "Loss against steps of the chosen run, the others faint."),
            ("sharpness", "Sharpness and 2/eta", "The largest curvature along the run, and the limit of its rate."),
            ("final", "Final loss against rate", "One point for each run."),
            (
                "rnn",
                "A recurrent network to chaos",
                "One weight after many steps, for each rate; the line is where you are.",
            ),
        ),
        python=(
            "import surefoot as sf\n"
            "from surefoot.training import as_problem, hessian\n\n"
            "# the largest curvature of any model, as an interval that says how sure it is:\n"
            "#     sf.spectrum(hessian(model, loss, data))\n"
            "# and every rate at once, for a problem by name or a model of yours:\n"
            "#     surefoot sweep digits"
        ),
        exercises=(
            Exercise("Sharpness 40: which rate is at the edge of stability?", 2 / 40, 1e-2, "2/sharpness"),
            Exercise(
                "The same with momentum 0.9?", limits([[40.0]], HeavyBall(0.9)).stable, 1e-2, "2(1 + beta)/sharpness"
            ),
            Exercise(
                "A run at rate 0.05 has settled at the edge. What is its sharpness, about?", 2 / 0.05, 2e-2, "2/eta"
            ),
        ),
    )


_MAKERS: tuple[Callable[[], Scene], ...] = (_canyon, _heavy_ball, _chaos, _dent, _time, _noise, _network)


def scenes() -> tuple[Scene, ...]:
    """The scenes in the order of the page; made when asked for, since the answers take the library to work out."""
    return tuple(make() for make in _MAKERS)
