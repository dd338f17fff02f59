"""How groups of each kind are scheduled and written for a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ingot.backends.cuda import attention, attention_kernel, dots, fold_rows, multiply, points, product_choices, rows, turned
from ingot.backends.cuda.dots import Dots
from ingot.backends.cuda.lines import INDEX_PUT, SCATTER, WINDOW_SCATTER
from ingot.backends.cuda.points import Points
from ingot.backends.cuda.scans import CUMULATIVE
from ingot.backends.cuda.sort import SORT
from ingot.backends.cuda.turned import Turned
from ingot.ir.facts import Reduction
from ingot.ir.graph import Node
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import Written
from ingot.ir.lower.target import Kind
from ingot.ir.machine import Machine

__all__ = ["KINDS"]


def _choose_nest(group: Group, machine: Machine) -> Any:
    reduces = any(isinstance(n.op.lowering, Reduction) for n in group.nodes)
    if reduces:
        return rows.choose(group, machine)
    return dots.choose(group, machine) or turned.choose(group, machine) or points.choose(group, machine)


def _emit_nest(group: Group, s: Any, check: Callable[[Node], int]) -> list[Written]:
    if isinstance(s, Dots):
        return dots.emit(group, s, check)
    if isinstance(s, Turned):
        return turned.emit(group, s, check)
    return points.emit(group, s, check) if isinstance(s, Points) else fold_rows.emit(group, s, check)


KINDS: Mapping[str, Kind] = {
    "nest": Kind(_choose_nest, _emit_nest),
    "tiles": Kind(product_choices.choose, multiply.emit),
    "attention": Kind(attention.choose, attention_kernel.emit),
    "depthwise": Kind(points.choose, points.emit),
    "cumulative": CUMULATIVE,
    "scatter": SCATTER,
    "index_put": INDEX_PUT,
    "window_scatter": WINDOW_SCATTER,
    "sort": SORT,
    "top": SORT,
}
