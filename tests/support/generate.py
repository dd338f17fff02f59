"""Random graphs for the fuzz tests: `generate(seed, size)` -> (Graph, arrays).

Values are computed while the graph grows, so that every graph is well defined (indices in range, no division by zero)
and numerically tame (no overflow, no cancellation that magnifies rounding): compiled code can be compared with the
interpreter. Steps that decide (comparisons, floor, sort, casts to integers) read only values that are exact in every
implementation: inputs, integers, and what movement, selection and the like make of them.

`shrink(graph, arrays, fails)` looks for a smaller failing graph; `case_text` and `parse_case` write a case down and read it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import ingot.ir.ops  # noqa: F401
from ingot.ir import interpret
from ingot.ir.builder import Builder
from ingot.ir.dtypes import DType, bool_, by_name, by_numpy, f32, f64, i32, i64
from ingot.ir.graph import Graph, Value
from ingot.ir.op import OPS, infer
from ingot.ir.passes.dce import dce
from ingot.ir.text import parse, print_graph
from ingot.ir.types import ShapeError, broadcast_shapes, tensor_type

EXTENTS = (1, 1, 2, 3, 3, 4, 5, 7, 8, 16, 17, 33)
LIMIT = 1e3  # magnitudes beyond this are not kept
MAX_NUMEL = 4096


def generate(seed: int, size: int = 12, dtypes: Sequence[str] = ("f32", "f32", "f32", "f64", "i32", "i64", "bool", "bf16", "f16")) -> tuple:
    """A random graph of about `size` steps and arrays for its inputs, a function of the arguments alone."""
    return _Generator(np.random.default_rng(seed), [by_name(d) for d in dtypes], f"fuzz_{seed}").run(size)


def redrawn(graph: Graph, arrays: Sequence[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Other arrays for a generated graph: the same elements in another order, so that indices stay in range; other random seeds."""
    seeds = {v for n in graph.nodes if n.op.name == "random_bits" for v in n.inputs}
    return [
        a + 1 if v in seeds else rng.permutation(a.reshape(-1)).reshape(a.shape) if a.ndim or by_numpy(a.dtype).kind != "f" else -a
        for v, a in zip(graph.inputs, arrays)
    ]


class _Rejected(Exception):
    """A step that would give a value outside the tame range."""


