"""Linear systems, inverses, determinants and powers of matrices, with their derivatives. `ingot.linalg` gives them torch's names.

A singular matrix is a LinAlgError, in a compiled function when it is called.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import ingot
from ingot._tensor.autocast import full, lower
from ingot.autograd.function import Function
from ingot.functions import matrix_scans
from ingot.functions.common import (
    ShapeError,
    Tensor,
    apply,
    broadcast_shapes,
    cast_out,
    check_tensor,
    dtypes,
    emit_out,
    scalar,
    static_int,
)
from ingot.functions.creation import eye
from ingot.functions.matmul import matmul
from ingot.functions.matrices import check_matrices, conj, flat, mH, mT, required

__all__ = ["det", "inverse", "logdet", "matrix_power", "slogdet"]


class SLogDet(NamedTuple):
    """What `slogdet` returns."""

    sign: Tensor
    logabsdet: Tensor


# -- triangular systems ------------------------------------------------------------------------------------------------


class Triangular(Function):
    """X with A X = B for batches (b, n, n) and (b, n, m), A triangular."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, upper: bool, unit: bool) -> Tensor:
        x = matrix_scans.triangular(a, b, upper, unit)
        ctx.save_for_backward(a, x)
        ctx.upper, ctx.unit = upper, unit
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        a, x = ctx.saved_tensors
        back = Triangular.apply(mH(a), grad, not ctx.upper, ctx.unit)
        by_a = -(back @ mH(x))
        low = 1 if ctx.unit else 0
        return (by_a.triu(low) if ctx.upper else by_a.tril(-low)), back, None, None


def solve_triangular(
    A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False, out: Tensor | None = None
) -> Tensor:
    """X with A X = B (or, not `left`, X A = B), A triangular: only its triangle is read. Batches broadcast.

    >>> ingot.linalg.solve_triangular(ingot.eye(2), ingot.ones(2, 1), upper=True)
    tensor([[1.],
            [1.]])
    """
    a, b = check_matrices("linalg.solve_triangular", A, True), check_matrices("linalg.solve_triangular", B, argument="B")
    if not left:
        return emit_out(mT(solve_triangular(mT(a), mT(b), upper=not upper, unitriangular=unitriangular)), out)
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(f"linalg.solve_triangular: Incompatible shapes of A and B for AX = B ({list(a.shape)} and {list(b.shape)})")
    lead = broadcast_shapes(tuple(a.shape[:-2]), tuple(b.shape[:-2]))
    if a.shape[:-2] != b.shape[:-2]:
        a, b = a.expand(*lead, *a.shape[-2:]), b.expand(*lead, *b.shape[-2:])
    return emit_out(Triangular.apply(flat(a), flat(b), bool(upper), bool(unitriangular)).reshape(tuple(b.shape)), out)


# -- general systems ---------------------------------------------------------------------------------------------------


def _factored_solve(f: Tensor, perm: Tensor, b: Tensor) -> Tensor:
    rows = b.gather(1, perm.unsqueeze(-1).expand(*b.shape))
    return matrix_scans.triangular(f, matrix_scans.triangular(f, rows, False, True), True, False)


class _Solve(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, checked: bool) -> Tensor:
        f, perm, _ = matrix_scans.lu(a)
        x = _factored_solve(f, perm, b)
        if checked:
            singular = "linalg.solve: The solver failed because the input matrix is singular."
            x = required(x, lambda: f.diagonal(0, -2, -1) != 0, singular)
        ctx.save_for_backward(a, x)
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        a, x = ctx.saved_tensors
        back = _Solve.apply(mH(a), grad, False)
        return -(back @ mH(x)), back, None


@full
def solve(A: Tensor, B: Tensor, *, left: bool = True, out: Tensor | None = None) -> Tensor:
    """X with A X = B (or, not `left`, X A = B) for square A; B a matrix, or a vector. Batches broadcast.

    LinAlgError where A is singular.

        >>> ingot.linalg.solve(ingot.eye(2) * 2, ingot.ones(2))
        tensor([0.5000, 0.5000])
    """
    return emit_out(solved(A, B, left, True), out)


def solved(A: Tensor, B: Tensor, left: bool, checked: bool) -> Tensor:
    """`solve`; not `checked`, a singular A gives infinities or NaN."""
    a = check_matrices("linalg.solve", A, True)
    check_tensor("linalg.solve", B, "B", 2)
    if B.dtype is not a.dtype:
        raise RuntimeError(f"linalg.solve: Expected A and B to have the same dtype, but found A of type {a.dtype} and B of type {B.dtype}")
    vector = B.ndim == 1 or (B.ndim == a.ndim - 1 and tuple(B.shape) == tuple(a.shape[:-1]))
    b = B.unsqueeze(-1) if vector else check_matrices("linalg.solve", B, argument="B")
    if not left:
        if vector:
            raise RuntimeError("linalg.solve: Vector broadcasting of the left hand side is not supported for left=False.")
        return mT(solved(mT(a), mT(b), True, checked))
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(f"linalg.solve: Incompatible shapes of A and B for the equation AX = B ({list(a.shape)} and {list(B.shape)})")
    lead = broadcast_shapes(tuple(a.shape[:-2]), tuple(b.shape[:-2]))
    a, b = a.expand(*lead, *a.shape[-2:]), b.expand(*lead, *b.shape[-2:])
    x = _Solve.apply(flat(a), flat(b), checked).reshape(tuple(b.shape))
    return x.squeeze(-1) if vector else x


