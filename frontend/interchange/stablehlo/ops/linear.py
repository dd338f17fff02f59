"""Products of matrices, factorizations, Fourier transforms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.functions.common import apply, cast
from ingot.interchange.stablehlo.rules import Call, op
from ingot.ir import dtypes
from ingot.ir.dtypes import DType

__all__ = ["product", "solved"]

# types that a product may be asked to round its operands to
_ROUNDED = {"bf16": dtypes.bf16, "f16": dtypes.f16, "f32": dtypes.f32, "f64": dtypes.f64}


def product(
    x: Tensor, y: Tensor, batch: tuple[Sequence[int], Sequence[int]], contract: tuple[Sequence[int], Sequence[int]], to: DType
) -> Tensor:
    """Sums of products, computed in the type of the result where that is wider."""
    if x.dtype is dtypes.bool_:
        out = product(cast(x, dtypes.i32), cast(y, dtypes.i32), batch, contract, dtypes.i32)
        return cast(out, to)
    x, y = (cast(v, to) if to.bits > v.dtype.bits or v.dtype.kind != to.kind else v for v in (x, y))
    out = apply("dot", x, y, attrs=(tuple(map(tuple, batch)), tuple(map(tuple, contract))))
    return cast(out, to)


@op("dot_general")
def dot_general(
    c: Call, lhs: Tensor, rhs: Tensor, *, lhs_batching_dimensions: Any = (), rhs_batching_dimensions: Any = (),
    lhs_contracting_dimensions: Any = (), rhs_contracting_dimensions: Any = (), precision_config: Any = None,
    lhs_precision_type: Any = None, rhs_precision_type: Any = None, accumulation_type: Any = None, lhs_component_count: int = 1,
    rhs_component_count: int = 1, num_primitive_operations: int = 1, allow_imprecise_accumulation: bool = False,
) -> Tensor:  # fmt: skip
    """Precision is that of the types, whatever less is allowed; an algorithm's types round the operands."""
    if lhs_precision_type is not None and num_primitive_operations == 1:
        lhs, rhs = (cast(x, _ROUNDED.get(t.element, x.dtype)) for x, t in ((lhs, lhs_precision_type), (rhs, rhs_precision_type)))
    return product(
        lhs, rhs, (lhs_batching_dimensions, rhs_batching_dimensions), (lhs_contracting_dimensions, rhs_contracting_dimensions), c.dtype
    )


@op("dot")
def dot(c: Call, lhs: Tensor, rhs: Tensor, *, precision_config: Any = None) -> Tensor:
    return product(lhs, rhs, ((), ()), ((lhs.ndim - 1,), (0,)), c.dtype)


@op("einsum")
def einsum(lhs: Tensor, rhs: Tensor, *, einsum_config: str) -> Tensor:
    return ingot.einsum(einsum_config, lhs, rhs)


@op("unary_einsum")
def unary_einsum(operand: Tensor, *, einsum_config: str) -> Tensor:
    return ingot.einsum(einsum_config, operand)


def _wide(x: Tensor) -> Tensor:
    return cast(x, dtypes.f32) if x.dtype in dtypes.Half else x


@op("cholesky")
def cholesky(a: Tensor, *, lower: bool = False) -> Tensor:
    """Of the triangle that is asked for; the other one is not read, and zero in the result."""
    x = _wide(a)
    x = x if lower else x.mH
    full = ingot.tril(x) + ingot.tril(x, -1).mH
    out = ingot.linalg.cholesky_ex(full)[0]
    return cast(out if lower else out.mH, a.dtype)


def solved(a: Tensor, b: Tensor, left: bool, lower: bool, unit: bool, transpose: str) -> Tensor:
    """x with op(a) x = b, or x op(a) = b, of the triangle of a that is named."""
    a_, b_ = _wide(a), _wide(b)
    if transpose in ("TRANSPOSE", "ADJOINT"):
        a_, lower = a_.mT if transpose == "TRANSPOSE" else a_.mH, not lower
    a_ = ingot.tril(a_) if lower else ingot.triu(a_)
    return cast(ingot.linalg.solve_triangular(a_, b_, upper=not lower, left=left, unitriangular=unit), b.dtype)


@op("triangular_solve")
def triangular_solve(
    a: Tensor, b: Tensor, *, left_side: bool, lower: bool, unit_diagonal: bool, transpose_a: str
) -> Tensor:  # fmt: skip
    return solved(a, b, left_side, lower, unit_diagonal, transpose_a)


@op("fft")
def fft(x: Tensor, *, fft_type: str, fft_length: Any) -> Tensor:
    sizes = list(fft_length)
    axes = list(range(x.ndim - len(sizes), x.ndim))
    fn = {"FFT": ingot.fft.fftn, "IFFT": ingot.fft.ifftn, "RFFT": ingot.fft.rfftn, "IRFFT": ingot.fft.irfftn}[fft_type]
    return fn(x, s=sizes, dim=axes)
