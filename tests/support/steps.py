"""The steps that random graphs grow by: each emits a node or a few, and gives the value to go on with.

Steps that decide (comparisons, floor, sort, casts to integers) read only values that are exact in every implementation:
inputs, integers, and what movement, selection and the like make of them.
"""

from __future__ import annotations

import numpy as np

import ingot.ir.ops  # noqa: F401
from ingot.ir.builder import Builder
from ingot.ir.dtypes import bool_, f32, f64, i32, i64
from ingot.ir.graph import Value
from ingot.ir.op import OPS
from ingot.ir.types import tensor_type
from tests.support.grow import EXTENTS, MAX_NUMEL, Grower, Rejected


def is_float(v: Value) -> bool:
    return v.type.dtype.kind == "f"


def is_int(v: Value) -> bool:
    return v.type.dtype.kind in "iu"


def has_rank(v: Value) -> bool:
    return v.type.rank > 0


def not_empty(v: Value) -> bool:
    return v.type.numel > 0


def unary(g: Grower) -> Value:
    x = g.choose(is_float)
    name = g.pick(("sin", "cos", "tanh", "sigmoid", "erf", "erfc", "atan", "asinh", "neg", "abs", "sinh", "cosh", "expm1", "exp",
                   "exp2"))  # fmt: skip
    if name in ("sinh", "cosh", "expm1", "exp", "exp2") and not g.chance(0.3):
        x = g.emit("tanh", x)
    return g.emit(name, x, exact=name in ("neg", "abs"))


def guarded_unary(g: Grower) -> Value:
    """Functions that are steep or undefined near 0, of something away from it."""
    x = g.choose(is_float)
    away = g.emit("add", g.emit("abs", x), g.constant(0.5, x.type.dtype))
    name = g.pick(("sqrt", "rsqrt", "log2", "log10", "log1p", "reciprocal", "log", "acosh"))
    if name == "acosh":
        away = g.emit("add", away, g.constant(1.0, x.type.dtype))
    if name.startswith("log") and name != "log1p":
        away = g.emit("add", away, g.constant(1.0, x.type.dtype))  # their zero is at 1
    return g.emit(name, away)


def narrow_unary(g: Grower) -> Value:
    """Functions defined on (-1, 1)."""
    x = g.choose(is_float)
    inside = g.emit("mul", g.emit("tanh", x), g.constant(0.5, x.type.dtype))
    return g.emit(g.pick(("asin", "acos", "atanh", "tan")), inside)


def binary(g: Grower) -> Value:
    x = g.choose(is_float)
    name = g.pick(("add", "sub", "mul", "mul", "add", "maximum", "minimum", "copysign"))
    y = g.partner(x)
    if name in ("maximum", "minimum", "copysign") and not {x, y} <= g.exact:
        name = "add" if name == "copysign" else name
    if g.chance(0.5):
        x, y = y, x
    return g.emit(name, x, y, exact=name in ("maximum", "minimum", "copysign"))


def quotient(g: Grower) -> Value:
    x = g.choose(is_float)
    y = g.emit("add", g.emit("abs", g.partner(x)), g.constant(0.5, x.type.dtype))
    if g.chance(0.3):
        small = g.emit("tanh", x)
        return g.emit("pow", y, small)
    return g.emit("atan2" if g.chance(0.2) else "div", x, y)


def integer(g: Grower) -> Value:
    x = g.choose(is_int)
    y = g.partner(x)
    name = g.pick(("add", "sub", "mul", "maximum", "minimum", "floor_divide", "remainder", "fmod", "bitwise_and", "bitwise_or",
                   "bitwise_xor", "shift_left", "shift_right", "neg", "abs", "sign", "bitwise_not"))  # fmt: skip
    d = x.type.dtype
    if name in ("neg", "abs", "sign", "bitwise_not"):
        return g.emit(name, x, exact=True)
    if name in ("floor_divide", "remainder", "fmod"):
        y = g.emit("maximum", y, g.constant(1, d), exact=True)
    if name.startswith("shift"):
        y = g.emit("bitwise_and", y, g.constant(3, d), exact=True)
    return g.emit(name, x, y, exact=True)


def decide(g: Grower) -> Value:
    """A comparison of exact values, often used by a select at once."""
    x = g.choose(lambda v: v in g.exact and v.type.dtype is not bool_)
    y = g.partner(x)
    if y not in g.exact:
        raise Rejected
    mask = g.emit(g.pick(("eq", "ne", "lt", "le", "gt", "ge")), x, y, exact=True)
    if g.chance(0.3):
        return mask
    a = g.choose(lambda v: v.type.shape in (mask.type.shape, ()))
    return g.emit("select", mask, a, g.partner(a), exact=True)


