"""Schedules of contractions that were measured to be the fastest, by level; `python -m benchmarks tune` writes the table.

Level -> contraction (`case_of`) -> schedule, as its text. Where there is no entry a rule decides; an entry that does not fit (any more) is
as if it were not there. The table alone is read when something is compiled, so that the same graph and level give the same code on
every machine.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from ingot.ir.graph import Value
from ingot.ir.lower.group import Group
from ingot.ir.lower.schedule import Schedule, ScheduleError, parse_schedule
from ingot.ir.lower.tiles.choose import is_steady
from ingot.ir.machine import Machine

__all__ = ["TUNED", "case_of", "tuned"]

_MODULES = {
    "Tiles": "tiles.schedule", "FewRows": "few_rows", "Words": "tiles.words_schedule", "Winograd": "tiles.winograd_schedule",
    "WinogradGradient": "tiles.winograd_gradient_schedule", "DepthwiseGradient": "depthwise.gradient_schedule",
}  # fmt: skip


def tuned(group: Group, machine: Machine) -> Schedule | None:
    """What was measured to be the fastest for a contraction; None where it was not, or does not fit."""
    table = TUNED.get(machine.generation)
    text = table.get(case_of(group)) if table else None
    module = None if text is None else _MODULES.get(text.partition("(")[0])
    if text is None or module is None:
        return None
    importlib.import_module(f"ingot.ir.lower.{module}")  # before its schedules can be read
    try:
        found = parse_schedule(text)
        found.verify(group)
    except ScheduleError:
        return None
    return found


def case_of(group: Group) -> str:
    """Which contractions are taken to be alike: "dot f32[8,768], steady f32[768,256] {batch=((), ()), contract=((1,), (0,))}".

    What is fused behind one does not count. "made": a factor is calculated where it is read; its order: of dims that do not lie as usual.
    """
    node = group.nodes[0]

    def factor(v: Value) -> str:
        steady = "steady " if is_steady(group.graph, v) else ""
        return f"{steady}{v.type}{group.orders.get(v, '')}{'' if v in group.in_memory else ' made'}"

    attrs = ", ".join(f"{name}={value!r}" for name, value in zip(node.op.attr_names, node.attrs))
    return f"{node.op.name} {', '.join(map(factor, node.inputs))} {{{attrs}}}"


TUNED: Mapping[str, Mapping[str, str]] = {}
