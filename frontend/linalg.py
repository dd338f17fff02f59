"""`ingot.linalg`: norms and products under torch's names. (Decompositions are not part of it.)"""

from __future__ import annotations

from collections.abc import Sequence

from ingot._tensor import Tensor
from ingot.functions import matmul as _products
from ingot.functions.common import Number, ShapeError, cast, check_tensor, dim_list, dtypes, one_dim
from ingot.functions.matmul import matmul, matrix_power
from ingot.functions.norm import vector_norm
from ingot.functions.shape import diagonal as _diagonal

__all__ = ["cross", "diagonal", "matmul", "matrix_norm", "matrix_power", "multi_dot", "norm", "vecdot", "vector_norm"]


def norm(
    A: Tensor, ord: Number | str | None = None, dim: int | Sequence[int] | None = None, keepdim: bool = False, *,
    dtype: dtypes.DType | None = None, out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """A vector norm, or with `ord` over two dims a matrix norm. RuntimeError for orders that need singular values.

    >>> ingot.linalg.norm(ingot.tensor([3.0, 4.0]))
    """
    check_tensor("linalg.norm", A, "A")
    pair = isinstance(dim, (tuple, list)) and len(dim) == 2
    if ord is not None and (pair or (dim is None and A.ndim == 2)):
        return matrix_norm(A, ord, (-2, -1) if dim is None else tuple(dim), keepdim, dtype=dtype)  # type: ignore[arg-type]
    if isinstance(ord, str):
        raise RuntimeError(f"linalg.norm: order {ord!r} needs a matrix")
    if ord is not None and dim is None and A.ndim > 2:
        raise RuntimeError("linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D.")
    return vector_norm(A, 2 if ord is None else ord, dim, keepdim, dtype=dtype, out=out)


def matrix_norm(
    A: Tensor, ord: Number | str = "fro", dim: Sequence[int] = (-2, -1), keepdim: bool = False, *, dtype: dtypes.DType | None = None
) -> Tensor:
    """The norm of the matrices in two dims: "fro", or 1, -1, inf, -inf (sums of columns and rows).

    RuntimeError for 2, -2 and "nuc", which need singular values, and for an `ord` that does not exist.
    """
    check_tensor("linalg.matrix_norm", A, "A")
    if A.ndim < 2 or len(dim) != 2:
        raise ShapeError(
            f"linalg.matrix_norm: The input tensor A must have at least 2 dimensions, and dim two, got {A.ndim}D and {tuple(dim)}"
        )
    x = A if dtype is None else cast(A, dtype)
    if ord == "fro":
        return vector_norm(x, 2, tuple(dim), keepdim)
    if ord not in (1, -1, float("inf"), -float("inf")):
        need = " needs singular values, which are not available" if ord in (2, -2, "nuc") else " does not exist"
        raise RuntimeError(f"linalg.matrix_norm: order {ord!r}{need}; use 'fro', 1, -1, inf or -inf")
    rows, columns = (one_dim(d, x.ndim) for d in dim)
    over, rest = (rows, columns) if abs(ord) == 1 else (columns, rows)  # type: ignore[arg-type]
    sums = x.abs().sum(over, keepdim=True)
    found = sums.amax(rest, keepdim=True) if ord > 0 else sums.amin(rest, keepdim=True)  # type: ignore[operator]
    return found if keepdim else found.reshape(tuple(d for i, d in enumerate(found.shape) if i not in dim_list(tuple(dim), x.ndim)))


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """Sums of products along `dim`, with broadcasting."""
    return (x * y).sum(dim)


def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of all matrices, left to right; the first and last may be vectors."""
    if len(tensors) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(tensors)}")
    result = tensors[0]
    for t in tensors[1:]:
        result = matmul(result, t)
    return result


def cross(input: Tensor, other: Tensor, *, dim: int = -1, out: Tensor | None = None) -> Tensor:
    """The cross product along `dim`."""
    return _products.cross(input, other, dim, out=out)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonals of the matrices in the last two dims."""
    return _diagonal(A, offset, dim1, dim2)
