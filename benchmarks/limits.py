"""Stability limits against NodePy's, and recommended integrators against SciPy's, both counted.

Run: python -m benchmarks limits integrators.
"""

import math

import numpy as np
from bench import Table, optional

import surefoot as sf

# NodePy bisects to this much.
AGREE = 1e-5


def limits(_):
    """How far the real and imaginary limits of the explicit Runge-Kutta methods that NodePy knows are from its own."""
    if (nodepy := optional("nodepy.runge_kutta_method")) is None:
        return []
    apart, refused, count = [], [], 0
    for name, theirs in sorted(nodepy.loadRKM().items()):
        if not theirs.is_explicit():
            continue
        A, b = np.array(theirs.A, dtype=float), np.array(theirs.b, dtype=float)
        try:
            tableau = sf.methods.ButcherTableau(name=name, A=A.tolist(), b=b.tolist(), order=1)
        except sf.errors.InvalidInput as error:
            refused.append((name, str(error).split(": ", 1)[1].split(";")[0]))
            continue
        count += 1
        ours = sf.methods.RungeKutta(tableau)
        for axis, mine, other in (
            ("real", ours.real_limit, float(theirs.real_stability_interval())),
            ("imaginary", ours.imaginary_limit, float(theirs.imaginary_stability_interval())),
        ):
            if not math.isclose(mine, other, rel_tol=AGREE, abs_tol=AGREE):
                turn = -1 if axis == "real" else 1j
                growths = (growth(A, b, turn * z) for z in (0.99 * mine, mine + 0.5))
                apart.append((name, axis, f"{mine:.6g}", f"{other:.6g}", *(f"{x:.1e}" for x in growths)))
    rows = [("explicit Runge-Kutta methods", count), ("limits compared", 2 * count), ("limits apart", len(apart)),
            ("tables refused for their coefficients", len(refused))]  # fmt: skip
    note = "Apart: by more than 1e-5 of the value; |R| in fifty digits says who is right."
    columns = ("method", "axis", "Surefoot", "NodePy", "|R| - 1 at 0.99 times Surefoot's", "0.5 beyond it")
    return [
        Table("limits", ("", "number"), rows, note),
        Table("apart", columns, apart),
        Table("refused", ("method", "why"), refused),
    ]


def growth(A, b, z):
    """|R(z)| - 1 in fifty digits."""
    import mpmath

    with mpmath.workdps(50):
        A, b, power = mpmath.matrix(A.tolist()), mpmath.matrix(b.tolist()), mpmath.ones(len(b), 1)
        value = mpmath.mpc(1)
        for k in range(1, len(b) + 1):
            value += mpmath.mpc(z) ** k * (b.T * power)[0]
            power = A * power
        return float(abs(value) - 1)
