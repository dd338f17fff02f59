"""From a traced graph to a program of loops, stage by stage.

    program = lower(graph, cpu(machine))          # ir.loop.program.Program

`STAGES` is all that happens, in order: passes over the graph, then

    inline    composites, but for routines that a target has kernels of (matrices/routines.py)    Graph -> Graph
    parts     complex values as pairs of real ones; then routines among what these are made of    Graph -> Graph
    attention where a target has kernels for it: calls of what is made on chip    Graph -> Graph
    fuse      which nodes share a kernel, which values have memory      Graph     -> Fused
    layouts   in which order the dims of values lie               Fused     -> Fused
    schedule  how the kernels of each group run                         Fused     -> Scheduled
    emit      each group as kernels of loops, equal ones once           Scheduled -> Emitted
    memory    addresses: the arena, outputs in place of inputs, steps   Emitted   -> Program

Bodies of loops go through the same stages. A target (target.py) is a machine, which is all that schedules know of where code
will run, and for each kind of group how it is scheduled and written; cpu.py has the CPUs' table.
`python -m ingot.ir file.ir --to fuse` shows what a stage makes of a text file.

Extents may be sizes with symbols in them, down to the steps of the program; in kernels they are parameters. What results depend on is
decided for every value that symbols may have (`at_most`, `equal` of ir/size.py); what only costs time, for extents that are large
within their bounds (assumed.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ingot.ir.graph import Graph
from ingot.ir.loop.program import Program
from ingot.ir.loop.text import print_program
from ingot.ir.lower import scheduling
from ingot.ir.lower.attention_calls import stay_on_chip
from ingot.ir.lower.emitting import emit, print_emitted, verify_emitted
from ingot.ir.lower.fuse import fuse
from ingot.ir.lower.group import print_fused, verify_fused
from ingot.ir.lower.laying import layouts
from ingot.ir.lower.placing import place
from ingot.ir.lower.routines import kind_of
from ingot.ir.lower.target import Target
from ingot.ir.passes.cse import cse
from ingot.ir.passes.dce import dce
from ingot.ir.passes.fold import fold
from ingot.ir.passes.inline import inline
from ingot.ir.passes.loops import merge_scans, sum_behind
from ingot.ir.passes.nested import hoist, prune_bodies
from ingot.ir.passes.parts import parts
from ingot.ir.passes.products import absorb_transposes, swap_products
from ingot.ir.passes.simplify import simplify
from ingot.ir.passes.wide import wide
from ingot.ir.struct import replace, value_type

__all__ = ["PASSES", "STAGES", "Stage", "Watcher", "graph_stage", "lower", "run"]


@value_type
class Stage:
    """A step of the lowering.

    run(value, target) -> value    what it does
    text(value)                    what it gives, for people
    verify(value)                  raises where what it gives is not well formed
    """

    name: str
    run: Callable[[Any, Target], Any]
    text: Callable[[Any], str]
    verify: Callable[[Any], Any]


Watcher = Callable[[Stage, Any], None]  # called after each stage with what it gave


def _verify(graph: Graph) -> Graph:
    from ingot.ir.verify import verify

    return verify(graph)


def _verify_program(program: Program) -> None:
    from ingot.ir.loop.verify import verify_program

    verify_program(program)


def graph_stage(p: Callable[[Graph], Graph]) -> Stage:
    """A pass as a stage."""
    return Stage(p.__name__, lambda graph, target: p(graph), str, _verify)


def _inline(graph: Graph, target: Target) -> Graph:
    """Composites, and routines that the target has no kernels of."""

    def opens(called: Graph) -> bool:
        kind = target.kinds.get(kind_of(called) or "")
        return kind is None or not kind.takes(called, target.machine)

    return inline(graph, opens)


def _attention(graph: Graph, target: Target) -> Graph:
    kind = target.kinds.get("attention")
    return graph if kind is None else stay_on_chip(graph, lambda body: kind.takes(body, target.machine))


_PASSES = (
    inline, parts, dce, simplify, fold, cse, merge_scans, hoist, dce, prune_bodies, dce, swap_products, absorb_transposes, dce, sum_behind,
    wide,
)  # fmt: skip
PASSES = {p.__name__: p for p in _PASSES}  # by name
STAGES: tuple[Stage, ...] = (
    Stage("inline", _inline, str, _verify),
    graph_stage(parts),
    Stage("routines", _inline, str, _verify),
    *map(graph_stage, _PASSES[2:]),
    Stage("attention", _attention, str, _verify),
    Stage("fuse", lambda graph, target: fuse(graph), print_fused, verify_fused),
    Stage("layouts", layouts, print_fused, verify_fused),
    Stage("schedule", scheduling.schedule, scheduling.print_scheduled, scheduling.verify_scheduled),
    Stage("emit", emit, print_emitted, verify_emitted),
    Stage("memory", lambda emitted, target: place(emitted), print_program, _verify_program),
)


def run(value: Any, target: Target, stages: Sequence[Stage] = STAGES, watch: Watcher | None = None) -> Any:
    """Take a value through some of the stages."""
    for stage in stages:
        value = stage.run(value, target)
        if watch is not None:
            watch(stage, value)
    return value


def lower(graph: Graph, target: Target, watch: Watcher | None = None) -> Program:
    """The program of a graph. Argument slots: inputs, then outputs, then the values of its symbols, those that no pass left included."""
    program = run(graph, target, watch=watch)
    return program if program.symbols == graph.symbols else replace(program, symbols=graph.symbols)
