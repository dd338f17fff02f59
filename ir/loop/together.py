"""What the interpreter does where threads of a block do something together: small matrices of warps and warpgroups, and shuffles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ingot.ir.loop.fragments import GROUP, GROUP_ROWS, LANES, LEFT, LINE, RIGHT, SUMS, apart, multiplied, multiplied_shared
from ingot.ir.loop.frame import Frame
from ingot.ir.loop.ir import LoadMatrix, Mma, Shuffle, WarpgroupMma, WarpgroupWait

__all__ = ["Together", "load_matrix", "mma", "shuffle", "warpgroup"]

Together = Mma | Shuffle | LoadMatrix | WarpgroupMma | WarpgroupWait  # what threads do together


def mma(threads: list[Frame], s: Mma) -> None:
    """The products of each warp."""
    for first in range(0, len(threads), LANES):
        warp = threads[first : first + LANES]
        left, right = ([np.array([t.operand(x) for t in warp]) for x in side] for side in (s.left, s.right))
        each = len(s.right) // RIGHT
        for k in range(len(s.accs) // SUMS):
            accs, a, b = s.accs[SUMS * k : SUMS * k + SUMS], left[k // each * LEFT :][:LEFT], right[k % each * RIGHT :][:RIGHT]
            new = multiplied(s.dtype, [np.array([t.accs[name][()] for t in warp]) for name in accs], a, b)
            for name, values in zip(accs, new):
                for t, x in zip(warp, values):
                    t.accs[name][()] = np.asarray(x)


def warpgroup(threads: list[Frame], s: WarpgroupMma) -> None:
    """The products of each warpgroup, which reads what it multiplies until it is waited for."""
    reads: list[tuple[int, str, Sequence[int]]] = []
    for first in range(0, len(threads), GROUP):
        group = threads[first : first + GROUP]
        n = 2 * len(s.accs)
        operands = []
        for name, at, rows, turned in ((s.left, s.left_at, GROUP_ROWS, s.turned[0]), (s.right, s.right_at, n, s.turned[1])):
            begin, size = int(group[0].operand(at)), rows // GROUP_ROWS * apart(s.steps) if turned else rows * LINE
            buf = group[0].bufs[name]
            if any(int(t.operand(at)) != begin for t in group) or begin % 256 or not 0 <= begin <= buf.size - size:
                raise IndexError(f"{s} reads {size} words from {begin} on of the {buf.size} words of {name}")
            operands.append(buf[begin : begin + size])
            reads.append((first, name, range(begin, begin + size)))
        lane, k = np.arange(GROUP)[:, None], np.arange(len(s.accs))
        row = 16 * (lane // LANES) + lane % LANES // 4 + 8 * (k % SUMS // 2)
        column = 8 * (k // SUMS) + 2 * (lane % 4) + k % 2
        sums = np.zeros((GROUP_ROWS, n), np.float32)
        sums[row, column] = [[t.accs[name][()] for name in s.accs] for t in group]
        sums = multiplied_shared(s.dtype, sums, operands[0], operands[1], s.steps, s.turned)
        for t, values in zip(group, sums[row, column]):
            for name, x in zip(s.accs, values):
                t.accs[name][()] = np.asarray(x)
    races = threads[0].races
    if races is not None:
        races.begin_products(reads)


def shuffle(threads: list[Frame], s: Shuffle) -> None:
    """What each thread gets of another one of its warp."""
    values = [t.operand(s.src) for t in threads]
    for k, t in enumerate(threads):
        t.names[s.dst] = values[k ^ s.lanes]


def load_matrix(threads: list[Frame], s: LoadMatrix) -> None:
    """The words that each thread gets, of the lines that threads of its warp name."""
    for k, thread in enumerate(threads):
        buf, races = thread.bufs[s.buf], thread.races
        for r, name in enumerate(s.dsts):
            begin = int(threads[k - k % LANES + 8 * r + k % LANES // 4].operand(s.at))
            at = begin + k % 4
            if begin % 4 or not 0 <= at < buf.size:
                raise IndexError(f"{s} begins a line at {begin} of the buffer's {buf.size} words")
            if races is not None:
                races.thread = k
                races.touch(s.buf, [at], False)
            thread.names[name] = np.array(buf[at])
            if s.turned:
                lines = [int(threads[k - k % LANES + 8 * r + 2 * (k % 4) + i].operand(s.at)) for i in (0, 1)]
                halves = [buf[line + k % LANES // 8] >> (k % LANES // 4 % 2 * 16) & 0xFFFF for line in lines]
                thread.names[name] = np.array(halves[0] | halves[1] << 16, np.uint32)
