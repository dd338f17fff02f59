"""Checks made before: indices that are known to be in range, since what is calculated earlier in any case reads by them.

The gradient of a table (an embedding) is written by the indices that the table was read by.
"""

from __future__ import annotations

from collections.abc import Hashable, Set

from ingot.ir.facts import OwnKernels, View
from ingot.ir.graph import Node, Value
from ingot.ir.lower.fuse.joining import Growing, Joined

__all__ = ["checked_before"]


def checked_before(joined: Joined, in_memory: Set[Value]) -> frozenset[Node]:
    """The nodes with kernels of their own that write by indices which an earlier group reads the same dims of as large a tensor by."""
    nodes = [n for n in joined.graph.nodes if n.op.indices is not None]
    reads: dict[Hashable, list[Node]] = {}
    for n in nodes:
        if isinstance(n.op.lowering, View):
            reads.setdefault(_places(n), []).append(n)
    out = set()
    for n in nodes:
        if isinstance(n.op.lowering, OwnKernels) and (g := joined.home.get(n.outputs[0])) is not None:
            early = (h for r in reads.get(_places(n), ()) for h in _calculated(joined, r, in_memory))
            if any(g.ancestors >> h.index & 1 for h in early):
                out.add(n)
    return frozenset(out)


def _places(node: Node) -> Hashable:
    """Which elements of how large a tensor a node reads or writes."""
    dims = node.attrs[0]
    first = node.op.indices or 0
    return node.inputs[0].type.shape, dims, node.inputs[first : first + (len(dims) if isinstance(dims, tuple) else 1)]


def _calculated(joined: Joined, node: Node, in_memory: Set[Value]) -> list[Growing]:
    """The groups that calculate every element of a view, whatever the values are."""
    (v,) = node.outputs
    if v in in_memory:
        return [joined.home[v]]
    return [
        joined.home[r.outputs[0]]
        for r in joined.graph.users.get(v, ())
        if r.outputs[0] in joined.home and not isinstance(r.op.lowering, View) and _needed(joined, r)
    ]


def _needed(joined: Joined, member: Node) -> bool:
    """Whether something that a group writes is made of a member, point by point."""
    g = joined.home[member.outputs[0]]
    stack, seen = [member], {member}
    while stack:
        n = stack.pop()
        if not set(n.outputs).isdisjoint(g.outputs):
            return True
        for v in n.outputs:
            for r in joined.graph.users.get(v, ()):
                if r not in seen and joined.home.get(r.outputs[0]) is g:
                    seen.add(r)
                    stack.append(r)
    return False