class _Generator:
    def __init__(self, rng: np.random.Generator, dtypes: list[DType], name: str):
        self.rng = rng
        self.dtypes = dtypes
        self.b = Builder(name)
        self.arrays: list[np.ndarray] = []
        self.value: dict[Value, np.ndarray] = {}  # every value so far, computed
        self.exact: set[Value] = set()
        self.read: set[Value] = set()
        self.pool: list[Value] = []  # what steps choose from

    def run(self, size: int) -> tuple[Graph, list[np.ndarray]]:
        for _ in range(int(self.rng.integers(1, 4))):
            self.pool.append(self.input(self.shape(), self.pick(self.dtypes)))
        done = tries = 0
        while done < size and tries < size * 10:
            tries += 1
            step = self.pick(STEPS)
            mark = len(self.b.nodes)
            try:
                out = step(self)
            except _Rejected:
                dropped = {v for n in self.b.nodes[mark:] for v in n.outputs}
                del self.b.nodes[mark:]
                self.b._constants = {c: v for c, v in self.b._constants.items() if v not in dropped}
                continue
            if out is not None:
                self.pool.append(out)
                done += 1
        made = {v for n in self.b.nodes for v in n.outputs}
        read = {v for n in self.b.nodes for v in n.inputs}
        outputs = [v for v in self.pool if v in made and v not in read]
        outputs += [v for v in self.pool if v in made and v in read and self.rng.random() < 0.15]
        if not outputs:
            outputs = [self.pool[-1]]
        return self.b.freeze(tuple(outputs)), self.arrays

    # -- choices --

    def pick(self, options: Sequence) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def shape(self) -> tuple[int, ...]:
        rank = int(self.rng.choice([0, 1, 2, 2, 3, 4]))
        shape = tuple(0 if self.chance(0.02) else self.pick(EXTENTS[: 12 - 2 * rank]) for _ in range(rank))
        return shape if np.prod(shape) <= MAX_NUMEL else shape[:2]

    def choose(self, ok: Callable[[Value], bool]) -> Value:
        """A value of the pool for which `ok` holds, or a fresh input of a random shape that does."""
        found = [v for v in self.pool if ok(v)]
        if not found:
            raise _Rejected
        # the latest are likelier: chains grow long
        return found[-1 - min(int(self.rng.exponential(3)), len(found) - 1)]

    def input(self, shape: tuple[int, ...], dtype: DType, data: np.ndarray | None = None, scalar: bool = False) -> Value:
        v = self.b.input(tensor_type(dtype, shape), f"x{len(self.arrays)}", scalar and not shape)
        if data is None:
            if dtype is bool_:
                data = self.rng.integers(0, 2, shape)
            elif dtype.kind == "f":
                data = self.rng.uniform(-3, 3, shape)
                data = np.where(self.rng.random(shape) < 0.1, np.round(data), data)
            else:
                data = self.rng.integers(0 if dtype.kind == "u" else -9, 10, shape)
        array = np.asarray(data).astype(np.float32 if dtype.bits == 16 and dtype.kind == "f" else dtype.numpy).astype(dtype.numpy)
        self.arrays.append(array)
        self.value[v] = array
        self.exact.add(v)
        return v

    def constant(self, data: Any, dtype: DType) -> Value:
        v = self.b.constant(data, dtype)
        self.value[v] = self.b.nodes[-1].attrs[0].array() if v not in self.value else self.value[v]
        self.exact.add(v)
        return v

    def emit(self, name: str, *inputs: Value, exact: bool = False, **attrs: Any) -> Any:
        """One op, computed at once; _Rejected where the result is not tame."""
        op = OPS[name]
        given = op.attr_tuple(attrs)
        try:
            infer(op, tuple(v.type for v in inputs), given)
        except ShapeError:
            raise _Rejected from None
        with np.errstate(all="ignore"):
            out = op.ref(*(self.value[v] for v in inputs), *given)
        out = out if isinstance(out, tuple) else (out,)
        for a in out:
            if a.size > 4 * MAX_NUMEL or (by_numpy(a.dtype).kind == "f" and not (np.abs(a.astype(np.float64)) <= LIMIT).all()):
                raise _Rejected
        values = self.b.emit(op, inputs, given)
        for v, a in zip(values, out):
            self.value[v] = np.asarray(a)
            if exact and all(i in self.exact for i in inputs):
                self.exact.add(v)
        return values if len(values) > 1 else values[0]

    def partner(self, v: Value) -> Value:
        """A value of the same dtype that broadcasts with v: one of the pool, or fresh."""

        def fits(w: Value) -> bool:
            if w.type.dtype is not v.type.dtype:
                return False
            try:
                return int(np.prod(broadcast_shapes(v.type.shape, w.type.shape))) <= MAX_NUMEL
            except RuntimeError:
                return False

        found = [w for w in self.pool if fits(w)]
        if found and self.chance(0.7):
            return self.pick(found)
        shape = tuple(1 if self.chance(0.3) else d for d in v.type.shape)[int(self.rng.integers(0, v.type.rank + 1)) :]
        if self.chance(0.25):
            d = v.type.dtype
            return self.constant(self.pick([True, False]) if d is bool_ else self.pick([0, 1, 2, -1 if d.kind == "i" else 3]), d)
        if self.chance(0.3):
            return self.input((), v.type.dtype, scalar=self.chance(0.5))
        return self.input(shape, v.type.dtype)


def is_float(v: Value) -> bool:
    return v.type.dtype.kind == "f"


def is_int(v: Value) -> bool:
    return v.type.dtype.kind in "iu"


