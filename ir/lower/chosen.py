"""The places of True in a mask, one after the other, then zeros: parts are counted, and each writes its places behind those before it.

Within a part, words of eight elements without any are passed over. Places are put one behind the other in a small block first, where one
that is not chosen is overwritten by the next: nothing branches.
"""

from __future__ import annotations

from collections.abc import Callable

from ingot.ir import dtypes
from ingot.ir.graph import Graph, Node
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, Written
from ingot.ir.lower.schedule import Schedule, ScheduleError, at_least_one, lanes
from ingot.ir.lower.target import Kind
from ingot.ir.lower.writer import Scalar
from ingot.ir.machine import Machine
from ingot.ir.size import ceil_div
from ingot.ir.struct import value_type

__all__ = ["CHOSEN", "Chosen", "is_chosen"]

i64 = dtypes.i64
WORD = 8  # elements that are looked at together
BLOCK = 1024  # of elements, whose places are put into scratch
PARTS = 16  # where there is enough for several


def is_chosen(graph: Graph) -> bool:
    """Whether a graph is of the places in a mask: bools (n) -> places (n), how many of them are chosen ()."""
    ins, outs = graph.in_types, graph.out_types
    if len(ins) != 1 or len(outs) != 2 or ins[0].rank != 1 or ins[0].dtype.kind != "b":
        return False
    return [(t.dtype, t.shape) for t in outs] == [(i64, ins[0].shape), (i64, ())]


def _takes(graph: Graph, machine: Machine) -> bool:
    return is_chosen(graph) and graph.in_types[0].shape[0] != 0


@value_type
class Chosen(Schedule):
    """`parts` of the mask side by side, each in blocks of `block` elements; `width`: lanes of what counts and copies."""

    parts: int
    block: int
    width: int

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""
        at_least_one(parts=self.parts, block=self.block)
        lanes(self.width)
        if self.block % WORD:
            raise ScheduleError(f"{self}: blocks of whole words")


def _choose(group: Group, machine: Machine) -> Chosen:
    n = assumed(group.nodes[0].inputs[0].type.shape[0])
    return Chosen(PARTS if n >= 4 * machine.chunk_elements else 1, BLOCK, machine.lanes(64))


class _Mask:
    """The kernel of a mask of n elements, in parts of whole blocks."""

    def __init__(self, group: Group, s: Chosen, check: Callable[[Node], int]):
        self.k, self.s = GroupKernel(group, "chosen", check), s
        self.w = self.k.w
        (mask,), (self.places, self.total) = group.nodes[0].inputs, group.nodes[0].outputs
        self.mask, self.n = self.k.buffer(mask, "r"), mask.type.shape[0]
        self.step = ceil_div(ceil_div(self.n, s.block), s.parts) * s.block  # elements of a part

    def write(self) -> Written:
        """Count, then put."""
        w, s, k = self.w, self.s, self.k
        begins = w.scratch(i64, s.parts, "kernel")
        self._each(lambda p: w.store(begins, p, self._count(p)))
        total = w.acc(i64, 0)
        with w.loop("serial", s.parts) as p:
            here = w.get_acc(total, i64)
            w.set_acc(total, w.add(here, w.load(begins, p, i64, pinned=True)))
            w.store(begins, p, here)
        many = w.get_acc(total, i64)
        if self.total in k.group.outputs:
            w.store(k.buffer(self.total, "w"), ZERO, many)
        if self.places in k.group.outputs:
            end = w.scratch(i64, 1, "kernel")
            w.store(end, ZERO, many)
            self._each(lambda p: self._put(p, begins, end))
        return k.finish(s)

    def _each(self, body: Callable[[Index], None]) -> None:
        with self.w.loop("parallel" if self.s.parts > 1 else "serial", self.s.parts) as p:
            body(p)

    def _part(self, p: Index) -> Scalar:
        """How many elements a part has."""
        w = self.w
        left = w.index_value(ix.add(ix.const(self.n), ix.mul(p, -self.step)))
        return w.max(w.min(left, w.index_value(ix.const(self.step))), 0)

    def _count(self, p: Index) -> Scalar:
        w = self.w
        count = w.acc(i64, 0)
        with w.loop("vector", w.as_index(self._part(p)), self.s.width) as v:
            found = w.load(self.mask, ix.add(ix.mul(p, self.step), v), dtypes.bool_)
            w.reduce((count,), "sum", (w.cast(found, i64),))
        return w.get_acc(count, i64)

    def _put(self, p: Index, begins: str, end: str) -> None:
        """The places of a part, and zeros in its share of what is behind all places."""
        w, s, block = self.w, self.s, self.s.block
        out, some = self.k.buffer(self.places, "w"), w.scratch(i64, block + 1, "worker")
        size = self._part(p)
        to = w.acc(i64, 0)
        w.set_acc(to, w.load(begins, p, i64, pinned=True))
        blocks = w.div(w.add(size, block - 1), block)
        with w.loop("serial", w.as_index(blocks)) as b:
            first = ix.add(ix.mul(p, self.step), ix.mul(b, block))
            here = w.min(w.sub(size, w.index_value(ix.mul(b, block))), block)
            count = self._block(first, here, some)
            at = w.get_acc(to, i64)
            with w.loop("vector", w.as_index(count), s.width) as v:
                w.store(out, ix.add(w.as_index(at), v), w.load(some, v, i64, pinned=True))
            w.set_acc(to, w.add(at, count))
        begin = w.index_value(ix.mul(p, self.step))
        zero = w.max(begin, w.load(end, ZERO, i64, pinned=True))
        with w.loop("vector", w.as_index(w.max(w.sub(w.add(begin, size), zero), 0)), s.width) as v:
            w.store(out, ix.add(w.as_index(zero), v), w.const(0, i64))

    def _block(self, first: Index, here: Scalar, some: str) -> Scalar:
        """Puts the places of a block into scratch; how many there are."""
        w = self.w
        count = w.acc(i64, 0)

        def put(place: Index, found: Scalar) -> None:
            at = w.get_acc(count, i64)
            w.store(some, w.as_index(at), w.index_value(place))
            w.set_acc(count, w.add(at, found))

        words = w.div(here, WORD)
        with w.loop("serial", w.as_index(words)) as i:
            begin = ix.add(first, ix.mul(i, WORD))
            word = w.load_word(self.mask, begin, dtypes.u64)
            with w.when(w.ne(word, 0)):
                for byte in range(WORD):
                    put(ix.add(begin, ix.const(byte)), w.cast(w.and_(w.shr(word, 8 * byte) if byte else word, 1), i64))
        done = w.mul(words, WORD)
        with w.loop("serial", w.as_index(w.sub(here, done))) as j:
            place = ix.add(first, ix.add(w.as_index(done), j))
            put(place, w.cast(w.load(self.mask, place, dtypes.bool_), i64))
        return w.get_acc(count, i64)


CHOSEN = Kind(_choose, lambda group, s, check: [_Mask(group, s, check).write()], _takes)
