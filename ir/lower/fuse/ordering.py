"""Ordering: the groups one after the other, each after those whose results it reads.

As a rule in the graph's order. A group after which less memory is in use than before, or hardly more, since it reads something for the
last time (gradients of weights do), comes as soon as it can: what it reads is not kept until its own place.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Set

from ingot.ir.facts import Reads
from ingot.ir.graph import Node, Value
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.fuse.joining import Growing, Joined, reads

__all__ = ["ordered"]

LITTLE = 4096  # bytes that do not count


def ordered(joined: Joined, in_memory: Set[Value], checked: Set[Node]) -> list[Growing]:
    """The groups that write something, in topological order; dependencies are followed through what is computed where it is read.

    checked: nodes that cannot fail where they stand
    """
    return _Order(joined, in_memory, checked).run()


class _Order:
    def __init__(self, joined: Joined, in_memory: Set[Value], checked: Set[Node]):
        self.joined, self.in_memory = joined, in_memory
        position = joined.position
        self.groups = sorted((g for g in joined.groups.values() if g.outputs), key=lambda g: max(position[n] for n in g.nodes))
        self.owner = {v: k for k, g in enumerate(self.groups) for v in g.outputs}
        self.root: dict[Value, Value] = {}  # views in memory -> what they are views of
        self.memo: dict[Value, tuple[frozenset[Value], bool]] = {}
        self.reads: list[frozenset[Value]] = []  # by group, what it reads from memory
        self.fails: list[bool] = []  # and whether it may fail
        for g in self.groups:
            read: set[Value] = set()
            fails = any(n.may_fail and n not in checked for n in g.nodes)
            for n in g.nodes:
                for v in n.inputs:
                    if joined.home.get(v) is not g or v in self.in_memory and v not in g.outputs:
                        values, failing = self.needs(v)
                        read |= values
                        fails |= failing
            n = g.nodes[0]
            if len(g.nodes) == 1 and reads(n) is Reads.SAME and n.inputs[0] in in_memory:
                self.root[n.outputs[0]] = self.root.get(n.inputs[0], n.inputs[0])
            self.reads.append(frozenset(read))
            self.fails.append(fails)

    def needs(self, v: Value) -> tuple[frozenset[Value], bool]:
        """The values in memory that v is computed from, and whether that may fail."""
        stack, memo, producers = [v], self.memo, self.joined.graph.producers
        while stack:
            u = stack.pop()
            if u in memo:
                continue
            node = producers.get(u)
            if node is None or u in self.owner:
                memo[u] = frozenset((u,)), False
                continue
            missing = [w for w in node.inputs if w not in memo]
            if missing:
                stack.append(u)
                stack.extend(missing)
            else:
                memo[u] = frozenset().union(*(memo[w][0] for w in node.inputs)), node.may_fail or any(memo[w][1] for w in node.inputs)
        return memo[v]

    def run(self) -> list[Growing]:
        graph, groups, root = self.joined.graph, self.groups, self.root
        preds = [{self.owner[v] for v in read if v in self.owner} - {k} for k, read in enumerate(self.reads)]
        after: list[list[int]] = [[] for _ in groups]
        for k, before in enumerate(preds):
            for p in before:
                after[p].append(k)
        waiting = [len(before) for before in preds]
        outputs = {root.get(v, v) for v in graph.outputs}
        inputs = set(graph.inputs)
        lasting = outputs | inputs
        touched = [{root.get(v, v) for v in read} for read in self.reads]
        left = Counter(v for read in touched for v in read)  # of memory, how many groups will read it yet
        made = [sum(assumed(v.type.nbytes) for v in g.outputs if v not in root and v not in lasting) for g in groups]
        last = [[(v, assumed(v.type.nbytes)) for v in read if v not in lasting] for read in touched]
        types = [{v.type for v in g.outputs if v in outputs} for g in groups]  # of what it may write in the place of an input
        updated = [[v for v in read if v in inputs and v.type in t] for read, t in zip(touched, types)]
        failing = {k for k, fails in enumerate(self.fails) if fails}

        def frees(k: int) -> bool:
            """Whether less is in use when the group has run, and no value that it writes in the place of an input is read later."""
            if made[k] - sum([n for v, n in last[k] if left[v] == 1]) >= LITTLE:
                return False
            return not types[k] or failing <= {k} and all([left[v] == 1 for v in updated[k]])

        out: list[Growing] = []
        ready = [k for k, n in enumerate(waiting) if not n]
        while ready:
            k = next((k for k in ready if frees(k)), ready[0])
            ready.remove(k)
            out.append(groups[k])
            failing.discard(k)
            left.subtract(touched[k])
            for n in after[k]:
                waiting[n] -= 1
                if not waiting[n]:
                    insort(ready, n)
        if len(out) < len(groups):
            raise AssertionError("fusion made a cycle of kernels")
        return out
