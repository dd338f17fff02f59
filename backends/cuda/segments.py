"""Updates at indices in parallel: equal indices are brought together in their order, and one thread has each of them to its end.

The flat places that the indices name are sorted, stably, with the numbers of the updates beside them. Where a place differs from the one
before it, a segment begins; its length is found by bisection, and its first thread applies its updates one after the other, as they come.
So results have the bits of the loop that goes through all updates in a row. A thread has one element of what is not indexed.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ingot.backends.cuda.block_kernel import BlockKernel, verify_threads
from ingot.backends.cuda.sort import Lines, MergeSort, schedule_of, sorted_by
from ingot.ir import dtypes
from ingot.ir.graph import Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import Point, delinear, linear
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import Written
from ingot.ir.lower.scatter import Places, indexed, places, put, scatter_lines, update
from ingot.ir.lower.schedule import Schedule
from ingot.ir.lower.writer import KernelWriter, Scalar
from ingot.ir.size import bounds
from ingot.ir.struct import value_type
from ingot.ir.types import Dim, Shape, tensor_type

__all__ = ["Segments", "put_schedule", "put_updates", "scatter_schedule", "scatter_updates"]

i64 = dtypes.i64
LEAST = 256  # updates from which on sorting them pays
FEW = 16  # blocks of lines: as many threads as there are lines do as well where these are more
MOST_STEPS = 40  # of a bisection


@value_type
class Segments(Schedule):
    """Updates of an index_put, or of the lines of a scatter, by segments.

    threads  of a block
    fill     the same, of the kernels that fill what is updated, and round
    sort     how the places are sorted
    """

    threads: int
    fill: int
    sort: MergeSort

    def verify(self, group: Group) -> None:
        verify_threads(threads=self.threads, fill=self.fill)
        self.sort.verify(group)


def put_schedule(node: Node, threads: int, fill: int) -> Segments | None:
    """The schedule of an index_put with many updates; None for another."""
    n = math.prod(indexed(node).indices)
    return Segments(threads, fill, schedule_of(n, 1)) if n != 0 and assumed(n) >= LEAST else None


def scatter_schedule(node: Node, threads: int, fill: int) -> Segments | None:
    """The schedule of a scatter with many updates in few lines; None for another."""
    shape = node.inputs[1].type.shape
    n, lines = (shape[node.attrs[0]] if shape else 1), math.prod(scatter_lines(node))
    if 0 in (n, lines) or assumed(n) < LEAST or assumed(lines) > FEW * threads:
        return None
    return Segments(threads, fill, schedule_of(n, lines))


class _Places(Lines):
    """The places of all updates, in a line; -1 where there are none at all."""

    def __init__(self, group: Group, s: MergeSort, check: Callable[[Node], int], to: tuple[Value, Value]):
        self.inside = indexed(group.nodes[0]).indices
        super().__init__(group, s, check, i64, math.prod(self.inside), 1, False)
        self.to = to

    def element(self, k: BlockKernel, line: Index, j: Index) -> Scalar:
        """The place of the j-th update, counted over the axes that are indexed."""
        w, node = k.w, self.group.nodes[0]
        where = places(k, k.elements(), delinear(j, self.inside, w.ranges))
        at = linear(tuple(where.at[a] for a in node.attrs[0]), _extents(node))
        place = w.index_value(at)
        return place if where.mask is None else w.select(where.mask, place, w.const(-1, i64))

    def result(self, k: BlockKernel, line: Index, j: Index, value: Scalar, place: Scalar, mask: Scalar | None) -> None:
        """Store what is the j-th in order."""
        for v, x in zip(self.to, (value, place)):
            k.w.store(k.buffer(v, "w"), j, x, mask)


def _extents(node: Node) -> Shape:
    """The extents of the axes that are indexed."""
    return tuple(node.inputs[0].type.shape[a] for a in node.attrs[0])


class _PlacesOfLines(Lines):
    """The places of the updates of a scatter, line by line."""

    def __init__(self, group: Group, s: MergeSort, check: Callable[[Node], int], to: tuple[Value, Value]):
        node = group.nodes[0]
        super().__init__(group, s, check, i64, node.inputs[1].type.shape[node.attrs[0]], math.prod(scatter_lines(node)), False)
        self.to = to

    def element(self, k: BlockKernel, line: Index, j: Index) -> Scalar:
        """The place of the j-th update of a line."""
        w, node = k.w, self.group.nodes[0]
        x, index, _ = node.inputs
        axis = node.attrs[0]
        at, elements = delinear(line, scatter_lines(node), w.ranges), k.elements()
        to, mask = elements.checked(node, index, at[:axis] + (j,) + at[axis:], x.type.shape[axis], None)
        place = w.index_value(to)
        return place if mask is None else w.select(mask, place, w.const(-1, i64))

    def result(self, k: BlockKernel, line: Index, j: Index, value: Scalar, place: Scalar, mask: Scalar | None) -> None:
        """Store what is the j-th of a line in order."""
        for v, x in zip(self.to, (value, place)):
            k.w.store(k.buffer(v, "w"), ix.add(ix.mul(line, self.n), j), x, mask)


def scatter_updates(group: Group, s: Segments, check: Callable[[Node], int], into: Value) -> list[Written]:
    """The kernels that sort the updates of a scatter's lines and apply them."""
    node = group.nodes[0]
    x, index, src = node.inputs
    axis, mode = node.attrs
    others, n = scatter_lines(node), index.type.shape[axis]
    keys, order = (Value(tensor_type(i64, (math.prod(others) * n,))) for _ in range(2))
    kernels = sorted_by(_PlacesOfLines(group, s.sort, check, (keys, order)))
    k = BlockKernel(group, "segments", check)
    w = k.w
    k.buffer(into, "rw")

    def apply(key: Scalar, i: Index, which: Index) -> None:
        at = delinear(ix.div(i, n, w.ranges), others, w.ranges)
        target = linear((*at[:axis], w.as_index(key), *at[axis:]), x.type.shape)
        update(k, into, target, mode, k.elements().at(src, (*at[:axis], which, *at[axis:])), None)

    def start(i: Index) -> None:
        _segment(k, (k.buffer(keys, "r"), k.buffer(order, "r")), i, ix.mod(i, n, w.ranges), n, lambda key, which: apply(key, i, which))

    k.each(math.prod(others) * n, s.threads, start)
    return [*kernels, k.finish(s)]


