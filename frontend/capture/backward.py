"""The backward of a trace: derived by running the tape on stand-ins for the gradients that will come."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING

from ingot.capture.trace import Outside, Trace, run_traced
from ingot.ir.facts import View
from ingot.ir.struct import struct
from ingot.ir.types import TensorType
from ingot.runtime.storage import Storage
from ingot.runtime.tape import Edge, Leaf, Node, Pair

if TYPE_CHECKING:
    from ingot.capture.call import Done
    from ingot.capture.places import Elsewhere
    from ingot.capture.recipes import Recipe

__all__ = [
    "ArgumentEdge", "AttributeEdge", "Derived", "Destination", "LeafEdge", "NewLeafEdge", "ResultEdge", "StorageEdge", "derive_backward",
]  # fmt: skip


# ---- where gradients go: one class per kind


class Destination(ABC):
    """The base of all kinds."""

    __slots__ = ()

    @abstractmethod
    def edge(self, done: Done) -> Edge | None:
        """Where the gradient goes, for a call whose code has run."""


@struct
class ArgumentEdge(Destination):
    """To an argument leaf."""

    index: int

    def edge(self, done: Done) -> Edge | None:
        return done.leaves[self.index]._pair()[1]


@struct
class StorageEdge(Destination):
    """To what made the value of a Storage from outside."""

    storage: Storage

    def edge(self, done: Done) -> Edge | None:
        return self.storage.edge


@struct
class AttributeEdge(Destination):
    """To what made the tensor at a place whose tensors are exchanged between calls."""

    place: Elsewhere

    def edge(self, done: Done) -> Edge | None:
        return self.place.read()._pair()[1]


@struct
class LeafEdge(Destination):
    """To a leaf from outside, such as a parameter."""

    leaf: Leaf

    def edge(self, done: Done) -> Edge | None:
        return self.leaf, 0


@struct
class NewLeafEdge(Destination):
    """To an argument leaf that the call makes require gradients."""

    index: int

    def edge(self, done: Done) -> Edge | None:
        return done.leaves[self.index].requires_grad_()._pair()[1]


@struct
class ResultEdge(Destination):
    """To a leaf that the call makes, and that is a result or kept."""

    recipe: Recipe

    def edge(self, done: Done) -> Edge | None:
        return done.result(self.recipe)._pair()[1]


# ---- deriving


_SMALL = 1 << 16  # bytes that are made again whatever makes them

@struct
class Derived:
    """The backward of a trace, in the trace's numbers of values."""

    grads: list[int]
    cotangents: list[int]
    which: tuple[int, ...]  # of `edges`, those that get a gradient
    edges: tuple[Destination, ...]
    ends: list[Node]  # what `edges` stand for
    saved: list[int]


def derive_backward(trace: Trace, roots: Sequence[tuple[int, Edge]], where: Mapping[Node, Destination]) -> Derived | None:
    """Trace the backward of what `trace` recorded; None if no gradient leaves the function.

    roots: value numbers of outputs, with their edges. where: what the ends that were made for the trace stand for;
    others, leaves, are themselves.
    """
    from ingot.runtime.backward import backpropagate  # not at the top: many functions need none

    ends = _ends([e for _, e in roots])
    made = len(trace.types)
    cts = [trace.placeholder(trace.type_of(i), None) for i, _ in roots]

    def backward() -> list[Pair | None]:
        starts: list[tuple[Edge, Pair]] = [(e, (ct, None)) for (_, e), ct in zip(roots, cts)]
        return backpropagate(starts, retain_graph=True, create_graph=False, targets=[(n, 0) for n in ends], leaf_hooks=False)

    found = run_traced(trace, backward)
    which = tuple(i for i, g in enumerate(found) if g is not None)
    if not which:
        return None
    grads = [g[0].value for g in found if g is not None]
    edges = tuple(where.get(n) or LeafEdge(n) for n in ends)  # type: ignore[arg-type]
    ct_ids = [c.value for c in cts]
    return Derived(grads, ct_ids, which, edges, ends, _boundary(trace, grads, made, set(ct_ids)))


def _ends(edges: Sequence[Edge]) -> list[Node]:
    """Where gradients from `edges` leave the trace, in a fixed order."""
    seen: set[Node] = set()
    found: dict[Node, None] = {}
    stack = [e[0] for e in reversed(edges)]
    while stack:
        n = stack.pop()
        if n in seen:
            continue
        seen.add(n)
        if isinstance(n, (Leaf, Outside)):
            found[n] = None
        stack += [e[0] for e in reversed(n.edges) if e is not None]
    return list(found)


def _nbytes(trace: Trace, t: TensorType) -> int:
    """Bytes of a value in the call that is traced."""
    return t.nbytes if trace.extents is None else trace.extents.value(prod(t.shape)) * t.dtype.itemsize


def _boundary(trace: Trace, grads: Sequence[int], made: int, cotangents: set[int]) -> list[int]:
    """The values of the forward that the backward reads. What is made of nothing (constants) is made again instead."""
    free: dict[int, bool] = {}

    def is_free(i: int) -> bool:
        if i < 0:
            return False
        if i not in free:
            op, _, ins = trace.nodes[trace.maker(i)]
            cheap = _nbytes(trace, trace.types[i]) <= _SMALL or (isinstance(op.lowering, View) and op.lowering.stays)
            free[i] = cheap and all(is_free(j) for j in ins)
        return free[i]

    saved: dict[int, None] = {}
    seen: set[int] = set()
    stack = list(grads)
    while stack:
        i = stack.pop()
        if i in seen or i in cotangents:
            continue
        seen.add(i)
        if i < 0 or (i < made and not is_free(i)):
            saved[i] = None
        else:
            stack += trace.nodes[trace.maker(i)][2]
    return list(saved)
