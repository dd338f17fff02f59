"""Fragments: how the 32 threads of a warp hold small matrices, for products of which each does a part (`Mma` of ir.py).

A product is of 16 rows, 8 columns and 8 words along k. In a u32 register lie two halves, the first in the low bits, or a float32, of
which the low 13 bits do not count (TF32). With g = lane / 4 and t = lane mod 4, thread `lane` of the warp holds

    of the left operand   in register r the word (g + 8 (r mod 2), t + 4 (r / 2))
    of the right one      in register r the word (t + 4 r, g)
    of the sums           in register r the element (g + 8 (r / 2), 2 t + r mod 2)

This is `mma.sync.aligned.m16n8k16.row.col` of PTX, and m16n8k8 for TF32.

A warpgroup (`WarpgroupMma`) multiplies 64 rows by up to 256 columns, in steps of 32 bytes along k, which lie in shared memory. A line of
128 bytes belongs to each row or column, eight chunks of 16 bytes along k, with those of line i changed about: in the place c lies
the chunk c ^ (i mod 8). Where an operand of halves is `turned` a line belongs to a step of k, and has 64 rows or columns in such
chunks; eight steps of k follow each other, then the next eight, and behind all `steps` of them the next 64 rows or columns. This is the
128-byte swizzle of PTX's matrix descriptors, with a stride of 1024 bytes between groups of eight lines. Warp w of the four holds the sums
of rows 16 w to 16 w + 15, for each 8 columns as above.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ingot.ir.dtypes import DType

__all__ = [
    "COLUMNS", "GROUP", "GROUP_ROWS", "LEFT", "LANES", "LINE", "RIGHT", "ROWS", "SUMS", "TF32", "WORDS", "apart", "multiplied",
    "multiplied_shared", "steps",
]  # fmt: skip

TF32 = 0xFFFFE000  # the bits of a float32 that count

LANES, ROWS, COLUMNS, WORDS = 32, 16, 8, 8
LEFT, RIGHT, SUMS = 4, 2, 4  # registers of a thread
GROUP, GROUP_ROWS, LINE = 128, 64, 32  # threads of a warpgroup, its rows, words of a line


def steps(dtype: DType) -> int:
    """Steps of k of one product: two lie in a word of halves, one in a word of float32."""
    return WORDS * (4 // dtype.itemsize)


def apart(count: int) -> int:
    """Words between groups of 64 rows or columns of an operand that is turned, of so many steps of 32 bytes."""
    return count * 16 * LINE


def multiplied_shared(
    dtype: DType, sums: np.ndarray, left: np.ndarray, right: np.ndarray, count: int, turned: tuple[bool, bool]
) -> np.ndarray:
    """The sums of a warpgroup, of 64 rows, after `count` steps along k. Operands are words of shared memory from where they begin."""
    k = count * 32 // dtype.itemsize
    a, b = (_shared(dtype, x, n, k, t) for x, n, t in zip((left, right), sums.shape, turned))
    for step in range(k):
        sums = sums + a[:, step : step + 1] * b[:, step]
    return sums


def _shared(dtype: DType, words: np.ndarray, rows: int, k: int, turned: bool) -> np.ndarray:
    i, s = np.arange(rows)[:, None], np.arange(k)
    each = 4 // dtype.itemsize
    if turned:
        word, part = (i // 64) * (k * LINE) + s * LINE + ((i % 64 // 8) ^ (s % 8)) * 4 + i % 8 // 2, i % 2
    else:
        word, part = i * LINE + ((s // each // 4) ^ (i % 8)) * 4 + s // each % 4, s % each
    return _element(dtype, words[word], part)


def multiplied(dtype: DType, sums: Sequence[np.ndarray], left: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The sums of one product after it. Each register is an array of 32, one of each thread."""
    lane = np.arange(LANES)
    g, t = lane // 4, lane % 4
    each = 4 // dtype.itemsize
    a, b = np.zeros((ROWS, each * WORDS), np.float32), np.zeros((each * WORDS, COLUMNS), np.float32)
    c = np.zeros((ROWS, COLUMNS), np.float32)
    for part in range(each):
        for r, x in enumerate(left):
            a[g + 8 * (r % 2), each * (t + 4 * (r // 2)) + part] = _element(dtype, x, part)
        for r, x in enumerate(right):
            b[each * (t + 4 * r) + part, g] = _element(dtype, x, part)
    places = [(g + 8 * (r // 2), 2 * t + r % 2) for r in range(SUMS)]
    for at, x in zip(places, sums):
        c[at] = x
    for k in range(each * WORDS):
        c = c + a[:, k : k + 1] * b[k : k + 1]
    return [c[at] for at in places]


def _element(dtype: DType, x: np.ndarray, part: int | np.ndarray) -> np.ndarray:
    if dtype.itemsize == 4:
        return (x & np.uint32(TF32)).view(np.float32)
    return (x >> (16 * part)).astype(np.uint16).view(dtype.numpy).astype(np.float32)
