"""Convolutions, differences and blocks multiply as their matrices do, and their adjoints are adjoints."""

import numpy as np
import pytest
from scipy import ndimage

from surefoot.errors import InvalidInput, InvalidType, NotFinite
from surefoot.operators import block_diagonal, convolution, divergence, gradient, kronecker, stacked
from surefoot.testing import check_operator

MODES = {"periodic": "wrap", "zero": "constant", "reflect": "reflect", "replicate": "nearest"}
# Odd, even, longer than the image, of one tap, and not along every axis.
CASES = [
    ((7,), (3,)),
    ((7,), (4,)),
    ((5,), (9,)),
    ((3,), (8,)),
    ((6,), (1,)),
    ((6, 5), (3, 5)),
    ((6, 5), (4, 2)),
    ((6, 5), (7, 11)),
    ((1, 4), (3, 2)),
    ((4, 5, 3), (3, 2, 1)),
    ((4, 5, 3), (2, 3, 3)),
]
each_boundary = pytest.mark.parametrize("boundary", MODES)


def matrix_of(operator):
    return np.stack([operator.matvec(unit) for unit in np.eye(operator.shape[1])], axis=1)


@each_boundary
@pytest.mark.parametrize(("shape", "taps"), CASES)
def test_convolution_is_that_of_scipy_and_has_its_adjoint(boundary, shape, taps):
    rng = np.random.default_rng(len(shape))
    kernel, image = rng.standard_normal(taps), rng.standard_normal(shape)
    operator = convolution(kernel, shape, boundary)
    expected = ndimage.convolve(image, kernel, mode=MODES[boundary])
    np.testing.assert_allclose(operator.matvec(image.ravel()).reshape(shape), expected, atol=1e-12)
    assert check_operator(operator).adjoint < 1e-13


@each_boundary
def test_what_is_said_of_symmetry_holds(boundary):
    even, odd = np.outer([1, 2, 1], [1, 3, 1]), np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    slanted = np.array([[1, 0, 2], [0, 5, 0], [2, 0, 1]])  # even through the centre, along no axis
    assert not convolution(odd, (5, 6), boundary).symmetric
    operator = convolution(even, (5, 6), boundary)
    assert bool(operator.symmetric) is (boundary != "replicate")
    check_operator(operator)
    operator = convolution(slanted, (5, 6), boundary)
    assert bool(operator.symmetric) is (boundary in ("periodic", "zero"))
    check_operator(operator)


@pytest.mark.parametrize("shape", [(5,), (4, 3), (3, 4, 2), (1, 3)])
@pytest.mark.parametrize("edge", ["neumann", "periodic"])
def test_gradient_is_forward_differences(shape, edge):
    image = np.random.default_rng(0).standard_normal(shape)
    operator = gradient(shape, edge, spacing=[0.5, 1.0, 2.0][: len(shape)])
    field = operator.matvec(image.ravel()).reshape(-1, *shape)
    for axis, dx in enumerate(operator.spacing):
        expected = (np.roll(image, -1, axis) - image) / dx
        if edge == "neumann":
            np.moveaxis(expected, axis, 0)[-1] = 0
        np.testing.assert_allclose(field[axis], expected, atol=1e-14)
    check_operator(operator)


def test_gradient_along_some_axes_only():
    image = np.random.default_rng(4).standard_normal((4, 5, 3))
    operator = gradient(image.shape, axes=(1, 0), spacing=[1.0, 2.0])
    field = operator.matvec(image.ravel()).reshape(2, *image.shape)
    np.testing.assert_allclose(field[0][:, :-1], np.diff(image, axis=1))
    np.testing.assert_allclose(field[1][:-1], np.diff(image, axis=0) / 2)
    check_operator(operator)


def test_divergence_is_minus_the_adjoint_and_sums_to_zero():
    operator = divergence((4, 5))
    field = np.random.default_rng(1).standard_normal(40)
    np.testing.assert_allclose(operator.matvec(field), -gradient((4, 5)).rmatvec(field))
    assert operator.matvec(field).sum() == pytest.approx(0, abs=1e-13)
    check_operator(operator)


def test_blocks_are_their_matrices():
    rng = np.random.default_rng(2)
    A, B = rng.standard_normal((3, 4)), rng.standard_normal((2, 4)) + 1j * rng.standard_normal((2, 4))
    cases = [
        (stacked([A, B], [2, -0.5]), np.vstack([2 * A, -0.5 * B])),
        (block_diagonal([A, B]), np.block([[A, np.zeros((3, 4))], [np.zeros((2, 4)), B]])),
        (kronecker(A, B), np.kron(A, B)),
    ]
    for operator, expected in cases:
        np.testing.assert_allclose(matrix_of(operator), expected, atol=1e-14)
        check_operator(operator)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: convolution([1, 2], (4, 4)), InvalidInput, r"kernel shape \(2,\) for image shape \(4, 4\)"),
        (lambda: convolution([], (4,)), InvalidInput, "none of them empty"),
        (lambda: convolution([[1], [1, 2]], (4, 4)), InvalidType, "must be an array of numbers"),
        (lambda: convolution([1j], (4,)), InvalidType, "real numbers; got dtype complex"),
        (lambda: convolution(["a"], (4,)), InvalidType, "real numbers"),
        (lambda: convolution([np.nan], (4,)), NotFinite, "NaN"),
        (lambda: convolution([1], (4,), "wrap"), InvalidInput, "'reflect' or 'replicate'; got 'wrap'"),
        (lambda: convolution([1], (0,)), InvalidInput, "positive whole"),
        (lambda: convolution([1], (4.5,)), InvalidType, "several whole numbers"),
        (lambda: convolution([1], 4), InvalidType, "several whole numbers"),
        (lambda: gradient(()), InvalidInput, "positive whole"),
        (lambda: gradient((3, 3), "zero"), InvalidInput, "'neumann' or 'periodic'"),
        (lambda: gradient((3, 3), spacing=[1, 0]), InvalidInput, "positive and finite"),
        (lambda: gradient((3, 3), spacing=[1, 1, 1]), InvalidInput, "one or 2 numbers"),
        (lambda: gradient((3, 3), axes=(0, 2)), InvalidInput, r"different ones of 0 to 1; got \(0, 2\)"),
        (lambda: gradient((3, 3), axes=(0, 0)), InvalidInput, "different ones"),
        (lambda: stacked([]), InvalidInput, "at least one block"),
        (lambda: stacked([np.eye(2), np.eye(3)]), InvalidInput, r"\[2, 3\]"),
        (lambda: stacked([np.eye(2)], [1, 2]), InvalidInput, "1 finite numbers"),
        (lambda: block_diagonal([]), InvalidInput, "at least one block"),
        (lambda: kronecker(np.eye(2), "eye"), InvalidType, "cannot use a str"),
    ],
)
def test_bad_input_is_refused_with_the_reason(make, error, message):
    with pytest.raises(error, match=message):
        make()