def has_rank(v: Value) -> bool:
    return v.type.rank > 0


def not_empty(v: Value) -> bool:
    return v.type.numel > 0


# -- steps: each emits a node or a few, and gives the value to go on with ---------------------------------------------


def unary(g: _Generator) -> Value:
    x = g.choose(is_float)
    name = g.pick(("sin", "cos", "tanh", "sigmoid", "erf", "erfc", "atan", "asinh", "neg", "abs", "sinh", "cosh", "expm1", "exp",
                   "exp2"))  # fmt: skip
    if name in ("sinh", "cosh", "expm1", "exp", "exp2") and not g.chance(0.3):
        x = g.emit("tanh", x)
    return g.emit(name, x, exact=name in ("neg", "abs"))


def guarded_unary(g: _Generator) -> Value:
    """Functions that are steep or undefined near 0, of something away from it."""
    x = g.choose(is_float)
    away = g.emit("add", g.emit("abs", x), g.constant(0.5, x.type.dtype))
    name = g.pick(("sqrt", "rsqrt", "log2", "log10", "log1p", "reciprocal", "log", "acosh"))
    if name == "acosh":
        away = g.emit("add", away, g.constant(1.0, x.type.dtype))
    if name.startswith("log") and name != "log1p":
        away = g.emit("add", away, g.constant(1.0, x.type.dtype))  # their zero is at 1
    return g.emit(name, away)


def narrow_unary(g: _Generator) -> Value:
    """Functions defined on (-1, 1)."""
    x = g.choose(is_float)
    inside = g.emit("mul", g.emit("tanh", x), g.constant(0.5, x.type.dtype))
    return g.emit(g.pick(("asin", "acos", "atanh", "tan")), inside)


def binary(g: _Generator) -> Value:
    x = g.choose(is_float)
    name = g.pick(("add", "sub", "mul", "mul", "add", "maximum", "minimum", "copysign"))
    y = g.partner(x)
    if name in ("maximum", "minimum", "copysign") and not {x, y} <= g.exact:
        name = "add" if name == "copysign" else name
    if g.chance(0.5):
        x, y = y, x
    return g.emit(name, x, y, exact=name in ("maximum", "minimum", "copysign"))


def quotient(g: _Generator) -> Value:
    x = g.choose(is_float)
    y = g.emit("add", g.emit("abs", g.partner(x)), g.constant(0.5, x.type.dtype))
    if g.chance(0.3):
        small = g.emit("tanh", x)
        return g.emit("pow", y, small)
    return g.emit("atan2" if g.chance(0.2) else "div", x, y)


def integer(g: _Generator) -> Value:
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


def decide(g: _Generator) -> Value:
    """A comparison of exact values, often used by a select at once."""
    x = g.choose(lambda v: v in g.exact and v.type.dtype is not bool_)
    y = g.partner(x)
    if y not in g.exact:
        raise _Rejected
    mask = g.emit(g.pick(("eq", "ne", "lt", "le", "gt", "ge")), x, y, exact=True)
    if g.chance(0.3):
        return mask
    a = g.choose(lambda v: v.type.shape in (mask.type.shape, ()))
    return g.emit("select", mask, a, g.partner(a), exact=True)


def logic(g: _Generator) -> Value:
    x = g.choose(lambda v: v.type.dtype is bool_)
    if g.chance(0.25):
        return g.emit("logical_not", x, exact=True)
    return g.emit(g.pick(("logical_and", "logical_or", "logical_xor")), x, g.partner(x), exact=True)


def discrete(g: _Generator) -> Value:
    x = g.choose(lambda v: is_float(v) and v in g.exact)
    return g.emit(g.pick(("floor", "ceil", "round", "trunc", "sign")), x, exact=True)


def classify(g: _Generator) -> Value:
    return g.emit(g.pick(("isnan", "isinf", "isfinite")), g.choose(is_float), exact=True)


