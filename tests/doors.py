"""Every public door with a call that works, so that a walk can put anything in the place of each argument."""

import enum
import importlib
import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import scipy.sparse

import surefoot as sf
from surefoot import methods, rules

ROOMS = (
    *("advice", "audits", "certificates", "dynamics", "integrations.sklearn", "logs", "methods", "noise", "operators"),
    *("playground", "problems", "problems.imaging", "problems.preconditioning", "recipes", "records", "report"),
    *("rules", "solvers", "spectra", "stability", "targets", "testing", "training", "trials"),
)

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((6, 2)), np.array([1, -1, 1, -1, 1, -1])
B = RNG.standard_normal(6)
SPD = np.array([[2.0, 1.0], [1.0, 3.0]])
LOG = [{"step": i, "loss": 1 / (1 + i), "lr": 0.1, "grad_norm": 1.0} for i in range(8)]


def public() -> dict[str, Any]:
    """Each public callable once, by its name, with what cannot be called left out."""
    seen: dict[Any, str] = {}
    for room in ROOMS:
        module = importlib.import_module(f"surefoot.{room}")
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if callable(value) and not inspect.ismodule(value) and not _is_no_door(value):
                seen.setdefault(value, f"{room}.{name}")
    return {name: value for value, name in seen.items()}


def _is_no_door(value: Any) -> bool:
    if not inspect.isclass(value):
        return value.__class__.__module__ in ("typing", "collections.abc", "types") and not inspect.isfunction(value)
    protocol = getattr(value, "_is_protocol", False)
    return issubclass(value, BaseException | enum.Enum) or inspect.isabstract(value) or protocol


def logistic_map(x: Any, rate: Any) -> Any:
    """x+ = r x (1 - x)."""
    return rate * x * (1 - x)


def on_map(**more: Any) -> dict[str, Any]:
    """Arguments with that map."""
    return {"update": logistic_map, **more}


def quadratic() -> Any:
    """A problem of two unknowns."""
    return sf.problems.Quadratic(SPD, [1.0, 1.0])


def fitted() -> Any:
    """A problem with terms."""
    return sf.problems.LeastSquares(X, B, ridge=0.1)


def network() -> Any:
    """A small model."""
    import torch

    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))


def training(**more: Any) -> dict[str, Any]:
    """Model, loss and data."""
    import torch

    from surefoot.training import supervised

    data = (torch.tensor(X, dtype=torch.float32), torch.tensor((Y > 0).astype(int)))
    return {"model": network(), "loss": supervised(torch.nn.CrossEntropyLoss()), "data": data, **more}


def with_optimizer(**more: Any) -> dict[str, Any]:
    """The same with an optimizer of the model."""
    import torch

    made = training()
    return {**made, "optimizer": torch.optim.SGD(made["model"].parameters(), lr=0.1), **more}


def optimizer() -> Any:
    """An optimizer by itself."""
    return with_optimizer()["optimizer"]


def curvature() -> Any:
    """A model's Hessian."""
    from surefoot.training import hessian

    return hessian(**training(), check=False)


def curvature_and_optimizer() -> dict[str, Any]:
    """A model's Hessian and an optimizer of the same model."""
    from surefoot.training import hessian

    made = with_optimizer()
    return {"optimizer": made.pop("optimizer"), "H": hessian(**made, check=False)}


def criterion() -> Any:
    """A loss whose kind is known."""
    from surefoot.training import supervised

    return supervised(half_squares())


def pilot() -> Any:
    """A pilot at the start of its run."""
    from surefoot.training import Pilot

    made = with_optimizer()
    return Pilot(made["model"], made["optimizer"], total_steps=20)


