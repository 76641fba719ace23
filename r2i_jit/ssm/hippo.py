"""HiPPO-LegS initialisation of a diagonal state space, in NumPy float64; nothing here is traced.

Owned by tests/unit/test_hippo.py.
"""

import functools

import numpy as np


@functools.lru_cache
def legs_normal_part(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Diagonalise the normal part of the n x n HiPPO-LegS matrix.

    HiPPO-LegS is A = S - p p^T with S normal and p_k = sqrt(k + 1/2). S has real part -1/2 on its diagonal and is
    otherwise skew-symmetric, so its eigenvectors are unitary.

    Args:
      n: state size.

    Returns:
      (eigenvalues (n,), eigenvectors (n, n)), complex128, with S = V diag(eigenvalues) V^H.

    Ref: S5, arXiv 2208.04933, appendix B.1.1; HiPPO, arXiv 2008.07669.
    """
    k = np.arange(n)
    root = np.sqrt(2.0 * k + 1.0)
    legs = -(np.tril(root[:, None] * root[None, :]) - np.diag(k))
    low_rank = np.sqrt(k + 0.5)
    normal = legs + low_rank[:, None] * low_rank[None, :]
    skew = normal - np.diag(np.diag(normal))
    imaginary, vectors = np.linalg.eigh(skew * -1j)
    found = np.mean(np.diag(normal)) + 1j * imaginary, vectors
    for array in found:
        array.flags.writeable = False  # every layer gets the same ones
    return found


def block_diagonal(state_size: int, blocks: int) -> tuple[np.ndarray, np.ndarray]:
    """Repeat the normal part of HiPPO-LegS along the diagonal.

    Args:
      state_size: P.
      blocks: number of equal blocks; must divide P.

    Returns:
      (eigenvalues (P,), eigenvectors (P, P)).

    Raises:
      ValueError: when `blocks` does not divide `state_size`.
    """
    if state_size % blocks:
        raise ValueError(f"model.ssm_blocks={blocks} must divide model.ssm_state={state_size}")
    eigenvalues, vectors = legs_normal_part(state_size // blocks)
    return np.tile(eigenvalues, blocks), np.kron(np.eye(blocks), vectors)
