"""Scatters: kernels that write where an index says, after one that fills the result with what is there before."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from ingot.ir import dtypes
from ingot.ir.graph import Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import Point, delinear, linear
from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.elements import Elements
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import GroupKernel, Written
from ingot.ir.lower.schedule import Schedule, at_least_one, lanes
from ingot.ir.lower.target import Kind
from ingot.ir.lower.writer import KernelWriter, Scalar
from ingot.ir.machine import Machine
from ingot.ir.ops.indexing import place_of_indices
from ingot.ir.ops.scalars import convert
from ingot.ir.size import at_most, ceil_div, exactly
from ingot.ir.struct import value_type
from ingot.ir.types import Dim, Shape, tensor_type

__all__ = [
    "Fill", "Scatter", "IndexPut", "WindowScatter", "SCATTER", "INDEX_PUT", "WINDOW_SCATTER",
    "indexed", "places", "planes", "put", "rounded", "scatter_line", "scatter_lines", "scatter_plane", "totals", "update",
]  # fmt: skip

Check = Callable[[Node], int]


# -- what is there before --------------------------------------------------------------------------------------------


@value_type
class Fill(Schedule):
    """Copy a value, `chunk` elements at a time, by vectors of `width` lanes."""

    width: int
    chunk: int

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""
        lanes(self.width)
        at_least_one(chunk=self.chunk)


def _fill(group: Group, s: Fill, check: Check, into: Value) -> Written:
    """`into` becomes the first input, element by element."""
    x = group.nodes[0].inputs[0]
    return _elementwise("fill", group, s, check, into, lambda k, elements, at: elements.at(x, delinear(at, into.type.shape, k.w.ranges)))


def _elementwise(
    name: str, group: Group, s: Fill, check: Check, to: Value, element: Callable[[GroupKernel, Elements, Index], Scalar]
) -> Written:
    """A kernel that computes all elements of `to`."""
    k = GroupKernel(group, name, check)
    w, elements = k.w, k.elements()
    buffer = k.buffer(to, "w")

    def body(base: Index | None, extent: Index | Dim) -> None:
        with w.loop("vector", extent, s.width, not isinstance(extent, Index) and exactly(extent, s.width) is not None) as v:
            at = v if base is None else ix.add(base, v)
            w.store(buffer, at, convert(w, element(k, elements, at), to.type.dtype))

    _blocks(w, to.type.numel, s.chunk, body)
    return k.finish(s)


def totals(node: Node) -> Value:
    """What a scatter updates: its result, but for sums and products of halves f32, which are rounded once at the end."""
    (out,) = node.outputs
    adds = len(node.attrs) < 2 or node.attrs[1] in ("add", "mul")
    return Value(tensor_type(dtypes.f32, out.type.shape)) if adds and out.type.dtype in dtypes.Half else out


def rounded(k: GroupKernel, into: Value, at: Index) -> Scalar:
    """The element of the result at a flat index, from the totals."""
    return convert(k.w, k.w.load(k.buffer(into, "r"), at, into.type.dtype, pinned=True), k.group.nodes[0].outputs[0].type.dtype)


def _all(group: Group, s: Fill, check: Check, into: Value, put: Callable[[], Written]) -> list[Written]:
    """The kernel that fills, the one that updates, and one that rounds where totals are not the result."""
    out = group.nodes[0].outputs[0]
    kernels = [_fill(group, s, check, into), put()]
    if into is not out:
        kernels.append(_elementwise("round", group, s, check, out, lambda k, _, at: rounded(k, into, at)))
    return kernels


def _blocks(w: KernelWriter, n: Dim, per: int, body: Callable[[Index | None, Index | Dim], None]) -> None:
    """`body(start, extent)` for each parallel chunk of `per` elements of n; for all of them at once where that is one chunk."""
    if at_most(n, per):
        body(None, n)
        return
    with w.loop("parallel", ceil_div(n, per)) as b:
        body(ix.mul(b, per), w.rest(b, per, n))


def update(k: GroupKernel, into: Value, at: Index, mode: str, value: Scalar, mask: Scalar | None) -> None:
    """into[at] op= value, where the mask holds."""
    w, name, dtype = k.w, k.buffer(into, "rw"), into.type.dtype
    if mode != "set":
        old = w.load(name, at, dtype, mask, pinned=True)
        a, b = (w.cast(x, dtypes.f32) if x.dtype in dtypes.Half else x for x in (old, value))
        value = convert(w, {"add": w.add, "mul": w.mul, "min": w.min, "max": w.max}[mode](a, b), dtype)
    w.store(name, at, value, mask)


# -- along one axis --------------------------------------------------------------------------------------------------


@value_type
class Scatter(Schedule):
    """Lines along the axis in the order of their indices, `chunk` lines at a time: lines apart are independent."""

    fill: Fill
    chunk: int

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""
        self.fill.verify(group)
        at_least_one(chunk=self.chunk)


def _choose_fill(machine: Machine) -> Fill:
    return Fill(machine.lanes(32), machine.chunk_elements)


def _choose_scatter(group: Group, machine: Machine) -> Scatter:
    _, index, _ = group.nodes[0].inputs
    axis, _ = group.nodes[0].attrs
    length = assumed(index.type.shape[axis]) if index.type.rank else 1
    return Scatter(_choose_fill(machine), max(1, machine.chunk_elements // max(1, length)))


def scatter_lines(node: Node) -> Shape:
    """The dims of a scatter's index that count lines."""
    return tuple(d for a, d in enumerate(node.inputs[1].type.shape) if a != node.attrs[0])


