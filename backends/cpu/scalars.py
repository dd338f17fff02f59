"""The scalar instructions of `ir/scalar.py` as LLVM IR text, for single values and for vectors of lanes.

How values stand in LLVM IR: a bool is `i1`, a half type is its bits in an `i16`, everything else is what it says.
Nothing here calls a library: what a level lacks is spelled out in integer arithmetic (`helpers.py`).
"""

from __future__ import annotations

import math
import struct
from typing import Any, Protocol

from ingot.ir import dtypes
from ingot.ir.dtypes import DType, Half
from ingot.ir.loop.ir import Const

__all__ = ["Value", "Target", "Writer", "TYPES", "type_of", "literal", "instruction", "combine", "argument_step", "constant", "cast"]


HERE = 1 << 30


class Value:
    """An LLVM value: its text, dtype, lanes (0: one value for all lanes) and the depth of the scope that defines it
    (HERE: the innermost at the time)."""

    __slots__ = ("text", "dtype", "lanes", "depth")

    def __init__(self, text: str, dtype: DType, lanes: int = 0, depth: int = HERE):
        self.text = text
        self.dtype = dtype
        self.lanes = lanes
        self.depth = depth

    @property
    def is_literal(self) -> bool:
        return self.text[0] not in "%s"  # a splat counts as computed


class Target(Protocol):
    """What instruction selection asks of a target level."""

    @property
    def has_fma(self) -> bool: ...
    @property
    def has_f16(self) -> bool: ...  # converts f16 <-> f32 by itself
    @property
    def is_gpu(self) -> bool: ...


class Writer(Protocol):
    """Where instructions go (`emit.py`)."""

    target: Target

    def new(self, expr: str) -> str: ...
    def wide(self, v: Value, lanes: int) -> str: ...
    def call(self, result: str, name: str, *args: tuple[str, str]) -> str: ...
    def helper(self, name: str) -> str: ...


TYPES: dict[DType, str] = {
    dtypes.bool_: "i1", dtypes.u8: "i8", dtypes.i8: "i8", dtypes.i16: "i16", dtypes.u16: "i16", dtypes.i32: "i32",
    dtypes.u32: "i32", dtypes.i64: "i64", dtypes.u64: "i64", dtypes.f16: "i16", dtypes.bf16: "i16", dtypes.f32: "float",
    dtypes.f64: "double",
}  # fmt: skip
_SUFFIX = {"i1": "i1", "i8": "i8", "i16": "i16", "i32": "i32", "i64": "i64", "float": "f32", "double": "f64", "half": "f16"}


def type_of(dtype: DType, lanes: int = 0) -> str:
    """The LLVM type of a value."""
    t = TYPES[dtype]
    return f"<{lanes} x {t}>" if lanes else t


def _wide(t: str, lanes: int) -> str:
    return f"<{lanes} x {t}>" if lanes else t


def _suffix(t: str, lanes: int) -> str:
    return f"v{lanes}{_SUFFIX[t]}" if lanes else _SUFFIX[t]


def _splat(t: str, lit: str, lanes: int) -> str:
    return f"splat ({t} {lit})" if lanes else lit


def literal(value: bool | int | float, dtype: DType) -> str:
    """A constant's text; floats by their bits, integers wrapped to the dtype."""
    if dtype.kind == "b":
        return "true" if value else "false"
    if dtype in Half:
        return str(int.from_bytes(_half_bytes(float(value), dtype), "little"))
    if dtype is dtypes.f32:
        value = float(value)
        if math.isfinite(value):
            value = _round_f32(value)
        return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
    if dtype is dtypes.f64:
        return f"0x{struct.unpack('<Q', struct.pack('<d', float(value)))[0]:016X}"
    bits = dtype.bits
    v = int(value) & ((1 << bits) - 1)
    return str(v - (1 << bits) if v >> (bits - 1) else v)


def _round_f32(value: float) -> float:
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def _half_bytes(value: float, dtype: DType) -> bytes:
    import numpy as np

    with np.errstate(over="ignore"):
        return np.float32(value).astype(dtype.numpy).tobytes()


def constant(c: Const) -> Value:
    """A literal operand."""
    return Value(literal(c.value, c.dtype), c.dtype)


