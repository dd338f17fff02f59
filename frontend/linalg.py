"""`ingot.linalg`: norms, products, systems and decompositions under torch's names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ingot._tensor import Tensor
from ingot._tensor.autocast import full, lower
from ingot.functions import matmul as _products
from ingot.functions.common import Number, ShapeError, cast_out, check_tensor, dtypes, emit_out
from ingot.functions.eigen import eig, eigvals
from ingot.functions.factor import cholesky_factor as cholesky
from ingot.functions.factor import eigh, eigvalsh, pinv, svdvals
from ingot.functions.factor import qr_factor as qr
from ingot.functions.factor import svd_factor as svd
from ingot.functions.factor import tolerance as _tolerance
from ingot.functions.ldl import ldl_factor, ldl_factor_ex, ldl_solve
from ingot.functions.lu import lu_factor, lu_factor_ex
from ingot.functions.lu import lu_matrices as lu
from ingot.functions.lu import lu_solution as lu_solve
from ingot.functions.matmul import matmul
from ingot.functions.matrices import LinAlgError, conj, real
from ingot.functions.matrices import check_matrices as _check_matrices
from ingot.functions.matrix_exponential import matrix_exp
from ingot.functions.norm import matrix_norm, vector_norm
from ingot.functions.numpy_names import install as _numpy_names
from ingot.functions.reflections import householder_product
from ingot.functions.shape import diagonal as _diagonal
from ingot.functions.solvers import cholesky_ex, inv_ex, solve_ex, tensorinv, tensorsolve, vander
from ingot.functions.systems import det, inv, matrix_power, slogdet, solve, solve_triangular

__all__ = [
    "LinAlgError", "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh",
    "householder_product", "inv",
    "inv_ex", "ldl_factor", "ldl_factor_ex", "ldl_solve", "lstsq",
    "lu", "lu_factor", "lu_factor_ex", "lu_solve", "matmul", "matrix_exp", "matrix_norm", "matrix_power",
    "matrix_rank", "multi_dot", "norm", "pinv", "qr", "slogdet", "solve", "solve_ex", "solve_triangular", "svd", "svdvals", "tensorinv",
    "tensorsolve", "vander", "vecdot", "vector_norm",
]  # fmt: skip


def norm(
    A: Tensor, ord: Number | str | None = None, dim: int | Sequence[int] | None = None, keepdim: bool = False, *,
    dtype: dtypes.DType | None = None, out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """A vector norm, or with `ord` over two dims a matrix norm.

    >>> ingot.linalg.norm(ingot.tensor([3.0, 4.0]))
    tensor(5.)
    """
    check_tensor("linalg.norm", A, "A")
    pair = isinstance(dim, (tuple, list)) and len(dim) == 2
    if ord is not None and (pair or (dim is None and A.ndim == 2)):
        return matrix_norm(A, ord, (-2, -1) if dim is None else tuple(dim), keepdim, dtype=dtype, out=out)  # type: ignore[arg-type]
    if isinstance(ord, str):
        raise RuntimeError(f"linalg.norm: order {ord!r} needs a matrix")
    if ord is not None and dim is None and A.ndim > 2:
        raise RuntimeError("linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D.")
    return vector_norm(A, 2 if ord is None else ord, dim, keepdim, dtype=dtype, out=out)


@lower
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1, out: Tensor | None = None) -> Tensor:
    """Sums of products along `dim`, of the conjugates of `x`, with broadcasting."""
    return emit_out((x.conj() * y).sum(dim), out)


@lower
def multi_dot(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """The product of all matrices, left to right; the first and last may be vectors."""
    if len(tensors) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(tensors)}")
    result = tensors[0]
    for t in tensors[1:]:
        result = matmul(result, t)
    return emit_out(result, out)


def cross(input: Tensor, other: Tensor, *, dim: int = -1, out: Tensor | None = None) -> Tensor:
    """The cross product along `dim`."""
    return _products.cross(input, other, dim, out=out)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonals of the matrices in the last two dims."""
    return _diagonal(A, offset, dim1, dim2)


@full
def matrix_rank(
    A: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None, out: Tensor | None = None
) -> Tensor:
    """How many singular values are above max(atol, rtol * the largest), int64; rtol is eps * the longer side by default.

    >>> ingot.linalg.matrix_rank(ingot.ones(2, 2))
    tensor(1)
    """
    a = _check_matrices("linalg.matrix_rank", A)
    if not a.numel():
        return cast_out(a.new_zeros(a.shape[:-2], dtype=dtypes.i64), out)
    s = svdvals(a.detach())
    limit = _tolerance(a, s, atol if tol is None else tol, rtol if tol is None else 0.0)
    return cast_out((s > limit).sum(-1), out)


@full
def cond(A: Tensor, p: Number | str | None = None, *, out: Tensor | None = None) -> Tensor:
    """The condition number: of the singular values (p None or 2, -2 for its inverse), else |A| |A^-1| in the norm `p`.

    >>> ingot.linalg.cond(ingot.eye(2))
    tensor(1.)
    """
    a = _check_matrices("linalg.cond", A, p not in (None, 2, -2))
    if p in (None, 2, -2):
        s = svdvals(a)
        return cast_out(s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1], out)
    return cast_out(matrix_norm(a, p) * matrix_norm(inv(a), p), out)  # type: ignore[arg-type]


class LstSq(NamedTuple):
    """What `lstsq` returns."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


@full
def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None, out: tuple | None = None) -> LstSq:
    """The least-squares solution of A X = B, of smallest norm where there are several; sums of squared residuals where m > n.

    driver: LAPACK's name for what else is wanted: "gels" residuals, "gelsy" (the default) the rank, "gelsd" and "gelss" all.

    >>> ingot.linalg.lstsq(ingot.ones(3, 1), ingot.ones(3, 1)).solution
    tensor([[1.]])
    """
    a = _check_matrices("linalg.lstsq", A)
    vector = B.ndim == a.ndim - 1
    b = B.unsqueeze(-1) if vector else _check_matrices("linalg.lstsq", B, argument="B")
    if a.shape[-2] != b.shape[-2]:
        raise ShapeError(f"linalg.lstsq: input.size(-2) should match other.size(-2), got {list(A.shape)} and {list(B.shape)}")
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError(f"linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss), got {driver}")
    x = pinv(a, rtol=rcond) @ b
    m, n = a.shape[-2:]
    rank = matrix_rank(a, rtol=rcond)
    residual = real(x).reshape(-1)[:0]
    if m > n and driver not in (None, "gelsy"):
        gap = a @ x - b
        residual = real(conj(gap) * gap).sum(-2)
    ranked = rank if driver in ("gelsy", "gelsd", "gelss", None) else a.new_empty(0, dtype=dtypes.i64)
    values = svdvals(a.detach()) if driver in ("gelsd", "gelss") else real(a.new_empty(0))
    return cast_out(LstSq(x.squeeze(-1) if vector else x, residual, ranked, values), out)


_numpy_names(globals(), __all__)
