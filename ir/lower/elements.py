"""One element of any value, computed where it is wanted.

`Elements.at(value, idx)` writes code for `value[idx]`: a load where the value has a buffer, otherwise the element of the
op that makes it, from elements of its inputs. Elementwise ops apply, views rewrite the index, and so any chain of them
fuses into whatever asks. `mask` travels down with padding and concatenation: a load under a false mask reads
nothing and gives 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ingot.ir import dtypes
from ingot.ir.facts import Elementwise, Nonzero, View
from ingot.ir.graph import Node, Value
from ingot.ir.loop.expression import Index
from ingot.ir.loop.ir import Const
from ingot.ir.loop.points import ZERO, Point
from ingot.ir.lower.group import Group
from ingot.ir.lower.writer import KernelWriter, Scalar
from ingot.ir.op import OPS
from ingot.ir.ops.scalars import both, convert
from ingot.ir.size import at_most
from ingot.ir.struct import replace
from ingot.ir.types import Dim

if TYPE_CHECKING:
    from ingot.ir.lower.words import Block, Keys

__all__ = ["CalledElements", "Elements", "apply"]


class Elements:
    """The elements of the values of a group's graph, by code in the kernel that `writer` writes.

    source(value) -> the buffer's name where the value is in memory, else None;  offset(value, idx): where an element lies in it
    known: values that the kernel itself has made: value -> function of the point
    check(node) -> the code under which a failed bounds check of this node is reported
    along_k, unroll, run: how small loops at a point run, see small_loops.py
    """

    def __init__(self, group: Group, writer: KernelWriter, source: Callable[[Value], str | None], check: Callable[[Node], int]):
        self.graph = group.graph
        self.orders = group.orders
        self.offset = group.offset
        self.w = writer
        self.source = source
        self.check = check
        self.along_k = 0
        self.unroll = False
        self.run = 0
        self.known: dict[Value, Callable[[Point], Scalar | None]] = {}

    def at(self, value: Value, idx: Point, mask: Scalar | None = None) -> Scalar:
        """The element of a value at a point; where mask is false it is not used, and nothing is read."""
        w = self.w
        key = (value, idx, mask.operand if mask else None)
        found = w.remembered(key)
        if found is not None:
            return found
        made = self.known.get(value)
        out = made(idx) if made is not None else None
        if out is None:
            buf = self.source(value)
            if buf is not None:
                return w.load(buf, self.offset(value, idx), value.type.dtype, mask)
            node = self.graph.producers[value]
            kind = node.op.lowering
            if isinstance(kind, View):
                out = kind.element(self, node, idx, mask)
            elif 0 in value.type.shape:  # code at a point of nothing never runs; only its dtype counts
                out = convert(w, w.const(0, dtypes.f32), value.type.dtype)
            else:
                out = self._elementwise(node, idx, mask)
        w.remember(key, out, w.depth_of(out))
        return out

    def operand(self, value: Value, idx: Point, mask: Scalar | None) -> Scalar:
        """An elementwise operand at the point of the result."""
        return self.at(value, self.aligned(value, idx), mask)

    def aligned(self, value: Value, idx: Point) -> Point:
        """Where the operand lies: its dims align at the end, extent 1 repeats."""
        shape = value.type.shape
        tail = idx[len(idx) - len(shape) :]
        return tuple(ZERO if d == 1 else i for i, d in zip(tail, shape))

    def stored(self, value: Value) -> str | None:
        """The buffer of a value that is loaded, not made here, and lies row-major."""
        return None if value in self.known or value in self.orders else self.source(value)

    def checked(self, node: Node, index: Value, at: Point, extent: Dim, mask: Scalar | None) -> tuple[Index, Scalar | None]:
        """An element of `index`, wrapped once if negative, checked, and made safe to load with; `node` is what fails. And the mask to
        load under: of a dim that may have no elements, where a failing index would have to stand for one."""
        w = self.w
        positive = self._never_from_the_end(index, extent)
        i = w.cast(self.at(index if positive is None else positive, at, mask), dtypes.i64)
        if self._within(index, extent):
            return w.as_index(i), mask
        if positive is None:
            i = w.select(w.lt(i, 0), w.add(i, extent), i)
        ok = w.and_(w.ge(i, 0), w.lt(i, extent))
        good = ok if mask is None else w.or_(ok, w.not_(mask))
        key = ("check", node, good.operand)
        if w.remembered(key) is None and (code := self.check(node)):
            w.remember(key, True, w.check(good, code))
        safe = mask if at_most(1, extent) else both(w, mask, ok)
        return w.as_index(w.select(ok, i, w.const(0, dtypes.i64))), safe

    def word(self, node: Node, seeds: tuple[Scalar, ...], place: Index, keys: Keys, block: Block) -> Scalar | None:
        """A word of a random stream that was made with others of its block; None where each is made for itself. See `word_of_row`."""
        from ingot.ir.lower.words import word_of_row

        return word_of_row(self.w, (node, *(s.operand for s in seeds)), place, max(map(self.w.depth_of, seeds)), keys, block)

    def _never_from_the_end(self, index: Value, extent: Dim) -> Value | None:
        """x, where an index is made here as `x - extent` for negative ones and as x for others: as it is wrapped, it is in range where x
        is, and out of it where x is negative."""
        made = None if self.stored(index) else self.graph.producers.get(index)
        if made is None or made.op is not OPS["select"] or not isinstance(extent, int):
            return None
        cond, less, x = made.inputs
        lt, sub = self.graph.producers.get(cond), self.graph.producers.get(less)
        if lt is None or sub is None or lt.op is not OPS["lt"] or sub.op is not OPS["sub"] or index.type.shape != x.type.shape:
            return None
        both = lt.inputs[0] is x and sub.inputs[0] is x
        return x if both and self._number(lt.inputs[1]) == 0 and self._number(sub.inputs[1]) == extent else None

    def _number(self, v: Value) -> int | None:
        """The number that a value is everywhere; None where it is no constant of one."""
        node = self.graph.producers.get(v)
        if node is None or node.op is not OPS["constant"] or node.attrs[0].array().size != 1:
            return None
        return int(node.attrs[0].array().reshape(-1)[0])

    def _within(self, index: Value, extent: Dim) -> bool:
        """Whether an index is a constant all of whose numbers are places of a dim."""
        node = self.graph.producers.get(index)
        if node is None or node.op is not OPS["constant"] or not isinstance(extent, int):
            return False
        array = node.attrs[0].array()
        return bool(array.size) and 0 <= array.min() and array.max() < extent

    def _elementwise(self, node: Node, idx: Point, mask: Scalar | None) -> Scalar:
        args = [self.operand(v, idx, mask) for v in node.inputs]
        check = node.op.lowering.check  # type: ignore[attr-defined]
        if check is not None:
            self._nonzero(node, check, args[check.operand], mask)
        return apply(self.w, node, args)

    def _nonzero(self, node: Node, check: Nonzero, x: Scalar, mask: Scalar | None) -> None:
        w = self.w
        if x.dtype.kind not in check.kinds or (isinstance(x.operand, Const) and x.operand.value):
            return
        ok = w.ne(x, 0)
        good = ok if mask is None else w.or_(ok, w.not_(mask))
        key = ("check", node, good.operand)
        if w.remembered(key) is None:
            w.remember(key, True, w.check(good, self.check(node)))


class CalledElements(Elements):
    """The elements of a graph that a node of a group calls. `outer`: those of the group's, which its inputs stand for."""

    def __init__(self, outer: Elements, group: Group):
        (node,) = group.nodes
        body = node.attrs[0]
        super().__init__(replace(group, graph=body, orders={}), outer.w, lambda v: None, outer.check)
        self.outer = outer
        self.leaves: dict[Value, Value] = dict(zip(body.inputs, node.inputs))

    def at(self, value: Value, idx: Point, mask: Scalar | None = None) -> Scalar:
        """The element of a value at a point; where mask is false it is not used, and nothing is read."""
        return self.input(value, idx, mask) if value in self.leaves else super().at(value, idx, mask)

    def input(self, value: Value, idx: Point, mask: Scalar | None) -> Scalar:
        """The element of an input."""
        return self.outer.at(self.leaves[value], idx, mask)


def apply(w: KernelWriter, node: Node, args: list[Scalar]) -> Scalar:
    """One elementwise op on scalars; half types compute in f32 and round once."""
    out_dtype = node.outputs[0].type.dtype
    kind = node.op.lowering
    assert isinstance(kind, Elementwise), f"{node.op.name} cannot be computed at a point"
    if not kind.raw:
        args = [w.cast(a, dtypes.f32) if a.dtype in dtypes.Half else a for a in args]
    out = kind.scalar(w, *args, *node.attrs)
    if out.dtype is not out_dtype:
        out = convert(w, out, out_dtype)
    return out
