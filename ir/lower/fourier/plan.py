"""Lengths of transforms as products of small ones, and roots of unity."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

__all__ = ["LONG", "LONGEST", "SHORT", "padded", "radices", "roots", "split"]

LONGEST = 1 << 26
SHORT, LONG = 32, 1 << 12  # numbers of rows that are turned whole, however few there are; and where there is a lane for each
MOST = 1 << 14  # numbers of columns whose blocks lie in a core's second cache


@lru_cache(maxsize=1024)
def radices(n: int) -> tuple[int, ...] | None:
    """The lengths of small transforms that make up one of length n, in the order of their passes; None: n has a large prime factor."""
    out = []
    for p in (13, 11, 7, 5, 3):
        while n % p == 0:
            out.append(p)
            n //= p
    twos = n.bit_length() - 1
    if n != 1 << twos:
        return None
    eights, rest = divmod(twos, 3)
    if rest == 1 and eights:  # 8 * 2 are 4 * 4
        eights, rest = eights - 1, 4
    return (*[8] * eights, *{0: [], 1: [2], 2: [4], 4: [4, 4]}[rest], *out)


def padded(n: int, lanes: int) -> int:
    """n, and what is missing to whole vectors."""
    return -(-n // lanes) * lanes


@lru_cache(maxsize=1024)
def split(n: int, lanes: int) -> tuple[int, int]:
    """n as a product of two lengths of about the same size, which fill vectors if they can."""

    def cost(a: int) -> float:
        b = n // a
        waste = padded(a, lanes) / a + padded(b, lanes) / b
        return waste + max(a, b) / min(a, b) / 16 + (100 if max(a, b) > MOST else 0)

    return min(((a, n // a) for a in range(1, n + 1 if n < 1 << 16 else 1 << 14) if n % a == 0), key=lambda pair: (cost(pair[0]), pair))


def roots(k: np.ndarray, n: int, sign: int) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin of sign 2 pi k / n for whole numbers 0 <= k < n, in float64 within an ulp: of an eighth of a turn at most."""
    quarter = np.rint(k * (4.0 / n))
    angle = (4.0 * k - quarter * n) * (np.pi / 2 / n)
    square = angle * angle
    c, s = np.ones_like(square), np.ones_like(square)
    for j in reversed(range(1, 11)):
        c = 1 - square * c / ((2 * j - 1) * (2 * j))
        s = 1 - square * s / ((2 * j) * (2 * j + 1))
    s = s * angle
    place = quarter.astype(np.int64) % 4
    re = np.choose(place, [c, -s, -c, s])
    im = np.choose(place, [s, c, -s, -c])
    return re, sign * im
