"""scikit-learn: the rate of an estimator that is trained by gradients. Needs scikit-learn (the extra `data`)."""

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from surefoot.checks import checked
from surefoot.errors import InvalidInput, InvalidType, MissingExtra
from surefoot.noise import mean_square_limits
from surefoot.problems import LeastSquares, Logistic, Problem
from surefoot.records import Record
from surefoot.rules import BarzilaiBorwein
from surefoot.solvers import descend
from surefoot.trials.bracket import search

try:
    from sklearn.base import BaseEstimator
    from sklearn.base import clone as sklearn_clone
    from sklearn.linear_model import LogisticRegression, SGDClassifier, SGDRegressor
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import Pipeline
except ModuleNotFoundError as error:
    raise MissingExtra(
        "surefoot.integrations.sklearn needs scikit-learn; install it (pip install scikit-learn)"
    ) from error

__all__ = ["Suggestion", "suggest"]

# Its hints cover every object that has a `get_params`; here it copies an estimator.
clone: Callable[[Any], Any] = sklearn_clone
# The operator behind the exact mean-square limit acts on matrices of unknowns; beyond this the bound by rows serves.
MOST_UNKNOWNS = 300
# The mean-square limit of one direction is twice the rate at which its second moment shrinks fastest.
SHARE_OF_LIMIT = 0.5
# Features whose scales differ by more than this cost that much more steps, squared; said, by convention.
UNEVEN = 30.0
# How little a fall of the loss counts as none: scikit-learn's default.
TOLERANCE = 1e-3
# Updates of a rehearsal of a network: enough to tell rates apart, seconds on small data.
REHEARSAL_UPDATES = 400
# Where the search for a network's rate starts: Adam's default, and a common one of SGD.
FIRST_RATE = {"adam": 1e-3, "sgd": 1e-2}
# What the bound on the passes of saga is stated for: two digits of the minimiser. By convention.
FALL = 1e4
# A rehearsal that improves the loss by less than this share of it learnt nothing.
LEARNT = 0.01


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion(Record):
    """Parameters for an estimator, and why.

    Parameters
    ----------
    estimator : str
        Class of the estimator that is trained by gradients.
    parameters : mapping
        For ``set_params`` of what was given: of a pipeline with the step's name in front. Empty where there is none to
        suggest, with the reason.
    label : str
        ``PROVED`` for a rate below a proved limit, ``TRIED`` for one that short real fits chose, ``none``.
    limit : float or None
        The rate above which the mean of the squared error grows, for the loss that the estimator minimises.
    tried : tuple of (float, float)
        Rates and the training loss that a short fit reached; empty where none was made.
    reasons : tuple of str
        In sentences.

    Examples
    --------
    >>> from sklearn.linear_model import SGDRegressor
    >>> from surefoot.integrations.sklearn import suggest
    >>> model = SGDRegressor(alpha=0.0, penalty=None, fit_intercept=False)
    >>> answer = suggest(model, [[1.0], [3.0]], [1.0, 3.0])
    >>> answer.label, round(answer.limit, 6)  # 2 * 5/(25 + 16)
    ('PROVED', 0.243902)
    >>> round(model.set_params(**answer.parameters).eta0, 6)
    0.121951
    """

    estimator: str
    parameters: Mapping[str, float | str]
    label: str
    limit: float | None
    tried: tuple[tuple[float, float], ...] = field(default=(), repr=False)
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        chosen = ", ".join(
            f"{name}={value if isinstance(value, str) else f'{value:.4g}'}" for name, value in self.parameters.items()
        )
        head = f"{self.estimator}: {chosen} ({self.label})" if chosen else f"{self.estimator}: no suggestion"
        return "\n".join([head, *(f"  {reason}" for reason in self.reasons)])

    def apply(self, estimator: Any) -> Any:
        """A copy of the estimator (or pipeline) with the parameters set, not yet fitted."""
        return clone(estimator).set_params(**self.parameters)


