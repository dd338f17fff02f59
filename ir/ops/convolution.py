"""Convolution over 1 to 3 spatial dims, and its two gradients. The derivatives of the three are each other.

Layouts: x is N C spatial..., w is O C/groups kernel..., the result N O spatial.... As everywhere in deep learning this is
a cross-correlation: the kernel is not flipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from ingot.ir.builder import Expr
from ingot.ir.dtypes import Complex, Number, by_numpy
from ingot.ir.facts import Contraction, Foldable, OverComplex
from ingot.ir.graph import Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import Point
from ingot.ir.op import OPS, infer
from ingot.ir.ops.batching import batch_size, move_dim
from ingot.ir.ops.family import bilinear_jvp, declare, narrow, need_alike, need_dtype, need_same, static, widen
from ingot.ir.ops.form import Form, Zeros
from ingot.ir.ops.samples import Case, case
from ingot.ir.size import ShapeError, Undecided, at_most, equal, exactly
from ingot.ir.types import Dim, Shape, TensorType, shape_text, tensor_type

Ints = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]
Exprs = Sequence[Expr]


def window_extents(name: str, sizes: Shape, window: Shape, stride: Ints, padding: Pads, dilation: Ints) -> Ints:
    """How often a window fits along each dim. ShapeError if it does not fit or an attribute is malformed."""
    n = len(window)
    if not len(sizes) == len(stride) == len(padding) == len(dilation) == n:
        raise ShapeError(f"{name}: needs a stride, padding and dilation for each of {n} spatial dims, got {stride}, {padding}, {dilation}")
    if any(s < 1 for s in stride) or any(d < 1 for d in dilation) or any(lo < 0 or hi < 0 for lo, hi in padding):
        raise ShapeError(f"{name}: strides and dilations are at least 1 and paddings at least 0, got {stride}, {dilation}, {padding}")
    out = []
    for size, k, s, (lo, hi), d in zip(sizes, window, stride, padding, dilation):
        k = static(name, k, "a window's extent")
        reach = d * (k - 1) + 1
        fits = at_most(reach, size + lo + hi)
        if fits is None:
            message = f"{name}: whether a window that reaches over {reach} fits into {size} is known only at run time"
            raise Undecided(message, reach, size + lo + hi)
        if k < 1 or not fits:
            raise ShapeError(f"{name}: a window of {k} (reaching over {reach}) does not fit into {size} padded by {lo} and {hi}")
        out.append((size + lo + hi - reach) // s + 1)
    return tuple(out)


def _conv_shape(name: str, x: Shape, w: Shape, stride: Ints, padding: Pads, dilation: Ints, groups: int) -> Shape:
    """The shape of conv(x, w)."""
    if len(x) != len(w) or not 3 <= len(x) <= 5:
        raise ShapeError(f"{name}: takes N C and 1 to 3 spatial dims, got input {shape_text(x)} and weight {shape_text(w)}")
    channels, out_channels, per_group = x[1], w[0], w[1]
    groups = static(name, groups, "the number of groups")
    if groups < 1 or equal(channels, per_group * groups) is not True or exactly(out_channels, groups) is None:
        raise ShapeError(
            f"{name}: with groups={groups} a weight {shape_text(w)} takes {per_group * groups} input channels and makes a multiple of "
            f"{groups}, got input {shape_text(x)}"
        )
    return (x[0], out_channels, *window_extents(name, x[2:], w[2:], stride, padding, dilation))


def _two(name: str, types: tuple[TensorType, ...]) -> tuple[TensorType, TensorType]:
    if len(types) != 2:
        raise TypeError(f"{name}: takes 2 inputs, got {len(types)}")
    need_same(name, types)
    need_dtype(name, types[0], Number | Complex)
    return types[0], types[1]


def _conv_infer(types: tuple[TensorType, ...], stride: Ints, padding: Pads, dilation: Ints, groups: int) -> TensorType:
    x, w = _two("conv", types)
    return x.with_shape(_conv_shape("conv", x.shape, w.shape, stride, padding, dilation, groups))


def _input_grad_infer(types: tuple[TensorType, ...], input_shape: Shape, *attrs: Any) -> TensorType:
    g, w = _two("conv_input_grad", types)
    _need_result("conv_input_grad", g, _conv_shape("conv_input_grad", input_shape, w.shape, *attrs))
    return tensor_type(g.dtype, input_shape)


def _weight_grad_infer(types: tuple[TensorType, ...], weight_shape: Shape, *attrs: Any) -> TensorType:
    x, g = _two("conv_weight_grad", types)
    _need_result("conv_weight_grad", g, _conv_shape("conv_weight_grad", x.shape, weight_shape, *attrs))
    return tensor_type(g.dtype, weight_shape)


def _need_result(name: str, g: TensorType, shape: tuple[Dim, ...]) -> None:
    need_alike(shape, g.shape, lambda: f"{name}: the cotangent must have shape {shape_text(shape)}, got {g}")


# -- references: one product of matrices per tap of the kernel --------------------------------------------------------


def taps(window: Ints, out: Ints, stride: Ints, dilation: Ints) -> Iterator[tuple[Ints, tuple[slice, ...]]]:
    """Each position in the window, in row-major order, with the slices of the padded input that it meets."""
    for k in product(*map(range, window)):
        yield k, tuple(slice(i * d, i * d + (n - 1) * s + 1, s) for i, d, n, s in zip(k, dilation, out, stride))


def pad_spatial(x: np.ndarray, padding: Pads, value: Any = 0) -> np.ndarray:
    """`x` padded along its trailing dims."""
    return np.pad(x, ((0, 0),) * (x.ndim - len(padding)) + tuple(padding), constant_values=value)


def trailing(at: Iterable[int | slice]) -> Any:
    """The index that stands for `at` in the trailing dims."""
    return (Ellipsis, *at)


def crop_spatial(x: np.ndarray, padding: Pads) -> np.ndarray:
    """Undo `pad_spatial`."""
    return x[trailing(slice(lo, n - hi) for n, (lo, hi) in zip(x.shape[x.ndim - len(padding) :], padding))]


def _grouped(x: np.ndarray, groups: int) -> np.ndarray:
    """N C ... as N G C/G positions."""
    return x.reshape(x.shape[0], groups, x.shape[1] // groups, int(np.prod(x.shape[2:], dtype=np.int64)))


def _conv_ref(x: np.ndarray, w: np.ndarray, stride: Ints, padding: Pads, dilation: Ints, groups: int) -> np.ndarray:
    d = by_numpy(x.dtype)
    x, w = pad_spatial(widen(x, True), padding), widen(w, True)
    n, o, kernel = x.shape[0], w.shape[0], w.shape[2:]
    out = window_extents("conv", x.shape[2:], kernel, stride, ((0, 0),) * len(kernel), dilation)
    total = np.zeros((n, groups, o // groups, int(np.prod(out))), x.dtype)
    for k, at in taps(kernel, out, stride, dilation):
        tap = w[trailing(k)].reshape(groups, o // groups, w.shape[1])
        total += np.matmul(tap, _grouped(x[trailing(at)], groups))
    return narrow(total.reshape(n, o, *out), d)


def _input_grad_ref(
    g: np.ndarray, w: np.ndarray, input_shape: Ints, stride: Ints, padding: Pads, dilation: Ints, groups: int
) -> np.ndarray:
    d = by_numpy(g.dtype)
    g, w = widen(g, True), widen(w, True)
    total = pad_spatial(np.zeros(input_shape, g.dtype), padding)
    flat, o = _grouped(g, groups), w.shape[0]
    for k, at in taps(w.shape[2:], g.shape[2:], stride, dilation):
        tap = w[trailing(k)].reshape(groups, o // groups, w.shape[1])
        part = np.matmul(tap.transpose(0, 2, 1), flat)
        total[trailing(at)] += part.reshape(input_shape[:2] + g.shape[2:])
    return narrow(crop_spatial(total, padding), d)


def _weight_grad_ref(
    x: np.ndarray, g: np.ndarray, weight_shape: Ints, stride: Ints, padding: Pads, dilation: Ints, groups: int
) -> np.ndarray:
    d = by_numpy(g.dtype)
    x, g = pad_spatial(widen(x, True), padding), _grouped(widen(g, True), groups)
    out = window_extents("conv", x.shape[2:], weight_shape[2:], stride, ((0, 0),) * len(stride), dilation)
    total = np.zeros(weight_shape, g.dtype)
    for k, at in taps(weight_shape[2:], out, stride, dilation):
        part = np.matmul(g, _grouped(x[trailing(at)], groups).transpose(0, 1, 3, 2)).sum(0, dtype=g.dtype)
        total[trailing(k)] = part.reshape(weight_shape[:2])
    return narrow(total, d)


# -- forms -----------------------------------------------------------------------------------------------------------


def _reads(out: Ints, stride: Ints, taps: Ints, dilation: Ints) -> Ints:
    """How far windows reach, from the first element of the first to the last of the last."""
    return tuple((o - 1) * s + (t - 1) * d + 1 for o, s, t, d in zip(out, stride, taps, dilation))


def _window(o: Point, stride: Ints, t: Point, dilation: Ints) -> Point:
    """The element that tap t of window o reads."""
    return tuple(ix.add(ix.mul(i, s), ix.mul(j, d)) for i, s, j, d in zip(o, stride, t, dilation))


def _channel(group: Index, per_group: int, i: Index) -> Index:
    return ix.add(ix.mul(group, per_group), i)


def _correlation(
    x: Value, w: Value, groups: int, per_in: int, per_out: int, low: Ints, gap: Ints, stride: Ints, dilation: Ints, taps: Ints,
    spatial: Ints, at_w: Callable[[Index, Index, Index, Point], Point], counted: bool = True,
) -> Form:  # fmt: skip
    """out[n, g*per_out + o, s] = sum over t, i of x[n, g*per_in + i, s*stride + t*dilation] * w[at_w(g, o, i, t)], x among zeros."""
    rank = len(taps)
    return Form(
        batch=(x.type.shape[0], groups),
        m=spatial,
        n=(per_out,),
        k=(*taps, per_in),
        left=x,
        at_left=lambda q, m, k: (q[0], _channel(q[1], per_in, k[-1]), *_window(m, stride, k[:-1], dilation)),
        right=w,
        at_right=lambda q, k, n: at_w(q[1], n[0], k[-1], k[:-1]),
        dims=((0,), (1, 2 + rank), *((2 + d,) for d in range(rank))),
        b_batch=(1,),
        order=(rank, *range(rank)),
        zeros=Zeros.around(x, low, gap, _reads(spatial, stride, taps, dilation), counted),
        overlapping=True,
    )


def _conv_form(node: Node) -> Form:
    (x, w), (stride, padding, dilation, groups) = node.inputs, node.attrs
    per_in, per_out, low = w.type.shape[1], w.type.shape[0] // groups, tuple(lo for lo, _ in padding)

    def at_w(g: Index, o: Index, i: Index, t: Point) -> Point:
        return (_channel(g, per_out, o), i, *t)

    taps, spatial = w.type.shape[2:], node.outputs[0].type.shape[2:]
    return _correlation(x, w, groups, per_in, per_out, low, (1,) * len(low), stride, dilation, taps, spatial, at_w)


def _input_grad_form(node: Node) -> Form:
    """A convolution of g, spread out by the stride, with the kernel turned around; what is not in g makes no terms."""
    (g, w), (input_shape, stride, padding, dilation, groups) = node.inputs, node.attrs
    per_in, per_out, taps = w.type.shape[1], w.type.shape[0] // groups, w.type.shape[2:]
    beside = taps == stride and all(d == 1 for d in dilation) and not any(lo or hi for lo, hi in padding)
    if groups == 1 and beside and all(equal(i, o * s) for i, o, s in zip(input_shape[2:], g.type.shape[2:], stride)):
        return _spread(g, w)
    low = tuple((t - 1) * d - lo for t, d, (lo, _) in zip(taps, dilation, padding))

    def at_w(group: Index, o: Index, i: Index, t: Point) -> Point:
        return (_channel(group, per_out, i), o, *(ix.sub(ix.const(n - 1), j) for j, n in zip(t, taps)))

    return _correlation(g, w, groups, per_out, per_in, low, stride, (1,) * len(stride), dilation, taps, input_shape[2:], at_w, False)


def _spread(g: Value, w: Value) -> Form:
    """dx[n, i, s*taps + t] = sum over o of g[n, o, s] * w[o, i, t], of windows side by side: a product of matrices, whose columns are all
    taps of all channels."""
    n, *spatial = g.type.shape[0], *g.type.shape[2:]
    per_out, per_in, *taps = w.type.shape
    rank = len(taps)
    return Form(
        batch=(n,),
        m=tuple(spatial),
        n=(*taps, per_in),
        k=(per_out,),
        left=g,
        at_left=lambda q, m, k: (q[0], k[0], *m),
        right=w,
        at_right=lambda q, k, n: (k[0], n[-1], *n[:-1]),
        dims=((0,), (1 + 2 * rank,), *((1 + d, 1 + rank + d) for d in range(rank))),
        b_batch=(),
    )


def _weight_grad_form(node: Node) -> Form:
    """dw[g*per_out + o, i, t] = sum over n, s of x[n, g*per_in + i, s*stride + t*dilation] * g[n, g*per_out + o, s], x among zeros."""
    (x, g), (weight_shape, stride, padding, dilation, groups) = node.inputs, node.attrs
    per_in, per_out = weight_shape[1], weight_shape[0] // groups
    taps, spatial, low = weight_shape[2:], g.type.shape[2:], tuple(lo for lo, _ in padding)
    rank = len(taps)
    return Form(
        batch=(groups,),
        m=(*taps, per_in),  # channels, which lie together between convolutions, next to each other
        n=(per_out,),
        k=(x.type.shape[0], *spatial),
        left=x,
        at_left=lambda q, m, k: (k[0], _channel(q[0], per_in, m[-1]), *_window(k[1:], stride, m[:-1], dilation)),
        right=g,
        at_right=lambda q, k, n: (k[0], _channel(q[0], per_out, n[0]), *k[1:]),
        dims=((0, 2 + rank), (1 + rank,), *((1 + d,) for d in range(rank))),
        b_batch=(0,),
        zeros=Zeros.around(x, low, (1,) * rank, _reads(spatial, stride, taps, dilation)),
        overlapping=True,
    )


# -- declarations ----------------------------------------------------------------------------------------------------

GEOMETRY = ("stride", "padding", "dilation", "groups")


def _with(attrs: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(GEOMETRY, attrs))


def _conv_vjp(cts: Exprs, ins: Exprs, outs: Exprs, *attrs: Any) -> list[Expr]:
    (x, w), g = ins, cts[0]
    return [
        OPS["conv_input_grad"](g, w, input_shape=x.shape, **_with(attrs)),
        OPS["conv_weight_grad"](x, g, weight_shape=w.shape, **_with(attrs)),
    ]


def _input_grad_vjp(cts: Exprs, ins: Exprs, outs: Exprs, input_shape: Shape, *attrs: Any) -> list[Expr]:
    (g, w), ct = ins, cts[0]
    return [OPS["conv"](ct, w, **_with(attrs)), OPS["conv_weight_grad"](ct, g, weight_shape=w.shape, **_with(attrs))]


def _weight_grad_vjp(cts: Exprs, ins: Exprs, outs: Exprs, weight_shape: Shape, *attrs: Any) -> list[Expr]:
    (x, g), ct = ins, cts[0]
    return [OPS["conv_input_grad"](g, ct, input_shape=x.shape, **_with(attrs)), OPS["conv"](x, ct, **_with(attrs))]


# -- batching ---------------------------------------------------------------------------------------------------------

# each op makes one of x, w and y (the result of conv) of the other two: their dims in front of the spatial ones, and which counts groups
_DIMS = {"x": "NC", "w": "OC", "y": "NO"}
_GROUPED = {"x": 1, "w": 0, "y": 1}


def _merge(x: Expr, dim: int, outer: int) -> Expr:
    """The batch dim in a sample's `dim`, behind its `outer` leading parts: [B, .., outer * d, ..] as [.., outer * B * d, ..]."""
    n, shape = x.shape[0], x.shape[1:]
    parts = x.reshape((n, *shape[:dim], outer, shape[dim] // outer, *shape[dim + 1 :]))
    return move_dim(parts, 0, dim + 1).reshape((*shape[:dim], n * shape[dim], *shape[dim + 1 :]))


def _split(x: Expr, n: int, shape: Shape, dim: int, outer: int) -> Expr:
    """Undo `_merge`: n samples of `shape`."""
    parts = x.reshape((*shape[:dim], outer, n, shape[dim] // outer, *shape[dim + 1 :]))
    return move_dim(parts, dim + 1, 0).reshape((n, *shape))


def _batch(name: str, a: str, b: str, result: str) -> Callable:
    """Batching of the op `name`, which makes `result` of `a` and `b`. A batch of one of them becomes part of the dim (N, C or O) that it
    shares with the result and not with the other. Batches of both multiply the groups."""

    def batch(ins: Exprs, batched: Sequence[bool], *attrs: Any) -> tuple[list[Expr], list[bool]]:
        op, n = OPS[name], batch_size(ins, batched)
        named = dict(zip(op.attr_names, attrs))
        groups = named["groups"]
        (sample,) = (t.shape for t in infer(op, tuple(x.type.with_shape(x.shape[own:]) for x, own in zip(ins, batched)), attrs))
        if n == 0:  # there is no such thing as no groups
            return [ins[0].const(0).broadcast((0, *sample))], [True]
        if all(batched):
            places = {t: (_GROUPED[t], 1) for t in _GROUPED}
            named["groups"] = n * groups
        else:
            mine, other = (a, b) if batched[0] else (b, a)
            shared = next(d for d in _DIMS[mine] if d in _DIMS[result] and d not in _DIMS[other])
            at = {t: _DIMS[t].index(shared) for t in (mine, result)}
            places = {t: (d, groups if d == _GROUPED[t] else 1) for t, d in at.items()}
        given = [_merge(x, *places[t]) if own else x for t, x, own in zip((a, b), ins, batched)]
        dim = places[result][0]
        for shape in named.keys() & {"input_shape", "weight_shape"}:
            named[shape] = (*sample[:dim], n * sample[dim], *sample[dim + 1 :])
        return [_split(op(*given, **named), n, sample, *places[result])], [True]

    return batch


# x, w, stride, padding, dilation, groups
_CASES: tuple[tuple[Shape, Shape, Ints, Pads, Ints, int], ...] = (
    ((2, 3, 5, 6), (4, 3, 3, 2), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    ((2, 4, 7, 6), (6, 2, 3, 3), (2, 1), ((1, 1), (0, 2)), (1, 2), 2),
    ((1, 3, 8), (2, 3, 3), (3,), ((2, 1),), (2,), 1),
    ((2, 2, 3, 4, 3), (2, 1, 2, 2, 2), (1, 2, 1), ((0, 1), (1, 0), (0, 0)), (1, 1, 2), 2),
    ((1, 4, 5, 5), (4, 1, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 4),
    ((2, 1, 1, 1), (1, 1, 1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    ((0, 2, 4, 4), (3, 2, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((1, 2, 7), (2, 2, 2), (4,), ((0, 0),), (1,), 1),  # the last elements are never read
    ((2, 3, 4, 6), (5, 3, 2, 3), (2, 3), ((0, 0), (0, 0)), (1, 1), 1),  # windows side by side
)
_DTYPES = ("f64", "f16", "bf16", "i32")


def _samples(kind: str) -> list[Case]:
    out = []
    for i, (x, w, stride, padding, dilation, groups) in enumerate(_CASES):
        y = _conv_shape("conv", x, w, stride, padding, dilation, groups)
        for d in ("f32", *(_DTYPES if i < 1 else ())):
            ins = {"conv": (x, w), "conv_input_grad": (y, w), "conv_weight_grad": (x, y)}[kind]
            more: dict[str, Any] = {"conv": {}, "conv_input_grad": {"input_shape": x}, "conv_weight_grad": {"weight_shape": w}}[kind]
            out.append(case(*((d, s) for s in ins), **more, **_with((stride, padding, dilation, groups))))
    return out


conv = declare(
    "conv", attrs=GEOMETRY, infer=_conv_infer, ref=_conv_ref, vjp=_conv_vjp, jvp=bilinear_jvp("conv"),
    batch=_batch("conv", "x", "w", "y"),
    doc="Cross-correlation of x with w. padding is (low, high) per spatial dim; halves accumulate in f32.",
    samples=lambda: _samples("conv"),
    lowering=Contraction(_conv_form), foldable=Foldable.NEVER, over_complex=OverComplex.CONJUGATE,
)  # fmt: skip
conv_input_grad = declare(
    "conv_input_grad", attrs=("input_shape", *GEOMETRY), sizes=("input_shape",), infer=_input_grad_infer, ref=_input_grad_ref,
    vjp=_input_grad_vjp,
    jvp=bilinear_jvp("conv_input_grad"), batch=_batch("conv_input_grad", "y", "w", "x"),
    doc="The gradient of conv by its input, from the cotangent and w: a transposed convolution.",
    samples=lambda: _samples("conv_input_grad"),
    lowering=Contraction(_input_grad_form), foldable=Foldable.NEVER, over_complex=OverComplex.CONJUGATE,
)  # fmt: skip
conv_weight_grad = declare(
    "conv_weight_grad", attrs=("weight_shape", *GEOMETRY), sizes=("weight_shape",), infer=_weight_grad_infer, ref=_weight_grad_ref,
    vjp=_weight_grad_vjp, jvp=bilinear_jvp("conv_weight_grad"), batch=_batch("conv_weight_grad", "x", "y", "w"),
    doc="The gradient of conv by its weight, from x and the cotangent.",
    samples=lambda: _samples("conv_weight_grad"),
    lowering=Contraction(_weight_grad_form), foldable=Foldable.NEVER, over_complex=OverComplex.CONJUGATE,
)  # fmt: skip
