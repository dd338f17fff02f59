"""Norms and distances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ingot._tensor.autocast import full
from ingot._tensor.composites import composite, keeps
from ingot.functions import numpy_names
from ingot.functions.common import (
    Number,
    ShapeError,
    Tensor,
    apply,
    broadcast_shapes,
    cast,
    check_tensor,
    dim_list,
    dtype_name,
    dtypes,
    emit_out,
    one_dim,
    operands,
    refuse,
    safe_root,
    scalar,
    upcast,
)
from ingot.functions.factor import svdvals
from ingot.functions.from_data import tensor
from ingot.functions.reduce import reduced
from ingot.ir.facts import Kept

__all__ = ["cdist", "dist", "frobenius_norm", "norm", "pdist", "renorm"]

Dims = int | Sequence[int] | None


def norm(
    input: Tensor, p: Number | str | None = "fro", dim: Dims = None, keepdim: bool = False, out: Tensor | None = None,
    dtype: dtypes.DType | None = None,
) -> Tensor:  # fmt: skip
    """The p-norm of all elements, or over `dim`: sum(|x|**p)**(1/p); inf and -inf the largest and smallest |x|, 0 the count.

    "fro" is 2, "nuc" the sum of a matrix's singular values. RuntimeError for integers.

        >>> ingot.norm(ingot.tensor([3.0, 4.0]))
        tensor(5.)
    """
    check_tensor("norm", input)
    if isinstance(p, str):
        if p == "nuc":
            x = input if dtype is None else cast(input, dtype)
            return emit_out(matrix_norm(x, "nuc", (-2, -1) if dim is None else tuple(dim), keepdim), out)  # type: ignore[arg-type]
        if p != "fro":
            raise RuntimeError(f"norm(): p must be a number, 'fro' or 'nuc', got {p!r}")
        p = 2
    return vector_norm(input, 2 if p is None else p, dim, keepdim, dtype=dtype, out=out)


def frobenius_norm(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """`norm` with p = 2."""
    return norm(input, 2, dim, keepdim)


def vector_norm(
    x: Tensor, ord: Number = 2, dim: Dims = None, keepdim: bool = False, *, dtype: dtypes.DType | None = None, out: Tensor | None = None
) -> Tensor:
    """The p-norm over `dim` (all elements when None), of order `ord`. RuntimeError for integers, or for ord < 0 of no elements.

    >>> ingot.linalg.vector_norm(ingot.tensor([3.0, 4.0]))
    tensor(5.)
    """
    check_tensor("vector_norm", x, "x")
    if x.dtype.kind not in "fc" and dtype is None:
        raise RuntimeError(f"linalg.vector_norm: Expected a floating point or complex tensor as input. Got {dtype_name(x.dtype)}")
    axes = dim_list(dim, x.ndim)
    order = float(ord)
    if (order < 0 or order == math.inf) and any(x.shape[a] == 0 for a in axes):
        raise RuntimeError(
            f"linalg.vector_norm cannot compute the {ord} norm on an empty tensor because the operation does not have an identity"
        )
    return emit_out(_vector_norm(x, order, axes, bool(keepdim), dtype or x.dtype), out)


@composite
@keeps(Kept.BOTH)
def _vector_norm(x: Tensor, p: float, axes: tuple[int, ...], keepdim: bool, dtype: dtypes.DType) -> Tensor:
    y = upcast(cast(x, dtype))
    if y.dtype.kind == "c":
        if p == 2:
            re, im = apply("real", y), apply("imag", y)
            return safe_root(reduced("reduce_sum", re * re + im * im, axes, keepdim))
        return _vector_norm(apply("magnitude", y), p, axes, keepdim, y.dtype.to_real())
    if p == 2:
        return cast(safe_root(reduced("reduce_sum", y * y, axes, keepdim)), dtype)
    if p == 0:
        return cast(reduced("reduce_sum", cast(y != 0, y.dtype), axes, keepdim), dtype)
    size = apply("abs", y)
    if p == 1:
        return cast(reduced("reduce_sum", size, axes, keepdim), dtype)
    if p in (math.inf, -math.inf):
        return cast(_extreme(size, p > 0, axes, keepdim), dtype)
    zero = size == 0
    base = apply("select", zero, scalar(1, y.dtype), size)
    powers = apply("select", zero, scalar(0 if p > 0 else math.inf, y.dtype), apply("pow", base, scalar(p, y.dtype)))
    total = reduced("reduce_sum", powers, axes, keepdim)
    none = total == 0
    root = apply("pow", apply("select", none, scalar(1, y.dtype), total), scalar(1 / p, y.dtype))
    return cast(apply("select", none, scalar(0 if p > 0 else math.inf, y.dtype), root), dtype)


def _extreme(size: Tensor, largest: bool, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    """The largest (smallest) of sizes; where one is NaN, NaN with a gradient of 0."""
    bad = size != size
    fixed = apply("select", bad, scalar(0 if largest else math.inf, size.dtype), size)
    found = reduced("reduce_max" if largest else "reduce_min", fixed, axes, keepdim)
    return apply("select", reduced("reduce_or", bad, axes, keepdim), scalar(math.nan, size.dtype), found)


def matrix_norm(
    A: Tensor, ord: Number | str = "fro", dim: Sequence[int] = (-2, -1), keepdim: bool = False, *, dtype: dtypes.DType | None = None,
    out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The norm of the matrices in two dims: "fro"; 1, -1, inf, -inf (sums of columns and rows); 2, -2, "nuc" (singular values).

    RuntimeError for an `ord` that does not exist.
    """
    check_tensor("linalg.matrix_norm", A, "A")
    if A.ndim < 2 or len(dim) != 2:
        raise ShapeError(
            f"linalg.matrix_norm: The input tensor A must have at least 2 dimensions, and dim two, got {A.ndim}D and {tuple(dim)}"
        )
    x = A if dtype is None else cast(A, dtype)
    if ord == "fro":
        return vector_norm(x, 2, tuple(dim), keepdim, out=out)
    if ord in (2, -2, "nuc"):
        first, second = (one_dim(d, x.ndim) for d in dim)
        s = svdvals(x.movedim((first, second), (-2, -1)))
        found = s.sum(-1) if ord == "nuc" or (ord == 2 and not s.shape[-1]) else s.amax(-1) if ord == 2 else s.amin(-1)
        return emit_out(found.unsqueeze(min(first, second)).unsqueeze(max(first, second)) if keepdim else found, out)
    if ord not in (1, -1, float("inf"), -float("inf")):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord!r} not supported; use 'fro', 'nuc', 1, -1, 2, -2, inf or -inf")
    rows, columns = (one_dim(d, x.ndim) for d in dim)
    over, rest = (rows, columns) if abs(ord) == 1 else (columns, rows)  # type: ignore[arg-type]
    sums = x.abs().sum(over, keepdim=True)
    if ord > 0 and not sums.shape[rest]:  # type: ignore[operator]
        found = sums.sum(rest, keepdim=True)  # over nothing: zero
    else:
        found = sums.amax(rest, keepdim=True) if ord > 0 else sums.amin(rest, keepdim=True)  # type: ignore[operator]
    if not keepdim:
        found = found.reshape(tuple(d for i, d in enumerate(found.shape) if i not in dim_list(tuple(dim), x.ndim)))
    return emit_out(found, out)


