"""Sorting by radix: the bits of each element as a number in its order, and the elements moved by one digit of it after the other.

A digit is counted, the counts are added up to where each of its values begins, and every element moves there; those with the same
digit stay in order, so the sort is stable. Digits that are the same in all elements are skipped.

Results are made of their keys. Both zeros have one key, and so have all NaN: where there is a -0 or a NaN, those are put into the results
afterwards, in their order.
"""

from __future__ import annotations

from collections.abc import Callable

from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO, Point, linear
from ingot.ir.lower.group_kernel import GroupKernel
from ingot.ir.lower.writer import KernelWriter, Scalar
from ingot.ir.size import bounds, ceil_div
from ingot.ir.struct import struct
from ingot.ir.types import Dim

__all__ = ["Radix", "radix_line", "radix_parts"]

_UNSIGNED = {8: dtypes.u8, 16: dtypes.u16, 32: dtypes.u32, 64: dtypes.u64}
i64 = dtypes.i64


@struct
class Radix:
    """How elements of a dtype are sorted: the dtype of their keys, and how many bits a digit has."""

    dtype: DType
    descending: bool
    digit: int

    @property
    def keys(self) -> DType:
        """The unsigned integers that keys are."""
        return _UNSIGNED[max(8, self.dtype.bits)]

    @property
    def digits(self) -> int:
        """How many digits a key has."""
        return -(-self.dtype.bits // self.digit)

    @property
    def bins(self) -> int:
        """How many values a digit has."""
        return 1 << self.digit

    def key(self, w: KernelWriter, x: Scalar) -> Scalar:
        """The key of an element: NaN has the greatest, and both zeros have one."""
        d, u = self.dtype, self.keys
        sign = 1 << u.bits - 1
        if d.kind == "b":
            key = w.cast(x, u)
        elif d.kind == "u":
            key = x
        else:
            key = w.bitcast(x, u)
            if d.kind == "i":
                key = w.xor(key, sign)
            else:
                wide = self.wide(w, x)
                key = w.select(w.ge(key, sign), w.not_(key), w.or_(key, sign))
                key = w.select(w.eq(wide, 0), w.const(sign, u), key)
                key = w.select(w.ne(wide, wide), w.const(2 * sign - 1, u), key)
        return w.not_(key) if self.descending else key

    def element(self, w: KernelWriter, key: Scalar) -> Scalar:
        """The element of a key; of those that share one, +0 and some NaN."""
        d, sign = self.dtype, 1 << self.keys.bits - 1
        key = w.not_(key) if self.descending else key
        if d.kind == "b":
            return w.ne(key, 0)
        if d.kind == "f":
            return w.bitcast(w.select(w.ge(key, sign), w.xor(key, sign), w.not_(key)), d)
        return key if d.kind == "u" else w.bitcast(w.xor(key, sign), d)

    def odd(self, w: KernelWriter, x: Scalar) -> Scalar:
        """Whether an element of a float dtype is not made of its key: -0, and NaN."""
        wide = self.wide(w, x)
        return w.or_(w.ne(wide, wide), w.eq(w.bitcast(x, self.keys), 1 << self.keys.bits - 1))

    def wide(self, w: KernelWriter, x: Scalar) -> Scalar:
        """An element that can be compared."""
        return w.cast(x, dtypes.f32) if self.dtype in dtypes.Half else x

    def of(self, w: KernelWriter, key: Scalar, digit: int) -> Index:
        """A digit of a key."""
        x = w.shr(key, digit * self.digit) if digit else key
        return w.as_index(w.cast(w.and_(x, self.bins - 1) if (digit + 1) * self.digit < self.keys.bits else x, i64))


@struct
class _Line:
    """A line that is sorted: how many elements; scratch of twice as many keys and places ("" where nobody asks for places)."""

    k: GroupKernel
    how: Radix
    n: Dim
    point: Callable[[Index], Point]
    keys: str
    places: str
    place: DType

    @property
    def mends(self) -> bool:
        """Whether results may not be made of their keys alone."""
        return self.how.dtype.kind == "f" and self.k.group.nodes[0].outputs[0] in self.k.group.outputs

    def start(self, first: Index, count: Index | Dim, width: int) -> Scalar | None:
        """Keys and places of `count` elements from the first on, in the first half of the scratch. Whether one is odd, as 0 or 1."""
        k, w = self.k, self.k.w
        (x,) = k.group.nodes[0].inputs
        elements = k.elements()
        some = w.acc(dtypes.i32, 0) if self.mends else ""
        with w.loop("vector", count, width) as v:
            j = ix.add(first, v)
            value = elements.at(x, self.point(j))
            w.store(self.keys, j, self.how.key(w, value))
            if some:
                w.reduce((some,), "max", (w.cast(self.how.odd(w, value), dtypes.i32),))
            if self.places:
                w.store(self.places, j, w.cast(w.index_value(j), self.place))
        return w.get_acc(some, dtypes.i32) if some else None

    def move(self, first: Index, count: Index | Dim, digit: int, side: Scalar, counts: str, at: Index) -> None:
        """Move `count` elements from the first on to the other half; `counts`, from `at` on: where the next one of each digit goes."""
        w, u = self.k.w, self.how.keys
        there = w.sub(w.index_value(ix.const(self.n)), side)
        here = ix.add(w.as_index(side), first)
        with w.loop("serial", count) as j:
            key = w.load(self.keys, ix.add(here, j), u, pinned=True)
            bin_ = ix.add(at, self.how.of(w, key, digit))
            to = w.load(counts, bin_, i64, pinned=True)
            w.store(counts, bin_, w.add(to, 1))
            where = w.as_index(w.add(there, to))
            w.store(self.keys, where, key)
            if self.places:
                w.store(self.places, where, w.load(self.places, ix.add(here, j), self.place, pinned=True))

    def finish(self, first: Index, count: Index | Dim, side: Scalar, width: int) -> None:
        """Store `count` results from the first on."""
        k, w = self.k, self.k.w
        values, places = k.group.nodes[0].outputs
        here = ix.add(w.as_index(side), first)
        with w.loop("vector", count, width) as v:
            at, j = self.point(ix.add(first, v)), ix.add(here, v)
            place = w.cast(w.load(self.places, j, self.place, pinned=True), i64) if self.places else None
            if values in k.group.outputs:
                value = self.how.element(w, w.load(self.keys, j, self.how.keys, pinned=True))
                w.store(k.buffer(values, "w"), linear(at, values.type.shape) if at else ZERO, value)
            if places in k.group.outputs:
                assert place is not None
                w.store(k.buffer(places, "w"), linear(at, places.type.shape) if at else ZERO, place)


def _mend(line: _Line, count: Dim) -> None:
    """Put zeros and NaN into the first `count` results in their order: each lie together."""
    k, w, how = line.k, line.k.w, line.how
    node, elements = k.group.nodes[0], k.elements()
    (x,), out = node.inputs, node.outputs[0]
    total = w.index_value(ix.const(line.n))
    less, nan = w.acc(i64, 0), w.acc(i64, 0)

    def each(body: Callable[[Scalar, Scalar], None]) -> None:
        with w.loop("serial", line.n) as j:
            value = elements.at(x, line.point(j))
            body(value, how.wide(w, value))

    def counted(value: Scalar, wide: Scalar) -> None:
        for acc, found in ((less, w.gt(wide, 0) if how.descending else w.lt(wide, 0)), (nan, w.ne(wide, wide))):
            w.set_acc(acc, w.add(w.get_acc(acc, i64), w.cast(found, i64)))

    def put(value: Scalar, wide: Scalar) -> None:
        for acc, found in ((less, w.eq(wide, 0)), (nan, w.ne(wide, wide))):
            at = w.get_acc(acc, i64)
            with w.when(w.and_(found, w.lt(at, w.index_value(ix.const(count))))):
                to = line.point(w.as_index(at))
                w.store(k.buffer(out, "w"), linear(to, out.type.shape) if to else ZERO, value)
            w.set_acc(acc, w.add(at, w.cast(found, i64)))

    each(counted)
    many = w.get_acc(nan, i64)
    if how.descending:  # NaN come first
        w.set_acc(less, w.add(w.get_acc(less, i64), many))
    w.set_acc(nan, w.const(0, i64) if how.descending else w.sub(total, many))
    each(put)


def _line(k: GroupKernel, how: Radix, n: Dim, point: Callable[[Index], Point], scope: str) -> _Line:
    """A line with its scratch."""
    node = k.group.nodes[0]
    place = dtypes.u32 if bounds(n)[1] <= 1 << 32 else i64
    wanted = node.outputs[1] in k.group.outputs
    size = 2 * n if not isinstance(n, int) else max(1, 2 * n)
    return _Line(k, how, n, point, k.w.scratch(how.keys, size, scope), k.w.scratch(place, size, scope) if wanted else "", place)


def _begins(w: KernelWriter, counts: str, bins: int, first: int) -> None:
    """Counts become where each value begins."""
    total = w.acc(i64, 0)
    with w.loop("serial", bins) as b:
        at = ix.add(ix.const(first), b)
        before, here = w.get_acc(total, i64), w.load(counts, at, i64, pinned=True)
        w.store(counts, at, before)
        w.set_acc(total, w.add(before, here))


def radix_line(k: GroupKernel, how: Radix, n: Dim, count: Dim, point: Callable[[Index], Point], width: int) -> None:
    """Sort the line of n elements whose j-th is at point(j); the results are the first `count` of them."""
    w, bins = k.w, how.bins
    line = _line(k, how, n, point, "worker")
    counts = w.scratch(i64, how.digits * bins, "worker")
    odd = line.start(ZERO, n, width)
    with w.loop("vector", how.digits * bins, 8, True) as v:
        w.store(counts, v, w.const(0, i64))
    with w.loop("serial", n) as j:
        key = w.load(line.keys, j, how.keys, pinned=True)
        for d in range(how.digits):
            at = ix.add(ix.const(d * bins), how.of(w, key, d))
            w.store(counts, at, w.add(w.load(counts, at, i64, pinned=True), 1))
    side = w.acc(i64, 0)
    total = w.index_value(ix.const(n))
    with w.loop("serial", w.as_index(w.select(w.gt(total, 0), w.const(1, i64), w.const(0, i64)))):  # without elements there is no key
        for d in range(how.digits):
            key = w.load(line.keys, w.as_index(w.get_acc(side, i64)), how.keys, pinned=True)
            some = w.load(counts, ix.add(ix.const(d * bins), how.of(w, key, d)), i64, pinned=True)
            with w.when(w.lt(some, total)):
                _begins(w, counts, bins, d * bins)
                here = w.get_acc(side, i64)
                line.move(ZERO, n, d, here, counts, ix.const(d * bins))
                w.set_acc(side, w.sub(total, here))
    line.finish(ZERO, count, w.get_acc(side, i64), width)
    if odd is not None:
        with w.when(w.gt(odd, 0)):
            _mend(line, count)


def radix_parts(k: GroupKernel, how: Radix, n: Dim, point: Callable[[Index], Point], parts: int, width: int) -> None:
    """The same of the only line, in so many parts at once: each counts its elements, and moves them behind those of the parts before."""
    w, bins = k.w, how.bins
    line = _line(k, how, n, point, "kernel")
    counts = w.scratch(i64, parts * bins, "kernel")
    odd = w.scratch(dtypes.i32, parts, "kernel")  # whether a part has odd elements
    state = w.scratch(i64, 2, "kernel")  # the half where the keys are; how many elements are moved
    step = ceil_div(n, parts)
    total = w.index_value(ix.const(n))
    w.store(state, ZERO, w.const(0, i64))

    def part(p: Index, some: bool = False) -> tuple[Index, Index | Dim]:
        first = ix.mul(p, step)
        left = w.max(w.min(w.index_value(ix.const(step)), w.sub(total, w.index_value(first))), 0)
        return first, w.as_index(w.min(left, w.load(state, ix.const(1), i64, pinned=True)) if some else left)

    with w.loop("parallel", parts) as p:
        some = line.start(*part(p), width)
        if some is not None:
            w.store(odd, p, some)
    for d in range(how.digits):
        with w.loop("parallel", parts) as p:
            base = ix.mul(p, bins)
            with w.loop("vector", bins, 8, True) as v:
                w.store(counts, ix.add(base, v), w.const(0, i64))
            side = w.as_index(w.load(state, ZERO, i64, pinned=True))
            first, count = part(p)
            with w.loop("serial", count) as j:
                key = w.load(line.keys, ix.add(side, ix.add(first, j)), how.keys, pinned=True)
                at = ix.add(base, how.of(w, key, d))
                w.store(counts, at, w.add(w.load(counts, at, i64, pinned=True), 1))
        before, largest = w.acc(i64, 0), w.acc(i64, 0)
        with w.loop("serial", bins) as b:
            begin = w.get_acc(before, i64)
            with w.loop("serial", parts) as p:
                at = ix.add(ix.mul(p, bins), b)
                here = w.get_acc(before, i64)
                w.set_acc(before, w.add(here, w.load(counts, at, i64, pinned=True)))
                w.store(counts, at, here)
            w.set_acc(largest, w.max(w.get_acc(largest, i64), w.sub(w.get_acc(before, i64), begin)))
        moves = w.lt(w.get_acc(largest, i64), total)
        w.store(state, ix.const(1), w.select(moves, total, w.const(0, i64)))
        with w.loop("parallel", parts) as p:
            first, count = part(p, some=True)
            line.move(first, count, d, w.load(state, ZERO, i64, pinned=True), counts, ix.mul(p, bins))
        now = w.load(state, ZERO, i64, pinned=True)
        w.store(state, ZERO, w.select(moves, w.sub(total, now), now))
    with w.loop("parallel", parts) as p:
        first, count = part(p)
        line.finish(first, count, w.load(state, ZERO, i64, pinned=True), width)
    if line.mends:
        some_part = w.acc(dtypes.i32, 0)
        with w.loop("serial", parts) as p:
            w.reduce((some_part,), "max", (w.load(odd, p, dtypes.i32, pinned=True),))
        with w.when(w.gt(w.get_acc(some_part, dtypes.i32), 0)):
            _mend(line, n)
