"""Signatures: groups that compute the same on values of the same types are scheduled and written once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from ingot.ir.graph import Value
from ingot.ir.lower.group import Group

__all__ = ["Signature", "signature_of"]


class Signature(NamedTuple):
    """What a group computes (`key`), without saying on which values; and those values, in the order the key counts them."""

    key: Hashable
    values: tuple[Value, ...]


def signature_of(g: Group) -> Signature:
    """The signature of a group."""
    number: dict[Value, int] = {}
    leaves: list[Value] = []
    parts: list[Hashable] = []
    producers = g.graph.producers

    def leaf(v: Value) -> None:
        number[v] = ~len(leaves)
        leaves.append(v)
        parts.append((v.type, g.orders.get(v)))

    stack = list(reversed(g.outputs)) + [v for n in g.nodes for v in n.outputs]
    while stack:
        v = stack[-1]
        if v in number:
            stack.pop()
            continue
        node = producers.get(v)
        if node is None or v in g.in_memory and v not in g.maps:
            leaf(v)
            stack.pop()
            continue
        missing = [u for u in node.inputs if u not in number]
        if missing:
            stack.extend(missing)
            continue
        for u in node.outputs:
            number[u] = len(number)
        parts.append((node.op, node.attrs, tuple(number[u] for u in node.inputs), tuple(u.type for u in node.outputs)))
        stack.pop()
    for v in g.outputs:
        leaves.append(v)
        parts.append(g.orders.get(v))
    parts.append((g.kind, g.shape, tuple(sorted(g.reduced)), g.split, tuple(number[v] for v in g.outputs)))
    parts.append(tuple((number[v], m) for v, m in g.maps.items()))
    parts.append(tuple((number[n.outputs[0]], m) for n, m in g.opened.items()))
    return Signature(tuple(parts), tuple(leaves))
