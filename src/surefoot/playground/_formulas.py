"""The formulas of the scenes, written once: each becomes a Python function and a JavaScript one with the same bits.

IEEE 754 fixes the result of + - * / and sqrt to the last bit, in every language and browser. exp, log, tanh and friends
differ between libraries in the last bit, and a chaotic orbit turns one bit into a different picture. So a formula may
use arithmetic, sqrt, abs, min and max alone, in one order of operations. What needs more is recorded by Python.
"""

import ast
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from surefoot.errors import InvalidInput

# What both languages round alike.
OPERATORS: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
FUNCTIONS: dict[str, Any] = {"sqrt": math.sqrt, "abs": abs, "min": min, "max": max}


@dataclass(frozen=True, kw_only=True)
class Formula:
    """One step of a computation: assignments in order, from state and parameters to new values.

    Parameters
    ----------
    name : str
        Name of the function in both languages.
    arguments : str
        State, then parameters, separated by spaces.
    lines : str
        One assignment a line, in the syntax that Python and the formula language share.
    returns : str
        What is handed back, separated by spaces.

    Raises
    ------
    InvalidInput
        If a line uses anything but arithmetic, sqrt, abs, min, max and names that are known by then.
    """

    name: str
    arguments: str
    lines: str
    returns: str

    def __post_init__(self) -> None:
        known = set(self.arguments.split())
        for target, value in self._assignments:
            unknown = {node.id for node in ast.walk(value) if isinstance(node, ast.Name)} - known - set(FUNCTIONS)
            if unknown:
                raise InvalidInput(f"formula {self.name}: {', '.join(sorted(unknown))} is used before it is assigned")
            known.add(target)
        if missing := set(self.returns.split()) - known:
            raise InvalidInput(f"formula {self.name}: returns {', '.join(sorted(missing))}, which no line assigns")
        _ = self.javascript  # refuses what has no translation

    @cached_property
    def _assignments(self) -> list[tuple[str, ast.expr]]:
        pairs: list[tuple[str, ast.expr]] = []
        for node in ast.parse(self.lines).body:
            if not (isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)):
                raise InvalidInput(f"formula {self.name}: each line assigns one name; got {ast.unparse(node)!r}")
            pairs.append((node.targets[0].id, node.value))
        return pairs

    @cached_property
    def python(self) -> Callable[..., tuple[float, ...]]:
        """The formula as a Python function of floats."""
        body = "\n".join(f"    {target} = {ast.unparse(value)}" for target, value in self._assignments)
        head = f"def {self.name}({', '.join(self.arguments.split())}):"
        source = f"{head}\n{body}\n    return ({self.returns.replace(' ', ', ')},)"
        scope = dict(FUNCTIONS)
        exec(compile(source, f"<formula {self.name}>", "exec"), scope)
        return scope[self.name]

    @cached_property
    def javascript(self) -> str:
        """The formula as a JavaScript function of numbers; parentheses around every operation leave no order open."""
        known = set(self.arguments.split())
        body: list[str] = []
        for target, value in self._assignments:
            body.append(f"  {'' if target in known else 'let '}{target} = {self._translation(value)};")
            known.add(target)
        returned = ", ".join(self.returns.split())
        return (
            f"function {self.name}({', '.join(self.arguments.split())}) {{\n"
            + "\n".join(body)
            + f"\n  return [{returned}];\n}}"
        )

    def _translation(self, node: ast.expr) -> str:
        match node:
            case ast.BinOp() if type(node.op) in OPERATORS:
                return f"({self._translation(node.left)} {OPERATORS[type(node.op)]} {self._translation(node.right)})"
            case ast.UnaryOp(op=ast.USub()):
                return f"(-{self._translation(node.operand)})"
            case ast.Name():
                return node.id
            case ast.Constant(value=int() | float() as value):
                return repr(float(value))
            case ast.Call(func=ast.Name(id=function)) if function in FUNCTIONS and not node.keywords:
                return f"Math.{function}({', '.join(self._translation(argument) for argument in node.args)})"
            case _:
                raise InvalidInput(
                    f"formula {self.name}: {ast.unparse(node)!r} has not the same bits in every language"
                )


def _chebyshev_lines(stages: int) -> str:
    """T_s of the complex number w0 + w1 z by its three-term recurrence, divided by T_s(w0)."""
    lines = ["wr = w0 + w1 * p", "wi = w1 * q", "ar = 1", "ai = 0", "br = wr", "bi = wi"]
    for _ in range(stages - 1):
        lines += ["cr = 2 * (wr * br - wi * bi) - ar", "ci = 2 * (wr * bi + wi * br) - ai"]
        lines += ["ar = br", "ai = bi", "br = cr", "bi = ci"]
    return "\n".join([*lines, "r = br / scale", "s = bi / scale"])


# The stages of the Runge-Kutta-Chebyshev method in the scene on time steps: enough to see the long real interval.
STAGES = 5

