"""Preconditioning by an incomplete Cholesky factor R'R of the curvature, x = R^-1 z."""

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
from problems.scaled import condition

from surefoot.errors import InvalidInput
from surefoot.problems import Quadratic, precondition


def factor(M):
    """R, column by column from z = R x, and the name of the problem, which says how the diagonal was raised."""
    changed = precondition(Quadratic(M), "cholesky")
    return np.stack([changed.from_original(e) for e in np.eye(changed.size)], axis=1), changed.name


def laplacian(m):
    line = scipy.sparse.diags_array([2.0 * np.ones(m), -np.ones(m - 1), -np.ones(m - 1)], offsets=[0, 1, -1])
    eye = scipy.sparse.eye_array(m)
    return (scipy.sparse.kron(line, eye) + scipy.sparse.kron(eye, line)).tocsr()


def test_an_incomplete_factor_matches_where_the_matrix_has_entries():
    M = laplacian(7)
    R, name = factor(M)
    assert "raised" not in name
    gap = R.T @ R - M.toarray()
    np.testing.assert_allclose(gap[M.toarray() != 0], 0, atol=1e-14)
    assert np.abs(gap).max() > 0.1  # it is incomplete
    assert not np.tril(R, k=-1).any()


def test_an_incomplete_factor_is_complete_for_a_band_without_fill():
    line = scipy.sparse.diags_array([2.0 * np.ones(9), -np.ones(8), -np.ones(8)], offsets=[0, 1, -1]).tocsr()
    R, _ = factor(line)
    np.testing.assert_allclose(R, scipy.linalg.cholesky(line.toarray()), atol=1e-14)


def test_it_improves_a_laplacian():
    problem = Quadratic(laplacian(16))
    before, after = condition(problem), condition(precondition(problem, "cholesky"))
    assert after < before / 8


def test_a_factor_that_does_not_exist_is_found_by_a_shift():
    """Kershaw's matrix: positive definite, and its incomplete factor meets a negative pivot."""
    M = np.array([[3.0, -2, 0, 2], [-2, 3, -2, 0], [0, -2, 3, -2], [2, 0, -2, 3]])
    assert np.linalg.eigvalsh(M)[0] > 0
    R, name = factor(scipy.sparse.csr_array(M))
    shift = float(name.rpartition("diagonal raised by ")[2])
    assert shift > 0
    gap = R.T @ R - M - shift * np.diag(np.diag(M))
    np.testing.assert_allclose(gap[M != 0], 0, atol=1e-12)


def test_a_matrix_without_a_factor_is_refused():
    for M in (np.diag([1.0, -1.0]), scipy.sparse.diags_array([1.0, 0.0]).tocsr()):
        with pytest.raises(InvalidInput, match=r"curvature along coordinate 1 is .*; add a ridge"):
            precondition(Quadratic(M), "cholesky")
    with pytest.raises(InvalidInput, match="far from positive definite; add a ridge"):
        precondition(Quadratic([[1.0, 50.0], [50.0, 1.0]]), "cholesky")