# -- building blocks ---------------------------------------------------------------------------------------------------


def _op(w: Writer, dtype: DType, lanes: int, fmt: str, *args: Value) -> Value:
    """`fmt` names the instruction; operands are widened."""
    texts = ", ".join(w.wide(a, lanes) for a in args)
    return Value(w.new(f"{fmt} {type_of(args[0].dtype, lanes)} {texts}"), dtype, lanes)


def _intrinsic(w: Writer, name: str, lanes: int, args: tuple[Value, ...], extra: tuple[tuple[str, str], ...] = ()) -> Value:
    t = TYPES[args[0].dtype]
    wide = _wide(t, lanes)
    full = f"llvm.{name}.{_suffix(t, lanes)}"
    return Value(w.call(wide, full, *[(wide, w.wide(a, lanes)) for a in args], *extra), args[0].dtype, lanes)


_FCMP = {"eq": "oeq", "ne": "une", "lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge"}
_INT = {"add": "add", "sub": "sub", "mul": "mul", "and": "and", "or": "or", "xor": "xor"}
_FLOAT = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_ROUND = {"rint": "roundeven", "floor": "floor", "ceil": "ceil", "trunc": "trunc"}


def instruction(w: Writer, op: str, args: list[Value], dtype: DType) -> Value:
    """Emit one instruction of ir/scalar.py on operands of any mix of single and wide values."""
    lanes = 0
    for a in args:
        if a.lanes:
            lanes = a.lanes
    return _RULES[op](w, op, lanes, args, dtype)


def _arith(w: Writer, op: str, lanes: int, args: list[Value], dtype: DType) -> Value:
    a = args[0]
    if a.dtype.kind == "f":
        return _op(w, a.dtype, lanes, _FLOAT[op], *args)
    if op == "div":
        return _int_div(w, lanes, args[0], args[1], False)
    return _op(w, a.dtype, lanes, _INT[op], *args)


def _int_div(w: Writer, lanes: int, a: Value, b: Value, rem: bool) -> Value:
    """Never traps: x/0 is 0, MIN/-1 is MIN, x%0 and x%-1 are 0."""
    d = a.dtype
    signed = d.kind == "i"
    name = ("s" if signed else "u") + ("rem" if rem else "div")
    if b.is_literal and b.text not in ("0", "-1"):
        return _op(w, d, lanes, name, a, b)
    zero, one, minus = Value("0", d), Value("1", d), Value("-1", d)
    is_zero = _compare(w, "eq", lanes, [b, zero], dtypes.bool_)
    odd = is_zero
    if signed:
        is_minus = _compare(w, "eq", lanes, [b, minus], dtypes.bool_)
        odd = _op(w, dtypes.bool_, lanes, "or", is_zero, is_minus)
    safe = _select(w, "select", lanes, [odd, one, b], d)
    out = _wide_division(w, lanes, name, a, safe) if lanes and d.bits <= 32 and not w.target.is_gpu else _op(w, d, lanes, name, a, safe)
    if rem:
        return out  # x % 1 is 0
    if signed:
        out = _select(w, "select", lanes, [is_minus, _op(w, d, lanes, "sub", zero, a), out], d)
    return _select(w, "select", lanes, [is_zero, zero, out], d)


def _wide_division(w: Writer, lanes: int, name: str, a: Value, b: Value) -> Value:
    """Vectors of integers up to 32 bits divide exactly as doubles (processors divide no integer vectors)."""
    d, t = a.dtype, type_of(a.dtype, lanes)
    to, back = ("sitofp", "fptosi") if d.kind == "i" else ("uitofp", "fptoui")
    f = _wide("double", lanes)
    x = w.new(f"{to} {t} {w.wide(a, lanes)} to {f}")
    y = w.new(f"{to} {t} {w.wide(b, lanes)} to {f}")
    q = w.new(f"fdiv {f} {x}, {y}")
    out = Value(w.new(f"{back} {f} {q} to {t}"), d, lanes)
    if name.endswith("div"):
        return out
    return _op(w, d, lanes, "sub", a, _op(w, d, lanes, "mul", out, b))


