"""Memory: calls on values become steps on addresses, and what is neither input nor output gets a place in the arena."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ingot.ir.dtypes import u8
from ingot.ir.graph import Value
from ingot.ir.loop.program import Branch, Copy, Launch, Program, Ref, Step, slots
from ingot.ir.lower.aliasing import aliases
from ingot.ir.lower.arena import Arena
from ingot.ir.lower.emitting import Call, Emitted
from ingot.ir.lower.nesting import Placed, runs_once, steady, together
from ingot.ir.lower.prologue import NO_PROLOGUE, Prologue, prologue_of
from ingot.ir.types import tensor_type

__all__ = ["place"]


def place(emitted: Emitted) -> Program:
    """The program: argument slots are the graph's inputs, then its outputs."""
    graph = emitted.fused.graph
    numbers = iter(range(1, 1 << 62))
    prologue = prologue_of(emitted)
    placed = _place(emitted, frozenset(), lambda: f"t{next(numbers)}", prologue)
    steps = placed.steps
    out_types = graph.out_types
    once: tuple[int, ...] = ()
    if prologue.nbytes:
        slot = len(graph.inputs) + len(out_types)
        once = tuple(sorted((slots(placed.before) - slots(steps)) & set(range(len(graph.inputs)))))
        steps = [Branch(Ref(slot), (), (*placed.before, Copy(Ref(slot), Ref(slot, 1), 1))), *steps]
        out_types = (*out_types, tensor_type(u8, (prologue.nbytes,)))
    return Program(
        graph.name, graph.in_types, out_types, graph.scalars, emitted.kernels, tuple(steps), placed.arena_bytes,
        aliases(emitted), emitted.checks, graph.symbols, prologue.nbytes, once,
    )  # fmt: skip


def _place(emitted: Emitted, invariant: frozenset[Value], fresh: Callable[[], str], prologue: Prologue = NO_PROLOGUE) -> Placed:
    """Give addresses to the calls of a graph. `invariant`: inputs that stay the same while the graph, a body, is repeated."""
    arena = Arena()
    placed = _place_in(arena, emitted, invariant, fresh, prologue)
    return _place_in(Arena(arena), emitted, invariant, fresh, prologue) if arena.places else placed


def _place_in(arena: Arena, emitted: Emitted, invariant: frozenset[Value], fresh: Callable[[], str], prologue: Prologue) -> Placed:
    graph, root, calls = emitted.fused.graph, emitted.fused.root, emitted.calls
    once = runs_once(emitted, invariant) | prologue.calls
    # inputs and outputs are slots, the rest lies in the arena
    where: dict[Value, Ref] = {v: Ref(k, value=k in graph.scalars) for k, v in enumerate(graph.inputs)}
    copies: list[tuple[Value, int]] = []
    for k, v in enumerate(graph.outputs):
        r = root(v)
        slot = len(graph.inputs) + k
        if r in where:
            copies.append((r, slot))
        else:
            where[r] = Ref(slot)

    where.update((v, Ref(len(graph.inputs) + len(graph.outputs), offset)) for v, offset in prologue.offsets.items())
    spans: dict[Value, list[int]] = {}  # the first and the last call that touch it
    for at, c in enumerate(calls):
        for v in c.values if isinstance(c, Call) else (*c.node.inputs, *c.node.outputs):
            r = root(v)
            if r not in where:
                spans.setdefault(r, [at, at])[1] = at
    for v in list(spans):
        if spans[v][0] in once:  # in use for the whole loop
            where[v] = Ref(None, arena.place(0, len(calls), v.type.nbytes))
            del spans[v]
    starts: dict[int, list[Value]] = {}
    for v, (first, _) in spans.items():
        starts.setdefault(first, []).append(v)

    before: list[Step] = []
    steps: list[Step] = []
    for at, c in enumerate(calls):
        for v in starts.get(at, ()):
            where[v] = Ref(None, arena.place(at, spans[v][1], v.type.nbytes))
        if isinstance(c, Call):
            (before if at in once else steps).append(Launch(c.kernel, tuple(where[root(v)] for v in c.values), c.params))
        else:
            name = fresh()
            bodies = [_place(b, steady(c.node), fresh) for b in c.bodies]
            steps += together(c.node, bodies, lambda v: where[root(v)], partial(arena.place, at, at), name)
    steps += [Copy(Ref(slot), where[r], r.type.nbytes) for r, slot in copies]
    return Placed(before, steps, arena.nbytes)
