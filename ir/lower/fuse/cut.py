"""Cutting: which values of a group are kept for its readers so that the rest can be computed again, with the fewest bytes written.

What a group makes is often read long after, by the gradients of what was made: the sigmoid, the error function, the centred row. Of such
values those are kept that make a *minimum cut* between what cannot be repeated (sums, products, what is dear) and what is read: the
least memory from which all of it follows. A value of a few instructions costs its readers less time than its way through memory.

L. R. Ford, D. R. Fulkerson, Maximal flow through a network, 1956.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ingot.ir.facts import Contraction, Inline, Reads, Reduction
from ingot.ir.graph import Node, Value
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.fuse.joining import Growing, Joined, reads
from ingot.ir.types import numel

__all__ = ["AGAIN", "CHEAP", "cuts", "reads_once"]

LARGE = 1 << 18  # bytes of a value from which on it is worth the time to look for a cut
CHEAP = 2  # instructions that are rather repeated than stored and loaded, by whoever reads
AGAIN = 48  # instructions that are rather repeated by readers who want each element of a large value once
PER_BYTE = 16  # instructions for an element that all readers may repeat for each byte of it that is not written

Flow = dict[tuple[Value, bool], dict[tuple[Value, bool], int]]


def reads_once(joined: Joined, v: Value, n: Node) -> bool:
    """Whether a reader of v, outside of v's group, may compute it where it reads it: an element at a time, each at most once."""
    graph = joined.graph
    while n.outputs[0] not in joined.home:
        if reads(n) not in (Reads.SAME, Reads.ONCE):
            return False
        readers = graph.users.get(n.outputs[0], [])
        if len(readers) != 1 or n.outputs[0] in graph.outputs:
            return False
        n = readers[0]
    reader = joined.home[n.outputs[0]]
    if reader.alone or isinstance(n.op.lowering, (Contraction, Inline)):
        return False
    return reader.kind != "nest" or not reader.local and sum(isinstance(m.op.lowering, Reduction) for m in reader.nodes) <= 1


def cuts(joined: Joined, wanted: set[Value]) -> tuple[set[Value], set[Value]]:
    """Values of groups that are kept beside those that are `wanted` in memory, and values that are read and computed again."""
    kept: set[Value] = set()
    again: set[Value] = set()
    for g in joined.groups.values():
        if not g.alone and not g.steady and len(g.nodes) > 1:
            found = _Cut(joined, g, wanted)
            if found.loose:
                found.run()
                kept |= found.kept
                again |= found.loose & found.once
    return kept, again