def _rem(w: Writer, op: str, lanes: int, args: list[Value], dtype: DType) -> Value:
    a, b = args
    if a.dtype.kind != "f":
        return _int_div(w, lanes, a, b, True)
    t = TYPES[a.dtype]
    f = w.helper(f"fmod.{_SUFFIX[t]}")
    return _each_lane(w, f, t, lanes, a.dtype, args)


def _each_lane(w: Writer, function: str, t: str, lanes: int, dtype: DType, args: list[Value]) -> Value:
    """Call a scalar helper for every lane."""
    if not lanes:
        return Value(w.new(f"call {t} {function}({', '.join(f'{t} {a.text}' for a in args)})"), dtype)
    wide = _wide(t, lanes)
    texts = [w.wide(a, lanes) for a in args]
    out = "poison"
    for k in range(lanes):
        one = [w.new(f"extractelement {wide} {x}, i32 {k}") for x in texts]
        r = w.new(f"call {t} {function}({', '.join(f'{t} {x}' for x in one)})")
        out = w.new(f"insertelement {wide} {out}, {t} {r}, i32 {k}")
    return Value(out, dtype, lanes)


def _neg(w: Writer, op: str, lanes: int, args: list[Value], dtype: DType) -> Value:
    a = args[0]
    if a.dtype.kind == "f":
        return _op(w, a.dtype, lanes, "fneg", a)
    return _op(w, a.dtype, lanes, "sub", Value("0", a.dtype), a)


def _abs(w: Writer, op: str, lanes: int, args: list[Value], dtype: DType) -> Value:
    if args[0].dtype.kind == "f":
        return _intrinsic(w, "fabs", lanes, (args[0],))
    if args[0].dtype.kind == "u":
        return args[0]
    return _intrinsic(w, "abs", lanes, (args[0],), (("i1", "false"),))


def _fma(w: Writer, op: str, lanes: int, args: list[Value], dtype: DType) -> Value:
    if w.target.has_fma:
        return _intrinsic(w, "fma", lanes, tuple(args))
    if dtype is dtypes.f64:
        return _each_lane(w, w.helper("fma.f64"), "double", lanes, dtype, args)
    return _fma32_in_doubles(w, lanes, args)


def _fma32_in_doubles(w: Writer, lanes: int, args: list[Value]) -> Value:
    """The product is exact in double; the sum is rounded to odd there, so that rounding again to float is right."""
    f, d, i = _wide("float", lanes), _wide("double", lanes), _wide("i64", lanes)
    b1 = _wide("i1", lanes)
    x, y, z = (w.new(f"fpext {f} {w.wide(a, lanes)} to {d}") for a in args)
    p = w.new(f"fmul {d} {x}, {y}")
    s = w.new(f"fadd {d} {p}, {z}")
    t = w.new(f"fsub {d} {s}, {p}")
    low = w.new(f"fsub {d} {p}, {w.new(f'fsub {d} {s}, {t}')}")
    e = w.new(f"fadd {d} {low}, {w.new(f'fsub {d} {z}, {t}')}")
    zero = "zeroinitializer" if lanes else "0.0"
    bits = w.new(f"bitcast {d} {s} to {i}")
    one = _splat("i64", "1", lanes)
    even = w.new(f"icmp eq {i} {w.new(f'and {i} {bits}, {one}')}, {_splat('i64', '0', lanes)}")
    fix = w.new(f"and {b1} {even}, {w.new(f'fcmp one {d} {e}, {zero}')}")
    same = w.new(f"icmp eq {b1} {w.new(f'fcmp ogt {d} {e}, {zero}')}, {w.new(f'fcmp ogt {d} {s}, {zero}')}")
    step = w.new(f"select {b1} {same}, {i} {one}, {i} {_splat('i64', '-1', lanes)}")
    odd = w.new(f"select {b1} {fix}, {i} {w.new(f'add {i} {bits}, {step}')}, {i} {bits}")
    return Value(w.new(f"fptrunc {d} {w.new(f'bitcast {i} {odd} to {d}')} to {f}"), dtypes.f32, lanes)


def _unary(w: Writer, op: str, lanes: int, args: list[Value], dtype: DType) -> Value:
    return _intrinsic(w, _ROUND.get(op, op), lanes, (args[0],))