@checked
def suggest(estimator: Any, X: Any, y: Any, *, rng: int = 0) -> Suggestion:
    """Suggest the learning rate of a scikit-learn estimator for these data.

    For SGDClassifier (log loss) and SGDRegressor (squared error) the rate is *proved*: half of the mean-square limit of
    SGD with batches of one (`surefoot.noise.mean_square_limits`), at which the second moment of an error along one
    direction shrinks fastest. For more than 300 unknowns it is half of 2/max_i L_i, L_i the curvature of row i's loss,
    which is never above that limit. For MLPClassifier and MLPRegressor (solvers adam and sgd) short real fits of the
    estimator itself choose ``learning_rate_init``; that is *tried*, not proved. LogisticRegression's sag and saga take
    their step from the data: `limit` says which, and how many passes that needs.

    Parameters
    ----------
    estimator : estimator or Pipeline
        Not changed. A pipeline's last step is asked about; the steps before it transform the data.
    X : array or DataFrame, shape (n, d)
    y : array, shape (n,)
    rng : int
        Seed of the short fits and of the measurement.

    Returns
    -------
    Suggestion

    Raises
    ------
    InvalidType
        If the estimator is none of these.
    InvalidInput
        If the data are not finite numbers of fitting shapes.

    References
    ----------
    A. Defazio, F. Bach, S. Lacoste-Julien, SAGA, NeurIPS 2014, corollary 1.
    R. Mulayoff, T. Michaeli, Exact mean square linear stability analysis for SGD, COLT 2024, theorem 4.

    Examples
    --------
    >>> from sklearn.linear_model import SGDRegressor
    >>> from surefoot.integrations.sklearn import suggest
    >>> X, y = [[1.0], [3.0]], [1.0, 3.0]
    >>> told = suggest(SGDRegressor(alpha=0.0, penalty=None, fit_intercept=False), X, y)
    >>> round(told.parameters["eta0"], 6), told.label  # half of 2 * 5/(25 + 16)
    (0.121951, 'PROVED')
    """
    if not isinstance(estimator, BaseEstimator):
        raise InvalidType(f"estimator must be a scikit-learn estimator; got a {type(estimator).__name__}")
    names = list(getattr(X, "columns", []))
    prefix, model, given = "", estimator, X
    if isinstance(estimator, Pipeline):
        prefix, model = f"{estimator.steps[-1][0]}__", estimator.steps[-1][1]
        given = clone(estimator[:-1]).fit_transform(X, y) if len(estimator.steps) > 1 else X
        names = []  # the steps before may have changed the columns
    features, targets = _checked(given, y)
    scales = _uneven(features, names)
    if isinstance(model, SGDClassifier | SGDRegressor):
        return _sgd(model, features, targets, prefix, scales, rng)
    if isinstance(model, MLPClassifier | MLPRegressor):
        return _network(model, features, targets, prefix, scales, rng)
    if isinstance(model, LogisticRegression):
        return _saga(model, features, targets, scales)
    raise InvalidType(
        f"{type(model).__name__} takes no learning rate that could be suggested; give SGDClassifier, SGDRegressor, "
        "MLPClassifier or MLPRegressor"
    )


def _no_suggestion(name: str, reason: str, scales: tuple[str, ...], tried: Any = ()) -> Suggestion:
    reasons = (reason, *scales)
    return Suggestion(estimator=name, parameters={}, label="none", limit=None, tried=tried, reasons=reasons)


# ---- linear models: the mean-square limit -----------------------------------------------------------


def _sgd(model: Any, X: Any, y: Any, prefix: str, scales: tuple[str, ...], rng: int) -> Suggestion:
    name = type(model).__name__
    wanted = "log_loss" if isinstance(model, SGDClassifier) else "squared_error"
    if model.loss != wanted:
        reason = (
            f"the limit is known for loss={wanted!r}, not for {model.loss!r}: its gradient jumps or is cut, and SGD "
            "then needs rates that fall; keep learning_rate='optimal' or 'invscaling'"
        )
        return _no_suggestion(name, reason, scales)
    limits, exact = zip(*(_limit(problem, rng) for problem in _problems(model, X, y)), strict=True)
    limit = min(limits)
    rate = SHARE_OF_LIMIT * limit
    how = "mean-square limit of batches of one" if all(exact) else "2 over the largest curvature of a row's loss"
    reasons = [
        f"half of {limit:.4g}, the {how}: above the limit the mean of the squared error grows",
        "for f = the mean loss that this estimator minimises, its penalty included",
        "learning_rate='adaptive' keeps the rate while the loss falls and divides it by 5 when it stops",
    ]
    if model.penalty in ("l1", "elasticnet"):
        reasons.append("the l1 part is a proximal step and does not lower the limit")
    parameters: dict[str, float | str] = {f"{prefix}eta0": float(rate), f"{prefix}learning_rate": "adaptive"}
    if model.tol is None:  # then scikit-learn never sees a loss that no longer falls, and the rate stays
        parameters[f"{prefix}tol"] = TOLERANCE
        reasons.append(f"tol={TOLERANCE:g}: without one 'adaptive' never lowers the rate")
    return Suggestion(
        estimator=name, parameters=parameters, label="PROVED", limit=float(limit), reasons=(*reasons, *scales)
    )


