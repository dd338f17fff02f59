"""Products of halves, or of float32 rounded to TF32, by matrix instructions: a warp multiplies fragments that lie in the registers of its
threads; sums are float32.

As in products.py a block has a tile of the result and passes over k, with the next tiles on their way meanwhile. In shared memory one or
two steps of k lie in a word, line by line of rows and of columns, as the instruction wants them (ir/loop/fragments.py). What is copied
there as it is, and lies along rows or columns, has a line for each step of k, and is turned when it is loaded. Lines are four words
longer than they need be, so that the 32 threads of a warp read from 32 banks.
"""

from __future__ import annotations

from ingot.backends.cuda.block_kernel import WARP
from ingot.backends.cuda.lying import CHUNK
from ingot.backends.cuda.product_tiles import Check, Side, Tiles
from ingot.backends.cuda.products import Fragments, Warpgroups
from ingot.ir import dtypes
from ingot.ir.graph import Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.fragments import COLUMNS, ROWS, SUMS, WORDS
from ingot.ir.loop.points import Point
from ingot.ir.lower.group import Group
from ingot.ir.lower.writer import KernelWriter, Scalar
from ingot.ir.size import exactly

__all__ = ["FragmentTiles", "lines_of", "turned_lines_of"]

PAD = 4  # words between lines of shared memory


def turned_lines_of(w: KernelWriter, lane: Index) -> tuple[tuple[Index, Index], tuple[Index, Index]]:
    """The same where a line has 16 rows of a step of k, or 16 columns."""
    line, quarter = ix.mod(lane, 8, w.ranges), ix.div(lane, 8, w.ranges)
    low, high = ix.mod(quarter, 2, w.ranges), ix.div(quarter, 2, w.ranges)
    return (ix.add(line, ix.mul(high, 8)), ix.mul(low, 4)), (ix.add(line, ix.mul(low, 8)), ix.mul(high, 4))


def lines_of(w: KernelWriter, lane: Index) -> tuple[tuple[Index, Index], tuple[Index, Index]]:
    """The line that a thread names for `load_matrix` of 16 rows of a left operand, and of 16 columns of a right one, and its first word."""
    line, quarter = ix.mod(lane, 8, w.ranges), ix.div(lane, 8, w.ranges)
    low, high = ix.mod(quarter, 2, w.ranges), ix.div(quarter, 2, w.ranges)
    return (ix.add(line, ix.mul(low, 8)), ix.mul(high, 4)), (ix.add(line, ix.mul(high, 8)), ix.mul(low, 4))


