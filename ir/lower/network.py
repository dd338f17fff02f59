"""Sorting many lines at once, a line to a lane, by a network: which elements are compared does not depend on them.

A line's elements are keys, unsigned integers in their order. Runs of each length, 2, 4, 8, … are merged as in a bitonic network: the first
half's elements are compared with the second's from its end, then those half as far apart within the halves, and so on. Three such steps
at a time go over eight elements in registers. Where places are wanted they are the low bits of keys, and so lines are sorted stably.
Where they are not, equal elements are the same but for the signs of zeros and what NaNs hold: lines with such are gone through once more.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.ir import Transpose
from ingot.ir.loop.points import Point, delinear, linear
from ingot.ir.lower.group_kernel import GroupKernel
from ingot.ir.lower.radix import Radix
from ingot.ir.lower.writer import KernelWriter, Scalar
from ingot.ir.size import ceil_div, exactly
from ingot.ir.struct import struct
from ingot.ir.types import Dim

__all__ = ["key_bits", "sort_lines"]

SIDE = 8  # of squares that are transposed in registers
GROUP = 8  # elements that are compared in registers
PAD = 16  # elements between lines, so that those of a square do not share a place in the first cache


def key_bits(dtype: DType, n: int, places: bool) -> int:
    """Bits of the keys of a line of n elements, its places among them where they are wanted; 0 where there is no such integer."""
    bits = dtype.bits + ((n - 1).bit_length() if places else 0)
    return next((b for b in (32, 64) if bits <= b), 0)


@struct
class _Keys:
    """Keys of elements: their dtype, and how many of their low bits are places."""

    how: Radix
    dtype: DType
    places: int

    def of(self, w: KernelWriter, x: Scalar, j: Index) -> Scalar:
        """The key of the j-th element of a line."""
        if self.places:
            key = w.cast(self.how.key(w, x), self.dtype)
            return w.or_(w.shl(key, self.places), w.cast(w.index_value(j), self.dtype))
        d, u = self.how.dtype, self.how.keys
        if d.kind != "f":
            return w.cast(self.how.key(w, x), self.dtype)
        sign, bits = 1 << u.bits - 1, w.bitcast(x, u)  # no two elements have the same key, but that NaN has no sign
        wide = w.cast(x, dtypes.f32) if d in dtypes.Half else x
        key = w.select(w.and_(w.ge(bits, sign), w.eq(wide, wide)), w.not_(bits), w.or_(bits, sign))
        return w.cast(w.not_(key) if self.how.descending else key, self.dtype)

    def element(self, w: KernelWriter, key: Scalar) -> Scalar:
        """The element of a key that has no place."""
        d, u = self.how.dtype, self.how.keys
        key = w.cast(key, u)
        if d.kind != "f":
            return self.how.element(w, key)
        sign = 1 << u.bits - 1
        key = w.not_(key) if self.how.descending else key
        return w.bitcast(w.select(w.ge(key, sign), w.xor(key, sign), w.not_(key)), d)

    def place(self, w: KernelWriter, key: Scalar) -> Scalar:
        """The place of a key's element."""
        return w.cast(w.and_(key, (1 << self.places) - 1), dtypes.i64)


def sort_lines(k: GroupKernel, i: Index, lanes: int, n: int, count: int, descending: bool) -> None:
    """Sort the i-th of so many lines each; the results are the first `count` elements of each, and where they stood."""
    _Lines(k, lanes, n, count, descending).sort(i)