def _problems(model: Any, X: Any, y: Any) -> list[Problem]:
    """The problem of each output: one, or one for each class against the rest."""
    share = {"l2": 1.0, "elasticnet": 1.0 - model.l1_ratio}.get(model.penalty, 0.0)
    ridge, intercept = model.alpha * share, bool(model.fit_intercept)
    if isinstance(model, SGDRegressor):
        return [LeastSquares(X, y.astype(float), ridge=ridge, intercept=intercept)]
    classes = np.unique(y)
    if classes.size < 2:
        raise InvalidInput(f"y must have at least two classes; got {classes.size}: there is nothing to tell apart")
    chosen = classes[1:] if classes.size == 2 else classes
    return [Logistic(X, (y == each).astype(float), ridge=ridge, intercept=intercept) for each in chosen]


def _limit(problem: Any, rng: int) -> tuple[float, bool]:
    """The mean-square limit of batches of one, and whether it is exact rather than a bound from below."""
    minimum = None
    if not problem.constant_curvature:
        minimum = descend(problem, rule=BarzilaiBorwein(), steps=500).x
    if problem.size <= MOST_UNKNOWNS:
        return mean_square_limits(problem, 1, at=minimum, rng=rng).stable, True
    factors, penalty = problem.term_factors(problem.start() if minimum is None else minimum)
    # H_i = f_i f_i' + penalty, so that sum_i H_i^2 <= max_i |H_i| sum_i H_i, and the limit is at least 2/max_i |H_i|
    rows = np.einsum("ij,ij->i", *[np.reshape(factors, (-1, factors.shape[-1]))] * 2)
    return 2.0 / (float(rows.max()) + float(np.max(penalty, initial=0.0) if penalty is not None else 0.0)), False


def _saga(model: Any, X: Any, y: Any, scales: tuple[str, ...]) -> Suggestion:
    """What there is to say of a solver that takes its step from the data itself.

    step = 1/(2 (L + n mu)),    L the largest curvature of a row's loss, mu the penalty's
    """
    name = "LogisticRegression"
    if model.solver not in ("sag", "saga"):
        reason = f"solver={model.solver!r} searches its own step; there is no rate to choose"
        return _no_suggestion(name, reason, scales)
    if np.unique(y).size < 2:
        raise InvalidInput("y must have at least two classes: there is nothing to tell apart")
    n, mu = len(X), _smooth_share(model) / (float(model.C) * len(X))
    largest = 0.25 * (float(np.einsum("ij,ij->i", X, X).max()) + bool(model.fit_intercept)) + mu
    saga = model.solver == "saga"
    step = 1.0 / (2 * largest + min(2 * n * mu, largest)) if saga else 1.0 / largest
    reasons = [
        f"solver={model.solver!r} takes its step from the data: {step:.4g}, by the largest curvature of a row's loss, "
        f"{largest:.4g}; there is no rate to choose"
    ]
    if saga and mu > 0:
        # corollary 1 at the step 1/(2(mu n + L)), theorem 1 at 1/(3L)
        shrinks = mu * step if 2 * n * mu <= largest else min(1 / (4 * n), mu / (3 * largest))
        passes = math.ceil(math.log(FALL) / (n * shrinks))
        reasons.append(
            f"the proved bound on the squared error falls by {FALL:g} within {passes} passes; max_iter={model.max_iter}"
        )
    label = "PROVED" if saga else "none"
    return Suggestion(estimator=name, parameters={}, label=label, limit=float(step), reasons=(*reasons, *scales))


def _smooth_share(model: Any) -> float:
    """How much of the penalty is l2; newer versions say it by l1_ratio alone."""
    ratio = float(getattr(model, "l1_ratio", None) or 0.0)
    return {"l1": 0.0, None: 0.0, "l2": 1.0}.get(model.penalty, 1.0 - ratio)


# ---- networks: short real fits ----------------------------------------------------------------------


