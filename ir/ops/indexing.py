"""Reading and writing at computed positions.

An index in [-n, n) is legal, negative ones count from the end; any other fails the call (IndexError). Writes happen in
the row-major order of the indices, so with mode "set" the last of several writes to one place wins, and sums have one
order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ingot.ir.builder import Expr
from ingot.ir.dtypes import Complex, Half, Number, by_numpy, i32, i64
from ingot.ir.facts import GATHER, Foldable, OverComplex, OwnKernels, View
from ingot.ir.graph import Node
from ingot.ir.loop.points import Point
from ingot.ir.op import OPS
from ingot.ir.ops.batching import axis_batch, batch_size
from ingot.ir.ops.family import broadcast_named, declare, linear_jvp, need_alike, need_axes, need_axis, need_dtype, need_same, need_within
from ingot.ir.ops.movement import inverse
from ingot.ir.ops.samples import Case, case, ints
from ingot.ir.size import ShapeError
from ingot.ir.types import Shape, TensorType, shape_text, tensor_type

Axes = tuple[int, ...]
Exprs = Sequence[Expr]
MODES = ("set", "add", "mul", "min", "max")
INDEX = frozenset((i32, i64))


def wrapped(name: str, index: np.ndarray, n: int, axis: int) -> np.ndarray:
    """`index` as i64 in [0, n), negative ones counted from the end. IndexError if one is out of range."""
    index = index.astype(np.int64)
    wrong = (index < -n) | (index >= n)
    if wrong.any():
        raise IndexError(f"{name}: index {index[wrong].flat[0]} is out of range for axis {axis} of extent {n}")
    return np.where(index < 0, index + n, index)


def write(x: np.ndarray, flat: np.ndarray, src: np.ndarray, mode: str) -> np.ndarray:
    """A copy of x after `src` went to the positions `flat`, one after the other; sums and products of halves are rounded once."""
    wide = mode in ("add", "mul") and by_numpy(x.dtype) in Half
    out = x.reshape(-1).astype(np.float32 if wide else x.dtype)
    flat, src = flat.reshape(-1), src.reshape(-1).astype(out.dtype)
    if mode == "set":
        out[flat] = src
    else:
        {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}[mode].at(out, flat, src)
    return out.astype(x.dtype).reshape(x.shape)


def _need_mode(name: str, mode: str, x: TensorType) -> None:
    if mode not in MODES:
        raise TypeError(f"{name}: mode must be one of {', '.join(MODES)}, got {mode!r}")
    if mode != "set":
        need_dtype(name, x, Number | Complex if mode == "add" else Number)


def write_vjp(ct: Expr, x: Expr, src: Expr, y: Expr, mode: str, read: Callable, put: Callable) -> list[Expr]:
    """The gradients by x and src of y = put(x, src, mode); read(t) is t at the position of every element of src.

    set: every write to a place takes its whole gradient, as in torch, though only the last one stays. mul: by a factor, the
    product of the others, also where one of them is zero (by x, and by a single zero in src). min and max: all that equal the
    result share equally.
    """
    if mode == "add":
        return [ct, read(ct)]
    if mode == "set":
        return [put(ct, src.full(0), "set"), read(ct)]
    if mode == "mul":
        factors = put(x.full(1), src, "mul")
        zeros = src.eq(0.0)
        only_zero = zeros & read(put(x.full(0), zeros.cast(x.dtype), "add")).eq(1.0)
        others = put(x, OPS["select"](only_zero, 1.0, src), "mul")
        by_src = OPS["select"](only_zero, read(ct * others), read(ct * y) / OPS["select"](zeros, 1.0, src))
        return [ct * factors, by_src]
    mine, theirs = x.eq(y), src.eq(read(y))
    count = put(mine.cast(x.dtype), theirs.cast(x.dtype), "add")
    # a NaN result equals nothing: 0 / 0 is NaN, as in torch
    return [OPS["select"](mine, ct, 0.0) / count, OPS["select"](theirs, read(ct), 0.0) / read(count)]


def write_jvp(tx: Expr | None, tsrc: Expr | None, x: Expr, src: Expr, y: Expr, mode: str, read: Callable, put: Callable) -> Expr:
    """The tangent of y = put(x, src, mode), where tx and tsrc are those of x and src (None: zero)."""
    if tx is None:
        tx = x.full(0)
    if tsrc is None:
        tsrc = src.full(0)
    if mode in ("set", "add"):  # linear in both together
        return put(tx, tsrc, mode)
    by_x, by_src = write_vjp(y.full(1), x, src, y, mode, read, put)  # y at a place depends on x and on each src there
    return put(tx * by_x, tsrc * by_src, "add")


# -- gather and scatter along one axis -------------------------------------------------------------------------------


def _need_within(name: str, index: TensorType, x: TensorType, axis: int | None, what: str) -> None:
    """ShapeError unless index's extents are at most x's, `axis` aside."""
    along = "" if axis is None else f" outside axis {axis}"

    def message() -> str:
        return f"{name}: the index {index} must have the rank of the {what} {x} and nowhere be larger{along}"

    if index.rank != x.rank:
        raise ShapeError(message())
    for d, (n, m) in enumerate(zip(index.shape, x.shape)):
        if d != axis:
            need_within(n, m, message)


def _gather_infer(types: tuple[TensorType, ...], axis: int) -> TensorType:
    x, index = types
    need_dtype("gather", index, INDEX, "the index")
    need_axis("gather", axis, x.rank)
    _need_within("gather", index, x, axis, "input")
    return index.with_dtype(x.dtype)


def _along(x: np.ndarray, shape: Shape, axis: int) -> tuple[slice, ...]:
    return tuple(slice(None) if d == axis else slice(0, shape[d]) for d in range(x.ndim))


def _gather_ref(x: np.ndarray, index: np.ndarray, axis: int) -> np.ndarray:
    return np.take_along_axis(x[_along(x, index.shape, axis)], wrapped("gather", index, x.shape[axis], axis), axis)


def _gather_vjp(cts: Exprs, ins: Exprs, outs: Exprs, axis: int) -> list[Expr | None]:
    return [OPS["scatter"](ins[0].full(0), ins[1], cts[0], axis=axis, mode="add"), None]


_ALONG = (((3, 4), (3, 2), 1), ((3, 4), (5, 4), 0), ((4,), (6,), 0), ((2, 3, 2), (1, 3, 1), 1), ((3, 4), (0, 4), 0), ((1, 1), (1, 1), 0))

def _gather_element(p: Any, node: Node, idx: Point, mask: Any) -> Any:
    (axis,) = node.attrs
    src, index = node.inputs
    at, mask = p.checked(node, index, idx, src.type.shape[axis], mask)
    return p.at(src, idx[:axis] + (at,) + idx[axis + 1 :], mask)


gather = declare(
    "gather", attrs=("axis",), infer=_gather_infer, ref=_gather_ref, vjp=_gather_vjp, jvp=linear_jvp("gather", 1),
    batch=axis_batch("gather"),
    doc="out[i, j, k] = x[i, index[i, j, k], k] for axis 1, as torch.gather: the index may be smaller than x outside `axis`.",
    samples=lambda: [case(("f32", s), ("i64", i, ints(-s[a], s[a] - 1)), axis=a) for s, i, a in _ALONG]
    + [case((d, (3, 4)), (i, (3, 2), ints(-4, 3)), axis=1) for d, i in (
        ("f64", "i32"), ("bf16", "i64"), ("i8", "i64"), ("bool", "i32"), ("c64", "i64"))],
    lowering=View(_gather_element, GATHER), foldable=Foldable.NEVER, can_fail=True, indices=1,
    over_complex=OverComplex.PLAIN,
)  # fmt: skip


def _scatter_infer(types: tuple[TensorType, ...], axis: int, mode: str) -> TensorType:
    x, index, src = types
    need_dtype("scatter", index, INDEX, "the index")
    need_same("scatter", (x, src))
    _need_mode("scatter", mode, x)
    need_axis("scatter", axis, x.rank)
    _need_within("scatter", index, x, axis, "input")
    _need_within("scatter", index, src, None, "source")
    return x


def _scatter_ref(x: np.ndarray, index: np.ndarray, src: np.ndarray, axis: int, mode: str) -> np.ndarray:
    places = list(np.ogrid[tuple(slice(0, n) for n in index.shape)])
    places[axis] = wrapped("scatter", index, x.shape[axis], axis)
    flat = np.zeros(index.shape, np.int64)
    for place, n in zip(places, x.shape):
        flat = flat * n + place
    return write(x, flat, src[tuple(slice(0, n) for n in index.shape)], mode)


def _read_and_put(index: Expr, axis: int) -> tuple[Callable, Callable]:
    return (
        lambda t: OPS["gather"](t, index, axis=axis),
        lambda base, s, m: OPS["scatter"](base, index, s, axis=axis, mode=m),
    )


def _used(src: Expr, index: Expr) -> Expr:
    """The part of the source that is written."""
    if src.shape == index.shape:
        return src
    return OPS["slice"](src, starts=(0,) * src.rank, stops=index.shape, steps=(1,) * src.rank)


def _scatter_vjp(cts: Exprs, ins: Exprs, outs: Exprs, axis: int, mode: str) -> list[Expr | None]:
    x, index, src = ins
    dx, dsrc = write_vjp(cts[0], x, _used(src, index), outs[0], mode, *_read_and_put(index, axis))
    if src.shape != index.shape:
        rest, none = tuple(n - m for n, m in zip(src.shape, index.shape)), (0,) * src.rank
        dsrc = OPS["pad"](dsrc, 0.0, low=none, high=rest, interior=none)
    return [dx, None, dsrc]


def _scatter_jvp(tangents: Sequence[Expr | None], ins: Exprs, outs: Exprs, axis: int, mode: str) -> list[Expr]:
    (tx, _, tsrc), (x, index, src) = tangents, ins
    tsrc = None if tsrc is None else _used(tsrc, index)
    return [write_jvp(tx, tsrc, x, _used(src, index), outs[0], mode, *_read_and_put(index, axis))]


def _scatter_samples() -> list[Case]:
    out = [
        case(("f32", s), ("i64", i, ints(-s[a], s[a] - 1)), ("f32", i), axis=a, mode=m, grad=m != "set")
        for m in MODES for s, i, a in _ALONG
    ]  # fmt: skip
    out.append(case(("f32", (3, 4)), ("i64", (2, 3), ints(0, 3)), ("f32", (3, 3)), axis=1, mode="add"))
    out.append(case(("f32", (3, 4)), ("i64", (2, 3), [2, 0, -1, 3, 1, -2]), ("f32", (3, 3)), axis=1, mode="set"))  # no place twice
    out += [
        case((d, (3, 4)), ("i32", (3, 5), ints(-4, 3)), (d, (3, 5)), axis=1, mode=m, grad=m != "set")
        for d in ("f64", "f16", "bf16", "i64", "u8", "bool", "c64") for m in MODES
        if m == "set" or d != "bool" and (d != "c64" or m == "add")
    ]  # fmt: skip
    nan = [1, np.nan, 3, 0]
    return out + [case(("f32", (4,)), ("i64", (4,), [0, 1, 2, 2]), ("f32", (4,), nan), axis=0, mode=m, grad=False) for m in MODES]


scatter = declare(
    "scatter", attrs=("axis", "mode"), infer=_scatter_infer, ref=_scatter_ref, vjp=_scatter_vjp, jvp=_scatter_jvp,
    batch=axis_batch("scatter"), samples=_scatter_samples,
    doc="x with x[i, index[i, j, k], k] set to (or combined with, by `mode`: set add mul min max) src[i, j, k], for axis 1. "
        "Halves are added and multiplied in f32, and rounded once.",
    lowering=OwnKernels("scatter"), foldable=Foldable.NEVER, can_fail=True, indices=1,
    over_complex=OverComplex.PLAIN,
)  # fmt: skip


# -- indexing by several tensors -------------------------------------------------------------------------------------


def place_of_indices(axes: Axes) -> int:
    """Where the common shape of the indices at `axes` stands in the result: at the first of adjacent axes, else in front."""
    return axes[0] if axes[-1] - axes[0] == len(axes) - 1 else 0


def _result(name: str, x: TensorType, indices: Sequence[TensorType], axes: Axes) -> Shape:
    """The shape of x[..., i0, i1, ...]: the common shape of the indices at the first of adjacent axes, else in front."""
    if len(indices) != len(axes) or not axes:
        raise TypeError(f"{name}: needs one index for each of axes {axes} and at least one, got {len(indices)}")
    for t in indices:
        need_dtype(name, t, INDEX, "an index")
    need_axes(name, axes, x.rank)
    common = broadcast_named(name, indices)
    rest = [d for i, d in enumerate(x.shape) if i not in axes]
    at = place_of_indices(axes)
    return (*rest[:at], *common, *rest[at:])


def _index_get_infer(types: tuple[TensorType, ...], axes: Axes) -> TensorType:
    if not types:
        raise TypeError("index_get: takes a tensor and its indices, got nothing")
    return types[0].with_shape(_result("index_get", types[0], types[1:], axes))


def _selection(name: str, x: np.ndarray, indices: Sequence[np.ndarray], axes: Axes) -> tuple:
    where: list[slice | np.ndarray] = [slice(None)] * x.ndim
    for axis, index in zip(axes, np.broadcast_arrays(*indices)):
        where[axis] = wrapped(name, index, x.shape[axis], axis)
    return tuple(where)


def _index_get_ref(x: np.ndarray, *rest: Any) -> np.ndarray:
    *indices, axes = rest
    return np.asarray(x[_selection("index_get", x, indices, axes)])


def _index_get_vjp(cts: Exprs, ins: Exprs, outs: Exprs, axes: Axes) -> list[Expr | None]:
    back = OPS["index_put"](ins[0].full(0), cts[0], *ins[1:], axes=axes, mode="add")
    return [back] + [None] * (len(ins) - 1)


_INDEXED: tuple[tuple[tuple[int, ...], tuple[Shape, ...], Axes], ...] = (
    ((5, 3), ((4,),), (0,)), ((5, 3), ((2, 2),), (1,)), ((4, 3, 2), ((3,), (3,)), (0, 1)), ((4, 3, 2), ((2, 1), (3,)), (0, 2)),
    ((2, 4, 3), ((), (2,)), (1, 2)), ((6,), ((),), (0,)), ((5, 3), ((0,),), (0,)), ((1, 4), ((1,),), (0,)), ((3, 0), ((2,),), (0,)),
    ((2, 3, 2), ((2,), (2,), (2,)), (0, 1, 2)),
)  # fmt: skip


def _index_specs(shape: tuple[int, ...], indices: tuple[Shape, ...], axes: Axes, dtype: str = "i64") -> list[tuple]:
    return [(dtype, s, ints(-shape[a], shape[a] - 1)) for s, a in zip(indices, axes)]


def _over_batch(own: bool, rank: int, indices: Exprs, batched: Sequence[bool], axes: Axes) -> tuple[list[Expr], Axes, Axes]:
    """The indices and axes by which a batch is indexed as each sample is by its own, and the permutation that brings what they select
    from the layout that the op gives it into the sample's, the batch dim in front. `own`: x has the batch dim; `rank`: of a sample of x.
    """
    common = max(i.rank - b for i, b in zip(indices, batched))  # of a sample's indices together
    at = place_of_indices(axes)
    total = rank - len(axes) + common
    if not any(batched):
        axes = tuple(a + 1 for a in axes)
        first = 0 if place_of_indices(axes) else common  # where the batch dim comes to stand
        return list(indices), axes, (first, *(i for i in range(total + 1) if i != first))
    n = batch_size(indices, batched)
    full = [i.reshape((n,) + (1,) * (common - i.rank + 1) + i.shape[1:]) if b else i for i, b in zip(indices, batched)]
    if not own:
        return full, axes, (at, *(i for i in range(total + 1) if i != at))
    builder = indices[0].builder
    samples = builder.expr(builder.emit(OPS["iota"], (), (i64, (n,) + (1,) * common, 0))[0])
    # the batch dim and the sample's common dims come first
    perm = (0, *range(1 + common, 1 + common + at), *range(1, 1 + common), *range(1 + common + at, total + 1))
    return [samples, *full], (0, *(a + 1 for a in axes)), perm


def _index_get_batch(ins: Exprs, batched: Sequence[bool], axes: Axes) -> tuple[list[Expr], list[bool]]:
    x, own = ins[0], batched[0]
    indices, axes, perm = _over_batch(own, x.rank - own, ins[1:], batched[1:], axes)
    return [OPS["index_get"](x, *indices, axes=axes).transpose(perm)], [True]


def _index_put_batch(ins: Exprs, batched: Sequence[bool], axes: Axes, mode: str) -> tuple[list[Expr], list[bool]]:
    n = batch_size(ins, batched)
    x, src = (t if b else t.broadcast((n, *t.shape)) for t, b in zip(ins[:2], batched))
    indices, axes, perm = _over_batch(True, x.rank - 1, ins[2:], batched[2:], axes)
    return [OPS["index_put"](x, src.transpose(inverse(perm)), *indices, axes=axes, mode=mode)], [True]


def _index_get_element(p: Any, node: Node, idx: Point, mask: Any) -> Any:
    (axes,) = node.attrs
    src, *indices = node.inputs
    first, rank = place_of_indices(axes), max(v.type.rank for v in indices)
    inner = idx[first : first + rank]
    rest = iter(idx[:first] + idx[first + rank :])
    at = {}
    for a, v in zip(axes, indices):
        at[a], mask = p.checked(node, v, p.aligned(v, inner), src.type.shape[a], mask)
    return p.at(src, tuple(at[a] if a in at else next(rest) for a in range(src.type.rank)), mask)


index_get = declare(
    "index_get", attrs=("axes",), infer=_index_get_infer, ref=_index_get_ref, vjp=_index_get_vjp,
    jvp=linear_jvp("index_get", 1), batch=_index_get_batch,
    doc="x[..., i0, i1, ...]: the indices stand at `axes` (rising) and broadcast together; their shape takes the place of the axes when "
    "those are adjacent, and the front otherwise.",
    samples=lambda: [case(("f32", s), *_index_specs(s, i, a), axes=a) for s, i, a in _INDEXED]
    + [case((d, (5, 3)), *_index_specs((5, 3), ((4,),), (0,), "i32"), axes=(0,)) for d in ("f64", "bf16", "i16", "bool", "c128")],
    lowering=View(_index_get_element, GATHER), foldable=Foldable.NEVER, can_fail=True, indices=1,
    over_complex=OverComplex.PLAIN,
)  # fmt: skip


def _index_put_infer(types: tuple[TensorType, ...], axes: Axes, mode: str) -> TensorType:
    if len(types) < 2:
        raise TypeError(f"index_put: takes a tensor, a source and indices, got {len(types)} inputs")
    x, src, *indices = types
    need_same("index_put", (x, src))
    _need_mode("index_put", mode, x)
    shape = _result("index_put", x, indices, axes)
    need_alike(shape, src.shape, lambda: f"index_put: the source must have shape {shape_text(shape)}, got {src}")
    return x


def _index_put_ref(x: np.ndarray, src: np.ndarray, *rest: Any) -> np.ndarray:
    *indices, axes, mode = rest
    places = np.arange(x.size, dtype=np.int64).reshape(x.shape)
    return write(x, places[_selection("index_put", x, indices, axes)], src, mode)


def _get_and_put(indices: Exprs, axes: Axes) -> tuple[Callable, Callable]:
    return (
        lambda t: OPS["index_get"](t, *indices, axes=axes),
        lambda base, s, m: OPS["index_put"](base, s, *indices, axes=axes, mode=m),
    )


def _index_put_vjp(cts: Exprs, ins: Exprs, outs: Exprs, axes: Axes, mode: str) -> list[Expr | None]:
    x, src, *indices = ins
    return [*write_vjp(cts[0], x, src, outs[0], mode, *_get_and_put(indices, axes)), *[None] * len(indices)]


def _index_put_jvp(tangents: Sequence[Expr | None], ins: Exprs, outs: Exprs, axes: Axes, mode: str) -> list[Expr]:
    x, src, *indices = ins
    return [write_jvp(tangents[0], tangents[1], x, src, outs[0], mode, *_get_and_put(indices, axes))]


def _index_put_case(dtype: str, shape: tuple[int, ...], indices: tuple[Shape, ...], axes: Axes, mode: str) -> Case:
    specs = [tensor_type(i64, i) for i in indices]
    src = _result("index_put", tensor_type(by_numpy(np.float32), shape), specs, axes)
    return case((dtype, shape), (dtype, src), *_index_specs(shape, indices, axes), axes=axes, mode=mode, grad=mode != "set")


index_put = declare(
    "index_put", attrs=("axes", "mode"), infer=_index_put_infer, ref=_index_put_ref, vjp=_index_put_vjp, jvp=_index_put_jvp,
    batch=_index_put_batch,
    doc="x with the elements that index_get would read set to (or combined with, by `mode`: set add mul min max) src. "
        "Halves are added and multiplied in f32, and rounded once.",
    samples=lambda: [_index_put_case("f32", *i, m) for i in _INDEXED for m in ("set", "add")]
    + [_index_put_case(d, (5, 3), ((4,),), (0,), m) for d in ("f64", "f16", "i32") for m in MODES]
    + [_index_put_case("c64", (5, 3), ((4,),), (0,), m) for m in ("set", "add")]
    + [_index_put_case("bool", (5, 3), ((4,),), (0,), "set")]
    + [case(("f32", (5, 3)), ("f32", (4, 3)), ("i64", (4,), [3, 0, -1, 1]), axes=(0,), mode="set")]  # no place twice
    + [case(("f32", (4, 3, 2)), ("f32", (3, 3)), ("i64", (3,), [3, 0, 1]), ("i64", (3,), [0, 1, 0]), axes=(0, 2), mode="set")],
    lowering=OwnKernels("index_put"), foldable=Foldable.NEVER, can_fail=True, indices=2,
    over_complex=OverComplex.PLAIN,
)  # fmt: skip
