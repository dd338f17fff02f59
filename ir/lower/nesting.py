"""Loops and branches of steps: the calls of the bodies in a node, put together as its kind says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from ingot.ir.facts import Control
from ingot.ir.graph import Node, Value
from ingot.ir.loop.program import Branch, Copy, Launch, Ref, Repeat, Step, While
from ingot.ir.lower.arena import aligned
from ingot.ir.lower.emitting import Call, Emitted, Nested
from ingot.ir.size import at_most, larger, smaller
from ingot.ir.struct import replace, value_type
from ingot.ir.types import Dim

__all__ = ["Placed", "steady", "runs_once", "together"]

Where = Callable[[Value], Ref]
Room = Callable[[Dim], Dim]


@value_type
class Placed:
    """The steps of a graph and the bytes of its arena. `before`: those that a loop runs once, in front of the others."""

    before: list[Step]
    steps: list[Step]
    arena_bytes: Dim


def runs_once(emitted: Emitted, invariant: frozenset[Value], may: Callable[[Call], bool] = lambda c: True) -> set[int]:
    """The calls of a body that only need what is `invariant`, or what such calls make, and that `may`: they run once, before the loop.

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
        if isinstance(c, Call) and may(c) and all(b.access != "r" or root(v) in still for b, v in zip(c.written.kernel.buffers, c.values)):
            made = _made(c, root)
            if not made & outputs and not made & still and all(writers[v] == 1 for v in made):
                once.add(at)
                still |= made
    return once


def _made(c: Call | Nested, root: Callable[[Value], Value]) -> set[Value]:
    """What a call writes."""
    if isinstance(c, Nested):
        return {root(v) for v in c.node.outputs}
    return {root(v) for b, v in zip(c.written.kernel.buffers, c.values) if b.access != "r"}


def steady(node: Node) -> frozenset[Value]:
    """The inputs of a node's body that are the same in every step, of a kind that may run calls before the first one."""
    graph, n_const, *_ = node.attrs
    return frozenset(graph.inputs[:n_const]) if _kind(node) == "loop" else frozenset()


def _kind(node: Node) -> str:
    assert isinstance(node.op.lowering, Control)
    return node.op.lowering.kind


def together(node: Node, bodies: list[Placed], where: Where, room: Room, var: str) -> list[Step]:
    """The steps of a loop or branch.

    where: the address of a value outside;  room: finds some in the arena;  var: the loop's variable
    """
    return _KINDS[_kind(node)](node, bodies, where, room, var)


def _loop(node: Node, bodies: list[Placed], where: Where, room: Room, var: str) -> list[Step]:
    """scan: the body's steps for every slice."""
    (body,) = bodies
    graph, n_const, n_carry, length, reverse = node.attrs
    consts, carries, xs = node.inputs[:n_const], node.inputs[n_const : n_const + n_carry], node.inputs[n_const + n_carry :]
    finals, ys = node.outputs[:n_carry], node.outputs[n_carry:]

    def along(v: Value, nbytes: Dim) -> Ref:
        r = where(v)
        if reverse:
            return replace(r, offset=r.offset + (length - 1) * nbytes, strides=(*r.strides, (var, -nbytes)))
        return replace(r, strides=(*r.strides, (var, nbytes)))

    base, new = _beside(body.arena_bytes, finals, room)
    args = [where(v) for v in consts] + [where(v) for v in finals]
    args += [along(v, b.type.nbytes) for v, b in zip(xs, graph.inputs[n_const + n_carry :])]
    args += new + [along(v, b.type.nbytes) for v, b in zip(ys, graph.outputs[n_carry:])]
    steps: list[Step] = [Copy(where(f), where(c), f.type.nbytes) for f, c in zip(finals, carries)]
    before = _rebound(body.before, args, base)
    if before and not at_most(1, length):  # what does not run does not fail
        before = (Repeat(f"{var}_once", smaller(1, length), before),) if length != 0 else ()
    steps += before
    back = tuple(Copy(where(f), n, f.type.nbytes) for f, n in zip(finals, new))
    return [*steps, Repeat(var, length, _rebound(body.steps, args, base) + back)]


def _branch(node: Node, bodies: list[Placed], where: Where, room: Room, var: str) -> list[Step]:
    """cond: the steps of one of two graphs; both write to the results."""
    base = room(larger(*(b.arena_bytes for b in bodies)))
    args = [where(v) for v in (*node.inputs[1:], *node.outputs)]
    return [Branch(where(node.inputs[0]), *(_rebound(b.steps, args, base) for b in bodies))]


def _while(node: Node, bodies: list[Placed], where: Where, room: Room, var: str) -> list[Step]:
    """while_loop: carries lie where the results are, those that a step makes beside them until it ends."""
    cond, body = bodies
    n_const = node.attrs[2]
    consts, carries, finals = node.inputs[:n_const], node.inputs[n_const:], node.outputs
    flag = Ref(None, room(1))
    base, new = _beside(larger(cond.arena_bytes, body.arena_bytes), finals, room)
    args = [where(v) for v in (*consts, *finals)]
    inside = _rebound(body.steps, [*args, *new], base)
    back = tuple(Copy(where(f), n, f.type.nbytes) for f, n in zip(finals, new))
    first = [Copy(where(f), where(c), f.type.nbytes) for f, c in zip(finals, carries)]
    return [*first, While(_rebound(cond.steps, [*args, flag], base), flag, inside + back)]


_KINDS = {"loop": _loop, "branch": _branch, "while": _while}


def _beside(nbytes: Dim, values: Iterable[Value], room: Room) -> tuple[Dim, list[Ref]]:
    """Room for so many bytes, and behind it for each of the values: where they begin."""
    sizes = [aligned(v.type.nbytes) for v in values]
    base = room(nbytes + sum(sizes))
    found: list[Ref] = []
    offset = base + nbytes
    for n in sizes:
        found.append(Ref(None, offset))
        offset += n
    return base, found


def _rebound(steps: Iterable[Step], args: list[Ref], base: Dim) -> tuple[Step, ...]:
    return tuple(_rebind(s, args, base) for s in steps)


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
    if isinstance(step, Branch):
        return Branch(ref(step.flag), _rebound(step.steps, args, base), _rebound(step.otherwise, args, base))
    if isinstance(step, While):
        return While(_rebound(step.test, args, base), ref(step.flag), _rebound(step.steps, args, base))
    return Repeat(step.var, step.count, _rebound(step.steps, args, base))
