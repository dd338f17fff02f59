"""What every backend makes: code, and the manifest that says how to call it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

from ingot.ir.facts import Control
from ingot.ir.graph import Graph, Node
from ingot.ir.loop.program import Program
from ingot.ir.size import Dim, Size
from ingot.ir.struct import value_type

__all__ = ["Built", "Keep", "Make", "Part", "make", "manifest_of", "numbered", "told"]


@value_type
class Built:
    """A program's machine code."""

    code: bytes  # what is stored and loaded: a shared object, or the text of PTX
    manifest: dict[str, Any]  # how to call it: plain data; see runtime/executable.py


@value_type
class Part:
    """A part of a program's code that other programs may have as well."""

    name: bytes  # a digest of all that decides its code
    text: str  # what the name is the digest of; empty where it is nothing that a program says
    make: Callable[[], bytes]
    ready: Callable[[], bool] = bool  # whether it is made without a compiler


Make = Callable[[Sequence[Part], int], list[bytes]]
Keep = Callable[[Sequence[Part], Make], list[bytes]]
"""`keep(parts, make)`: the code of each, found or made. `make(parts, workers)` makes some, by so many threads."""


def make(parts: Sequence[Part], make: Make) -> list[bytes]:
    """A Keep that knows nothing."""
    return make(parts, 1)


def numbered(graph: Graph) -> Graph:
    """The graph with each node's number for its location: where it was recorded is no part of what is stored.

    What may fail in the bodies of a node has that node's number.
    """
    return graph.replace(nodes=tuple(_numbered(n, i) for i, n in enumerate(graph.nodes)))


def _numbered(n: Node, i: int) -> Node:
    held = n.op.lowering.graphs if isinstance(n.op.lowering, Control) else 0
    bodies = (g.replace(nodes=tuple(_numbered(m, i) for m in g.nodes)) if g.may_fail else g for g in n.attrs[:held])
    location: Any = (i,)
    return Node(n.op, n.inputs, (*bodies, *n.attrs[held:]), n.outputs, location)


def told(size: Dim) -> int | str:
    """A size as manifests tell it: a number, or its text (see runtime/formula.py)."""
    return str(size) if isinstance(size, Size) else size


def manifest_of(program: Program, arena_bytes: Dim, refusals: Mapping[int, tuple[str, str | None]] | None = None) -> dict[str, Any]:
    """The part of a manifest that is alike for all targets: slots, memory, checks, aliases, symbols, and the types as text.

    A check's `node` is its place in the graph; where that was recorded is looked up in the graph at hand.
    refusals: by code, what is wrong with the sizes of a call, and the symbol that it depends on
    """
    ins, outs = program.in_types, program.out_types
    told_outs = outs[:-1] if program.kept else outs
    checks = {
        str(code): {"message": message, **({"node": loc[0]} if loc is not None and len(loc) == 1 else {})}
        for code, (message, loc) in sorted(program.checks.items())
    }
    for code, (message, symbol) in (refusals or {}).items():
        checks[str(code)] = {"message": message, **({} if symbol is None else {"symbol": symbol})}
    slots = [t.dtype.name if i in program.scalars else "address" for i, t in enumerate(ins)]
    manifest: dict[str, Any] = {
        "slots": slots + ["address"] * len(outs) + ["i64"] * len(program.symbols),
        "arena_bytes": told(arena_bytes),
        "checks": checks,
        "aliases": {str(o): list(i) for o, i in sorted(program.aliases.items())},
        "inputs": [str(t) for t in ins],
        "outputs": [str(t) for t in told_outs],
    }
    if program.kept:
        manifest["kept"] = program.kept
        manifest["once"] = list(program.once)
    if program.symbols:
        manifest["symbols"] = [{"name": s.name, "min": s.min, "max": None if s.max == inf else s.max} for s in program.symbols]
    return manifest