def scatter_line(k: GroupKernel, elements: Elements, into: Value, at: Point) -> None:
    """into[.., i[..], ..] op= src in index order, along the line at a point of all other axes."""
    w, node = k.w, k.group.nodes[0]
    x, index, src = node.inputs
    axis, mode = node.attrs
    k.buffer(into, "rw")
    shape = index.type.shape
    with w.loop("serial", shape[axis] if shape else 1) as j:
        point = at[:axis] + (j,) + at[axis:] if shape else ()
        to, mask = elements.checked(node, index, point, x.type.shape[axis] if shape else 1, None)
        target = point[:axis] + (to,) + point[axis + 1 :] if shape else ()
        update(k, into, linear(target, x.type.shape), mode, elements.at(src, point), mask)


def _emit_scatter(group: Group, s: Scatter, check: Check) -> list[Written]:
    """out = x; then all lines."""
    k = GroupKernel(group, "scatter", check)
    elements, others, into = k.elements(), scatter_lines(group.nodes[0]), totals(group.nodes[0])

    def update() -> Written:
        k.w.chunks(math.prod(others), s.chunk, lambda i: scatter_line(k, elements, into, delinear(i, others, k.w.ranges)))
        return k.finish(s)

    return _all(group, s.fill, check, into, update)


SCATTER = Kind(_choose_scatter, _emit_scatter)


# -- along several axes ----------------------------------------------------------------------------------------------


@value_type
class IndexPut(Schedule):
    """Indices in their order; the last dim, where no index stands, by vectors of `width` lanes, `block` columns to a chunk."""

    fill: Fill
    width: int
    block: int

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""
        self.fill.verify(group)
        lanes(self.width)
        at_least_one(block=self.block)


@value_type
class Indexed:
    """The shapes of an index_put: of its indices, and of what is not indexed, without the last dim (`columns`) where that is free."""

    at: int  # where the indices stand in the point of src
    indices: Shape
    outer: Shape
    columns: Dim | None


def indexed(node: Node) -> Indexed:
    """The shapes of an index_put."""
    x, src, *indices = node.inputs
    axes, _ = node.attrs
    rank = max((v.type.rank for v in indices), default=0)
    at = place_of_indices(axes)
    shape = src.type.shape
    rest = shape[:at] + shape[at + rank :]
    free = bool(rest) and (x.type.rank - 1) not in axes
    return Indexed(at, shape[at : at + rank], rest[:-1] if free else rest, rest[-1] if free else None)


