"""The algebra of `simplify`: one row per law, each exact to the bit (NaN payloads aside) and never worse than its input.

Signed zeros decide what is missing: x + 0.0 is not x where x is -0.0, but x - 0.0 is.
"""

from __future__ import annotations

from typing import Any

from ingot.ir.dtypes import DType
from ingot.ir.ops.movement import reach
from ingot.ir.passes.pattern import Fill, Just, Match, P, Rule, Splat, Var
from ingot.ir.size import smaller

__all__ = ["RULES"]

x, y, c = Var("x"), Var("y"), Var("c")
ZERO, NEG_ZERO, ONE, MINUS_ONE, TRUE, FALSE = Splat(0.0), Splat(-0.0), Splat(1), Splat(-1), Splat(True), Splat(False)
SIX = Splat(6.0)

FLOATS = ("f32", "f64", "bf16", "f16")
INTS = ("i32", "u8", "i64")
NUMBERS = ("f32", "bf16", "i32", "u8")
SIGNED = ("f32", "bf16", "i32")
BOOL = ("bool",)
ANY = ("f32", "bf16", "i32", "bool")


def integer(m: Match) -> bool:
    return m.x.type.dtype.kind in "iu"


def floating(m: Match) -> bool:
    return m.x.type.dtype.kind == "f"


def same_type(m: Match) -> bool:
    return m.x.type == m.out


def not_float(m: Match) -> bool:
    return m.x.type.dtype.kind != "f"


# -- movement --------------------------------------------------------------------------------------------------------


def moved(shape: tuple, perm: tuple) -> list:
    return [p for p in perm if shape[p] != 1]


def keeps_order(m: Match) -> bool:
    """Only dims of extent 1 change places."""
    order = moved(m.x.type.shape, m.p)
    return order == sorted(order)


def adds_ones(m: Match) -> bool:
    """The broadcast only adds leading dims of extent 1."""
    extra = len(m.s) - m.x.type.rank
    return extra > 0 and m.s[extra:] == m.x.type.shape and all(d == 1 for d in m.s[:extra])


def slice_starts(m: Match) -> tuple:
    return tuple(a + b * s for a, b, s in zip(m.a, m.b, m.s))


def slice_steps(m: Match) -> tuple:
    return tuple(s * t for s, t in zip(m.s, m.t))


def slice_stops(m: Match) -> tuple:
    """One past the last element taken, so that the stop is in range whatever the steps."""
    return tuple(start + reach(out, step) for out, start, step in zip(m.out.shape, slice_starts_in_range(m), slice_steps(m)))


def slice_starts_in_range(m: Match) -> tuple:
    return tuple(smaller(a, n) for a, n in zip(slice_starts(m), m.x.type.shape))


def no_padding(m: Match) -> bool:
    return all(p == 0 for p in (*m.l, *m.h)) and (not any(m.i) or m.x.type == m.out)


def pads_nothing_inside(m: Match) -> bool:
    return not any(m.i) and not any(m.j)


def add(a: str, b: str) -> Any:
    return lambda m: tuple(p + q for p, q in zip(m[a], m[b]))


def nothing_to_reverse(m: Match) -> bool:
    return all(m.x.type.shape[a] == 1 or m.x.type.shape[a] == 0 for a in m.a)


def nothing_to_reduce(m: Match) -> bool:
    return all(m.x.type.shape[a] == 1 for a in m.a)


def union(m: Match) -> tuple:
    return tuple(sorted({*m.a, *m.b}))


def difference(m: Match) -> tuple:
    """Axes reversed once; those reversed twice are not reversed at all."""
    return tuple(sorted({*m.a} ^ {*m.b}))


# -- casts -----------------------------------------------------------------------------------------------------------


