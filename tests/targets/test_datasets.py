"""Problems on scikit-learn's data sets."""

import sys

import pytest

from surefoot.errors import MissingExtra
from surefoot.problems import Logistic, Softmax
from surefoot.targets._datasets import breast_cancer, digits_softmax


def test_breast_cancer_raw_and_standardised():
    raw, scaled = breast_cancer(), breast_cancer(standardise=True)
    assert isinstance(raw, Logistic)
    assert raw.name == scaled.name == "logistic regression, 569 x 30, ridge 0.001"
    assert raw.curvature().largest.upper == pytest.approx(416434.6112, abs=1e-4)
    assert scaled.curvature().largest.upper == pytest.approx(3.321401921, rel=1e-9)
    assert scaled.curvature().smallest.lower == 0.001
    assert breast_cancer(True, ridge=0.0).curvature().smallest.lower == 0.0


def test_digits():
    problem = digits_softmax()
    assert isinstance(problem, Softmax)
    assert problem.name == "softmax regression, 1797 x 64, 10 classes, ridge 0.001"
    assert problem.value(problem.start()) == pytest.approx(2.302585, rel=1e-6)
    assert problem.curvature().largest.upper_is == "exact"


@pytest.mark.parametrize("load", [breast_cancer, digits_softmax])
def test_without_scikit_learn(load, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtra, match=r"pip install '\.\[data\]'"):
        load()
