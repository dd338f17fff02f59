"""Window reductions, of which pooling is made: a window moves over the trailing len(window) dims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ingot.ir.builder import Expr
from ingot.ir.dtypes import DType, Half, Number, by_numpy, i64
from ingot.ir.facts import Foldable, OwnKernels, Window
from ingot.ir.graph import Node
from ingot.ir.loop import index as ix
from ingot.ir.loop.folds import ARGMAX, MAX, SUM, Fold, lowest
from ingot.ir.loop.points import Point
from ingot.ir.op import NO_GRAD, OPS
from ingot.ir.ops.batching import axis_batch
from ingot.ir.ops.convolution import Ints, Pads, crop_spatial, pad_spatial, taps, trailing, window_extents
from ingot.ir.ops.family import declare, linear_jvp, narrow, need_alike, need_dtype, need_within, static, widen
from ingot.ir.ops.indexing import wrapped
from ingot.ir.ops.samples import Case, case, ints
from ingot.ir.ops.scalars import within
from ingot.ir.size import ShapeError, Size, at_most
from ingot.ir.types import Shape, TensorType, numel, shape_text, tensor_type

Exprs = Sequence[Expr]
GEOMETRY = ("window", "stride", "padding", "dilation")


def _result(name: str, shape: Shape, window: Ints, stride: Ints, padding: Pads, dilation: Ints) -> Shape:
    lead = len(shape) - len(window)
    if lead < 0 or not window:
        raise ShapeError(f"{name}: a window of {len(window)} dims needs an input of at least 1 and as many dims, got {shape_text(shape)}")
    return shape[:lead] + window_extents(name, shape[lead:], window, stride, padding, dilation)


def _need_elements(name: str, shape: Shape, window: Ints, stride: Ints, padding: Pads, dilation: Ints) -> None:
    """ShapeError if some window holds nothing but padding: it would have no greatest element."""
    sizes = shape[len(shape) - len(window) :]
    out = window_extents(name, sizes, window, stride, padding, dilation)
    for n, k, s, (lo, hi), d, m in zip(sizes, window, stride, padding, dilation, out):
        if lo == hi == 0:
            continue
        if isinstance(n, Size) and d == 1 and max(lo, hi) < k:
            need_within(1, n, lambda: f"{name}: of nothing, some windows of {window} would hold nothing but padding")
            continue
        m = static(name, m, "an extent that is padded")
        place = np.arange(m)[:, None] * s - lo + np.arange(k)[None, :] * d
        if not ((place >= 0) & (place < n)).any(1).all():
            raise ShapeError(f"{name}: with padding {padding} some windows of {window} hold nothing but padding")


def _infer(name: str, result: DType | None = None) -> Any:
    def infer(types: tuple[TensorType, ...], *geometry: Any) -> TensorType:
        (x,) = types
        need_dtype(name, x, Number)
        shape = _result(name, x.shape, *geometry)
        if name != "window_sum":
            _need_elements(name, x.shape, *geometry)
        return tensor_type(result or x.dtype, shape)

    return infer


def _argmax_of(x: np.ndarray, window: Ints, stride: Ints, padding: Pads, dilation: Ints) -> tuple[np.ndarray, np.ndarray]:
    """The greatest element of each window, the first of equals, NaN above all; and its flat place in the spatial dims."""
    sizes = x.shape[x.ndim - len(window) :]
    out = window_extents("window", sizes, window, stride, padding, dilation)
    places = pad_spatial(np.arange(int(np.prod(sizes)), dtype=np.int64).reshape(sizes), padding, -1)
    values = pad_spatial(widen(x), padding, lowest(by_numpy(x.dtype)))
    best: Any = None
    place: Any = None
    for _, at in taps(window, out, stride, dilation):
        v, p = values[trailing(at)], np.broadcast_to(places[at], values[trailing(at)].shape)
        if best is None:
            best, place = v.copy(), p.copy()
            continue
        # place < 0: so far only padding
        better = (p >= 0) & ((place < 0) | (v > best) | (np.isnan(v) & ~np.isnan(best)))
        best, place = np.where(better, v, best), np.where(better, p, place)
    return best, place


# -- which element of the input a place in a window reads --------------------------------------------------------------


def _forward(w: Any, node: Node, idx: Point, tap: Point) -> tuple[Point, Any]:
    """The element that tap t of window o reads, o * stride + t * dilation - low, where it is inside."""
    window, stride, padding, dilation = node.attrs
    k = len(window)
    sizes, out = node.inputs[0].type.shape[-k:], node.outputs[0].type.shape[-k:]
    at, mask = within(w, (
        (ix.add(ix.add(ix.mul(o, s), ix.mul(t, d)), ix.const(-lo)), 1, n, lo > 0, not at_most((m - 1) * s + (size - 1) * d - lo + 1, n))
        for o, t, s, (lo, _), d, n, m, size in zip(idx[-k:], tap, stride, padding, dilation, sizes, out, window)
    ))  # fmt: skip
    return (*idx[:-k], *at), mask


def _backward(w: Any, node: Node, idx: Point, tap: Point) -> tuple[Point, Any]:
    """The window o whose tap t reads element i, (i + low - t * dilation) / stride, where it is whole and inside."""
    input_shape, window, stride, padding, dilation = node.attrs
    k = len(window)
    sizes = node.inputs[0].type.shape[-k:]
    at, mask = within(w, (
        (ix.add(ix.add(i, ix.mul(t, -d)), ix.const(lo)), s, n, (size - 1) * d > lo, not at_most((m - 1 + lo) // s + 1, n))
        for i, t, s, (lo, _), d, n, m, size in zip(idx[-k:], tap, stride, padding, dilation, sizes, input_shape[-k:], window)
    ))  # fmt: skip
    return (*idx[:-k], *at), mask


def _over(fold: Fold) -> Window:
    return Window(fold, lambda node: node.attr("window"), _forward)


# x, window, stride, padding, dilation
_CASES: tuple[tuple[Any, ...], ...] = (
    ((2, 3, 6, 5), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)),
    ((2, 7, 6), (3, 2), (2, 1), ((1, 1), (1, 0)), (1, 2)),
    ((1, 2, 9), (3,), (2,), ((1, 2),), (2,)),
    ((2, 3, 4, 3), (2, 2, 2), (1, 2, 1), ((0, 1), (1, 0), (0, 0)), (1, 1, 2)),
    ((4,), (1,), (1,), ((0, 0),), (1,)),
    ((0, 4, 4), (2, 2), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    ((3, 7), (2,), (5,), ((0, 0),), (1,)),
)
_DTYPES = ("f64", "f16", "bf16", "i32", "u8")


def _with(geometry: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(GEOMETRY, geometry))


def _samples(values: Any = None) -> list[Case]:
    more = () if values is None else (values,)
    out = [case(("f32", x, *more), **_with(tuple(g))) for x, *g in _CASES]
    x, *g = _CASES[1]
    return out + [case((d, x), **_with(tuple(g)), grad=False) for d in _DTYPES]


def _extremum_samples(values: Any = None) -> list[Case]:
    nan = [1, np.nan, 3, -np.inf, -np.inf, -np.inf, 2, np.inf, np.nan, np.nan]
    return [
        *_samples(values), case(("f32", (10,), nan), window=(2,), stride=(1,), padding=((1, 1),), dilation=(1,), grad=False)
    ]  # fmt: skip


def _max_vjp(cts: Exprs, ins: Exprs, outs: Exprs, window: Ints, *rest: Any) -> list[Expr]:
    x = ins[0]
    place = OPS["window_argmax"](x, **_with((window, *rest)))
    return [OPS["window_scatter"](cts[0], place, spatial=x.shape[x.rank - len(window) :])]


def _max_jvp(tangents: Exprs, ins: Exprs, outs: Exprs, window: Ints, *rest: Any) -> list[Expr]:
    return [_read_places(tangents[0], OPS["window_argmax"](ins[0], **_with((window, *rest))), len(window))]


def _read_places(x: Expr, place: Expr, spatial: int) -> Expr:
    """x at flat places of its last `spatial` dims."""
    lead = x.shape[: x.rank - spatial]
    flat = x.reshape((*lead, numel(x.shape[len(lead) :])))
    at = place.reshape((*lead, numel(place.shape[len(lead) :])))
    return OPS["gather"](flat, at, axis=len(lead)).reshape(place.shape)


window_max = declare(
    "window_max", doc="The greatest element of each window, NaN if it holds one; padding never wins.", attrs=GEOMETRY,
    infer=_infer("window_max"), ref=lambda x, *g: narrow(_argmax_of(x, *g)[0], by_numpy(x.dtype)), vjp=_max_vjp, jvp=_max_jvp,
    batch=axis_batch("window_max"),
    samples=lambda: _extremum_samples("distinct"),
    lowering=_over(MAX), foldable=Foldable.NEVER,
)  # fmt: skip
window_argmax = declare(
    "window_argmax", attrs=GEOMETRY, infer=_infer("window_argmax", i64), ref=lambda x, *g: _argmax_of(x, *g)[1],
    doc="The flat place (i64), within the spatial dims, of each window's greatest element: the first of equals, the first NaN.",
    vjp=NO_GRAD, jvp=NO_GRAD, batch=axis_batch("window_argmax"), samples=_extremum_samples,
    lowering=_over(ARGMAX), foldable=Foldable.NEVER,
)  # fmt: skip


# -- scatter ---------------------------------------------------------------------------------------------------------


def _scatter_infer(types: tuple[TensorType, ...], spatial: Shape) -> TensorType:
    if len(types) != 2:
        raise TypeError(f"window_scatter: takes values and their places, got {len(types)} inputs")
    g, place = types
    need_dtype("window_scatter", g, Number)
    need_dtype("window_scatter", place, frozenset((i64,)), "the places")
    if g.shape != place.shape or len(spatial) > g.rank:
        raise ShapeError(f"window_scatter: values {g} and places {place} must have one shape, of at least {len(spatial)} dims")
    return g.with_shape(g.shape[: g.rank - len(spatial)] + spatial)


def _scatter_ref(g: np.ndarray, place: np.ndarray, spatial: Ints) -> np.ndarray:
    lead = g.shape[: g.ndim - len(spatial)]
    n, rows = int(np.prod(spatial)), int(np.prod(lead, dtype=np.int64))
    out = np.zeros((rows, n), np.float32 if by_numpy(g.dtype) in Half else g.dtype)
    flat = wrapped("window_scatter", place, n, g.ndim - len(spatial)).reshape(rows, -1) if rows else np.zeros((0, 1), np.int64)
    np.add.at(out, (np.arange(rows)[:, None], flat), g.reshape(flat.shape).astype(out.dtype) if rows else np.zeros((0, 1), out.dtype))
    return out.astype(g.dtype).reshape(lead + spatial)


window_scatter = declare(
    "window_scatter", attrs=("spatial",), infer=_scatter_infer, ref=_scatter_ref, jvp=linear_jvp("window_scatter", 1),
    batch=axis_batch("window_scatter"),
    doc="Zeros of extents `spatial`, plus g at its flat places there, in row-major order: the transpose of reading them. "
        "Halves are added up in f32, and rounded once.",
    vjp=lambda cts, ins, outs, spatial: [_read_places(cts[0], ins[1], len(spatial)), None],
    samples=lambda: [case((d, (2, 3, 2)), ("i64", (2, 3, 2), ints(0, 11)), spatial=(4, 3)) for d in ("f32", "f64", "bf16", "i32")]
    + [case(("f32", s), ("i64", s, ints(0, 4)), spatial=(5,)) for s in ((3,), (0, 2), (1, 9))],
    lowering=OwnKernels("window_scatter"), foldable=Foldable.NEVER, can_fail=True,
)  # fmt: skip


# -- sums ------------------------------------------------------------------------------------------------------------


def _sum_ref(x: np.ndarray, window: Ints, stride: Ints, padding: Pads, dilation: Ints) -> np.ndarray:
    wide = pad_spatial(widen(x, True), padding)
    out = window_extents("window_sum", wide.shape[x.ndim - len(window) :], window, stride, ((0, 0),) * len(window), dilation)
    return narrow(sum(wide[trailing(at)] for _, at in taps(window, out, stride, dilation)), by_numpy(x.dtype))


def _sum_grad_infer(types: tuple[TensorType, ...], input_shape: Shape, *geometry: Any) -> TensorType:
    (g,) = types
    need_dtype("window_sum_grad", g, Number)
    expected = _result("window_sum_grad", input_shape, *geometry)
    need_alike(expected, g.shape, lambda: f"window_sum_grad: the cotangent must have shape {shape_text(expected)}, got {g}")
    return g.with_shape(input_shape)


def _sum_grad_ref(g: np.ndarray, input_shape: Ints, window: Ints, stride: Ints, padding: Pads, dilation: Ints) -> np.ndarray:
    wide = widen(g, True)
    total = pad_spatial(np.zeros(input_shape, wide.dtype), padding)
    for _, at in taps(window, g.shape[g.ndim - len(window) :], stride, dilation):
        total[trailing(at)] += wide
    return narrow(crop_spatial(total, padding), by_numpy(g.dtype))


def _sum_grad_batch(ins: Exprs, batched: Sequence[bool], input_shape: Shape, *geometry: Any) -> tuple[list[Expr], list[bool]]:
    (g,) = ins
    return [OPS["window_sum_grad"](g, input_shape=(g.shape[0], *input_shape), **_with(geometry))], [True]


window_sum = declare(
    "window_sum", doc="The sum of each window; padding counts as 0. Halves accumulate in f32.", attrs=GEOMETRY,
    infer=_infer("window_sum"), ref=_sum_ref, jvp=linear_jvp("window_sum"), batch=axis_batch("window_sum"),
    samples=_samples,
    vjp=lambda cts, ins, outs, *g: [OPS["window_sum_grad"](cts[0], input_shape=ins[0].shape, **_with(g))],
    lowering=_over(SUM), foldable=Foldable.NEVER,
)  # fmt: skip
window_sum_grad = declare(
    "window_sum_grad", attrs=("input_shape", *GEOMETRY), sizes=("input_shape",), infer=_sum_grad_infer, ref=_sum_grad_ref,
    jvp=linear_jvp("window_sum_grad"), batch=_sum_grad_batch,
    doc="The transpose of window_sum: each element of g added to every element of its window.",
    vjp=lambda cts, ins, outs, input_shape, *g: [OPS["window_sum"](cts[0], **_with(g))],
    samples=lambda: [case(("f32", _result("", x, *g)), input_shape=x, **_with(tuple(g))) for x, *g in _CASES]
    + [case((d, _result("", *_CASES[1])), input_shape=_CASES[1][0], **_with(_CASES[1][1:])) for d in _DTYPES],
    lowering=Window(SUM, lambda node: node.attr("window"), _backward), foldable=Foldable.NEVER,
)  # fmt: skip
