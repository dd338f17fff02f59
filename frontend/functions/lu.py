"""LU factors with their derivative, and solving from them. `ingot.linalg` gives them torch's names.

A singular matrix is a LinAlgError where that is checked, in a compiled function when it is called.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import ingot
from ingot._tensor.autocast import full
from ingot._tensor.composites import composite
from ingot.autograd.function import Function
from ingot.functions import matrix_scans
from ingot.functions.common import ShapeError, Tensor, apply, broadcast_shapes, cast, check_tensor, dtypes, emit_out
from ingot.functions.matrices import check_matrices, flat, mH, required
from ingot.functions.systems import Triangular

__all__ = ["lu", "lu_solve", "lu_unpack"]


class LU(NamedTuple):
    """What `linalg.lu` and `lu_unpack` return."""

    P: Tensor
    L: Tensor
    U: Tensor


class Factors(NamedTuple):
    """What `linalg.lu_factor` returns."""

    LU: Tensor
    pivots: Tensor


class FactorsInfo(NamedTuple):
    """What `linalg.lu_factor_ex` returns."""

    LU: Tensor
    pivots: Tensor
    info: Tensor


@composite
def _swaps(perm: Tensor, count: int) -> Tensor:
    """LAPACK's pivots (b, count) of a permutation (b, m): with which row, counted from 1, row k changed places at step k."""
    b, m = perm.shape
    place = apply("iota", attrs=(dtypes.i64, (b, m), 1))

    def step(perm: Tensor, order: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        wanted = apply("index_get", perm, apply("reshape", k, attrs=((1,),)), attrs=((1,),))
        rows = apply("iota", attrs=(dtypes.i64, (b, m), 1))
        p = apply("reshape", apply("argmax", cast(order == wanted, dtypes.i64), attrs=(1,)), attrs=((b, 1),))
        swapped = apply("select", rows == k, p, apply("select", rows == p, k, rows))
        return apply("gather", order, swapped, attrs=(1,)), apply("reshape", p, attrs=((b,),))

    found = matrix_scans.loop(step, (perm,), (place,), count)[1]
    return cast(apply("transpose", found, attrs=((1, 0),)) + 1, dtypes.i32)


@composite
def _rows(pivots: Tensor, m: int) -> Tensor:
    """The permutation (b, m) that LAPACK's pivots (b, count) make."""
    b, count = pivots.shape
    place = apply("iota", attrs=(dtypes.i64, (b, m), 1))

    def step(pivots: Tensor, order: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        p = apply("index_get", pivots, apply("reshape", k, attrs=((1,),)), attrs=((1,),)) - 1
        rows = apply("iota", attrs=(dtypes.i64, (b, m), 1))
        swapped = apply("select", rows == k, p, apply("select", rows == p, k, rows))
        return (apply("gather", order, swapped, attrs=(1,)),)

    return matrix_scans.loop(step, (cast(pivots, dtypes.i64),), (place,), count)[0]


def _by_rows(x: Tensor, perm: Tensor) -> Tensor:
    return x.gather(1, perm.unsqueeze(-1).expand(*x.shape))


class _Factor(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Any:
        f, perm, _ = matrix_scans.lu(a)
        ctx.save_for_backward(f, perm)
        ctx.mark_non_differentiable(perm)
        return f, perm

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Any) -> Any:  # type: ignore[override]
        """From dL = L tril(M, -1) and dU = triu(M) U with M = L^-1 dA U^-1, in the leading square; the rest is solved from it."""
        f, perm = ctx.saved_tensors
        m, n = f.shape[1:]
        k = min(m, n)
        low, up = f[:, :k, :k].tril(-1), f[:, :k, :k].triu()
        unit = low + ingot.eye(k, dtype=f.dtype)
        square = grad[:, :k, :k]
        by_low, by_up = mH(unit) @ square.tril(-1), square.triu() @ mH(up)
        if n > m:
            by_low = by_low - grad[:, :, k:] @ mH(f[:, :, k:])
        if m > n:
            by_up = by_up - mH(f[:, k:]) @ grad[:, k:]
        inner = by_low.tril(-1) + by_up.triu()
        by_a = mH(Triangular.apply(up, mH(Triangular.apply(mH(unit), inner, True, True)), True, False))
        if n > m:
            by_a = ingot.cat([by_a, Triangular.apply(mH(unit), grad[:, :, k:], True, True)], 2)
        if m > n:
            by_a = ingot.cat([by_a, mH(Triangular.apply(up, mH(grad[:, k:]), True, False))], 1)
        return _by_rows(by_a, perm.argsort(1))


def _matrices(name: str, A: Any, pivot: bool) -> Tensor:
    check_tensor(name, A, "A")
    if A.ndim < 2:
        raise ShapeError(f"{name}: Expected tensor with 2 or more dimensions. Got size: {list(A.shape)} instead")
    if not pivot:
        raise RuntimeError(f"{name}: LU without pivoting is not implemented")
    return check_matrices(name, A)


def first(bad: Tensor) -> Tensor:
    """Where along the last dim the first True is, from 1, as LAPACK's info counts; 0 where there is none. int32."""
    n = bad.shape[-1]
    place = ingot.where(bad, ingot.arange(1, n + 1), n + 1)
    low = place.amin(-1) if n else ingot.ones(tuple(bad.shape[:-1]), dtype=dtypes.i64)
    return ingot.where(low > n, 0, low).to(dtypes.i32)


def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False, out: tuple | None = None) -> FactorsInfo:
    """(LU, pivots, info): L below and U above the diagonal in one matrix, LAPACK's pivots, and which diagonal element of U is zero (or 0).

    check_errors: LinAlgError where one is zero. RuntimeError without `pivot`.

        >>> ingot.linalg.lu_factor_ex(ingot.zeros(2, 2)).info
        tensor(1, dtype=ingot.int32)
    """
    return _factored("linalg.lu_factor_ex", A, pivot, check_errors, out)


def _factored(name: str, A: Tensor, pivot: bool, checked: bool, out: Any) -> FactorsInfo:
    a = _matrices(name, A, pivot)
    lead, (m, n) = tuple(a.shape[:-2]), a.shape[-2:]
    k = min(m, n)
    f, perm = _Factor.apply(flat(a))
    zero = f.detach().diagonal(0, -2, -1) == 0
    if checked:
        f = required(f, lambda: zero.logical_not(), f"{name}: a diagonal element of U is zero, and lu_solve would divide by it.")
    pivots = _swaps(perm, k) if k else ingot.zeros(f.shape[0], 0, dtype=dtypes.i32)
    return emit_out(FactorsInfo(f.reshape((*lead, m, n)), pivots.reshape((*lead, k)), first(zero).reshape(lead)), out)


def lu_factor(A: Tensor, *, pivot: bool = True, out: tuple | None = None) -> Factors:
    """(LU, pivots): what `lu_solve` takes. LinAlgError where a diagonal element of U is zero.

    >>> ingot.linalg.lu_factor(ingot.tensor([[1.0, 2.0], [2.0, 2.0]])).LU
    tensor([[2.0000, 2.0000],
            [0.5000, 1.0000]])
    """
    f, pivots, _ = _factored("linalg.lu_factor", A, pivot, True, None)
    return emit_out(Factors(f, pivots), out)


def lu(A: Tensor, pivot: bool = True, get_infos: bool = False, out: tuple | None = None) -> tuple[Tensor, ...]:
    """`ingot.linalg.lu_factor`, or with `get_infos` `ingot.linalg.lu_factor_ex`."""
    f, pivots, info = _factored("lu", A, pivot, not get_infos, None)
    return emit_out(FactorsInfo(f, pivots, info) if get_infos else (f, pivots), out)


def lu_matrices(A: Tensor, *, pivot: bool = True, out: tuple | None = None) -> LU:
    """(P, L, U) with A = P L U: a permutation matrix, L with ones on its diagonal, U upper triangular.

    >>> ingot.linalg.lu(ingot.tensor([[1.0, 2.0], [2.0, 2.0]])).L
    tensor([[1.0000, 0.0000],
            [0.5000, 1.0000]])
    """
    f, pivots, _ = _factored("linalg.lu", A, pivot, False, None)
    return emit_out(LU(*lu_unpack(f, pivots)), out)


def lu_unpack(
    LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True, *, out: tuple | None = None
) -> LU:
    """(P, L, U) of what `linalg.lu_factor` returns; what is not to be unpacked is empty. RuntimeError for pivots that are not int32.

    >>> ingot.lu_unpack(*ingot.linalg.lu_factor(ingot.eye(2) * 3)).U
    tensor([[3., 0.],
            [0., 3.]])
    """
    f = check_matrices("lu_unpack", LU_data, argument="LU_data")
    check_tensor("lu_unpack", LU_pivots, "LU_pivots", 2)
    if unpack_pivots and LU_pivots.dtype is not dtypes.i32:
        raise RuntimeError(f"lu_unpack: LU_pivots is expected to be a contiguous tensor of int32 dtype, but got {LU_pivots.dtype}")
    m, n = f.shape[-2:]
    k = min(m, n)
    p, low, up = f.new_empty(0), f.new_empty(0), f.new_empty(0)
    if unpack_data:
        low = f[..., :k].tril(-1) + ingot.eye(m, k, dtype=f.dtype)
        up = f[..., :k, :].triu()
    if unpack_pivots:
        order = _order(LU_pivots, f)
        p = (order.unsqueeze(-2) == ingot.arange(m).unsqueeze(-1)).to(f.dtype).reshape((*f.shape[:-2], m, m))
    return emit_out(LU(p, low, up), out)


def _order(pivots: Tensor, f: Tensor) -> Tensor:
    """The permutations (b, m) of the rows of the matrices `f`."""
    m, k = f.shape[-2], pivots.shape[-1]
    b = flat(f).shape[0]
    return _rows(pivots.reshape((b, k)), m) if k else ingot.arange(m).expand(b, m)


@full
def lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor, *, out: Tensor | None = None) -> Tensor:
    """`ingot.linalg.lu_solve`, with the right-hand side first."""
    return lu_solution(LU_data, LU_pivots, b, out=out)


