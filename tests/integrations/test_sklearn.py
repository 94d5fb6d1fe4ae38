"""scikit-learn: the suggested rate against a sweep, from both sides of the limit, and what is refused."""

import json
import math
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier, SGDRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from surefoot.errors import InvalidInput, InvalidType
from surefoot.integrations.sklearn import Suggestion, suggest


def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def log_objective(model, X, y):
    margins = (2 * y - 1) * model.decision_function(X)
    return float(np.logaddexp(0, -margins).mean() + model.alpha / 2 * (model.coef_**2).sum())


def fitted(model, X, y, **parameters):
    from sklearn.base import clone

    return clone(model).set_params(max_iter=20, tol=None, random_state=0, **parameters).fit(X, y)


def test_the_rate_of_sgd_is_as_good_as_a_sweeps():
    X, y = cancer()
    model = SGDClassifier(loss="log_loss", alpha=1e-3)
    told = suggest(model, X, y)
    assert told.label == "PROVED"
    mine = log_objective(told.apply(model).set_params(max_iter=20, tol=None, random_state=0).fit(X, y), X, y)
    sweep = {
        rate: log_objective(fitted(model, X, y, eta0=rate, learning_rate="adaptive"), X, y)
        for rate in np.geomspace(1e-3, 3.0, 12)
    }
    constant = math.log(2)
    assert mine - min(sweep.values()) < 0.02 * (constant - min(sweep.values()))


