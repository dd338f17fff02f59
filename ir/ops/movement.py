"""Movement: elements change places, never values. All are linear, so their JVP is the op itself."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ingot.ir.builder import Expr
from ingot.ir.dtypes import bool_
from ingot.ir.facts import FREE, Foldable, OverComplex, Reads, View
from ingot.ir.graph import Node
from ingot.ir.loop import index as ix
from ingot.ir.loop.points import Point, linear, reshaped
from ingot.ir.op import OPS
from ingot.ir.ops.batching import axis_batch
from ingot.ir.ops.family import declare, linear_jvp, need_alike, need_axes, need_axis, need_equal, need_same, need_shape, need_within
from ingot.ir.ops.samples import case
from ingot.ir.ops.scalars import both, within
from ingot.ir.size import ShapeError, Undecided, at_most, larger
from ingot.ir.types import Dim, Shape, TensorType, broadcast_shapes, shape_text, tensor_type

Exprs = Sequence[Expr]
Ints = tuple[int, ...]
DTYPES = ("f32", "f64", "bf16", "i64", "u8", "bool", "c64", "c128")


def _one(name: str, types: tuple[TensorType, ...]) -> TensorType:
    if len(types) != 1:
        raise TypeError(f"{name}: takes 1 input, got {len(types)}")
    return types[0]


# -- reshape ---------------------------------------------------------------------------------------------------------


def _reshape_infer(types: tuple[TensorType, ...], shape: Shape) -> TensorType:
    x = _one("reshape", types)
    need_shape("reshape", shape)
    need_equal(
        prod(x.shape), prod(shape), lambda: f"reshape: {x} cannot become {shape_text(shape)}: the number of elements differs"
    )
    return x.with_shape(shape)


def _reshape_element(p: Any, node: Node, idx: Point, mask: Any) -> Any:
    src = node.inputs[0]
    buf = p.stored(src)
    if buf is not None:  # in memory the offset is the same
        return p.w.load(buf, linear(idx, node.outputs[0].type.shape), src.type.dtype, mask)
    return p.at(src, reshaped(idx, src.type.shape, node.outputs[0].type.shape, p.w.ranges), mask)


reshape = declare(
    "reshape", doc="The same elements, in row-major order, in another shape.", attrs=("shape",), sizes=("shape",), infer=_reshape_infer,
    ref=lambda x, shape: x.reshape(shape), vjp=lambda cts, ins, outs, shape: [cts[0].reshape(ins[0].shape)], jvp=linear_jvp("reshape"),
    batch=lambda ins, batched, shape: ([ins[0].reshape(ins[0].shape[:1] + shape)], [True]),
    samples=lambda: [case((d, (2, 6)), shape=(3, 4)) for d in DTYPES]
    + [case(("f32", a), shape=b) for a, b in (((), (1, 1)), ((0, 3), (3, 0, 2)), ((2, 1, 3), (6,)), ((1,), ()))],
    lowering=View(_reshape_element, FREE, Reads.SAME, stays=True), foldable=Foldable.ALWAYS, over_complex=OverComplex.PLAIN,
)  # fmt: skip


# -- transpose -------------------------------------------------------------------------------------------------------


def _transpose_infer(types: tuple[TensorType, ...], perm: Ints) -> TensorType:
    x = _one("transpose", types)
    if sorted(perm) != list(range(x.rank)):
        raise ShapeError(f"transpose: perm {perm} is no permutation of the {x.rank} dims of {x}")
    return x.with_shape(tuple(x.shape[p] for p in perm))


def inverse(perm: Ints) -> Ints:
    """The permutation that undoes `perm`."""
    return tuple(perm.index(i) for i in range(len(perm)))


def _transpose_element(p: Any, node: Node, idx: Point, mask: Any) -> Any:
    (perm,) = node.attrs
    inner: list[Any] = [None] * len(perm)
    for out_axis, axis in enumerate(perm):
        inner[axis] = idx[out_axis]
    return p.at(node.inputs[0], tuple(inner), mask)


transpose = declare(
    "transpose", doc="Dim i of the result is dim perm[i] of the input.", attrs=("perm",), infer=_transpose_infer,
    ref=lambda x, perm: np.ascontiguousarray(x.transpose(perm)).reshape(tuple(x.shape[p] for p in perm)),
    vjp=lambda cts, ins, outs, perm: [cts[0].transpose(inverse(perm))],
    jvp=linear_jvp("transpose"), batch=lambda ins, batched, perm: ([ins[0].transpose((0, *(p + 1 for p in perm)))], [True]),
    samples=lambda: [case((d, (2, 3)), perm=(1, 0)) for d in DTYPES]
    + [case(("f32", s), perm=p) for s, p in (((), ()), ((2, 3, 4), (2, 0, 1)), ((0, 3), (1, 0)), ((1, 5, 1, 2), (3, 1, 0, 2)))],
    lowering=View(_transpose_element, FREE, Reads.ONCE, stays=True), foldable=Foldable.ALWAYS, over_complex=OverComplex.PLAIN,
)  # fmt: skip


# -- broadcast -------------------------------------------------------------------------------------------------------


def _broadcast_infer(types: tuple[TensorType, ...], shape: Shape) -> TensorType:
    x = _one("broadcast", types)
    need_shape("broadcast", shape)
    try:
        fits = len(shape) >= x.rank and broadcast_shapes(x.shape, shape) == shape
    except ShapeError:
        fits = False
    if not fits:
        raise ShapeError(f"broadcast: {x} does not broadcast to {shape_text(shape)}")
    return x.with_shape(shape)


def _broadcast_batch(ins: Exprs, batched: Sequence[bool], shape: Shape) -> tuple[list[Expr], list[bool]]:
    x = ins[0]
    aligned = x.reshape(x.shape[:1] + (1,) * (len(shape) - x.rank + 1) + x.shape[1:])
    return [aligned.broadcast(x.shape[:1] + shape)], [True]


def _broadcast_element(p: Any, node: Node, idx: Point, mask: Any) -> Any:
    return p.operand(node.inputs[0], idx, mask)


broadcast = declare(
    "broadcast", doc="Repeat along dims of extent 1 and along new leading dims, up to `shape`.", attrs=("shape",), sizes=("shape",),
    infer=_broadcast_infer, ref=lambda x, shape: np.broadcast_to(x, shape).copy(),
    vjp=lambda cts, ins, outs, shape: [cts[0].sum_to(ins[0].shape)], jvp=linear_jvp("broadcast"), batch=_broadcast_batch,
    samples=lambda: [case((d, (2, 1)), shape=(4, 2, 3)) for d in DTYPES]
    + [case(("f32", a), shape=b) for a, b in (((), (2, 2)), ((1, 3), (0, 3)), ((3,), (3,)), ((1,), (5,)))],
    lowering=View(_broadcast_element, FREE, Reads.REPEATED, stays=True), foldable=Foldable.NEVER, over_complex=OverComplex.PLAIN,
)  # fmt: skip


# -- slice -----------------------------------------------------------------------------------------------------------


def _slice_infer(types: tuple[TensorType, ...], starts: Ints, stops: Shape, steps: Ints) -> TensorType:
    x = _one("slice", types)
    if not len(starts) == len(stops) == len(steps) == x.rank:
        raise ShapeError(f"slice: needs a start, stop and step for each of the {x.rank} dims of {x}, got {starts}, {stops}, {steps}")
    shape: list[Dim] = []
    for d, start, stop, step in zip(x.shape, starts, stops, steps):
        fits = [at_most(0, start), at_most(start, stop), at_most(stop, d)]
        if step < 1 or False in fits:
            raise ShapeError(f"slice: {start}:{stop}:{step} is out of range for a dim of extent {d}; steps are at least 1")
        if None in fits:
            message = f"slice: whether {start}:{stop} is within a dim of extent {d} is known only at run time"
            raise Undecided(message, *((0, start), (start, stop), (stop, d))[fits.index(None)])
        shape.append((stop - start + step - 1) // step)
    return x.with_shape(tuple(shape))


def reach(n: Dim, step: int) -> Dim:
    """How many elements lie from the first to the last of `n` that are `step` apart."""
    return n if step == 1 else larger(0, (n - 1) * step + 1)


def _slice_vjp(cts: Exprs, ins: Exprs, outs: Exprs, starts: Ints, stops: Shape, steps: Ints) -> list[Expr]:
    high = []
    for d, n, start, step in zip(ins[0].shape, outs[0].shape, starts, steps):
        high.append(d - start - reach(n, step))
    return [OPS["pad"](cts[0], 0.0, low=starts, high=tuple(high), interior=tuple(s - 1 for s in steps))]


def _slice_batch(ins: Exprs, batched: Sequence[bool], starts: Ints, stops: Shape, steps: Ints) -> tuple[list[Expr], list[bool]]:
    return [OPS["slice"](ins[0], starts=(0, *starts), stops=(ins[0].shape[0], *stops), steps=(1, *steps))], [True]


def _slice_element(p: Any, node: Node, idx: Point, mask: Any) -> Any:
    starts, _, steps = node.attrs
    return p.at(node.inputs[0], tuple(ix.add(ix.mul(i, s), ix.const(a)) for i, a, s in zip(idx, starts, steps)), mask)


slice_ = declare(
    "slice", doc="Elements start, start + step, ... below stop, in every dim.", attrs=("starts", "stops", "steps"),
    sizes=("starts", "stops"), infer=_slice_infer, ref=lambda x, *a: x[tuple(slice(*b) for b in zip(*a))].copy(), vjp=_slice_vjp,
    jvp=linear_jvp("slice"), batch=_slice_batch,
    samples=lambda: [case((d, (5, 4)), starts=(1, 0), stops=(5, 4), steps=(2, 1)) for d in DTYPES]
    + [case(("f32", s), starts=a, stops=b, steps=c) for s, a, b, c in (
        ((7,), (1,), (6,), (3,)), ((7,), (3,), (3,), (1,)), ((), (), (), ()), ((0, 2), (0, 1), (0, 2), (1, 5)),
        ((2, 9), (0, 0), (2, 9), (1, 2)))],
    lowering=View(_slice_element, FREE, Reads.ONCE, stays=True), foldable=Foldable.ALWAYS, over_complex=OverComplex.PLAIN,
)  # fmt: skip


# -- pad -------------------------------------------------------------------------------------------------------------


def padded(n: Dim, low: Dim, high: Dim, interior: int) -> Dim:
    """The extent of n elements with `interior` between them, `low` before and `high` after."""
    return low + high + (larger(0, n + (n - 1) * interior) if interior else n)


def _pad_infer(types: tuple[TensorType, ...], low: Ints, high: Ints, interior: Ints) -> TensorType:
    if len(types) != 2:
        raise TypeError(f"pad: takes a tensor and a padding value, got {len(types)} inputs")
    x, value = types
    need_same("pad", types)
    if value.rank:
        raise ShapeError(f"pad: the padding value must have rank 0, got {value}")
    if not len(low) == len(high) == len(interior) == x.rank:
        raise ShapeError(f"pad: needs low, high and interior for each of the {x.rank} dims of {x}, got {low}, {high}, {interior}")
    for p in (*low, *high, *interior):
        need_within(0, p, lambda: f"pad: amounts must be >= 0, got low {low}, high {high}, interior {interior}")
    return x.with_shape(tuple(map(padded, x.shape, low, high, interior)))


def _inside(low: Ints, high: Ints, interior: Ints, shape: Shape) -> dict[str, Any]:
    """The attributes of the slice that takes the padding off again, from a padded `shape`."""
    stops = tuple(d - hi for d, hi in zip(shape, high))
    return dict(starts=low, stops=stops, steps=tuple(i + 1 for i in interior))


def _pad_ref(x: np.ndarray, value: np.ndarray, low: Ints, high: Ints, interior: Ints) -> np.ndarray:
    shape = tuple(map(padded, x.shape, low, high, interior))
    out = np.full(shape, value, x.dtype)
    out[tuple(slice(lo, n - hi, i + 1) for n, lo, hi, i in zip(shape, low, high, interior))] = x
    return out


def _pad_vjp(cts: Exprs, ins: Exprs, outs: Exprs, low: Ints, high: Ints, interior: Ints) -> list[Expr]:
    ct, x = cts[0], ins[0]
    at = _inside(low, high, interior, ct.shape)
    ones = x.const(True, bool_).broadcast(x.shape)
    inside = OPS["pad"](ones, x.const(False, bool_), low=low, high=high, interior=interior)
    return [OPS["slice"](ct, **at), OPS["select"](inside, 0.0, ct).sum_to(())]


def _pad_batch(ins: Exprs, batched: Sequence[bool], low: Ints, high: Ints, interior: Ints) -> tuple[list[Expr], list[bool]]:
    (x, value), (_, own_value) = ins, batched
    lead = 1 if batched[0] else 0
    named = dict(zip(("low", "high", "interior"), ((0,) * lead + a for a in (low, high, interior))))
    if not own_value:
        return [OPS["pad"](x, value, **named)], [True]
    # each sample has its own padding value, and an op has one: pad with anything, then put the values where x is not
    ones = x.const(True, bool_).broadcast(x.shape[lead:])
    inside = OPS["pad"](ones, x.const(False, bool_), low=low, high=high, interior=interior)
    padded = OPS["pad"](x, x.const(0), **named)
    return [OPS["select"](inside, padded, value.reshape(value.shape + (1,) * inside.rank))], [True]


def _pad_element(p: Any, node: Node, idx: Point, mask: Any) -> Any:
    low, high, interior = node.attrs
    src, fill = node.inputs
    inner, inside = within(p.w, (
        (ix.add(i, ix.const(-lo)), 1 if isinstance(d, int) and d <= 1 else gap + 1, d, lo != 0, hi != 0)
        for i, lo, hi, gap, d in zip(idx, low, high, interior, src.type.shape)
    ))  # fmt: skip
    outer = p.at(fill, (), mask)
    if inside is None:
        return p.at(src, inner, mask)
    if src.type.numel == 0:
        return outer
    return p.w.select(inside, p.at(src, inner, both(p.w, mask, inside)), outer)


pad = declare(
    "pad", doc="The input with `value` before, after and between its elements.", attrs=("low", "high", "interior"), sizes=("low", "high"),
    infer=_pad_infer, ref=_pad_ref, vjp=_pad_vjp, jvp=linear_jvp("pad"), batch=_pad_batch,
    samples=lambda: [case((d, (2, 3)), (d, ()), low=(1, 0), high=(0, 2), interior=(0, 1)) for d in DTYPES]
    + [case(("f32", s), ("f32", ()), low=a, high=b, interior=c) for s, a, b, c in (
        ((0,), (1,), (2,), (3,)), ((), (), (), ()), ((1, 4), (2, 0), (0, 0), (5, 2)), ((3,), (0,), (0,), (0,)))],
    lowering=View(_pad_element, FREE, Reads.ONCE), foldable=Foldable.ALWAYS, over_complex=OverComplex.PLAIN,
)  # fmt: skip


def shifted(x: Expr, axis: int, reverse: bool) -> Expr:
    """`x` one place later along `axis` (one earlier if `reverse`), with 1 in the place that becomes free."""
    none, one = (0,) * x.rank, tuple(int(i == axis) for i in range(x.rank))
    low, high, starts = (none, one, one) if reverse else (one, none, none)
    padded = OPS["pad"](x, 1.0, low=low, high=high, interior=none)
    return OPS["slice"](padded, starts=starts, stops=tuple(d + s for d, s in zip(x.shape, starts)), steps=(1,) * x.rank)


# -- reverse ---------------------------------------------------------------------------------------------------------


def _reverse_infer(types: tuple[TensorType, ...], axes: Ints) -> TensorType:
    x = _one("reverse", types)
    need_axes("reverse", axes, x.rank)
    return x


def _reverse_element(p: Any, node: Node, idx: Point, mask: Any) -> Any:
    (axes,) = node.attrs
    shape = node.outputs[0].type.shape
    return p.at(
        node.inputs[0], tuple(ix.add(ix.const(d - 1), ix.mul(i, -1)) if k in axes else i for k, (i, d) in enumerate(zip(idx, shape))), mask
    )


reverse = declare(
    "reverse", doc="Last element first, along `axes`.", attrs=("axes",), infer=_reverse_infer,
    ref=lambda x, axes: np.flip(x, axes).copy(), vjp=lambda cts, ins, outs, axes: [OPS["reverse"](cts[0], axes=axes)],
    jvp=linear_jvp("reverse"), batch=axis_batch("reverse"),
    samples=lambda: [case((d, (2, 3)), axes=(1,)) for d in DTYPES]
    + [case(("f32", s), axes=a) for s, a in (((), ()), ((2, 3, 4), (0, 2)), ((0, 3), (0,)), ((1, 17), (1,)))],
    lowering=View(_reverse_element, FREE, Reads.ONCE, stays=True), foldable=Foldable.ALWAYS, over_complex=OverComplex.PLAIN,
)  # fmt: skip


# -- concatenate -----------------------------------------------------------------------------------------------------


def _concatenate_infer(types: tuple[TensorType, ...], axis: int) -> TensorType:
    if not types:
        raise TypeError("concatenate: needs at least one input")
    need_same("concatenate", types)
    first = types[0]
    need_axis("concatenate", axis, first.rank)

    def message() -> str:
        return f"concatenate: shapes must agree outside axis {axis}, got {' and '.join(shape_text(t.shape) for t in types)}"

    rest = [t.shape[:axis] + t.shape[axis + 1 :] for t in types]
    for r in rest:
        need_alike(rest[0], r, message)
    if len(types) == 1:
        return first
    n = sum(t.shape[axis] for t in types)
    return tensor_type(first.dtype, first.shape[:axis] + (n,) + first.shape[axis + 1 :])


def _concatenate_vjp(cts: Exprs, ins: Exprs, outs: Exprs, axis: int) -> list[Expr]:
    if len(ins) == 1:
        return [cts[0]]
    out, at = [], 0
    for x in ins:
        starts = tuple(at if i == axis else 0 for i in range(x.rank))
        at += x.shape[axis]
        stops = tuple(at if i == axis else d for i, d in enumerate(x.shape))
        out.append(OPS["slice"](cts[0], starts=starts, stops=stops, steps=(1,) * x.rank))
    return out


def _concatenate_element(p: Any, node: Node, idx: Point, mask: Any) -> Any:
    (axis,) = node.attrs
    w = p.w
    v = w.index_value(idx[axis])
    out: Any = None
    start = 0
    for piece in node.inputs:
        extent = piece.type.shape[axis]
        if extent == 0:
            continue
        inside = None if start == 0 else w.ge(v, start)
        if start + extent != node.outputs[0].type.shape[axis]:
            below = w.lt(v, start + extent)
            inside = below if inside is None else w.and_(inside, below)
        at = idx[:axis] + (ix.add(idx[axis], ix.const(-start)),) + idx[axis + 1 :]
        here = p.at(piece, at, mask if inside is None else both(w, mask, inside))
        out = here if out is None else w.select(w.ge(v, start), here, out)
        start += extent
    assert out is not None
    return out


concatenate = declare(
    "concatenate", doc="The inputs one after another along `axis`.", attrs=("axis",), infer=_concatenate_infer,
    ref=lambda *a: np.concatenate(a[:-1], a[-1]), vjp=_concatenate_vjp, jvp=linear_jvp("concatenate"),
    batch=axis_batch("concatenate"),
    samples=lambda: [case((d, (2, 3)), (d, (2, 1)), axis=1) for d in DTYPES]
    + [case(*(("f32", s) for s in shapes), axis=0) for shapes in (((2,), (0,), (3,)), ((2, 3),), ((0, 3), (4, 3)))],
    lowering=View(_concatenate_element, FREE), foldable=Foldable.ALWAYS, over_complex=OverComplex.PLAIN,
)  # fmt: skip
