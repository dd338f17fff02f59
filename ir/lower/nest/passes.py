"""The passes of a nest over its reduced axes, which the group itself decides: pass k folds what needs k reductions before it."""

from __future__ import annotations

from ingot.ir.dtypes import DType
from ingot.ir.facts import Reduction
from ingot.ir.graph import Node, Value
from ingot.ir.loop.folds import Fold
from ingot.ir.lower.group import Group
from ingot.ir.size import at_most

__all__ = ["Passes", "accumulators", "fold_of"]

_FAR = 2**31 - 1  # positions below which 32 bits hold


def fold_of(node: Node) -> Fold:
    """The fold of a reduction node."""
    kind = node.op.lowering
    assert isinstance(kind, Reduction)
    fold, shape = kind.fold, node.inputs[0].type.shape
    return fold.narrow if fold.narrow is not None and all(at_most(d, _FAR) for d in shape) else fold


def accumulators(node: Node) -> tuple[tuple[DType, bool | int | float], ...]:
    """The accumulators of a reduction node: (dtype, initial value) each."""
    fold = fold_of(node)
    types = fold.accumulators(node.inputs[0].type.dtype)
    return tuple(zip(types, fold.initial(types[0])))


class Passes:
    """What happens in which pass.

    levels: value of a member -> how many reductions stand before it
    full: the members that vary over every axis
    count: how many passes there are
    """

    def __init__(self, group: Group):
        self.group = group
        self.levels: dict[Value, int] = {}
        for n in group.nodes:
            level = max((self.levels[v] for v in n.inputs if v in self.levels), default=0)
            for v in n.outputs:
                self.levels[v] = level + isinstance(n.op.lowering, Reduction)
        self.reductions = [n for n in group.nodes if isinstance(n.op.lowering, Reduction)]
        self.full = {v for v in group.maps if group.is_full(v)}
        self.count = 1
        if self.reductions:
            levels = [self.levels.get(n.inputs[0], 0) for n in self.reductions]
            levels += [self.levels[v] for v in group.outputs if v in self.full]
            self.count = 1 + max(levels)

    def folds(self, k: int) -> list[Node]:
        """The reductions that pass k folds."""
        return [n for n in self.reductions if self.levels.get(n.inputs[0], 0) == k]

    def writes(self, k: int) -> list[Value]:
        """The outputs that pass k stores; those that are no full member, or all where nothing is reduced, come after the last."""
        return [v for v in self.group.outputs if v in self.full and self.levels[v] == k] if self.reductions else []

    def reads(self, k: int) -> set[Value]:
        """The members that pass k computes, or loads from a row of scratch."""
        makers = {v: n for n in self.group.nodes for v in n.outputs}
        out: set[Value] = set()
        stack = [n.inputs[0] for n in self.folds(k)] + self.writes(k)
        while stack:
            v = stack.pop()
            if v in out:
                continue
            out.add(v)
            if v in makers and not isinstance(makers[v].op.lowering, Reduction):
                stack.extend(makers[v].inputs)
        return out
