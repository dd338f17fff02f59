"""Regions of numbers that mean an operation: which one, read from what they calculate."""

from __future__ import annotations

from typing import Any

from ingot.interchange.stablehlo.module import Block, Dense, Value

__all__ = ["Expression", "expressions", "fold_of", "single"]

Expression = tuple[Any, ...]  # ("argument", i), ("constant", bits), or (operation, attributes, operands…)
_FOLDS = {"add": "add", "multiply": "mul", "maximum": "max", "minimum": "min", "and": "and", "or": "or", "xor": "xor"}


def expressions(block: Block) -> list[Expression] | None:
    """What a block returns, as trees over its arguments; None where it reads other values or holds regions."""
    known: dict[Value, Expression] = {a: ("argument", i) for i, a in enumerate(block.args)}
    for o in block.ops[:-1]:
        if o.regions or len(o.outputs) != 1:
            return None
        if o.name == "constant":
            value = o.attrs.get("value")
            if not isinstance(value, Dense) or value.array.size != 1:
                return None
            known[o.outputs[0]] = ("constant", value.type.element, value.array.tobytes())
            continue
        inputs = [known.get(v) for v in o.inputs]
        if any(i is None for i in inputs) or o.name == "call":
            return None
        attrs = tuple(sorted((k, v) for k, v in o.attrs.items() if isinstance(v, str)))
        known[o.outputs[0]] = (o.name, (attrs, o.outputs[0].type.element), *inputs)
    found = [known.get(v) for v in block.ops[-1].inputs]
    return None if any(e is None for e in found) else found  # type: ignore[return-value]


def single(block: Block) -> tuple[str, Expression, Expression] | None:
    """The one binary operation of two operands that a block returns, and these."""
    found = expressions(block)
    if found is None or len(found) != 1 or len(found[0]) != 4 or found[0][0] in ("argument", "constant"):
        return None
    name, _, a, b = found[0]
    return name, a, b


def fold_of(block: Block) -> str | None:
    """What combines the two arguments: add, mul, max, min, and, or, xor; "set" where the second one is returned."""
    found = expressions(block)
    if found == [("argument", 1)]:
        return "set"
    binary = single(block)
    if binary is None or {binary[1], binary[2]} != {("argument", 0), ("argument", 1)}:
        return None
    return _FOLDS.get(binary[0])