class _Cut:
    """The cut of one group.

    readers: the members that others read, with those
    loose: those of them that may be computed again; in the end, that are
    once: those of them whose readers want each element once
    kept: what the cut keeps
    last: where the last of the loose is read
    """

    def __init__(self, joined: Joined, g: Growing, wanted: set[Value]):
        self.joined, self.g, self.wanted = joined, g, wanted
        users, home = joined.graph.users, joined.home
        self.readers = {
            v: found
            for v in g.maps
            if (found := [n for n in users.get(v, ()) if not (n.outputs[0] in home and home[n.outputs[0]] is g)]) and v not in wanted
        }
        self.loose = {v for v in self.readers if assumed(v.type.nbytes) >= LARGE and self.instructions(v) is not None}
        self.once = {v for v in self.loose if all(reads_once(joined, v, n) for n in self.readers[v])}
        self.kept: set[Value] = set()
        self.last = 0

    def instructions(self, v: Value) -> int | None:
        """Of one element of a member; None: it is not computed again."""
        return self.joined.graph.producers[v].op.lowering.cost.instructions

    def run(self) -> None:
        """Find the cut; what would cost its readers more than it saves is kept after all, and a cut is found for the others."""
        while self.loose:
            self.last = max(self.joined.position[n] for u in self.loose for n in self.readers[u])
            self.kept = self._minimum()
            dear = {v for v in self.loose - self.kept if self._cost(v) > (AGAIN if v in self.once else CHEAP)}
            if not dear:
                break
            self.loose -= dear
        self.loose -= self.kept
        before = sum(assumed(v.type.nbytes) for v in self.readers)
        after = sum(assumed(v.type.nbytes) for v in self.kept | (self.readers.keys() - self.loose))
        repeated = sum(self._cost(v) * assumed(numel(v.type.shape)) * len(self.readers[v]) for v in self.loose)
        if after >= before or repeated > PER_BYTE * (before - after):
            self.kept, self.loose = set(), set()

    def _cost(self, v: Value) -> int:
        """Instructions to compute an element of v from what is kept."""
        total, stack, seen = 0, [v], {v}
        while stack:
            u = stack.pop()
            total += self.instructions(u) or 0
            for w in self._members(u):
                if w not in seen and not self._free(w) and w not in self.kept:
                    seen.add(w)
                    stack.append(w)
        return total

    def _members(self, v: Value) -> list[Value]:
        """The operands of a member that are members."""
        return [w for w in self.joined.graph.producers[v].inputs if w in self.g.maps]

    def _barriers(self) -> set[Value]:
        """Members that are too dear for a value that is read many times."""
        found, stack, seen = set(), list(self.loose - self.once), set(self.loose - self.once)
        while stack:
            v = stack.pop()
            if (self.instructions(v) or 0) > CHEAP:
                found.add(v)
                continue
            for w in self._members(v):
                if w not in seen:
                    seen.add(w)
                    stack.append(w)
        return found

    def _free(self, v: Value) -> bool:
        """Whether a member is in memory whatever the cut is."""
        return v in self.wanted or v in self.readers and v not in self.loose

    def _leaves(self, v: Value) -> Iterator[Value]:
        """What a value that is no member is made of: values of other groups, and inputs."""
        stack, home, producers = [v], self.joined.home, self.joined.graph.producers
        while stack:
            u = stack.pop()
            if u in home or u not in producers:
                yield u
            else:
                stack.extend(producers[u].inputs)

    def _room(self, v: Value) -> int:
        """What it costs to have a value in memory until it is read."""
        if v in self.g.maps:
            return 0 if self._free(v) else 2 * assumed(v.type.nbytes)
        position = self.joined.position
        if v not in self.joined.graph.producers or any(position[n] >= self.last for n in self.joined.graph.users.get(v, ())):
            return 0
        return assumed(v.type.nbytes)  # it is written already, and lives longer

    def _minimum(self) -> set[Value]:
        """Members between what cannot be repeated and the loose values, of which all of those follow, with the least room."""
        flow = _Flow(self._room)
        barriers = self._barriers()
        stack, seen = list(self.loose), set(self.loose)
        for v in self.loose:
            flow.to_sink(v)
        while stack:
            v = stack.pop()
            if v not in self.g.maps or self.instructions(v) is None or self._free(v) or v in barriers:
                flow.from_source(v)
                continue
            for operand in self.joined.graph.producers[v].inputs:
                for w in (operand,) if operand in self.g.maps else self._leaves(operand):
                    flow.edge(w, v)
                    if w not in seen:
                        seen.add(w)
                        stack.append(w)
        return {v for v in flow.cut() if v in self.g.maps and not self._free(v)}


class _Flow:
    """A network whose vertices, values, have capacities: each is two vertices (value, False) -> (value, True) with an edge between."""

    def __init__(self, capacity: Callable[[Value], int]):
        self.capacity = capacity
        self.left: Flow = {}  # what more may flow from one vertex to another
        self.sources: list[Value] = []
        self.sinks: set[Value] = set()

    def _vertex(self, v: Value) -> None:
        if (v, False) not in self.left:
            self.left[v, False] = {(v, True): self.capacity(v)}
            self.left[v, True] = {(v, False): 0}

    def from_source(self, v: Value) -> None:
        """Let what flows begin at v."""
        self._vertex(v)
        self.sources.append(v)

    def to_sink(self, v: Value) -> None:
        """Let what flows end at v."""
        self._vertex(v)
        self.sinks.add(v)

    def edge(self, u: Value, v: Value) -> None:
        """Let any amount flow from u to v."""
        self._vertex(u)
        self._vertex(v)
        self.left[u, True][v, False] = 1 << 62
        self.left[v, False].setdefault((u, True), 0)

    def cut(self) -> set[Value]:
        """The values of a minimum cut, of several the one next to the sinks."""
        for source in self.sources:
            while self._augment(source):
                pass
        reach = {(v, True) for v in self.sinks}  # from where more could flow to a sink
        stack = list(reach)
        while stack:
            b = stack.pop()
            for a in self.left[b]:
                if a not in reach and self.left[a].get(b, 0) > 0:
                    reach.add(a)
                    stack.append(a)
        return {v for v, out in reach if out and (v, False) not in reach}

    def _augment(self, source: Value) -> bool:
        """Let more flow along one shortest path from a source to a sink."""
        start = (source, False)
        came = {start: start}
        queue = [start]
        for a in queue:
            if a[1] and a[0] in self.sinks:
                path = [a]
                while path[-1] != start:
                    path.append(came[path[-1]])
                steps = list(zip(path[1:], path))
                most = min(self.left[x][y] for x, y in steps)
                for x, y in steps:
                    self.left[x][y] -= most
                    self.left[y][x] = self.left[y].get(x, 0) + most
                return True
            for b, room in self.left[a].items():
                if room > 0 and b not in came:
                    came[b] = a
                    queue.append(b)
        return False
