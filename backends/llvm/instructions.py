"""The scalar instructions of `ir/instructions.py` as LLVM IR text, for single values and for vectors of lanes.

Nothing here calls a library: what a level lacks is spelled out in integer arithmetic (`helpers.py`).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

from ingot.backends.llvm.conversions import bitcast, cast, to_f32
from ingot.backends.llvm.values import TYPES, Value, splat, suffix, type_of, wide_type
from ingot.backends.llvm.writer import Writer
from ingot.ir import dtypes
from ingot.ir.dtypes import DType, Half

__all__ = ["instruction"]

def _op(w: Writer, dtype: DType, lanes: int, fmt: str, *args: Value) -> Value:
    """`fmt` names the instruction; operands are widened."""
    texts = ", ".join(w.wide(a, lanes) for a in args)
    return Value(w.new(f"{fmt} {type_of(args[0].dtype, lanes)} {texts}"), dtype, lanes)


def _intrinsic(w: Writer, name: str, lanes: int, args: tuple[Value, ...], extra: tuple[tuple[str, str], ...] = ()) -> Value:
    t = TYPES[args[0].dtype]
    wide = wide_type(t, lanes)
    full = f"llvm.{name}.{suffix(t, lanes)}"
    return Value(w.call(wide, full, *[(wide, w.wide(a, lanes)) for a in args], *extra), args[0].dtype, lanes)


_FCMP = {"eq": "oeq", "ne": "une", "lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge"}
_INT = {"add": "add", "sub": "sub", "mul": "mul", "and": "and", "or": "or", "xor": "xor"}
_FLOAT = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_ROUND = {"rint": "roundeven", "floor": "floor", "ceil": "ceil", "trunc": "trunc"}


def instruction(w: Writer, op: str, args: list[Value], dtype: DType) -> Value:
    """Emit one instruction of ir/instructions.py on operands of any mix of single and wide values."""
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
    out = _wide_division(w, lanes, name, a, safe) if lanes and d.bits <= 32 else _op(w, d, lanes, name, a, safe)
    if rem:
        return out  # x % 1 is 0
    if signed:
        out = _select(w, "select", lanes, [is_minus, _op(w, d, lanes, "sub", zero, a), out], d)
    return _select(w, "select", lanes, [is_zero, zero, out], d)


def _wide_division(w: Writer, lanes: int, name: str, a: Value, b: Value) -> Value:
    """Vectors of integers up to 32 bits divide exactly as doubles (processors divide no integer vectors)."""
    d, t = a.dtype, type_of(a.dtype, lanes)
    to, back = ("sitofp", "fptosi") if d.kind == "i" else ("uitofp", "fptoui")
    f = wide_type("double", lanes)
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
    f = w.helper(f"fmod.{suffix(t, 0)}")
    return _each_lane(w, f, t, lanes, a.dtype, args)


def _each_lane(w: Writer, function: str, t: str, lanes: int, dtype: DType, args: list[Value]) -> Value:
    """Call a scalar helper for every lane."""
    if not lanes:
        return Value(w.new(f"call {t} {function}({', '.join(f'{t} {a.text}' for a in args)})"), dtype)
    wide = wide_type(t, lanes)
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
    if w.level.has_fma:
        return _intrinsic(w, "fma", lanes, tuple(args))
    if dtype is dtypes.f64:
        return _each_lane(w, w.helper("fma.f64"), "double", lanes, dtype, args)
    return _fma32_in_doubles(w, lanes, args)


_DOTS = {16: "avx512.pmaddw.d.512", 8: "avx2.pmadd.wd", 4: "sse2.pmadd.wd"}  # x86's, by lanes


def _dot(w: Writer, op: str, lanes: int, args: list[Value], dtype: DType) -> Value:
    part = next((n for n in _DOTS if n * 4 <= w.level.machine.vector_bytes and n <= lanes), 0) if w.level.arch == "x86_64" else 0
    if not part:
        parts = []
        for shifts in ((16, 16), (0, 16)):
            halves = [
                _shift(w, "shr", lanes, [_shift(w, "shl", lanes, [a, Value(str(shifts[0]), a.dtype)], dtype), Value("16", a.dtype)], dtype)
                for a in args
            ]  # fmt: skip
            parts.append(_op(w, dtype, lanes, "mul", *halves))
        return _op(w, dtype, lanes, "add", *parts)
    shorts, piece = wide_type("i16", 2 * part), wide_type("i32", part)

    def one(cut: list[str]) -> str:
        return w.call(piece, "llvm.x86." + _DOTS[part], *[(shorts, w.new(f"bitcast {piece} {x} to {shorts}")) for x in cut])

    return _pieces(w, lanes, part, args, dtype, one)


def _fma32_in_doubles(w: Writer, lanes: int, args: list[Value]) -> Value:
    """The product is exact in double; the sum is rounded to odd there, so that rounding again to float is right."""
    f, d, i = wide_type("float", lanes), wide_type("double", lanes), wide_type("i64", lanes)
    b1 = wide_type("i1", lanes)
    x, y, z = (w.new(f"fpext {f} {w.wide(a, lanes)} to {d}") for a in args)
    p = w.new(f"fmul {d} {x}, {y}")
    s = w.new(f"fadd {d} {p}, {z}")
    t = w.new(f"fsub {d} {s}, {p}")
    low = w.new(f"fsub {d} {p}, {w.new(f'fsub {d} {s}, {t}')}")
    e = w.new(f"fadd {d} {low}, {w.new(f'fsub {d} {z}, {t}')}")
    zero = "zeroinitializer" if lanes else "0.0"
    bits = w.new(f"bitcast {d} {s} to {i}")
    one = splat("i64", "1", lanes)
    even = w.new(f"icmp eq {i} {w.new(f'and {i} {bits}, {one}')}, {splat('i64', '0', lanes)}")
    fix = w.new(f"and {b1} {even}, {w.new(f'fcmp one {d} {e}, {zero}')}")
    same = w.new(f"icmp eq {b1} {w.new(f'fcmp ogt {d} {e}, {zero}')}, {w.new(f'fcmp ogt {d} {s}, {zero}')}")
    step = w.new(f"select {b1} {same}, {i} {one}, {i} {splat('i64', '-1', lanes)}")
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
    return Value(w.new(f"select {wide_type('i1', lanes)} {c}, {t} {x}, {t} {y}"), a.dtype, lanes)


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


# x86's, by lanes; those of one register's worth, which adds to a third operand
_DOT_BYTES = {16: "avx512.vpdpbusd.512", 8: "avx512.vpdpbusd.256", 4: "avx512.vpdpbusd.128"}
_DOT_HALVES = {16: "avx512bf16.dpbf16ps.512", 8: "avx512bf16.dpbf16ps.256", 4: "avx512bf16.dpbf16ps.128"}


def _pieces(w: Writer, lanes: int, part: int, args: list[Value], dtype: DType, one: Callable[[list[str]], str]) -> Value:
    """An instruction of `part` lanes, for all of them: one(pieces of the operands) -> a piece of the result."""
    t = type_of(dtype)
    wide = wide_type(t, lanes)
    found = []
    for first in range(0, lanes, part):
        picks = ", ".join(f"i32 {i}" for i in range(first, first + part))
        cut = [w.new(f"shufflevector {wide} {w.wide(a, lanes)}, {wide} poison, <{part} x i32> <{picks}>") for a in args]
        found.append(one(cut))
    n = part
    while len(found) > 1:
        picks, half = ", ".join(f"i32 {i}" for i in range(2 * n)), wide_type(t, n)
        pairs = zip(found[::2], found[1::2])
        found = [w.new(f"shufflevector {half} {a}, {half} {b}, <{2 * n} x i32> <{picks}>") for a, b in pairs]
        n *= 2
    return Value(found[0], dtype, lanes)


def _dot_bytes(w: Writer, op: str, lanes: int, args: list[Value], dtype: DType) -> Value:
    a, b, c = args
    part = next((n for n in _DOT_BYTES if n <= lanes), 0) if w.level.machine.dot_bytes else 0
    if not part:
        for up in (0, 8, 16, 24):
            x = _op(w, dtype, lanes, "and", _op(w, dtype, lanes, "lshr", a, Value(str(up), dtype)), Value("255", dtype))
            y = _op(w, dtype, lanes, "ashr", _op(w, dtype, lanes, "shl", b, Value(str(24 - up), dtype)), Value("24", dtype))
            c = _op(w, dtype, lanes, "add", c, _op(w, dtype, lanes, "mul", x, y))
        return c
    t, quads = wide_type("i32", part), wide_type("i8", 4 * part)

    def one(cut: list[str]) -> str:
        x, y, z = cut
        factors = [(quads, w.new(f"bitcast {t} {v} to {quads}")) for v in (x, y)]
        return w.call(t, "llvm.x86." + _DOT_BYTES[part], (t, z), *factors)

    return _pieces(w, lanes, part, args, dtype, one)


def _dot_halves(w: Writer, op: str, lanes: int, args: list[Value], dtype: DType) -> Value:
    a, b, c = args
    part = next((n for n in _DOT_HALVES if n <= lanes), 0) if w.level.machine.dot_halves else 0
    if not part:
        words = [bitcast(w, x, dtypes.u32) for x in (a, b)]
        high = [_op(w, dtypes.u32, lanes, "and", x, Value(str(0xFFFF0000), dtypes.u32)) for x in words]
        low = [_op(w, dtypes.u32, lanes, "shl", x, Value("16", dtypes.u32)) for x in words]
        for x, y in (high, low):
            c = _fma(w, "fma", lanes, [bitcast(w, x, dtype), bitcast(w, y, dtype), c], dtype)
        return c
    t, pairs = wide_type("float", part), wide_type("bfloat", 2 * part)

    def one(cut: list[str]) -> str:
        x, y, z = cut
        factors = [(pairs, w.new(f"bitcast {t} {v} to {pairs}")) for v in (x, y)]
        return w.call(t, "llvm.x86." + _DOT_HALVES[part], (t, z), *factors)

    return _pieces(w, lanes, part, args, dtype, one)


def _compare(w: Writer, op: str, lanes: int, args: list[Value], dtype: DType) -> Value:
    a, b = args
    if a.dtype in Half:
        a, b = to_f32(w, a), to_f32(w, b)
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


def _cast(w: Writer, op: str, lanes: int, args: list[Value], dtype: DType) -> Value:
    return cast(w, args[0], dtype)


def _bitcast(w: Writer, op: str, lanes: int, args: list[Value], dtype: DType) -> Value:
    return bitcast(w, args[0], dtype)


_RULES: dict[str, Any] = {
    "add": _arith, "sub": _arith, "mul": _arith, "div": _arith, "and": _arith, "or": _arith, "xor": _arith, "rem": _rem,
    "neg": _neg, "abs": _abs, "fma": _fma, "dot": _dot, "dot_bytes": _dot_bytes,
    "dot_halves": _dot_halves, "sqrt": _unary, "rint": _unary, "floor": _unary, "ceil": _unary, "trunc": _unary,
    "min": _minmax, "max": _minmax, "not": _not, "shl": _shift, "shr": _shift, "select": _select, "cast": _cast,
    "bitcast": _bitcast, **dict.fromkeys(_FCMP, _compare),
}  # fmt: skip
