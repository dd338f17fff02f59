"""Ops whose steps have an order: running folds and scatters. A thread takes a line (of a window scatter: a plane) from end to end."""

from __future__ import annotations

import math
from collections.abc import Callable

from ingot.backends.cuda.block_kernel import THREADS, BlockKernel, threads_for, verify_threads
from ingot.backends.cuda.segments import Segments, put_schedule, put_updates, scatter_schedule, scatter_updates
from ingot.ir.graph import Node, Value
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import Point, delinear
from ingot.ir.lower.cumulative import running_fold
from ingot.ir.lower.elements import Elements
from ingot.ir.lower.group import Group
from ingot.ir.lower.group_kernel import Written
from ingot.ir.lower.scatter import indexed, places, planes, put, rounded, scatter_line, scatter_lines, scatter_plane, totals
from ingot.ir.lower.schedule import Schedule
from ingot.ir.lower.target import Kind
from ingot.ir.lower.writer import Scalar
from ingot.ir.machine import Machine
from ingot.ir.ops.scalars import convert
from ingot.ir.struct import value_type
from ingot.ir.types import Shape

__all__ = ["LINE_BY_LINE", "INDEX_PUT", "SCATTER", "WINDOW_SCATTER", "LinePerThread"]

Check = Callable[[Node], int]
BySegments = tuple[Callable[[Node, int, int], Segments | None], Callable[[Group, Segments, Check, Value], list[Written]]]


@value_type
class LinePerThread(Schedule):
    """A line to a thread, neighbours side by side. What a scatter writes into is filled first, an element to a thread; where that is
    not its result, one more kernel rounds it.

    threads  of a block
    fill     the same, of the kernels that fill and round
    """

    threads: int
    fill: int = 0

    def verify(self, group: Group) -> None:
        verify_threads(threads=self.threads, fill=self.fill or 1)


def _kind(lines: Callable[[Node], Shape], line: Callable[[BlockKernel, Elements, Value, Index, Point], None],
          filled: Callable[[Node, Elements, Point], Scalar] | None = None, segments: BySegments | None = None) -> Kind:  # fmt: skip
    """Groups of which each line is one thread's.

    lines(node)                        the dims that count them
    line(k, elements, into, i, point)  the code of the i-th, at a point of these dims; a scatter's updates `into`
    filled(node, elements, point)      what is there before
    segments                           how many updates are scheduled and written that are brought together by their places
    """

    def choose(group: Group, machine: Machine) -> LinePerThread | Segments:
        node = group.nodes[0]
        fill = threads_for(node.outputs[0].type.numel) if filled else 0
        found = segments[0](node, THREADS, fill) if segments else None
        return found or LinePerThread(threads_for(math.prod(lines(node))), fill)

    def emit(group: Group, s: LinePerThread | Segments, check: Check) -> list[Written]:
        node, written = group.nodes[0], []
        out = node.outputs[0]
        into = out if filled is None else totals(node)

        def each(name: str, to: Value, element: Callable[[BlockKernel, Elements, Index], Scalar]) -> None:
            k = BlockKernel(group, name, check)
            buffer, elements = k.buffer(to, "w"), k.elements()
            k.each(out.type.numel, s.fill, lambda i: k.w.store(buffer, i, convert(k.w, element(k, elements, i), to.type.dtype)))
            written.append(k.finish(s))

        if filled is not None and out.type.numel != 0:
            each("fill", into, lambda k, elements, i: filled(node, elements, delinear(i, out.type.shape, k.w.ranges)))
        dims = lines(node)
        if isinstance(s, Segments):
            assert segments is not None
            written += segments[1](group, s, check, into)
        elif math.prod(dims) != 0:
            k = BlockKernel(group, "lines", check)
            elements = k.elements()
            k.each(math.prod(dims), s.threads, lambda i: line(k, elements, into, i, delinear(i, dims, k.w.ranges)))
            written.append(k.finish(s))
        if into is not out and out.type.numel != 0:
            each("round", out, lambda k, _, i: rounded(k, into, i))
        return written

    return Kind(choose, emit)


def _source(node: Node, elements: Elements, point: Point) -> Scalar:
    """What a scatter updates: its first input."""
    return elements.at(node.inputs[0], point)


def _zero(node: Node, elements: Elements, point: Point) -> Scalar:
    return elements.w.const(0, node.outputs[0].type.dtype)


def _free(node: Node) -> Shape:
    """The dims of an index_put that are not indexed."""
    n = indexed(node)
    return n.outer if n.columns is None else (*n.outer, n.columns)


def _put_line(k: BlockKernel, elements: Elements, into: Value, i: Index, point: Point) -> None:
    """All indices in their order, at one point of what is not indexed."""
    n = indexed(k.group.nodes[0])
    with k.w.loop("serial", math.prod(n.indices)) as j:
        inside = delinear(j, n.indices, k.w.ranges)
        put(k, elements, into, n.at, point, inside, places(k, elements, inside))


def _other_axes(node: Node) -> Shape:
    return tuple(d for a, d in enumerate(node.inputs[0].type.shape) if a != node.attrs[0])


LINE_BY_LINE = _kind(_other_axes, lambda k, elements, _, i, point: running_fold(k, elements, point))
SCATTER = _kind(scatter_lines, lambda k, elements, into, i, point: scatter_line(k, elements, into, point), _source,
                (scatter_schedule, scatter_updates))  # fmt: skip
INDEX_PUT = _kind(_free, _put_line, _source, (put_schedule, put_updates))
WINDOW_SCATTER = _kind(lambda node: planes(node)[0], lambda k, elements, into, i, point: scatter_plane(k, elements, into, i), _zero)
