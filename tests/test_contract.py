"""The contract: names, signatures, rooms and verbs. To change one is a decision, and shows here in the diff."""

import importlib
import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

import surefoot as sf
from surefoot.cli._verbs import command

ROOMS = {
    "advice",
    "audits",
    "certificates.py",
    "checks.py",
    "cli",
    "dynamics",
    "errors.py",
    "integrations",
    "logs",
    "methods",
    "noise",
    "operators",
    "playground",
    "problems",
    "progress.py",
    "recipes",
    "records.py",
    "tables.py",
    "report",
    "rules",
    "solvers",
    "spectra",
    "stability",
    "targets",
    "testing",
    "training",
    "trials",
}

TOP = {
    "Bounds",
    "Spectrum",
    "SurefootError",
    "__version__",
    "advise",
    "audit",
    "certify",
    "descend",
    "diagnose",
    "errors",
    "gradient_flow",
    "integrate",
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
    "why",
}

PARAMETERS = {
    "spectrum": (
        "operator, *, rtol=0.01, failure=1e-06, which='both', kind=None, symmetric=None, max_products=None, "
        "max_memory=1073741824, rng=0"
    ),
    "jacobian": "fun, t, y, *, jac=None, sparsity=None, scheme='auto'",
    "diagnose": "fun, t, y, *, span, jac=None, sparsity=None, rtol=0.0001, atol=1e-07",
    "gradient_flow": "problem",
    "integrate": (
        "fun, span, y0, *, method=None, step=None, rule=None, rtol=1e-06, atol=1e-09, max_steps=100000, monitor=True"
    ),
    "methods.from_update": "update, memory=1, *, name=''",
    "methods.named": "name",
    "Limits": (
        "*, method, stable, curvature_limit, safe=None, optimal=None, rate=1.0, condition=None, scope, failure, reasons"
    ),
    "stability.ClippedLimits": (
        "*, method, stable, curvature_limit, safe=None, optimal=None, rate=1.0, condition=None, scope, failure, "
        "reasons, cap, sharpness"
    ),
    "limits": "problem, method=None, *, kind=None, clip=None, rtol=0.01, failure=1e-06, rng=0",
    "audit": "log, plan, *, column=None, tol=0.001",
    "why": "log, plan=None, *, loss=None, norm=None, rate=None, entropy=None",
    "advise": "target, *, rtol=0.01, failure=1e-06, trial_steps=100, rng=0, progress=None, announce=None",
    "operators.as_operator": "source, n=None, *, like=None, kind=None, tolerance=None",
    "operators.gram": "A, weights=None",
    "operators.convolution": "kernel, shape, boundary='periodic'",
    "operators.gradient": "shape, edge='neumann', *, axes=None, spacing=1.0",
    "spectra.norm_squared": "A, *, rtol=0.001, failure=1e-06, rng=0",
    "problems.Deblurring": "image, kernel, boundary='reflect', *, noise=None, ridge=0.0",
    "problems.discrepancy": "problem, *, tau=1.02, noise=None",
    "targets.resolve": "name, *, rng=0, **options",
    "targets.entry_of": "name",
    "trials.race": (
        "problem, rules=None, *, x0=None, steps=1000, tol=1e-08, goal=None, baselines=True, name='', "
        "workers=None, progress=None"
    ),
    "trials.run": (
        "problem, rule='auto', *, x0=None, steps=1000, step=None, tol=1e-08, name='', enough=None, progress=None"
    ),
    "solvers.as_map": "problem, rule=None, *, method=None",
    "trials.sweep": (
        "problem, rates=None, *, x0=None, steps=500, count=24, momentum=0.0, clip=None, name='', rng=0, "
        "workers=None, progress=None"
    ),
    "rules.named_rule": "name, known=None",
    "targets.as_target": "source, rng=0, *, name=''",
    "problems.Quadratic": "Q, b=None, *, ridge=0.0",
    "problems.LeastSquares": "A, b, *, ridge=0.0, intercept=False",
    "problems.Logistic": "X, y, *, ridge=0.0, intercept=False",
    "problems.Softmax": "X, y, *, ridge=0.0, intercept=False",
    "problems.Huber": "A, b, delta, *, ridge=0.0, intercept=False",
    "problems.AbsoluteLoss": "A, b, *, ridge=0.0, intercept=False",
    "problems.Hinge": "X, y, *, ridge=0.0, intercept=False",
    "problems.ResidualNorm": "A, b",
    "problems.PowerSum": "exponent, *, size=None, start=None",
    "problems.Function": (
        "value, gradient, hessian_product=None, *, size=None, start=None, radius=1.0, convex=False, name='function', "
        "rng=0"
    ),
    "problems.precondition": "problem, by='jacobi', *, at=None",
    "noise.gradient_noise": "problem, x=None, *, curvature=False",
    "noise.step_moments": "problem, x=None, *, rate, batch, replacement=True",
    "noise.mean_square_limits": "problem, batch, *, at=None, replacement=True, rtol=0.01, failure=1e-06, rng=0",
    "recipes.logged_norms": "log, column=None, *, until=inf",
    "recipes.scale_batch": (
        "lr, batch, to, optimizer='sgd', noise_scale=None, steps=None, warmup=None, momentum=None, *, "
        "betas=None, eps=None"
    ),
    "recipes.clip_advice": "norms, clip=None, *, percentile=95.0",
    "recipes.warmup_advice": "rate, *, limits=None, beta2=None, total=None, margin=1.0",
    "rules.PI": "*, first, order, safety=0.9, shrink=0.2, grow=5.0",
    "rules.WSD": "*, peak, steps, warmup=0.05, decay=0.3, final=0.0",
    "rules.AdGD": "*, version=2023, first=None",
    "rules.AlongStep": "*, sigma=1.0, every=5, smoothing=0.8, within=1.25, start=0.1",
    "rules.Armijo": "*, decrease=0.0001, shrink=0.5, grow=2.0, first=None",
    "rules.Auto": "*, first=None",
    "rules.Autopilot": "*, part=0.16, retreat=2.0, length=None",
    "rules.Backtracking": "*, shrink=0.5, grow=1.2, first=None",
    "rules.BarzilaiBorwein": "*, kind='alternating', first=None, decrease=0.0001, averaging=0.99",
    "rules.Brake": "*, rule, ratio=10.0, shrink=0.25, grow=1.05, forget=1.02",
    "rules.Chebyshev": "*, smallest, largest, steps",
    "rules.Clipped": "*, rule, cap",
    "rules.Confident": "*, first, confidence=0.95, memory=0.9, growth=1.5, longest=None, width=None",
    "rules.Constant": "*, step",
    "rules.Cooldown": "*, rule",
    "rules.Cosine": "*, step, steps, final=0.0",
    "rules.Decision": (
        "*, step, accept=True, restart=False, reason='', action='', kind='', keep=True, copies=(), look_back=True, "
        "limit=nan, noise=nan"
    ),
    "rules.Exponential": "*, step, factor",
    "rules.HighThenLow": "*, high, low, steps, explore=0.5",
    "rules.InverseSqrt": "*, step, offset=1.0",
    "rules.InverseTime": "*, step, halving=1.0",
    "rules.Linear": "*, step, steps, final=0.0",
    "rules.OneCycle": "*, peak, steps, rise=0.3, start=25.0, end=10000.0",
    "rules.Polyak": "*, optimum=None, lower_bound=None, relaxation=1.0, patience=10",
    "rules.Sharpness": "*, safety=0.5, every=10, within=1.5",
    "rules.Silver": "*, smoothness",
    "rules.StepDecay": "*, step, every, factor=0.1",
    "rules.StrongWolfe": "*, decrease=0.0001, curvature=0.1, grow=4.0, first=None",
    "rules.Subgradient": "*, length, decay='sqrt'",
    "rules.Warmup": "*, rule, steps",
    "rules.Watch": "*, far=10.0, shrink=0.25, grow=1.05, patience=20, leave_out=100, rescues=10",
    "methods.SSPRK": "stages=3, order=3",
    "methods.AdamsBashforth": "steps=2",
    "methods.EMAMomentum": "beta=0.9",
    "methods.HeavyBall": "momentum=0.9, dampening=0.0",
    "methods.Nesterov": "momentum=0.9",
    "methods.RadauIIA": "stages=3",
    "methods.RungeKutta": "tableau",
    "methods.RungeKuttaChebyshev": "stages=10, damping=None, order=2",
    "methods.RungeKuttaLegendre": "stages=9, order=2",
}