def dist(input: Tensor, other: Tensor, p: Number = 2) -> Tensor:
    """The p-norm of input - other, broadcast. A 0-d tensor."""
    a, b = operands("dist", input, other)
    return vector_norm(a - b, p)


@full
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str | None = None) -> Tensor:
    """The p-norm distances between the rows of (..., n, m) and (..., k, m): (..., n, k). RuntimeError for other shapes.

    >>> ingot.cdist(ingot.zeros(2, 3), ingot.ones(4, 3)).shape
    ingot.Size([2, 4])
    """
    check_tensor("cdist", x1, "x1")
    check_tensor("cdist", x2, "x2", 2)
    for name, x in (("X1", x1), ("X2", x2)):
        if x.dtype.kind != "f":
            raise RuntimeError(f"cdist only supports floating-point dtypes, {name} got: {dtype_name(x.dtype)}")
        if x.ndim < 2:
            raise ShapeError(f"cdist only supports at least 2D tensors, {name} got: {x.ndim}D")
    if x1.shape[-1] != x2.shape[-1]:
        raise ShapeError(f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}")
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    broadcast_shapes(tuple(x1.shape[:-2]), tuple(x2.shape[:-2]))
    a, b = operands("cdist", x1, x2)
    return _cdist(a, b, float(p))


