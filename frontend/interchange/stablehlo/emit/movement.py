"""Constants, shapes, slices, joins."""

from __future__ import annotations

from ingot.interchange.stablehlo.emit.writer import UnsupportedError, V, Writer, emits, ints
from ingot.ir.graph import Const, Node, SizedConst

__all__: list[str] = []


@emits("constant")
def _constant(w: Writer, n: Node, xs: list[V]) -> V:
    value = n.attrs[0]
    if not isinstance(value, Const):
        raise UnsupportedError("a constant of an unknown kind")
    if isinstance(value, SizedConst):
        return w.constant(value.dim, value.type.dtype)
    return w.constant(value.array(), value.type.dtype)


@emits("iota")
def _iota(w: Writer, n: Node, xs: list[V]) -> V:
    return w.iota(*n.attrs)


@emits("reshape")
def _reshape(w: Writer, n: Node, xs: list[V]) -> V:
    return w.reshape(xs[0], n.attrs[0])


@emits("transpose")
def _transpose(w: Writer, n: Node, xs: list[V]) -> V:
    return w.transpose(xs[0], n.attrs[0])


@emits("broadcast")
def _broadcast(w: Writer, n: Node, xs: list[V]) -> V:
    return w.broadcast(xs[0], n.attrs[0])


@emits("slice")
def _slice(w: Writer, n: Node, xs: list[V]) -> V:
    starts, stops, steps = n.attrs
    return w.slice(xs[0], starts, stops, steps, n.outputs[0].type.shape)


@emits("pad")
def _pad(w: Writer, n: Node, xs: list[V]) -> V:
    low, high, interior = n.attrs
    return w.pad(xs[0], xs[1], low, high, interior, n.outputs[0].type.shape)


@emits("reverse")
def _reverse(w: Writer, n: Node, xs: list[V]) -> V:
    return w.op("reverse", *xs, attrs=f"dimensions = {ints(n.attrs[0])}")


@emits("concatenate")
def _concatenate(w: Writer, n: Node, xs: list[V]) -> V:
    return w.concatenate(xs, n.attrs[0])