def _choose_index_put(group: Group, machine: Machine) -> IndexPut:
    n = indexed(group.nodes[0])
    width = machine.lanes(32)
    columns = 1 if n.columns is None else assumed(n.columns)
    # columns are independent of each other, so they may be shared out
    large = columns * assumed(math.prod(n.indices)) > machine.chunk_elements
    block = max(width * 4, -(-columns // machine.workers)) if large else max(1, columns)
    return IndexPut(_choose_fill(machine), width, -(-block // width) * width if block > width else block)


class Places(NamedTuple):
    """Where indices say: axis of the result -> index; and whether there is such a place (None: there is)."""

    at: dict[int, Index]
    mask: Scalar | None


def places(k: GroupKernel, elements: Elements, inside: Point) -> Places:
    """Where the indices at a point of theirs say."""
    node = k.group.nodes[0]
    x, _, *indices = node.inputs
    axes, _ = node.attrs
    at: dict[int, Index] = {}
    mask: Scalar | None = None
    for a, v in zip(axes, indices):
        at[a], mask = elements.checked(node, v, elements.aligned(v, inside), x.type.shape[a], mask)
    return Places(at, mask)


def put(k: GroupKernel, elements: Elements, into: Value, at: int, free: Point, inside: Point, where: Places) -> None:
    """into op= src for one element: `free`, its point along what is not indexed; `where`: the places that indices name."""
    node = k.group.nodes[0]
    x, src = node.inputs[:2]
    rest = iter(free)
    target = tuple(where.at[a] if a in where.at else next(rest) for a in range(x.type.rank))
    value = elements.at(src, free[:at] + inside + free[at:])
    update(k, into, linear(target, x.type.shape), node.attrs[1], value, where.mask)


def _emit_index_put(group: Group, s: IndexPut, check: Check) -> list[Written]:
    """out = x; then out at the indexed places op= src, in the order of the indices."""
    n = indexed(group.nodes[0])
    k = GroupKernel(group, "index_put", check)
    w, elements = k.w, k.elements()
    into = totals(group.nodes[0])
    k.buffer(into, "rw")

    def body(base: Index | None, extent: Index | Dim) -> None:
        with w.loop("serial", math.prod(n.indices)) as j:
            inside = delinear(j, n.indices, w.ranges)
            where = places(k, elements, inside)
            with w.loop("serial", math.prod(n.outer)) as o:
                free = delinear(o, n.outer, w.ranges)
                if n.columns is None:
                    put(k, elements, into, n.at, free, inside, where)
                else:
                    with w.loop("vector", extent, s.width) as v:
                        put(k, elements, into, n.at, (*free, v if base is None else ix.add(base, v)), inside, where)

    def update() -> Written:
        _blocks(w, 1 if n.columns is None else n.columns, s.block, body)
        return k.finish(s)

    return _all(group, s.fill, check, into, update)


INDEX_PUT = Kind(_choose_index_put, _emit_index_put)


# -- into planes -----------------------------------------------------------------------------------------------------


@value_type
class WindowScatter(Schedule):
    """Planes, `chunk` at a time: each is zeroed by vectors of `width` lanes, then takes its elements in order."""

    width: int
    chunk: int

    def verify(self, group: Group) -> None:
        """Raise ScheduleError where loops of `group` cannot be written this way."""
        lanes(self.width)
        at_least_one(chunk=self.chunk)


def planes(node: Node) -> tuple[Shape, Shape, Shape]:
    """The dims that count planes, those of a window, and those of a plane."""
    (plane,) = node.attrs
    shape = node.inputs[0].type.shape
    return shape[: -len(plane)], shape[-len(plane) :], plane


def _choose_window_scatter(group: Group, machine: Machine) -> WindowScatter:
    _, window, plane = planes(group.nodes[0])
    return WindowScatter(machine.lanes(32), max(1, machine.chunk_elements // max(1, assumed(math.prod(plane) + math.prod(window)))))


def scatter_plane(k: GroupKernel, elements: Elements, into: Value, i: Index) -> None:
    """into[n, c, idx] += g, in order, for the i-th plane (n, c)."""
    w, node = k.w, k.group.nodes[0]
    g, index = node.inputs
    lead, window, plane = planes(node)
    size = math.prod(plane)
    at = delinear(i, lead, w.ranges)
    k.buffer(into, "rw")
    with w.loop("serial", math.prod(window)) as t:
        point = at + delinear(t, window, w.ranges)
        to, mask = elements.checked(node, index, point, size, None)
        update(k, into, ix.add(ix.mul(i, size), to), "add", elements.at(g, point), mask)


def _emit_window_scatter(group: Group, s: WindowScatter, check: Check) -> list[Written]:
    """out = 0; then all planes."""
    out, into = group.nodes[0].outputs[0], totals(group.nodes[0])
    lead, _, plane = planes(group.nodes[0])
    size = math.prod(plane)
    k = GroupKernel(group, "window_scatter", check)
    w, elements = k.w, k.elements()
    name = k.buffer(into, "rw")

    def one(i: Index) -> None:
        with w.loop("vector", size, s.width) as v:
            w.store(name, ix.add(ix.mul(i, size), v), w.const(0, into.type.dtype))
        scatter_plane(k, elements, into, i)
        if into is not out:
            with w.loop("vector", size, s.width) as v:
                at = ix.add(ix.mul(i, size), v)
                w.store(k.buffer(out, "w"), at, rounded(k, into, at))

    w.chunks(math.prod(lead), s.chunk, one)
    return [k.finish(s)]


WINDOW_SCATTER = Kind(_choose_window_scatter, _emit_window_scatter)