def residual(**more: Any) -> dict[str, Any]:
    """A network of residual blocks and its data."""
    import torch

    class Block(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.nn.Linear(2, 2)

        def forward(self, x: Any) -> Any:
            return x + torch.tanh(self.inner(x))

    torch.manual_seed(0)
    return {"model": torch.nn.Sequential(Block(), Block()), "data": torch.randn(3, 2), **more}


def residual_training() -> dict[str, Any]:
    """The same with a loss."""
    import torch

    from surefoot.training import supervised

    made = residual()
    return {**made, "loss": supervised(torch.nn.MSELoss()), "data": (made["data"], torch.zeros(3, 2))}


def one_log() -> list[dict[str, float]]:
    """Eight rows of a run."""
    return [dict(row) for row in LOG]


def result() -> Any:
    """A run, which has a report."""
    from surefoot.trials import run

    return run(quadratic(), steps=3)


def event_file() -> str:
    """A log of events with one number in it."""
    from pathlib import Path

    from surefoot.logs import EventWriter

    if not Path("kept").exists():
        writer = EventWriter("kept")
        writer.write(0, {"loss": 1.0})
        writer.close()
    return str(next(Path("kept").iterdir()))


def known() -> Any:
    """A spectrum."""
    return sf.spectrum(SPD)


Call = Callable[[], dict[str, Any]]

# What is made by other doors and listed for its type: nobody calls it with arguments of their own.
RESULTS = {
    "integrations.sklearn.Suggestion",
    "noise.measure_noise",
    "problems.preconditioning.Comparison",
    "problems.preconditioning.Preconditioned",
    "training.CurvatureOperator",
}

CALLS: dict[str, Call] = {
    "advice.advise": lambda: {"target": quadratic(), "trial_steps": 2},
    "audits.audit": lambda: {"log": one_log(), "plan": "constant:0.1"},
    "audits.why": lambda: {"log": one_log()},
    "certificates.certify": lambda: {"steps": [1.0], "L": 1.0},
    "dynamics.ClippedQuadratic": lambda: {"a": 1.0, "cap": 1.0},
    "dynamics.Cubic": dict,
    "dynamics.TanhRNN": dict,
    "dynamics.TwoMinima": dict,
    "dynamics.accumulation": lambda: {"parameters": [3.0, 3.44949, 3.54409]},
    "dynamics.bifurcations": lambda: on_map(interval=(2.5, 3.5), x0=0.3, count=1, settle=128),
    "dynamics.cycle": lambda: {"update": logistic_map, "parameter": 3.2, "points": [0.51, 0.8]},
    "dynamics.diagram": lambda: on_map(parameters=[2.5, 3.2], x0=0.3, steps=300, keep=128),
    "dynamics.escape_step": lambda: {"curvature": 1.0, "half_width": 1.0, "offset": 0.1, "step": 3.0},
    "dynamics.escape_steps": lambda: {"landscape": sf.dynamics.TwoMinima(), "minimum": 0.0, "barrier": 0.9},
    "dynamics.feigenbaum_ratios": lambda: {"parameters": [3.0, 3.44949, 3.54409]},
    "dynamics.flip": lambda: {"second": 1.0, "third": 0.1, "fourth": 0.1},
    "dynamics.lyapunov": lambda: {"update": logistic_map, "parameters": [2.5], "x0": 0.3, "steps": 20},
    "dynamics.orbit": lambda: {"update": logistic_map, "parameters": [2.5], "x0": 0.3, "steps": 5},
    "dynamics.period": lambda: {"points": np.tile([[0.5], [0.8]], (64, 1))},
    "dynamics.superstable": lambda: {"update": logistic_map, "critical": 0.5, "interval": (1.5, 3.3), "count": 2},
    "dynamics.wander": lambda: {"landscape": sf.dynamics.TwoMinima(), "schedules": [[0.1, 0.1]], "starts": [0.5]},
    "integrations.sklearn.suggest": lambda: {"estimator": sgd_classifier(), "X": X, "y": (Y > 0).astype(int)},
    "logs.EventWriter": lambda: {"folder": "events"},
    "logs.JsonLines": lambda: {"path": "lines.jsonl"},
    "logs.read_curves": lambda: {"log": one_log()},
    "logs.read_events": lambda: {"path": event_file()},
    "logs.read_log": lambda: {"log": one_log()},
    "methods.ButcherTableau": lambda: {"name": "Euler", "A": [[0.0]], "b": [1.0], "order": 1},
    "methods.RungeKutta": lambda: {"tableau": methods.RK4().tableau},
    "methods.from_update": lambda: {"update": lambda state, flow: (state[0] + flow(state[0]),)},
    "methods.named": lambda: {"name": "rk4"},
    "noise.gradient_noise": lambda: {"problem": fitted()},
    "noise.mean_square_limits": lambda: {"problem": fitted(), "batch": 2},
    "noise.step_moments": lambda: {"problem": fitted(), "rate": 0.1, "batch": 2},
    "operators.as_operator": lambda: {"source": SPD},
    "operators.block_diagonal": lambda: {"blocks": [SPD, SPD]},
    "operators.convolution": lambda: {"kernel": [0.25, 0.5, 0.25], "shape": (8,)},
    "operators.divergence": lambda: {"shape": (3, 3)},
    "operators.gradient": lambda: {"shape": (3, 3)},
    "operators.gram": lambda: {"A": X},
    "operators.kronecker": lambda: {"left": SPD, "right": SPD},
    "operators.scaled": lambda: {"operator": sf.operators.as_operator(SPD), "scale": 2.0},
    "operators.shifted": lambda: {"operator": sf.operators.as_operator(SPD), "shift": 2.0},
    "operators.stacked": lambda: {"blocks": [X, X]},
    "playground.play": lambda: {"path": "page.html", "show": False},
    "problems.AbsoluteLoss": lambda: {"A": X, "b": B},
    "problems.Deblurring": lambda: {"image": np.arange(64.0).reshape(8, 8), "kernel": np.full((3, 3), 1 / 9)},
    "problems.Function": lambda: {"value": lambda x: float(x @ x) / 2, "gradient": lambda x: x, "size": 2},
    "problems.Hinge": lambda: {"X": X, "y": Y},
    "problems.Huber": lambda: {"A": X, "b": B, "delta": 1.0},
    "problems.LeastSquares": lambda: {"A": X, "b": B},
    "problems.Logistic": lambda: {"X": X, "y": Y},
    "problems.PowerSum": lambda: {"exponent": 4.0},
    "problems.Quadratic": lambda: {"Q": SPD},
    "problems.ResidualNorm": lambda: {"A": X, "b": B},
    "problems.Softmax": lambda: {"X": X, "y": [0, 1, 2, 0, 1, 2]},
    "problems.discrepancy": lambda: {"problem": deblurring()},
    "problems.noise_level": lambda: {"image": np.arange(64.0).reshape(8, 8)},
    "problems.precondition": lambda: {"problem": fitted()},
    "problems.imaging.Discrepancy": lambda: {"target": 1.0, "residual_norm": lambda x: 2.0},
    "recipes.clip_advice": lambda: {"norms": [1.0, 2.0, 1.5] * 10},
    "recipes.logged_norms": lambda: {"log": one_log()},
    "recipes.scale_batch": lambda: {"lr": 0.1, "batch": 32, "to": 64},
    "recipes.warmup_advice": lambda: {"rate": 0.1, "total": 1000},
    "records.with_floats": lambda: {"record": {"a": "inf"}},
    "report.write_report": lambda: {"record": result().to_dict(), "path": "report.html"},
    "rules.AdGD": dict,
    "rules.AlongStep": dict,
    "rules.Armijo": dict,
    "rules.Auto": dict,
    "rules.Autopilot": dict,
    "rules.Backtracking": dict,
    "rules.BarzilaiBorwein": dict,
    "rules.Brake": lambda: {"rule": rules.Auto()},
    "rules.Chebyshev": lambda: {"smallest": 1.0, "largest": 10.0, "steps": 4},
    "rules.Clipped": lambda: {"rule": rules.Auto(), "cap": 1.0},
    "rules.Confident": lambda: {"first": 0.1},
    "rules.Constant": lambda: {"step": 0.1},
    "rules.Cooldown": lambda: {"rule": rules.Constant(step=0.1)},
    "rules.Cosine": lambda: {"step": 0.1, "steps": 10},
    "rules.Decision": lambda: {"step": 0.1},
    "rules.Exponential": lambda: {"step": 0.1, "factor": 0.9},
    "rules.HighThenLow": lambda: {"high": 1.0, "low": 0.1, "steps": 10},
    "rules.InverseSqrt": lambda: {"step": 0.1},
    "rules.InverseTime": lambda: {"step": 0.1},
    "rules.Known": dict,
    "rules.Linear": lambda: {"step": 0.1, "steps": 10},
    "rules.OneCycle": lambda: {"peak": 0.1, "steps": 10},
    "rules.PI": lambda: {"first": 0.1, "order": 4},
    "rules.Polyak": lambda: {"optimum": 0.0},
    "rules.Sharpness": dict,
    "rules.Silver": lambda: {"smoothness": 1.0},
    "rules.StepDecay": lambda: {"step": 0.1, "every": 5},
    "rules.StrongWolfe": dict,
    "rules.Subgradient": lambda: {"length": 1.0},
    "rules.WSD": lambda: {"peak": 0.1, "steps": 10},
    "rules.Warmup": lambda: {"rule": rules.Auto(), "steps": 5},
    "rules.Watch": dict,
    "rules.named_rule": lambda: {"name": "auto"},
    "solvers.SquaredDistance": lambda: {"point": [1.0, 2.0]},
    "solvers.as_map": lambda: {"problem": quadratic()},
    "solvers.descend": lambda: {"problem": quadratic(), "rule": rules.Auto(), "steps": 5},
    "solvers.descend_by_parts": lambda: {"problem": fitted(), "rule": rules.Constant(step=0.01), "passes": 2},
    "solvers.diagnose": lambda: {"fun": lambda t, y: -y, "t": 0.0, "y": [1.0], "span": 1.0},
    "solvers.gradient_flow": lambda: {"problem": quadratic()},
    "solvers.integrate": lambda: {"fun": lambda t, y: -y, "span": (0.0, 1.0), "y0": [1.0], "max_steps": 200},
    "solvers.local_error": lambda: {
        "fun": lambda t, y: -y,
        "t": 0.0,
        "y": [1.0],
        "method": methods.RK4(),
        "steps": [0.1, 0.05],
    },
    "solvers.predicted_rate": lambda: {"spectrum": known(), "step": 0.1, "method": methods.GradientDescent()},
    "solvers.primal_dual": lambda: {
        "problem": quadratic(),
        "K": np.eye(2),
        "h": sf.solvers.L1(),
        "steps": 5,
    },
    "spectra.Affine": lambda: {"base": SPD, "directions": [np.eye(2)], "box": [(-0.1, 0.1)]},
    "spectra.Ball": lambda: {"center": SPD, "radius": 0.1},
    "spectra.Bounds": lambda: {"lower": 1.0, "upper": 2.0},
    "spectra.FeatureRanges": lambda: {"design": X, "low": 0.9, "high": 1.1},
    "spectra.Hull": lambda: {"matrices": [SPD, 2 * SPD]},
    "spectra.Interval": lambda: {"lower": SPD - 0.1, "upper": SPD + 0.1},
    "spectra.MarchenkoPastur": lambda: {"ratio": 0.5},
    "spectra.Rectangular": lambda: {"lower": X - 0.1, "upper": X + 0.1},
    "spectra.RowPerturbation": lambda: {"design": X, "radius": 0.1},
    "spectra.Spectrum": lambda: {
        "kind": "curvature",
        "largest": sf.Bounds.exactly(2.0),
        "smallest": sf.Bounds.exactly(1.0),
        "size": 2,
        "provenance": "exact",
    },
    "spectra.Wigner": dict,
    "spectra.advection": lambda: {"spacing": 0.1, "speed": 1.0},
    "spectra.density": lambda: {"operator": SPD, "points": 20},
    "spectra.eigenpairs": lambda: {"operator": SPD, "k": 1},
    "spectra.gershgorin": lambda: {"matrix": SPD},
    "spectra.heat": lambda: {"spacing": 0.1},
    "spectra.jacobian": lambda: {"fun": lambda t, y: -y, "t": 0.0, "y": [1.0, 2.0]},
    "spectra.norm_bound": lambda: {"matrix": SPD},
    "spectra.norm_squared": lambda: {"A": X},
    "spectra.predict_wide": lambda: {"widths": [8, 8], "inputs": X},
    "spectra.spectrum": lambda: {"operator": SPD},
    "spectra.stencil": lambda: {"coefficients": {0: 2.0, 1: -1.0, -1: -1.0}},
    "spectra.trace": lambda: {"operator": SPD, "products": 6},
    "spectra.wave": lambda: {"spacing": 0.1},
    "spectra.worst_case": lambda: {"members": [known(), known()]},
    "stability.clipped_oscillation": lambda: {"curvature": 1.0, "step": 3.0, "cap": 1.0},
    "stability.limits": lambda: {"problem": SPD},
    "targets.Map": lambda: {"name": "m", "update": logistic_map, "start": 0.3, "interval": (2.5, 3.5)},
    "targets.ODE": lambda: {"name": "o", "summary": "s", "fun": lambda t, y: -y, "y0": [1.0], "span": (0.0, 1.0)},
    "targets.ProblemTarget": lambda: {"problem": quadratic()},
    "targets.ShapedQuadratic": lambda: {"condition": 10.0, "size": 5},
    "targets.as_target": lambda: {"source": SPD},
    "targets.resolve": lambda: {"name": "quadratic"},
    "testing.check_operator": lambda: {"operator": SPD, "trials": 1},
    "testing.check_rule": lambda: {"rule": rules.Auto(), "problem": quadratic(), "steps": 3},
    "testing.practice": lambda: {"number": 1},
    "training.Guard": lambda: {k: v for k, v in with_optimizer().items() if k in ("model", "optimizer")},
    "training.Pilot": lambda: {
        **{k: v for k, v in with_optimizer().items() if k in ("model", "optimizer")},
        "total_steps": 20,
    },
    "training.RunLog": lambda: {"run": pilot(), "jsonl": "pilot.jsonl"},
    "training.ResidualTask": residual_training,
    "training.SharpnessTracker": training,
    "training.Task": training,
    "training.as_map": training,
    "training.as_problem": training,
    "training.blocks": lambda: {"H": curvature()},
    "training.effective_rate": lambda: {"method": methods.HeavyBall(0.9), "rate": 0.1},
    "training.empirical_fisher": training,
    "training.equivalent_rate": lambda: {"method": methods.HeavyBall(0.9), "other": methods.Nesterov(0.9), "rate": 0.1},
    "training.fisher": training,
    "training.gauss_newton": training,
    "training.gradient_noise": training,
    "training.hessian": training,
    "training.mean_square_limits": lambda: training(batch=2),
    "training.method_of": lambda: {"optimizer": optimizer()},
    "training.minibatch_bias": lambda: {"H": curvature(), "batch_size": 2, "draws": 2},
    "training.optimizer_curvature": curvature_and_optimizer,
    "training.optimizer_limits": curvature_and_optimizer,
    "training.predict_network": lambda: {"model": wide(), "loss": criterion(), "inputs": features()},
    "training.range_test": lambda: with_optimizer(steps=77),
    "training.residual_stability": residual,
    "training.scale_residuals": residual,
    "training.stochastic_curvature": lambda: training(batch_size=2, draws=2),
    "training.suggest_groups": with_optimizer,
    "training.supervised": lambda: {"criterion": half_squares()},
    "training.train": lambda: {"task": task(), "rule": "constant:0.1", "steps": 2},
    "training.update_ratios": lambda: {"optimizer": optimizer()},
    "trials.contender": lambda: {"name": "auto", "known": rules.Known()},
    "trials.known_of": lambda: {"problem": quadratic(), "steps": 10},
    "trials.minimum": lambda: {"problem": quadratic(), "x0": np.array([1.0, 2.0])},
    "trials.race": lambda: {"problem": quadratic(), "rules": ["auto"], "steps": 5},
    "trials.run": lambda: {"problem": quadratic(), "steps": 5},
    "trials.sweep": lambda: {"problem": quadratic(), "rates": [0.1, 0.2], "steps": 130},
}


def sgd_classifier() -> Any:
    """scikit-learn's, small."""
    from sklearn.linear_model import SGDClassifier

    return SGDClassifier(loss="log_loss", max_iter=2, tol=None)


def deblurring() -> Any:
    """An image with its kernel."""
    rng = np.random.default_rng(1)
    return sf.problems.Deblurring(rng.random((8, 8)), np.full((3, 3), 1 / 9), noise=0.1)


def features() -> Any:
    """Inputs of a network."""
    import torch

    return torch.tensor(X, dtype=torch.float32)


def half_squares() -> Any:
    """A criterion."""
    import torch

    return torch.nn.MSELoss()


def wide() -> Any:
    """A network whose spectrum is predicted."""
    import torch

    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(2, 128), torch.nn.ReLU(), torch.nn.Linear(128, 1))


