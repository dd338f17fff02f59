"""How each kind of group is scheduled and written for CPUs: parallel chunks, vectors, register tiles."""

from __future__ import annotations

import importlib

from ingot.ir.lower.nest import NEST
from ingot.ir.lower.target import Kind, Target
from ingot.ir.machine import Machine

__all__ = ["cpu"]


def _later(module: str, name: str) -> Kind:
    """A kind that is imported with the first group of it."""

    def kind() -> Kind:
        return getattr(importlib.import_module(f"ingot.ir.lower.{module}"), name)

    return Kind(lambda group, machine: kind().choose(group, machine), lambda *args: kind().emit(*args), lambda *args: kind().takes(*args))


KINDS = {
    "nest": NEST,
    "tiles": _later("tiles.kind", "TILES"),
    "depthwise": _later("depthwise.emit", "DEPTHWISE"),
    "scatter": _later("scatter", "SCATTER"),
    "index_put": _later("scatter", "INDEX_PUT"),
    "window_scatter": _later("scatter", "WINDOW_SCATTER"),
    "sort": _later("sort", "SORT"),
    "cumulative": _later("cumulative", "CUMULATIVE"),
    "top": _later("top", "TOP"),
    "chosen": _later("chosen", "CHOSEN"),
    "kth": _later("kth", "KTH"),
    "fourier": _later("fourier.kind", "FOURIER"),
    "matrices": _later("matrices.kind", "MATRICES"),
    "attention": _later("attention_kind", "ATTENTION"),
}


def cpu(machine: Machine) -> Target:
    """The target that a CPU of this machine is."""
    return Target(machine, KINDS, layouts=True)
