"""Fourier transforms as products with small matrices, over packed complex numbers: reals whose last dim has the two parts.

A length n = r m is transformed by Cooley and Tukey's method: transforms of length r, factors between ("twiddles"), transforms of length
m. The small transforms are products of matrices, which is what machines do best, of lengths that balance operations against
passes over memory; a target that has kernels of transforms calls those (ir/lower/fourier/). A length with a large prime factor is a
convolution (Bluestein's method) of a length without.

Factors are computed in float64 from integers that are exact, within 1 ulp, and rounded once.
"""

from __future__ import annotations

import math
from functools import lru_cache

from ingot.ir.builder import Builder, Expr
from ingot.ir.dtypes import DType, f64
from ingot.ir.op import OPS
from ingot.ir.ops.batching import move_dim
from ingot.ir.types import Shape

__all__ = ["along", "factors", "transform"]

LARGEST = 64  # length of a transform that is one product
SMALL = 16  # beyond it, more passes are cheaper than more operations
PRIME = 128  # up to this a prime length is one product


def along(x: Expr, axis: int, sign: int) -> Expr:
    """The transform along an axis of x, whose last dim has the parts: where it is not the one before, a routine of columns side by side."""
    if axis == x.rank - 2:
        return transform(x, sign)
    if x.shape[axis] == 1:
        return x
    shape = x.shape
    n, behind = shape[axis], shape[axis + 1 : -1]
    if factors(n) is None:
        return move_dim(transform(move_dim(x, axis, x.rank - 2), sign), x.rank - 2, axis)
    rows = x.reshape((math.prod(shape[:axis]), n, math.prod(behind), 2))
    b = Builder(_name(sign))
    y = b.expr(b.input(rows.type)).transpose((0, 2, 1, 3))
    return OPS["call"](rows, graph=b.freeze((transform(y, sign).transpose((0, 2, 1, 3)).value,))).reshape(shape)


def _name(sign: int) -> str:
    return "fourier.forward" if sign < 0 else "fourier.inverse"


def transform(x: Expr, sign: int) -> Expr:
    """The transform of x[..., n, 2], not scaled; sign: that of the exponent."""
    n = x.shape[-2]
    if n == 1:
        return x
    radices = factors(n)
    return _bluestein(x, sign) if radices is None else _called(x, radices, sign)


def _called(x: Expr, radices: tuple[int, ...], sign: int) -> Expr:
    """The transform as a routine that targets may have kernels of (ir/lower/fourier/), of rows one behind the other."""
    n = x.shape[-2]
    rows = x.reshape((math.prod(x.shape[:-2]), n, 2))
    b = Builder(_name(sign))
    body = b.freeze((_mixed(b.expr(b.input(rows.type)), radices, sign).value,))
    return OPS["call"](rows, graph=body).reshape(x.shape)


@lru_cache(maxsize=1024)
def factors(n: int) -> tuple[int, ...] | None:
    """The lengths of products that make up a transform of length n, of about the same size; None: n has a prime factor too large."""
    primes = []
    rest, p = n, 2
    while rest > 1:
        if p * p > rest:
            p = rest
        while rest % p == 0:
            primes.append(p)
            rest //= p
        p += 1
    if primes[-1] > PRIME:
        return None
    if n <= SMALL or primes[-1] == n:
        return (n,)
    count = next(k for k in range(1, len(primes) + 1) if n <= (LARGEST if k < 3 else SMALL * 2) ** k or k == len(primes))
    found = [1] * count
    for prime in reversed(primes):  # the largest to the smallest
        k = min(range(count), key=lambda i: (found[i], i))
        found[k] *= prime
    return tuple(sorted((f for f in found if f > 1), reverse=True))


def _mixed(x: Expr, radices: tuple[int, ...], sign: int) -> Expr:
    """n = r m, j = m a + b, k = c + r d: sum over a, times w ** (b c), sum over b; the digits c, d, ... come out in reverse."""
    lead = x.shape[:-2]
    at = len(lead)
    y, m = x, x.shape[-2]
    done: tuple[int, ...] = ()
    for r in radices:
        rest = m // r
        y = y.reshape((*lead, r, rest, *done, 2))
        y = OPS["dot"](y, _matrix(x, r, sign), batch=((), ()), contract=((at, y.rank - 1), (0, 1)))  # [lead, rest, done, r, 2]
        if rest > 1:
            y = _twiddled(y, at, m, sign)
        done, m = (*done, r), rest
    k = len(done)
    y = y.reshape((*lead, *done, 2))
    return y.transpose((*range(at), *reversed(range(at, at + k)), at + k)).reshape(x.shape)


