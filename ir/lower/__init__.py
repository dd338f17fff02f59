"""From a traced graph to a program of loops, stage by stage.

    program = lower(graph, machine)          # ir.loop.program.Program, for any backend

`STAGES` is all that happens, in order: passes over the graph, then

    fuse      which nodes share a kernel, which values have memory      Graph   -> Fused
    emit      each group as kernels of loops, equal ones once           Fused   -> Emitted
    memory    addresses: the arena, outputs in place of inputs, steps   Emitted -> Program

Bodies of loops go through the same stages. All that schedules know of the target is `machine` (ir/machine.py).
`python -m ingot.ir file.ir --to fuse` shows what a stage makes of a text file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ingot.ir.graph import Graph
from ingot.ir.loop.program import Program
from ingot.ir.loop.text import print_program
from ingot.ir.loop.verify import verify_program
from ingot.ir.lower.emit import emit, print_emitted, verify_emitted
from ingot.ir.lower.fuse import fuse
from ingot.ir.lower.group import print_fused, verify_fused
from ingot.ir.lower.steps import place
from ingot.ir.machine import Machine
from ingot.ir.passes.cse import cse
from ingot.ir.passes.dce import dce
from ingot.ir.passes.fold import fold
from ingot.ir.passes.inline import inline
from ingot.ir.passes.products import absorb_transposes, swap_products
from ingot.ir.passes.scan import hoist, prune_scans
from ingot.ir.passes.simplify import simplify
from ingot.ir.verify import verify

__all__ = ["STAGES", "Stage", "Watcher", "graph_stage", "lower", "run"]


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the lowering.

    run(value, machine) -> value    what it does
    text(value)                     what it gives, for people
    verify(value)                   raises where what it gives is not well formed
    """

    name: str
    run: Callable[[Any, Machine], Any]
    text: Callable[[Any], str]
    verify: Callable[[Any], Any]


Watcher = Callable[[Stage, Any], None]  # called after each stage with what it gave


def graph_stage(p: Callable[[Graph], Graph]) -> Stage:
    """A pass as a stage."""
    return Stage(p.__name__, lambda graph, machine: p(graph), str, verify)


STAGES: tuple[Stage, ...] = (
    *map(graph_stage, (inline, dce, simplify, fold, cse, hoist, dce, prune_scans, dce, swap_products, absorb_transposes)),
    Stage("fuse", lambda graph, machine: fuse(graph), print_fused, verify_fused),
    Stage("emit", emit, print_emitted, verify_emitted),
    Stage("memory", lambda emitted, machine: place(emitted), print_program, verify_program),
)


def run(value: Any, machine: Machine, stages: Sequence[Stage] = STAGES, watch: Watcher | None = None) -> Any:
    """Take a value through some of the stages."""
    for stage in stages:
        value = stage.run(value, machine)
        if watch is not None:
            watch(stage, value)
    return value


def lower(graph: Graph, machine: Machine, watch: Watcher | None = None) -> Program:
    """The program of a graph whose dims are all integers. Argument slots: inputs, then outputs."""
    return run(graph, machine, watch=watch)