def logic(g: Grower) -> Value:
    x = g.choose(lambda v: v.type.dtype is bool_)
    if g.chance(0.25):
        return g.emit("logical_not", x, exact=True)
    return g.emit(g.pick(("logical_and", "logical_or", "logical_xor")), x, g.partner(x), exact=True)


def discrete(g: Grower) -> Value:
    x = g.choose(lambda v: is_float(v) and v in g.exact)
    return g.emit(g.pick(("floor", "ceil", "round", "trunc", "sign")), x, exact=True)


def classify(g: Grower) -> Value:
    return g.emit(g.pick(("isnan", "isinf", "isfinite")), g.choose(is_float), exact=True)


def power(g: Grower) -> Value:
    return g.emit("integer_pow", g.choose(lambda v: v.type.dtype is not bool_), exponent=g.pick((0, 1, 2, 3)), exact=False)


def cast(g: Grower) -> Value:
    x = g.choose(lambda v: True)
    d = g.pick(g.dtypes)
    if is_float(x) and d.kind != "f" and x not in g.exact:
        d = f64 if x.type.dtype is f32 else f32
    return g.emit("cast", x, dtype=d, exact=True)


def reduction(g: Grower) -> Value:
    x = g.choose(lambda v: has_rank(v) and not_empty(v))
    n = int(g.rng.integers(1, x.type.rank + 1))
    axes = tuple(sorted(int(a) for a in g.rng.choice(x.type.rank, n, replace=False)))
    if x.type.dtype is bool_:
        return g.emit(g.pick(("reduce_and", "reduce_or")), x, axes=axes, exact=True)
    name = g.pick(("reduce_sum", "reduce_sum", "reduce_max", "reduce_min", "argmax", "argmin", "reduce_prod"))
    if name.startswith("arg"):
        if x not in g.exact:
            raise Rejected
        return g.emit(name, x, axis=axes[0], exact=True)
    return g.emit(name, x, axes=axes, exact=name in ("reduce_max", "reduce_min") or is_int(x))


def softmax(g: Grower) -> Value:
    """A chain of reductions over one axis, as networks have it."""
    x = g.choose(lambda v: is_float(v) and has_rank(v) and not_empty(v))
    axes = (x.type.rank - 1,)
    top = g.emit("reduce_max", x, axes=axes)
    if g.chance(0.5):
        top = g.emit("broadcast", top, shape=x.type.shape)
    e = g.emit("exp", g.emit("sub", x, top))
    return g.emit("div", e, g.emit("reduce_sum", e, axes=axes))


def normalise(g: Grower) -> Value:
    x = g.choose(lambda v: is_float(v) and has_rank(v) and not_empty(v))
    axes = (x.type.rank - 1,)
    scale = g.constant(1.0 / x.type.shape[-1], x.type.dtype)
    centred = g.emit("sub", x, g.emit("mul", g.emit("reduce_sum", x, axes=axes), scale))
    variance = g.emit("mul", g.emit("reduce_sum", g.emit("mul", centred, centred), axes=axes), scale)
    return g.emit("mul", centred, g.emit("rsqrt", g.emit("add", variance, g.constant(0.5, x.type.dtype))))


def reshape(g: Grower) -> Value:
    x = g.choose(lambda v: True)
    n = x.type.numel
    if n == 0:
        return g.emit("reshape", x, shape=(0, *x.type.shape[1:2]) if x.type.rank != 2 else x.type.shape[::-1], exact=True)
    shape = []
    while n > 1 and len(shape) < 3:
        factors = [f for f in range(1, n + 1) if n % f == 0]
        shape.append(g.pick(factors))
        n //= shape[-1]
    shape.append(n)
    if g.chance(0.3):
        shape.insert(int(g.rng.integers(len(shape) + 1)), 1)
    return g.emit("reshape", x, shape=tuple(shape), exact=True)


def transpose(g: Grower) -> Value:
    x = g.choose(lambda v: v.type.rank > 1)
    return g.emit("transpose", x, perm=tuple(int(i) for i in g.rng.permutation(x.type.rank)), exact=True)


def broadcast(g: Grower) -> Value:
    x = g.choose(lambda v: v.type.rank < 4)
    shape = tuple(g.pick(EXTENTS[:8]) if d == 1 else d for d in x.type.shape)
    if g.chance(0.5):
        shape = (g.pick(EXTENTS[:6]), *shape)
    if np.prod(shape) > MAX_NUMEL:
        raise Rejected
    return g.emit("broadcast", x, shape=shape, exact=True)


