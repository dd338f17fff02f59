"""In which passes over a block's columns the gradients of attention are made: what each of them makes, folds, and leaves for others."""

from __future__ import annotations

from ingot.ir.facts import GATHER, Elementwise, Reduction, View
from ingot.ir.graph import Graph, Node, Value
from ingot.ir.lower.attention import matrix_side, parts_of, score_of
from ingot.ir.lower.cascade import rounds
from ingot.ir.ops.contraction import dot

__all__ = ["PanelPasses"]


class PanelPasses:
    """The passes of a graph that the pass over the whole graph calls (attention.py).

    count    of passes
    scores   the products that elements are made of; `score`: what their sums in single precision stand for
    folds    of rows, in order
    factors  the matrices that results are products of
    stored   what is in scratch: what scores make, and what is dear and read by several passes
    """

    def __init__(self, body: Graph):
        self.body = body
        parts = parts_of(body)
        self.scores, self.products = parts.scores, parts.products
        self.score = {score_of(body, n): n for n in parts.scores}
        self.folds = tuple(n for n in body.nodes if isinstance(n.op.lowering, Reduction))
        self.shape = parts.scores[0].outputs[0].type.shape
        self.factors = tuple(dict.fromkeys(map(self.factor, self.products)))
        self._level = self._levels()
        self.count = 1 + max(self._level[v] for v in self.factors)
        self._uses = self._reads()
        dear = (v for v, passes in self._uses.items() if len(passes) > 1 and self._dear(v))
        self.stored = tuple(dict.fromkeys((*self.score, *dear)))

    def factor(self, product: Node) -> Value:
        """The matrix that is a product's operand."""
        return product.inputs[matrix_side(self.body, product)]

    def sums_rows(self, product: Node) -> bool:
        """Whether a product sums over rows: its result has a line for each column."""
        contract = product.attrs[1][matrix_side(self.body, product)]
        return bool(contract[0] == len(self.shape) - 2)

    def fold_pass(self, fold: Node) -> int:
        """The pass that a fold runs along with."""
        return self._level[fold.inputs[0]]

    def folds_of(self, k: int) -> list[Node]:
        """The folds of a pass."""
        return [n for n in self.folds if self.fold_pass(n) == k]

    def rounds(self, fold: Node) -> bool:
        """Whether a fold gets less exact the longer it is."""
        return rounds(fold.op.lowering.fold, fold)  # type: ignore[attr-defined]

    def first(self, v: Value) -> int:
        """The pass that makes a value."""
        return min(self._uses[v])

    def in_panel(self, v: Value) -> bool:
        """Whether later passes read a value that is stored."""
        return len(self._uses[v]) > 1

    def kept_by(self, k: int) -> list[Value]:
        """What a pass makes of elements and leaves for others."""
        return [v for v in self.stored if v not in self.score and self.first(v) == k]

    def given(self, k: int) -> list[Value]:
        """What a pass reads: of scratch, and of folds that ended before."""
        here = [v for v in self.stored if k in self._uses[v] and (v in self.score or self.first(v) < k)]
        return here + [n.outputs[0] for n in self.folds if self.fold_pass(n) < k]

    def wanted(self, k: int) -> list[Value]:
        """The elements that a pass makes."""
        return [*self.kept_by(k), *self._targets(k)]

    def _targets(self, k: int) -> list[Value]:
        return [*(n.inputs[0] for n in self.folds_of(k)), *(self.factors if k == self.count - 1 else ())]

    def _levels(self) -> dict[Value, int]:
        """The pass from which on each value can be made."""
        out = dict.fromkeys(self.body.inputs, 0)
        for n in self.body.nodes:
            if n in self.products:
                continue
            level = 0 if n.op is dot else max((out[v] for v in n.inputs), default=0)
            out.update(dict.fromkeys(n.outputs, level + isinstance(n.op.lowering, Reduction)))
        return out

    def _dear(self, v: Value) -> bool:
        """Whether an element of the matrix is worth a place in a panel."""
        n = self.body.producers.get(v)
        if n is None or v.type.shape != self.shape or not isinstance(n.op.lowering, (Elementwise, View)):
            return False
        if not all(isinstance(u.op.lowering, (Elementwise, Reduction)) for u in self.body.users[v] if u.op is not dot):
            return False  # elements of others are asked for, too
        cost = n.op.lowering.cost
        return cost.keep and (cost.instructions or 0) > (GATHER.instructions or 0)

    def _reads(self) -> dict[Value, set[int]]:
        """Of each value the passes that make or read it, where what is dear is made once."""
        uses: dict[Value, set[int]] = {}
        ends = {n.outputs[0] for n in self.folds}
        for k in range(self.count):
            stack, seen = self._targets(k), set[Value]()
            while stack:
                v = stack.pop()
                n = self.body.producers.get(v)
                if v in seen or n is None or v in ends:
                    continue
                seen.add(v)
                made = v in uses
                uses.setdefault(v, set()).add(k)
                if v not in self.score and not (made and self._dear(v)):
                    stack += n.inputs
        return uses


