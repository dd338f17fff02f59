"""Shapes: reshaping, broadcasting, slices, joins; with sizes that are computed, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ingot._tensor import Tensor
from ingot.functions.common import apply
from ingot.interchange.stablehlo.rules import Call, NeedsValue, dtype_of, op

__all__ = ["broadcast_dims", "dims_of", "padded", "transposed"]


def dims_of(known: np.ndarray) -> tuple[Any, ...]:
    """Extents out of a known vector: symbolic ones as they are."""
    return tuple(d if known.dtype == object else int(d) for d in known.reshape(-1))


def transposed(x: Tensor, perm: Sequence[int]) -> Tensor:
    perm = tuple(perm)
    return x if perm == tuple(range(len(perm))) else apply("transpose", x, attrs=(perm,))


def _extents(c: Call, x: Tensor) -> tuple[Any, ...]:
    """The shape of the first result; a size that nothing says is that of the operand's elements that are left."""
    shape = c.type.shape
    if shape is None:
        raise NeedsValue(f"{c.op.text()}: nothing says the rank of its result")
    if None not in shape:
        return shape
    if shape.count(None) > 1:
        raise NeedsValue(f"{c.op.text()}: its result has the type {c.type}, whose sizes nothing says")
    rest: Any = 1
    for d in x.shape:
        rest = rest * d
    for d in shape:
        rest = rest // d if d is not None else rest
    return tuple(rest if d is None else d for d in shape)


@op("reshape")
def reshape(c: Call, x: Tensor) -> Tensor:
    return apply("reshape", x, attrs=(_extents(c, x),))


@op("dynamic_reshape", known=("output_shape",))
def dynamic_reshape(x: Tensor, output_shape: np.ndarray) -> Tensor:
    return apply("reshape", x, attrs=(dims_of(output_shape),))


def broadcast_dims(x: Tensor, shape: Sequence[Any], dims: Sequence[int]) -> Tensor:
    """`x`, whose dim i is dim dims[i] of the result, repeated along all others and where it has extent 1."""
    if list(dims) != sorted(dims):
        order = sorted(range(len(dims)), key=lambda i: dims[i])
        x, dims = transposed(x, order), sorted(dims)
    spread: list[Any] = [1] * len(shape)
    for d, n in zip(dims, x.shape):
        spread[d] = n
    return apply("broadcast", apply("reshape", x, attrs=(tuple(spread),)), attrs=(tuple(shape),))


@op("broadcast_in_dim")
def broadcast_in_dim(c: Call, x: Tensor, *, broadcast_dimensions: Any) -> Tensor:
    return broadcast_dims(x, c.shape, broadcast_dimensions)


@op("dynamic_broadcast_in_dim", known=("output_dimensions",))
def dynamic_broadcast_in_dim(
    x: Tensor, output_dimensions: np.ndarray, *, broadcast_dimensions: Any, known_expanding_dimensions: Any = (),
    known_nonexpanding_dimensions: Any = (),
) -> Tensor:  # fmt: skip
    return broadcast_dims(x, dims_of(output_dimensions), broadcast_dimensions)


@op("broadcast")
def broadcast(x: Tensor, *, broadcast_sizes: Any) -> Tensor:
    """New dims in front."""
    return apply("broadcast", x, attrs=((*broadcast_sizes, *x.shape),))


@op("transpose")
def transpose(x: Tensor, *, permutation: Any) -> Tensor:
    return transposed(x, permutation)


@op("reverse")
def reverse(x: Tensor, *, dimensions: Any) -> Tensor:
    return apply("reverse", x, attrs=(tuple(sorted(dimensions)),)) if len(dimensions) else x


@op("concatenate")
def concatenate(*inputs: Tensor, dimension: int) -> Tensor:
    return inputs[0] if len(inputs) == 1 else apply("concatenate", *inputs, attrs=(dimension,))


@op("slice")
def slice_(x: Tensor, *, start_indices: Any, limit_indices: Any, strides: Any) -> Tensor:
    return apply("slice", x, attrs=(tuple(start_indices), tuple(limit_indices), tuple(strides)))


