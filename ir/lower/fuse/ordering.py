"""Ordering: the groups one after the other, each after those whose results it reads."""

from __future__ import annotations

from ingot.ir.graph import Value
from ingot.ir.lower.fuse.joining import Growing, Joined

__all__ = ["ordered"]


def ordered(joined: Joined) -> list[Growing]:
    """The groups that write something, in topological order; dependencies are followed through what is computed where it is read."""
    producers, home, position = joined.graph.producers, joined.home, joined.position
    live = [g for g in joined.groups.values() if g.outputs]
    owner = {v: g for g in live for v in g.outputs}
    memo: dict[Value, frozenset[int]] = {}

    def needs(v: Value) -> frozenset[int]:
        stack = [v]
        while stack:
            u = stack.pop()
            if u in memo:
                continue
            if u in owner:
                memo[u] = frozenset((owner[u].index,))
                continue
            node = producers.get(u)
            if node is None:
                memo[u] = frozenset()
                continue
            missing = [w for w in node.inputs if w not in memo]
            if missing:
                stack.append(u)
                stack.extend(missing)
            else:
                memo[u] = frozenset().union(*(memo[w] for w in node.inputs))
        return memo[v]

    preds: dict[int, set[int]] = {}
    for g in live:
        need: set[int] = set()
        for n in g.nodes:
            for v in n.inputs:
                if home.get(v) is g and v not in g.outputs:
                    continue
                need |= needs(v)
        preds[g.index] = need - {g.index}
    out: list[Growing] = []
    done: set[int] = set()
    opened: set[int] = set()  # on the way from the start to the top of the stack
    by_index = {g.index: g for g in live}
    for start in sorted(live, key=lambda g: max(position[n] for n in g.nodes)):
        stack = [start.index]
        while stack:
            i = stack[-1]
            if i in done:
                stack.pop()
                continue
            missing = [p for p in sorted(preds[i]) if p not in done]
            if missing:
                if i in opened or not opened.isdisjoint(missing):
                    raise AssertionError("fusion made a cycle of kernels")
                opened.add(i)
                stack.extend(missing)
            else:
                done.add(i)
                opened.discard(i)
                out.append(by_index[i])
                stack.pop()
    return out
