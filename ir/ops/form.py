"""The one form of all contractions: out[batch, m, n] = sum over k of A[batch, m, k] * B[batch, k, n].

An op with `lowering=Contraction(form)` says once what it computes; register tiles and small loops at a point both follow from
it. Batch, m, n and k may each be several dims. A convolution is in this form on its input, set into zeros: the offset of a tap
is part of k, and nothing of the size of im2col exists.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ingot.ir.facts import Contraction
from ingot.ir.graph import Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.index import Ranges
from ingot.ir.loop.points import Point, delinear, linear
from ingot.ir.ops.scalars import within
from ingot.ir.size import at_most
from ingot.ir.struct import struct
from ingot.ir.types import Shape

__all__ = ["Form", "Zeros", "form_of"]

Dims = Shape


@struct
class Zeros:
    """Zeros around and between the elements of a value's trailing dims: `low` of them in front, elements `gap` apart, `extent` in all.

    counted: they are values like others, so that a product with infinity is NaN; else they stand for terms that there are not
    """

    low: Dims
    gap: Dims
    extent: Dims
    counted: bool = True

    @classmethod
    def around(cls, value: Value, low: Dims, gap: Dims, extent: Dims, counted: bool = True) -> Zeros | None:
        """The zeros that reads of these extents need; None where the value has all that is read."""
        have = value.type.shape[value.type.rank - len(low) :]
        plain = not any(low) and all(g == 1 for g in gap) and all(at_most(e, d) for e, d in zip(extent, have))
        return None if plain else cls(low, gap, extent, counted)

    def inside(self, w: Any, point: Point, shape: Dims) -> tuple[Point, Any]:
        """Where a point among the zeros lies in the value of this shape, and the mask of those that do (None: all)."""
        lead = len(shape) - len(self.low)
        at, mask = within(w, (
            (ix.add(i, ix.const(-lo)), gap, d, lo > 0, not at_most((extent - lo - 1) // gap + 1, d))
            for i, lo, gap, extent, d in zip(point[lead:], self.low, self.gap, self.extent, shape[lead:])
        ))  # fmt: skip
        return (*point[:lead], *at), mask


@struct
class Form:
    """A contraction.

    batch, m, n, k               extents
    left, at_left(q, m, k)       the value that A is read from, and the point of A's element in it; among `zeros` where there are any
    right, at_right(q, k, n)     likewise for B
    dims                         for each dim of the result the loops that make it, in row-major order, counted over (*batch, *m, *n)
    b_batch                      the batch dims that B depends on
    order                        the dims of k as a small loop nests them: what lies together in memory innermost; () for k's own order
    zeros                        what A's value is set into
    overlapping                  neighbouring rows of A share elements, as windows do
    """

    batch: Dims
    m: Dims
    n: Dims
    k: Dims
    left: Value
    at_left: Callable[[Point, Point, Point], Point]
    right: Value
    at_right: Callable[[Point, Point, Point], Point]
    dims: tuple[Dims, ...]
    b_batch: Dims
    order: Dims = ()
    zeros: Zeros | None = None
    overlapping: bool = False

    @property
    def left_shape(self) -> Dims:
        """The shape of A's value, the zeros included."""
        shape = self.left.type.shape
        return shape if self.zeros is None else (*shape[: len(shape) - len(self.zeros.extent)], *self.zeros.extent)

    def a(self, p: Any, q: Point, m: Point, k: Point) -> Any:
        """The element of A that `Elements` make; 0 among the zeros."""
        return self.among_zeros(p, self.at_left(q, m, k))

    def among_zeros(self, p: Any, point: Point) -> Any:
        """An element of A's value, set into zeros, at a point there."""
        x, mask = self.left_or_nothing(p, point)
        return x if mask is None else p.w.select(mask, x, p.w.const(0, x.dtype))

    def left_or_nothing(self, p: Any, point: Point) -> tuple[Any, Any]:
        """An element of A's value, and the mask of where there is one (None: everywhere)."""
        if self.zeros is None:
            return p.at(self.left, point), None
        point, mask = self.zeros.inside(p.w, point, self.left.type.shape)
        return p.at(self.left, point, mask), mask

    def b(self, p: Any, q: Point, k: Point, n: Point, mask: Any = None) -> Any:
        """The element of B that `Elements` make."""
        return p.at(self.right, self.at_right(q, k, n), mask)

    @property
    def contiguous(self) -> bool:
        """Whether both operands' elements lie together along the last dim of k."""
        if not self.k or self.zeros is not None:
            return False
        q, m, n, k = (tuple(ix.var(f"{name}{i}") for i in range(len(d))) for name, d in zip("qmnk", (self.batch, self.m, self.n, self.k)))
        left = linear(self.at_left(q, m, k), self.left.type.shape)
        right = linear(self.at_right(q, k, n), self.right.type.shape)
        return all(ix.coefficient(i, f"k{len(k) - 1}") == 1 for i in (left, right))

    def out(self, q: Point, m: Point, n: Point) -> Point:
        """The point of the result that (q, m, n) makes."""
        loops, extents = (*q, *m, *n), (*self.batch, *self.m, *self.n)
        return tuple(linear(tuple(loops[i] for i in d), tuple(extents[i] for i in d)) for d in self.dims)

    def loops(self, point: Point, ranges: Ranges) -> tuple[Point, Point, Point]:
        """The (q, m, n) that make a point of the result."""
        extents = (*self.batch, *self.m, *self.n)
        at: dict[int, Index] = {}
        for i, d in zip(point, self.dims):
            at.update(zip(d, delinear(i, tuple(extents[j] for j in d), ranges)))
        every = tuple(at[j] for j in range(len(extents)))
        first, last = len(self.batch), len(self.batch) + len(self.m)
        return every[:first], every[first:last], every[last:]


def form_of(node: Node) -> Form:
    """The form of a contraction node."""
    kind = node.op.lowering
    assert isinstance(kind, Contraction)
    return kind.form(node)
