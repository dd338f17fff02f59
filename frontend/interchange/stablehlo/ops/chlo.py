"""chlo: operations that other ones are made of, and that frameworks have names for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.functions.common import apply, cast, scalar
from ingot.interchange.stablehlo.ops.bits import reinterpret, signed, unsigned
from ingot.interchange.stablehlo.ops.elementwise import binary, choose, compare, complex_, divide, power, remainder, shift_right_arithmetic
from ingot.interchange.stablehlo.ops.elementwise import shift_right_logical as shift_right
from ingot.interchange.stablehlo.rules import Call, op
from ingot.ir import dtypes

__all__: list[str] = []

_UNARY = {
    "acos": "acos", "acosh": "acosh", "asin": "asin", "asinh": "asinh", "atan": "atan", "atanh": "atanh", "cosh": "cosh", "sinh": "sinh",
    "tan": "tan", "erf": "erf", "erfc": "erfc", "is_inf": "isinf",
}  # fmt: skip


def _enter(name: str, own: str) -> None:
    @op(f"chlo.{name}", lifted=True)
    def rule(x: Tensor) -> Tensor:
        return apply(own, x)


for _name, _own in _UNARY.items():
    _enter(_name, _own)


def _wide(fn: Callable[..., Tensor], *xs: Tensor) -> Tensor:
    """A function of halves in float32, rounded once."""
    if xs[0].dtype not in dtypes.Half:
        return fn(*xs)
    return cast(fn(*[cast(x, dtypes.f32) for x in xs]), xs[0].dtype)


@op("chlo.lgamma", lifted=True)
def lgamma(x: Tensor) -> Tensor:
    return _wide(lambda v: apply("lgamma", v), x)


@op("chlo.digamma", lifted=True)
def digamma(x: Tensor) -> Tensor:
    """NaN at 0 and the negative integers."""
    out = _wide(lambda v: apply("digamma", v), x)
    return apply("select", apply("eq", x, scalar(0, x.dtype)), scalar(float("nan"), x.dtype), out)


@op("chlo.bessel_i1e", lifted=True)
def bessel_i1e(x: Tensor) -> Tensor:
    return _wide(ingot.special.i1e, x)


@op("chlo.erf_inv", lifted=True)
def erf_inv(x: Tensor) -> Tensor:
    return _wide(ingot.special.erfinv, x)


@op("chlo.conj", lifted=True)
def conj(x: Tensor) -> Tensor:
    return apply("conj", x) if x.dtype.kind == "c" else x


@op("chlo.square", lifted=True)
def square(x: Tensor) -> Tensor:
    return apply("mul", x, x)


@op("chlo.is_pos_inf", lifted=True)
def is_pos_inf(x: Tensor) -> Tensor:
    return apply("eq", x, scalar(float("inf"), x.dtype))


@op("chlo.is_neg_inf", lifted=True)
def is_neg_inf(x: Tensor) -> Tensor:
    return apply("eq", x, scalar(float("-inf"), x.dtype))


@op("chlo.next_after", lifted=True)
def next_after(x: Tensor, y: Tensor) -> Tensor:
    """The number beside x towards y: one more, or less, in the order of the bits."""
    kind = signed(x.dtype)
    bits = reinterpret(x, kind)
    zero = apply("eq", x, scalar(0, x.dtype))
    least = apply("bitwise_or", apply("bitwise_and", reinterpret(y, kind), scalar(-(1 << (kind.bits - 1)), kind)), scalar(1, kind))
    away = apply("eq", apply("lt", x, y), apply("gt", x, scalar(0, x.dtype)))
    moved = apply("add", bits, apply("select", away, scalar(1, kind), scalar(-1, kind)))
    out = reinterpret(apply("select", zero, least, moved), x.dtype)
    out = apply("select", apply("eq", x, y), y, out)
    return apply("select", apply("logical_or", apply("isnan", x), apply("isnan", y)), scalar(float("nan"), x.dtype), out)


@op("chlo.polygamma", lifted=True)
def polygamma(n: Tensor, x: Tensor) -> Tensor:
    """digamma for n = 0, else (-1)**(n + 1) n! zeta(n + 1, x)."""

    def fn(n: Tensor, x: Tensor) -> Tensor:
        one = scalar(1, x.dtype)
        factor = apply("exp", apply("lgamma", apply("add", n, one)))
        odd = apply("eq", apply("fmod", n, scalar(2, x.dtype)), scalar(0, x.dtype))
        series = apply("mul", apply("select", odd, apply("neg", factor), factor), ingot.special.zeta(apply("add", n, one), x))
        out = apply("select", apply("eq", n, scalar(0, x.dtype)), apply("digamma", x), series)
        whole = apply("logical_and", apply("eq", apply("trunc", n), n), apply("ge", n, scalar(0, x.dtype)))
        return apply("select", whole, out, scalar(float("nan"), x.dtype))

    return _wide(fn, n, x)


@op("chlo.zeta", lifted=True)
def zeta(x: Tensor, q: Tensor) -> Tensor:
    return _wide(ingot.special.zeta, x, q)


@op("chlo.mulhi", lifted=True)
def mulhi(x: Tensor, y: Tensor) -> Tensor:
    """The upper half of a product."""
    n = x.dtype.bits
    kind = signed if x.dtype.kind == "i" else unsigned
    if n < 64:
        wide = (
            {8: dtypes.i16, 16: dtypes.i32, 32: dtypes.i64}[n]
            if x.dtype.kind == "i"
            else {8: dtypes.u16, 16: dtypes.u32, 32: dtypes.u64}[n]
        )
        return cast(apply("shift_right", apply("mul", cast(x, wide), cast(y, wide)), scalar(n, wide)), kind(x.dtype))
    a, b = (reinterpret(v, dtypes.u64) for v in (x, y))
    half, mask = scalar(32, dtypes.u64), scalar(0xFFFFFFFF, dtypes.u64)

    def parts(v: Tensor) -> tuple[Tensor, Tensor]:
        return apply("bitwise_and", v, mask), apply("shift_right", v, half)

    (a0, a1), (b0, b1) = parts(a), parts(b)
    low, cross, other = apply("mul", a0, b0), apply("mul", a1, b0), apply("mul", a0, b1)
    middle = apply("add", apply("add", parts(low)[1], parts(cross)[0]), parts(other)[0])
    high = apply("add", apply("add", apply("mul", a1, b1), parts(cross)[1]), apply("add", parts(other)[1], parts(middle)[1]))
    if x.dtype.kind == "u":
        return high
    out = reinterpret(high, dtypes.i64)
    for p, q in ((x, y), (y, x)):
        out = apply("sub", out, apply("select", p < 0, q, scalar(0, dtypes.i64)))
    return out


@op("chlo.constant")
def constant(c: Call, *, value: Any) -> Any:
    return c.run.constant(c.op)


@op("chlo.constant_like")
def constant_like(c: Call, operand: Tensor, *, value: Any) -> Tensor:
    return apply("broadcast", scalar(value, c.dtype), attrs=(tuple(operand.shape),))


# ---- with broadcasting


def _broadcast(name: str, fn: Callable[..., Tensor]) -> None:
    @op(f"chlo.broadcast_{name}")
    def rule(c: Call, *xs: Tensor, broadcast_dimensions: Any = None, **attrs: Any) -> Tensor:
        if broadcast_dimensions is not None and len(xs) == 2 and xs[0].ndim != xs[1].ndim:
            small = 0 if xs[0].ndim < xs[1].ndim else 1
            rank = xs[1 - small].ndim
            spread: list[Any] = [1] * rank
            for d, n in zip(broadcast_dimensions, xs[small].shape):
                spread[d] = n
            xs = tuple(apply("reshape", x, attrs=(tuple(spread),)) if i == small else x for i, x in enumerate(xs))
        return fn(*xs, **attrs)


for _name in ("add", "subtract", "multiply", "maximum", "minimum", "and", "or", "xor", "atan2", "shift_left"):
    _broadcast(_name, lambda x, y, _name=_name: binary(_name, x, y))
for _name, _fn in (
    ("divide", divide), ("remainder", remainder), ("power", power), ("shift_right_logical", shift_right),
    ("shift_right_arithmetic", shift_right_arithmetic), ("complex", complex_), ("select", choose), ("next_after", next_after),
    ("polygamma", polygamma), ("zeta", zeta),
):  # fmt: skip
    _broadcast(_name, _fn)


@op("chlo.broadcast_compare")
def broadcast_compare(
    x: Tensor, y: Tensor, *, comparison_direction: str, compare_type: str = "NOTYPE", broadcast_dimensions: Any = None
) -> Tensor:
    return compare(x, y, comparison_direction=comparison_direction, compare_type=compare_type)


@op("chlo.ragged_dot")
def ragged_dot(
    c: Call, lhs: Tensor, rhs: Tensor, group_sizes: Tensor, *, lhs_batching_dimensions: Any = (), rhs_batching_dimensions: Any = (),
    lhs_contracting_dimensions: Any = (), rhs_contracting_dimensions: Any = (), lhs_ragged_dimensions: Any = (),
    rhs_group_dimensions: Any = (), precision_config: Any = None,
) -> Tensor:  # fmt: skip
    """[m, k] x [g, k, n], the rows of each group by its own matrix."""
    form = [list(v) for v in (lhs_batching_dimensions, lhs_contracting_dimensions, rhs_contracting_dimensions, lhs_ragged_dimensions,
                              rhs_group_dimensions)]  # fmt: skip
    if form != [[], [1], [1], [0], [0]] or group_sizes.ndim != 1:
        raise NotImplementedError("ragged products of other dims than [m, k] x [g, k, n]")
    m, g = lhs.shape[0], rhs.shape[0]
    ends = apply("cumsum", cast(group_sizes, dtypes.i64), attrs=(0, False))
    rows = apply("iota", attrs=(dtypes.i64, (m, g), 0))
    after = apply("lt", rows, apply("reshape", ends, attrs=((1, g),)))
    before = apply("ge", rows, apply("reshape", apply("sub", ends, cast(group_sizes, dtypes.i64)), attrs=((1, g),)))
    mine = cast(apply("logical_and", after, before), lhs.dtype)
    spread = apply("mul", apply("reshape", lhs, attrs=((m, 1, lhs.shape[1]),)), apply("reshape", mine, attrs=((m, g, 1),)))
    out = apply("dot", spread, rhs, attrs=(((), ()), ((1, 2), (0, 1))))
    return cast(out, c.dtype)
