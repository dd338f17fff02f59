"""Running products and extrema as scans, where the op set has no op for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ingot.interchange.onnx.emit.loops import whole
from ingot.interchange.onnx.emit.writer import Writer, emits
from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.graph import Node
from ingot.ir.types import TensorType, tensor_type

__all__ = ["product"]


def _slice(t: TensorType, axis: int, dtype: DType) -> TensorType:
    """The type of a slice along an axis."""
    return tensor_type(dtype, t.shape[:axis] + t.shape[axis + 1 :])


def _filled(w: Writer, t: TensorType, value: object) -> str:
    return w.node("Expand", w.constant(value, t.dtype), w.ints(t.shape))


def _scanned(w: Writer, body: object, inputs: Sequence[str], carries: int, axes: list[int], axis: int, back: bool) -> list[str]:
    """The stacked results of a Scan, one for each carry; `axes`: along which the inputs are scanned."""
    return w.many(
        "Scan", inputs, 2 * carries, body=body, num_scan_inputs=len(axes), scan_input_axes=axes, scan_output_axes=[axis] * carries,
        scan_input_directions=[int(back)] * len(axes), scan_output_directions=[int(back)] * carries,
    )[carries:]  # fmt: skip


def product(w: Writer, t: TensorType, x: str, axis: int, reverse: bool) -> str:
    """The product of all elements up to each, of type `t`."""
    row = _slice(t, axis, t.dtype)
    inner = Writer(w.opset, w)
    names = [inner.fresh("so_far"), inner.fresh("row")]
    made = inner.node("Mul", *names)
    body = whole(inner, "running_product", names, (row, row), [made, made], (row, row))
    return _scanned(w, body, [_filled(w, row, 1), x], 1, [axis], axis, reverse)[0]


@emits("cummax", "cummin")
def _extremum(w: Writer, n: Node, xs: list[str]) -> list[str]:
    """The best so far, and where it is: the last of equals, NaN before all else."""
    (axis,) = n.attrs
    t, greatest = n.inputs[0].type, n.op.name == "cummax"
    dtype = t.dtype if t.dtype.kind == "f" or t.dtype.bits >= 32 and t.dtype.kind != "b" else dtypes.i32
    x = xs[0] if dtype is t.dtype else w.cast(xs[0], dtype)
    row, place, number = _slice(t, axis, dtype), _slice(t, axis, dtypes.i64), tensor_type(dtypes.i64, ())
    inner = Writer(w.opset, w)
    best, at, new, k = names = [inner.fresh(name) for name in ("best", "at", "row", "k")]
    take = inner.node("GreaterOrEqual" if greatest else "LessOrEqual", new, best)
    if dtype.kind == "f":
        take = inner.node("Or", take, inner.node("Not", inner.node("Equal", new, new)))
    made = [inner.node("Where", take, new, best), inner.node("Where", take, k, at)]
    body = whole(inner, f"running_{'max' if greatest else 'min'}", names, (row, place, row, number), made * 2, (row, place) * 2)
    worst = (-np.inf if greatest else np.inf) if dtype.kind == "f" else getattr(np.iinfo(dtype.numpy), "min" if greatest else "max")
    first = w.node("Squeeze", w.size(t.shape[axis]), w.constant(np.array([0], np.int64)))
    places = w.node("Range", w.constant(0, np.int64), first, w.constant(1, np.int64))
    values, at = _scanned(w, body, [_filled(w, row, worst), _filled(w, place, 0), x, places], 2, [axis, 0], axis, False)
    return [values if dtype is t.dtype else w.cast(values, t.dtype), at]
