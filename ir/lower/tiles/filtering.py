"""Minimal filtering of 3 taps: two results of four inputs, or the three gradients of the taps, by four products in place of six.

    d * t:  y0 = d0 t0 + d1 t1 + d2 t2,  y1 = d1 t0 + d2 t1 + d3 t2      of inputs d and taps t
    d * g:  t0 = d0 g0 + d1 g1,  t1 = d1 g0 + d2 g1,  t2 = d2 g0 + d3 g1   of inputs d and gradients g of two results

Both factors become four numbers by sums alone, and so do their products, summed over whatever is summed over, become what is looked for.
In two dims a rule is applied to columns and then to rows, and there are sixteen products in place of 36.
Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015; Winograd, Arithmetic Complexity of Computations, 1980.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

from ingot.ir.dtypes import f32
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import Point
from ingot.ir.lower.elements import Elements
from ingot.ir.lower.writer import KernelWriter, Scalar
from ingot.ir.ops.form import Form
from ingot.ir.ops.scalars import within

__all__ = ["AT_ONCE", "PRODUCTS", "SIDE", "Inputs", "in_two_dims", "of_gradients", "of_inputs", "of_products", "of_taps", "to_taps"]

AT_ONCE = 2  # results of a tile in each dim
SIDE = AT_ONCE + 2  # of what a tile reads
PRODUCTS = SIDE**2  # of a channel for the results of a tile
Square = list[list[Scalar]]


def of_inputs(w: KernelWriter, a: Scalar, b: Scalar, c: Scalar, d: Scalar) -> list[Scalar]:
    """Factors of four inputs."""
    return [w.sub(a, c), w.add(b, c), w.sub(c, b), w.sub(b, d)]


def of_taps(w: KernelWriter, a: Scalar, b: Scalar, c: Scalar) -> list[Scalar]:
    """Factors of three taps."""
    outer = w.add(a, c)
    half = w.const(0.5, a.dtype)
    return [a, w.mul(w.add(outer, b), half), w.mul(w.sub(outer, b), half), c]


def of_gradients(w: KernelWriter, a: Scalar, b: Scalar) -> list[Scalar]:
    """Factors of the gradients of two results."""
    half = w.const(0.5, a.dtype)
    return [a, w.mul(w.add(a, b), half), w.mul(w.sub(a, b), half), b]


def of_products(w: KernelWriter, a: Scalar, b: Scalar, c: Scalar, d: Scalar) -> list[Scalar]:
    """Two results of the products of inputs and taps."""
    return [w.add(w.add(a, b), c), w.sub(w.sub(b, c), d)]


def to_taps(w: KernelWriter, a: Scalar, b: Scalar, c: Scalar, d: Scalar) -> list[Scalar]:
    """Gradients of the three taps, of the products of inputs and gradients."""
    both = w.add(b, c)
    return [w.add(a, both), w.sub(b, c), w.sub(both, d)]


def in_two_dims(w: KernelWriter, rule: Callable[..., list[Scalar]], x: Square) -> Square:
    """A rule applied to columns, and then to rows."""
    columns = [rule(w, *column) for column in zip(*x)]
    return [rule(w, *row) for row in zip(*columns)]


class Inputs:
    """The squares of A's value, [image, channel, height, width] among zeros, that tiles read; `last`: where the last tile begins."""

    def __init__(self, w: KernelWriter, f: Form, last: tuple[int, int]):
        self.w, self.value, self.last = w, f.left, last
        self.low = tuple(int(d) for d in f.zeros.low) if f.zeros else (0, 0)  # type: ignore[arg-type]
        self.sizes = tuple(int(d) for d in f.left.type.shape[2:])  # type: ignore[arg-type]
        self.over = [end + SIDE - low > size for end, low, size in zip(last, self.low, self.sizes)]

    def inside(self, corner: Point) -> Scalar | None:
        """Whether all that a tile reads lies in the value; None: it always does."""
        w = self.w
        conditions = []
        for i, low, size, over in zip(corner, self.low, self.sizes, self.over):
            if low > 0:
                conditions.append(w.ge(w.index_value(i), low))
            if over:
                conditions.append(w.le(w.index_value(i), size + low - SIDE))
        return reduce(w.and_, conditions) if conditions else None

    def square(self, elements: Elements, n: Index, c: Index, corner: Point, masked: bool) -> Square:
        """What the tile at a corner reads; `masked`: zeros where that is not in the value."""
        return [[self._element(elements, n, c, corner, (a, b), masked) for b in range(SIDE)] for a in range(SIDE)]

    def _element(self, elements: Elements, n: Index, c: Index, corner: Point, at: tuple[int, int], masked: bool) -> Scalar:
        w = self.w
        places = [ix.add(i, ix.const(j - low)) for i, j, low in zip(corner, at, self.low)]
        if not masked:
            return elements.at(self.value, (n, c, *places))
        dims = ((p, 1, size, low > j, over) for p, size, low, j, over in zip(places, self.sizes, self.low, at, self.over))
        point, mask = within(w, dims)
        x = elements.at(self.value, (n, c, *point), mask)
        return x if mask is None else w.select(mask, x, w.const(0, f32))