FIELDS = {
    "Bounds": "lower upper lower_is upper_is failure",
    "Spectrum": (
        "kind largest smallest size provenance scope products points note field_of_values eigenvector_condition region"
    ),
    "Limits": "method stable curvature_limit safe optimal rate condition scope failure reasons",
    "Advice": "target description recommendations abstained initial_loss constant_loss products runs seconds details",
    "Audit": (
        "log column plan verdict cause explanation fix others evidence rows first_departure largest_departure steps "
        "planned ran"
    ),
}

NAMES = {
    "methods": (
        "AdamsBashforth BackwardEuler BogackiShampine ButcherTableau DormandPrince EMAMomentum ForwardEuler "
        "GradientDescent HeavyBall Heun Kutta3 Leapfrog Method Midpoint Nesterov RK4 RadauIIA RungeKutta "
        "RungeKuttaChebyshev RungeKuttaLegendre SSPRK Trapezoidal from_update method_names named"
    ),
    "problems": (
        "AbsoluteLoss Function Hinge Huber LeastSquares Logistic PowerSum Problem "
        "Quadratic ResidualNorm Softmax precondition"
    ),
    "spectra": (
        "Bounds Spectrum advection density eigenpairs gershgorin heat jacobian norm_bound spectrum stencil trace wave"
    ),
    "operators": "Operator as_operator gram",
    "testing": "check_operator",
    "targets": "Map ODE Target as_target registry resolve",
}

