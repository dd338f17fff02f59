"""Graphs of random numbers, from a seed and an offset: what `ingot.random` is made of."""

from __future__ import annotations

import math

from ingot._tensor import Tensor
from ingot._tensor.composites import composite
from ingot._tensor.recording import cast, constant, record
from ingot.functions.common import apply
from ingot.ir.dtypes import DType, bf16, f16, f32, f64, i32, i64, u64
from ingot.ir.op import OPS
from ingot.ir.types import Shape

__all__ = [
    "unit", "uniform_numbers", "unit_numbers", "gauss", "integers", "new_seed", "permutation", "below", "race", "search",
    "transform",
]  # fmt: skip


def _shift(t: Tensor, n: int) -> Tensor:
    return apply("shift_right", t, constant(n, t.dtype))


def _bits64(seed: Tensor, offset: Tensor, shape: Shape) -> Tensor:
    words = apply("random_bits", seed, offset, attrs=((2, *shape),))
    rank = len(shape)
    halves = []
    for i in (0, 1):
        part = apply("slice", words, attrs=((i,) + (0,) * rank, (i + 1, *shape), (1,) * (rank + 1)))
        halves.append(cast(apply("reshape", part, attrs=(shape,)), u64))
    return apply("bitwise_or", apply("shift_left", halves[0], constant(32, u64)), halves[1])


def unit(seed: Tensor, offset: Tensor, shape: Shape, d: DType) -> Tensor:
    """Uniform in [0, 1), every value a multiple of the dtype's resolution."""
    if d is f64:
        return apply("mul", cast(_shift(_bits64(seed, offset, shape), 11), f64), constant(2.0**-53, f64))
    bits = apply("random_bits", seed, offset, attrs=(shape,))
    keep = {f16: 11, bf16: 8}.get(d, 24)
    whole = cast(cast(_shift(bits, 32 - keep), i32), f32)
    return cast(apply("mul", whole, constant(2.0**-keep, f32)), d)


@composite
def uniform_numbers(seed: Tensor, offset: Tensor, low: Tensor, high: Tensor, shape: Shape, d: DType) -> Tensor:
    u = cast(unit(seed, offset, shape, d), low.dtype)
    return cast(apply("add", low, apply("mul", u, apply("sub", high, low))), d)


@composite
def unit_numbers(seed: Tensor, offset: Tensor, shape: Shape, d: DType) -> Tensor:
    return unit(seed, offset, shape, d)


@composite
def gauss(seed: Tensor, offset: Tensor, mean: Tensor, std: Tensor, shape: Shape, d: DType) -> Tensor:
    """Box and Muller's transform, two words per element. The first is never 0, so its logarithm is finite."""
    wide = f64 if d is f64 else f32
    rank = len(shape)

    def part(t: Tensor, i: int) -> Tensor:
        cut = apply("slice", t, attrs=((i,) + (0,) * rank, (i + 1, *shape), (1,) * (rank + 1)))
        return apply("reshape", cut, attrs=(shape,))

    if wide is f64:
        u = unit(seed, offset, (2, *shape), f64)
        first, turn = apply("sub", constant(1.0, f64), part(u, 0)), part(u, 1)
    else:
        words = apply("random_bits", seed, offset, attrs=((2, *shape),))
        first = apply("add", apply("mul", cast(part(words, 0), f32), constant(2.0**-32, f32)), constant(2.0**-33, f32))
        turn = apply("mul", cast(cast(_shift(part(words, 1), 8), i32), f32), constant(2.0**-24, f32))
    radius = apply("sqrt", apply("mul", constant(-2.0, wide), apply("log", first)))
    z = apply("mul", radius, apply("cos", apply("mul", turn, constant(2 * math.pi, wide))))
    return cast(apply("add", apply("mul", z, std), mean), d)


