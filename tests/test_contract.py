"""The contract: names, signatures, rooms and verbs. To change one is a decision, and shows here in the diff."""

import inspect
from dataclasses import fields
from pathlib import Path

import pytest

import surefoot as sf
from surefoot.cli._verbs import command

ROOMS = {
    "_advise",
    "_certify.py",
    "_limits",
    "cli",
    "drivers",
    "dynamics",
    "errors.py",
    "methods",
    "operators",
    "problems",
    "report",
    "rules",
    "spectra",
    "targets",
    "testing",
    "training",
}

TOP = {
    "Advice",
    "Bounds",
    "Certificate",
    "Descent",
    "Limits",
    "Spectrum",
    "SurefootError",
    "__version__",
    "advise",
    "certify",
    "descend",
    "errors",
    "jacobian",
    "limits",
    "methods",
    "operators",
    "problems",
    "rules",
    "spectra",
    "spectrum",
    "targets",
    "testing",
}

PARAMETERS = {
    "spectrum": (
        "operator, *, rtol=0.01, failure=1e-06, which='both', kind=None, symmetric=None, max_products=None, rng=0"
    ),
    "limits": "terrain, method=None, *, rtol=0.01, failure=1e-06, rng=0",
    "advise": "target, *, rtol=0.01, failure=1e-06, trial_steps=100, rng=0, progress=None",
    "operators.as_operator": "source",
    "operators.gram": "A, weights=None",
    "targets.resolve": "name, *, loss=None, label=None, rng=0",
    "targets.as_target": "source, rng=0, *, name=''",
    "problems.Quadratic": "Q, b=None, *, ridge=0.0",
    "problems.LeastSquares": "A, b, *, ridge=0.0, intercept=False",
    "problems.Logistic": "X, y, *, ridge=0.0, intercept=False",
    "problems.Softmax": "X, y, *, ridge=0.0, intercept=False",
}

FIELDS = {
    "Bounds": "lower upper lower_is upper_is failure",
    "Spectrum": "kind largest smallest size provenance scope products points note field_of_values eigenvector_condition",
    "Limits": "method stable curvature_limit safe optimal rate condition scope failure reasons",
    "Advice": "target description recommendations abstained initial_loss constant_loss products runs seconds",
}

NAMES = {
    "methods": "EMAMomentum ForwardEuler GradientDescent HeavyBall Method Nesterov",
    "problems": "LeastSquares Logistic Problem Quadratic Softmax",
    "spectra": "Bounds Spectrum gershgorin norm_bound spectrum",
    "operators": "Operator as_operator gram",
    "testing": "check_operator",
    "targets": "BuiltIn Target as_target built_ins resolve",
}

TRAINING = {
    "hessian": "model, loss, data",
    "supervised": "criterion",
    "optimizer_limits": "H, optimizer",
}

VERBS = {
    "advise": ["target", "loss", "label", "as_json", "report", "rng", "quiet"],
    "list": [],
}


def named(path):
    found = sf
    for part in path.split("."):
        found = getattr(found, part)
    return found


def parameters(function):
    """The parameter list without annotations."""
    signature = inspect.signature(function)
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return str(inspect.Signature(bare))[1:-1]


def test_rooms():
    package = Path(sf.__file__).parent
    found = {p.name for p in package.iterdir() if not p.name.startswith("__")} - {"py.typed"}
    assert found == ROOMS


def test_names_at_the_top():
    assert set(sf.__all__) == TOP
    assert list(sf.__all__) == sorted(sf.__all__)
    assert all(hasattr(sf, name) for name in sf.__all__)


@pytest.mark.parametrize("path", PARAMETERS)
def test_signatures(path):
    assert parameters(named(path)) == PARAMETERS[path]


@pytest.mark.parametrize("name", FIELDS)
def test_fields(name):
    assert [field.name for field in fields(getattr(sf, name))] == FIELDS[name].split()


@pytest.mark.parametrize("room", NAMES)
def test_names_of_a_room(room):
    public = getattr(sf, room).__all__
    assert set(NAMES[room].split()) <= set(public)
    assert all(hasattr(getattr(sf, room), name) for name in public)


@pytest.mark.parametrize("name", TRAINING)
def test_names_of_training(name):
    training = pytest.importorskip("surefoot.training")
    assert parameters(getattr(training, name)).startswith(TRAINING[name])


def test_verbs_and_their_options():
    verbs = command().commands
    assert {name: [p.name for p in verb.params] for name, verb in verbs.items()} == VERBS


def test_gradient_descent_is_forward_euler():
    assert sf.methods.GradientDescent is sf.methods.ForwardEuler


def test_errors_are_one_family_and_what_a_caller_expects():
    errors = [getattr(sf.errors, name) for name in sf.errors.__all__]
    assert all(issubclass(error, sf.errors.SurefootError) for error in errors)
    builtin = {"InvalidInput": ValueError, "InvalidType": TypeError, "MissingExtra": ImportError}
    assert all(issubclass(getattr(sf.errors, name), kind) for name, kind in builtin.items())
