"""Reductions, positions, running sums, sorting."""

from __future__ import annotations

import numpy as np

from ingot.interchange.onnx.emit.running import product
from ingot.interchange.onnx.emit.writer import Writer, emits
from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.graph import Node

__all__ = ["reduced"]

_OPS = {"reduce_sum": "ReduceSum", "reduce_prod": "ReduceProd", "reduce_max": "ReduceMax", "reduce_min": "ReduceMin"}


def reduced(w: Writer, op: str, x: str, axes: tuple[int, ...]) -> str:
    """A reduction whose axes stay as extent 1: their numbers are an input since op set 13, or 18."""
    if not axes:
        return x
    if w.opset >= (13 if op == "ReduceSum" else 18):
        return w.node(op, x, w.constant(np.array(axes, np.int64)), keepdims=1)
    return w.node(op, x, axes=list(axes), keepdims=1)


def _wide(dtype: DType) -> DType:
    """What runtimes reduce: 32-bit and 64-bit numbers."""
    return dtypes.i32 if dtype.kind == "b" or (dtype.kind in "iu" and dtype.bits < 32) else dtype


@emits("reduce_sum", "reduce_prod", "reduce_max", "reduce_min")
def _reduce(w: Writer, n: Node, xs: list[str]) -> str:
    dtype = n.inputs[0].type.dtype
    wide = _wide(dtype)
    x = xs[0] if wide is dtype else w.cast(xs[0], wide)
    out = reduced(w, _OPS[n.op.name], x, n.attrs[0])
    return out if wide is dtype else w.cast(out, dtype)


@emits("reduce_and", "reduce_or")
def _logical(w: Writer, n: Node, xs: list[str]) -> str:
    """All hold where none does not, and any where their number is not 0: for no elements too."""
    every = n.op.name == "reduce_and"
    whole = w.cast(w.node("Not", xs[0]) if every else xs[0], dtypes.i64)
    some = w.cast(reduced(w, "ReduceSum", whole, n.attrs[0]), dtypes.bool_)
    return w.node("Not", some) if every else some


@emits("argmax", "argmin")
def _position(w: Writer, n: Node, xs: list[str]) -> str:
    dtype = n.inputs[0].type.dtype
    x = w.cast(xs[0], dtypes.i32) if dtype.kind == "b" or dtype.bits == 16 and dtype.kind in "iu" else xs[0]
    keep = int(len(n.outputs[0].type.shape) == len(n.inputs[0].type.shape))
    return w.node("ArgMax" if n.op.name == "argmax" else "ArgMin", x, axis=n.attrs[0], keepdims=keep)


@emits("sort", "top")
def _sort(w: Writer, n: Node, xs: list[str]) -> list[str]:
    axis, descending = n.attrs[:2]
    dtype = n.inputs[0].type.dtype
    x = w.cast(xs[0], dtypes.i32) if dtype.kind == "b" else xs[0]
    size = w.size(n.outputs[0].type.shape[axis])
    values, at = w.many("TopK", [x, size], 2, axis=axis, largest=int(descending), sorted=1)
    return [w.cast(values, dtype) if dtype.kind == "b" else values, at]


@emits("cumsum")
def _cumsum(w: Writer, n: Node, xs: list[str]) -> str:
    axis, reverse = n.attrs
    return _running(w, n, xs[0], "CumSum", axis, reverse)


@emits("cumprod")
def _cumprod(w: Writer, n: Node, xs: list[str]) -> str:
    axis, reverse = n.attrs
    if w.opset >= 26:
        return _running(w, n, xs[0], "CumProd", axis, reverse)
    t = n.inputs[0].type
    wide = _wide(t.dtype)
    out = product(w, t.with_dtype(wide), xs[0] if wide is t.dtype else w.cast(xs[0], wide), axis, reverse)
    return out if wide is t.dtype else w.cast(out, t.dtype)


def _running(w: Writer, n: Node, x: str, op: str, axis: int, reverse: bool) -> str:
    dtype = n.inputs[0].type.dtype
    wide = _wide(dtype)
    out = w.node(op, x if wide is dtype else w.cast(x, wide), w.constant(axis, np.int64), reverse=int(reverse))
    return out if wide is dtype else w.cast(out, dtype)
