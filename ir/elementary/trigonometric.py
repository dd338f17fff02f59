"""sin, cos, tan and their inverses. x = n pi/2 + r with |r| <= pi/4; the quadrant n mod 4 selects polynomial and sign."""

from __future__ import annotations

from typing import Any

from ingot.ir.dtypes import f32, f64, i32, i64, u32, u64
from ingot.ir.elementary import tables as t
from ingot.ir.elementary.core import F32, F64, INF, bits, format_of, in_f64, polynomial, with_sign_of

Scalar = Any
TWO_OVER_PI = 0.6366197723675814
HUGE = 2.0**48
LOW = 0xFFFFFFFF
PIO2_HI, PIO2_LO = t.PIO2_F64[0], t.PIO2_F64[1]


def _reduce(e: Any, x: Scalar) -> tuple[Scalar, Scalar, Any]:
    """(r, rest, quadrant) of an f64: x = n pi/2 + r + rest, with the low bits of the integer `quadrant` those of n."""
    shifted = e.fma(x, TWO_OVER_PI, F64.magic)
    n = e.sub(shifted, F64.magic)
    p1, p2, p3 = t.PIO2_F64
    # n p1 and n p2 as exact pairs, subtracted with every error kept
    a = e.mul(n, p1)
    al = e.fma(n, p1, e.neg(a))
    d = e.sub(x, a)  # exact: a is within a factor of two of x, or 0
    s, sl = _difference(e, d, al)
    b = e.mul(n, p2)
    bl = e.fma(n, p2, e.neg(b))
    u, ul = _difference(e, s, b)
    low = e.sub(e.add(sl, ul), e.fma(n, p3, bl))
    r = e.add(u, low)
    rest = e.add(e.sub(u, r), low)
    magnitude = e.abs(x)
    huge = e.and_(e.ge(magnitude, HUGE), e.lt(magnitude, INF))
    far, far_rest, far_quadrant = _reduce_huge64(e, x)
    return e.select(huge, far, r), e.select(huge, far_rest, rest), e.select(huge, far_quadrant, bits(e, shifted))


def _difference(e: Any, a: Scalar, b: Scalar) -> tuple[Scalar, Scalar]:
    """a - b rounded, and its error."""
    s = e.sub(a, b)
    v = e.sub(s, a)
    return s, e.sub(e.sub(a, e.sub(s, v)), e.add(b, v))


def _reduce32(e: Any, x: Scalar) -> tuple[Scalar, Any]:
    """(r, quadrant) of an f32, for every x: r is an f64 with more than f32's bits, quadrant an i64."""
    w = e.cast(x, f64)
    shifted = e.fma(w, TWO_OVER_PI, F64.magic)
    n = e.sub(shifted, F64.magic)
    r = e.fma(n, -PIO2_LO, e.fma(n, -PIO2_HI, w))
    a = e.abs(x)
    huge = e.and_(e.ge(a, HUGE), e.lt(a, INF))
    far, quadrant = _reduce_huge(e, x)
    return e.select(huge, far, r), e.select(huge, quadrant, bits(e, shifted))


def _window(e: Any, start: Any, words: list[int], count: int) -> list[Any]:
    """`count` words of 64 bits from bit `start` (u64) of the bit string `words`; bits behind its end may be any."""
    found: list[Any] = [e.const(w, u64) for w in words]
    index = e.shr(start, 6)
    step = 1 << (len(words) - 1).bit_length() - 1
    while step:  # drop `step` words where that bit of the index is set; keep as many as the rest can reach
        far = e.ne(e.and_(index, step), 0)
        keep = min(len(found), count + step)
        found = [e.select(far, found[i + step], found[i]) if i + step < len(found) else found[i] for i in range(keep)]
        step //= 2
    shift = e.and_(start, 63)
    back = e.sub(e.const(63, u64), shift)
    return [e.or_(e.shl(p, shift), e.shr(e.shr(q, 1), back)) for p, q in zip(found, found[1:])]


def _reduce_huge(e: Any, x: Scalar) -> tuple[Scalar, Any]:
    """`_reduce32` for |x| >= HUGE, after Payne and Hanek: x is an integer m times 2**k, and of m 2**k 2/pi only the
    part below 4 matters, so that 96 bits of 2/pi, from a place that k tells, are multiplied by m modulo 2**64."""
    b = e.cast(e.bitcast(x, u32), u64)
    m = e.or_(e.and_(b, 0x7FFFFF), 0x800000)
    start = e.sub(e.and_(e.shr(b, 23), 0xFF), 88 + 64)  # the product has 62 bits below the binary point
    top, low = _window(e, start, list(t.TWO_OVER_PI_BITS[:4]), 2)
    product = e.add(e.mul(m, top), e.shr(e.mul(m, e.shr(low, 32)), 32))
    quadrant = e.shr(e.add(product, 1 << 61), 62)
    rest = e.bitcast(e.sub(product, e.shl(quadrant, 62)), i64)
    r = e.mul(e.cast(rest, f64), PIO2_HI * 2.0**-62)
    quadrant = e.bitcast(quadrant, i64)
    negative = e.lt(x, 0.0)
    return e.select(negative, e.neg(r), r), e.select(negative, e.neg(quadrant), quadrant)


