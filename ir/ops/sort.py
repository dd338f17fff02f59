"""Sorting along one axis, and the first elements in its order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ingot.ir.builder import Expr
from ingot.ir.dtypes import REAL, i64
from ingot.ir.facts import Foldable, OwnKernels
from ingot.ir.op import OPS
from ingot.ir.ops.batching import axis_batch
from ingot.ir.ops.family import declare, need_axis, need_within, widen
from ingot.ir.ops.samples import case
from ingot.ir.types import Dim, TensorType, tensor_type

Exprs = Sequence[Expr]


def _infer(types: tuple[TensorType, ...], axis: int, descending: bool) -> tuple[TensorType, ...]:
    (x,) = types
    need_axis("sort", axis, x.rank)
    return x, x.with_dtype(i64)


def _ref(x: np.ndarray, axis: int, descending: bool) -> tuple[np.ndarray, np.ndarray]:
    keys = widen(x)
    if descending:  # sorting the reversed axis upwards and reversing again keeps the order of equals
        index = x.shape[axis] - 1 - np.flip(np.argsort(np.flip(keys, axis), axis=axis, kind="stable"), axis)
    else:
        index = np.argsort(keys, axis=axis, kind="stable")
    return np.take_along_axis(x, index, axis), np.ascontiguousarray(index.astype(np.int64))


def _vjp(cts: Exprs, ins: Exprs, outs: Exprs, axis: int, *order: Any) -> list[Expr]:
    # no position comes twice, so adding is setting
    return [OPS["scatter"](ins[0].full(0), outs[1], cts[0], axis=axis, mode="add")]


def _jvp(tangents: Exprs, ins: Exprs, outs: Exprs, axis: int, *order: Any) -> list[Expr | None]:
    return [OPS["gather"](tangents[0], outs[1], axis=axis), None]


_SHAPES = (((3, 4), 1), ((5, 2), 0), ((7,), 0), ((0, 3), 0), ((2, 0), 0), ((1,), 0), ((2, 40), 1))

sort = declare(
    "sort", attrs=("axis", "descending"), infer=_infer, ref=_ref, vjp=_vjp, jvp=_jvp, batch=axis_batch("sort"),
    doc="The elements along `axis` in order, and where they stood (i64). Stable both ways; NaN counts as greater than all else.",
    samples=lambda: [case(("f32", s, "distinct"), axis=a, descending=d) for s, a in _SHAPES for d in (False, True)]
    + [case((t.name, (3, 5)), axis=1, descending=d, grad=False) for t in REAL for d in (False, True)]
    + [case(("f32", (6,), [1, np.nan, -np.inf, 1, np.nan, 0]), axis=0, descending=d, grad=False) for d in (False, True)],
    lowering=OwnKernels("sort", whole=True), foldable=Foldable.NEVER,
)  # fmt: skip


def _infer_top(types: tuple[TensorType, ...], axis: int, descending: bool, count: Dim) -> tuple[TensorType, ...]:
    (x,) = types
    need_axis("top", axis, x.rank)
    for low, high in ((0, count), (count, x.shape[axis])):
        need_within(low, high, lambda: f"top: {x} does not have {count} elements along axis {axis}")
    out = tensor_type(x.dtype, (*x.shape[:axis], count, *x.shape[axis + 1 :]))
    return out, out.with_dtype(i64)


def _ref_top(x: np.ndarray, axis: int, descending: bool, count: int) -> tuple[np.ndarray, np.ndarray]:
    values, index = (np.take(a, np.arange(count), axis) for a in _ref(x, axis, descending))
    return values, index


_TOP_SHAPES = (
    ((3, 4), 1, 2), ((5, 2), 0, 5), ((7,), 0, 1), ((4,), 0, 0), ((0, 3), 0, 0), ((2, 0), 0, 1), ((2, 400), 1, 3), ((300, 2), 0, 7)
)  # fmt: skip

top = declare(
    "top", attrs=("axis", "descending", "count"), infer=_infer_top, ref=_ref_top, vjp=_vjp, jvp=_jvp, batch=axis_batch("top"),
    doc="The first `count` of what `sort` gives.",
    samples=lambda: [case(("f32", s, "distinct"), axis=a, descending=d, count=n) for s, a, n in _TOP_SHAPES for d in (False, True)]
    + [case((t.name, (3, 500)), axis=1, descending=d, count=4, grad=False) for t in REAL for d in (False, True)]
    + [case(("f32", (6,), [1, np.nan, -np.inf, 1, np.nan, 0]), axis=0, descending=d, count=3, grad=False) for d in (False, True)],
    lowering=OwnKernels("top", whole=True), foldable=Foldable.NEVER,
)  # fmt: skip
