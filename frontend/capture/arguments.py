"""What a traced function is given: stand-ins for the tensors and numbers among its argument leaves, the rest as it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from typing import Any

from ingot._tensor import Tensor, wrap
from ingot.capture.attached import attributes, put_attributes
from ingot.capture.backward import ArgumentEdge
from ingot.capture.places import Elsewhere
from ingot.capture.shapes import Shapes
from ingot.capture.sources import Argument, Number
from ingot.capture.trace import Outside, Trace, leaf_of
from ingot.ir.dtypes import f64
from ingot.ir.struct import replace
from ingot.ir.types import TensorType
from ingot.runtime.numbers import rank0
from ingot.runtime.tape import Leaf, Node

__all__ = ["Arguments", "shared_leaves"]


def shared_leaves(leaves: Sequence[Any]) -> list[int]:
    """The first leaves of tensors that share memory with others."""
    tensors = {id(x): (i, x) for i, x in reversed(list(enumerate(leaves))) if isinstance(x, Tensor) and x._storage is not None}
    count = Counter(id(x._storage) for _, x in tensors.values())
    return sorted(i for i, x in tensors.values() if count[id(x._storage)] > 1)


class Arguments:
    """The argument leaves of one trace.

    given: what the function gets for each
    stand_ins: those tensors of `given` that were made for the trace, with the index of their leaf
    edges: what the ends of their histories stand for
    held: by their ids, the attributes that they were given; before: those of leaves that are captured

    numbers: the leaves that are run-time numbers. attached: of tensors with attributes, the leaves that these are made of. shapes: which
    sizes are symbols. by_reference: tensors that are captured, like any other tensor from outside; so are those that share memory with
    another argument, where the function writes to arguments.
    """

    def __init__(
        self, trace: Trace, leaves: Sequence[Any], numbers: Sequence[int], by_reference: Set[int], attached: Mapping[int, range],
        shapes: Shapes | None = None,
    ):  # fmt: skip
        self.leaves = leaves
        self.shapes = shapes
        self.by_reference = {i: leaves[i] for i in by_reference}
        self.before = {i: dict(attributes(x)) for i, x in self.by_reference.items()}
        self.given: list[Any] = []
        self.stand_ins: list[tuple[Tensor, int]] = []
        self.edges: dict[Node, ArgumentEdge] = {}
        self.held: dict[int, dict[str, Any]] = {}
        seen: dict[int, Tensor] = {}
        static: set[int] = set()  # known by reference
        for i, leaf in enumerate(leaves):
            if i in numbers:
                self.given.append(self._number(trace, i))
            elif isinstance(leaf, Tensor):
                if id(leaf) not in seen:
                    leaf._now()
                    captured = i in by_reference
                    if captured:
                        static.add(i)
                    seen[id(leaf)] = leaf if captured else self._tensor(trace, leaf, i)
                self.given.append(seen[id(leaf)])
            elif shapes is not None and trace.extents is not None and (i, None) in shapes.dims:
                self.given.append(shapes.given((i, None), trace.extents))
            else:
                self.given.append(leaf)

        if shapes is not None and static:
            own = {j for i, inner in attached.items() if i in static for j in inner}  # the function finds them as they are
            dims = {p: leaves[p[0]] if not isinstance(p, Elsewhere) and p[0] in own and p[1] is None else d for p, d in shapes.dims.items()}
            self.shapes = replace(shapes, dims={p: d for p, d in dims.items() if isinstance(p, Elsewhere) or p[0] not in static})

    def attach(self, by_leaf: Mapping[int, dict[str, Any]]) -> None:
        """Have the tensors that the function is given the attributes that those of the call have, by their leaves."""
        for i, held in by_leaf.items():
            t = self.given[i]
            if t is not self.leaves[i]:
                put_attributes(t, held)
                self.held[id(t)] = held

    def shared(self) -> int | None:
        """A leaf that shares memory with another one, and is not captured; None where none does."""
        return next((i for i in shared_leaves(self.leaves) if i not in self.by_reference), None)

    def _number(self, trace: Trace, i: int) -> Tensor:
        t = wrap((trace.placeholder(rank0(f64), Number(i), scalar=True), None))
        t._weak = True
        self.stand_ins.append((t, i))
        return t

    def _tensor(self, trace: Trace, leaf: Tensor, i: int) -> Tensor:
        kind: TensorType = leaf._array.type
        if self.shapes is not None:
            kind = kind.with_shape(self.shapes.shape(i, kind.shape))
        t = wrap((trace.placeholder(kind, Argument(i)), None), type(leaf))
        self.stand_ins.append((t, i))
        trace.arguments[id(leaf)] = i
        if leaf._storage is not None:
            trace.arguments[leaf._storage] = i
        slot = t._grad_slot()
        slot.grad = None if leaf._slot is None else leaf._slot.grad
        trace.argument_slots[slot] = i
        if leaf._edge is not None:
            own = leaf_of(leaf)
            node = Outside(t._array.type) if own is None else Leaf(slot)
            if own is None and leaf.retains_grad:
                node.retained = {0: slot}
            elif own is not None:
                node.hooks, node.pre_hooks, slot.post_hooks = own.hooks, own.pre_hooks, own.slot.post_hooks
            t._edge = (node, 0)
            self.edges[node] = ArgumentEdge(i)
        return t