def _product(e: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """The 128-bit product of two u64, as (high, low); a is below 2**53."""
    ah, al, bh, bl = e.shr(a, 32), e.and_(a, LOW), e.shr(b, 32), e.and_(b, LOW)
    first = e.mul(al, bl)
    middle = e.add(e.mul(ah, bl), e.shr(first, 32))
    second = e.add(e.mul(al, bh), e.and_(middle, LOW))
    high = e.add(e.add(e.mul(ah, bh), e.shr(middle, 32)), e.shr(second, 32))
    return high, e.or_(e.shl(second, 32), e.and_(first, LOW))


def _reduce_huge64(e: Any, x: Scalar) -> tuple[Scalar, Scalar, Any]:
    """`_reduce` for |x| >= HUGE: as `_reduce_huge`, with 192 bits of 2/pi and a product modulo 2**128."""
    b = e.bitcast(x, u64)
    m = e.or_(e.and_(b, (1 << 52) - 1), 1 << 52)
    start = e.sub(e.and_(e.shr(b, 52), 0x7FF), 949 + 64)  # the product has 126 bits below the binary point
    w0, w1, w2 = _window(e, start, [0, *t.TWO_OVER_PI_BITS], 3)
    h1, l1 = _product(e, m, w1)
    h2, _ = _product(e, m, w2)
    low = e.add(l1, h2)
    high = e.add(e.add(e.mul(m, w0), h1), e.cast(e.lt(low, l1), u64))
    quadrant = e.shr(e.add(high, 1 << 61), 62)
    high = e.bitcast(e.sub(high, e.shl(quadrant, 62)), i64)
    # the fraction as a pair: what the first conversion leaves of `high`, and `low`
    a = e.cast(high, f64)
    c = e.fma(e.cast(low, f64), 2.0**-64, e.cast(e.sub(high, e.cast(a, i64)), f64))
    s = e.add(a, c)
    sl = e.mul(e.add(e.sub(a, s), c), 2.0**-62)
    s = e.mul(s, 2.0**-62)
    r = e.mul(s, PIO2_HI)
    rest = e.fma(s, PIO2_HI, e.neg(r))
    rest = e.fma(sl, PIO2_HI, e.fma(s, PIO2_LO, rest))
    quadrant = e.bitcast(quadrant, i64)
    negative = e.lt(x, 0.0)
    return e.select(negative, e.neg(r), r), e.select(negative, e.neg(rest), rest), e.select(negative, e.neg(quadrant), quadrant)


def _sin_cos(e: Any, x: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """(sin r, cos r, quadrant)"""
    if format_of(e, x) is F32:
        r, quadrant = _reduce32(e, x)
        return *_short_sin_cos(e, e.cast(r, f32)), e.cast(quadrant, i32)
    r, rest, quadrant = _reduce(e, x)
    u = e.mul(r, r)
    s = e.add(r, e.fma(e.mul(r, u), polynomial(e, u, t.SIN_F64), rest))
    half = e.mul(u, 0.5)
    w = e.sub(e.const(1.0, f64), half)
    tail = e.sub(e.mul(e.mul(u, u), polynomial(e, u, t.COS_F64)), e.mul(r, rest))
    c = e.add(w, e.add(e.sub(e.sub(e.const(1.0, f64), w), half), tail))
    return s, c, quadrant


def _short_sin_cos(e: Any, r: Scalar) -> tuple[Scalar, Scalar]:
    """sin r and cos r to f32's precision."""
    u = e.mul(r, r)
    s = e.fma(e.mul(r, u), polynomial(e, u, t.SIN_F32), r)
    return s, e.fma(e.mul(u, u), polynomial(e, u, t.COS_F32), e.fma(u, -0.5, 1.0))


def _in_quadrant(e: Any, s: Scalar, c: Scalar, quadrant: Any) -> Scalar:
    """sin of r + quadrant * pi/2."""
    f = format_of(e, s)
    odd = e.ne(e.and_(quadrant, 1), 0)
    flip = e.shl(e.and_(quadrant, 2), f.integer.bits - 2)
    return e.bitcast(e.xor(bits(e, e.select(odd, c, s)), flip), f.dtype)


def sin(e: Any, x: Scalar) -> Scalar:
    """The sine, however large x is."""
    s, c, quadrant = _sin_cos(e, x)
    return e.select(e.eq(x, 0.0), x, _in_quadrant(e, s, c, quadrant))  # -0


def cos(e: Any, x: Scalar) -> Scalar:
    """The cosine, however large x is."""
    s, c, quadrant = _sin_cos(e, x)
    return _in_quadrant(e, s, c, e.add(quadrant, 1))


def tan(e: Any, x: Scalar) -> Scalar:
    """The tangent, however large x is; within 2.2 ulp."""
    f = format_of(e, x)
    if f is F32:
        r, quadrant = _reduce32(e, x)
        s, c = _short_sin_cos(e, r)  # in f64: their quotient is rounded once
    else:
        s, c, quadrant = _sin_cos(e, x)
    odd = e.ne(e.and_(quadrant, 1), 0)
    y = e.div(e.select(odd, e.neg(c), s), e.select(odd, s, c))
    return e.select(e.eq(x, 0.0), x, y if f is F64 else e.cast(y, f32))


def _asin_parts(e: Any, a: Scalar) -> tuple[Scalar, Scalar, Scalar, Scalar]:
    """(large, root, rest, tail) for 0 <= a <= 1: asin(root + rest) = root + rest + tail; where `large` (a > 1/2),
    root + rest is sqrt((1 - a) / 2), else a."""
    large = e.gt(a, 0.5)
    z = e.select(large, e.mul(e.sub(e.const(1.0, f64), a), 0.5), e.mul(a, a))
    root = e.select(large, e.sqrt(z), a)
    safe = e.select(e.gt(root, 0.0), root, 1.0)
    rest = e.select(large, e.div(e.fma(e.neg(root), root, z), e.add(safe, safe)), 0.0)
    return large, root, rest, e.mul(e.mul(root, z), polynomial(e, z, t.ASIN_F64))


@in_f64
def asin(e: Any, x: Scalar) -> Scalar:
    """The inverse sine; NaN beyond +-1."""
    large, root, rest, tail = _asin_parts(e, e.abs(x))
    low = e.add(rest, tail)
    # pi/2 - 2 (root + low), from the exact difference of the large parts
    folded = e.sub(e.fma(root, -2.0, PIO2_HI), e.fma(low, 2.0, -PIO2_LO))
    return with_sign_of(e, e.select(large, folded, e.add(root, low)), x)


@in_f64
def acos(e: Any, x: Scalar) -> Scalar:
    """The inverse cosine; NaN beyond +-1."""
    large, root, rest, tail = _asin_parts(e, e.abs(x))
    negative = e.lt(x, 0.0)
    low = e.add(rest, tail)
    twice = e.fma(low, 2.0, e.add(root, root))
    outer = e.select(negative, e.sub(e.const(2 * PIO2_HI, f64), e.sub(twice, 2 * PIO2_LO)), twice)
    signed = e.select(negative, e.neg(e.add(root, low)), e.add(root, low))
    inner = e.sub(e.const(PIO2_HI, f64), e.sub(signed, PIO2_LO))
    return e.select(large, outer, inner)


def _atan_ratio(e: Any, ratio: Scalar, inverted: Any) -> Scalar:
    """atan(ratio) for 0 <= ratio <= 1, or pi/2 minus it where `inverted`."""
    f = format_of(e, ratio)
    u = e.mul(ratio, ratio)
    y = e.fma(e.mul(ratio, u), polynomial(e, u, t.ATAN_F32 if f is F32 else t.ATAN_F64), ratio)
    hi, lo = _pio2(f)
    return e.select(inverted, e.sub(e.const(hi, f.dtype), e.sub(y, lo)), y)


def _pio2(f: Any) -> tuple[float, float]:
    """pi/2 as a pair in the format."""
    return (1.5707963705062866, -4.371139000186241e-08) if f is F32 else (PIO2_HI, PIO2_LO)


def atan(e: Any, x: Scalar) -> Scalar:
    """The inverse tangent."""
    a = e.abs(x)
    large = e.gt(a, 1.0)
    ratio = e.div(e.select(large, e.const(1.0, e.dtype(x)), a), e.select(large, a, 1.0))
    return with_sign_of(e, _atan_ratio(e, ratio, large), x)


def atan2(e: Any, y: Scalar, x: Scalar) -> Scalar:
    """The angle of the point (x, y), with IEEE's special values: atan2(+-0, -1) = +-pi, atan2(inf, inf) = pi/4."""
    f = format_of(e, y)
    a, b = e.abs(x), e.abs(y)
    steep = e.gt(b, a)
    large, small = e.select(steep, b, a), e.select(steep, a, b)
    ratio = e.div(small, e.select(e.eq(large, 0.0), 1.0, large))
    ratio = e.select(e.and_(e.eq(a, INF), e.eq(b, INF)), e.const(1.0, f.dtype), ratio)
    angle = _atan_ratio(e, ratio, steep)
    hi, lo = _pio2(f)
    behind = e.sub(e.const(2 * hi, f.dtype), e.sub(angle, 2 * lo))
    return with_sign_of(e, e.select(e.lt(bits(e, x), 0), behind, angle), y)
