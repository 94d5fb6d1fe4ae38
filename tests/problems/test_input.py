"""Bad input: what is refused, by which error, and that the message says what was seen."""

import numpy as np
import pytest
import scipy.sparse

from surefoot.errors import InvalidInput, InvalidType, NotFinite, NotSymmetric, SurefootError
from surefoot.operators import LinearMap, gram
from surefoot.problems import LeastSquares, Logistic, Quadratic, Softmax

X = np.arange(8.0).reshape(4, 2)
B = np.arange(4.0)
Y = np.array([0, 1, 0, 1])
MODELS = [(LeastSquares, B), (Logistic, Y), (Softmax, Y)]
each_model = pytest.mark.parametrize(("model", "target"), MODELS, ids=["least squares", "logistic", "softmax"])


def with_entry(value):
    data = X.copy()
    data[1, 1] = value
    return data


@each_model
@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (with_entry(np.nan), NotFinite, "1 NaN or infinite entries of 8"),
        (scipy.sparse.csr_array(with_entry(np.inf)), NotFinite, "1 NaN or infinite entries"),
        (np.empty((0, 2)), InvalidInput, r"empty: shape \(0, 2\)"),
        (np.empty((4, 0)), InvalidInput, r"empty: shape \(4, 0\)"),
        (B, InvalidInput, r"two dimensions; got shape \(4,\)"),
        ([[1, 2], [3]], InvalidInput, "cannot read this as a matrix"),
        (X * 1j, InvalidType, "must be real; got dtype complex128"),
        ([["a", "b"]], InvalidType, "must be numbers"),
        (LinearMap((4, 2), lambda x: X @ x), InvalidType, "with its entries at hand"),
        (None, InvalidType, "as a linear operator|must be numbers|two dimensions"),
    ],
)
def test_features(model, target, data, error, message):
    expected = SurefootError if data is None else error
    with pytest.raises(expected, match=message) as caught:
        model(data, target)
    assert str(caught.value).startswith(("A", "X"))


@each_model
def test_an_operator_with_entries_is_as_good_as_they_are(model, target):
    assert model(gram(X).factor, target).value(np.zeros(model(X, target).size)) > 0


@each_model
@pytest.mark.parametrize(
    ("ridge", "error", "message"),
    [
        (-0.1, InvalidInput, r"ridge must be finite and >= 0; got -0\.1"),
        (np.nan, InvalidInput, "got nan"),
        (np.inf, InvalidInput, "got inf"),
        ("much", InvalidType, "ridge must be a number; got 'much'"),
        (None, InvalidType, "got None"),
    ],
)
def test_ridge(model, target, ridge, error, message):
    with pytest.raises(error, match=message):
        model(X, target, ridge=ridge)
    with pytest.raises(error, match=message):
        Quadratic(np.eye(2), ridge=ridge)


@pytest.mark.parametrize(
    ("b", "error", "message"),
    [
        (np.arange(3), InvalidInput, r"b must have shape \(4,\); got \(3,\)"),
        (B[:, None], InvalidInput, r"got \(4, 1\)"),
        ([1, np.inf, np.nan, 0], NotFinite, "b has 2 NaN or infinite entries of 4"),
        (B * 1j, InvalidType, "b must be real"),
        (["a"] * 4, InvalidType, "b must hold numbers"),
        ([1, [2], 3, 4], InvalidInput, "b: cannot read this as a vector"),
    ],
)
def test_right_hand_side(b, error, message):
    with pytest.raises(error, match=message):
        LeastSquares(X, b)
    with pytest.raises(error, match=message):
        Quadratic(np.eye(4), b)


@pytest.mark.parametrize("labels", [[0, 1, 0, 1], [-1, 1, -1, 1], [False, True, False, True], [0.0, 1.0, 0.0, 1.0]])
def test_binary_labels_of_all_kinds_mean_the_same(labels):
    assert Logistic(X, np.array(labels)).value([0.1, 0.2]) == Logistic(X, Y).value([0.1, 0.2])
    assert Logistic(X, np.array(labels, dtype=object)).value([0.1, 0.2]) == Logistic(X, Y).value([0.1, 0.2])


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0, 1, 2, 1], InvalidInput, "it holds 0, 1, 2: recode"),
        ([-1, 0, 1, 1], InvalidInput, "it holds -1, 0, 1"),
        ([0.5, 1, 0, 1], InvalidInput, r"it holds 0, 0\.5, 1"),
        (["no", "yes", "no", "no"], InvalidInput, "it holds 'no', 'yes'"),
        ([1, 1, 1, 1], InvalidInput, "one class only, 1"),
        ([0, 0, 0, 0], InvalidInput, "one class only, 0"),
        ([0, 1, 0], InvalidInput, r"y must have shape \(4,\); got \(3,\)"),
        ([0, np.nan, 0, 1], NotFinite, "1 NaN"),
        ([0, 1j, 0, 1], InvalidType, "real"),
        (np.array(["2020-01-01"] * 4, dtype="M8[D]"), InvalidType, "got dtype datetime64"),
        ([None, 1, 0, 1], InvalidType, "got dtype object"),
        ([[0], 1, 0, 1], InvalidInput, "cannot read"),
    ],
)
def test_binary_labels(labels, error, message):
    with pytest.raises(error, match=message):
        Logistic(X, labels)


