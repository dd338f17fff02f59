"""Points: an index for each dim of a tensor, and the row-major offsets they stand at."""

from __future__ import annotations

from math import prod

from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.index import Ranges
from ingot.ir.size import Size
from ingot.ir.types import Shape

__all__ = ["Point", "ZERO", "linear", "delinear", "reshaped"]

Point = tuple[Index, ...]
ZERO = ix.const(0)


def linear(idx: Point, shape: Shape) -> Index:
    """The row-major offset of a point."""
    out = ZERO
    for i, d in zip(idx, shape):
        if d != 1:
            out = ix.add(ix.mul(out, d), i)
    return out


def delinear(offset: Index, shape: Shape, ranges: Ranges) -> Point:
    """The point at a row-major offset."""
    out: list[Index] = []
    stride = 1
    outermost = next((k for k, d in enumerate(shape) if not (isinstance(d, int) and d <= 1)), -1)
    for k in range(len(shape) - 1, -1, -1):
        d = shape[k]
        if isinstance(d, int) and d <= 1:  # no loop runs over an empty dim
            out.append(ZERO)
            continue
        here = ix.div(offset, stride, ranges)
        if k != outermost:
            here = ix.mod(here, d, ranges)
        out.append(here)
        stride = stride * d
    return tuple(reversed(out))


def reshaped(idx: Point, src: Shape, dst: Shape, ranges: Ranges) -> Point:
    """The point of `src` that a reshape puts at `idx` of `dst`: dims are matched in runs of equal size, so that
    only what is really merged or split costs a division."""
    if 0 in src:
        return (ZERO,) * len(src)
    out: list[Index] = []
    i = j = 0
    while i < len(src) or j < len(dst):
        si, sj = i, j
        i, j = _run(src, dst, si, sj)
        run = src[si:i]
        if len(run) == 1 and j - sj == 1:
            out.append(idx[sj])
        else:
            out.extend(delinear(linear(idx[sj:j], dst[sj:j]), run, ranges))
    return tuple(out)


def _run(src: Shape, dst: Shape, si: int, sj: int) -> tuple[int, int]:
    """Where the first run of dims from `si` and `sj` on ends that hold equally many elements; at the end of both where symbols hide one."""
    i, j = min(si + 1, len(src)), min(sj + 1, len(dst))
    sizes = any(isinstance(d, Size) for d in (*src[si:], *dst[sj:]))
    while True:
        ni, nj = prod(src[si:i]), prod(dst[sj:j])
        if ni == nj:
            return i, j
        if sizes:
            ahead = [(a, b) for a in range(i, len(src) + 1) for b in range(j, len(dst) + 1)]
            return min((p for p in ahead if prod(src[si : p[0]]) == prod(dst[sj : p[1]])), key=sum, default=(len(src), len(dst)))
        if ni < nj:
            i += 1
        else:
            j += 1
