"""The scalar instructions as an Emitter (`ir/instructions.py`), for what is written over it: the folds."""

from __future__ import annotations

from typing import Any

from ingot.backends.llvm.instructions import instruction
from ingot.backends.llvm.values import Value, constant
from ingot.backends.llvm.writer import Writer
from ingot.ir.dtypes import DType
from ingot.ir.instructions import Instructions
from ingot.ir.loop.ir import Const

__all__ = ["Emitter"]


class Emitter(Instructions):
    """Emits into `writer`; scalars are Values, single or wide."""

    def __init__(self, writer: Writer):
        self.writer = writer

    def dtype(self, x: Value) -> DType:
        """The dtype of a scalar."""
        return x.dtype

    def const(self, value: bool | int | float, dtype: DType) -> Value:
        """A literal."""
        return constant(Const(value, dtype))

    def instruction(self, op: str, args: tuple[Any, ...], dtype: DType | None = None) -> Value:
        """One instruction; numbers beside scalars are literals of their dtype."""
        like = next(a.dtype for a in args[op == "select" :] if isinstance(a, Value))
        operands = [a if isinstance(a, Value) else self.const(a, like) for a in args]
        return instruction(self.writer, op, operands, dtype or like)