def _minmax(w: Writer, op: str, lanes: int, args: list[Value], dtype: DType) -> Value:
    a, b = args
    kind = a.dtype.kind
    if kind != "f":
        return _intrinsic(w, ("s" if kind == "i" else "u") + op, lanes, (a, b))
    if a.is_literal:
        a, b = b, a
    if b.is_literal and b.text not in _SIGNED_ZEROS:  # NaN stays: the comparison is unordered
        if _is_nan(b):
            return _intrinsic(w, op + "imum", lanes, (a, b))
        return _select_by(w, "ugt" if op == "max" else "ult", lanes, a, b)
    if b.text == "0x0000000000000000" and op == "max" or b.text == "0x8000000000000000" and op == "min":
        return _select_by(w, "ugt" if op == "max" else "ult", lanes, a, b)  # an equal zero gives way to the literal
    return _intrinsic(w, op + "imum", lanes, (a, b))


_SIGNED_ZEROS = ("0x0000000000000000", "0x8000000000000000")


def _is_nan(v: Value) -> bool:
    return math.isnan(struct.unpack("<d", struct.pack("<Q", int(v.text, 16)))[0])


def _select_by(w: Writer, cond: str, lanes: int, a: Value, b: Value) -> Value:
    """a where `a cond b`, else b."""
    t = type_of(a.dtype, lanes)
    x, y = w.wide(a, lanes), w.wide(b, lanes)
    c = w.new(f"fcmp {cond} {t} {x}, {y}")
    return Value(w.new(f"select {_wide('i1', lanes)} {c}, {t} {x}, {t} {y}"), a.dtype, lanes)


def _not(w: Writer, op: str, lanes: int, args: list[Value], dtype: DType) -> Value:
    ones = "true" if args[0].dtype.kind == "b" else "-1"
    return _op(w, args[0].dtype, lanes, "xor", args[0], Value(ones, args[0].dtype))


def _shift(w: Writer, op: str, lanes: int, args: list[Value], dtype: DType) -> Value:
    a, b = args
    d = a.dtype
    name = "shl" if op == "shl" else ("ashr" if d.kind == "i" else "lshr")
    if b.is_literal:
        count = int(b.text)
        if 0 <= count < d.bits:
            return _op(w, d, lanes, name, a, b)
        if name == "ashr":
            return _op(w, d, lanes, name, a, Value(str(d.bits - 1), d))
        return Value("0", d)
    if name == "ashr":
        return _op(w, d, lanes, name, a, _intrinsic(w, "umin", lanes, (b, Value(str(d.bits - 1), b.dtype))))
    near = _op(w, dtypes.bool_, lanes, "icmp ult", b, Value(str(d.bits), b.dtype))
    return _select(w, "select", lanes, [near, _op(w, d, lanes, name, a, b), Value("0", d)], d)


def _compare(w: Writer, op: str, lanes: int, args: list[Value], dtype: DType) -> Value:
    a, b = args
    if a.dtype in Half:
        a, b = _to_f32(w, a), _to_f32(w, b)
    if a.dtype.kind == "f":
        name = "fcmp " + _FCMP[op]
    elif op in ("eq", "ne"):
        name = "icmp " + op
    else:
        name = "icmp " + ("s" if a.dtype.kind == "i" else "u") + op
    return _op(w, dtypes.bool_, lanes, name, a, b)


def _select(w: Writer, op: str, lanes: int, args: list[Value], dtype: DType) -> Value:
    c, a, b = args
    t = type_of(dtype, lanes)
    cond = f"{type_of(dtypes.bool_, c.lanes)} {c.text}"
    return Value(w.new(f"select {cond}, {t} {w.wide(a, lanes)}, {t} {w.wide(b, lanes)}"), dtype, lanes)


# -- conversions -------------------------------------------------------------------------------------------------------


def _cast(w: Writer, op: str, lanes: int, args: list[Value], dtype: DType) -> Value:
    return cast(w, args[0], dtype)