class _Inverse(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, checked: bool) -> Tensor:
        f, perm, _ = matrix_scans.lu(a)
        singular = "linalg.inv: The diagonal element is zero, the inversion could not be completed because the input matrix is singular."
        x = _factored_solve(f, perm, ingot.eye(a.shape[-1], dtype=a.dtype).expand(*a.shape))
        if checked:
            x = required(x, lambda: f.diagonal(0, -2, -1) != 0, singular)
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return -(mH(x) @ grad @ mH(x)), None


@full
def inv(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverse of square matrices. LinAlgError where one is singular.

    >>> ingot.linalg.inv(ingot.eye(2) * 2)
    tensor([[0.5000, 0.0000],
            [0.0000, 0.5000]])
    """
    return emit_out(inverted(A, True), out)


def inverted(A: Tensor, checked: bool) -> Tensor:
    """`inv`; not `checked`, a singular matrix gives infinities or NaN."""
    a = check_matrices("linalg.inv", A, True)
    return _Inverse.apply(flat(a), checked).reshape(tuple(a.shape))


@full
def inverse(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """`ingot.linalg.inv`."""
    return inv(input, out=out)


def det(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The determinant of square matrices.

    >>> ingot.det(ingot.eye(2) * 3)
    tensor(9.)
    """
    a = check_matrices("linalg.det", input, True)
    f, _, sign = matrix_scans.lu(flat(a))
    return emit_out((sign * f.diagonal(0, -2, -1).prod(-1)).reshape(tuple(a.shape[:-2])), out)


class _SLogDet(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Any:
        f, _, sign = matrix_scans.lu(a)
        d = f.diagonal(0, -2, -1)
        sign = sign * d.sgn().prod(-1)
        ctx.save_for_backward(a, sign)
        return sign, d.abs().log().sum(-1)

    @staticmethod
    def backward(ctx: Any, by_sign: Tensor, grad: Tensor) -> Any:  # type: ignore[override]
        a, sign = ctx.saved_tensors
        if a.dtype.kind == "c":  # the sign turns with the imaginary part of the trace of A^-1 dA
            grad = ingot.complex(grad, -(conj(by_sign) * sign).imag)
        return grad.unsqueeze(-1).unsqueeze(-1) * mH(_Inverse.apply(a, True))


def slogdet(input: Tensor, *, out: tuple | None = None) -> SLogDet:
    """(sign, logabsdet): the determinant's sign (complex: its direction) and the logarithm of its magnitude, -infinity where it is zero.

    >>> ingot.slogdet(ingot.eye(2) * 3).logabsdet
    tensor(2.1972)
    """
    a = check_matrices("linalg.slogdet", input, True)
    sign, size = _SLogDet.apply(flat(a))
    return emit_out(SLogDet(sign.reshape(tuple(a.shape[:-2])), size.reshape(tuple(a.shape[:-2]))), out)


def logdet(input: Tensor) -> Tensor:
    """The logarithm of the determinant; of real matrices NaN where that is negative."""
    sign, size = slogdet(check_matrices("logdet", input, True))
    if sign.dtype.kind == "c":
        return sign.log() + size
    return ingot.where(sign < 0, float("nan"), size)


@lower
def matrix_power(input: Tensor, n: int, *, out: Tensor | None = None) -> Tensor:
    """The `n`-th power of square matrices (..., m, m); a negative `n` inverts. RuntimeError for other shapes."""
    check_tensor("matrix_power", input)
    n = static_int(n, "n")
    if input.ndim < 2 or input.shape[-1] != input.shape[-2]:
        shape = "x".join(map(str, input.shape))
        raise ShapeError(f"linalg.matrix_power: the input must be batches of square matrices, but they are {shape}")
    if n < 0:
        return matrix_power(inv(input), -n, out=out)
    if n == 0:
        one = apply("broadcast", eye(input.shape[-1], dtype=input.dtype), attrs=(tuple(input.shape),))
        return cast_out(apply("select", scalar(True, dtypes.bool_), one, input), out)  # its gradient is zero, not absent
    if n == 1:
        return cast_out(input.clone(), out)  # not the matrices themselves
    result, square = None, input
    while True:
        if n & 1:
            result = square if result is None else matmul(result, square)
        n >>= 1
        if not n:
            assert result is not None
            return emit_out(result, out)
        square = matmul(square, square)
