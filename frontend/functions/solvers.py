"""Systems of matrices in forms beside `ingot.linalg.solve`: from Cholesky's factor, of tensors, with LAPACK's info instead of an error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import ingot
from ingot._tensor.autocast import full
from ingot.functions import factor, matrix_scans, systems
from ingot.functions.common import ShapeError, Tensor, cast_out, check_tensor, emit_out, static_int
from ingot.functions.lu import first
from ingot.functions.matrices import check_matrices, flat, mH, mT, required

__all__ = ["cholesky_inverse", "cholesky_solve", "triangular_solve"]


class InverseInfo(NamedTuple):
    """What `linalg.inv_ex` returns."""

    inverse: Tensor
    info: Tensor


class CholeskyInfo(NamedTuple):
    """What `linalg.cholesky_ex` returns."""

    L: Tensor
    info: Tensor


class SolveInfo(NamedTuple):
    """What `linalg.solve_ex` returns."""

    result: Tensor
    info: Tensor


class TriangularSolution(NamedTuple):
    """What `triangular_solve` returns."""

    solution: Tensor
    cloned_coefficient: Tensor


def _singular(a: Tensor) -> Tensor:
    f, _, _ = matrix_scans.lu(flat(a.detach()))
    return first(f.diagonal(0, -2, -1) == 0).reshape(tuple(a.shape[:-2]))


@full
def inv_ex(A: Tensor, *, check_errors: bool = False, out: tuple | None = None) -> InverseInfo:
    """(inverse, info): info is 0, or which pivot, from 1, is zero; the inverse is then infinite or NaN. check_errors: LinAlgError instead.

    >>> ingot.linalg.inv_ex(ingot.zeros(2, 2)).info
    tensor(1, dtype=ingot.int32)
    """
    a = check_matrices("linalg.inv", A, True)
    info = _singular(a)
    if check_errors:
        a = required(a, lambda: info == 0, "linalg.inv_ex: The inversion could not be completed because the input matrix is singular.")
    return emit_out(InverseInfo(systems.inverted(a, False), info), out)


@full
def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False, out: tuple | None = None) -> CholeskyInfo:
    """(L, info): info is 0, or the order of the first leading minor that is not positive; L is NaN from there. check_errors: LinAlgError.

    >>> ingot.linalg.cholesky_ex(ingot.eye(2) * -1).info
    tensor(1, dtype=ingot.int32)
    """
    a = check_matrices("linalg.cholesky", A, True)
    low = factor.cholesky_unchecked(a)
    d = low.detach().diagonal(0, -2, -1)
    info = first(d != d)
    if check_errors:
        indefinite = "linalg.cholesky_ex: The factorization could not be completed because A is not positive-definite."
        low = required(low, lambda: info == 0, indefinite)
    return emit_out(CholeskyInfo(mH(low) if upper else low, info), out)


@full
def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False, out: tuple | None = None) -> SolveInfo:
    """(result, info) of `linalg.solve`: info is 0, or which pivot, from 1, is zero; the result is then infinite or NaN.

    check_errors: LinAlgError instead.

        >>> ingot.linalg.solve_ex(ingot.eye(2) * 2, ingot.ones(2)).result
        tensor([0.5000, 0.5000])
    """
    info = _singular(check_matrices("linalg.solve", A, True))
    if check_errors:
        A = required(A, lambda: info == 0, "linalg.solve_ex: The solver failed because the input matrix is singular.")
    return emit_out(SolveInfo(systems.solved(A, B, left, False), info), out)


@full
def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False, *, out: Tensor | None = None) -> Tensor:
    """X with A X = B from the Cholesky factor of A: A = L L^H, or with `upper` L^H L. Batches broadcast.

    >>> ingot.cholesky_solve(ingot.ones(2, 1), ingot.eye(2) * 2)
    tensor([[0.2500],
            [0.2500]])
    """
    check_tensor("cholesky_solve", B, "B")
    check_tensor("cholesky_solve", L, "L", 2)
    for name, t in (("b", B), ("u", L)):
        if t.ndim < 2:
            raise ShapeError(f"{name} should have at least 2 dimensions, but has {t.ndim} dimensions instead")
    b, low = check_matrices("cholesky_solve", B, argument="B"), check_matrices("cholesky_solve", L, True, "L")
    if low.shape[-1] != b.shape[-2]:
        raise ShapeError(
            f"Incompatible matrix sizes for cholesky_solve: each A matrix is {low.shape[-1]} by {low.shape[-1]} but each b matrix is "
            f"{b.shape[-2]} by {b.shape[-1]}"
        )
    low = mH(low) if upper else low
    half = systems.solve_triangular(low, b, upper=False)
    return cast_out(systems.solve_triangular(mH(low), half, upper=True), out)


@full
def cholesky_inverse(L: Tensor, upper: bool = False, *, out: Tensor | None = None) -> Tensor:
    """The inverse of A from its Cholesky factor: A = L L^H, or with `upper` L^H L.

    >>> ingot.cholesky_inverse(ingot.eye(2) * 2)
    tensor([[0.2500, 0.0000],
            [0.0000, 0.2500]])
    """
    low = check_matrices("cholesky_inverse", L, True, "L")
    return cast_out(cholesky_solve(ingot.eye(low.shape[-1], dtype=low.dtype), low, upper), out)


@full
def triangular_solve(
    b: Tensor, A: Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False, *, out: tuple | None = None
) -> TriangularSolution:
    """(X with A X = b, a copy of A), A triangular, transposed first with `transpose`; prefer `ingot.linalg.solve_triangular`.

    >>> ingot.triangular_solve(ingot.ones(2, 1), ingot.eye(2) * 2).solution
    tensor([[0.5000],
            [0.5000]])
    """
    a = check_matrices("triangular_solve", A, True)
    x = systems.solve_triangular(mT(a) if transpose else a, b, upper=upper != transpose, unitriangular=unitriangular)
    return emit_out(TriangularSolution(x, a.clone()), out)


@full
def tensorinv(A: Tensor, ind: int = 2, *, out: Tensor | None = None) -> Tensor:
    """The inverse of the map from the dims of `A` after the first `ind` to those. RuntimeError unless both sides have equal sizes.

    >>> ingot.linalg.tensorinv(ingot.eye(6).reshape(2, 3, 6)).shape
    ingot.Size([6, 2, 3])
    """
    check_tensor("linalg.tensorinv", A, "A")
    ind = static_int(ind, "ind")
    if ind <= 0:
        raise RuntimeError(f"Expected a strictly positive integer for 'ind', but got {ind}")
    to, over = tuple(A.shape[:ind]), tuple(A.shape[ind:])
    if math.prod(to) != math.prod(over):
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got "
            f"{math.prod(over)} != {math.prod(to)}"
        )
    return cast_out(systems.inv(A.reshape((math.prod(to), math.prod(over)))).reshape((*over, *to)), out)


@full
def tensorsolve(A: Tensor, B: Tensor, dims: Sequence[int] | None = None, *, out: Tensor | None = None) -> Tensor:
    """X with tensordot(A, X, X.ndim) = B; `dims` of A are moved to its end first. RuntimeError unless the sizes fit.

    >>> ingot.linalg.tensorsolve(ingot.eye(6).reshape(2, 3, 6), ingot.ones(2, 3)).shape
    ingot.Size([6])
    """
    check_tensor("linalg.tensorsolve", A, "A")
    check_tensor("linalg.tensorsolve", B, "B", 2)
    a = A if dims is None else ingot.movedim(A, tuple(dims), tuple(range(A.ndim - len(dims), A.ndim)))
    over, to = tuple(a.shape[B.ndim :]), tuple(a.shape[: B.ndim])
    if math.prod(over) != math.prod(to):
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), but got "
            f"{math.prod(over)} != {math.prod(to)}"
        )
    n = math.prod(to)
    return cast_out(systems.solve(a.reshape((n, n)), B.reshape((n,))).reshape(over), out)


def vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """The powers 0 … N - 1 of each element along a new last dim; N is the last extent by default. RuntimeError for N < 2, or bool.

    >>> ingot.linalg.vander(ingot.tensor([1, 2, 3]))
    tensor([[1, 1, 1],
            [1, 2, 4],
            [1, 3, 9]])
    """
    check_tensor("linalg.vander", x, "x")
    if x.dtype.kind == "b":
        raise RuntimeError("linalg.vander supports floating point, complex, and integer tensors, but got Bool")
    n = static_int(N, "N") if N is not None else (x.shape[-1] if x.ndim else 1)
    if n <= 1:
        raise RuntimeError("N must be greater than 1.")
    x = x if x.ndim else x.reshape(1)  # a number is a vector of one
    powers = x.unsqueeze(-1).expand(*x.shape, n - 1).cumprod(-1)
    return ingot.cat([ingot.ones_like(powers[..., :1]), powers], -1)