def power(g: _Generator) -> Value:
    return g.emit("integer_pow", g.choose(lambda v: v.type.dtype is not bool_), exponent=g.pick((0, 1, 2, 3)), exact=False)


def cast(g: _Generator) -> Value:
    x = g.choose(lambda v: True)
    d = g.pick(g.dtypes)
    if is_float(x) and d.kind != "f" and x not in g.exact:
        d = f64 if x.type.dtype is f32 else f32
    return g.emit("cast", x, dtype=d, exact=True)


def reduction(g: _Generator) -> Value:
    x = g.choose(lambda v: has_rank(v) and not_empty(v))
    n = int(g.rng.integers(1, x.type.rank + 1))
    axes = tuple(sorted(int(a) for a in g.rng.choice(x.type.rank, n, replace=False)))
    if x.type.dtype is bool_:
        return g.emit(g.pick(("reduce_and", "reduce_or")), x, axes=axes, exact=True)
    name = g.pick(("reduce_sum", "reduce_sum", "reduce_max", "reduce_min", "argmax", "argmin", "reduce_prod"))
    if name.startswith("arg"):
        if x not in g.exact:
            raise _Rejected
        return g.emit(name, x, axis=axes[0], exact=True)
    return g.emit(name, x, axes=axes, exact=name in ("reduce_max", "reduce_min") or is_int(x))


def softmax(g: _Generator) -> Value:
    """A chain of reductions over one axis, as networks have it."""
    x = g.choose(lambda v: is_float(v) and has_rank(v) and not_empty(v))
    axes = (x.type.rank - 1,)
    top = g.emit("reduce_max", x, axes=axes)
    if g.chance(0.5):
        top = g.emit("broadcast", top, shape=x.type.shape)
    e = g.emit("exp", g.emit("sub", x, top))
    return g.emit("div", e, g.emit("reduce_sum", e, axes=axes))


def normalise(g: _Generator) -> Value:
    x = g.choose(lambda v: is_float(v) and has_rank(v) and not_empty(v))
    axes = (x.type.rank - 1,)
    scale = g.constant(1.0 / x.type.shape[-1], x.type.dtype)
    centred = g.emit("sub", x, g.emit("mul", g.emit("reduce_sum", x, axes=axes), scale))
    variance = g.emit("mul", g.emit("reduce_sum", g.emit("mul", centred, centred), axes=axes), scale)
    return g.emit("mul", centred, g.emit("rsqrt", g.emit("add", variance, g.constant(0.5, x.type.dtype))))


def reshape(g: _Generator) -> Value:
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


def transpose(g: _Generator) -> Value:
    x = g.choose(lambda v: v.type.rank > 1)
    return g.emit("transpose", x, perm=tuple(int(i) for i in g.rng.permutation(x.type.rank)), exact=True)


def broadcast(g: _Generator) -> Value:
    x = g.choose(lambda v: v.type.rank < 4)
    shape = tuple(g.pick(EXTENTS[:8]) if d == 1 else d for d in x.type.shape)
    if g.chance(0.5):
        shape = (g.pick(EXTENTS[:6]), *shape)
    if np.prod(shape) > MAX_NUMEL:
        raise _Rejected
    return g.emit("broadcast", x, shape=shape, exact=True)


def slice_(g: _Generator) -> Value:
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


def pad(g: _Generator) -> Value:
    x = g.choose(has_rank)
    amounts = [tuple(g.pick((0, 0, 1, 2)) for _ in x.type.shape) for _ in range(2)]
    interior = tuple(g.pick((0, 0, 0, 1)) for _ in x.type.shape)
    value = g.constant(0 if g.chance(0.7) else 1, x.type.dtype)
    return g.emit("pad", x, value, low=amounts[0], high=amounts[1], interior=interior, exact=True)


def reverse(g: _Generator) -> Value:
    x = g.choose(has_rank)
    return g.emit("reverse", x, axes=(int(g.rng.integers(x.type.rank)),), exact=True)


