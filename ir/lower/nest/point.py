"""Where a point of a nest lies in the values it reads and makes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ingot.ir.facts import Contraction, Window
from ingot.ir.graph import Node, Value
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO, Point
from ingot.ir.lower.elements import Elements
from ingot.ir.lower.group import Group
from ingot.ir.lower.small_loops import at_a_point

__all__ = ["input_point", "point_of", "with_small_loops"]


def point_of(group: Group, v: Value, at: Sequence[Index]) -> Point:
    """The point of a member's value, where the group's axes are at `at`."""
    return tuple(ZERO if a is None else at[a] for a in group.maps[v])


def input_point(group: Group, node: Node, at: Sequence[Index]) -> Point:
    """The point of a reduction's input: its kept dims are the output's, the reduced ones the group's."""
    (v,) = node.inputs
    return tuple(ZERO if a is None else at[a] for a in (group.maps[v] if v in group.maps else group.opened[node]))


def with_small_loops(group: Group, elements: Elements, unroll: bool, along_k: int = 0, run: int = 0) -> None:
    """Let `elements` compute the group's windows and contractions by small loops at a point.

    unroll: expand windows in place;  along_k: lanes of a vector along the contracted dim of a product (0: a serial loop);
    run: steps of a run, where a sum is a cascade of them (0: it is one run)
    """
    elements.unroll, elements.along_k, elements.run = unroll, along_k, run
    for n in group.nodes:
        if isinstance(n.op.lowering, (Window, Contraction)):
            elements.known[n.outputs[0]] = partial(at_a_point, elements, n)
