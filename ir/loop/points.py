"""Points: an index for each dim of a tensor, and the row-major offsets they stand at."""

from __future__ import annotations

from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index

__all__ = ["Point", "ZERO", "linear", "delinear", "reshaped"]

Point = tuple[Index, ...]
ZERO = ix.const(0)


def linear(idx: Point, shape: tuple[int, ...]) -> Index:
    """The row-major offset of a point."""
    out = ZERO
    for i, d in zip(idx, shape):
        if d != 1:
            out = ix.add(ix.mul(out, d), i)
    return out


def delinear(offset: Index, shape: tuple[int, ...], ranges: dict[str, int]) -> Point:
    """The point at a row-major offset."""
    out: list[Index] = []
    stride = 1
    total = 1
    for d in shape:
        total *= max(1, d)
    for k in range(len(shape) - 1, -1, -1):
        d = shape[k]
        if d <= 1:  # no loop runs over an empty dim
            out.append(ZERO)
            continue
        here = ix.div(offset, stride, ranges)
        if stride * d != total:  # the outermost needs no mod
            here = ix.mod(here, d, ranges)
        out.append(here)
        stride *= d
    return tuple(reversed(out))


def reshaped(idx: Point, src: tuple[int, ...], dst: tuple[int, ...], ranges: dict[str, int]) -> Point:
    """The point of `src` that a reshape puts at `idx` of `dst`: dims are matched in runs of equal size, so that
    only what is really merged or split costs a division."""
    if 0 in src:
        return (ZERO,) * len(src)
    out: list[Index] = []
    i = j = 0
    while i < len(src) or j < len(dst):
        si, sj = i, j
        ni = src[i] if i < len(src) else 1
        nj = dst[j] if j < len(dst) else 1
        i, j = min(i + 1, len(src)), min(j + 1, len(dst))
        while ni != nj:
            if ni < nj:
                ni *= src[i]
                i += 1
            else:
                nj *= dst[j]
                j += 1
        run = src[si:i]
        if len(run) == 1 and j - sj == 1:
            out.append(idx[sj])
        else:
            out.extend(delinear(linear(idx[sj:j], dst[sj:j]), run, ranges))
    return tuple(out)
