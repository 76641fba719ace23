"""The initial state matrix: HiPPO-LegS, its normal part diagonalised."""

import numpy as np
import pytest

from r2i_jit.ssm.hippo import block_diagonal, legs_normal_part


@pytest.mark.parametrize("n", [1, 2, 5, 16, 64])
def test_the_eigenvectors_diagonalise_the_normal_part(n):
    """LegS, as its definition has it: A[i, j] = -sqrt((2i + 1)(2j + 1)) below the diagonal, -(i + 1) on it."""
    i, j = np.indices((n, n))
    legs = np.where(i > j, -np.sqrt((2 * i + 1.0) * (2 * j + 1.0)), np.where(i == j, -(i + 1.0), 0.0))
    low_rank = np.sqrt(np.arange(n) + 0.5)
    eigenvalues, vectors = legs_normal_part(n)
    np.testing.assert_allclose(
        vectors @ np.diag(eigenvalues) @ vectors.conj().T, legs + np.outer(low_rank, low_rank), atol=1e-9
    )
    np.testing.assert_allclose(vectors.conj().T @ vectors, np.eye(n), atol=1e-12)
    np.testing.assert_allclose(eigenvalues.real, -0.5, atol=1e-9)


def test_blocks_repeat_it_along_the_diagonal():
    eigenvalues, vectors = block_diagonal(12, 3)
    one, inside = legs_normal_part(4)
    np.testing.assert_array_equal(eigenvalues, np.concatenate([one] * 3))
    for k in range(3):
        np.testing.assert_array_equal(vectors[4 * k : 4 * k + 4, 4 * k : 4 * k + 4], inside)
    assert np.count_nonzero(vectors) <= 3 * 16
    with pytest.raises(ValueError, match="must divide"):
        block_diagonal(12, 5)


def test_nobody_can_change_what_all_layers_share():
    with pytest.raises(ValueError, match="read-only"):
        legs_normal_part(4)[0][0] = 0