# By scene.
_ALL = (
    # ---- gradient descent on (mu x^2 + L y^2)/2: the update of methods.GradientDescent
    Formula(
        name="descent",
        arguments="x y eta mu L",
        lines="x = x - eta * (mu * x)\ny = y - eta * (L * y)",
        returns="x y",
    ),
    Formula(name="canyon_loss", arguments="x y mu L", lines="f = (mu * x * x + L * y * y) / 2", returns="f"),
    Formula(name="growth", arguments="eta a", lines="g = abs(1 - eta * a)", returns="g"),
    # the factor per step of the best constant step, and of the best heavy ball, at a condition number
    Formula(name="best_growth", arguments="kappa", lines="g = (kappa - 1) / (kappa + 1)", returns="g"),
    Formula(name="best_ball_growth", arguments="kappa", lines="r = sqrt(kappa)\ng = (r - 1) / (r + 1)", returns="g"),
    # ---- heavy ball: the update of methods.HeavyBall; the larger root of r^2 - (1 + b - eta a) r + b
    Formula(
        name="heavy_ball",
        arguments="x y u v eta beta mu L",
        lines="u = beta * u - eta * (mu * x)\nx = x + u\nv = beta * v - eta * (L * y)\ny = y + v",
        returns="x y u v",
    ),
    Formula(
        name="heavy_ball_growth",
        arguments="eta beta a",
        # Complex roots have modulus sqrt(b). Real ones have product b, so the larger one is at least sqrt(b): the
        # maximum of both expressions is right in either case and needs no branch.
        lines=("t = abs(1 + beta - eta * a)\nd = max(t * t - 4 * beta, 0)\ng = max(sqrt(beta), (t + sqrt(d)) / 2)"),
        returns="g",
    ),
    # ---- past the limit: dynamics.Cubic, and a clipped gradient
    Formula(name="cubic", arguments="x eta a", lines="x = x - eta * (a * (x - x * x))", returns="x"),
    Formula(
        name="clipped",
        arguments="x eta a cap",
        lines="x = x - eta * min(max(a * x, -cap), cap)",
        returns="x",
    ),
    # ---- a learning rate is a time step: R(z), z = p + iq, of four methods, and one step of each on x' = lambda x
    Formula(name="euler", arguments="p q", lines="r = 1 + p\ns = q", returns="r s"),
    Formula(
        name="rk4",
        arguments="p q",
        lines=(
            "r4 = 1 + p / 4\ns4 = q / 4\nr3 = 1 + (p * r4 - q * s4) / 3\ns3 = (p * s4 + q * r4) / 3\nr2 = 1 + (p * r3 "
            "- q * s3) / 2\ns2 = (p * s3 + q * r3) / 2\nr = 1 + (p * r2 - q * s2)\ns = p * s2 + q * r2"
        ),
        returns="r s",
    ),
    Formula(
        name="backward_euler",
        arguments="p q",
        lines="d = (1 - p) * (1 - p) + q * q\nr = (1 - p) / d\ns = q / d",
        returns="r s",
    ),
    Formula(name="rkc", arguments="p q w0 w1 scale", lines=_chebyshev_lines(STAGES), returns="r s"),
    Formula(name="grow", arguments="x g", lines="x = x * g", returns="x"),
    Formula(name="modulus", arguments="r s", lines="m = sqrt(r * r + s * s)", returns="m"),
    Formula(
        name="ab2",
        arguments="p q",
        # The larger root of r^2 - (1 + 3z/2) r + z/2. The square root of a complex number d takes the sign of its
        # imaginary part, plus where that is 0; the constants keep 0/0 away and change no bit of any other quotient.
        lines=(
            "br = (1 + 1.5 * p) / 2\nbi = 1.5 * q / 2\ndr = br * br - bi * bi - p / 2\ndi = 2 * br * bi - q / 2\nm = "
            "sqrt(dr * dr + di * di)\nsign = di / (abs(di) + 1e-300) + (1 - min(1, abs(di) * 1e300))\ncr = sqrt(max((m "
            "+ dr) / 2, 0))\nci = sqrt(max((m - dr) / 2, 0)) * sign\nur = br + cr\nui = bi + ci\nvr = br - cr\nvi = bi "
            "- ci\ng = max(sqrt(ur * ur + ui * ui), sqrt(vr * vr + vi * vi))"
        ),
        returns="g",
    ),
    # ---- noise: one step of SGD on a x^2/2, the gradient's noise a number of unit variance times `noise`
    Formula(name="noisy", arguments="x eta a noise xi", lines="x = x - eta * (a * x + noise * xi)", returns="x"),
    # where its mean of x^2 ends below the limit, with noise s/sqrt(B): v = (1 - eta a)^2 v + eta^2 s^2/B
    Formula(
        name="noise_floor",
        arguments="eta a noise batch",
        lines="f = eta * noise * noise / (batch * (2 - eta * a) * a)",
        returns="f",
    ),
)

FORMULAS: dict[str, Formula] = {formula.name: formula for formula in _ALL}


def javascript() -> str:
    """Every formula as JavaScript, for the page and for the test that compares the bits."""
    return "\n".join(formula.javascript for formula in FORMULAS.values())