def concatenate(g: _Generator) -> Value:
    x = g.choose(has_rank)
    axis = int(g.rng.integers(x.type.rank))

    def fits(v: Value) -> bool:
        s, t = v.type.shape, x.type.shape
        return v.type.dtype is x.type.dtype and len(s) == len(t) and all(a == b for i, (a, b) in enumerate(zip(s, t)) if i != axis)

    others = [g.choose(fits) for _ in range(int(g.rng.integers(0, 3)))]
    return g.emit("concatenate", x, *others, axis=axis, exact=True)


def iota(g: _Generator) -> Value:
    shape = g.shape() or (3,)
    return g.emit("iota", dtype=g.pick((f32, i64, i32)), shape=shape, axis=int(g.rng.integers(len(shape))), exact=True)


def dot(g: _Generator) -> Value:
    x = g.choose(lambda v: is_float(v) and 1 <= v.type.rank <= 3)
    *lead, k = x.type.shape
    batch = lead[:1] if len(lead) == 2 and g.chance(0.5) else []
    n = g.pick(EXTENTS)
    y = g.input((*batch, k, n), x.type.dtype)
    r = len(batch)
    pairs = (tuple(range(r)),) * 2
    return g.emit("dot", x, y, batch=pairs, contract=((x.type.rank - 1,), (r,)))


def gather(g: _Generator) -> Value:
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
            raise _Rejected
        src = g.input(shape, x.type.dtype)
        return g.emit("scatter", x, at, src, axis=axis, mode=g.pick(("set", "add")), exact=is_int(x))
    return g.emit("gather", x, at, axis=axis, exact=True)


def _indexed(g: _Generator, x: Value, at: Value, axis: int, n: int) -> Value:
    index = g.rng.integers(-n, n, at.type.shape)
    g.arrays[g.b.inputs.index(at)] = g.value[at] = np.asarray(index, np.int64)
    if g.chance(0.35) and x.type.dtype is not bool_:
        shape = (*x.type.shape[:axis], *at.type.shape, *x.type.shape[axis + 1 :])
        return g.emit("index_put", x, g.input(shape, x.type.dtype), at, axes=(axis,), mode=g.pick(("set", "add")), exact=is_int(x))
    return g.emit("index_get", x, at, axes=(axis,), exact=True)


def cumulative(g: _Generator) -> Value:
    x = g.choose(lambda v: has_rank(v) and v.type.dtype is not bool_ and v in g.exact)
    axis = int(g.rng.integers(x.type.rank))
    if g.chance(0.3) and not_empty(x):
        values, at = g.emit("sort", x, axis=axis, descending=g.chance(0.5), exact=True)
        return g.pick((values, at))
    if g.chance(0.3) and not_empty(x):
        values, at = g.emit(g.pick(("cummax", "cummin")), x, axis=axis, exact=True)
        return g.pick((values, at))
    return g.emit(g.pick(("cumsum", "cumsum", "cumprod")), x, axis=axis, reverse=g.chance(0.5), exact=is_int(x))


def window(g: _Generator) -> Value:
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


def convolution(g: _Generator) -> Value:
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


def composite(g: _Generator) -> Value:
    """A call: of x * sigmoid(x) times something, or of a small reduction."""
    x = g.choose(lambda v: is_float(v) and not_empty(v))
    b = Builder("composite")
    a = b.expr(b.input(x.type, "a"))
    if g.chance(0.5) or not x.type.rank:
        out = a * OPS["sigmoid"](a)
    else:
        out = OPS["tanh"](a - a.sum((x.type.rank - 1,)))
    return g.emit("call", x, graph=b.freeze((out.value,)))


def scan(g: _Generator) -> Value:
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


