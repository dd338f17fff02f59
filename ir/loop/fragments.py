"""Fragments: how the 32 threads of a warp hold small matrices, for products of which each does a part (`Mma` of ir.py).

A product is of 16 rows, 8 columns and 16 steps of k. Operands are halves, two in each u32 register: the first in the low bits. With
g = lane / 4 and t = lane mod 4, thread `lane` of the warp holds

    of the left operand   in register r the elements (g + 8 (r mod 2), 2 t + 8 (r / 2) + {0, 1})
    of the right one      in register r the elements (2 t + 8 r + {0, 1}, g)
    of the sums           in register r the element  (g + 8 (r / 2), 2 t + r mod 2)

This is `mma.sync.aligned.m16n8k16.row.col` of PTX.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ingot.ir.dtypes import DType

__all__ = ["COLUMNS", "LEFT", "LANES", "RIGHT", "ROWS", "STEPS", "SUMS", "multiplied"]

LANES, ROWS, COLUMNS, STEPS = 32, 16, 8, 16
LEFT, RIGHT, SUMS = 4, 2, 4  # registers of a thread


def multiplied(dtype: DType, sums: Sequence[np.ndarray], left: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The sums of one product after it. Each register is an array of 32, one of each thread."""
    lane = np.arange(LANES)
    g, t = lane // 4, lane % 4
    a, b, c = np.zeros((ROWS, STEPS), np.float32), np.zeros((STEPS, COLUMNS), np.float32), np.zeros((ROWS, COLUMNS), np.float32)
    for half in (0, 1):
        for r, x in enumerate(left):
            a[g + 8 * (r % 2), 2 * t + 8 * (r // 2) + half] = _half(dtype, x, half)
        for r, x in enumerate(right):
            b[2 * t + 8 * r + half, g] = _half(dtype, x, half)
    places = [(g + 8 * (r // 2), 2 * t + r % 2) for r in range(SUMS)]
    for at, x in zip(places, sums):
        c[at] = x
    for k in range(STEPS):
        c = c + a[:, k : k + 1] * b[k : k + 1]
    return [c[at] for at in places]


def _half(dtype: DType, x: np.ndarray, half: int) -> np.ndarray:
    return (x >> (16 * half)).astype(np.uint16).view(dtype.numpy).astype(np.float32)
