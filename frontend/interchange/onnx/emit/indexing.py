"""Gathering and scattering."""

from __future__ import annotations

import numpy as np

from ingot.interchange.onnx.emit.writer import UnsupportedError, Writer, emits
from ingot.ir import dtypes
from ingot.ir.graph import Node
from ingot.ir.types import broadcast_shapes

__all__: list[str] = []

_MODES = {"set": None, "add": "add", "mul": "mul", "min": "min", "max": "max"}


def _mode(w: Writer, mode: str) -> str | None:
    needed = {"add": 16, "mul": 16, "min": 18, "max": 18}.get(mode, 0)
    if w.opset < needed:
        raise UnsupportedError(f"scattering with {mode} needs op set {needed}")
    return _MODES[mode]


def _wide(w: Writer, n: Node, i: int, x: str) -> str:
    return x if n.inputs[i].type.dtype in (dtypes.i32, dtypes.i64) else w.cast(x, dtypes.i64)


@emits("gather")
def _gather(w: Writer, n: Node, xs: list[str]) -> str:
    return w.node("GatherElements", xs[0], _wide(w, n, 1, xs[1]), axis=n.attrs[0])


@emits("scatter")
def _scatter(w: Writer, n: Node, xs: list[str]) -> str:
    axis, mode = n.attrs
    x, index, src = xs
    shape = n.inputs[1].type.shape
    if n.inputs[2].type.shape != shape:  # more than there are indices
        src = w.node("Slice", src, w.ints([0] * len(shape)), w.ints(shape), w.ints(range(len(shape))))
    return w.node("ScatterElements", x, _wide(w, n, 1, index), src, axis=axis, reduction=_mode(w, mode))


def _places(w: Writer, n: Node, first: int, xs: list[str]) -> tuple[str, tuple]:
    """Indices that broadcast together as one tensor with a last dim of them, and their common shape."""
    shapes = [v.type.shape for v in n.inputs[first:]]
    common = broadcast_shapes(*shapes)
    columns = []
    for i, (x, shape) in enumerate(zip(xs, shapes), first):
        x = x if n.inputs[i].type.dtype is dtypes.i64 else w.cast(x, dtypes.i64)
        if shape != common:
            x = w.node("Expand", x, w.ints(common))
        columns.append(w.node("Unsqueeze", x, w.constant(np.array([len(common)], np.int64))))
    return (columns[0] if len(columns) == 1 else w.node("Concat", *columns, axis=len(common))), common


def _adjacent(axes: tuple[int, ...]) -> bool:
    return all(b - a == 1 for a, b in zip(axes, axes[1:]))


def _perms(axes: tuple[int, ...], rank: int, common: int) -> tuple[list[int], list[int]]:
    """The permutation that brings the indexed axes of x to the front, and the one that brings what is selected into the op's layout."""
    rest = [i for i in range(rank) if i not in axes]
    front = [*axes, *rest]
    at = axes[0] if _adjacent(axes) else 0  # selected: common dims, then the rest
    before = len([i for i in rest if i < at])
    layout = [*range(common, common + before), *range(common), *range(common + before, common + len(rest))]
    return front, layout


@emits("index_get")
def _index_get(w: Writer, n: Node, xs: list[str]) -> str:
    (axes,) = n.attrs
    if len(axes) == 1:
        return w.node("Gather", xs[0], _wide(w, n, 1, xs[1]), axis=axes[0])
    places, common = _places(w, n, 1, xs[1:])
    front, layout = _perms(axes, len(n.inputs[0].type.shape), len(common))
    x = xs[0] if front == sorted(front) else w.node("Transpose", xs[0], perm=front)
    out = w.node("GatherND", x, places)
    return out if layout == sorted(layout) else w.node("Transpose", out, perm=layout)


@emits("index_put")
def _index_put(w: Writer, n: Node, xs: list[str]) -> str:
    axes, mode = n.attrs
    places, common = _places(w, n, 2, xs[2:])
    front, layout = _perms(axes, len(n.inputs[0].type.shape), len(common))
    x = xs[0] if front == sorted(front) else w.node("Transpose", xs[0], perm=front)
    src = xs[1] if layout == sorted(layout) else w.node("Transpose", xs[1], perm=list(np.argsort(layout)))
    out = w.node("ScatterND", x, places, src, reduction=_mode(w, mode))
    return out if front == sorted(front) else w.node("Transpose", out, perm=list(np.argsort(front)))


@emits("window_scatter")
def _window_scatter(w: Writer, n: Node, xs: list[str]) -> str:
    """Zeros, plus g at its flat places in the trailing dims."""
    (spatial,) = n.attrs
    shape = n.outputs[0].type.shape
    lead = shape[: len(shape) - len(spatial)]
    size = 1
    for d in spatial:
        size = size * d
    places: int = 1
    for d in n.inputs[0].type.shape[len(lead) :]:
        places = places * d
    zeros = w.node("Expand", w.constant(0, n.outputs[0].type.dtype), w.ints([*lead, size]))
    flat = [w.reshape(x, [*lead, places]) for x in xs]
    out = w.node("ScatterElements", zeros, flat[1], flat[0], axis=len(lead), reduction=_mode(w, "add"))
    return w.reshape(out, shape)
