"""What `diagnose` recommends on 22 equations, against runs of every method with the same tolerance.

Run: python -m benchmarks integrators. A recommendation is right if its run ends near the reference and no other such
run takes less than a third of its work: evaluations of the right-hand side, those for Jacobians included, and
factorisations and solves by the table in `ode_diagnosis/_trials.py`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from bench import Table
from scipy.sparse import diags_array, eye_array, kron

import surefoot as sf

TOO_MUCH = 3.0
Equation = tuple[Callable[..., Any], list[float], float, dict[str, Any]]


def line(n: int, left: float, middle: float, right: float) -> Any:
    """A tridiagonal matrix."""
    bands: Any = [np.full(n - 1, left), np.full(n, middle), np.full(n - 1, right)]
    return diags_array(bands, offsets=[-1, 0, 1]).tocsr()


def heat(n: int, *, sparse: bool = False) -> Equation:
    """A rod, one throughout, with cold ends."""
    A = (n + 1) ** 2 * line(n, 1.0, -2.0, 1.0)
    return lambda _, y: A @ y, [1.0] * n, 0.2, {"sparsity": A} if sparse else {}


def heat_2d(m: int, *, sparse: bool = False) -> Equation:
    """A plate of m x m points with a warm corner."""
    T, eye = (m + 1) ** 2 * line(m, 1.0, -2.0, 1.0), eye_array(m)
    A = (kron(T, eye) + kron(eye, T)).tocsr()
    x = np.linspace(0, 1, m)
    start = np.exp(-20 * (x[:, None] ** 2 + x**2)).ravel()
    return lambda _, y: A @ y, start.tolist(), 0.1, {"sparsity": A} if sparse else {}


def advection_diffusion(n: int, speed: float, diffusion: float) -> Equation:
    """A pulse that is carried along and spreads, central differences."""
    h = 1 / (n + 1)
    A = line(n, diffusion / h**2 + speed / (2 * h), -2 * diffusion / h**2, diffusion / h**2 - speed / (2 * h))
    x = np.arange(1, n + 1) * h
    return lambda _, y: A @ y, np.exp(-100 * (x - 0.3) ** 2).tolist(), 0.3, {"sparsity": A}


def advection_diffusion_2d(m: int, speed: float, diffusion: float) -> Equation:
    """The same on a square."""
    h = 1 / (m + 1)
    T = line(m, diffusion / h**2 + speed / (2 * h), -2 * diffusion / h**2, diffusion / h**2 - speed / (2 * h))
    eye = eye_array(m)
    A = (kron(T, eye) + kron(eye, T)).tocsr()
    x = np.arange(1, m + 1) * h
    start = np.exp(-50 * ((x[:, None] - 0.3) ** 2 + (x - 0.3) ** 2)).ravel()
    return lambda _, y: A @ y, start.tolist(), 0.3, {"sparsity": A}


def upwind(n: int) -> Equation:
    """Transport alone, upwind: decay and turning of one size, no stiffness."""
    A = (n + 1) * line(n, 1.0, -1.0, 0.0)
    x = np.arange(1, n + 1) / (n + 1)
    return lambda _, y: A @ y, np.exp(-100 * (x - 0.3) ** 2).tolist(), 0.5, {"sparsity": A}


def robertson(end: float) -> Equation:
    """Three reactions, rates nine orders of magnitude apart."""

    def fun(_: float, y: Any) -> list[float]:
        slow, fast, merge = 0.04 * y[0], 3e7 * y[1] ** 2, 1e4 * y[1] * y[2]
        return [merge - slow, slow - merge - fast, fast]

    return fun, [1.0, 0.0, 0.0], end, {"atol": 1e-10}


def oregonator() -> Equation:
    """The Belousov-Zhabotinsky reaction."""

    def fun(_: float, y: Any) -> list[float]:
        return [
            77.27 * (y[1] + y[0] * (1 - 8.375e-6 * y[0] - y[1])),
            (y[2] - (1 + y[0]) * y[1]) / 77.27,
            0.161 * (y[0] - y[2]),
        ]

    return fun, [1.0, 2.0, 3.0], 360.0, {}


def hires() -> Equation:
    """High irradiance responses of a plant: eight reactants (Schaefer 1975)."""

    def fun(_: float, y: Any) -> list[float]:
        bound = 280 * y[5] * y[7]
        return [
            -1.71 * y[0] + 0.43 * y[1] + 8.32 * y[2] + 0.0007,
            1.71 * y[0] - 8.75 * y[1],
            -10.03 * y[2] + 0.43 * y[3] + 0.035 * y[4],
            8.32 * y[1] + 1.71 * y[2] - 1.12 * y[3],
            -1.745 * y[4] + 0.43 * y[5] + 0.43 * y[6],
            -bound + 0.69 * y[3] + 1.71 * y[4] - 0.43 * y[5] + 0.69 * y[6],
            bound - 1.81 * y[6],
            -bound + 1.81 * y[6],
        ]

    return fun, [1.0, 0, 0, 0, 0, 0, 0, 0.0057], 321.8, {}


def pollution() -> Equation:
    """A reversible fast exchange beside slow losses, five species in a row."""
    rates = 10.0 ** np.array([6, 3, 0, -3])

    def fun(_: float, y: Any) -> Any:
        flow = rates * (y[:-1] - 0.5 * y[1:])
        return np.append(0.0, flow) - np.append(flow, 0.01 * y[-1])

    return fun, [1.0, 0.0, 0.0, 0.0, 0.0], 100.0, {}


def van_der_pol(mu: float, end: float) -> Equation:
    """Slow drift and sudden jumps."""
    return lambda _, y: [y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]], [2.0, 0.0], end, {}


def fisher(n: int) -> Equation:
    """A population that grows and spreads on a line."""
    A = 1e-3 * (n + 1) ** 2 * line(n, 1.0, -2.0, 1.0)
    x = np.arange(1, n + 1) / (n + 1)
    return lambda _, y: A @ y + 5 * y * (1 - y), np.exp(-200 * x**2).tolist(), 2.0, {"sparsity": A}


def pendulum() -> Equation:
    """A pendulum with friction: nothing is fast."""
    return lambda _, y: [y[1], -np.sin(y[0]) - 0.1 * y[1]], [2.0, 0.0], 20.0, {}


def lotka_volterra() -> Equation:
    """Prey and predators."""
    return lambda _, y: [y[0] * (1 - y[1]), y[1] * (y[0] - 1)], [2.0, 1.0], 20.0, {}


def relaxation() -> Equation:
    """A fast return to a slow curve (Prothero, Robinson 1974)."""
    return lambda t, y: [-1e6 * (y[0] - np.cos(t)) - np.sin(t)], [1.0], 10.0, {}


def mild_relaxation() -> Equation:
    """The same with a rate that accuracy asks for anyway."""
    return lambda t, y: [-5 * (y[0] - np.cos(t)) - np.sin(t)], [0.0], 10.0, {}


def fastest_first() -> Equation:
    """Rates 1e9 and 1: more stages than any stabilised method has."""
    return lambda _, y: [-1e9 * (y[0] - y[1]), -y[1]], [1.0, 1.0], 10.0, {}


EQUATIONS: dict[str, Callable[[], Equation]] = {
    "heat 1-D, 50": lambda: heat(50),
    "heat 1-D, 200": lambda: heat(200),
    "heat 1-D, 1000, sparse": lambda: heat(1000, sparse=True),
    "heat 1-D, 1000, dense": lambda: heat(1000),
    "heat 2-D, 12 x 12": lambda: heat_2d(12),
    "heat 2-D, 31 x 31, sparse": lambda: heat_2d(31, sparse=True),
    "advection-diffusion 1-D, 400": lambda: advection_diffusion(400, 1.0, 0.02),
    "advection-diffusion 2-D, 30 x 30": lambda: advection_diffusion_2d(30, 1.0, 0.05),
    "transport, upwind, 100": lambda: upwind(100),
    "Fisher's equation, 300": lambda: fisher(300),
    "Robertson to 40": lambda: robertson(40.0),
    "Robertson to 1e11": lambda: robertson(1e11),
    "Oregonator": oregonator,
    "HIRES": hires,
    "five species in a row": pollution,
    "van der Pol, mu 5": lambda: van_der_pol(5.0, 20.0),
    "van der Pol, mu 1e6": lambda: van_der_pol(1e6, 2e6),
    "rates 1e9 and 1": fastest_first,
    "Prothero-Robinson, 1e6": relaxation,
    "Prothero-Robinson, 5": mild_relaxation,
    "pendulum": pendulum,
    "Lotka-Volterra": lotka_volterra,
}


def is_right(found: "sf.solvers.Diagnosis") -> bool:
    """Whether the recommended run is near the reference and no other such run took a third of its work."""
    best, *others = found.trials
    near = [t.work for t in others if t.finished and t.error <= max(0.05, best.error)]
    return found.verified and best.work <= TOO_MUCH * min(near, default=np.inf)


def integrators(quick):
    """The recommended integrator against the work of SciPy's on 22 equations."""
    methods = ("RK45", "RKC", "Radau", "BDF")

    rows, count = [], 0
    for name, make in list(EQUATIONS.items())[: 3 if quick else None]:
        fun, start, span, options = make()
        found = sf.diagnose(fun, 0.0, start, span=span, **options)
        works = {t.method: f"{t.work:.3g}" if t.finished else f"> {t.work:.3g}" for t in found.trials}
        good = is_right(found)
        count += good
        row = (name, f"{found.recommendation}, {found.method}", *(works.get(m) for m in methods), good)
        rows.append(row)
    note = (
        f"{count} of {len(rows)} right: near the reference, and none as near took a third of its work. Work in "
        "evaluations; > gave up or failed there."
    )
    columns = ("equation", "recommended", *methods, "right")
    summary = Table("summary", ("recommended integrators", "number"), [("right", f"{count} of {len(rows)}")])
    return [Table("integrators", columns, rows, note), summary]
