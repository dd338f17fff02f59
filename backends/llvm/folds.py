"""Folding values together: one step of each kind of reduction, in scalar instructions."""

from __future__ import annotations

from ingot.backends.llvm.instructions import instruction
from ingot.backends.llvm.values import Value
from ingot.backends.llvm.writer import Writer
from ingot.ir import dtypes

__all__ = ["argument_step", "combine"]

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