def test_many_wrong_labels_are_cut_short():
    with pytest.raises(InvalidInput, match=r"it holds 0, 1, 2, 3, 4, 5, \.\.\. \(20 distinct\): recode"):
        Logistic(np.ones((20, 1)), np.arange(20))


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([0, 1, 2, 1], [0, 1, 2]),
        ([5, -3, 5, 9], [-3, 5, 9]),
        ([1.0, 0.0, 1.0, 0.0], [0.0, 1.0]),
        (["cat", "dog", "cat", "emu"], ["cat", "dog", "emu"]),
        (np.array(["a", 1, "a", 1], dtype=object), ["1", "a"]),
        ([True, False, True, True], [False, True]),
    ],
)
def test_softmax_takes_any_labels(labels, classes):
    problem = Softmax(X, labels)
    assert problem.classes.tolist() == classes
    assert problem.size == 2 * len(classes)
    named = [classes[k] for k in range(len(classes))]
    same = Softmax(X, [named.index(str(label) if "a" in named else label) for label in list(labels)])
    x = np.linspace(-1, 1, problem.size)
    assert problem.value(x) == same.value(x)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0, 0.5, 1, 1], InvalidInput, r"it holds 0, 0\.5, 1: use least squares"),
        ([3, 3, 3, 3], InvalidInput, "one class only, 3"),
        (np.eye(4), InvalidInput, "one-hot rows pass y.argmax"),
        ([0, 1, 2], InvalidInput, r"got \(3,\)"),
        ([0, np.inf, 1, 1], NotFinite, "1 NaN or infinite"),
    ],
)
def test_softmax_labels(labels, error, message):
    with pytest.raises(error, match=message):
        Softmax(X, labels)


@pytest.mark.parametrize(
    ("Q", "error", "message"),
    [
        ([[1, 2], [0, 1]], NotSymmetric, r"max \|Q - Q'\| is 2, max \|Q\| is 2"),
        (scipy.sparse.csr_array([[1.0, 2.0], [0.0, 1.0]]), NotSymmetric, r"max \|Q - Q'\| is 2"),
        (LinearMap((2, 2), lambda x: np.array([x[1], 0.0])), NotSymmetric, r"\|x'Qy - y'Qx\| ="),
        (LinearMap((2, 2), lambda x: np.array([x[1], 0.0]), symmetric=False), NotSymmetric, "random vectors"),
        (X, InvalidInput, r"square; got shape \(4, 2\).*LeastSquares"),
        (np.array([[1, 1j], [-1j, 1]]), InvalidType, "Q must be real"),
        (np.full((2, 2), np.nan), NotFinite, "Q: the matrix has 4 NaN"),
        (np.empty((0, 0)), InvalidInput, "Q: the matrix is empty"),
        ("text", SurefootError, "Q: cannot use a str"),
    ],
)
def test_quadratic_matrix(Q, error, message):
    with pytest.raises(error, match=message):
        Quadratic(Q)


def test_rounding_is_no_asymmetry():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((200, 200))
    Q = A @ np.diag(rng.standard_normal(200)) @ A.T
    assert Quadratic((Q + Q.T) / 2).size == 200
    assert Quadratic(LinearMap((200, 200), lambda x: A @ (A.T @ x))).size == 200
    single = (Q + Q.T).astype(np.float32)
    assert Quadratic(LinearMap((200, 200), lambda x: single @ x.astype(np.float32), precision=1.2e-7)).size == 200


@pytest.mark.parametrize(
    ("problem", "name"),
    [
        (Quadratic(np.eye(3)), "quadratic, 3 unknowns"),
        (Quadratic(np.eye(3), ridge=0.1), "quadratic, 3 unknowns, ridge 0.1"),
        (LeastSquares(X, B), "least squares, 4 x 2"),
        (Logistic(X, Y, ridge=1e-3), "logistic regression, 4 x 2, ridge 0.001"),
        (Softmax(X, Y, intercept=True), "softmax regression, 4 x 2, 2 classes, intercept"),
    ],
)
def test_names(problem, name):
    assert problem.name == name


def test_errors_are_the_builtins_that_a_caller_expects():
    with pytest.raises(ValueError, match="Q must be symmetric"):
        Quadratic([[1, 2], [0, 1]])
    with pytest.raises(TypeError, match="ridge must be a number"):
        Quadratic(np.eye(2), ridge="x")
