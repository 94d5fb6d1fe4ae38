"""A name becomes a target in one place, and a wrong one is answered with the nearest."""

import sys

import numpy as np
import pytest

import surefoot as sf
from surefoot.errors import InvalidInput, InvalidType, MissingExtra, NotSymmetric, UnknownTarget
from surefoot.problems import LeastSquares, Quadratic
from surefoot.targets import ODE, Map, ProblemTarget, Target, as_target, kind_of, registry, resolve


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module into the current folder under a name that no other test has used."""
    monkeypatch.chdir(tmp_path)

    def write(text):
        module.count += 1
        name = f"users_module_{module.count}"
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    module.count = 0
    yield write
    for name in [n for n in sys.modules if n.startswith("users_module_")]:
        del sys.modules[name]


def test_built_ins_have_a_line_each():
    names = [entry.name for entry in registry()]
    assert len(set(names)) == len(names)
    assert {"digits", "quadratic", "resnet-mlp", "ode:lorenz", "torch-rnn", "FILE"} <= set(names)
    assert all(entry.summary and "\n" not in entry.summary for entry in registry())


@pytest.mark.parametrize(
    "entry", [e for e in registry() if e.kind not in (None, "network") and e.name != "FILE"], ids=lambda e: e.name
)
def test_a_row_makes_what_it_says(entry):
    if entry.name in ("torch-rnn", "edge"):
        pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    pytest.importorskip("skimage")
    made = resolve(entry.name)
    assert made
    assert {kind_of(target) for target in made} == {entry.kind}


def test_breast_cancer_is_two_targets_that_scaling_tells_apart():
    raw, standardised = resolve("breast-cancer")
    assert raw.name.startswith("breast-cancer, raw: ")
    assert standardised.name.startswith("breast-cancer, standardised: ")
    assert raw.global_curvature().largest.upper > 1e4 * standardised.global_curvature().largest.upper


def test_digits_softmax_is_one_target():
    (target,) = resolve("digits-softmax")
    assert isinstance(target, Target)
    assert target.problem.size == 640


def test_digits_needs_torch(monkeypatch):
    for name in [n for n in sys.modules if n == "torch" or n.startswith("surefoot.training")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"'\.\[training"):
        resolve("digits")


def test_a_file_is_read_by_its_suffix(tmp_path):
    np.save(tmp_path / "Q.npy", np.diag([1.0, 3.0]))
    (target,) = resolve(str(tmp_path / "Q.npy"))
    assert target.global_curvature().largest.upper == pytest.approx(3.0)


def test_a_file_takes_a_loss_and_a_label(tmp_path):
    rows = np.random.default_rng(0).standard_normal((20, 3))
    np.save(tmp_path / "rows.npy", rows)
    (target,) = resolve(str(tmp_path / "rows.npy"), loss="least-squares", label="0")
    expected = LeastSquares(rows[:, 1:], rows[:, 0])
    assert target.problem.value([1.0, 2.0]) == pytest.approx(expected.value([1.0, 2.0]))


@pytest.mark.parametrize("name", ["nope.npy", "folder/nope", "nope.csv"])
def test_a_file_that_is_not_there(name):
    with pytest.raises(UnknownTarget, match="no such file"):
        resolve(name)


@pytest.mark.parametrize(
    ("name", "near"), [("digit", "digits"), ("Breast-Cancer", "breast-cancer"), ("digits-sofmax", "digits-softmax")]
)
def test_the_nearest_name_is_suggested(name, near):
    with pytest.raises(UnknownTarget, match=f"did you mean {near}"):
        resolve(name)


def test_a_name_like_no_other_gets_the_choices():
    with pytest.raises(UnknownTarget, match=r"surefoot list.*\.npy.*module:factory"):
        resolve("weather")


def test_an_equation_of_no_name_is_no_module():
    with pytest.raises(UnknownTarget, match="did you mean ode:lorenz"):
        resolve("ode:lorentz")


def test_a_factory_may_return_an_equation_or_a_map(module):
    name = module(
        "from surefoot.targets import ODE, Map\ndef equation():\n"
        "    return ODE('decay', lambda t, y: -y, [1.0], (0.0, 1.0))\n"
        "def logistic():\n"
        "    return Map(name='logistic', update=lambda x, r: r * x * (1 - x), start=0.4, interval=(2.5, 4.0))\n"
    )
    assert isinstance(resolve(f"{name}:equation")[0], ODE)
    assert isinstance(resolve(f"{name}:logistic")[0], Map)


@pytest.mark.parametrize(("start", "span"), [(1.0, (0.0, 1.0)), ([], (0.0, 1.0)), ([1.0], (1.0, 1.0))])
def test_an_equation_needs_a_start_and_a_span(start, span):
    with pytest.raises(InvalidInput):
        ODE("x", lambda t, y: -y, start, span)


def test_an_option_that_no_target_has():
    with pytest.raises(InvalidInput, match="no target has an option --colour"):
        resolve("quadratic", colour="red")


@pytest.mark.parametrize("option", ["loss", "label"])
def test_what_reads_a_file_is_refused_elsewhere(option):
    with pytest.raises(InvalidInput, match=f"--{option} is an option of a file"):
        resolve("digits-softmax", **{option: "logistic"})


def test_a_factory_may_return_a_problem(module):
    name = module("import surefoot as sf\ndef make():\n    return sf.problems.Quadratic([[1, 0], [0, 5]])\n")
    (target,) = resolve(f"{name}:make")
    assert target.global_curvature().largest.upper == pytest.approx(5)


def test_a_factory_may_return_a_matrix_or_be_one(module):
    name = module("def make():\n    return [[2.0, 0.0], [0.0, 1.0]]\nmatrix = make()\n")
    assert resolve(f"{name}:make")[0].problem.size == 2
    assert resolve(f"{name}:matrix")[0].problem.size == 2


def test_a_factory_may_return_a_target(module):
    name = module(
        "from surefoot.problems import Quadratic\nfrom surefoot.targets import ProblemTarget\n"
        "target = ProblemTarget(Quadratic([[7.0]]))\ndef make():\n    return target\n"
    )
    (target,) = resolve(f"{name}:make")
    assert target is sys.modules[name].target


def test_a_factory_may_return_model_loss_and_data(module):
    pytest.importorskip("torch")
    name = module(
        "import torch\nfrom surefoot.training import supervised\ndef make():\n"
        "    x = torch.ones(8, 1)\n"
        "    return torch.nn.Linear(1, 1), supervised(torch.nn.functional.mse_loss), (x, x)\n"
    )
    (target,) = resolve(f"{name}:make")
    assert isinstance(target, Target)
    assert target.name == f"{name}:make"
    assert "SGD" in [candidate.label for candidate in target.candidates()]


def test_the_search_path_is_left_as_it_was(module):
    name = module("def make():\n    return [[1.0]]\n")
    before = list(sys.path)
    resolve(f"{name}:make")
    assert sys.path == before


@pytest.mark.parametrize(
    ("text", "factory", "error", "message"),
    [
        ("def make():\n    return 'x'\n", "make", InvalidType, r"make\(\) returned a str"),
        ("def make():\n    return [[1, 2]]\n", "make", InvalidInput, r"must be square; got shape \(1, 2\)"),
        ("def make():\n    return [[0, 2], [1, 0]]\n", "make", NotSymmetric, "symmetric"),
        ("def make(n):\n    return [[n]]\n", "make", InvalidInput, "without arguments .*'n'"),
        ("def make():\n    return {}['key']\n", "make", InvalidInput, r"make\(\) raised KeyError: 'key'"),
        ("def make():\n    raise SystemExit(3)\n", "make", InvalidInput, r"make\(\) raised SystemExit: 3"),
        ("def make():\n    return [[1.0]]\n", "mkae", UnknownTarget, "has no mkae; did you mean make"),
        ("import not_there_at_all\n", "make", InvalidInput, "raised ModuleNotFoundError.*not_there_at_all"),
        ("1 / 0\n", "make", InvalidInput, "importing .* raised ZeroDivisionError: division by zero"),
        ("def (\n", "make", InvalidInput, "importing .* raised SyntaxError"),
        ("raise SystemExit\n", "make", InvalidInput, "importing .* raised SystemExit"),
    ],
)
def test_a_factory_that_does_not_work_is_said_in_a_line(module, text, factory, error, message):
    name = module(text)
    with pytest.raises(error, match=message) as caught:
        resolve(f"{name}:{factory}")
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["no_such_module:make", "no.such.module:make", "json.nothing:make"])
def test_a_module_that_is_not_there(name):
    with pytest.raises(UnknownTarget, match="there is no module"):
        resolve(name)


@pytest.mark.parametrize("name", [":make", "json:", "a b:c", "json:a.b", "1:2"])
def test_what_is_not_module_and_factory(name):
    with pytest.raises(UnknownTarget, match="not of the form module:factory"):
        resolve(name)


def test_a_target_stays_itself():
    target = ProblemTarget(Quadratic([[1.0]]))
    assert as_target(target) is target


@pytest.mark.parametrize("source", [Quadratic([[2.0]]), [[2.0]], np.array([[2.0]]), sf.operators.as_operator([[2.0]])])
def test_what_stands_for_a_quadratic(source):
    assert as_target(source).global_curvature().largest.upper == pytest.approx(2.0)


def test_a_seed_moves_the_start_of_a_quadratic():
    losses = [as_target(np.diag([1.0, 2.0]), rng=rng).initial_loss() for rng in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (3, "cannot advise on a int; give a surefoot.problems problem"),
        (None, "cannot advise on a NoneType"),
        ("ode:lorenz", r"is a differential equation, .*; use surefoot.targets.resolve\('ode:lorenz'\)"),
        ({"A": 1}, "cannot advise on a dict"),
    ],
)
def test_what_cannot_be_advised_on(source, message):
    with pytest.raises(InvalidType, match=message):
        as_target(source)


def test_a_model_alone_has_no_loss():
    torch = pytest.importorskip("torch")
    with pytest.raises(InvalidType, match="Linear alone has no loss; give the tuple"):
        as_target(torch.nn.Linear(1, 1))


def test_a_name_stands_for_its_target_if_it_is_one():
    pytest.importorskip("sklearn")
    assert as_target("quadratic").problem.size == 1000
    with pytest.raises(InvalidInput, match="stands for 2 targets"):
        as_target("breast-cancer")