def cast(w: Writer, v: Value, to: DType) -> Value:
    """Convert by value, as ir/scalar.py defines it."""
    d = v.dtype
    if d is to:
        return v
    if d in Half:
        return cast(w, _to_f32(w, v), to)
    if to in Half:
        return _from_f32(w, cast(w, v, dtypes.f32), to)
    lanes = v.lanes
    src, dst = type_of(d, lanes), type_of(to, lanes)
    if to.kind == "b":
        zero = "zeroinitializer" if lanes else ("0.0" if d.kind == "f" else "0")
        return Value(w.new(f"{'fcmp une' if d.kind == 'f' else 'icmp ne'} {src} {v.text}, {zero}"), to, lanes)
    if d.kind == "b" and to.kind == "f":
        return _select(w, "select", lanes, [v, Value(literal(1.0, to), to), Value(literal(0.0, to), to)], to)
    if d.kind == "f" and to.kind == "f":
        return Value(w.new(f"{'fpext' if to.bits > d.bits else 'fptrunc'} {src} {v.text} to {dst}"), to, lanes)
    if d.kind == "f":
        name = f"llvm.fpto{'s' if to.kind == 'i' else 'u'}i.sat.{_suffix(TYPES[to], lanes)}.{_suffix(TYPES[d], lanes)}"
        return Value(w.call(dst, name, (src, v.text)), to, lanes)
    if to.kind == "f":
        return Value(w.new(f"{'sitofp' if d.kind == 'i' else 'uitofp'} {src} {v.text} to {dst}"), to, lanes)
    if d.kind == "b":
        return Value(w.new(f"zext {src} {v.text} to {dst}"), to, lanes)
    if to.bits == d.bits:
        return Value(v.text, to, lanes, v.depth)
    how = "trunc" if to.bits < d.bits else ("sext" if d.kind == "i" else "zext")
    return Value(w.new(f"{how} {src} {v.text} to {dst}"), to, lanes)


def _bitcast(w: Writer, op: str, lanes: int, args: list[Value], dtype: DType) -> Value:
    v = args[0]
    if v.dtype.kind == "b" or dtype.kind == "b":
        return cast(w, v, dtype)
    src, dst = type_of(v.dtype, lanes), type_of(dtype, lanes)
    if src == dst:
        return Value(v.text, dtype, lanes, v.depth)
    return Value(w.new(f"bitcast {src} {v.text} to {dst}"), dtype, lanes)


class _Ints:
    """Integer arithmetic on lanes, for the conversions below."""

    def __init__(self, w: Writer, t: str, lanes: int):
        self.w, self.t, self.lanes = w, _wide(t, lanes), lanes
        self.elem = t

    def k(self, value: int) -> str:
        return _splat(self.elem, str(value), self.lanes)

    def op(self, name: str, a: str, b: str | int) -> str:
        return self.w.new(f"{name} {self.t} {a}, {b if isinstance(b, str) else self.k(b)}")

    def pick(self, cond: str, a: str, b: str) -> str:
        return self.w.new(f"select {_wide('i1', self.lanes)} {cond}, {self.t} {a}, {self.t} {b}")

    def convert(self, how: str, a: str, src: str, dst: str) -> str:
        return self.w.new(f"{how} {_wide(src, self.lanes)} {a} to {_wide(dst, self.lanes)}")


def _to_f32(w: Writer, v: Value) -> Value:
    lanes = v.lanes
    n = _Ints(w, "i32", lanes)
    if v.dtype is dtypes.bf16:
        bits = n.op("shl", n.convert("zext", v.text, "i16", "i32"), 16)
        return Value(n.convert("bitcast", bits, "i32", "float"), dtypes.f32, lanes)
    if w.target.has_f16:
        return Value(n.convert("fpext", n.convert("bitcast", v.text, "i16", "half"), "half", "float"), dtypes.f32, lanes)
    h = n.convert("zext", v.text, "i16", "i32")
    sign = n.op("shl", n.op("and", h, 0x8000), 16)
    m = n.op("shl", n.op("and", h, 0x7FFF), 13)
    exponent = n.op("and", m, 0x0F800000)
    normal = n.op("add", m, 112 << 23)
    special = n.op("add", m, 224 << 23)  # infinities and NaN
    magic = literal(2.0**-14, dtypes.f32)
    tiny = n.convert("bitcast", n.op("add", m, 113 << 23), "i32", "float")
    tiny = w.new(f"fsub {_wide('float', lanes)} {tiny}, {_splat('float', magic, lanes)}")
    out = n.pick(n.op("icmp eq", exponent, 0x0F800000), special, normal)
    out = n.pick(n.op("icmp eq", exponent, 0), n.convert("bitcast", tiny, "float", "i32"), out)
    return Value(n.convert("bitcast", n.op("or", out, sign), "i32", "float"), dtypes.f32, lanes)


