"""What a user's own function may be: a function of a vector, a Jacobian, a map; and what is said of their data."""

import math

import numpy as np
import pytest

import surefoot as sf
from surefoot.cli import run
from surefoot.errors import InvalidInput
from surefoot.problems import Logistic
from surefoot.targets import ODE, ProblemTarget, as_target

OWN = """
import numpy as np
from surefoot.targets import ODE, Map

def cosh():
    return lambda x: float(np.cosh(x - 1).sum()), [0.0, 0.0]

def with_gradient():
    return lambda x: float(np.cosh(x - 1).sum()), lambda x: np.sinh(x - 1), np.zeros(2)

def matrix():
    return np.array([[0.0, 1.0], [-1.0, -0.1]])

def jacobian():
    return ODE.linear(matrix(), end=10.0)

def logistic():
    return Map(name="logistic", update=lambda x, r: r * x * (1 - x), start=0.4, interval=(2.5, 3.5))
"""


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(OWN)

    def call(line):
        code = run([*line.split(), "--quiet"])
        said = capsys.readouterr()
        return code, said.out + said.err

    return call


@pytest.mark.parametrize(
    "line",
    [
        "advise mine:cosh",
        "run mine:with_gradient --steps 20",
        "race mine:cosh --rules auto,bb --steps 40",
        "sweep mine:with_gradient --steps 128 --count 2",
        "advise mine:jacobian",
        "orbit mine:logistic --count 1",
    ],
)
def test_verbs_take_what_is_ones_own(command, line):
    code, said = command(line)
    assert code == 0, said
    assert line.split()[1] in said or "period" in said or "linear" in said


def test_a_matrix_that_is_not_symmetric_is_asked_about(command):
    code, said = command("advise mine:matrix")
    assert code == 2
    assert "ODE.linear(J)" in said


def test_differences_and_a_gradient_lead_to_one_answer():
    value, gradient = (lambda x: float(np.cosh(x - 1).sum())), (lambda x: np.sinh(x - 1))
    rough, exact = (as_target(source).problem for source in ((value, np.zeros(3)), (value, gradient, np.zeros(3))))
    x = np.array([0.3, -2.0, 4.0])
    assert rough.gradient(x) == pytest.approx(exact.gradient(x), rel=1e-8)


def test_a_linear_equation_is_as_stiff_as_its_eigenvalues():
    # forward Euler on y' = -1000 y is stable up to 2/1000: 5,000 steps until t = 10, which accuracy does not ask for
    assert ODE.linear(np.diag([-1000.0, -1.0]), end=10.0).diagnose().recommendation == "implicit"
    with pytest.raises(InvalidInput, match="square"):
        ODE.linear([[1.0, 2.0]])


@pytest.mark.parametrize(("margin", "ridge", "said"), [(0.1, 0.0, True), (-0.1, 0.0, False), (0.1, 0.01, False)])
def test_separable_data_is_named(margin, ridge, said):
    x = np.linspace(-1, 1, 20)
    labels = (x > 0).astype(int)
    # a margin below 0: one row of each class on the side of the other
    X = np.column_stack([x, np.ones(20)]) + 0.0
    if margin < 0:
        labels[[0, -1]] = 1, 0
    facts = ProblemTarget(Logistic(X, labels, ridge=ridge)).describe()
    assert ("separable" in facts) is said
    assert Logistic(X[:, :1], labels, intercept=True).separable is (margin > 0)


@pytest.mark.parametrize(("scale", "said"), [(29.0, False), (31.0, True), (1000.0, True)])
def test_a_network_is_told_to_scale_its_features(scale, said):
    torch = pytest.importorskip("torch")
    from surefoot.training import Task, supervised

    rows = torch.linspace(-1, 1, 32)
    x = torch.stack([rows, rows.flip(0), scale * rows], dim=1)
    task = Task(torch.nn.Linear(3, 1), supervised(torch.nn.functional.mse_loss), (x, rows[:, None]))
    facts = task.describe()
    assert ("scale the features" in facts) is said
    if said:
        assert facts["scale the features"].startswith("feature 2 varies ")
        assert math.isclose(float(facts["scale the features"].split()[3]), scale, rel_tol=1e-2)


def test_an_own_function_is_advised_on_in_python():
    advice = sf.advise((lambda x: float(x @ x), [1.0, 2.0]))
    assert advice.recommended is not None
    assert advice.recommended.suggested < 1.0