def random(g: _Generator) -> Value:
    seed = g.input((), i64, np.array(int(g.rng.integers(1 << 40))), scalar=True)
    offset = g.input((), i64, np.array(int(g.rng.integers(1000))), scalar=True)
    bits = g.emit("random_bits", seed, offset, shape=g.shape(), exact=True)
    return g.emit("cast", g.emit("shift_right", bits, g.constant(24, bits.type.dtype), exact=True), dtype=f32, exact=True)


STEPS = (
    unary, unary, unary, guarded_unary, narrow_unary, binary, binary, binary, binary, quotient, integer, integer, decide, decide, logic,
    discrete, classify, power, cast, reduction, reduction, reduction, softmax, normalise, reshape, reshape, transpose, broadcast, slice_,
    pad, reverse, concatenate, iota, dot, dot, gather, gather, cumulative, window, convolution, composite, scan, random,
)  # fmt: skip


# -- shrinking and writing down ---------------------------------------------------------------------------------------


def shrink(graph: Graph, arrays: Sequence[np.ndarray], fails: Callable[[Graph, list[np.ndarray]], bool]) -> tuple[Graph, list[np.ndarray]]:
    """A smaller graph (with its arrays) for which `fails(graph, arrays)` still holds: fewer outputs, fewer nodes.

    Nodes are cut off at their end (what read them reads an input holding their value) and dropped at the front.
    """
    best: tuple[Graph, list[np.ndarray]] = (graph, list(arrays))

    def attempt(candidate: Graph, values: list[np.ndarray]) -> bool:
        nonlocal best
        try:
            smaller = _used(dce(candidate), values)
            if not fails(*smaller):
                return False
        except Exception:  # the candidate is broken in another way
            return False
        best = smaller
        return True

    for v in graph.outputs:
        if len(graph.outputs) > 1 and attempt(graph.replace(outputs=(v,)), list(arrays)):
            break
    progress = True
    while progress:
        progress = False
        g, values = best
        for n in reversed(g.nodes[:-1]):  # cut: the node's results become inputs
            if n.op.name == "constant":
                continue
            results = interpret.run(g.replace(outputs=n.outputs), values)
            names = tuple(f"cut{len(g.inputs) + i}" for i in range(len(n.outputs)))
            candidate = g.replace(
                inputs=g.inputs + n.outputs, input_names=g.input_names + names, nodes=tuple(m for m in g.nodes if m is not n)
            )
            if attempt(candidate, [*values, *results]):
                progress = True
                break
        else:
            for n in reversed(g.nodes[:-1]):  # end the graph here
                if attempt(g.replace(outputs=n.outputs), values):
                    progress = True
                    break
    return best


def _used(g: Graph, arrays: Sequence[np.ndarray]) -> tuple[Graph, list[np.ndarray]]:
    """The graph without inputs that nothing reads."""
    read = {v for n in g.nodes for v in n.inputs} | set(g.outputs)
    keep = [i for i, v in enumerate(g.inputs) if v in read]
    if len(keep) == len(g.inputs):
        return g, list(arrays)
    smaller = g.replace(
        inputs=tuple(g.inputs[i] for i in keep),
        input_names=tuple(g.input_names[i] for i in keep),
        scalars=frozenset(new for new, old in enumerate(keep) if old in g.scalars),
    )
    return smaller, [arrays[i] for i in keep]


def case_text(graph: Graph, arrays: Sequence[np.ndarray]) -> str:
    """The graph and its inputs as text for a file of `tests/fuzz/cases`."""
    lines = [f"// input {base64.b64encode(np.ascontiguousarray(a).tobytes()).decode()}\n" for a in arrays]
    return "".join(lines) + print_graph(graph, locations=True, payloads=True)


def parse_case(text: str) -> tuple[Graph, list[np.ndarray]]:
    """What `case_text` wrote."""
    graph = parse(text)
    data = [base64.b64decode(line.removeprefix("// input").strip()) for line in text.splitlines() if line.startswith("// input")]
    return graph, [np.frombuffer(d, t.dtype.numpy).reshape(t.shape) for d, t in zip(data, graph.in_types, strict=True)]


