"""Rows of real numbers as half as many complex ones: what the transforms of both have of each other.

With z the transform of x[0] + i x[1], x[2] + i x[3], ..., the first half of the transform of x is e + o and, mirrored, the conjugate of
e - o, where e = (z[k] + conj z[n - k]) / 2 has the even ones and o = -i w ** k (z[k] - conj z[n - k]) / 2 the odd ones. Back it is the
same without the halves, and with i w ** -k.
"""

from __future__ import annotations

import numpy as np

from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Index
from ingot.ir.loop.points import ZERO
from ingot.ir.lower.fourier.butterflies import Number, times
from ingot.ir.lower.fourier.columns import Columns, pairs
from ingot.ir.lower.fourier.plan import roots

__all__ = ["mirrored", "to_halves", "to_pairs"]


def to_halves(c: Columns) -> None:
    """In the last copy: n numbers become the n + 1 of the half of a transform of 2 n real ones."""
    w, last = c.w, ix.const(c.n)
    with c.whole() as lane:
        re, im = c.get(c.last, ZERO, lane)
        for at, x in ((ZERO, w.add(re, im)), (last, w.sub(re, im))):
            c.put(c.last, at, lane, (x, w.const(0, c.dtype)))
    _mixed(c, c.last, 0.5)


def mirrored(c: Columns) -> None:
    """In the last copy: behind the half of a transform of 2 n real numbers the conjugates that are its other half."""
    with c.w.loop("serial", c.n - 1) as i, c.whole() as lane:
        re, im = c.get(c.last, ix.sub(ix.const(c.n - 1), i), lane)
        c.put(c.last, ix.add(i, ix.const(c.n + 1)), lane, (re, c.w.neg(im)))


def to_pairs(c: Columns) -> None:
    """In the first copy: the half of a transform of 2 n real numbers, whose ends are real, becomes n numbers."""
    w, copy = c.w, c.copies[0]
    with c.whole() as lane:
        (a, _), (b, _) = (c.get(copy, at, lane) for at in (ZERO, ix.const(c.n)))
        c.put(copy, ZERO, lane, (w.add(a, b), w.sub(a, b)))
    _mixed(c, copy, 1.0)


def _mixed(c: Columns, copy: str, factor: float) -> None:
    """Numbers k and n - k for all k but 0. The one in the middle is its own partner: both give the same."""
    w = c.w
    k = np.arange(1, c.n // 2 + 1)
    re, im = roots(k, 2 * c.n, c.sign)
    turned = (-im, re) if c.sign > 0 else (im, -re)  # times i, or -i
    table = w.table(c.dtype, pairs(c.dtype, factor * turned[0], factor * turned[1]))
    with w.loop("serial", c.n // 2) as i:
        at = ix.add(i, ix.const(1))
        turn: Number = tuple(w.load(table, ix.add(ix.mul(i, 2), ix.const(p)), c.dtype) for p in (0, 1))  # type: ignore[assignment]
        with c.whole() as lane:
            _mix(c, copy, at, lane, turn, factor)


def _mix(c: Columns, copy: str, at: Index, lane: Index, turn: Number, factor: float) -> None:
    w, other = c.w, ix.sub(ix.const(c.n), at)
    a, b = c.get(copy, at, lane), c.get(copy, other, lane)
    even = w.add(a[0], b[0]), w.sub(a[1], b[1])
    odd = times(w, (w.sub(a[0], b[0]), w.add(a[1], b[1])), turn)
    if factor != 1.0:
        even = w.mul(even[0], factor), w.mul(even[1], factor)
    c.put(copy, at, lane, (w.add(even[0], odd[0]), w.add(even[1], odd[1])))
    c.put(copy, other, lane, (w.sub(even[0], odd[0]), w.sub(odd[1], even[1])))
