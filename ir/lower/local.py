"""Small loops at a point: windows, and contractions too small or too odd for tiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.facts import Window
from ingot.ir.graph import Node
from ingot.ir.loop import index as ix
from ingot.ir.loop.ir import Index
from ingot.ir.loop.points import Point, linear
from ingot.ir.lower.kernel import KernelWriter, Scalar
from ingot.ir.lower.pull import Pull
from ingot.ir.ops.scalars import convert
from ingot.ir.ops.window import strided, unstrided

__all__ = ["at_a_point"]

UNROLL = 16  # windows of up to this many taps are expanded in place

Rule = Callable[[Pull, Node, Point], Scalar]


def loops(w: KernelWriter, stack: ExitStack, extents: Sequence[int]) -> tuple[Index, ...]:
    """Nested loops around what follows in `stack`, expanded where they are few."""
    kind = "unroll" if 0 < math.prod(extents) <= UNROLL else "serial"
    return tuple(stack.enter_context(w.loop(kind, d)) if d != 1 else ix.const(0) for d in extents)


def window(p: Pull, node: Node, idx: Point) -> Scalar:
    """An element of a window op: the fold over its window, whose places outside the input count as nothing."""
    w, kind = p.w, node.op.lowering
    assert isinstance(kind, Window)
    fold, x = kind.fold, node.inputs[0]
    types = fold.accumulators(x.type.dtype)
    initial = fold.initial(types[0])
    accs = tuple(w.acc(d, start) for d, start in zip(types, initial))
    with ExitStack() as stack:
        tap = loops(w, stack, kind.extents(node))
        at, mask = kind.place(p, node, idx, tap)

        def counted(v: Scalar, nothing: bool | int | float) -> Scalar:
            return v if mask is None else w.select(mask, v, w.const(nothing, v.dtype))

        values = [counted(w.cast(p.at(x, at, mask), types[0]), initial[0])]
        if fold.positions:  # within the dims that the window moves over
            values.append(counted(w.index_value(linear(at[-len(tap) :], x.type.shape[-len(tap) :])), initial[1]))
        w.reduce(accs, fold.name, tuple(values))
    return convert(w, w.get_acc(accs[fold.result], types[fold.result]), node.outputs[0].type.dtype)


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
        at, mask = unstrided(w, idx[2:], tap, stride, padding, dilation, g.type.shape[2:], input_shape[2:], taps)
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


CONTRACTIONS: dict[str, Rule] = {
    "dot": _dot, "conv": _conv, "conv_input_grad": _conv_input_grad, "conv_weight_grad": _conv_weight_grad,
}  # fmt: skip


def at_a_point(p: Pull, node: Node, idx: Point) -> Scalar:
    """An element of a window op or a contraction, by a small loop."""
    return (window if isinstance(node.op.lowering, Window) else CONTRACTIONS[node.op.name])(p, node, idx)
