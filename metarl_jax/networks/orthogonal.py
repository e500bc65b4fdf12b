"""Orthogonal initialisation (arXiv:1312.6120) without LAPACK.

LAPACK's batched factorisations wait inside of XLA's pool of threads for other tasks of that pool: two of them at once, such as
the layers of an ensemble or of several seeds, can wait for each other for ever where there are two cores.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ..types import Array, DType, Key


def orthogonal(scale: float) -> Callable[..., Array]:
    """An initialiser `(key, shape, dtype)` of matrices with orthonormal columns, or rows where these are fewer, times `scale`."""

    def init(key: Key, shape: tuple[int, int], dtype: DType = float) -> Array:
        rows, columns = shape
        tall = jax.random.normal(key, (max(shape), min(shape)), dtype)
        return scale * (orthonormalise(tall) if rows >= columns else orthonormalise(tall).T)

    return init


def orthonormalise(matrix: Array) -> Array:
    """Gram-Schmidt's orthonormal basis `[m, n]` of the columns of `[m, n]`, m >= n: Q of the QR with a positive diagonal of R.

    Each column is projected twice, which is enough for full precision (Giraud et al. 2005, doi:10.1007/s00211-005-0615-4).
    """

    def add(j: int, basis: Array) -> Array:  # its columns from j on are 0
        column = matrix[:, j]
        for _ in range(2):
            column = column - basis @ (column @ basis)
        return basis.at[:, j].set(column / jnp.linalg.norm(column))

    return jax.lax.fori_loop(0, matrix.shape[1], add, jnp.zeros_like(matrix))
