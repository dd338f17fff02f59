"""How each kind of group is scheduled and written for CPUs: parallel chunks, vectors, register tiles."""

from __future__ import annotations

from ingot.ir.lower.attention_rows import ATTENTION
from ingot.ir.lower.cumulative import CUMULATIVE
from ingot.ir.lower.depthwise import DEPTHWISE
from ingot.ir.lower.nest import NEST
from ingot.ir.lower.scatter import INDEX_PUT, SCATTER, WINDOW_SCATTER
from ingot.ir.lower.sort import SORT
from ingot.ir.lower.target import Target
from ingot.ir.lower.tiles import TILES
from ingot.ir.lower.top import TOP
from ingot.ir.machine import Machine

__all__ = ["cpu"]

KINDS = {
    "nest": NEST, "tiles": TILES, "depthwise": DEPTHWISE, "scatter": SCATTER, "index_put": INDEX_PUT, "window_scatter": WINDOW_SCATTER,
    "sort": SORT, "cumulative": CUMULATIVE, "top": TOP, "attention": ATTENTION,
}  # fmt: skip


def cpu(machine: Machine) -> Target:
    """The target that a CPU of this machine is."""
    return Target(machine, KINDS, layouts=True)