def lu_solution(
    LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False, out: Tensor | None = None
) -> Tensor:
    """X with A X = B (not `left`: X A = B; `adjoint`: of A^H) from the factors of square A by `lu_factor`. Batches broadcast.

    >>> ingot.linalg.lu_solve(*ingot.linalg.lu_factor(ingot.eye(2) * 2), ingot.ones(2, 1))
    tensor([[0.5000],
            [0.5000]])
    """
    f, b = check_matrices("linalg.lu_solve", LU, True, "LU"), check_matrices("linalg.lu_solve", B, argument="B")
    if pivots.dtype is not dtypes.i32:
        raise RuntimeError(f"linalg.lu_solve: pivots should be a Tensor of scalar type torch.int32. Got {pivots.dtype}")
    if f.dtype is not b.dtype:
        raise RuntimeError(f"linalg.lu_solve: LU and B should have the same dtype, but found LU of type {f.dtype} and B of type {b.dtype}")
    if not left:
        return emit_out(mH(lu_solution(f, pivots, mH(b), adjoint=not adjoint)), out)
    n = f.shape[-1]
    if n != b.shape[-2]:
        raise ShapeError(f"linalg.lu_solve: Incompatible shapes of LU and B for AX = B ({list(f.shape)} and {list(b.shape)})")
    lead = broadcast_shapes(tuple(f.shape[:-2]), tuple(b.shape[:-2]))
    order = _order(pivots, f).reshape((*f.shape[:-2], n)).expand(*lead, n).reshape((-1, n) if n else (flat(f).shape[0], 0))
    shape = (*lead, *b.shape[-2:])
    f, b = flat(f.expand(*lead, n, n)), flat(b.expand(*shape))
    if adjoint:
        x = Triangular.apply(mH(f), Triangular.apply(mH(f), b, False, False), True, True)
        x = _by_rows(x, order.argsort(1))
    else:
        x = Triangular.apply(f, Triangular.apply(f, _by_rows(b, order), False, True), True, False)
    return emit_out(x.reshape(shape), out)
