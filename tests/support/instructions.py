"""Kernels that hold every scalar instruction of the loop IR for a dtype."""

from ingot.ir import dtypes
from ingot.ir.dtypes import REAL, Half
from ingot.ir.loop import index as ix
from ingot.ir.loop.ir import Buffer, Const, For, Kernel, Let, Load, Store

FLOAT_UNARY = ("neg", "abs", "sqrt", "rint", "floor", "ceil", "trunc")
BINARY = ("add", "sub", "mul", "div", "rem", "min", "max")
COMPARE = ("eq", "ne", "lt", "le", "gt", "ge")


def instructions(d):
    """(op, operand names, result dtype) for operands a, b, c of dtype d and a bool p."""
    out = [(op, ("a", "b"), dtypes.bool_) for op in COMPARE]
    out.append(("select", ("p", "a", "b"), d))
    out += [("cast", ("a",), to) for to in REAL if to is not d]
    out += [("bitcast", ("a",), to) for to in REAL if to is not d and to.bits == d.bits and "b" not in (to.kind, d.kind)]
    if d in Half:
        return out
    if d.kind != "b":
        out += [(op, ("a", "b"), d) for op in BINARY]
        out += [("neg", ("a",), d)]
        if d.kind != "u":
            out += [("abs", ("a",), d)]
        k = Const(2.5 if d.kind == "f" else 5, d)
        zero = Const(0.0 if d.kind == "f" else 0, d)
        out += [(op, ("a", k), d) for op in BINARY] + [(op, ("a", zero), d) for op in ("max", "min", "div", "rem")]
    if d.kind == "f":
        out += [(op, ("a",), d) for op in FLOAT_UNARY] + [("fma", ("a", "b", "c"), d)]
        out += [(op, ("a", Const(-0.0, d)), d) for op in ("max", "min")]
    else:
        out += [(op, ("a", "b"), d) for op in ("and", "or", "xor")] + [("not", ("a",), d)]
    if d is dtypes.i32:
        out += [("dot", ("a", "b"), d), ("dot", ("a", k), d), ("dot_bytes", ("a", "b", "c"), d), ("dot_bytes", ("a", k, "c"), d)]
    if d is dtypes.f32:
        out += [("dot_halves", ("a", "b", "c"), d)]
    if d.is_integer:
        out += [(op, ("a", "b"), d) for op in ("shl", "shr")]
        out += [(op, ("a", Const(s, d)), d) for op in ("shl", "shr") for s in (0, 1, 3, d.bits - 1, min(d.bits, 127))]
    return out


def kernel_of(d, kind, n):
    """(the instructions, a kernel that runs each on n elements of a, b, c and p, in one loop of this kind, into o0, o1, ...)"""
    ops = instructions(d)
    v = ix.var("v")
    buffers = [Buffer(x, d, "r", True) for x in "abc"] + [Buffer("p", dtypes.bool_, "r", True)]
    body = [Load(x, x, v) for x in "abcp"]
    for k, (op, args, result) in enumerate(ops):
        buffers.append(Buffer(f"o{k}", result, "w", True))
        body += [Let(f"r{k}", op, args, result), Store(f"o{k}", v, f"r{k}")]
    return ops, Kernel(f"ops_{d.name}_{kind}", tuple(buffers), (), [For("v", ix.const(n), kind, body, 16 if kind == "vector" else 1)])
