"""Transforms of a few complex numbers in registers.

Source: Winograd, On computing the discrete Fourier transform (1978), for 3 and 5; other primes by sums and differences of pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ingot.ir.lower.fourier.plan import roots
from ingot.ir.lower.writer import KernelWriter, Scalar

__all__ = ["Number", "small_transform", "times"]

Number = tuple[Scalar, Scalar]  # real and imaginary part


def times(w: KernelWriter, a: Number, b: Number) -> Number:
    """The product of complex numbers."""
    (x, y), (c, s) = a, b
    return w.fma(x, c, w.neg(w.mul(y, s))), w.fma(x, s, w.mul(y, c))


def _sum(w: KernelWriter, a: Number, b: Number) -> Number:
    return w.add(a[0], b[0]), w.add(a[1], b[1])


def _difference(w: KernelWriter, a: Number, b: Number) -> Number:
    return w.sub(a[0], b[0]), w.sub(a[1], b[1])


def _quarter(w: KernelWriter, a: Number, sign: int) -> Number:
    """a times sign i."""
    return (w.neg(a[1]), a[0]) if sign > 0 else (a[1], w.neg(a[0]))


def small_transform(w: KernelWriter, x: Sequence[Number], sign: int) -> list[Number]:
    """The transform of as many numbers as there are."""
    n = len(x)
    if n == 2:
        return [_sum(w, *x), _difference(w, *x)]
    if n == 4:
        a, b, c, d = _sum(w, x[0], x[2]), _difference(w, x[0], x[2]), _sum(w, x[1], x[3]), _difference(w, x[1], x[3])
        turned = _quarter(w, d, sign)
        return [_sum(w, a, c), _sum(w, b, turned), _difference(w, a, c), _difference(w, b, turned)]
    if n == 8:
        return _eight(w, x, sign)
    return _prime(w, x, sign)


def _eight(w: KernelWriter, x: Sequence[Number], sign: int) -> list[Number]:
    """Of the even and the odd ones; a half turn's quarters are sums times the root of 1/2."""
    even, odd = small_transform(w, x[::2], sign), small_transform(w, x[1::2], sign)
    root = math.sqrt(0.5)

    def eighth(a: Number) -> Number:
        """Times exp(sign i pi / 4)."""
        turned = _sum(w, a, _quarter(w, a, sign))
        return w.mul(turned[0], root), w.mul(turned[1], root)

    odd = [odd[0], eighth(odd[1]), _quarter(w, odd[2], sign), eighth(_quarter(w, odd[3], sign))]
    return [f(w, a, b) for f in (_sum, _difference) for a, b in zip(even, odd)]


def _prime(w: KernelWriter, x: Sequence[Number], sign: int) -> list[Number]:
    """y[k] and y[n - k] share their sums: of cosines times x[j] + x[n - j], and of sines times x[j] - x[n - j]."""
    n = len(x)
    half = range(1, n // 2 + 1)
    sums, differences = {j: _sum(w, x[j], x[n - j]) for j in half}, {j: _difference(w, x[j], x[n - j]) for j in half}
    turns = roots(np.arange(n), n, sign)
    out = list(x)
    first = x[0]
    for j in half:
        first = _sum(w, first, sums[j])
    out[0] = first
    for k in half:
        along, across = x[0], None
        for j in half:
            c, s = (float(part[j * k % n]) for part in turns)
            along = w.fma(sums[j][0], c, along[0]), w.fma(sums[j][1], c, along[1])
            d = differences[j]
            across = (w.mul(d[0], s), w.mul(d[1], s)) if across is None else (w.fma(d[0], s, across[0]), w.fma(d[1], s, across[1]))
        assert across is not None
        turned = _quarter(w, across, 1)
        out[k], out[n - k] = _sum(w, along, turned), _difference(w, along, turned)
    return out
