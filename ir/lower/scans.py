"""Loops of steps: the calls of a scan's body, repeated over slices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ingot.ir.graph import Value
from ingot.ir.loop.program import Copy, Launch, Ref, Repeat, Step
from ingot.ir.lower.arena import aligned
from ingot.ir.lower.emitting import Call, Emitted, Repeated
from ingot.ir.size import at_most, smaller
from ingot.ir.struct import replace, value_type
from ingot.ir.types import Dim

__all__ = ["Placed", "runs_once", "repeat"]


@value_type
class Placed:
    """The steps of a graph and the bytes of its arena. `before`: those that a loop runs once, in front of the others."""

    before: list[Step]
    steps: list[Step]
    arena_bytes: Dim


def runs_once(emitted: Emitted, invariant: frozenset[Value]) -> set[int]:
    """The calls of a body that only need what is `invariant`, or what such calls make: they run once, before the loop.

    What they make stays where it is, so it is no output of the body, and no other call writes to it.
    """
    once: set[int] = set()
    if not invariant:
        return once
    root = emitted.fused.root
    outputs = {root(v) for v in emitted.fused.graph.outputs}
    writers = Counter(v for c in emitted.calls for v in _made(c, root))
    still = set(invariant)
    for at, c in enumerate(emitted.calls):
        if isinstance(c, Call) and all(b.access != "r" or root(v) in still for b, v in zip(c.written.kernel.buffers, c.values)):
            made = _made(c, root)
            if not made & outputs and not made & still and all(writers[v] == 1 for v in made):
                once.add(at)
                still |= made
    return once


def _made(c: Call | Repeated, root: Callable[[Value], Value]) -> set[Value]:
    """What a call writes."""
    if isinstance(c, Repeated):
        return {root(v) for v in c.node.outputs}
    return {root(v) for b, v in zip(c.written.kernel.buffers, c.values) if b.access != "r"}


def repeat(loop: Repeated, body: Placed, where: Callable[[Value], Ref], place: Callable[[Dim], Dim], var: str) -> list[Step]:
    """The steps of a loop.

    where: the address of a value outside;  place: finds room in the arena;  var: the loop's variable
    """
    node = loop.node
    graph, n_const, n_carry, length, reverse = node.attrs
    consts, carries, xs = node.inputs[:n_const], node.inputs[n_const : n_const + n_carry], node.inputs[n_const + n_carry :]
    finals, ys = node.outputs[:n_carry], node.outputs[n_carry:]

    def along(v: Value, nbytes: Dim) -> Ref:
        r = where(v)
        if reverse:
            return replace(r, offset=r.offset + (length - 1) * nbytes, strides=(*r.strides, (var, -nbytes)))
        return replace(r, strides=(*r.strides, (var, nbytes)))

    sizes = [aligned(v.type.nbytes) for v in finals]
    base = place(body.arena_bytes + sum(sizes))
    fresh: list[Ref] = []
    offset = base + body.arena_bytes
    for n in sizes:
        fresh.append(Ref(None, offset))
        offset += n
    args = [where(v) for v in consts] + [where(v) for v in finals]
    args += [along(v, b.type.nbytes) for v, b in zip(xs, graph.inputs[n_const + n_carry :])]
    args += fresh + [along(v, b.type.nbytes) for v, b in zip(ys, graph.outputs[n_carry:])]
    steps: list[Step] = [Copy(where(f), where(c), f.type.nbytes) for f, c in zip(finals, carries)]
    before = tuple(_rebind(s, args, base) for s in body.before)
    if before and not at_most(1, length):  # what does not run does not fail
        before = (Repeat(f"{var}_once", smaller(1, length), before),) if length != 0 else ()
    steps += before
    inside = [_rebind(s, args, base) for s in body.steps]
    inside += [Copy(where(f), new, f.type.nbytes) for f, new in zip(finals, fresh)]
    steps.append(Repeat(var, length, tuple(inside)))
    return steps


def _rebind(step: Step, args: list[Ref], base: Dim) -> Step:
    """A step of a body, with its argument slots and its arena placed in the caller's."""

    def ref(r: Ref) -> Ref:
        if r.arg is None:
            return replace(r, offset=r.offset + base)
        to = args[r.arg]
        return replace(to, offset=to.offset + r.offset, strides=to.strides + r.strides)

    if isinstance(step, Launch):
        return Launch(step.kernel, tuple(map(ref, step.bufs)), step.params)
    if isinstance(step, Copy):
        return Copy(ref(step.dst), ref(step.src), step.nbytes)
    return Repeat(step.var, step.count, tuple(_rebind(s, args, base) for s in step.steps))