def _segment(k: BlockKernel, sorted_: tuple[str, str], i: Index, j: Index, n: Dim, apply: Callable[[Scalar, Index], None]) -> None:
    """`apply` for every update of a segment, in order, where the i-th place begins one: the j-th of n that are sorted together."""
    w, (keys, order) = k.w, sorted_
    key, number = w.load(keys, i, i64), w.index_value(j)
    before = w.load(keys, ix.sub(i, ix.const(1)), i64, w.gt(number, 0))
    with w.when(w.and_(w.ge(key, 0), w.or_(w.eq(number, 0), w.ne(before, key)))):
        end = _end(w, keys, ix.sub(i, j), key, number, n)
        with w.loop("serial", w.as_index(w.sub(end, number))) as p:
            apply(key, w.as_index(w.load(order, ix.add(i, p), i64)))


def put_updates(group: Group, s: Segments, check: Callable[[Node], int], into: Value) -> list[Written]:
    """The kernels that sort the updates and apply them."""
    node = group.nodes[0]
    shapes = indexed(node)
    free = shapes.outer if shapes.columns is None else (*shapes.outer, shapes.columns)
    n, columns = math.prod(shapes.indices), math.prod(free)
    if columns == 0:
        return []
    keys, order = (Value(tensor_type(i64, (n,))) for _ in range(2))
    kernels = sorted_by(_Places(group, s.sort, check, (keys, order)))
    k = BlockKernel(group, "segments", check)
    w = k.w
    k.buffer(into, "rw")

    def apply(key: Scalar, which: Index, at: Point) -> None:
        where = Places(dict(zip(node.attrs[0], delinear(w.as_index(key), _extents(node), w.ranges))), None)
        put(k, k.elements(), into, shapes.at, at, delinear(which, shapes.indices, w.ranges), where)

    def start(i: Index) -> None:
        j, at = ix.div(i, columns, w.ranges), delinear(ix.mod(i, columns, w.ranges), free, w.ranges)
        _segment(k, (k.buffer(keys, "r"), k.buffer(order, "r")), j, j, n, lambda key, which: apply(key, which, at))

    k.each(n * columns, s.threads, start)
    return [*kernels, k.finish(s)]


def _end(w: KernelWriter, keys: str, base: Index, key: Scalar, first: Scalar, n: Dim) -> Scalar:
    """Where those end that are equal to the first; `base`: where the n places begin."""
    most = bounds(n)[1]
    low, high = w.acc(i64, 0), w.acc(i64, 0)
    w.set_acc(low, w.add(first, 1))
    w.set_acc(high, w.index_value(ix.const(n)))
    with w.loop("serial", min(int(most).bit_length(), MOST_STEPS) if most != math.inf else MOST_STEPS):
        a, b = w.get_acc(low, i64), w.get_acc(high, i64)
        open_ = w.lt(a, b)
        middle = w.shr(w.add(a, b), 1)
        same = w.eq(w.load(keys, ix.add(base, w.as_index(middle)), i64, open_, pinned=True), key)
        w.set_acc(low, w.select(w.and_(open_, same), w.add(middle, 1), a))
        w.set_acc(high, w.select(w.and_(open_, w.not_(same)), middle, b))
    return w.get_acc(low, i64)
