"""Products of halves, or of float32 rounded to TF32, by warpgroups: four warps multiply matrices that lie in shared memory (`wgmma`).

Tiles come as in fragments.py, into lines of 128 bytes whose chunks are changed about as the instruction wants them (ir/loop/fragments.py).
They are brought by copies of 16 bytes (`cp.async`) and not by the tensor memory accelerator: so convolutions, edges, batches, and what is
calculated on its way need nothing else, and the host makes no tensor maps. The products of a tile go on while the next ones are asked for.
"""

from __future__ import annotations

from ingot.backends.cuda.fragments import FragmentTiles
from ingot.backends.cuda.lying import CHUNK
from ingot.backends.cuda.product_tiles import Side
from ingot.backends.cuda.products import Warpgroups
from ingot.ir import dtypes
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.fragments import COLUMNS, GROUP, GROUP_ROWS, LANES, LINE, SUMS, apart
from ingot.ir.lower.writer import Scalar

__all__ = ["WarpgroupTiles"]

STEP = 32  # bytes along k of an instruction


class WarpgroupTiles(FragmentTiles):
    """Tiles of the result: finished, or the sums of a part of k."""

    s: Warpgroups
    behind = 1

    @property
    def steps(self) -> int:
        """Instructions along k of a tile."""
        return self.s.tile[2] * self.dtype.itemsize // STEP

    def size(self, side: Side) -> int:
        """Words of a tile."""
        return side.length * LINE

    def changed(self, line: Index, chunk: Index) -> Index:
        """In the place of which chunk a chunk of a line lies."""
        w = self.w
        return w.as_index(w.xor(w.index_value(chunk), w.index_value(ix.mod(line, 8, w.ranges))))

    def place(self, i: Index, word: Index) -> Index:
        """Where a word of a row or column lies in its tile."""
        w, per = self.w, CHUNK // 4
        chunk = ix.mul(self.changed(i, ix.div(word, per, w.ranges)), per)
        return ix.add(ix.mul(i, LINE), ix.add(chunk, ix.mod(word, per, w.ranges)))

    def chunk(self, side: Side, row: Index, chunk: Index) -> Index:
        """Where a chunk that is copied lies in its tile: of a row or column, or, of what is turned, of a step of k."""
        w = self.w
        if not self.turned(side):
            return self.place(row, ix.mul(chunk, CHUNK // 4))
        some = ix.mul(ix.div(chunk, 8, w.ranges), apart(self.steps))
        inside = ix.mul(self.changed(row, ix.mod(chunk, 8, w.ranges)), CHUNK // 4)
        return ix.add(some, ix.add(ix.mul(row, LINE), inside))

    def begin(self) -> None:
        """The thread's sums, and whose they are."""
        w, t = self.w, self.thread
        self.mine, self.lane = ix.div(t, GROUP, w.ranges), ix.mod(t, LANES, w.ranges)
        self.warp = ix.mod(ix.div(t, LANES, w.ranges), GROUP // LANES, w.ranges)
        self.accs = [w.acc(dtypes.f32, 0) for _ in range(self.s.tile[1] // 2)]

    def multiply(self, names: list[str], slot: Index) -> None:
        """Ask for the products of a tile."""
        turned = self.turned(self.sides[0]), self.turned(self.sides[1])
        left, right = (ix.mul(slot, self.size(side)) for side in self.sides)
        left = ix.add(left, ix.mul(self.mine, apart(self.steps) if turned[0] else GROUP_ROWS * LINE))
        self.w.warpgroup(self.dtype, self.accs, (names[0], left), (names[1], right), self.steps, turned)

    def settle(self) -> None:
        """Wait for all products but those of the last tile."""
        self.w.settle(self.behind)

    def results(self) -> list[tuple[Scalar, Index, Index]]:
        """The thread's sums, with the row and column of each in the tile."""
        w = self.w
        w.settle(0, self.accs)
        first = ix.add(ix.mul(self.mine, GROUP_ROWS), ix.add(ix.mul(self.warp, 16), ix.div(self.lane, 4, w.ranges)))
        pair = ix.mul(ix.mod(self.lane, 4, w.ranges), 2)
        out = []
        for k, acc in enumerate(self.accs):
            row, column = ix.add(first, ix.const(8 * (k % SUMS // 2))), ix.add(pair, ix.const(COLUMNS * (k // SUMS) + k % 2))
            out.append((w.get_acc(acc, dtypes.f32), row, column))
        return out
