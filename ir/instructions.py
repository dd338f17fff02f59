"""The scalar instruction set: the closed list that all generated code is made of, on every target.

Elementwise ops and elementary functions are written once against `Emitter`; the lowering's emitter appends loop IR,
the tests' emitter computes with NumPy. Every instruction is defined here to the bit, for every dtype it takes:

    add sub mul neg         f32 f64: IEEE, one rounding; integers: wrap around
    div                     f32 f64: IEEE; integers: truncates; x/0 is 0 and MIN/-1 is MIN (never a trap)
    rem                     integers: sign of the dividend; x%0 is 0 and MIN%-1 is 0; f32 f64: C's fmod
    fma(a, b, c)            f32 f64: a*b+c, one rounding
    dot(a, b)               i32: the sum of the products of their low and of their high halves, signed; wraps around
    dot_bytes(a, b, c)      i32: c and the products of their four bytes, those of a unsigned, those of b signed; wraps around
    dot_halves(a, b, c)     f32, where the bits of a and b are two bf16 each: fma of the low ones and (fma of the high ones and c);
                            a target that has it as an instruction takes and gives denormals as zeros
    sqrt abs                sqrt: f32 f64, IEEE; abs: f32 f64 and signed integers (abs(MIN) is MIN)
    min max                 integers; f32 f64: NaN if either is NaN, -0 below +0
    rint floor ceil trunc   f32 f64; rint rounds halves to even
    and or xor not          integers and bool
    shl shr                 integers; shr is arithmetic for signed, logical for unsigned; counts >= bits: shl gives 0,
                            shr gives 0 or the sign
    eq ne lt le gt ge       any dtype -> bool; with NaN all false but ne
    select(c, a, b)         a where c (a bool), else b
    cast(x, dtype)          value conversion: to bool: x != 0; float to int: truncates, NaN gives 0, out of range
                            saturates; int to int: wraps; int to float: rounds to even; half types only cast
                            from and to f32 (and each way through f32), round to even, keep NaN
    bitcast(x, dtype)       same bits, same width
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol

from ingot.ir.dtypes import DType, bool_

__all__ = ["Emitter", "Instructions", "INSTRUCTIONS"]

# name -> number of scalar operands
INSTRUCTIONS: dict[str, int] = {
    "add": 2, "sub": 2, "mul": 2, "div": 2, "rem": 2, "neg": 1, "abs": 1, "fma": 3, "dot": 2, "dot_bytes": 3,
    "dot_halves": 3, "sqrt": 1, "min": 2, "max": 2,
    "rint": 1, "floor": 1, "ceil": 1, "trunc": 1, "and": 2, "or": 2, "xor": 2, "not": 1, "shl": 2, "shr": 2,
    "eq": 2, "ne": 2, "lt": 2, "le": 2, "gt": 2, "ge": 2, "select": 3, "cast": 1, "bitcast": 1,
}  # fmt: skip


class Emitter(Protocol):
    """Emits one instruction per call. Operands are the emitter's own scalars (opaque; `e.dtype(x)` tells the dtype).

    A Python number may stand for any operand but the first Scalar: it becomes a constant of the other operand's
    dtype. Names that are Python keywords or builtins carry a trailing underscore.
    """

    def dtype(self, x: Any) -> DType: ...
    def const(self, value: bool | int | float, dtype: DType) -> Any: ...
    def add(self, a: Any, b: Any) -> Any: ...
    def sub(self, a: Any, b: Any) -> Any: ...
    def mul(self, a: Any, b: Any) -> Any: ...
    def div(self, a: Any, b: Any) -> Any: ...
    def rem(self, a: Any, b: Any) -> Any: ...
    def neg(self, a: Any) -> Any: ...
    def abs(self, a: Any) -> Any: ...
    def fma(self, a: Any, b: Any, c: Any) -> Any: ...
    def dot(self, a: Any, b: Any) -> Any: ...
    def dot_bytes(self, a: Any, b: Any, c: Any) -> Any: ...
    def dot_halves(self, a: Any, b: Any, c: Any) -> Any: ...
    def sqrt(self, a: Any) -> Any: ...
    def min(self, a: Any, b: Any) -> Any: ...
    def max(self, a: Any, b: Any) -> Any: ...
    def rint(self, a: Any) -> Any: ...
    def floor(self, a: Any) -> Any: ...
    def ceil(self, a: Any) -> Any: ...
    def trunc(self, a: Any) -> Any: ...
    def and_(self, a: Any, b: Any) -> Any: ...
    def or_(self, a: Any, b: Any) -> Any: ...
    def xor(self, a: Any, b: Any) -> Any: ...
    def not_(self, a: Any) -> Any: ...
    def shl(self, a: Any, b: Any) -> Any: ...
    def shr(self, a: Any, b: Any) -> Any: ...
    def eq(self, a: Any, b: Any) -> Any: ...
    def ne(self, a: Any, b: Any) -> Any: ...
    def lt(self, a: Any, b: Any) -> Any: ...
    def le(self, a: Any, b: Any) -> Any: ...
    def gt(self, a: Any, b: Any) -> Any: ...
    def ge(self, a: Any, b: Any) -> Any: ...
    def select(self, c: Any, a: Any, b: Any) -> Any: ...
    def cast(self, a: Any, dtype: DType) -> Any: ...
    def bitcast(self, a: Any, dtype: DType) -> Any: ...


class Instructions(ABC):
    """An Emitter whose instructions all go through one method, `instruction(op, args, dtype)`.

    args are scalars and numbers; dtype is that of the result, None where it is that of the operands.
    """

    @abstractmethod
    def dtype(self, x: Any) -> DType: ...
    @abstractmethod
    def const(self, value: bool | int | float, dtype: DType) -> Any: ...
    @abstractmethod
    def instruction(self, op: str, args: tuple[Any, ...], dtype: DType | None = None) -> Any: ...


    def add(self, a: Any, b: Any) -> Any: return self.instruction("add", (a, b))
    def sub(self, a: Any, b: Any) -> Any: return self.instruction("sub", (a, b))
    def mul(self, a: Any, b: Any) -> Any: return self.instruction("mul", (a, b))
    def div(self, a: Any, b: Any) -> Any: return self.instruction("div", (a, b))
    def rem(self, a: Any, b: Any) -> Any: return self.instruction("rem", (a, b))
    def neg(self, a: Any) -> Any: return self.instruction("neg", (a,))
    def abs(self, a: Any) -> Any: return self.instruction("abs", (a,))
    def fma(self, a: Any, b: Any, c: Any) -> Any: return self.instruction("fma", (a, b, c))
    def dot(self, a: Any, b: Any) -> Any: return self.instruction("dot", (a, b))
    def dot_bytes(self, a: Any, b: Any, c: Any) -> Any: return self.instruction("dot_bytes", (a, b, c))
    def dot_halves(self, a: Any, b: Any, c: Any) -> Any: return self.instruction("dot_halves", (a, b, c))
    def sqrt(self, a: Any) -> Any: return self.instruction("sqrt", (a,))
    def min(self, a: Any, b: Any) -> Any: return self.instruction("min", (a, b))
    def max(self, a: Any, b: Any) -> Any: return self.instruction("max", (a, b))
    def rint(self, a: Any) -> Any: return self.instruction("rint", (a,))
    def floor(self, a: Any) -> Any: return self.instruction("floor", (a,))
    def ceil(self, a: Any) -> Any: return self.instruction("ceil", (a,))
    def trunc(self, a: Any) -> Any: return self.instruction("trunc", (a,))
    def and_(self, a: Any, b: Any) -> Any: return self.instruction("and", (a, b))
    def or_(self, a: Any, b: Any) -> Any: return self.instruction("or", (a, b))
    def xor(self, a: Any, b: Any) -> Any: return self.instruction("xor", (a, b))
    def not_(self, a: Any) -> Any: return self.instruction("not", (a,))
    def shl(self, a: Any, b: Any) -> Any: return self.instruction("shl", (a, b))
    def shr(self, a: Any, b: Any) -> Any: return self.instruction("shr", (a, b))
    def eq(self, a: Any, b: Any) -> Any: return self.instruction("eq", (a, b), bool_)
    def ne(self, a: Any, b: Any) -> Any: return self.instruction("ne", (a, b), bool_)
    def lt(self, a: Any, b: Any) -> Any: return self.instruction("lt", (a, b), bool_)
    def le(self, a: Any, b: Any) -> Any: return self.instruction("le", (a, b), bool_)
    def gt(self, a: Any, b: Any) -> Any: return self.instruction("gt", (a, b), bool_)
    def ge(self, a: Any, b: Any) -> Any: return self.instruction("ge", (a, b), bool_)

    def select(self, c: Any, a: Any, b: Any) -> Any:
        return self.instruction("select", (c, a, b))

    def cast(self, a: Any, dtype: DType) -> Any:
        return a if self.dtype(a) is dtype else self.instruction("cast", (a,), dtype)

    def bitcast(self, a: Any, dtype: DType) -> Any:
        return a if self.dtype(a) is dtype else self.instruction("bitcast", (a,), dtype)