TRAINING = {
    "hessian": "model, loss, data",
    "supervised": "criterion",
    "optimizer_limits": "H, optimizer",
    "gauss_newton": "model, loss, data",
    "predict_network": "model, loss, inputs",
    "suggest_groups": "model, loss, data, optimizer, *, groups=None, rng=0",
    "update_ratios": "optimizer, *, groups=None, every=1",
    "range_test": "model, loss, data, optimizer, *, total_steps=500, steps=None, rng=0",
    "fisher": "model, loss, data, *, draws=None, rng=0",
    "empirical_fisher": "model, loss, data",
    "blocks": "H, by='layers', *, optimizer=None",
    "optimizer_curvature": "H, optimizer",
    "effective_rate": "method, rate=None",
    "equivalent_rate": "method, other, rate=None",
    "minibatch_bias": "H, batch_size",
    "gradient_noise": "model, loss, data, *, curvature=None, groups=None, samples=None, whole=False, failure=0.05",
    "mean_square_limits": "model, loss, data, batch, *, samples=None, replacement=True",
    "stochastic_curvature": "model, loss, data, batch_size, *, optimizer=None, draws=8, rate=None, width=None",
    "SharpnessTracker": "model, loss, data, optimizer=None",
    "as_map": "model, loss, data, *, clip=None",
    "as_problem": "model, loss, data, *, name=''",
    "mnist1d_cnn_task": "rng=0",
    "char_transformer_task": "rng=0",
    "digits_rnn_task": "rng=0",
    "wide_mlp_task": "rng=0",
    "resnet_mlp_task": "rng=0, *, depth=16",
    "ResidualTask": "model, loss, data, *, blocks=None",
    "residual_stability": "model, data, *, loss=None, blocks=None, samples=1, rtol=0.05, failure=0.001, "
    "max_products=40, rng=0",
    "Pilot": "model, optimizer, rule='auto', total_steps=None, *, scheduler=None, scaler=None, clip=None",
    "RunLog": "run, *, jsonl=None, events=None, writer=None",
    "train": "task, rule='auto', *, optimizer=None, steps=1000, log=None, progress=None",
    "scale_residuals": "model, data, scale='1/sqrt(L)', *, loss=None, blocks=None",
    "Guard": (
        "model, optimizer, *, scheduler=None, scaler=None, clip=None, accumulate=1, also=(), "
        "random_states=False, keep='device', "
        "every=None, rule=None, measure=True, probe=None"
    ),
}

# The options of targets: of files and of quadratic and deblur; of the residual network.
SHAPES = ("condition", "spectrum", "size", "image", "sigma", "noise")
FILE = ("loss", "label", "ridge", "intercept")
FILES = ("report", "svg", "png")

VERBS = {
    "advise": ["target", "uncertain", "density", *SHAPES, "depth", *FILE, "as_json", *FILES, "rng", "quiet"],
    "run": [
        *("target", "rule", "steps", "step", "tol", "output", "optimizer", "log", *SHAPES, "depth", *FILE),
        *("as_json", *FILES, "rng", "quiet"),
    ],
    "race": ["target", "rules", "steps", "tol", "workers", *SHAPES, *FILE, "as_json", *FILES, "csv", "rng", "quiet"],
    "region": ["method", "as_json", *FILES, "csv", "quiet"],
    "scale": [
        *("lr", "batch", "to", "optimizer", "noise_scale", "steps", "warmup", "momentum", "betas", "eps"),
        *("as_json", "report", "quiet"),
    ],
    "audit": ["log", "plan", "column", "tol", "as_json", *FILES, "quiet"],
    "why": ["log", "plan", "loss", "norm", "rate", "entropy", "as_json", *FILES, "quiet"],
    "orbit": ["target", "low", "high", "count", "as_json", *FILES, "csv", "rng", "quiet"],
    "sweep": [
        *("target", "low", "high", "count", "steps", "samples", "momentum", "clip", "workers", *SHAPES, "depth", *FILE),
        *("as_json", *FILES, "csv", "rng", "quiet"),
    ],
    "list": ["as_json", "csv", "quiet"],
    "doctor": ["as_json", "csv", "quiet"],
    "range": ["target", "optimizer", "total_steps", "steps", "depth", "as_json", *FILES, "rng", "quiet"],
    "noise": ["target", "depth", "as_json", "report", "rng", "quiet"],
    "groups": ["target", "optimizer", "lr", "depth", "as_json", "report", "rng", "quiet"],
    "clip": ["log", "cap", "percentile", "column", "as_json", "report", "quiet"],
    "warmup": ["lr", "limits", "beta2", "total", "as_json", "report", "quiet"],
    "play": ["save", "as_json", "quiet"],
}


