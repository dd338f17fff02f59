"""Conversions between dtypes as LLVM IR: by value, and bit by bit. What a level lacks is spelled out in integer arithmetic."""

from __future__ import annotations

from ingot.backends.llvm.values import TYPES, Value, literal, splat, suffix, type_of, wide_type
from ingot.backends.llvm.writer import Writer
from ingot.ir import dtypes
from ingot.ir.dtypes import DType, Half

__all__ = ["bitcast", "cast", "to_f32"]


def cast(w: Writer, v: Value, to: DType) -> Value:
    """Convert by value, as ir/instructions.py defines it."""
    d = v.dtype
    if d is to:
        return v
    if d in Half:
        return cast(w, to_f32(w, v), to)
    if to in Half:
        return _from_f32(w, cast(w, v, dtypes.f32), to)
    lanes = v.lanes
    src, dst = type_of(d, lanes), type_of(to, lanes)
    if to.kind == "b":
        zero = "zeroinitializer" if lanes else ("0.0" if d.kind == "f" else "0")
        return Value(w.new(f"{'fcmp une' if d.kind == 'f' else 'icmp ne'} {src} {v.text}, {zero}"), to, lanes)
    if d.kind == "b" and to.kind == "f":
        one, zero = (splat(TYPES[to], literal(x, to), lanes) for x in (1.0, 0.0))
        return Value(w.new(f"select {src} {v.text}, {dst} {one}, {dst} {zero}"), to, lanes)
    if d.kind == "f" and to.kind == "f":
        return Value(w.new(f"{'fpext' if to.bits > d.bits else 'fptrunc'} {src} {v.text} to {dst}"), to, lanes)
    if d.kind == "f":
        name = f"llvm.fpto{'s' if to.kind == 'i' else 'u'}i.sat.{suffix(TYPES[to], lanes)}.{suffix(TYPES[d], lanes)}"
        return Value(w.call(dst, name, (src, v.text)), to, lanes)
    if to.kind == "f":
        return Value(w.new(f"{'sitofp' if d.kind == 'i' else 'uitofp'} {src} {v.text} to {dst}"), to, lanes)
    if d.kind == "b":
        return Value(w.new(f"zext {src} {v.text} to {dst}"), to, lanes)
    if to.bits == d.bits:
        return Value(v.text, to, lanes, v.depth)
    how = "trunc" if to.bits < d.bits else ("sext" if d.kind == "i" else "zext")
    return Value(w.new(f"{how} {src} {v.text} to {dst}"), to, lanes)


def bitcast(w: Writer, v: Value, to: DType) -> Value:
    """The same bits as another dtype of the same size; a bool converts by value."""
    if v.dtype.kind == "b" or to.kind == "b":
        return cast(w, v, to)
    src, dst = type_of(v.dtype, v.lanes), type_of(to, v.lanes)
    if src == dst:
        return Value(v.text, to, v.lanes, v.depth)
    return Value(w.new(f"bitcast {src} {v.text} to {dst}"), to, v.lanes)


class _Ints:
    """Integer arithmetic on lanes, for the conversions below."""

    def __init__(self, w: Writer, t: str, lanes: int):
        self.w, self.t, self.lanes = w, wide_type(t, lanes), lanes
        self.elem = t

    def k(self, value: int) -> str:
        return splat(self.elem, str(value), self.lanes)

    def op(self, name: str, a: str, b: str | int) -> str:
        return self.w.new(f"{name} {self.t} {a}, {b if isinstance(b, str) else self.k(b)}")

    def pick(self, cond: str, a: str, b: str) -> str:
        return self.w.new(f"select {wide_type('i1', self.lanes)} {cond}, {self.t} {a}, {self.t} {b}")

    def convert(self, how: str, a: str, src: str, dst: str) -> str:
        return self.w.new(f"{how} {wide_type(src, self.lanes)} {a} to {wide_type(dst, self.lanes)}")


def to_f32(w: Writer, v: Value) -> Value:
    """A half as f32, exactly."""
    lanes = v.lanes
    n = _Ints(w, "i32", lanes)
    if v.dtype is dtypes.bf16:
        bits = n.op("shl", n.convert("zext", v.text, "i16", "i32"), 16)
        return Value(n.convert("bitcast", bits, "i32", "float"), dtypes.f32, lanes)
    if w.level.has_f16:
        return Value(n.convert("fpext", n.convert("bitcast", v.text, "i16", "half"), "half", "float"), dtypes.f32, lanes)
    h = n.convert("zext", v.text, "i16", "i32")
    sign = n.op("shl", n.op("and", h, 0x8000), 16)
    m = n.op("shl", n.op("and", h, 0x7FFF), 13)
    exponent = n.op("and", m, 0x0F800000)
    normal = n.op("add", m, 112 << 23)
    special = n.op("add", m, 224 << 23)  # infinities and NaN
    magic = literal(2.0**-14, dtypes.f32)
    tiny = n.convert("bitcast", n.op("add", m, 113 << 23), "i32", "float")
    tiny = w.new(f"fsub {wide_type('float', lanes)} {tiny}, {splat('float', magic, lanes)}")
    out = n.pick(n.op("icmp eq", exponent, 0x0F800000), special, normal)
    out = n.pick(n.op("icmp eq", exponent, 0), n.convert("bitcast", tiny, "float", "i32"), out)
    return Value(n.convert("bitcast", n.op("or", out, sign), "i32", "float"), dtypes.f32, lanes)


def _from_f32(w: Writer, v: Value, to: DType) -> Value:
    lanes = v.lanes
    n = _Ints(w, "i32", lanes)
    if to is dtypes.f16 and w.level.has_f16:
        return Value(n.convert("bitcast", n.convert("fptrunc", v.text, "float", "half"), "half", "i16"), to, lanes)
    if to is dtypes.bf16 and w.level.has_bf16:
        return Value(n.convert("bitcast", n.convert("fptrunc", v.text, "float", "bfloat"), "bfloat", "i16"), to, lanes)
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
    tiny = w.new(f"fadd {wide_type('float', lanes)} {tiny}, {splat('float', literal(0.5, dtypes.f32), lanes)}")
    tiny = n.op("sub", n.convert("bitcast", tiny, "float", "i32"), 0x3F000000)
    nan = n.op("or", n.op("and", n.op("lshr", a, 13), 0x3FF), 0x7E00)
    out = n.pick(n.op("icmp ult", a, 0x38800000), tiny, normal)
    out = n.pick(n.op("icmp uge", a, 0x47800000), n.k(0x7C00), out)
    out = n.pick(is_nan, nan, out)
    return Value(n.convert("trunc", n.op("or", out, sign), "i32", "i16"), to, lanes)