def task() -> Any:
    """A training task."""
    from surefoot.training import Task

    return Task(**training())


# Values that are no argument of most doors; what a door does take it must do something sensible with.
BAD: dict[str, Any] = {
    "None": None,
    "text": "x",
    "objects": np.array([object(), None]),
    "matrix of objects": np.array([[1, None], [2, 3]], dtype=object),
    "masked vector": np.ma.masked_array([1.0, 2.0], [0, 1]),
    "masked matrix": np.ma.masked_array([[1.0, 2.0], [2.0, 1.0]], [[0, 1], [0, 0]]),
    "0-d": np.array(1.5),
    "empty": np.array([]),
    "empty list": [],
    "1e160": 1e160,
    "1e-310": 1e-310,
    "matrix of 1e160": np.eye(2) * 1e160,
    "matrix of 1e-310": np.eye(2) * 1e-310,
    "complex": 1j,
    "True": True,
    "nan": float("nan"),
    "inf": float("inf"),
    "1e308": 1e308,
    "10**400": 10**400,
    "rows of unequal length": [[1.0], [2.0, 3.0]],
    "sparse": scipy.sparse.eye_array(2),
    "half precision": np.float16(1.5),
    "extended": np.array([1.0, 2.0], dtype=np.longdouble),
    "complex matrix": 1j * np.eye(2),
    "generator": (i for i in ()),
    "truth of NumPy": np.array(True),
    "empty text": "",
    "-1": -1,
    "0": 0,
    "2.5": 2.5,
    "mixed list": [1, "a"],
    "mapping": {},
    "function": lambda *_: None,
    "object": SimpleNamespace(),
}