# Written to while they are in use: engines, traces, copies of a run.
MUTABLE = {"Sensed", "Copy", "Output", "Start", "Step", "Trace", "_Engine", "_Record", "_Session"}
# A cached property needs a __dict__; an engine is never kept.
WITH_ROOM = {"Sensed", "Formula", "StabilityPolynomial", "_Engine"}


def named(path):
    room, *rest = path.split(".")
    # a room that `import surefoot` does not load is loaded here
    found = getattr(sf, room) if hasattr(sf, room) else importlib.import_module(f"surefoot.{room}")
    for part in rest:
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


def test_the_tree_in_the_architecture_is_the_house():
    text = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    tree = text[text.index("    src/surefoot/") : text.index("Imports point one way")]
    rooms = re.findall(r"^        ([a-z_]+)(?:/|\.py) ", tree, flags=re.MULTILINE)
    assert set(rooms) == {name.removesuffix(".py") for name in ROOMS}
    package = Path(sf.__file__).parent
    for room, folders in (("spectra", r"^            ([a-z_]+)/ "), ("rules", r"^            ([a-z_]+)/ ")):
        inside = {p.name for p in (package / room).iterdir() if p.is_dir() and not p.name.startswith("__")}
        assert inside <= set(re.findall(folders, tree, flags=re.MULTILINE))
    training = {p.name for p in (package / "training").iterdir() if p.is_dir() and not p.name.startswith("__")}
    assert training <= set(re.findall(r"([a-z_]+)/", tree))


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
    pytest.importorskip("torch")
    from surefoot import training

    assert parameters(getattr(training, name)).startswith(TRAINING[name])


def test_dataclasses_are_frozen_and_have_no_room_for_more():
    files = Path(sf.__file__).parent.rglob("*.py")
    source = "\n".join(path.read_text(encoding="utf-8") for path in files)
    found = re.findall(r"@dataclass\(?(.*?)\)?\nclass (\w+)", source)
    assert len(found) > 250
    assert {name for options, name in found if "frozen=True" not in options} == MUTABLE
    assert {name for options, name in found if "slots=True" not in options} == WITH_ROOM


def test_verbs_and_their_options():
    verbs = command().commands
    assert {name: [p.name for p in verb.params] for name, verb in verbs.items()} == VERBS


def test_gradient_descent_is_forward_euler():
    assert sf.methods.GradientDescent is sf.methods.ForwardEuler


def test_errors_are_one_family_and_what_a_caller_expects():
    errors = [getattr(sf.errors, name) for name in sf.errors.__all__]
    # Ctrl-C is no error: `except SurefootError` must not catch it
    assert {error for error in errors if not issubclass(error, sf.errors.SurefootError)} == {sf.errors.Interrupted}
    assert issubclass(sf.errors.Interrupted, KeyboardInterrupt)
    builtin = {"InvalidInput": ValueError, "InvalidType": TypeError, "MissingExtra": ImportError}
    assert all(issubclass(getattr(sf.errors, name), kind) for name, kind in builtin.items())


def test_every_public_name_is_in_the_docs():
    root = Path(__file__).parents[1]
    text = "\n".join(path.read_text(encoding="utf-8") for path in [*root.glob("docs/*.md"), root / "README.md"])
    words = set(re.findall(r"\w+", text))
    assert {name for names in public().values() for name in names} <= words


def test_there_are_about_two_hundred_public_names():
    names = public()
    assert len(names["training"]) <= 36
    assert sum(map(len, names.values())) <= 251


def public():
    """What each room lists for a user; the command is none."""
    pytest.importorskip("torch")
    rooms = [room.removesuffix(".py") for room in ROOMS - {"cli"}]
    return {room: getattr(importlib.import_module(f"surefoot.{room}"), "__all__", []) for room in rooms}
