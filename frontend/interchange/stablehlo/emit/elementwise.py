"""Arithmetic, comparisons, logic, bits and casts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ingot.interchange.stablehlo.emit.writer import EMIT, V, Writer, emits
from ingot.ir import dtypes
from ingot.ir.graph import Node
from ingot.ir.types import broadcast_shapes

__all__ = ["both", "is_nan"]

_SAME = {
    "neg": "negate", "abs": "abs", "sqrt": "sqrt", "floor": "floor", "ceil": "ceil", "round": "round_nearest_even", "exp": "exponential",
    "expm1": "exponential_minus_one", "log": "log", "log1p": "log_plus_one", "rsqrt": "rsqrt", "sin": "sine", "cos": "cosine",
    "tan": "tan", "tanh": "tanh", "sigmoid": "logistic", "asin": "chlo.asin", "acos": "chlo.acos", "atan": "chlo.atan",
    "sinh": "chlo.sinh", "cosh": "chlo.cosh", "asinh": "chlo.asinh", "acosh": "chlo.acosh", "atanh": "chlo.atanh", "erf": "chlo.erf",
    "erfc": "chlo.erfc", "lgamma": "chlo.lgamma", "bitwise_not": "not", "logical_not": "not",
    "add": "add", "sub": "subtract", "mul": "multiply", "div": "divide", "fmod": "remainder", "maximum": "maximum", "minimum": "minimum",
    "atan2": "atan2", "bitwise_and": "and", "bitwise_or": "or", "bitwise_xor": "xor", "logical_and": "and", "logical_or": "or",
    "logical_xor": "xor", "shift_left": "shift_left",
}  # fmt: skip
_COMPARE = {"eq": "EQ", "ne": "NE", "lt": "LT", "le": "LE", "gt": "GT", "ge": "GE"}


def both(w: Writer, xs: Sequence[V]) -> list[V]:
    """Values broadcast together."""
    shape = broadcast_shapes(*[x.shape for x in xs])
    return [w.broadcast(x, shape) for x in xs]


def _same(w: Writer, n: Node, xs: list[V]) -> V:
    return w.op(_SAME[n.op.name], *both(w, xs))


for _name in _SAME:
    EMIT[_name] = _same


@emits(*_COMPARE)
def _compare(w: Writer, n: Node, xs: list[V]) -> V:
    return w.compare(_COMPARE[n.op.name], *both(w, xs))


def is_nan(w: Writer, x: V) -> V:
    return w.compare("NE", x, x)


@emits("neg")
def _neg(w: Writer, n: Node, xs: list[V]) -> V:
    return w.op("negate", *xs)


@emits("abs")
def _abs(w: Writer, n: Node, xs: list[V]) -> V:
    return xs[0] if xs[0].dtype.kind == "u" else w.op("abs", *xs)


@emits("sign")
def _sign(w: Writer, n: Node, xs: list[V]) -> V:
    (x,) = xs
    if x.dtype.kind == "u":
        return w.op("minimum", x, w.like(1, x))
    out = w.op("sign", x)
    if x.dtype.kind != "f":
        return out
    return w.select(w.op("or", is_nan(w, x), w.compare("EQ", x, w.like(0, x))), w.like(0, x), out)


@emits("relu")
def _relu(w: Writer, n: Node, xs: list[V]) -> V:
    (x,) = xs
    return x if x.dtype.kind == "u" else w.select(w.compare("LT", x, w.like(0, x)), w.like(0, x), x)


@emits("reciprocal")
def _reciprocal(w: Writer, n: Node, xs: list[V]) -> V:
    return w.op("divide", w.like(1, xs[0]), *xs)


@emits("trunc")
def _trunc(w: Writer, n: Node, xs: list[V]) -> V:
    (x,) = xs
    return w.select(w.compare("LT", x, w.like(0, x)), w.op("ceil", x), w.op("floor", x))


@emits("exp2")
def _exp2(w: Writer, n: Node, xs: list[V]) -> V:
    return w.op("power", w.like(2, xs[0]), *xs)


@emits("log2", "log10")
def _log(w: Writer, n: Node, xs: list[V]) -> V:
    log = w.op("log", *xs)
    return w.op("divide", log, w.like(math.log(2 if n.op.name == "log2" else 10), log))


@emits("digamma")
def _digamma(w: Writer, n: Node, xs: list[V]) -> V:
    """Infinite at 0, of the other sign."""
    (x,) = xs
    at = w.op("divide", w.like(-1, x), x)
    return w.select(w.compare("EQ", x, w.like(0, x)), at, w.op("chlo.digamma", x))


@emits("isnan")
def _isnan(w: Writer, n: Node, xs: list[V]) -> V:
    return is_nan(w, *xs)


@emits("isinf")
def _isinf(w: Writer, n: Node, xs: list[V]) -> V:
    size = w.op("abs", *xs)
    return w.compare("EQ", size, w.like(math.inf, size))


@emits("isfinite")
def _isfinite(w: Writer, n: Node, xs: list[V]) -> V:
    return w.op("is_finite", *xs, dtype=dtypes.bool_)


@emits("maximum", "minimum")
def _extreme(w: Writer, n: Node, xs: list[V]) -> V:
    return w.op(n.op.name, *both(w, xs))


def _unlike(w: Writer, r: V, b: V) -> V:
    """Where a remainder is not 0 and has another sign than the divisor."""
    zero = w.like(0, r)
    signs = w.op("xor", w.compare("LT", r, zero), w.compare("LT", b, zero))
    return w.op("and", w.compare("NE", r, zero), signs)


@emits("remainder")
def _remainder(w: Writer, n: Node, xs: list[V]) -> V:
    a, b = both(w, xs)
    r = w.op("remainder", a, b)
    if a.dtype.kind == "u":
        return r
    out = w.select(_unlike(w, r, b), w.op("add", r, b), r)
    if a.dtype.kind != "f":
        return out
    return w.select(w.compare("EQ", r, w.like(0, r)), _signed(w, w.like(0, r), b), out)


def _signed(w: Writer, x: V, by: V) -> V:
    """|x| with the sign bit of the other."""
    kind = {16: dtypes.u16, 32: dtypes.u32, 64: dtypes.u64}[x.dtype.bits]
    top = 1 << (x.dtype.bits - 1)
    bits, sign = (w.op("bitcast_convert", v, dtype=kind) for v in (x, by))
    size = w.op("and", bits, w.like(top - 1, bits))
    return w.op("bitcast_convert", w.op("or", size, w.op("and", sign, w.like(top, sign))), dtype=x.dtype)


@emits("copysign")
def _copysign(w: Writer, n: Node, xs: list[V]) -> V:
    return _signed(w, *both(w, xs))


@emits("floor_divide")
def _floor_divide(w: Writer, n: Node, xs: list[V]) -> V:
    a, b = both(w, xs)
    if a.dtype.kind == "u":
        return w.op("divide", a, b)
    r = w.op("remainder", a, b)
    if a.dtype.kind != "f":
        q = w.op("divide", a, b)
        return w.select(_unlike(w, r, b), w.op("subtract", q, w.like(1, q)), q)
    plain = w.op("divide", a, b)
    q = w.op("divide", w.op("subtract", a, r), b)
    q = w.select(_unlike(w, r, b), w.op("subtract", q, w.like(1, q)), q)
    whole = w.op("floor", q)
    more = w.compare("GT", w.op("subtract", q, whole), w.like(0.5, q))
    whole = w.select(more, w.op("add", whole, w.like(1, q)), whole)
    whole = w.select(w.compare("EQ", q, w.like(0, q)), _signed(w, w.like(0, q), plain), whole)
    return w.select(w.compare("EQ", b, w.like(0, b)), plain, whole)


@emits("pow")
def _pow(w: Writer, n: Node, xs: list[V]) -> V:
    a, b = both(w, xs)
    if a.dtype.kind in "fc":
        return w.op("power", a, b)
    return _by_squares(w, a, b)


def _by_squares(w: Writer, a: V, b: V) -> V:
    """An integer power, bit by bit of the exponent; a negative one is 0 unless |a| is 1."""
    out, base = w.like(1, a), a
    for k in range(a.dtype.bits - (a.dtype.kind == "i")):
        bit = w.op("and", b, w.like(1 << k, b))
        out = w.select(w.compare("NE", bit, w.like(0, b)), w.op("multiply", out, base), out)
        base = w.op("multiply", base, base)
    if a.dtype.kind == "u":
        return out
    odd = w.compare("NE", w.op("and", b, w.like(1, b)), w.like(0, b))
    one, less = w.like(1, a), w.like(-1, a)
    small = w.select(w.compare("EQ", a, one), one, w.like(0, a))
    small = w.select(w.compare("EQ", a, less), w.select(odd, less, one), small)
    return w.select(w.compare("LT", b, w.like(0, b)), small, out)


@emits("integer_pow")
def _integer_pow(w: Writer, n: Node, xs: list[V]) -> V:
    (x,) = xs
    k = n.attrs[0]
    if k < 0 and x.dtype.kind != "f" and x.dtype.kind != "c":
        return _by_squares(w, x, w.like(k, x))
    wide = w.cast(x, dtypes.f32) if x.dtype in dtypes.Half else x
    out: V | None = None
    base, left = wide, abs(k)
    while left:
        if left & 1:
            out = base if out is None else w.op("multiply", out, base)
        left >>= 1
        if left:
            base = w.op("multiply", base, base)
    made = w.like(1, wide) if out is None else out
    return w.cast(w.op("divide", w.like(1, made), made) if k < 0 else made, x.dtype)


@emits("shift_right")
def _shift_right(w: Writer, n: Node, xs: list[V]) -> V:
    a, b = both(w, xs)
    return w.op("shift_right_logical" if a.dtype.kind == "u" else "shift_right_arithmetic", a, b)


@emits("select")
def _select(w: Writer, n: Node, xs: list[V]) -> V:
    return w.select(*both(w, xs))


@emits("cast")
def _cast(w: Writer, n: Node, xs: list[V]) -> V:
    """Floats to integers are cut off at the ends of the type; NaN is 0."""
    (x,) = xs
    to = n.outputs[0].type.dtype
    if x.dtype.kind == "c" and to.kind not in "cb":
        return w.cast(w.op("real", x, dtype=x.dtype.to_real()), to)
    if to is dtypes.bool_ and x.dtype is not to:
        return w.compare("NE", x, w.like(0, x))
    if x.dtype.kind != "f" or not to.is_integer:
        return w.cast(x, to)
    return _cut(w, x, to)


def _cut(w: Writer, x: V, to: Any) -> V:
    if x.dtype in dtypes.Half:
        x = w.cast(x, dtypes.f32)
    bits = to.bits - (to.kind == "i")
    low = -(2.0**bits) if to.kind == "i" else 0.0
    whole = w.cast(w.select(is_nan(w, x), w.like(0, x), x), to)
    ends = (-(1 << bits), (1 << bits) - 1) if to.kind == "i" else (0, (1 << bits) - 1)
    whole = w.select(w.compare("LE", x, w.like(low, x)), w.like(ends[0], whole), whole)
    return w.select(w.compare("GE", x, w.like(2.0**bits, x)), w.like(ends[1], whole), whole)


@emits("bitcast")
def _bitcast(w: Writer, n: Node, xs: list[V]) -> V:
    return w.op("bitcast_convert", *xs, dtype=n.outputs[0].type.dtype)


@emits("round_tf32")
def _round_tf32(w: Writer, n: Node, xs: list[V]) -> V:
    (x,) = xs
    bits = w.op("bitcast_convert", x, dtype=dtypes.u32)
    rounded = w.op("and", w.op("add", bits, w.like(1 << 12, bits)), w.like(0xFFFFE000, bits))
    return w.select(is_nan(w, x), x, w.op("bitcast_convert", rounded, dtype=x.dtype))
