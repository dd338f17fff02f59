"""Products of matrices, einsum, determinants."""

from __future__ import annotations

from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.interchange.onnx.rules import op

__all__: list[str] = []


@op("MatMul")
def mat_mul(a: Tensor, b: Tensor) -> Tensor:
    return ingot.matmul(a, b)


def _gemm(a: Tensor, b: Tensor, c: Tensor | None, alpha: float, beta: float, ta: int, tb: int) -> Tensor:
    out = ingot.matmul(a.T if ta else a, b.T if tb else b)
    if alpha != 1:
        out = out * alpha if out.is_floating_point() else out * int(alpha)
    if c is not None and beta:
        out = out + (c if beta == 1 else c * beta if c.is_floating_point() else c * int(beta))
    return out


@op("Gemm")
def gemm_broadcast(a: Tensor, b: Tensor, c: Tensor, *, alpha: float = 1.0, beta: float = 1.0, transA: int = 0, transB: int = 0,
                   broadcast: int = 0) -> Tensor:  # fmt: skip
    return _gemm(a, b, c, alpha, beta, transA, transB)


@op("Gemm", since=7)
def gemm(
    a: Tensor, b: Tensor, c: Tensor | None = None, *, alpha: float = 1.0, beta: float = 1.0, transA: int = 0, transB: int = 0
) -> Tensor:
    return _gemm(a, b, c, alpha, beta, transA, transB)


@op("Einsum")
def einsum(*xs: Tensor, equation: str) -> Tensor:
    return ingot.einsum(equation.replace(" ", ""), *xs)


@op("Det")
def det(x: Tensor) -> Tensor:
    return ingot.det(x)


def integer_product(a: Tensor, b: Tensor, a_zero: Tensor | None, b_zero: Tensor | None) -> Tensor:
    """The exact product of 8-bit integers less their zero points, as int32. `a_zero` is by rows, `b_zero` by columns."""
    wide = ingot.int32
    left, right = a.to(wide), b.to(wide)
    if a_zero is not None:
        left = left - _rows(a_zero.to(wide), a)
    if b_zero is not None:
        right = right - b_zero.to(wide)
    return ingot.matmul(left, right)


def _rows(zero: Tensor, a: Tensor) -> Tensor:
    return zero.unsqueeze(-1) if zero.ndim == 1 and zero.shape[0] != 1 and a.ndim > 1 else zero


@op("MatMulInteger")
def mat_mul_integer(a: Tensor, b: Tensor, a_zero: Any = None, b_zero: Any = None) -> Tensor:
    return integer_product(a, b, a_zero, b_zero)
