"""Tiles of a matrix that a block holds in registers: products into them, and products of them (attention.py).

Each thread has some rows and columns of a tile. Of halves they are fragments of matrix instructions (ir/loop/fragments.py), whose sums
are the factors of the next product where they lie; of singles they are runs of neighbours, and factors go through shared memory. What
products read beside them lies in shared memory: what a block keeps, and what comes by a tile at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from ingot.backends.cuda.block_kernel import WARP, BlockKernel
from ingot.backends.cuda.fragments import lines_of
from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.fragments import COLUMNS, LEFT, ROWS, SUMS, WORDS
from ingot.ir.loop.points import ZERO
from ingot.ir.lower.writer import Scalar
from ingot.ir.struct import value_type

__all__ = ["MatrixTiles", "Operand", "SingleTiles", "WordTiles"]

PAD = 4  # words between lines of shared memory, whose ends would fall into one bank
RUN = 4  # neighbours that a thread reads
CROWDED = 72  # registers for elements and sums, beyond which fewer loads are on their way at a time

Rows = list[list[Scalar]]  # a thread's elements, row by row


@value_type
class Operand:
    """An operand of a product in shared memory: its element at (row or column, step of the sum), and whether memory lies along steps."""

    at: Callable[[Index, Index], Scalar]
    along: bool


class MatrixTiles(ABC):
    """Tiles of `tile` rows and columns. `depths`: steps of the sums that make elements, `widths`: columns of what elements make."""

    unit = 16  # what depths and widths are rounded up to
    thread: Index

    def __init__(self, dtype: DType, tile: tuple[int, int], threads: int, depths: Sequence[int], widths: Sequence[int]):
        self.dtype, self.tile, self.threads = dtype, tile, threads
        self.depths, self.widths = ([-(-n // self.unit) * self.unit for n in some] for some in (depths, widths))
        self.rows: list[Index] = []

    @property
    @abstractmethod
    def fits(self) -> bool:
        """Whether threads share a tile out evenly."""

    @property
    @abstractmethod
    def registers(self) -> int:
        """Elements and sums of a thread."""

    @property
    @abstractmethod
    def words(self) -> tuple[list[int], int, int]:
        """Shared memory, in words: what is kept for each sum, what comes by, and factors on their way."""

    @abstractmethod
    def begin(self, thread: Index) -> None:
        """Which rows the thread has."""

    @property
    @abstractmethod
    def lanes(self) -> tuple[int, ...]:
        """The bits of their numbers in which the threads that share a row differ."""

    @property
    @abstractmethod
    def first(self) -> Index:
        """0 in one of the threads that share a row."""

    @abstractmethod
    def columns(self, n: int, scores: bool = False) -> list[Index]:
        """Which of n columns the thread has, of elements or of what they make."""

    @abstractmethod
    def sums(self, n: int) -> list[list[str]]:
        """Accumulators for the thread's rows and its columns of n."""

    @abstractmethod
    def put(self, name: str, lines: int, steps: int, operand: Operand) -> None:
        """Bring an operand into shared memory."""

    @abstractmethod
    def score(self, which: int, sums: list[list[str]]) -> None:
        """Add the products of what is kept with what has come by."""

    @abstractmethod
    def factors(self, values: Rows) -> list[Scalar]:
        """Make elements the factors of the next product."""

    @abstractmethod
    def product(self, left: list[Scalar], sums: list[list[str]], width: int) -> None:
        """Add the products of factors with what has come by."""

    # -- shared memory -----------------------------------------------------------------------------------------------

    @property
    def nbytes(self) -> int:
        """Bytes of shared memory."""
        kept, passing, between = self.words
        return 4 * (sum(kept) + passing + between)

    def allocate(self, k: BlockKernel, dtype: DType) -> None:
        """Declare the shared memory."""
        self.k, self.w = k, k.w
        kept, passing, between = self.words
        self.kept = [k.shared(dtype, n) for n in kept]
        self.passing = k.shared(dtype, passing)
        self.between = k.shared(dtype, between) if between else ""

    def each(self, total: int, body: Callable[[Index], None]) -> None:
        """`body` for each of some items, one to a thread at a time."""
        rounds, rest = divmod(total, self.threads)
        together = next(n for n in (4, 3, 2, 1) if rounds % n == 0 and (n <= 2 or self.registers <= CROWDED))
        with self.w.loop("serial", rounds // together) if rounds > together else nullcontext(ZERO) as turn:
            for e in range(together if rounds else 0):
                body(ix.add(self.thread, ix.add(ix.mul(turn, together * self.threads), ix.const(e * self.threads))))
        if rest:
            item = ix.add(self.thread, ix.const(rounds * self.threads))
            with self.k.below(item, total, False):
                body(item)


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
        (bm, bn), lines = self.tile, [d // self.per + PAD for d in self.depths]
        passing = max([*(bn * n for n in lines), *(width * (bn // self.per + PAD) for width in self.widths)])
        return [bm * n for n in lines], passing, 0

    def begin(self, thread: Index) -> None:
        r = self.w.ranges
        self.thread = thread
        warp, lane = ix.div(thread, WARP, r), ix.mod(thread, WARP, r)
        self.g, self.t = ix.div(lane, 4, r), ix.mod(lane, 4, r)
        (row, word), self.product_line = lines_of(self.w, lane)
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

    def multiply(
        self, sums: list[list[str]], left: list[Scalar], lines: tuple[Index, Index], line: int, columns: int, first: int
    ) -> None:
        """Add the products of eight words along a sum, 16 columns at a time."""
        row, word = lines
        at, flat = ix.add(ix.mul(row, line), word), self.flat(sums)
        for k in range(columns // 16):
            right = self.w.load_matrix(self.passing, ix.add(at, ix.const(16 * k * line + first)))
            self.w.mma(self.dtype, flat[2 * SUMS * k :][: 2 * SUMS], left, right)

    def flat(self, sums: list[list[str]]) -> list[str]:
        """Accumulators in the order of the matrix instruction."""
        return [sums[r // 2][2 * j + r % 2] for j in range(len(sums[0]) // 2) for r in range(SUMS)]

    def score(self, which: int, sums: list[list[str]]) -> None:
        words = self.depths[which] // self.per
        row, word = self.left_line
        at = ix.add(ix.mul(row, words + PAD), word)
        for first in range(0, words, WORDS):
            left = self.w.load_matrix(self.kept[which], ix.add(at, ix.const(first)))
            self.multiply(sums, left, self.score_line, words + PAD, self.tile[1], first)

    def factors(self, values: Rows) -> list[Scalar]:
        per = self.per
        places = [(r % 2, per * (2 * step + r // 2)) for step in range(self.tile[1] // (per * WORDS)) for r in range(LEFT)]
        return [self.packed(values[row][j : j + per]) for row, j in places]

    def product(self, left: list[Scalar], sums: list[list[str]], width: int) -> None:
        words = self.tile[1] // self.per
        for first in range(0, words, WORDS):
            self.multiply(sums, left[first // WORDS * LEFT :][:LEFT], self.product_line, words + PAD, width, first)


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

    def score(self, which: int, sums: list[list[str]]) -> None:
        bm, bn = self.tile
        self.multiply(self.kept[which], bm + PAD, self.passing, bn + PAD, self.columns(bn), self.depths[which], sums)

    def factors(self, values: Rows) -> list[Scalar]:
        bm, bn = self.tile
        for i, row in zip(self.rows, values):
            for j, x in zip(self.columns(bn), row):
                self.w.store(self.between, ix.add(ix.mul(j, bm + PAD), i), x)
        return []

    def product(self, left: list[Scalar], sums: list[list[str]], width: int) -> None:
        bm, bn = self.tile
        self.multiply(self.between, bm + PAD, self.passing, width + PAD, self.columns(width), bn, sums)
