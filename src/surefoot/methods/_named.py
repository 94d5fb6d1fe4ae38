"""Methods by name, as they are typed on the command line."""

import re
from collections.abc import Callable
from difflib import get_close_matches

from surefoot.checks import checked
from surefoot.errors import UnknownTarget
from surefoot.methods._base import Method
from surefoot.methods._gradient import ForwardEuler
from surefoot.methods._momentum import EMAMomentum, HeavyBall, Nesterov
from surefoot.methods._multistep import AdamsBashforth, Leapfrog
from surefoot.methods._runge_kutta import (
    RK4,
    SSPRK,
    BackwardEuler,
    BogackiShampine,
    DormandPrince,
    Heun,
    Kutta3,
    Midpoint,
    RadauIIA,
    Trapezoidal,
)
from surefoot.methods._stabilised import RungeKuttaChebyshev, RungeKuttaLegendre

# Names without a parameter.
PLAIN: dict[str, Callable[[], Method]] = {
    "euler": ForwardEuler,
    "gradient-descent": ForwardEuler,
    "midpoint": Midpoint,
    "heun": Heun,
    "kutta3": Kutta3,
    "rk4": RK4,
    "bogacki-shampine": BogackiShampine,
    "dormand-prince": DormandPrince,
    "ssprk33": SSPRK,
    "ssprk104": lambda: SSPRK(10, 4),
    "ab2": lambda: AdamsBashforth(2),
    "ab3": lambda: AdamsBashforth(3),
    "ab4": lambda: AdamsBashforth(4),
    "ab5": lambda: AdamsBashforth(5),
    "leapfrog": Leapfrog,
    "heavy-ball": HeavyBall,
    "nesterov": Nesterov,
    "averaged-momentum": EMAMomentum,
    "backward-euler": BackwardEuler,
    "trapezoidal": Trapezoidal,
    "radau": RadauIIA,
}
# Names that are followed by a number of stages: rkc10.
STAGED: dict[str, Callable[[int], Method]] = {
    "rkc": RungeKuttaChebyshev,
    "rkc1-": lambda stages: RungeKuttaChebyshev(stages, order=1),
    "rkl": RungeKuttaLegendre,
    "rkl1-": lambda stages: RungeKuttaLegendre(stages, order=1),
}


def method_names() -> tuple[str, ...]:
    """The names that `named` takes; S stands for a number of stages.

    Examples
    --------
    >>> from surefoot.methods import method_names, named
    >>> "rk4" in method_names(), named("rk4").order
    (True, 4)
    """
    return (*PLAIN, *(f"{prefix}S" for prefix in STAGED))


@checked
def named(name: str) -> Method:
    """The method with a name; capitals and underscores do not matter.

    Parameters
    ----------
    name : str
        One of `method_names`.

    Returns
    -------
    Method

    Raises
    ------
    UnknownTarget
        If there is none; the message suggests the nearest.
    InvalidInput
        If the number of stages is out of range.

    Examples
    --------
    >>> from surefoot.methods import named
    >>> print(named("rk4").region(points=3))
    RK4: stable for step * eigenvalue from 0 to -2.78529356 on the real axis, to +-2.82842712i on the imaginary axis
    >>> named("rkc1-10").real_limit > 190
    True
    """
    wanted = name.strip().lower().replace("_", "-")
    if wanted in PLAIN:
        return PLAIN[wanted]()
    staged = re.fullmatch(r"(rk[cl](?:1-)?)(\d+)", wanted)
    if staged and staged[1] in STAGED:
        return STAGED[staged[1]](int(staged[2]))
    near = get_close_matches(wanted, PLAIN, n=1)
    hint = f"did you mean {near[0]}?" if near else "give one of " + ", ".join(method_names())
    raise UnknownTarget(f"unknown method {name!r}; {hint}")
