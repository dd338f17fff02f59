"""Graphs that stand for routines: a target that has kernels of one calls them in the place of what the graph says."""

from __future__ import annotations

from ingot.ir.graph import Graph

__all__ = ["kind_of"]


def kind_of(graph: Graph) -> str | None:
    """The kind of kernels that a routine has, by its name in a target's table; None for a graph that stands for none."""
    if graph.name.startswith("linalg."):
        from ingot.ir.lower.matrices.routines import is_routine

        return "matrices" if is_routine(graph) else None
    if graph.name.startswith("fourier."):
        from ingot.ir.lower.fourier.routines import is_transform

        return "fourier" if is_transform(graph) else None
    if graph.name.startswith("order.kth"):
        from ingot.ir.lower.kth import is_kth

        return "kth" if is_kth(graph) else None
    if graph.name.startswith("order.chosen"):
        from ingot.ir.lower.chosen import is_chosen

        return "chosen" if is_chosen(graph) else None
    return None
