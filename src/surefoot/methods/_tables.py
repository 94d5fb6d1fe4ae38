"""Coefficients of the built-in Runge-Kutta methods, built when first asked for."""

from fractions import Fraction
from functools import cache

from surefoot.methods._tableau import ButcherTableau

__all__ = ["bogacki_shampine", "classical", "dormand_prince", "heun", "kutta", "midpoint", "radau", "ssp3", "ssp4"]

F = Fraction


@cache
def midpoint() -> ButcherTableau:
    """Runge 1895."""
    return ButcherTableau(name="midpoint", A=[[], [F(1, 2)]], b=[0, 1], order=2)


@cache
def heun() -> ButcherTableau:
    """The explicit trapezoidal rule; Euler embedded."""
    half = F(1, 2)
    return ButcherTableau(name="Heun", A=[[], [1]], b=[half, half], order=2, embedded=[1, 0], embedded_order=1)


@cache
def kutta() -> ButcherTableau:
    """Kutta 1901."""
    return ButcherTableau(name="Kutta 3", A=[[], [F(1, 2)], [-1, 2]], b=[F(1, 6), F(2, 3), F(1, 6)], order=3)


@cache
def classical() -> ButcherTableau:
    """Kutta 1901: the Runge-Kutta method."""
    half = F(1, 2)
    return ButcherTableau(
        name="RK4", A=[[], [half], [0, half], [0, 0, 1]], b=[F(1, 6), F(1, 3), F(1, 3), F(1, 6)], order=4
    )


@cache
def bogacki_shampine() -> ButcherTableau:
    """Bogacki, Shampine 1989: SciPy's RK23."""
    b = [F(2, 9), F(1, 3), F(4, 9)]
    return ButcherTableau(
        name="Bogacki-Shampine 3(2)",
        A=[[], [F(1, 2)], [0, F(3, 4)], b],
        b=[*b, 0],
        order=3,
        embedded=[F(7, 24), F(1, 4), F(1, 3), F(1, 8)],
        embedded_order=2,
    )


@cache
def dormand_prince() -> ButcherTableau:
    """Dormand, Prince 1980: SciPy's RK45."""
    b = [F(35, 384), 0, F(500, 1113), F(125, 192), -F(2187, 6784), F(11, 84)]
    return ButcherTableau(
        name="Dormand-Prince 5(4)",
        A=[
            [],
            [F(1, 5)],
            [F(3, 40), F(9, 40)],
            [F(44, 45), -F(56, 15), F(32, 9)],
            [F(19372, 6561), -F(25360, 2187), F(64448, 6561), -F(212, 729)],
            [F(9017, 3168), -F(355, 33), F(46732, 5247), F(49, 176), -F(5103, 18656)],
            b,
        ],
        b=[*b, 0],
        order=5,
        embedded=[F(5179, 57600), 0, F(7571, 16695), F(393, 640), -F(92097, 339200), F(187, 2100), F(1, 40)],
        embedded_order=4,
    )


@cache
def ssp3() -> ButcherTableau:
    """Shu, Osher 1988."""
    return ButcherTableau(name="SSPRK(3,3)", A=[[], [1], [F(1, 4), F(1, 4)]], b=[F(1, 6), F(1, 6), F(2, 3)], order=3)


@cache
def ssp4() -> ButcherTableau:
    """Ketcheson 2008: ten stages, order 4."""
    sixth, fifteenth = F(1, 6), F(1, 15)
    early = [[sixth] * i for i in range(5)]
    late = [[fifteenth] * 5 + [sixth] * i for i in range(5)]
    return ButcherTableau(name="SSPRK(10,4)", A=[*early, *late], b=[F(1, 10)] * 10, order=4)


@cache
def radau(stages: int) -> ButcherTableau:
    """Radau IIA of 1 to 3 stages (Hairer, Wanner 1996, section IV.5); one stage is backward Euler."""
    if stages == 1:
        return ButcherTableau(name="backward Euler", A=[[1]], b=[1], order=1)
    if stages == 2:
        b = [F(3, 4), F(1, 4)]
        return ButcherTableau(name="Radau IIA 3", A=[[F(5, 12), -F(1, 12)], b], b=b, order=3)
    root = 6**0.5
    last = [(16 - root) / 36, (16 + root) / 36, 1 / 9]
    return ButcherTableau(
        name="Radau IIA 5",
        A=[
            [(88 - 7 * root) / 360, (296 - 169 * root) / 1800, (-2 + 3 * root) / 225],
            [(296 + 169 * root) / 1800, (88 + 7 * root) / 360, (-2 - 3 * root) / 225],
            last,
        ],
        b=last,
        order=5,
    )


@cache
def trapezoidal() -> ButcherTableau:
    """Crank, Nicolson 1947."""
    half = F(1, 2)
    return ButcherTableau(name="trapezoidal", A=[[0, 0], [half, half]], b=[half, half], order=2)
