"""What the products of attention read: the graph that is called, and how operands lie in memory (attention.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ingot.backends.cuda.lying import Lies, found
from ingot.ir.dtypes import DType, Half
from ingot.ir.graph import Graph, Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.ir import Load
from ingot.ir.loop.points import Point
from ingot.ir.lower.attention import matrix_side, parts_of, score_of
from ingot.ir.lower.elements import CalledElements, Elements
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, no_code
from ingot.ir.lower.writer import Scalar
from ingot.ir.ops.form import form_of
from ingot.ir.struct import value_type
from ingot.ir.types import Dim, Shape

__all__ = ["AttentionOperands", "Coming", "Element", "one", "other_dims"]

Element = Callable[[Elements, Point, Index, Index], Scalar]  # of an operand: at a row or column, and a step of its sum


def one(dims: Shape) -> int:
    """The only dim."""
    (d,) = dims
    return d


def other_dims(body: Graph, product: Node) -> Shape:
    """The dims of a product's other operand that are the result's."""
    f = form_of(product)
    return f.m if matrix_side(body, product) else f.n


@value_type
class Coming:
    """An operand that comes by: whether it makes elements, how it lies (None: not as it is read), its rows or columns, and steps."""

    scores: bool
    lies: Lies | None
    lines: Dim
    steps: Dim

    @property
    def memory(self) -> Any:
        """What is equal for two operands that are the same tile of memory."""
        if self.lies is None:
            return None
        inner = ("k", "m") if self.scores else ("m", "k")  # along the tile's lines, and across them
        points = {"q": tuple(ix.var(f"q{j}") for j in range(8)), inner[0]: (ix.var("inner"),), inner[1]: (ix.var("outer"),)}
        extents = (self.lines, self.steps) if self.scores else (self.steps, self.lines)
        return self.lies.value, self.lies.at(points, {}), self.lies.along_k == self.scores, extents


class AttentionOperands:
    """The parts of a group of attention, and its operands. `passing`: rows or columns that come by; `kept`: those of blocks."""

    def __init__(self, group: Group):
        self.group = group
        (node,) = group.nodes
        self.body: Graph = node.attrs[0]
        self.parts = parts_of(self.body)
        self.dtype: DType = self.parts.scores[0].inputs[0].type.dtype
        self.element: dict[Value, Scalar] = {}  # what is known of the element that is being written
        self.kept, self.passing = self.parts.extents if self.parts.rows else self.parts.extents[::-1]

    def inside(self, k: GroupKernel) -> Elements:
        """The elements of the graph that is called, in a kernel."""
        e = CalledElements(k.elements(), self.group)
        for v in (*(score_of(self.body, n) for n in self.parts.scores), *self.given()):
            e.known[v] = lambda idx, v=v: self.element[v]  # type: ignore[misc]
        return e

    def given(self) -> list[Value]:
        """What is known of a row's softmax while it is on its way: no row is dead, sums are divided by at the end."""
        s = self.parts.softmax
        return [] if s is None else [v for v in (s.dead, s.e, s.total) if v is not None]

    def side(self, n: Node, left: bool) -> Element:
        """The elements of an operand of a product: at a row or column, and a step of its sum."""
        f = form_of(n)
        if left:
            return lambda e, q, i, k: f.a(e, q, (i,), (k,))
        return lambda e, q, i, k: f.b(e, q, (k,), (i,))

    def along(self, element: Element) -> bool:
        """Whether memory lies along steps; found by writing one load."""
        k = GroupKernel(self.group, "trial", no_code)
        element(self.inside(k), tuple(ix.var(f"q{j}") for j in range(len(self.parts.batch))), ix.var("line"), ix.var("step"))
        loads = [s.index for s in k.w.finish().body if isinstance(s, Load)]
        return sum(ix.coefficient(i, "step") == 1 for i in loads) >= sum(ix.coefficient(i, "line") == 1 for i in loads)

    def lies(self, element: Element, lines: Dim, steps: Dim) -> Lies | None:
        """How an operand lies in memory, where it can be copied from there."""
        if self.dtype not in Half:
            return None
        k = GroupKernel(self.group, "trial", no_code)
        q, (i,), (s,) = k.point("q", self.parts.batch), k.point("m", (lines,)), k.point("k", (steps,))
        return found(k, element(self.inside(k), q, i, s), self.dtype, (("k0", steps), ("m0", lines)))

    def passing_operands(self) -> list[Coming]:
        """The operands that come by, those that make elements first."""
        out = []
        for n in self.parts.scores:
            d = one(form_of(n).k)
            out.append(Coming(True, self.lies(self.side(n, not self.parts.rows), self.passing, d), self.passing, d))
        for n in self.parts.products:
            (columns,) = other_dims(self.body, n)
            other = self.side(n, matrix_side(self.body, n) == 1)
            out.append(Coming(False, self.lies(other, columns, self.passing), columns, self.passing))
        return out