class _Lines:
    def __init__(self, k: GroupKernel, lanes: int, n: int, count: int, descending: bool):
        self.k, self.w, self.lanes, self.n, self.count = k, k.w, lanes, n, count
        self.node = k.group.nodes[0]
        (self.x,) = self.node.inputs
        self.axis: int = self.node.attrs[0]
        shape = self.x.type.shape
        self.last = self.axis == len(shape) - 1
        self.others = tuple(d for a, d in enumerate(shape) if a != self.axis)
        places = self.node.outputs[1] in k.group.outputs
        bits = key_bits(self.x.type.dtype, n, places)
        self.keys = _Keys(Radix(self.x.type.dtype, descending, 8), dtypes.u32 if bits == 32 else dtypes.u64,
                          (n - 1).bit_length() if places else 0)  # fmt: skip
        self.size = max(GROUP, 1 << (n - 1).bit_length())
        self.network = self.w.scratch(self.keys.dtype, self.size * lanes, "worker")

    def sort(self, i: Index) -> None:
        """Load, sort, store."""
        w = self.w
        self.elements = self.k.elements()
        self.odd = w.acc(dtypes.i32, 0) if self.x.type.dtype.kind == "f" and not self.keys.places else ""
        if self.last:
            rows = math.prod(self.others)
            self.first: Index = ix.mul(i, self.lanes)
            self.lines = w.scratch(self.keys.dtype, (self.size + PAD) * self.lanes, "worker")
            self.load_rows(rows)
            with w.loop("vector", self.lanes, self.lanes, True) as self.lane:
                self.pad()
                self.merge_all()
            here = w.rest(i, self.lanes, rows)
            self.store_rows(here)
            self.in_order(here, lambda r: delinear(ix.add(self.first, r), self.others, w.ranges))
            return
        *outer, across = self.others
        blocks = ceil_div(across, self.lanes)
        at, block = delinear(ix.div(i, blocks, w.ranges), tuple(outer), w.ranges), ix.mod(i, blocks, w.ranges)
        here = w.rest(block, self.lanes, across)
        exact = not isinstance(here, Index) and exactly(across, self.lanes) is not None
        with w.loop("vector", here, self.lanes, exact, most=self.lanes) as self.lane:
            point = (*at, ix.add(ix.mul(block, self.lanes), self.lane))
            with w.loop("serial", self.n) as j:
                w.store(self.network, self.at(j), self.key(point, j))
            self.pad()
            self.merge_all()
            with w.loop("serial", self.count) as j:
                self.store(point, j, w.load(self.network, self.at(j), self.keys.dtype, pinned=True))
        self.in_order(here, lambda r: (*at, ix.add(ix.mul(block, self.lanes), r)))

    def point(self, others: Point, j: Index) -> Point:
        """The j-th element of a line."""
        return (*others[: self.axis], j, *others[self.axis :])

    def key(self, others: Point, j: Index) -> Scalar:
        """The key of the j-th element of a line; notes zeros with a sign, and NaN."""
        w = self.w
        x = self.elements.at(self.x, self.point(others, j))
        if self.odd:
            wide, u = w.cast(x, dtypes.f32) if x.dtype in dtypes.Half else x, self.keys.how.keys
            odd = w.or_(w.eq(w.bitcast(x, u), 1 << u.bits - 1), w.ne(wide, wide))
            w.reduce((self.odd,), "max", (w.select(odd, w.const(1, dtypes.i32), w.const(0, dtypes.i32)),))
        return self.keys.of(w, x, j)

    def in_order(self, here: Index | Dim, line: Callable[[Index], Point]) -> None:
        """Put the zeros and the NaN of so many lines in the order in which they stood, if there may be several kinds."""
        w, values, i64 = self.w, self.node.outputs[0], dtypes.i64
        if not self.odd:
            return
        with w.when(w.gt(w.get_acc(self.odd, dtypes.i32), 0)), w.loop("serial", here, most=self.lanes) as r:
            others = line(r)
            zeros, nans = w.acc(i64, 0), w.acc(i64, 0)  # where the next one goes

            def element(j: Index) -> Scalar:
                x = self.elements.at(self.x, self.point(others, j))
                return w.cast(x, dtypes.f32) if x.dtype in dtypes.Half else x

            def one(condition: Scalar) -> Scalar:
                return w.select(condition, w.const(1, i64), w.const(0, i64))

            with w.loop("serial", self.n) as j:
                x = element(j)
                nan = w.ne(x, x)
                w.reduce((zeros,), "sum", (one(w.or_(w.gt(x, 0), nan) if self.keys.how.descending else w.lt(x, 0)),))
                if not self.keys.how.descending:
                    w.reduce((nans,), "sum", (one(w.not_(nan)),))
            with w.loop("serial", self.n) as j:
                x = element(j)
                for cursor, mine in ((zeros, w.eq(x, 0)), (nans, w.ne(x, x))):
                    to = w.get_acc(cursor, i64)
                    with w.when(w.and_(mine, w.lt(to, self.count))):
                        at = linear(self.point(others, w.as_index(to)), values.type.shape)
                        w.store(self.k.buffer(values, "w"), at, self.elements.at(self.x, self.point(others, j)))
                    w.set_acc(cursor, w.add(to, one(mine)))

    def at(self, j: Index) -> Index:
        """Where a lane's j-th key lies."""
        return ix.add(ix.mul(j, self.lanes), self.lane)

    # -- rows, whose elements lie together ---------------------------------------------------------------------------

    def load_rows(self, rows: Dim) -> None:
        """The keys of rows, turned; the last row is all that are not there."""
        w, side, line = self.w, min(SIDE, self.lanes), self.size + PAD
        with w.loop("serial", self.lanes) as r:
            row = ix.add(self.first, r)
            if exactly(rows, self.lanes) is None:
                row = w.as_index(w.min(w.index_value(row), w.index_value(ix.const(rows - 1))))
            others = delinear(row, self.others, w.ranges)
            with w.loop("vector", self.n, self.lanes, self.n % self.lanes == 0) as j:
                w.store(self.lines, ix.add(ix.mul(r, line), j), self.key(others, j))
        with w.loop("serial", ceil_div(self.n, side)) as c, w.loop("serial", self.lanes // side) as r:
            j, row = ix.mul(c, side), ix.mul(r, side)
            to, source = ix.add(ix.mul(j, self.lanes), row), ix.add(ix.mul(row, line), j)
            w.append(Transpose(self.network, to, self.lanes, self.lines, source, line, side))

    def store_rows(self, here: Index | Dim) -> None:
        """The results of rows that are there, turned back."""
        w, side, line = self.w, min(SIDE, self.lanes), self.size + PAD
        with w.loop("serial", ceil_div(self.count, side)) as c, w.loop("serial", self.lanes // side) as r:
            j, row = ix.mul(c, side), ix.mul(r, side)
            source, to = ix.add(ix.mul(j, self.lanes), row), ix.add(ix.mul(row, line), j)
            w.append(Transpose(self.lines, to, line, self.network, source, self.lanes, side))
        with w.loop("serial", here, most=self.lanes) as r:
            others = delinear(ix.add(self.first, r), self.others, w.ranges)
            with w.loop("vector", self.count, self.lanes, self.count % self.lanes == 0) as j:
                self.store(others, j, w.load(self.lines, ix.add(ix.mul(r, line), j), self.keys.dtype, pinned=True))

    def store(self, others: Point, j: Index, key: Scalar) -> None:
        """Store the j-th results of a line."""
        w, k = self.w, self.k
        values, places = self.node.outputs
        place = self.keys.place(w, key) if self.keys.places else None
        if values in k.group.outputs:
            if place is None:
                value = self.keys.element(w, key)
            else:
                value = self.elements.at(self.x, self.point(others, w.as_index(place)))
            w.store(k.buffer(values, "w"), linear(self.point(others, j), values.type.shape), value)
        if place is not None:
            w.store(k.buffer(places, "w"), linear(self.point(others, j), places.type.shape), place)

    # -- the network -------------------------------------------------------------------------------------------------

    def pad(self) -> None:
        """Behind a line's elements come greater ones, or equal ones of no other element."""
        w, dtype = self.w, self.keys.dtype
        if self.size > self.n:
            with w.loop("serial", self.size - self.n) as j:
                w.store(self.network, self.at(ix.add(j, ix.const(self.n))), w.const((1 << dtype.bits) - 1, dtype))

    def merge_all(self) -> None:
        """Runs of eight, then twice as long ones until all is one."""
        w, size = self.w, self.size
        with w.loop("serial", size // GROUP) as g:
            first = ix.mul(g, GROUP)
            xs = self.load([ix.add(first, ix.const(a)) for a in range(GROUP)])
            for length in (2, 4, 8):
                for begin in range(0, GROUP, length):
                    for a in range(length // 2):
                        self.compare(xs, begin + a, begin + length - 1 - a)
                    self.steps(xs, range(begin, begin + length), length // 4)
            self.keep(xs, [ix.add(first, ix.const(a)) for a in range(GROUP)])
        length = 2 * GROUP
        while length <= size:
            self.flip(length)
            stride = length // 16
            while stride:
                elements = min(GROUP, 2 * stride)
                self.within(stride * 2 // elements, elements)
                stride //= elements
            length *= 2

    def flip(self, length: int) -> None:
        """The first three steps of a merge: eight elements, those of the second half counted from its end."""
        w, s = self.w, length // GROUP
        with w.loop("serial", self.size // length) as b, w.loop("serial", s) as i:
            first = ix.mul(b, length)
            low, high = ix.add(first, i), ix.add(first, ix.add(ix.const(s - 1), ix.mul(i, -1)))
            at = [ix.add(low if a < GROUP // 2 else high, ix.const(a * s)) for a in range(GROUP)]
            xs = self.load(at)
            for a in range(GROUP // 2):
                self.compare(xs, a, GROUP - 1 - a)
            self.steps(xs, range(GROUP), GROUP // 4)
            self.keep(xs, at)

    def within(self, s: int, elements: int) -> None:
        """Steps over so many elements, s apart."""
        w = self.w
        with w.loop("serial", self.size // (s * elements)) as b, w.loop("serial", s) as i:
            first = ix.add(ix.mul(b, s * elements), i)
            at = [ix.add(first, ix.const(a * s)) for a in range(elements)]
            xs = self.load(at)
            self.steps(xs, range(elements), elements // 2)
            self.keep(xs, at)

    def steps(self, xs: list[Scalar], those: range, stride: int) -> None:
        """Compare elements that are `stride` apart, then those half as far."""
        while stride:
            for k, a in enumerate(those):
                if not k & stride:
                    self.compare(xs, a, a + stride)
            stride //= 2

    def compare(self, xs: list[Scalar], a: int, b: int) -> None:
        """The lesser one comes first."""
        w, x, y = self.w, xs[a], xs[b]
        if self.keys.dtype.bits == 64:
            less = w.lt(y, x)
            xs[a], xs[b] = w.select(less, y, x), w.select(less, x, y)
        else:
            xs[a], xs[b] = w.min(x, y), w.max(x, y)

    def load(self, at: list[Index]) -> list[Scalar]:
        return [self.w.load(self.network, self.at(j), self.keys.dtype, pinned=True) for j in at]

    def keep(self, xs: list[Scalar], at: list[Index]) -> None:
        for x, j in zip(xs, at):
            self.w.store(self.network, self.at(j), x)
