"""Tiles of a matrix by multiplications of every thread, of float32; see matrix_tiles.py."""

from __future__ import annotations

from ingot.backends.cuda.block_kernel import WARP
from ingot.backends.cuda.matrix_tiles import PAD, RUN, MatrixTiles, Operand, Rows
from ingot.ir import dtypes
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.lower.writer import Scalar

__all__ = ["SingleTiles"]


class SingleTiles(MatrixTiles):
    """Tiles of float32: 16 neighbouring threads share rows; a line of shared memory has a step of a sum."""

    across = 16

    @property
    def fits(self) -> bool:
        (bm, bn), down = self.tile, self.threads // self.across
        return bm % down == 0 and bn % self.across == 0 and bm % RUN == 0 and self.threads % WARP == 0

    @property
    def registers(self) -> int:
        rows = self.tile[0] * self.across // self.threads
        return rows * (len(self.depths) * self.tile[1] + sum(self.widths)) // self.across

    @property
    def words(self) -> tuple[list[int], int, int]:
        bm, bn = self.tile
        passing = max([*(d * (bn + PAD) for d in self.depths), *(bn * (width + PAD) for width in self.widths)])
        return [d * (bm + PAD) for d in self.depths], passing, bn * (bm + PAD) if self.widths else 0

    def begin(self, thread: Index) -> None:
        self.thread = thread
        self.x = ix.mod(thread, self.across, self.w.ranges)
        self.rows = self.own(ix.div(thread, self.across, self.w.ranges), self.tile[0], self.threads // self.across)

    def own(self, t: Index, side: int, threads: int) -> list[Index]:
        """The rows or columns of the t-th thread: fours of neighbours, so that a warp reads whole lines of shared memory."""
        each = side // threads
        run = next(n for n in (RUN, 2, 1) if each % n == 0)
        return [ix.add(ix.mul(t, run), ix.const(r // run * run * threads + r % run)) for r in range(each)]

    @property
    def lanes(self) -> tuple[int, ...]:
        return 1, 2, 4, 8

    @property
    def first(self) -> Index:
        return self.x

    def columns(self, n: int, scores: bool = False) -> list[Index]:
        return self.own(self.x, n, self.across)

    def sums(self, n: int) -> list[list[str]]:
        return [[self.w.acc(dtypes.f32, 0) for _ in range(n // self.across)] for _ in self.rows]

    def put(self, name: str, lines: int, steps: int, operand: Operand) -> None:
        w, line = self.w, lines + PAD
        inner = (steps if operand.along else lines) // RUN

        def some(item: Index) -> None:
            outer, first = ix.div(item, inner, w.ranges), ix.mul(ix.mod(item, inner, w.ranges), RUN)
            places = [ix.add(first, ix.const(e)) for e in range(RUN)]
            at = [(outer, p) if operand.along else (p, outer) for p in places]
            for (i, k), x in zip(at, [operand.at(i, k) for i, k in at]):
                w.store(name, ix.add(ix.mul(k, line), i), x)

        self.each(lines * steps // RUN, some)

    def multiply(
        self, left: str, left_line: int, right: str, right_line: int, columns: list[Index], steps: int, sums: list[list[str]]
    ) -> None:
        """Add products of lines of two operands."""
        w = self.w
        unrolled = 8
        with w.loop("serial", steps // unrolled) as outer, w.loop("unroll", unrolled) as u:
            k = ix.add(ix.mul(outer, unrolled), u)
            a = [w.load(left, ix.add(ix.mul(k, left_line), i), dtypes.f32, pinned=True) for i in self.rows]
            b = [w.load(right, ix.add(ix.mul(k, right_line), j), dtypes.f32, pinned=True) for j in columns]
            for accs, x in zip(sums, a):
                for acc, y in zip(accs, b):
                    w.reduce((acc,), "fma", (x, y))

    def score(self, which: int, sums: list[list[str]], slot: Index) -> None:
        bm, bn = self.tile
        self.multiply(self.kept[which], bm + PAD, self.passing, bn + PAD, self.columns(bn), self.depths[which], sums)

    def factors(self, values: Rows) -> list[Scalar]:
        bm, bn = self.tile
        for i, row in zip(self.rows, values):
            for j, x in zip(self.columns(bn), row):
                self.w.store(self.between, ix.add(ix.mul(j, bm + PAD), i), x)
        return []

    def product(self, which: int, left: list[Scalar], sums: list[list[str]], slot: Index) -> None:
        (bm, bn), width = self.tile, self.widths[which]
        self.multiply(self.between, bm + PAD, self.passing, width + PAD, self.columns(width), bn, sums)
