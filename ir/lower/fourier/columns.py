"""Transforms of columns that lie side by side in memory, one to a lane, in passes from one copy to another and back.

Each pass is one of small transforms at a stride that grows, and leaves its results where the next one reads them in order: the last
one's are in their natural order. Source: Stockham, High-speed convolution and correlation (1966).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from math import prod
from typing import NamedTuple

import numpy as np

from ingot.ir.dtypes import DType
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.lower.fourier.butterflies import Number, small_transform, times
from ingot.ir.lower.fourier.plan import padded, radices, roots
from ingot.ir.lower.writer import KernelWriter

__all__ = ["Columns", "End", "pairs"]

SQUARE = 8  # rows and columns of squares that are turned in registers


class End(NamedTuple):
    """Where numbers come from, or go: the loop over lanes that are there, and what gives or takes number j of a lane's column."""

    lanes: Callable[[], AbstractContextManager[Index]]
    get: Callable[[Index, Index], Number] | None = None
    put: Callable[[Index, Index, Number], None] | None = None


def pairs(dtype: DType, re: np.ndarray, im: np.ndarray) -> bytes:
    """Complex numbers in memory, the parts of each behind one another."""
    return np.stack([re, im], -1).astype(dtype.numpy).tobytes()


class Columns:
    """Transforms of n numbers in each of `lanes` columns. A copy has a row of real and one of imaginary parts for each number, of which
    there is room for `most`."""

    def __init__(self, w: KernelWriter, dtype: DType, n: int, lanes: int, sign: int, most: int = 0):
        self.w, self.dtype, self.n, self.lanes, self.sign = w, dtype, n, lanes, sign
        found = radices(n)
        assert found is not None
        self.radices = found
        size = 2 * lanes * padded(max(n + 1, most), SQUARE)
        self.copies = [w.scratch(dtype, size, "worker") for _ in range(2)]
        self.last = self.copies[len(found) % 2]  # the copy that results are in, where nobody puts them elsewhere

    def whole(self) -> AbstractContextManager[Index]:
        """The loop over all lanes."""
        return self.w.loop("vector", self.lanes, self.lanes, True)

    def row(self, j: Index, part: int) -> Index:
        """Where a row of a copy begins."""
        return ix.mul(ix.add(ix.mul(j, 2), ix.const(part)), self.lanes)

    def get(self, copy: str, j: Index, lane: Index) -> Number:
        """A number of a copy."""
        re, im = (self.w.load(copy, ix.add(self.row(j, part), lane), self.dtype, pinned=True) for part in (0, 1))
        return re, im

    def put(self, copy: str, j: Index, lane: Index, value: Number) -> None:
        """Give a copy a number."""
        for part in (0, 1):
            self.w.store(copy, ix.add(self.row(j, part), lane), value[part])

    def run(self, begin: End | None = None, end: End | None = None) -> None:
        """All passes. begin: where the first one gets its numbers, else the first copy; end: where the last one puts its."""
        rest, stride = self.n, 1
        for number, r in enumerate(self.radices):
            here, there = self.copies[number % 2], self.copies[(number + 1) % 2]
            rest //= r
            first, last = begin if number == 0 else None, end if rest == 1 else None
            self._pass(r, rest, stride, here, there, first, last)
            stride *= r
        assert prod(self.radices) == self.n

    def _pass(self, r: int, m: int, stride: int, here: str, there: str, begin: End | None, end: End | None) -> None:
        """Transforms of r numbers, m of them beside one another at each of `stride` places."""
        w = self.w
        table = ""
        if m > 1:
            p, k = np.mgrid[0:m, 1:r]
            table = w.table(self.dtype, pairs(self.dtype, *roots(p * k, r * m, self.sign)))

        def body(p: Index, q: Index, lane: Index, turns: list[Number]) -> None:
            x = []
            for k in range(r):
                at = ix.add(q, ix.mul(ix.add(p, ix.const(m * k)), stride))
                x.append(begin.get(at, lane) if begin and begin.get else self.get(here, at, lane))
            for k, y in enumerate(small_transform(w, x, self.sign)):
                at = ix.add(q, ix.mul(ix.add(ix.mul(p, r), ix.const(k)), stride))
                y = times(w, y, turns[k - 1]) if turns and k else y
                if end and end.put:
                    end.put(at, lane, y)
                else:
                    self.put(there, at, lane, y)

        with w.loop("serial", m) as p:
            turns = []
            for k in range(1, r) if table else ():
                at = ix.mul(ix.add(ix.mul(p, r - 1), ix.const(k - 1)), 2)
                turns.append((w.load(table, at, self.dtype), w.load(table, ix.add(at, ix.const(1)), self.dtype)))
            with w.loop("serial", stride) as q, (begin or end or End(self.whole)).lanes() as lane:
                body(p, q, lane, turns)