def holds(wide: DType, narrow: DType) -> bool:
    """Whether every value of `narrow` is one of `wide`."""
    if wide is narrow or narrow.kind == "b":
        return True
    if wide.kind == "b":
        return False
    if narrow.kind == "f":
        exponents = {"f16": 5, "bf16": 8, "f32": 8, "f64": 11}
        return wide.kind == "f" and wide.bits > narrow.bits and exponents[wide.name] >= exponents[narrow.name]
    if wide.kind == "f":
        return {"f16": 11, "bf16": 8, "f32": 24, "f64": 53}[wide.name] >= narrow.bits - (narrow.kind == "i")
    if wide.kind == narrow.kind:
        return wide.bits > narrow.bits
    return wide.kind == "i" and wide.bits > narrow.bits


def lossless(m: Match) -> bool:
    return holds(m.d, m.x.type.dtype)


RULES = (
    # sums and products
    Rule("x + 0 = x", P.add(x, ZERO), x, integer, INTS),
    Rule("x + -0.0 = x", P.add(x, NEG_ZERO), x, floating, FLOATS),
    Rule("x - 0 = x", P.sub(x, ZERO), x, dtypes=NUMBERS),
    Rule("x - x = 0", P.sub(x, x), Fill(0), integer, INTS),
    Rule("x * 1 = x", P.mul(x, ONE), x, dtypes=NUMBERS),
    Rule("x * 0 = 0", P.mul(x, ZERO), Fill(0), integer, INTS),
    Rule("x * -1 = -x", P.mul(x, MINUS_ONE), P.neg(x), dtypes=SIGNED),
    Rule("x / 1 = x", P.div(x, ONE), x, dtypes=FLOATS),
    Rule("x // 1 = x", P.floor_divide(x, ONE), x, integer, INTS),
    Rule("-(-x) = x", P.neg(P.neg(x)), x, dtypes=NUMBERS),
    Rule("x + (-y) = x - y", P.add(x, P.neg(y)), P.sub(x, y), dtypes=NUMBERS),
    Rule("x - (-y) = x + y", P.sub(x, P.neg(y)), P.add(x, y), dtypes=NUMBERS),
    Rule("(-x) * (-y) = x * y", P.mul(P.neg(x), P.neg(y)), P.mul(x, y), dtypes=NUMBERS),
    Rule("1 / x = reciprocal x", P.div(ONE, x), P.reciprocal(x), dtypes=FLOATS),
    Rule("|-x| = |x|", P.abs(P.neg(x)), P.abs(x), dtypes=SIGNED),
    Rule("||x|| = |x|", P.abs(P.abs(x)), P.abs(x), dtypes=SIGNED),
    Rule("x ** 1 = x", P.integer_pow(x, exponent=Just(1)), x, dtypes=SIGNED),
    Rule("x ** 2 = x * x", P.integer_pow(x, exponent=Just(2)), P.mul(x, x), dtypes=SIGNED),
    Rule("max(x, x) = x", P.maximum(x, x), x, dtypes=NUMBERS),
    Rule("min(x, x) = x", P.minimum(x, x), x, dtypes=NUMBERS),
    Rule("floor(floor x) = floor x", P.floor(P.floor(x)), P.floor(x), dtypes=FLOATS),
    # logic
    Rule("not not x = x", P.logical_not(P.logical_not(x)), x, dtypes=BOOL),
    Rule("~~x = x", P.bitwise_not(P.bitwise_not(x)), x, dtypes=INTS),
    Rule("x and true = x", P.logical_and(x, TRUE), x, dtypes=BOOL),
    Rule("x and false = false", P.logical_and(x, FALSE), Fill(False), dtypes=BOOL),
    Rule("x and x = x", P.logical_and(x, x), x, dtypes=BOOL),
    Rule("x or true = true", P.logical_or(x, TRUE), Fill(True), dtypes=BOOL),
    Rule("x or false = x", P.logical_or(x, FALSE), x, dtypes=BOOL),
    Rule("x or x = x", P.logical_or(x, x), x, dtypes=BOOL),
    Rule("x xor false = x", P.logical_xor(x, FALSE), x, dtypes=BOOL),
    Rule("x & x = x", P.bitwise_and(x, x), x, dtypes=INTS),
    Rule("x | x = x", P.bitwise_or(x, x), x, dtypes=INTS),
    Rule("x | 0 = x", P.bitwise_or(x, ZERO), x, dtypes=INTS),
    Rule("x ^ 0 = x", P.bitwise_xor(x, ZERO), x, dtypes=INTS),
    Rule("x << 0 = x", P.shift_left(x, ZERO), x, dtypes=INTS),
    Rule("x >> 0 = x", P.shift_right(x, ZERO), x, dtypes=INTS),
    Rule("not (x == y) = x != y", P.logical_not(P.eq(x, y)), P.ne(x, y), dtypes=ANY),
    Rule("not (x != y) = x == y", P.logical_not(P.ne(x, y)), P.eq(x, y), dtypes=ANY),
    Rule("not (x < y) = x >= y", P.logical_not(P.lt(x, y)), P.ge(x, y), not_float, INTS),
    Rule("not (x <= y) = x > y", P.logical_not(P.le(x, y)), P.gt(x, y), not_float, INTS),
    Rule("select(true, x, y) = x", P.select(TRUE, x, y), x, dtypes=ANY),
    Rule("select(false, x, y) = y", P.select(FALSE, x, y), y, dtypes=ANY),
    Rule("select(c, x, x) = x", P.select(c, x, x), x, dtypes=ANY),
    Rule("select(not c, x, y) = select(c, y, x)", P.select(P.logical_not(c), x, y), P.select(c, y, x), dtypes=ANY),
    Rule("relu6 in two comparisons", P.select(P.le(x, ZERO), P.select(P.eq(x, ZERO), x, ZERO), P.select(P.ge(x, SIX), SIX, x)),
         P.select(P.lt(x, ZERO), ZERO, P.select(P.gt(x, SIX), SIX, x)), dtypes=FLOATS),
    # casts
    Rule("cast to its own dtype", P.cast(x, dtype="d"), x, same_type, ANY, attrs={"d": None}),
    Rule("cast of a lossless cast", P.cast(P.cast(x, dtype="d"), dtype="e"), P.cast(x, dtype=lambda m: m.e), lossless,
         ("f32", "i32", "bool"), attrs={"d": "f64", "e": "f16"}),
    Rule("bitcast to its own dtype", P.bitcast(x, dtype="d"), x, same_type, ANY, attrs={"d": None}),
    Rule("bitcast of bitcast", P.bitcast(P.bitcast(x, dtype="d"), dtype="e"), P.bitcast(x, dtype=lambda m: m.e), dtypes=("f32", "i32"),
         attrs={"d": "u32", "e": "f32"}),
    # movement
    Rule("reshape to its own shape", P.reshape(x, shape="s"), x, same_type, attrs={"s": (2, 3)}),
    Rule("reshape of reshape", P.reshape(P.reshape(x, shape="s"), shape="t"), P.reshape(x, shape=lambda m: m.t),
         attrs={"s": (3, 2), "t": (6, 1)}),
    Rule("transpose in order", P.transpose(x, perm="p"), x, lambda m: m.p == tuple(range(len(m.p))), attrs={"p": (0, 1)}),
    Rule("transpose of transpose", P.transpose(P.transpose(x, perm="p"), perm="q"),
         P.transpose(x, perm=lambda m: tuple(m.p[i] for i in m.q)), shapes={"x": (2, 3, 4)}, attrs={"p": (1, 2, 0), "q": (1, 0, 2)}),
    Rule("transpose of extents 1", P.transpose(x, perm="p"), P.reshape(x, shape=lambda m: m.out.shape), keeps_order,
         shapes={"x": (2, 1, 3)}, attrs={"p": (1, 0, 2)}),
    Rule("broadcast to its own shape", P.broadcast(x, shape="s"), x, same_type, attrs={"s": (2, 3)}),
    Rule("broadcast of broadcast", P.broadcast(P.broadcast(x, shape="s"), shape="t"), P.broadcast(x, shape=lambda m: m.t),
         shapes={"x": (3,)}, attrs={"s": (1, 3), "t": (4, 2, 3)}),
    Rule("broadcast that adds extents 1", P.broadcast(x, shape="s"), P.reshape(x, shape=lambda m: m.s), adds_ones,
         attrs={"s": (1, 1, 2, 3)}),
    Rule("slice of everything", P.slice(x, starts="a", stops="b", steps="s"), x, same_type, attrs={"a": (0, 0), "b": (2, 3), "s": (1, 1)}),
    Rule("slice of slice", P.slice(P.slice(x, starts="a", stops="z", steps="s"), starts="b", stops="w", steps="t"),
         P.slice(x, starts=slice_starts_in_range, stops=slice_stops, steps=slice_steps), shapes={"x": (9, 5)},
         attrs={"a": (1, 0), "z": (9, 4), "s": (2, 1), "b": (1, 2), "w": (4, 2), "t": (2, 3)}),
    Rule("pad by nothing", P.pad(x, y, low="l", high="h", interior="i"), x, no_padding, shapes={"y": ()},
         attrs={"l": (0, 0), "h": (0, 0), "i": (0, 0)}),
    Rule("pad of pad", P.pad(P.pad(x, y, low="l", high="h", interior="i"), y, low="k", high="g", interior="j"),
         P.pad(x, y, low=add("l", "k"), high=add("h", "g"), interior=lambda m: m.i), pads_nothing_inside, shapes={"y": ()},
         attrs={"l": (1, 0), "h": (0, 2), "i": (0, 0), "k": (0, 1), "g": (1, 1), "j": (0, 0)}),
    Rule("reverse of nothing", P.reverse(x, axes="a"), x, nothing_to_reverse, shapes={"x": (1, 3)}, attrs={"a": (0,)}),
    Rule("reverse of reverse", P.reverse(P.reverse(x, axes="a"), axes="b"), P.reverse(x, axes=difference), attrs={"a": (0, 1), "b": (1,)}),
    Rule("concatenate of one", P.concatenate(x, axis="a"), x, attrs={"a": 1}),
    # reductions
    *(Rule(f"{name} over extents 1", getattr(P, name)(x, axes="a"), x, nothing_to_reduce, d, {"x": (2, 1, 1)}, {"a": (1, 2)})
      for name, d in (("reduce_prod", NUMBERS), ("reduce_max", NUMBERS), ("reduce_min", NUMBERS),
                      ("reduce_and", BOOL), ("reduce_or", BOOL))),
    Rule("reduce_sum over extents 1 = x", P.reduce_sum(x, axes="a"), x, lambda m: integer(m) and nothing_to_reduce(m), INTS,
         {"x": (2, 1, 1)}, {"a": (1, 2)}),
    # a sum starts from 0.0, which -0.0 does not survive
    Rule("reduce_sum over extents 1 = x + 0.0", P.reduce_sum(x, axes="a"), P.add(x, ZERO), lambda m: floating(m) and nothing_to_reduce(m),
         FLOATS, {"x": (2, 1, 1)}, {"a": (1, 2)}),
    *(Rule(f"{name} of {name}", getattr(P, name)(getattr(P, name)(x, axes="a"), axes="b"), getattr(P, name)(x, axes=union), dtypes=d,
           shapes={"x": (2, 3, 4)}, attrs={"a": (1,), "b": (0, 2)})
      for name, d in (("reduce_max", NUMBERS), ("reduce_min", NUMBERS), ("reduce_and", BOOL), ("reduce_or", BOOL))),
)  # fmt: skip