@composite
def integers(seed: Tensor, offset: Tensor, low: Tensor, span: Tensor, shape: Shape, wide: bool, d: DType) -> Tensor:
    """low + a number below span: the high word of bits * span, or 64 bits modulo a span that does not fit in 32."""
    if wide:
        n = apply("remainder", _bits64(seed, offset, shape), span)
    else:
        n = _shift(apply("mul", cast(apply("random_bits", seed, offset, attrs=(shape,)), u64), span), 32)
    return cast(apply("add", cast(n, i64), low), d)


@composite
def new_seed(seed: Tensor, offset: Tensor) -> Tensor:
    """A seed of 63 bits for a stream of its own: of two blocks."""
    return cast(_shift(_bits64(seed, offset, ()), 1), i64)


@composite
def permutation(seed: Tensor, offset: Tensor, n: int, d: DType) -> Tensor:
    keys = cast(_shift(_bits64(seed, offset, (n,)), 1), i64)
    return cast(record(OPS["sort"], (keys,), (0, False))[1], d)


@composite
def below(seed: Tensor, offset: Tensor, p: Tensor, shape: Shape, d: DType) -> Tensor:
    """1 with probability p. A float64 p is compared with 53 random bits, others with 24."""
    wide = f64 if p.dtype is f64 else f32
    return cast(apply("lt", unit(seed, offset, shape, wide), cast(p, wide)), d)


@composite
def race(seed: Tensor, offset: Tensor, weights: Tensor, n: int) -> Tensor:
    """n draws without replacement: the n earliest of independent exponential arrivals with the weights as rates."""
    shape = weights._array.type.shape
    u = apply("sub", constant(1.0, f64), unit(seed, offset, shape, f64))
    arrival = apply("div", apply("neg", apply("log", u)), weights)
    never = apply("eq", weights, constant(0.0, f64))
    arrival = apply("select", never, constant(math.inf, f64), arrival)
    order = record(OPS["sort"], (arrival,), (len(shape) - 1, False))[1]
    return apply("slice", order, attrs=((0,) * len(shape), (*shape[:-1], n), (1,) * len(shape)))


@composite
def search(seed: Tensor, offset: Tensor, weights: Tensor, n: int) -> Tensor:
    """n draws with replacement: where uniform numbers fall among the cumulative weights, by bisection."""
    shape = weights._array.type.shape
    axis = len(shape) - 1
    k = int(weights.shape[axis])  # how many halves there are goes by it
    out = (*shape[:-1], n)
    sums = record(OPS["cumsum"], (weights,), (axis, False))
    total = apply("slice", sums, attrs=((0,) * axis + (k - 1,), shape, (1,) * len(shape)))
    goal = apply("mul", unit(seed, offset, out, f64), total)
    at = apply("broadcast", constant(0, i64), attrs=(out,))
    step = 1 << max(k - 1, 0).bit_length()
    while step:
        there = apply("add", at, constant(step, i64))
        fits = apply("le", there, constant(k - 1, i64))
        index = apply("minimum", apply("sub", there, constant(1, i64)), constant(k - 1, i64))
        passed = apply("le", record(OPS["gather"], (sums, index), (axis,)), goal)
        at = apply("select", apply("logical_and", fits, passed), there, at)
        step >>= 1
    return at


@composite
def transform(u: Tensor, a: Tensor, b: Tensor, kind: str, d: DType) -> Tensor:
    one = constant(1.0, u.dtype)
    if kind == "exponential":
        return cast(apply("div", apply("neg", apply("log", apply("sub", one, u))), a), d)
    if kind == "cauchy":
        angle = apply("mul", constant(math.pi, u.dtype), apply("sub", u, constant(0.5, u.dtype)))
        return cast(apply("add", a, apply("mul", b, apply("tan", angle))), d)
    trials = apply("ceil", apply("div", apply("log", apply("sub", one, u)), apply("log", apply("sub", one, a))))
    return cast(apply("maximum", trials, one), d)
