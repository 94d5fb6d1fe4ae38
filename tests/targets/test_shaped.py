import numpy as np
import pytest

from surefoot.errors import InvalidInput
from surefoot.problems import Quadratic
from surefoot.targets import ShapedQuadratic, resolve


@pytest.mark.parametrize("spectrum", ["linear", "log", "clustered", "spiked"])
@pytest.mark.parametrize(("condition", "size"), [(1e4, 50), (1.0, 3), (1.5, 2)])
def test_it_has_the_curvatures_that_were_asked_for(spectrum, condition, size):
    problem = ShapedQuadratic(condition, spectrum, size)
    dense = np.array([problem.hessian_product(problem.start(), e) for e in np.eye(size)])
    assert np.linalg.eigvalsh(dense) == pytest.approx(problem.curvature().points)
    assert problem.curvature().smallest.lower == 1.0
    assert problem.curvature().largest.upper == pytest.approx(condition)
    assert problem.size == len(problem.eigenvalues) == size
    assert problem.convex


def test_it_is_a_quadratic_like_any_other():
    problem = ShapedQuadratic(10, "log", 5)
    same = Quadratic(np.diag(problem.eigenvalues))
    x = np.arange(5.0)
    assert problem.value(x) == same.value(x)
    assert problem.name == "quadratic, 5 unknowns, condition 10, log spectrum"
    assert problem.value(problem.start()) == pytest.approx(problem.eigenvalues.sum() / 2)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"condition": 0.5}, r"condition must be in \[1, inf\); got 0.5"),
        ({"condition": np.inf}, "condition must be in"),
        ({"spectrum": "flat"}, "unknown spectrum 'flat'; choose one of linear, log, clustered, spiked"),
        ({"size": 1}, "size must be a whole number >= 2; got 1"),
    ],
)
def test_what_is_no_shape(how, message):
    with pytest.raises(InvalidInput, match=message):
        resolve("quadratic", **how)


def test_by_name():
    (plain,) = resolve("quadratic")
    assert (plain.problem.size, plain.problem.eigenvalues[-1]) == (1000, 1e4)
    (shaped,) = resolve("quadratic", condition=50.0, spectrum="spiked", size=7)
    assert shaped.name == "quadratic, 7 unknowns, condition 50, spiked spectrum"
    with pytest.raises(InvalidInput, match="--size is an option of quadratic, and 'digits-softmax' is not that"):
        resolve("digits-softmax", size=4)
