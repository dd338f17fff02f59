"""From a graph to machine code and how to call it, with nothing around it: no cache, no files, no environment.

    made = build(graph, level)
    made.built.so, made.manifest

The same graph and level give the same bytes, whatever this process has compiled before: `ingot cache verify --rebuild` holds
that against every entry (see rebuild.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ingot.runtime import log, observe

if TYPE_CHECKING:
    from ingot.backends.cpu.module import Built
    from ingot.backends.llvm.level import Level
    from ingot.ir.graph import Graph
    from ingot.ir.loop.program import Program
    from ingot.ir.lower import Watcher

__all__ = ["Made", "build"]


class Made(NamedTuple):
    """What became of a graph. `manifest` says how to call the code: see executable.py."""

    program: Program
    built: Built
    manifest: dict[str, Any]


def build(graph: Graph, level: Level, times: dict[str, float] | None = None, watch: Watcher | None = None) -> Made:
    """Lower and compile a graph for a level; `times` gets the milliseconds of each part, `watch` sees each stage of the lowering.

    What lowering and the code generator raise comes through.
    """
    with log.timed("import", times):
        from ingot.backends import cpu
        from ingot.ir.lower import lower
    with log.timed("lower", times):
        program = lower(_numbered(graph), level.machine, watch)
    observe.tell_fusion(program)
    with log.timed("codegen", times):
        built = cpu.build(program, level)
    return Made(program, built, _manifest(program, built))


def _numbered(graph: Graph) -> Graph:
    """The graph with each node's number for its location: where it was recorded is no part of what is stored."""
    from ingot.ir.graph import Node

    nodes: list[Any] = [Node(n.op, n.inputs, n.attrs, n.outputs, (i,)) for i, n in enumerate(graph.nodes)]  # type: ignore[arg-type]
    return graph.replace(nodes=tuple(nodes))


def _manifest(program: Program, built: Built) -> dict[str, Any]:
    """A check's `node` is its place in the graph; where that was recorded is looked up in the graph at hand."""
    ins, outs = program.in_types, program.out_types
    nbytes = sum(t.nbytes for t in (*ins, *outs)) + built.arena_bytes
    return {
        "entry": built.entry,
        "slots": [t.dtype.name if i in program.scalars else "address" for i, t in enumerate(ins)] + ["address"] * len(outs),
        "arena_bytes": built.arena_bytes,
        "scratch_bytes": built.scratch_bytes,
        "checks": {
            str(code): {"message": message, **({"node": loc[0]} if loc is not None and len(loc) == 1 else {})}
            for code, (message, loc) in sorted(program.checks.items())
        },
        "aliases": {str(o): list(i) for o, i in sorted(program.aliases.items())},
        "inputs": [str(t) for t in ins],
        "outputs": [str(t) for t in outs],
        "tiny": nbytes <= 16 << 10 and all(type(s).__name__ != "Repeat" for s in program.steps),
    }