def _matrix(like: Expr, r: int, sign: int) -> Expr:
    """w ** (a c) as [a, p, c, q]: what part p of input a adds to part q of output c. Times i is a quarter turn."""
    a, p, c, q = (_count(like, (r, 2, r, 2), k) for k in range(4))
    return _cosine(a * c * (4.0 * sign) - (q - p) * float(r), r, like.dtype)


def _twiddled(y: Expr, lead: int, m: int, sign: int) -> Expr:
    """y[lead, b, done, c, part] times w ** (b c), where w is the m-th root of 1."""
    shape = (y.shape[lead], *(1,) * (y.rank - lead - 3), *y.shape[-2:])
    b, c, part = (_count(y, shape, k) for k in (0, len(shape) - 2, len(shape) - 1))
    return _turned(y, b * c * (4.0 * sign), part, m)


def _turned(y: Expr, quarters: Expr, part: Expr, n: int) -> Expr:
    """y times cos + i sin of pi / 2 * quarters / n: each part by the cosine, and the other one by -sin or sin."""
    own = _cosine(quarters, n, y.dtype)
    other = _cosine(quarters + (1 - part * 2) * float(n), n, y.dtype)
    return y * own + OPS["reverse"](y, axes=(y.rank - 1,)) * other


def _bluestein(x: Expr, sign: int) -> Expr:
    """2 j k = j**2 + k**2 - (k - j)**2: with chirps c[j] = w ** (j**2 / 2), X[k] is c[k] times the convolution of x c with 1 / c."""
    n, rank = x.shape[-2], x.rank
    size = _convenient(2 * n - 1)
    j, part = _count(x, (n, 2), 0), _count(x, (n, 2), 1)
    quarters = j * j * (2.0 * sign)
    none = (0,) * rank
    behind = (*none[:-2], size - n, 0)
    a = transform(OPS["pad"](_turned(x, quarters, part, n), 0.0, low=none, high=behind, interior=none), -1)
    chirp = _cosine(quarters * -1.0 - part * float(n), n, x.dtype)  # 1 / c
    back = OPS["reverse"](OPS["slice"](chirp, starts=(1, 0), stops=(n, 2), steps=(1, 1)), axes=(0,))
    gap = chirp.const(0.0).broadcast((size - 2 * n + 1, 2))
    b = transform(OPS["concatenate"](chirp, gap, back, axis=0), -1)
    re, im = (OPS["slice"](b, starts=(0, k), stops=(size, k + 1), steps=(1, 1)) for k in (0, 1))
    product = a * re + OPS["reverse"](a, axes=(rank - 1,)) * OPS["concatenate"](-im, im, axis=1)
    y = transform(product, 1) * (1.0 / size)
    return _turned(OPS["slice"](y, starts=none, stops=(*x.shape[:-2], n, 2), steps=(1,) * rank), quarters, part, n)


@lru_cache(maxsize=1024)
def _convenient(least: int) -> int:
    """The smallest length, not below `least`, whose only prime factors are 2, 3 and 5, with 2 in it mostly."""
    best = 1 << (least - 1).bit_length()
    for odd in (3, 5, 9, 15):
        n = odd
        while n < least:
            n *= 2
        best = min(best, n)
    return best


def _count(like: Expr, shape: Shape, axis: int) -> Expr:
    """0, 1, 2, ... along one axis of the other extents 1, in float64."""
    extents = tuple(d if k == axis else 1 for k, d in enumerate(shape))
    return like.builder.expr(like.builder.emit(OPS["iota"], (), (f64, extents, axis))[0])


def _cosine(quarters: Expr, n: int, dtype: DType) -> Expr:
    """cos(pi / 2 * quarters / n) for whole numbers, by series within an eighth of a turn."""
    whole = OPS["round"](quarters * (1.0 / n))
    angle = (quarters - whole * float(n)) * (math.pi / 2 / n)
    square = angle * angle
    cosine = _series(square, 0)
    sine = angle * _series(square, 1)
    place = whole - OPS["floor"](whole * 0.25) * 4  # quarter turns: 0 to 3
    odd = place.eq(1.0) | place.eq(3.0)
    minus = place.eq(1.0) | place.eq(2.0)
    found = OPS["select"](odd, sine, cosine)
    return OPS["select"](minus, -found, found).cast(dtype)


def _series(square: Expr, odd: int) -> Expr:
    """Of cos x (odd: sin x / x) in x**2."""
    out = square.full(1.0)
    for k in reversed(range(1, 10)):
        out = 1 - square * out * (1.0 / ((2 * k - 1 + odd) * (2 * k + odd)))
    return out
