"""Constants, shapes, slices, joins."""

from __future__ import annotations

import numpy as np

from ingot.interchange.onnx.emit.writer import Writer, emits
from ingot.ir import dtypes
from ingot.ir.graph import Node
from ingot.ir.size import Size

__all__: list[str] = []

_END = np.iinfo(np.int64).min


@emits("constant")
def _constant(w: Writer, n: Node, xs: list[str]) -> str:
    return w.constant(n.attrs[0].array())


@emits("iota")
def _iota(w: Writer, n: Node, xs: list[str]) -> str:
    dtype, shape, axis = n.attrs
    length = shape[axis]
    row = [length if i == axis else 1 for i in range(len(shape))]
    if not isinstance(length, Size) and length <= 4096:
        line = w.constant(np.arange(length).astype(dtype.numpy).reshape(row))
    else:
        scalar = w.node("Squeeze", w.size(length), w.constant(np.array([0], np.int64)))
        line = w.node("Range", w.constant(0, np.int64), scalar, w.constant(1, np.int64))
        line = w.node("Reshape", line, w.ints([-1 if i == axis else 1 for i in range(len(shape))]))
        line = line if dtype is dtypes.i64 else w.cast(line, dtype)
    return line if tuple(row) == tuple(shape) else w.node("Expand", line, w.ints(shape))


@emits("reshape")
def _reshape(w: Writer, n: Node, xs: list[str]) -> str:
    return w.reshape(xs[0], n.attrs[0])


@emits("transpose")
def _transpose(w: Writer, n: Node, xs: list[str]) -> str:
    return w.node("Transpose", *xs, perm=list(n.attrs[0]))


@emits("broadcast")
def _broadcast(w: Writer, n: Node, xs: list[str]) -> str:
    return xs[0] if n.inputs[0].type.shape == n.attrs[0] else w.node("Expand", xs[0], w.ints(n.attrs[0]))


@emits("slice")
def _slice(w: Writer, n: Node, xs: list[str]) -> str:
    starts, stops, steps = n.attrs
    shape = n.inputs[0].type.shape
    axes = [i for i in range(len(shape)) if (starts[i], steps[i]) != (0, 1) or stops[i] != shape[i]]
    if not axes:
        return xs[0]
    given = [w.ints([v[i] for i in axes]) for v in (starts, stops)]
    return w.node("Slice", xs[0], *given, w.ints(axes), w.ints([steps[i] for i in axes]))


@emits("pad")
def _pad(w: Writer, n: Node, xs: list[str]) -> str:
    low, high, interior = n.attrs
    x, value = xs
    for axis, between in enumerate(interior):
        if between:
            x = _spread(w, n, x, value, axis, between)
    if any(low) or any(high):
        x = w.node("Pad", x, w.ints([*low, *high]), value)
    return x


def _spread(w: Writer, n: Node, x: str, value: str, axis: int, between: int) -> str:
    """`between` values after each element of an axis but the last."""
    dim = w.constant(np.array([axis + 1], np.int64))
    wide = w.node("Unsqueeze", x, dim)
    rank = len(n.inputs[0].type.shape) + 1
    wide = w.node("Pad", wide, w.ints([0] * rank + [between if i == axis + 1 else 0 for i in range(rank)]), value)
    where = w.constant(np.array([axis], np.int64))
    shape = w.node("Shape", x)
    scale = w.constant(np.array([between + 1 if i == axis else 1 for i in range(rank - 1)], np.int64))
    empty = any(isinstance(d, Size) or d == 0 for d in n.inputs[0].type.shape)
    flat = w.node("Reshape", wide, w.node("Mul", shape, scale), allowzero=1 if empty else None)
    return w.node("Slice", flat, w.ints([0]), w.ints([-between]), where)


@emits("reverse")
def _reverse(w: Writer, n: Node, xs: list[str]) -> str:
    (axes,) = n.attrs
    if not axes:
        return xs[0]
    k = len(axes)
    return w.node("Slice", xs[0], w.ints([-1] * k), w.ints([_END] * k), w.ints(axes), w.ints([-1] * k))


@emits("concatenate")
def _concatenate(w: Writer, n: Node, xs: list[str]) -> str:
    return w.node("Concat", *xs, axis=n.attrs[0])