def _network(model: Any, X: Any, y: Any, prefix: str, scales: tuple[str, ...], rng: int) -> Suggestion:
    name = type(model).__name__
    if model.solver not in FIRST_RATE:
        reason = f"solver={model.solver!r} searches its own step along each direction; there is no rate to choose"
        return _no_suggestion(name, reason, scales)
    batch = min(200 if model.batch_size == "auto" else int(model.batch_size), len(X))
    epochs = max(2, min(round(REHEARSAL_UPDATES * batch / len(X)), model.max_iter))

    def losses(rate: float) -> list[float]:
        return _short_fit(model, X, y, rate, epochs, rng)

    still = losses(1e-12)[-1]
    seen = search(losses, FIRST_RATE[model.solver], still)
    tried = tuple(sorted((rate, run[-1]) for rate, run in seen.items()))
    best, loss = min(tried, key=lambda pair: pair[1] if math.isfinite(pair[1]) else math.inf)
    if not loss < (1 - LEARNT) * still:
        reason = (
            f"no rate between {tried[0][0]:.2g} and {tried[-1][0]:.2g} lowered the loss in {epochs} epochs "
            f"(from {still:.4g}); look at the data, or at the network"
        )
        return _no_suggestion(name, reason, scales, tried)
    failed = [rate for rate, value in tried if rate > best and not value < still]
    reasons = [
        f"the loss fell furthest, from {still:.4g} to {loss:.4g}, in {len(tried)} short fits of {epochs} epochs each",
        f"rates from {failed[0]:.3g} on fail" if failed else "no rate that was tried fails",
        f"a fit of many more epochs than {epochs} does better at a rate 2 to 4 times smaller",
    ]
    parameters = {f"{prefix}learning_rate_init": float(best)}
    return Suggestion(
        estimator=name, parameters=parameters, label="TRIED", limit=None, tried=tried, reasons=(*reasons, *scales)
    )


def _short_fit(model: Any, X: Any, y: Any, rate: float, epochs: int, rng: int) -> list[float]:
    """The training loss of each epoch of a short fit of a copy; nan where it left the finite numbers."""
    copy = clone(model).set_params(
        learning_rate_init=rate, max_iter=epochs, n_iter_no_change=epochs + 1, early_stopping=False, random_state=rng
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that so few epochs have not converged is no news
        try:
            copy.fit(X, y)
        except (ValueError, FloatingPointError) as error:
            if type(error).__name__ == "InvalidParameterError":  # of any rate alike
                raise InvalidInput(str(error)) from error
            return [math.nan]  # weights that are not finite
    return [float(value) for value in copy.loss_curve_]


# ---- the data ---------------------------------------------------------------------------------------


def _checked(X: Any, y: Any) -> tuple[Any, Any]:
    try:
        features, targets = X.toarray() if hasattr(X, "toarray") else np.asarray(X), np.asarray(y)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidType(f"X and y must be arrays: {error}") from error
    if features.dtype.kind == "c":
        raise InvalidInput("X must be real; split complex columns into real and imaginary parts")
    try:
        features = features.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput("X must be numbers; encode text columns (OneHotEncoder) in a pipeline first") from error
    if features.ndim != 2 or not features.size:
        raise InvalidInput(f"X must be of shape (n, d) and not empty; got {features.shape}")
    if targets.shape != (features.shape[0],):
        raise InvalidInput(f"y must have one entry for each of the {features.shape[0]} rows; got shape {targets.shape}")
    if not np.isfinite(features).all():
        raise InvalidInput("X must be finite; impute missing values (SimpleImputer) in a pipeline first")
    return features, targets


def _uneven(X: Any, names: list[Any]) -> tuple[str, ...]:
    """What to say of features whose scales differ a lot; nothing where they do not."""
    spread = np.sqrt(np.mean(X**2, axis=0))
    spread[spread == 0] = np.nan
    if np.isnan(spread).all() or not np.nanmax(spread) > UNEVEN * np.nanmin(spread):
        return ()
    largest, smallest = int(np.nanargmax(spread)), int(np.nanargmin(spread))
    large, small = (repr(names[i]) if names else f"column {i}" for i in (largest, smallest))
    ratio = spread[largest] / spread[smallest]
    return (
        f"scale the features (StandardScaler): {large} is {ratio:.3g} times {small} in size, which costs up to the "
        "square of that in steps",
    )