@pytest.mark.parametrize(("share", "grows"), [(0.9, False), (1.15, True)])
def test_the_limit_from_both_sides(share, grows):
    """The second moment of SGD with single rows: it shrinks below the limit and grows above."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal(40)
    told = suggest(SGDRegressor(penalty=None, alpha=0.0, fit_intercept=False), x[:, None], 0 * x)
    rate = share * told.limit
    moment = np.mean((1 - rate * x**2) ** 2)
    assert (moment > 1) == grows


def test_half_of_the_limit_shrinks_a_direction_fastest():
    x = np.random.default_rng(1).standard_normal(30)
    told = suggest(SGDRegressor(penalty=None, alpha=0.0, fit_intercept=False), x[:, None], 0 * x)
    rates = np.linspace(0.01, 0.99, 99) * told.limit
    moments = [np.mean((1 - rate * x**2) ** 2) for rate in rates]
    assert told.parameters["eta0"] == pytest.approx(rates[int(np.argmin(moments))], rel=0.03)


def test_many_unknowns_get_a_bound_that_is_below_the_limit():
    from surefoot.integrations import sklearn as module

    X, y = cancer()
    model = SGDClassifier(loss="log_loss", alpha=1e-3)
    exact = suggest(model, X, y).limit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_UNKNOWNS", 5)
        bound = suggest(model, X, y)
    assert 0 < bound.limit <= exact * 1.01
    assert "largest curvature of a row" in bound.reasons[0]


def test_a_pipeline_and_named_columns():
    pandas = pytest.importorskip("pandas")
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    assert isinstance(X, pandas.DataFrame)
    pipeline = make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss"))
    told = suggest(pipeline, X, y)
    assert set(told.parameters) == {"sgdclassifier__eta0", "sgdclassifier__learning_rate"}
    assert told.apply(pipeline).fit(X, y).score(X, y) > 0.95
    raw = suggest(SGDClassifier(loss="log_loss"), X, y)
    assert any("StandardScaler" in reason and "worst area" in reason for reason in raw.reasons)
    assert raw.limit < 1e-3 * told.limit


def test_a_regressor():
    X, y = load_diabetes(return_X_y=True)
    X, y = StandardScaler().fit_transform(X), (y - y.mean()) / y.std()
    told = suggest(SGDRegressor(), X, y)
    model = told.apply(SGDRegressor()).set_params(random_state=0).fit(X, y)
    assert np.mean((model.predict(X) - y) ** 2) < 0.52  # least squares: 0.482


@pytest.mark.parametrize(
    ("model", "key", "most"),
    [
        (SGDRegressor(random_state=0), "eta0", 0.01),
        # without a tolerance scikit-learn never lowers the rate: the suggestion brings one
        (SGDRegressor(random_state=0, max_iter=20, tol=None), "eta0", 0.1),
        (MLPRegressor(hidden_layer_sizes=(32,), max_iter=40, random_state=0), "learning_rate_init", 0.03),
    ],
    ids=["SGDRegressor", "SGDRegressor without tol", "MLPRegressor"],
)
def test_a_regressor_at_the_rate_is_as_good_as_a_sweeps(model, key, most):
    """The share of what the best rate of a sweep gains over the start that is missed."""
    X, y = load_diabetes(return_X_y=True)
    X, y = StandardScaler().fit_transform(X), (y - y.mean()) / y.std()

    def objective(one):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            residual = one.fit(X, y).predict(X) - y
        penalty = model.alpha * (one.coef_**2).sum() if key == "eta0" else 0.0
        return float(np.mean(residual**2) + penalty) / 2

    more = {"learning_rate": "adaptive"} if key == "eta0" else {}
    best = min(objective(clone(model).set_params(**{key: rate}, **more)) for rate in np.geomspace(1e-3, 0.1, 7))
    mine = objective(suggest(model, X, y).apply(model))
    assert mine - best < most * (0.5 - best)  # the targets have variance 1


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_network_learns_at_the_rate(solver):
    X, y = load_digits(return_X_y=True)
    X, y = X[:600] / 16, y[:600]
    model = MLPClassifier((32,), solver=solver, max_iter=12)
    told = suggest(model, X, y)
    assert told.label == "TRIED"
    assert told == suggest(model, X, y)
    assert Suggestion.from_dict(json.loads(json.dumps(told.to_dict(), allow_nan=False))) == told
    import warnings

    def loss(rate):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return (
                model.__class__(**{**model.get_params(), "learning_rate_init": rate, "random_state": 0}).fit(X, y).loss_
            )

    rate = told.parameters["learning_rate_init"]
    assert loss(rate) < min(loss(rate / 30), loss(rate * 30))


@pytest.mark.parametrize("solver", ["sag", "saga"])
@pytest.mark.parametrize("C", [1e-4, 1.0])
def test_the_step_of_saga_is_the_librarys_own_and_its_bound_holds(solver, C):
    from sklearn.linear_model._sag import get_auto_step_size

    X, y = cancer()
    model = LogisticRegression(solver=solver, C=C, tol=0.0, random_state=0)
    told = suggest(model, X, y)
    own = get_auto_step_size(
        (X**2).sum(1).max(), 1 / (C * len(X)), "log", True, n_samples=len(X), is_saga=solver == "saga"
    )
    assert told.limit == pytest.approx(own, rel=1e-12)
    assert told.parameters == {}
    if solver == "saga" and C < 1:
        passes = int(told.reasons[1].split("within ")[1].split()[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            best = LogisticRegression(C=C, tol=1e-12, max_iter=10_000).fit(X, y).coef_
            after = clone(model).set_params(max_iter=passes).fit(X, y).coef_
        assert ((after - best) ** 2).sum() < 1e-3 * (best**2).sum()


def test_what_has_no_rate_or_no_limit_is_said():
    X, y = cancer()
    assert "optimal" in str(suggest(SGDClassifier(), X, y))  # hinge
    assert suggest(SGDClassifier(), X, y).parameters == {}
    assert "searches its own step" in str(suggest(MLPRegressor(solver="lbfgs"), X, y.astype(float)))
    assert "searches its own step" in str(suggest(LogisticRegression(), X, y))
    with pytest.raises(InvalidType, match="Ridge takes no learning rate"):
        suggest(Ridge(), X, y)
    with pytest.raises(InvalidType, match="scikit-learn estimator"):
        suggest("sgd", X, y)


@pytest.mark.parametrize(
    ("X", "y", "said"),
    [
        ([[1.0], [math.nan]], [0, 1], "SimpleImputer"),
        ([["a"], ["b"]], [0, 1], "OneHotEncoder"),
        ([1.0, 2.0], [0, 1], "shape"),
        ([[1.0], [2.0]], [0], "one entry"),
        ([[1.0], [2.0]], [1, 1], "two classes"),
    ],
)
def test_bad_data(X, y, said):
    with pytest.raises(InvalidInput, match=said):
        suggest(SGDClassifier(loss="log_loss"), X, y)


def test_what_scikit_learn_refuses_is_said():
    with pytest.raises(InvalidInput, match="The 'activation' parameter of MLPRegressor must be"):
        suggest(MLPRegressor(activation="sine"), np.ones((20, 2)), np.arange(20.0))
