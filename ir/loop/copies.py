"""Copies that are on their way while the interpreter runs a kernel: they land when a thread waits for them, and no sooner."""

from __future__ import annotations

from ingot.ir.loop.frame import Frame
from ingot.ir.loop.ir import Commit, CopyAsync, Wait

__all__ = ["commit", "copy_async", "wait"]


def copy_async(f: Frame, s: CopyAsync) -> None:
    """Send for elements."""
    dst, src = f.bufs[s.dst], f.bufs[s.src]
    to, at, mask = int(f.index(s.to)), int(f.index(s.at)), s.mask is None or bool(f.operand(s.mask))
    n, count = s.nbytes // src.itemsize, s.nbytes // dst.itemsize
    if to % count or at % n or not 0 <= to <= dst.size - count or mask and not 0 <= at <= src.size - n:
        raise IndexError(f"{s} is outside or not aligned: from {at} to {to}")
    there = range(to, to + count)
    if f.races is not None:
        if mask:
            f.races.touch(s.src, range(at, at + n), False)
        f.races.begin_copy(s.dst, there)

    def land() -> None:
        dst[to : to + count] = src[at : at + n].view(dst.dtype) if mask else 0
        if f.races is not None:
            f.races.end_copy(s.dst, there)

    f.copies[-1].append(land)


def commit(f: Frame, s: Commit) -> None:
    """A group ends."""
    f.copies.append([])


def wait(f: Frame, s: Wait) -> None:
    """All groups land but the last."""
    while len(f.copies) > s.groups + 1:
        for land in f.copies.pop(0):
            land()
