"""Tiles of a matrix by matrix instructions of a warp, of halves or of float32 rounded to TF32; see matrix_tiles.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ingot.backends.cuda.block_kernel import WARP
from ingot.backends.cuda.fragments import lines_of, turned_lines_of
from ingot.backends.cuda.lying import CHUNK
from ingot.backends.cuda.matrix_tiles import PAD, RUN, MatrixTiles, Operand, Place, Rows
from ingot.ir import dtypes
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.fragments import COLUMNS, LEFT, ROWS, SUMS, WORDS
from ingot.ir.loop.points import ZERO
from ingot.ir.lower.writer import Scalar
from ingot.ir.struct import value_type

__all__ = ["WordTiles"]


@value_type
class Passing:
    """An operand that comes by: its rows or columns, and steps of the sum; whether it lies across; words of a line in shared memory."""

    lines: int
    steps: int
    turned: bool
    line: int

    @property
    def words(self) -> int:
        """Words in all."""
        return (self.steps if self.turned else self.lines) * self.line


class WordTiles(MatrixTiles):
    """Tiles by matrix instructions: a warp has 16 rows of them. In a word lie two steps of a sum of halves, or one of float32 that is
    rounded to TF32; then the columns of elements are exchanged so that a thread has those that it needs as factors."""

    @property
    def per(self) -> int:
        """Steps of a sum in a word."""
        return 4 // self.dtype.itemsize

    @property
    def fits(self) -> bool:
        return self.tile[0] == ROWS * self.threads // WARP and self.threads % WARP == 0 and self.tile[1] % 16 == 0

    @property
    def registers(self) -> int:
        return (len(self.depths) * self.tile[1] + sum(self.widths)) // 2

    @property
    def words(self) -> tuple[list[int], int, int]:
        bm, lines = self.tile[0], [d // self.per + PAD for d in self.depths]
        return [bm * n for n in lines], 2 * sum(self.sizes) if self.turned else max(o.words for o in self.operands), 0

    @property
    def sizes(self) -> list[int]:
        """Words of what is copied, for each operand that comes by: none where it is the same memory as one before."""
        return [o.words if self.of[k] == k else 0 for k, o in enumerate(self.operands)]

    @property
    def operands(self) -> list[Passing]:
        """What comes by, in the order in which it is read."""
        bn, per = self.tile[1], self.per
        spans = [*((bn, d) for d in self.depths), *((width, bn) for width in self.widths)]
        turned = self.turned or (False,) * len(spans)
        return [Passing(lines, steps, t, (lines if t else steps) // per + PAD) for (lines, steps), t in zip(spans, turned)]

    def start(self, which: int, slot: Index) -> Index:
        """Where an operand that comes by begins in shared memory."""
        if not self.turned:
            return ZERO
        return ix.add(ix.mul(slot, sum(self.sizes)), ix.const(sum(self.sizes[: self.of[which]])))

    def copy(self, which: int, slot: Index, place: Callable[[Index, Index], Place]) -> None:
        w, o = self.w, self.operands[which]
        n, begin = CHUNK // self.dtype.itemsize, self.start(which, slot)
        count, per = (o.steps, o.lines // n) if o.turned else (o.lines, o.steps // n)

        def chunk(item: Index) -> None:
            row, here = ix.div(item, per, w.ranges), ix.mod(item, per, w.ranges)
            along = ix.mul(here, n)
            buf, at, mask = place(along, row) if o.turned else place(row, along)
            w.copy_async(self.passing, ix.add(begin, ix.add(ix.mul(row, o.line), ix.mul(here, CHUNK // 4))), buf, at, CHUNK, mask)

        self.each(count * per, chunk)

    def begin(self, thread: Index) -> None:
        r = self.w.ranges
        self.thread = thread
        warp, lane = ix.div(thread, WARP, r), ix.mod(thread, WARP, r)
        self.g, self.t = ix.div(lane, 4, r), ix.mod(lane, 4, r)
        (row, word), self.product_line = lines_of(self.w, lane)
        self.turned_line = turned_lines_of(self.w, lane)[1]
        self.score_line = self.product_line
        if self.per == 1:
            line, eight = ix.mod(lane, 8, r), ix.sub(self.product_line[0], ix.mod(lane, 8, r))
            line = ix.add(ix.div(line, 2, r), ix.mul(ix.mod(line, 2, r), 4))
            self.score_line = ix.add(eight, line), self.product_line[1]
        self.left_line = ix.add(ix.mul(warp, ROWS), row), word
        self.rows = [ix.add(ix.add(ix.mul(warp, ROWS), self.g), ix.const(8 * half)) for half in (0, 1)]

    @property
    def lanes(self) -> tuple[int, ...]:
        return 1, 2

    @property
    def first(self) -> Index:
        return self.t

    def columns(self, n: int, scores: bool = False) -> list[Index]:
        if scores and self.per == 1:
            return [ix.add(self.t, ix.const(COLUMNS * j + 4 * c)) for j in range(n // COLUMNS) for c in (0, 1)]
        return [ix.add(ix.mul(self.t, 2), ix.const(COLUMNS * j + c)) for j in range(n // COLUMNS) for c in (0, 1)]

    def sums(self, n: int) -> list[list[str]]:
        out: list[list[str]] = [[], []]
        for _ in range(n // COLUMNS):
            for row in out:
                row += [self.w.acc(dtypes.f32, 0), self.w.acc(dtypes.f32, 0)]
        return out

    def put(self, name: str, lines: int, steps: int, operand: Operand) -> None:
        w, per = self.w, self.per
        words, line = steps // per, steps // per + PAD

        def store(row: Index, word: Index, xs: list[Scalar]) -> None:
            w.store(name, ix.add(ix.mul(row, line), word), self.packed(xs))

        def along(item: Index) -> None:  # four words of a line
            row, first = ix.div(item, words // RUN, w.ranges), ix.mul(ix.mod(item, words // RUN, w.ranges), RUN)
            xs = [operand.at(row, ix.add(ix.mul(first, per), ix.const(e))) for e in range(per * RUN)]
            for e in range(RUN):
                store(row, ix.add(first, ix.const(e)), xs[per * e :][:per])

        def across(item: Index) -> None:  # words of two lines; a warp has 16 lines of four words, which go to different banks
            rest, groups = ix.div(item, 32, w.ranges), lines // 16
            row = ix.add(ix.mul(ix.mod(rest, groups, w.ranges), 16), ix.mul(ix.mod(item, 8, w.ranges), 2))
            word = ix.add(ix.mul(ix.div(rest, groups, w.ranges), 4), ix.mod(ix.div(item, 8, w.ranges), 4, w.ranges))
            both = (row, ix.add(row, ix.const(1)))
            found = [[operand.at(r, ix.add(ix.mul(word, per), ix.const(e))) for r in both] for e in range(per)]
            for k, r in enumerate(both):
                store(r, word, [xs[k] for xs in found])

        self.each(lines * words // RUN if operand.along else lines * words // 2, along if operand.along else across)

    def packed(self, xs: Sequence[Scalar]) -> Scalar:
        """The elements of a word in it."""
        w = self.w
        if self.per == 1:
            return w.bitcast(xs[0], dtypes.u32)
        low, high = (w.cast(w.bitcast(x, dtypes.u16), dtypes.u32) for x in xs)
        return w.or_(low, w.shl(high, 16))

    def multiply(self, sums: list[list[str]], left: list[Scalar], lines: tuple[Index, Index], which: int, slot: Index, first: int) -> None:
        """Add the products of eight words along a sum, 16 columns at a time."""
        o, flat = self.operands[which], self.flat(sums)
        row, word = self.turned_line if o.turned else lines
        at = ix.add(self.start(which, slot), ix.add(ix.mul(row, o.line), word))
        further, apart = (first * self.per * o.line, 16 // self.per) if o.turned else (first, 16 * o.line)
        for k in range(o.lines // 16):
            right = self.w.load_matrix(self.passing, ix.add(at, ix.const(further + apart * k)), o.turned)
            self.w.mma(self.dtype, flat[2 * SUMS * k :][: 2 * SUMS], left, right)

    def flat(self, sums: list[list[str]]) -> list[str]:
        """Accumulators in the order of the matrix instruction."""
        return [sums[r // 2][2 * j + r % 2] for j in range(len(sums[0]) // 2) for r in range(SUMS)]

    def score(self, which: int, sums: list[list[str]], slot: Index) -> None:
        words = self.depths[which] // self.per
        row, word = self.left_line
        at = ix.add(ix.mul(row, words + PAD), word)
        for first in range(0, words, WORDS):
            left = self.w.load_matrix(self.kept[which], ix.add(at, ix.const(first)))
            self.multiply(sums, left, self.score_line, which, slot, first)

    def factors(self, values: Rows) -> list[Scalar]:
        per = self.per
        places = [(r % 2, per * (2 * step + r // 2)) for step in range(self.tile[1] // (per * WORDS)) for r in range(LEFT)]
        return [self.packed(values[row][j : j + per]) for row, j in places]

    def product(self, which: int, left: list[Scalar], sums: list[list[str]], slot: Index) -> None:
        for first in range(0, self.tile[1] // self.per, WORDS):
            self.multiply(sums, left[first // WORDS * LEFT :][:LEFT], self.product_line, len(self.depths) + which, slot, first)
