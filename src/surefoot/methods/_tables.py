"""Coefficients of the built-in Runge-Kutta methods; each becomes a tableau, and is checked, when it is first used."""

from fractions import Fraction
from functools import cache

from surefoot.methods._tableau import ButcherTableau

# For the three stages of Radau IIA: irrational, so in double precision.
_R = 6**0.5
_RADAU = f"{(16 - _R) / 36} {(16 + _R) / 36} 1/9"
_STARTS = " ; 1/6; 1/6 1/6; 1/6 1/6 1/6; 1/6 1/6 1/6 1/6"
_FIFTHS = "1/15 1/15 1/15 1/15 1/15"
_DORMAND = "35/384 0 500/1113 125/192 -2187/6784 11/84"

# Each row: the name, the order, the rows of A, b, and for a pair the weights and the order of the second formula.
_ROWS: dict[str, tuple[str, int, str, str, str, int]] = {
    # Runge 1895
    "midpoint": ("midpoint", 2, " ; 1/2", "0 1", "", 0),
    # the explicit trapezoidal rule; Euler embedded
    "heun": ("Heun", 2, " ; 1", "1/2 1/2", "1 0", 1),
    # Kutta 1901, both
    "kutta": ("Kutta 3", 3, " ; 1/2; -1 2", "1/6 2/3 1/6", "", 0),
    "classical": ("RK4", 4, " ; 1/2; 0 1/2; 0 0 1", "1/6 1/3 1/3 1/6", "", 0),
    # 1989: SciPy's RK23
    "bogacki-shampine": (
        "Bogacki-Shampine 3(2)", 3, " ; 1/2; 0 3/4; 2/9 1/3 4/9", "2/9 1/3 4/9 0", "7/24 1/4 1/3 1/8", 2,
    ),
    # 1980: SciPy's RK45
    "dormand-prince": (
        "Dormand-Prince 5(4)", 5,
        " ; 1/5; 3/40 9/40; 44/45 -56/15 32/9; 19372/6561 -25360/2187 64448/6561 -212/729;"
        f"9017/3168 -355/33 46732/5247 49/176 -5103/18656; {_DORMAND}",
        f"{_DORMAND} 0",
        "5179/57600 0 7571/16695 393/640 -92097/339200 187/2100 1/40", 4,
    ),
    # Shu, Osher 1988; Ketcheson 2008
    "ssp 3 3": ("SSPRK(3,3)", 3, " ; 1; 1/4 1/4", "1/6 1/6 2/3", "", 0),
    "ssp 10 4": (
        "SSPRK(10,4)", 4,
        ";".join([_STARTS, *(f"{_FIFTHS} {row}" for row in _STARTS.split(";"))]), "1/10 " * 10, "", 0,
    ),
    # Hairer, Wanner 1996, section IV.5; one stage is backward Euler
    "radau 1": ("backward Euler", 1, "1", "1", "", 0),
    "radau 2": ("Radau IIA 3", 3, "5/12 -1/12; 3/4 1/4", "3/4 1/4", "", 0),
    "radau 3": (
        "Radau IIA 5", 5,
        f"{(88 - 7 * _R) / 360} {(296 - 169 * _R) / 1800} {(-2 + 3 * _R) / 225};"
        f"{(296 + 169 * _R) / 1800} {(88 + 7 * _R) / 360} {(-2 - 3 * _R) / 225}; {_RADAU}",
        _RADAU, "", 0,
    ),
    # Crank, Nicolson 1947
    "trapezoidal": ("trapezoidal", 2, "0 0; 1/2 1/2", "1/2 1/2", "", 0),
}  # fmt: skip


@cache
def tableau(key: str) -> ButcherTableau:
    """The tableau of a row."""
    name, order, A, b, second, second_order = _ROWS[key]
    return ButcherTableau(
        name=name, A=[_numbers(row) for row in A.split(";")], b=_numbers(b), order=order,
        embedded=_numbers(second) or None, embedded_order=second_order,
    )  # fmt: skip


def _numbers(text: str) -> list[Fraction]:
    return [Fraction(word) for word in text.split()]
