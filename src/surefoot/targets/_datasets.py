"""Classification problems on data sets that come with scikit-learn."""

from typing import Any

import numpy as np

from surefoot.errors import MissingExtra
from surefoot.problems import Logistic, Softmax

DIGITS_SCALE = 16.0  # the grey levels of the digits go from 0 to 16


def breast_cancer(standardise: bool = False, *, ridge: float = 1e-3) -> Logistic:
    """Logistic regression: 569 breast tumours, 30 features (Wolberg, Street, Mangasarian 1995, UCI).

    Parameters
    ----------
    standardise : bool
        Shift and scale each feature to mean 0 and standard deviation 1. Raw features differ by a factor 1e5
        in size, and the largest curvature by as much.
    ridge : float
        Nonnegative.

    Returns
    -------
    Logistic
    """
    X, y = _load("load_breast_cancer")
    features = (X - X.mean(axis=0)) / X.std(axis=0) if standardise else X
    return Logistic(features, y, ridge=ridge)


def digits_softmax(*, ridge: float = 1e-3) -> Softmax:
    """Softmax regression: 1797 digits of 8 x 8 pixels, scaled to [0, 1] (Alpaydin, Kaynak 1998, UCI).

    Parameters
    ----------
    ridge : float
        Nonnegative.

    Returns
    -------
    Softmax
    """
    X, y = _load("load_digits")
    return Softmax(X / DIGITS_SCALE, y, ridge=ridge)


def _load(loader: str) -> tuple[Any, Any]:
    """Features and labels.

    Raises
    ------
    MissingExtra
        If scikit-learn is not installed.
    """
    try:
        from sklearn import datasets
    except ImportError as error:
        raise MissingExtra(
            "this data set comes with scikit-learn, not installed here; pip install '.[data]' in a checkout of Surefoot"
        ) from error
    X, y = getattr(datasets, loader)(return_X_y=True)
    return np.asarray(X), np.asarray(y)