@composite
@keeps(Kept.BOTH)
def _cdist(a: Tensor, b: Tensor, p: float) -> Tensor:
    left = apply("reshape", a, attrs=((*a.shape[:-1], 1, a.shape[-1]),))
    right = apply("reshape", b, attrs=((*b.shape[:-2], 1, *b.shape[-2:]),))
    gap = upcast(left) - upcast(right)
    if not gap.shape[-1]:
        return apply("broadcast", scalar(0, a.dtype), attrs=(tuple(gap.shape[:-1]),))
    return cast(_vector_norm(gap, p, (gap.ndim - 1,), False, gap.dtype), a.dtype)




def pdist(input: Tensor, p: float = 2) -> Tensor:
    """The p-norm distances between all pairs of rows of a matrix, as a vector. RuntimeError for other ranks.

    >>> ingot.pdist(ingot.eye(3))
    tensor([1.4142, 1.4142, 1.4142])
    """
    check_tensor("pdist", input)
    if input.ndim != 2:
        raise ShapeError(f"pdist only supports 2D tensors, got: {input.ndim}D")
    if input.dtype.kind != "f":
        raise RuntimeError("pdist only supports floating-point dtypes")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    n = input.shape[0]
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    if not pairs:
        return input.reshape(-1)[:0]
    left, right = (input.index_select(0, tensor(list(side), dtype=dtypes.i64)) for side in zip(*pairs))
    return vector_norm(left - right, p, 1)


def renorm(input: Tensor, p: Number, dim: int, maxnorm: Number, *, out: Tensor | None = None) -> Tensor:
    """`input` with each slice along `dim` whose p-norm is above `maxnorm` scaled down to it. RuntimeError for p <= 0.

    >>> ingot.renorm(ingot.ones(2, 3), 1, 0, 2.0)
    tensor([[0.6667, 0.6667, 0.6667],
            [0.6667, 0.6667, 0.6667]])
    """
    check_tensor("renorm", input)
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    if input.ndim < 2:
        raise RuntimeError("renorm: input needs at least 2 dimensions, got " + f"{input.ndim} dimensions")
    if input.dtype.kind not in "fc":
        raise refuse("renorm", input.dtype)
    axis = one_dim(dim, input.ndim)
    return emit_out(_renorm(input, float(p), axis, float(maxnorm)), out)


@composite
def _renorm(x: Tensor, p: float, axis: int, maxnorm: float) -> Tensor:
    y = upcast(x)
    size = _vector_norm(y, p, tuple(d for d in range(x.ndim) if d != axis), True, y.dtype)
    factor = apply("select", size > maxnorm, maxnorm / (size + 1e-7), scalar(1, size.dtype))
    return cast(y * cast(factor, y.dtype), x.dtype)


def _norm(self: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Tensor:
    """The norm over `dim`: see `ingot.norm`."""
    return norm(self, p, dim, keepdim, dtype=dtype)


def _dist(self: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of the difference."""
    return dist(self, other, p)


numpy_names.install(globals(), __all__)
METHODS = numpy_names.methods(norm=_norm, dist=_dist)