def slice_(g: Grower) -> Value:
    x = g.choose(has_rank)
    starts, stops, steps = [], [], []
    for n in x.type.shape:
        a = int(g.rng.integers(0, n + 1)) if g.chance(0.5) else 0
        b = int(g.rng.integers(a, n + 1)) if g.chance(0.5) else n
        if a == b and g.chance(0.8):
            a, b = 0, n
        starts.append(a)
        stops.append(b)
        steps.append(g.pick((1, 1, 1, 2, 3)))
    return g.emit("slice", x, starts=tuple(starts), stops=tuple(stops), steps=tuple(steps), exact=True)


def pad(g: Grower) -> Value:
    x = g.choose(has_rank)
    amounts = [tuple(g.pick((0, 0, 1, 2)) for _ in x.type.shape) for _ in range(2)]
    interior = tuple(g.pick((0, 0, 0, 1)) for _ in x.type.shape)
    value = g.constant(0 if g.chance(0.7) else 1, x.type.dtype)
    return g.emit("pad", x, value, low=amounts[0], high=amounts[1], interior=interior, exact=True)


def reverse(g: Grower) -> Value:
    x = g.choose(has_rank)
    return g.emit("reverse", x, axes=(int(g.rng.integers(x.type.rank)),), exact=True)


def concatenate(g: Grower) -> Value:
    x = g.choose(has_rank)
    axis = int(g.rng.integers(x.type.rank))

    def fits(v: Value) -> bool:
        s, t = v.type.shape, x.type.shape
        return v.type.dtype is x.type.dtype and len(s) == len(t) and all(a == b for i, (a, b) in enumerate(zip(s, t)) if i != axis)

    others = [g.choose(fits) for _ in range(int(g.rng.integers(0, 3)))]
    return g.emit("concatenate", x, *others, axis=axis, exact=True)


def iota(g: Grower) -> Value:
    shape = g.shape() or (3,)
    return g.emit("iota", dtype=g.pick((f32, i64, i32)), shape=shape, axis=int(g.rng.integers(len(shape))), exact=True)


def dot(g: Grower) -> Value:
    x = g.choose(lambda v: is_float(v) and 1 <= v.type.rank <= 3)
    *lead, k = x.type.shape
    batch = lead[:1] if len(lead) == 2 and g.chance(0.5) else []
    n = g.pick(EXTENTS)
    y = g.input((*batch, k, n), x.type.dtype)
    r = len(batch)
    pairs = (tuple(range(r)),) * 2
    return g.emit("dot", x, y, batch=pairs, contract=((x.type.rank - 1,), (r,)))


def gather(g: Grower) -> Value:
    x = g.choose(lambda v: has_rank(v) and not_empty(v))
    axis = int(g.rng.integers(x.type.rank))
    n = x.type.shape[axis]
    if g.chance(0.5):  # rows, as an embedding reads them
        at = g.input(g.pick(((3,), (2, 2), ())), i64, None)
        return _indexed(g, x, at, axis, n)
    shape = tuple(g.pick((2, 3, 5)) if i == axis else d for i, d in enumerate(x.type.shape))
    at = g.input(shape, i64, g.rng.integers(-n, n, shape))
    if g.chance(0.4):
        if x.type.dtype is bool_:
            raise Rejected
        src = g.input(shape, x.type.dtype)
        return g.emit("scatter", x, at, src, axis=axis, mode=g.pick(("set", "add")), exact=is_int(x))
    return g.emit("gather", x, at, axis=axis, exact=True)


def _indexed(g: Grower, x: Value, at: Value, axis: int, n: int) -> Value:
    index = g.rng.integers(-n, n, at.type.shape)
    g.arrays[g.b.inputs.index(at)] = g.value[at] = np.asarray(index, np.int64)
    if g.chance(0.35) and x.type.dtype is not bool_:
        shape = (*x.type.shape[:axis], *at.type.shape, *x.type.shape[axis + 1 :])
        return g.emit("index_put", x, g.input(shape, x.type.dtype), at, axes=(axis,), mode=g.pick(("set", "add")), exact=is_int(x))
    return g.emit("index_get", x, at, axes=(axis,), exact=True)


def cumulative(g: Grower) -> Value:
    x = g.choose(lambda v: has_rank(v) and v.type.dtype is not bool_ and v in g.exact)
    axis = int(g.rng.integers(x.type.rank))
    if g.chance(0.3) and not_empty(x):
        values, at = g.emit("sort", x, axis=axis, descending=g.chance(0.5), exact=True)
        return g.pick((values, at))
    if g.chance(0.3) and not_empty(x):
        values, at = g.emit(g.pick(("cummax", "cummin")), x, axis=axis, exact=True)
        return g.pick((values, at))
    return g.emit(g.pick(("cumsum", "cumsum", "cumprod")), x, axis=axis, reverse=g.chance(0.5), exact=is_int(x))


