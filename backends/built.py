"""What every backend makes: code, and the manifest that says how to call it."""

from __future__ import annotations

from typing import Any

from ingot.ir.graph import Graph, Node
from ingot.ir.loop.program import Program
from ingot.ir.struct import value_type

__all__ = ["Built", "manifest_of", "numbered"]


@value_type
class Built:
    """A program's machine code."""

    code: bytes  # what is stored and loaded: a shared object, or the text of PTX
    manifest: dict[str, Any]  # how to call it: plain data; see runtime/executable.py
    llvm: str  # the LLVM IR that the code was made of


def numbered(graph: Graph) -> Graph:
    """The graph with each node's number for its location: where it was recorded is no part of what is stored."""
    nodes: list[Any] = [Node(n.op, n.inputs, n.attrs, n.outputs, (i,)) for i, n in enumerate(graph.nodes)]  # type: ignore[arg-type]
    return graph.replace(nodes=tuple(nodes))


def manifest_of(program: Program, arena_bytes: int) -> dict[str, Any]:
    """The part of a manifest that is alike for all targets: slots, memory, checks, aliases, and the types as text.

    A check's `node` is its place in the graph; where that was recorded is looked up in the graph at hand.
    """
    ins, outs = program.in_types, program.out_types
    return {
        "slots": [t.dtype.name if i in program.scalars else "address" for i, t in enumerate(ins)] + ["address"] * len(outs),
        "arena_bytes": arena_bytes,
        "checks": {
            str(code): {"message": message, **({"node": loc[0]} if loc is not None and len(loc) == 1 else {})}
            for code, (message, loc) in sorted(program.checks.items())
        },
        "aliases": {str(o): list(i) for o, i in sorted(program.aliases.items())},
        "inputs": [str(t) for t in ins],
        "outputs": [str(t) for t in outs],
    }