def _from_f32(w: Writer, v: Value, to: DType) -> Value:
    lanes = v.lanes
    n = _Ints(w, "i32", lanes)
    if to is dtypes.f16 and w.target.has_f16:
        return Value(n.convert("bitcast", n.convert("fptrunc", v.text, "float", "half"), "half", "i16"), to, lanes)
    x = n.convert("bitcast", v.text, "float", "i32")
    a = n.op("and", x, 0x7FFFFFFF)
    is_nan = n.op("icmp ugt", a, 0x7F800000)
    if to is dtypes.bf16:
        high = n.op("lshr", x, 16)
        rounded = n.op("lshr", n.op("add", x, n.op("add", n.op("and", high, 1), 0x7FFF)), 16)
        out = n.pick(is_nan, n.op("or", high, 0x40), rounded)
        return Value(n.convert("trunc", out, "i32", "i16"), to, lanes)
    sign = n.op("and", n.op("lshr", x, 16), 0x8000)
    odd = n.op("and", n.op("lshr", a, 13), 1)
    normal = n.op("lshr", n.op("add", n.op("add", a, odd), 0xFFF - (112 << 23)), 13)
    tiny = n.convert("bitcast", a, "i32", "float")
    tiny = w.new(f"fadd {_wide('float', lanes)} {tiny}, {_splat('float', literal(0.5, dtypes.f32), lanes)}")
    tiny = n.op("sub", n.convert("bitcast", tiny, "float", "i32"), 0x3F000000)
    nan = n.op("or", n.op("and", n.op("lshr", a, 13), 0x3FF), 0x7E00)
    out = n.pick(n.op("icmp ult", a, 0x38800000), tiny, normal)
    out = n.pick(n.op("icmp uge", a, 0x47800000), n.k(0x7C00), out)
    out = n.pick(is_nan, nan, out)
    return Value(n.convert("trunc", n.op("or", out, sign), "i32", "i16"), to, lanes)


# -- folding -----------------------------------------------------------------------------------------------------------


_COMBINE = {"sum": "add", "fma": "add", "prod": "mul", "max": "max", "min": "min", "and": "and", "or": "or"}


def combine(w: Writer, kind: str, a: Value, b: Value) -> Value:
    """a folded with b, for kinds of one accumulator (fma's partial sums are added)."""
    op = _COMBINE[kind]
    if a.dtype.kind == "b":
        op = {"max": "or", "min": "and", "add": "or", "mul": "and"}.get(op, op)
    return instruction(w, op, [a, b], a.dtype)


def argument_step(w: Writer, kind: str, best: Value, at: Value, value: Value, position: Value) -> tuple[Value, Value]:
    """One step of argmax/argmin: NaN wins, ties keep the smaller position."""

    def op(name: str, *args: Value) -> Value:
        return instruction(w, name, list(args), dtypes.bool_)

    take = op("gt" if kind == "argmax" else "lt", value, best)
    same = op("eq", value, best)
    if best.dtype.kind == "f":
        new_nan, old_nan = op("ne", value, value), op("ne", best, best)
        take = op("or", take, op("and", new_nan, op("not", old_nan)))
        same = op("or", same, op("and", new_nan, old_nan))
    take = op("or", take, op("and", same, op("lt", position, at)))
    return (
        instruction(w, "select", [take, value, best], best.dtype),
        instruction(w, "select", [take, position, at], at.dtype),
    )


_RULES: dict[str, Any] = {
    "add": _arith, "sub": _arith, "mul": _arith, "div": _arith, "and": _arith, "or": _arith, "xor": _arith, "rem": _rem,
    "neg": _neg, "abs": _abs, "fma": _fma, "sqrt": _unary, "rint": _unary, "floor": _unary, "ceil": _unary, "trunc": _unary,
    "min": _minmax, "max": _minmax, "not": _not, "shl": _shift, "shr": _shift, "select": _select, "cast": _cast,
    "bitcast": _bitcast, **dict.fromkeys(_FCMP, _compare),
}  # fmt: skip
