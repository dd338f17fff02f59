"""The prologue of a program: what follows from steady inputs alone is calculated once, and kept from call to call.

Inputs are steady (`Graph.steady`) that a caller gives again and again: the weights of a network that is not trained. Launches that read
nothing else, or what such launches make (weights packed into panels, transposed, converted; what batch norms make of their statistics), run
where the memory that is kept for them is not filled yet. Whoever calls gives that memory, a last output of `Program.kept` bytes, and other
memory when a steady input has changed. Kernels need do nothing for it but to write what can be kept in a launch of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ingot.ir.graph import Value
from ingot.ir.loop.ir import Check
from ingot.ir.loop.walk import statements
from ingot.ir.lower.arena import aligned
from ingot.ir.lower.emitting import Call, Emitted
from ingot.ir.lower.nesting import runs_once
from ingot.ir.struct import frozen, struct

__all__ = ["NO_PROLOGUE", "Prologue", "prologue_of"]

HEAD = 64  # bytes in front, of which the first says whether the rest is there


@frozen
@struct
class Prologue:
    """calls: by their places;  offsets: where what they make lies in what is kept, which is `nbytes` in all."""

    calls: frozenset[int]
    offsets: Mapping[Value, int]
    nbytes: int


NO_PROLOGUE = Prologue(frozenset(), MappingProxyType({}), 0)


def prologue_of(emitted: Emitted) -> Prologue:
    """The calls of a graph that only need its steady inputs, are the same at every size, and cannot fail."""
    graph, root = emitted.fused.graph, emitted.fused.root
    if not graph.steady:
        return NO_PROLOGUE
    found = runs_once(emitted, frozenset(root(graph.inputs[i]) for i in graph.steady), _keeps)
    offsets: dict[Value, int] = {}
    at = HEAD
    for k in sorted(found):
        c = emitted.calls[k]
        assert isinstance(c, Call)
        for b, v in zip(c.written.kernel.buffers, c.values):
            if b.access != "r" and root(v) not in offsets:
                offsets[root(v)] = at
                at += aligned(int(v.type.nbytes))
    return Prologue(frozenset(found), offsets, at) if found else NO_PROLOGUE


def _keeps(c: Call) -> bool:
    """Whether what a call makes may be kept: it is of known size, and nothing in it can fail."""
    if any(v.type.symbolic for v in c.values) or not all(isinstance(p, int) for p in c.params):
        return False
    return not any(isinstance(s, Check) for s in statements(c.written.kernel.body))