class FragmentTiles(Tiles):
    """Tiles of the result: finished, or the sums of a part of k."""

    s: Fragments | Warpgroups
    bands = (16, 8, 4)

    def __init__(self, group: Group, s: Fragments | Warpgroups, check: Check, sums: Value | None):
        super().__init__(group, s, check, sums)
        self.dtype = self.form.left.type.dtype
        self.each = 4 // self.dtype.itemsize  # elements in a word
        self.words = s.tile[2] // self.each
        self.line = self.words + PAD

    def turned(self, side: Side) -> bool:
        """Whether an operand lies in shared memory with a line for each step of k."""
        return side.copied and not side.along_k

    def size(self, side: Side) -> int:
        """Words of a tile."""
        return self.s.tile[2] * self.across(side) if self.turned(side) else side.length * self.line

    def across(self, side: Side) -> int:
        """Words of a line that has a step of k."""
        return side.length // self.each + PAD

    def shared_tiles(self) -> list[str]:
        """Shared memory for the tiles of each operand."""
        return [self.k.shared(dtypes.u32, self.s.stages * self.size(side)) for side in self.sides]

    def copy(self, q: Point, side: Side, name: str, slot: Index, tile: Index, step: Index) -> None:
        """Send for the thread's chunks of a tile: each a part of a line, with zeros behind the end."""
        s, w, bk = self.s, self.w, self.s.tile[2]
        n, turned = CHUNK // self.dtype.itemsize, self.turned(side)
        lines, length = (bk, side.length) if turned else (side.length, bk)
        per = length // n
        assert side.place is not None
        for e in range(-(-lines * per // s.threads)):
            item = ix.add(self.thread, ix.const(e * s.threads))
            with self.k.below(item, lines * per, lines * per >= (e + 1) * s.threads):
                row, chunk = ix.div(item, per, w.ranges), ix.mod(item, per, w.ranges)
                here = ix.mul(chunk, n)
                i, k = (here, row) if turned else (row, here)
                i, k = ix.add(ix.mul(tile, side.length), i), ix.add(ix.mul(step, bk), k)
                mask = None if exactly(self.n.k, bk) is not None else w.lt(w.index_value(k), self.n.k)
                if exactly(side.extent, side.length) is None:
                    if turned:
                        inside = w.lt(w.index_value(i), side.extent)
                        mask = inside if mask is None else w.and_(mask, inside)
                    else:
                        i = self.clamped(i, side.extent)
                buf, at = side.place(q, i, k)
                w.copy_async(name, ix.add(ix.mul(slot, self.size(side)), self.chunk(side, row, chunk)), buf, at, CHUNK, mask)

    def places(self, side: Side) -> list[tuple[Index, Index]]:
        """The thread's places in a tile: a row or column, and a word. Where memory lies along k a few of
        them are neighbours; else two rows are, and a warp has 16 rows of four pairs, which go to different banks."""
        s, w, t, words = self.s, self.w, self.thread, self.words
        count = side.length * words // s.threads
        out = []
        if side.along_k:
            run = min(4, count)
            for e in range(count):
                at = ix.add(t, ix.const(e // run * s.threads))
                inside = ix.add(ix.mul(ix.mod(at, words // run, w.ranges), run), ix.const(e % run))
                out.append((ix.div(at, words // run, w.ranges), inside))
            return out
        for e in range(count):
            at = ix.add(t, ix.const(e // 2 * s.threads))
            rest, groups = ix.div(at, 32, w.ranges), side.length // 16
            row = ix.add(ix.mul(ix.mod(rest, groups, w.ranges), 16), ix.add(ix.mul(ix.mod(at, 8, w.ranges), 2), ix.const(e % 2)))
            word = ix.add(ix.mul(ix.div(rest, groups, w.ranges), 4), ix.mod(ix.div(at, 8, w.ranges), 4, w.ranges))
            out.append((row, word))
        return out

    def read(self, q: Point, side: Side, tile: Index, step: Index) -> list[Scalar]:
        """The thread's elements of a tile at a step of k."""
        bk = self.s.tile[2]
        out = []
        for i, word in self.places(side):
            for part in range(self.each):
                k = ix.add(ix.mul(step, bk), ix.add(ix.mul(word, self.each), ix.const(part)))
                out.append(self.element(q, side, ix.add(ix.mul(tile, side.length), i), k, self.dtype))
        return out

    def put(self, side: Side, name: str, slot: Index, values: list[Scalar]) -> None:
        """Store them in a slot of shared memory, of halves two in a word."""
        w, base = self.w, ix.mul(slot, self.size(side))
        for n, (i, word) in enumerate(self.places(side)):
            mine = values[self.each * n :][: self.each]
            if self.each == 1:
                bits = w.bitcast(mine[0], dtypes.u32)
            else:
                low, high = (w.cast(w.bitcast(x, dtypes.u16), dtypes.u32) for x in mine)
                bits = w.or_(low, w.shl(high, 16))
            w.store(name, ix.add(base, self.place(i, word)), bits)

    def place(self, i: Index, word: Index) -> Index:
        """Where a word of a row or column lies in its tile."""
        return ix.add(ix.mul(i, self.line), word)

    def chunk(self, side: Side, row: Index, chunk: Index) -> Index:
        """Where a chunk that is copied lies in its tile: of a row or column, or, of what is turned, of a step of k."""
        return ix.add(ix.mul(row, self.across(side) if self.turned(side) else self.line), ix.mul(chunk, CHUNK // 4))

    def begin(self) -> None:
        """The sums of the thread's parts, and where these are."""
        s, w, t = self.s, self.w, self.thread
        assert isinstance(s, Fragments)
        (bm, bn, _), (wm, wn) = s.tile, s.warps
        warp, lane = ix.div(t, WARP, w.ranges), ix.mod(t, WARP, w.ranges)
        self.corner = ix.mul(ix.div(warp, wn, w.ranges), bm // wm), ix.mul(ix.mod(warp, wn, w.ranges), bn // wn)
        self.lane = lane
        self.g, self.t4 = ix.div(lane, 4, w.ranges), ix.mod(lane, 4, w.ranges)
        self.count = bm // wm // ROWS, bn // wn // COLUMNS
        self.accs = [w.acc(dtypes.f32, 0) for _ in range(SUMS * self.count[0] * self.count[1])]

    def multiply(self, names: list[str], slot: Index) -> None:
        """The products of a tile."""
        w = self.w

        def registers(which: int, first: int) -> list[Scalar]:
            side, corner, count = self.sides[which], self.corner[which], (self.count[0], self.count[1] // 2)[which]
            begin, turned = ix.mul(slot, self.size(side)), self.turned(side)
            row, word = (turned_lines_of if turned else lines_of)(w, self.lane)[which]
            if turned:
                line = self.across(side)
                at = ix.add(ix.add(begin, ix.mul(row, line)), ix.add(ix.div(corner, self.each, w.ranges), word))
                at, apart = ix.add(at, ix.const(first * self.each * line)), 16 // self.each
            else:
                at = ix.add(ix.add(begin, ix.mul(ix.add(corner, row), self.line)), ix.add(word, ix.const(first)))
                apart = 16 * self.line
            return [x for k in range(count) for x in w.load_matrix(names[which], ix.add(at, ix.const(apart * k)), turned)]

        for first in range(0, self.words, WORDS):
            w.mma(self.dtype, self.accs, registers(0, first), registers(1, first))

    def results(self) -> list[tuple[Scalar, Index, Index]]:
        """The thread's sums, with the row and column of each in the tile."""
        out = []
        for k, acc in enumerate(self.accs):
            product, r = divmod(k, SUMS)
            i, j = divmod(product, self.count[1])
            row = ix.add(ix.add(self.corner[0], self.g), ix.const(ROWS * i + 8 * (r // 2)))
            column = ix.add(ix.add(self.corner[1], ix.mul(self.t4, 2)), ix.const(COLUMNS * j + r % 2))
            out.append((self.w.get_acc(acc, dtypes.f32), row, column))
        return out