def window(g: Grower) -> Value:
    x = g.choose(lambda v: v.type.rank >= 2 and v.type.dtype is not bool_ and all(d >= 2 for d in v.type.shape[-1:]))
    k = 2 if x.type.rank >= 3 and x.type.shape[-2] >= 2 and g.chance(0.6) else 1
    w = tuple(min(g.pick((2, 3)), d) for d in x.type.shape[-k:])
    pads = tuple((g.pick((0, 1)), g.pick((0, 1))) for _ in range(k))
    stride = tuple(g.pick((1, 2)) for _ in range(k))
    name = g.pick(("window_max", "window_sum", "window_argmax"))
    if name == "window_argmax" and x not in g.exact:
        name = "window_max"
    exact = name != "window_sum" or is_int(x)
    return g.emit(name, x, window=w, stride=stride, padding=pads, dilation=(1,) * k, exact=exact)


def convolution(g: Grower) -> Value:
    d = g.pick((f32, f32, f64))
    k = g.pick((1, 2, 2))
    groups = g.pick((1, 1, 1, 2))
    channels = groups * g.pick((1, 2, 3))
    sizes = tuple(g.pick((3, 5, 8)) for _ in range(k))
    x = g.input((g.pick((1, 2)), channels, *sizes), d)
    w = g.input((groups * g.pick((1, 2, 4)), channels // groups, *(g.pick((1, 2, 3)) for _ in range(k))), d)
    stride, dilation = tuple(g.pick((1, 1, 2)) for _ in range(k)), tuple(g.pick((1, 1, 2)) for _ in range(k))
    padding = tuple((g.pick((1, 2)), g.pick((1, 2))) for _ in range(k))
    return g.emit("conv", x, w, stride=stride, padding=padding, dilation=dilation, groups=groups)


def composite(g: Grower) -> Value:
    """A call: of x * sigmoid(x) times something, or of a small reduction."""
    x = g.choose(lambda v: is_float(v) and not_empty(v))
    b = Builder("composite")
    a = b.expr(b.input(x.type, "a"))
    if g.chance(0.5) or not x.type.rank:
        out = a * OPS["sigmoid"](a)
    else:
        out = OPS["tanh"](a - a.sum((x.type.rank - 1,)))
    return g.emit("call", x, graph=b.freeze((out.value,)))


def scan(g: Grower) -> Value:
    """A recurrence h = tanh(h * f(w) + x) over the first dim of x, with a carry and a stack that may go unread."""
    x = g.choose(lambda v: is_float(v) and v.type.rank in (2, 3) and not_empty(v) and v.type.shape[0] <= 8)
    step = tensor_type(x.type.dtype, x.type.shape[1:])
    b = Builder("cell")
    w, h, count, xt = (b.expr(b.input(t, n)) for n, t in (("w", step), ("h", step), ("count", tensor_type(x.type.dtype, ())), ("x", step)))
    weight = OPS["sigmoid"](w) if g.chance(0.5) else w
    new = OPS["tanh"](h * weight + xt)
    body = b.freeze((new.value, (count + 0.5).value, (new * 2.0).value, (count * weight).value))
    consts = g.input(step.shape, step.dtype), g.input(step.shape, step.dtype), g.input((), step.dtype, scalar=g.chance(0.5))
    outs = g.emit("scan", *consts, x, body=body, n_const=1, n_carry=2, length=x.type.shape[0], reverse=g.chance(0.3))
    return g.pick(outs)


def random(g: Grower) -> Value:
    seed = g.input((), i64, np.array(int(g.rng.integers(1 << 40))), scalar=True)
    offset = g.input((), i64, np.array(int(g.rng.integers(1000))), scalar=True)
    bits = g.emit("random_bits", seed, offset, shape=g.shape(), exact=True)
    return g.emit("cast", g.emit("shift_right", bits, g.constant(24, bits.type.dtype), exact=True), dtype=f32, exact=True)


STEPS = (
    unary, unary, unary, guarded_unary, narrow_unary, binary, binary, binary, binary, quotient, integer, integer, decide, decide, logic,
    discrete, classify, power, cast, reduction, reduction, reduction, softmax, normalise, reshape, reshape, transpose, broadcast, slice_,
    pad, reverse, concatenate, iota, dot, dot, gather, gather, cumulative, window, convolution, composite, scan, random,
)  # fmt: skip
