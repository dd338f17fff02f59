"""Small loops at a point: windows, and contractions too small or too odd for tiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.graph import Node
from ingot.ir.loop import index as ix
from ingot.ir.loop.ir import Index
from ingot.ir.lower.kernel import KernelWriter, Scalar
from ingot.ir.lower.pull import Point, Pull, convert, linear

__all__ = ["LOCAL_RULES", "strided", "unstrided"]

UNROLL = 16  # windows of up to this many taps are expanded in place

Rule = Callable[[Pull, Node, Point], Scalar]


def loops(w: KernelWriter, stack: ExitStack, extents: Sequence[int]) -> tuple[Index, ...]:
    """Nested loops around what follows in `stack`, expanded where they are few."""
    kind = "unroll" if 0 < math.prod(extents) <= UNROLL else "serial"
    return tuple(stack.enter_context(w.loop(kind, d)) if d != 1 else ix.const(0) for d in extents)


def both(w: KernelWriter, a: Scalar | None, b: Scalar) -> Scalar:
    return b if a is None else w.and_(a, b)


def strided(
    w: KernelWriter, out: Sequence[Index], tap: Sequence[Index], stride: Sequence[int], padding: Sequence[tuple[int, int]],
    dilation: Sequence[int], extent: Sequence[int], out_extent: Sequence[int], taps: Sequence[int],
) -> tuple[Point, Scalar | None]:  # fmt: skip
    """Input coordinates of a window: o * stride + t * dilation - low, and the mask of those inside (None: all are)."""
    at: list[Index] = []
    mask: Scalar | None = None
    for o, t, s, (lo, _), d, n, m, k in zip(out, tap, stride, padding, dilation, extent, out_extent, taps):
        i = ix.add(ix.add(ix.mul(o, s), ix.mul(t, d)), ix.const(-lo))
        if lo > 0:
            mask = both(w, mask, w.ge(w.index_value(i), 0))
        if (m - 1) * s + (k - 1) * d - lo >= n:
            mask = both(w, mask, w.lt(w.index_value(i), n))
        at.append(i)
    return tuple(at), mask


def unstrided(
    w: KernelWriter, p: Pull, at: Sequence[Index], tap: Sequence[Index], stride: Sequence[int], padding: Sequence[tuple[int, int]],
    dilation: Sequence[int], extent: Sequence[int], in_extent: Sequence[int], taps: Sequence[int],
) -> tuple[Point, Scalar | None]:  # fmt: skip
    """The window o whose tap t reads input coordinate i: (i + low - t * dilation) / stride, where whole and inside."""
    out: list[Index] = []
    mask: Scalar | None = None
    for i, t, s, (lo, _), d, n, m, k in zip(at, tap, stride, padding, dilation, extent, in_extent, taps):
        num = ix.add(ix.add(i, ix.mul(t, -d)), ix.const(lo))
        v = w.index_value(num)
        if (k - 1) * d > lo:
            mask = both(w, mask, w.ge(v, 0))
        if s != 1:
            mask = both(w, mask, w.eq(w.rem(v, s), 0))
            v = w.div(v, s)
            num = p.w.as_index(v)
        if (m - 1 + lo) // s >= n:
            mask = both(w, mask, w.lt(v, n))
        out.append(num)
    return tuple(out), mask


def _window(p: Pull, node: Node, idx: Point, kind: str, init: bool | int | float) -> Scalar:
    w = p.w
    x = node.inputs[0]
    window, stride, padding, dilation = node.attrs
    k = len(window)
    shape, out_shape = x.type.shape, node.outputs[0].type.shape
    acc_dtype = dtypes.f32 if x.type.dtype in dtypes.Half else x.type.dtype
    names = (w.acc(acc_dtype, init),) if not kind.startswith("arg") else (w.acc(acc_dtype, init), w.acc(dtypes.i64, 2**63 - 1))
    with ExitStack() as stack:
        tap = loops(w, stack, window)
        at, mask = strided(w, idx[-k:], tap, stride, padding, dilation, shape[-k:], out_shape[-k:], window)
        v = w.cast(p.at(x, idx[:-k] + at, mask), acc_dtype)
        if mask is not None:
            v = w.select(mask, v, w.const(init, acc_dtype))
        if len(names) == 1:
            w.reduce(names, kind, (v,))
        else:
            position = w.index_value(linear(at, shape[-k:]))
            if mask is not None:
                position = w.select(mask, position, w.const(2**63 - 1, dtypes.i64))
            w.reduce(names, kind, (v, position))
    out = node.outputs[0].type.dtype
    return convert(w, w.get_acc(names[-1], acc_dtype if len(names) == 1 else dtypes.i64), out)


def _window_max(p: Pull, node: Node, idx: Point) -> Scalar:
    return _window(p, node, idx, "max", _lowest(node))


def _window_argmax(p: Pull, node: Node, idx: Point) -> Scalar:
    return _window(p, node, idx, "argmax", _lowest(node))


def _lowest(node: Node) -> bool | int | float:
    d = node.inputs[0].type.dtype
    return -math.inf if d.kind == "f" else 0 if d.kind in "bu" else -(2 ** (d.bits - 1))


def _window_sum(p: Pull, node: Node, idx: Point) -> Scalar:
    return _window(p, node, idx, "sum", 0)


def _window_sum_grad(p: Pull, node: Node, idx: Point) -> Scalar:
    w = p.w
    g = node.inputs[0]
    input_shape, window, stride, padding, dilation = node.attrs
    k = len(window)
    acc_dtype = dtypes.f32 if g.type.dtype in dtypes.Half else g.type.dtype
    acc = w.acc(acc_dtype, 0)
    with ExitStack() as stack:
        tap = loops(w, stack, window)
        at, mask = unstrided(w, p, idx[-k:], tap, stride, padding, dilation, g.type.shape[-k:], input_shape[-k:], window)
        v = w.cast(p.at(g, idx[:-k] + at, mask), acc_dtype)
        w.reduce((acc,), "sum", (v if mask is None else w.select(mask, v, w.const(0, acc_dtype)),))
    return convert(w, w.get_acc(acc, acc_dtype), node.outputs[0].type.dtype)


def _multiply_add(w: KernelWriter, acc: str, acc_dtype: DType, a: Scalar, b: Scalar, mask: Scalar | None) -> None:
    a, b = w.cast(a, acc_dtype), w.cast(b, acc_dtype)
    if mask is not None:  # a masked operand loads as 0, but 0 * NaN would count
        zero = w.const(0, acc_dtype)
        a, b = w.select(mask, a, zero), w.select(mask, b, zero)
    if acc_dtype.kind == "f":
        w.reduce((acc,), "fma", (a, b))
    else:
        w.reduce((acc,), "sum", (w.mul(a, b),))


def _accumulator(node: Node) -> DType:
    d = node.outputs[0].type.dtype
    return dtypes.f32 if d in dtypes.Half else d


def _dot(p: Pull, node: Node, idx: Point) -> Scalar:
    w = p.w
    a, b = node.inputs
    (batch_a, batch_b), (contract_a, contract_b) = node.attrs
    d = _accumulator(node)
    batch = len(batch_a)
    if not contract_a:  # an outer product
        free = [k for k in range(a.type.rank) if k not in batch_a]
        at_a = dict(zip(batch_a, idx[:batch])) | dict(zip(free, idx[batch:]))
        at_b = dict(zip(batch_b, idx[:batch])) | dict(zip([k for k in range(b.type.rank) if k not in batch_b], idx[batch + len(free) :]))
        x, y = (w.cast(p.at(v, tuple(at[k] for k in range(v.type.rank))), d) for v, at in ((a, at_a), (b, at_b)))
        return convert(w, w.mul(x, y), node.outputs[0].type.dtype)
    acc = w.acc(d, 0)
    free_a = [k for k in range(a.type.rank) if k not in batch_a and k not in contract_a]
    free_b = [k for k in range(b.type.rank) if k not in batch_b and k not in contract_b]
    with ExitStack() as stack:
        *outer, last = contract_a
        ks = tuple(stack.enter_context(w.loop("serial", a.type.shape[c])) for c in outer)
        k, width = a.type.shape[last], p.along_k
        ks += (stack.enter_context(w.loop("vector", k, width, k % width == 0) if width else w.loop("serial", k)),)
        where_a = dict(zip(batch_a, idx[:batch])) | dict(zip(contract_a, ks)) | dict(zip(free_a, idx[batch:]))
        where_b = dict(zip(batch_b, idx[:batch])) | dict(zip(contract_b, ks)) | dict(zip(free_b, idx[batch + len(free_a) :]))
        x = p.at(a, tuple(where_a[k] for k in range(a.type.rank)))
        y = p.at(b, tuple(where_b[k] for k in range(b.type.rank)))
        _multiply_add(w, acc, d, x, y, None)
    return convert(w, w.get_acc(acc, d), node.outputs[0].type.dtype)


def _conv(p: Pull, node: Node, idx: Point) -> Scalar:
    w = p.w
    x, k = node.inputs
    stride, padding, dilation, groups = node.attrs
    per_in = k.type.shape[1]
    per_out = k.type.shape[0] // groups
    d = _accumulator(node)
    acc = w.acc(d, 0)
    taps = k.type.shape[2:]
    group = ix.div(idx[1], per_out, w.ranges) if groups > 1 else ix.const(0)
    with ExitStack() as stack:
        ci = stack.enter_context(w.loop("serial", per_in))
        tap = tuple(stack.enter_context(w.loop("serial", t)) if t != 1 else ix.const(0) for t in taps)
        at, mask = strided(w, idx[2:], tap, stride, padding, dilation, x.type.shape[2:], node.outputs[0].type.shape[2:], taps)
        a = p.at(x, (idx[0], ix.add(ix.mul(group, per_in), ci)) + at, mask)
        _multiply_add(w, acc, d, a, p.at(k, (idx[1], ci) + tap), mask)
    return convert(w, w.get_acc(acc, d), node.outputs[0].type.dtype)


def _conv_input_grad(p: Pull, node: Node, idx: Point) -> Scalar:
    w = p.w
    g, k = node.inputs
    input_shape, stride, padding, dilation, groups = node.attrs
    per_in = k.type.shape[1]
    per_out = k.type.shape[0] // groups
    d = _accumulator(node)
    acc = w.acc(d, 0)
    taps = k.type.shape[2:]
    group = ix.div(idx[1], per_in, w.ranges) if groups > 1 else ix.const(0)
    ci = ix.mod(idx[1], per_in, w.ranges) if groups > 1 else idx[1]
    with ExitStack() as stack:
        co = stack.enter_context(w.loop("serial", per_out))
        tap = tuple(stack.enter_context(w.loop("serial", t)) if t != 1 else ix.const(0) for t in taps)
        at, mask = unstrided(w, p, idx[2:], tap, stride, padding, dilation, g.type.shape[2:], input_shape[2:], taps)
        channel = ix.add(ix.mul(group, per_out), co)
        a = p.at(g, (idx[0], channel) + at, mask)
        _multiply_add(w, acc, d, a, p.at(k, (channel, ci) + tap), mask)
    return convert(w, w.get_acc(acc, d), node.outputs[0].type.dtype)


def _conv_weight_grad(p: Pull, node: Node, idx: Point) -> Scalar:
    w = p.w
    x, g = node.inputs
    weight_shape, stride, padding, dilation, groups = node.attrs
    per_in = weight_shape[1]
    per_out = weight_shape[0] // groups
    d = _accumulator(node)
    acc = w.acc(d, 0)
    group = ix.div(idx[0], per_out, w.ranges) if groups > 1 else ix.const(0)
    spatial = g.type.shape[2:]
    with ExitStack() as stack:
        n = stack.enter_context(w.loop("serial", x.type.shape[0]))
        o = tuple(stack.enter_context(w.loop("serial", t)) for t in spatial)
        at, mask = strided(w, o, idx[2:], stride, padding, dilation, x.type.shape[2:], spatial, weight_shape[2:])
        a = p.at(x, (n, ix.add(ix.mul(group, per_in), idx[1])) + at, mask)
        _multiply_add(w, acc, d, a, p.at(g, (n, idx[0]) + o), mask)
    return convert(w, w.get_acc(acc, d), node.outputs[0].type.dtype)


LOCAL_RULES: dict[str, Rule] = {
    "window_max": _window_max, "window_sum": _window_sum, "window_argmax": _window_argmax, "window_sum_grad": _window_sum_grad,
    "dot": _dot, "conv": _conv, "conv_input_grad": _conv_input_grad, "conv_weight_grad": _conv_weight_grad,
}  # fmt: skip
