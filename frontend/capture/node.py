"""The tape's node of a compiled call, which runs its backward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ingot.capture.sized import SizedBackward
from ingot.capture.traced import Backward
from ingot.ir.types import TensorType
from ingot.runtime.array import Array
from ingot.runtime.tape import RELEASED, Edge, Node, Pair, Version, check_versions, emit_graph, zeros

__all__ = ["CompiledNode", "ancestors", "refusal"]


class CompiledNode(Node):
    """One call of a compiled function. `saved` are the values that its backward reads, `versions` of what they were taken from.

    A backward from one of its results frees what that went through, as eagerly: one from another goes on to be possible where it goes
    through none of that. gone: what was freed, as `Backward.through` numbers it; last: what the last backward went through
    """

    __slots__ = ("back", "saved", "label", "versions", "sized", "sizes", "gone", "last")

    def __init__(
        self, label: str, back: Backward, edges: tuple[Edge | None, ...], saved: list[Array], out_types: tuple,
        sized: SizedBackward | None, sizes: Mapping[str, int],
    ):  # fmt: skip
        super().__init__(edges, out_types)
        self.label = label
        self.back = back
        self.sized = sized  # what runs it where it has symbols, whose values are `sizes`
        self.sizes = sizes
        self.saved: list[Array] | None = saved
        self.versions: Sequence[tuple[Version, int, TensorType]] = ()
        self.gone = self.last = frozenset[int]()

    def name(self) -> str:
        return f"{self.label}Backward"

    def check(self) -> None:
        if self.saved is None:
            raise RuntimeError(RELEASED)
        check_versions(self.name(), self.versions)

    def release(self) -> None:
        self.gone |= self.last
        if self.gone and self.gone == frozenset().union(*self.back.through):
            self.saved = None
            self.versions = ()

    def apply(self, grads: list[Pair | None], create_graph: bool) -> Sequence[Pair | None]:
        if create_graph:
            raise RuntimeError(
                f"{self.label}: a compiled call cannot be differentiated twice (create_graph=True); take the first gradient inside the "
                "compiled function, or call the function that was compiled, `__wrapped__`"
            )
        back = self.back
        assert self.saved is not None
        self.last = frozenset().union(*[t for t, g in zip(back.through, grads) if g is not None])
        if not self.last.isdisjoint(self.gone):
            raise RuntimeError(RELEASED)
        cts = [zeros(t) if g is None else g for g, t in zip(grads, self.out_types)]
        results = self._results([(a, None) for a in self.saved] + cts)
        out: list[Pair | None] = [None] * len(self.edges)
        reached = frozenset().union(*[e for e, g in zip(back.ends, grads) if g is not None])
        for i, r in zip(back.grads, results):
            if i in reached:
                out[i] = r
        return out

    def _results(self, given: list[Pair]) -> list[Pair]:
        if self.sized is None:
            return emit_graph(self.back.graph, given, None)
        found = self.sized.run([a for a, _ in given], self.sizes)
        return emit_graph(self.sized.at(self.sizes), given, None) if found is None else [(a, None) for a in found]


def ancestors(edge: Edge) -> set[Node]:
    """The nodes that a gradient which starts at `edge` reaches."""
    seen: set[Node] = set()
    stack = [edge[0]]
    while stack:
        n = stack.pop()
        if n not in seen:
            seen.add(n)
            stack += [e[0] for e in n.edges if e is not None]
    return seen


def refusal(edge: Edge) -> str | None:
    """Why no backward from `edge` is possible after the function, such as that its graph was freed inside; None if one is."""
    for n in ancestors(edge):
        try:
            n.check()
        except RuntimeError as error:
            return str(error)
        if n.released():
            return RELEASED
    return None
