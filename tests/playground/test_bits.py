"""The page computes what the library computes, to the bit: formulas in Python, in JavaScript, and the library's own."""

import json
import math
import shutil
import subprocess
from importlib.resources import files

import numpy as np
import pytest

from surefoot import methods
from surefoot.dynamics import ClippedQuadratic, Cubic, orbit
from surefoot.errors import InvalidInput
from surefoot.playground._compute import chebyshev_parameters, iterate, uniforms
from surefoot.playground._formulas import FORMULAS, STAGES, Formula, javascript
from surefoot.playground._golden import APPLIED, ITERATED, golden_records

NODE = shutil.which("node")
# Settings of each formula that are compared.
COUNT = 200


@pytest.mark.skipif(NODE is None, reason="needs Node")
@pytest.mark.parametrize("broken", [False, True], ids=["as it is", "one formula regrouped"])
def test_javascript_and_python_agree_to_the_bit(tmp_path, broken):
    formulas = javascript()
    if broken:  # the comparison can fail: another order of operations is another result
        regrouped = formulas.replace("(eta * (a * (x - (x * x))))", "((eta * a) * (x - (x * x)))")
        assert regrouped != formulas
        formulas = regrouped
    program = formulas + files("surefoot.playground").joinpath("compute.js").read_text()
    records = tmp_path / "records.json"
    records.write_text(json.dumps(list(golden_records(COUNT, rng=1))))
    program += (
        f"\nconst records = JSON.parse(require('fs').readFileSync({json.dumps(str(records))}));"
        "\nconst wrong = records.filter((r) => !agrees(r)).map((r) => r.formula || 'noise');"
        "\nconsole.log(JSON.stringify([records.length, wrong]));"
    )
    script = tmp_path / "compare.js"
    script.write_text(program)
    done = subprocess.run([NODE, str(script)], capture_output=True, text=True, check=True)
    total, wrong = json.loads(done.stdout)
    assert total == COUNT * len([*ITERATED, *APPLIED, "noise"])
    assert set(wrong) == ({"cubic"} if broken else set())


@pytest.mark.parametrize("eta", [0.3, 1.9, 2.02])
def test_descent_is_the_librarys(eta):
    mu, L = 0.05, 1.0
    curvatures = np.array([mu, L])
    method, state = methods.GradientDescent(), (np.array([0.9, 0.3]),)
    for row in iterate("descent", [0.9, 0.3], [eta, mu, L], 50):
        assert row == state[0].tolist()
        state = method.update(state, lambda x: -eta * (curvatures * x))


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
def test_heavy_ball_is_the_librarys(beta):
    mu, L, eta = 0.05, 1.0, 1.1
    curvatures = np.array([mu, L])
    method = methods.HeavyBall(beta)
    state = method.start(np.array([0.9, 0.3]))
    for x, y, u, v in iterate("heavy_ball", [0.9, 0.3, 0.0, 0.0], [eta, beta, mu, L], 50):
        assert [[x, y], [u, v]] == [state[0].tolist(), state[1].tolist()]
        state = method.update(state, lambda x: -(eta * (curvatures * x)))
    for curvature in (mu, L):
        (growth,) = FORMULAS["heavy_ball_growth"].python(eta, beta, curvature)
        assert growth == pytest.approx(float(method.amplification(-eta * curvature)), rel=1e-7)


@pytest.mark.parametrize("eta", [1.5, 2.3, 2.7, 2.84])
def test_the_cubic_is_the_librarys_in_chaos_too(eta):
    mine = [row[0] for row in iterate("cubic", [0.3], [eta, 1.0], 2000)]
    assert mine[1:] == orbit(Cubic(1.0), eta, 0.3, steps=2000).tolist()


def test_the_clipped_run_is_the_librarys():
    mine = [row[0] for row in iterate("clipped", [0.7], [3.0, 1.0, 0.8], 100)]
    assert mine[1:] == orbit(ClippedQuadratic(1.0, 0.8), 3.0, 0.7, steps=100).tolist()


@pytest.mark.parametrize("z", [-0.3 + 0.4j, -1.9, 1j, -2.5 + 0.1j, -30.0, 0.2 - 1.5j])
def test_stability_functions_are_the_librarys(z):
    cases = {
        "euler": methods.ForwardEuler(),
        "rk4": methods.RK4(),
        "backward_euler": methods.BackwardEuler(),
        "rkc": methods.RungeKuttaChebyshev(STAGES, 0.05, order=1),
    }
    for name, method in cases.items():
        extra = chebyshev_parameters() if name == "rkc" else ()
        r, s = FORMULAS[name].python(z.real, z.imag, *extra)
        (growth,) = FORMULAS["modulus"].python(r, s)
        assert growth == pytest.approx(float(method.amplification(complex(z))), rel=1e-9)
    (growth,) = FORMULAS["ab2"].python(complex(z).real, complex(z).imag)
    assert growth == pytest.approx(float(methods.AdamsBashforth(2).amplification(complex(z))), rel=1e-9)


def test_the_drawn_numbers_are_uniform():
    draws = uniforms(7)
    values = np.array([next(draws) for _ in range(20_000)])
    assert values.min() >= 0
    assert values.max() < 1
    assert values.mean() == pytest.approx(0.5, abs=4 / math.sqrt(12 * values.size))
    assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 4 / math.sqrt(values.size)


@pytest.mark.parametrize(
    ("lines", "said"),
    [("y = x ** 2", "same bits"), ("y = exp(x)", "exp"), ("y = z", "z is used"), ("x += 1\ny = x", "assigns one name")],
)
def test_what_has_other_bits_elsewhere_is_refused(lines, said):
    with pytest.raises(InvalidInput, match=said):
        Formula(name="f", arguments="x", lines=lines, returns="y")