@op("real_dynamic_slice", known=("start_indices", "limit_indices", "strides"))
def real_dynamic_slice(x: Tensor, start_indices: np.ndarray, limit_indices: np.ndarray, strides: np.ndarray) -> Tensor:
    return apply("slice", x, attrs=(dims_of(start_indices), dims_of(limit_indices), dims_of(strides)))


def padded(x: Tensor, value: Tensor, low: Sequence[Any], high: Sequence[Any], interior: Sequence[int]) -> Tensor:
    """With `value` around the elements and between them; less than nothing around them cuts off."""
    grow = [tuple(d if not isinstance(d, int) or d > 0 else 0 for d in side) for side in (low, high)]
    if any(map(bool, interior)) or any(not isinstance(d, int) or d for side in grow for d in side):
        x = apply("pad", x, value, attrs=(*grow, tuple(interior)))
    if any(isinstance(d, int) and d < 0 for side in (low, high) for d in side):
        starts = tuple(-d if isinstance(d, int) and d < 0 else 0 for d in low)
        stops = tuple(max(n + d, s) if isinstance(d, int) and d < 0 else n for n, d, s in zip(x.shape, high, starts))
        x = apply("slice", x, attrs=(starts, stops, (1,) * x.ndim))
    return x


@op("pad")
def pad(x: Tensor, value: Tensor, *, edge_padding_low: Any, edge_padding_high: Any, interior_padding: Any) -> Tensor:
    return padded(x, value, edge_padding_low, edge_padding_high, interior_padding)


@op("dynamic_pad", known=("low", "high", "interior"))
def dynamic_pad(x: Tensor, value: Tensor, low: np.ndarray, high: np.ndarray, interior: np.ndarray) -> Tensor:
    return padded(x, value, dims_of(low), dims_of(high), dims_of(interior))


@op("iota")
def iota(c: Call, *, iota_dimension: int) -> Tensor:
    return counted(c, c.shape, iota_dimension)


@op("dynamic_iota", known=("output_shape",))
def dynamic_iota(c: Call, output_shape: np.ndarray, *, iota_dimension: int) -> Tensor:
    return counted(c, dims_of(output_shape), iota_dimension)


def counted(c: Call, shape: Sequence[Any], axis: int) -> Tensor:
    """0, 1, … along an axis."""
    dtype = c.dtype
    if dtype.kind == "c":
        return apply("cast", apply("iota", attrs=(dtype.to_real(), tuple(shape), axis)), attrs=(dtype,))
    return apply("iota", attrs=(dtype, tuple(shape), axis))


@op("get_dimension_size", raw=True)
def get_dimension_size(c: Call, x: Any, *, dimension: int) -> Any:
    n = x.shape[dimension]
    dtype = dtype_of(c.type).numpy
    return np.array(n, dtype if type(n) is int else object)


@op("set_dimension_size", known=("size",))
def set_dimension_size(x: Tensor, size: np.ndarray, *, dimension: int) -> Tensor:
    """Less of a dim: its first elements."""
    n = dims_of(size)[0]
    stops = [n if i == dimension else d for i, d in enumerate(x.shape)]
    return apply("slice", x, attrs=((0,) * x.ndim, tuple(stops), (1,) * x.ndim))


@op("optimization_barrier", raw=True)
def optimization_barrier(*values: Any) -> tuple[Any, ...]:
    return values


@op("tuple", raw=True)
def tuple_(c: Call, *values: Any) -> tuple[Any, ...]:
    return (values,)


@op("get_tuple_element", raw=True)
def get_tuple_element(value: Any, *, index: int) -> Any:
    if not isinstance(value, tuple) or not 0 <= index < len(value):
        raise TypeError(f"there is no element {index}")
    return value[index]


@op("constant", lifted=True)
def constant(c: Call, *, value: Any) -> Any:
    return c.run.constant(c.op)
