"""Fragments: how the 32 threads of a warp hold small matrices, for products of which each does a part (`Mma` of ir.py).

A product is of 16 rows, 8 columns and 8 words along k. In a u32 register lie two halves, the first in the low bits, or a float32, of
which the low 13 bits do not count (TF32). With g = lane / 4 and t = lane mod 4, thread `lane` of the warp holds

    of the left operand   in register r the word (g + 8 (r mod 2), t + 4 (r / 2))
    of the right one      in register r the word (t + 4 r, g)
    of the sums           in register r the element (g + 8 (r / 2), 2 t + r mod 2)

This is `mma.sync.aligned.m16n8k16.row.col` of PTX, and m16n8k8 for TF32.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ingot.ir.dtypes import DType

__all__ = ["COLUMNS", "LEFT", "LANES", "RIGHT", "ROWS", "SUMS", "TF32", "WORDS", "multiplied", "steps"]

TF32 = 0xFFFFE000  # the bits of a float32 that count

LANES, ROWS, COLUMNS, WORDS = 32, 16, 8, 8
LEFT, RIGHT, SUMS = 4, 2, 4  # registers of a thread


def steps(dtype: DType) -> int:
    """Steps of k of one product: two lie in a word of halves, one in a word of float32."""
    return WORDS * (4 // dtype.itemsize)


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


def _element(dtype: DType, x: np.ndarray, part: int) -> np.ndarray:
    if dtype.itemsize == 4:
        return (x & np.uint32(TF32)).view(np.float32)
    return (x >> (16 * part)).astype(np.uint16).view(dtype.numpy).astype(np.float32)
