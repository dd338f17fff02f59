"""For those who measure: what a product may be made by, and the text of the table of what was found (tuned.py)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ingot.backends.cuda import tuned
from ingot.backends.cuda.product_choices import candidates, case_of, in_short
from ingot.backends.cuda.products import InTiles
from ingot.ir.graph import Graph
from ingot.ir.loop.program import Program
from ingot.ir.lower import STAGES, run
from ingot.ir.lower.target import Target
from ingot.ir.struct import replace

__all__ = ["choices", "table_text"]

AT = [s.name for s in STAGES].index("schedule") + 1


def choices(graph: Graph, target: Target) -> tuple[str, Iterator[tuple[str, Program]]]:
    """The case that a graph of one product is, and each of its candidates in short, with the program; what is chosen now comes first.

    ("", nothing) where it is not made in tiles.
    """
    scheduled = run(graph, target, STAGES[:AT])
    (group,), (usual,) = scheduled.fused.groups, scheduled.schedules
    if not isinstance(usual, InTiles):
        return "", iter(())
    every = [usual, *(s for s, _ in candidates(group, target.machine) if s != usual)]
    return case_of(group), ((in_short(s), run(replace(scheduled, schedules=(s,)), target, STAGES[AT:])) for s in every)


def table_text(found: Mapping[str, Mapping[str, str]]) -> str:
    """The text of tuned.py with these entries."""
    with open(tuned.__file__, encoding="utf-8") as f:
        head = re.split(r"(?m)^TUNED\b", f.read())[0]
    lines = ["TUNED: Mapping[str, Mapping[str, str]] = {"]
    for generation, rows in sorted(found.items()):
        lines += [f'    "{generation}": {{', *(f'        "{case}": "{choice}",' for case, choice in sorted(rows.items())), "    },"]
    return head + "\n".join([*lines, "}", ""])
