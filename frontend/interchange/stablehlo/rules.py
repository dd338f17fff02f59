"""What an operation means: a table from names to rules, functions of an operation's operands and attributes.

    @op("transpose")
    def transpose(x, *, permutation):
        return apply("transpose", x, attrs=(tuple(permutation),))

Positional parameters are the operands, keyword parameters the attributes with the specification's defaults. Operands come as Tensors,
those that a rule names as `known` as NumPy arrays: shapes and the like, whose values a graph must settle. A first parameter `c` is the
`Call`. A rule gives a value, or a tuple of them, one per result. Attributes that no rule knows are refused, those of other dialects
(with a dot in their names) left aside.

`lifted`: the rule works element by element, so that in regions it may run on tensors where the region has numbers.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ingot._tensor import Tensor
from ingot.interchange.stablehlo.module import CARRIERS, Block, Operation, StablehloError, Type
from ingot.ir.dtypes import DType, by_numpy
from ingot.ir.struct import struct

__all__ = ["Call", "NeedsValue", "RULES", "Rule", "dtype_of", "op", "pairs"]


class NeedsValue(StablehloError):
    """What decides shapes is computed or passed: the module cannot be compiled as a whole."""


@struct
class Rule:
    run: Callable
    inputs: tuple[str, ...]
    variadic: bool
    attrs: dict[str, Any]
    known: frozenset[str]
    wants_call: bool
    raw: bool
    lifted: bool

    def input_name(self, i: int) -> str:
        return self.inputs[min(i, len(self.inputs) - 1)] if self.inputs and (i < len(self.inputs) or self.variadic) else ""


RULES: dict[str, Rule] = {}


def op(*names: str, known: Sequence[str] = (), raw: bool = False, lifted: bool = False) -> Callable[[Callable], Callable]:
    """Enter a rule for operations of these names. raw: operands come as they are, also tokens, tuples and known arrays."""

    def enter(fn: Callable) -> Callable:
        parameters = list(inspect.signature(fn).parameters.values())
        wants_call = bool(parameters) and parameters[0].name == "c"
        parameters = parameters[wants_call:]
        places = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)]
        attrs = {p.name: p.default for p in parameters if p.kind == p.KEYWORD_ONLY}
        if any(p.kind == p.VAR_KEYWORD for p in parameters):
            attrs["*"] = None
        variadic = any(p.kind == p.VAR_POSITIONAL for p in places)
        rule = Rule(fn, tuple(p.name for p in places), variadic, attrs, frozenset(known), wants_call, raw, lifted)
        for name in names:
            if name in RULES:
                raise ValueError(f"{name} is entered twice")
            RULES[name] = rule
        return fn

    return enter


class Call:
    """One operation that is being evaluated, for rules that need more than operands and attributes."""

    def __init__(self, run: Any, op: Operation):
        self.run, self.op = run, op

    @property
    def types(self) -> tuple[Type, ...]:
        """Of the results."""
        return tuple(v.type for v in self.op.outputs)

    @property
    def type(self) -> Type:
        return self.op.outputs[0].type

    @property
    def dtype(self) -> DType:
        """Of the first result."""
        return dtype_of(self.op.outputs[0].type)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the first result, which must say it."""
        shape = self.type.shape
        if shape is None or None in shape:
            raise NeedsValue(f"{self.op.text()}: its result has the type {self.type}, whose sizes nothing says")
        return shape  # type: ignore[return-value]

    @property
    def regions(self) -> tuple[Block, ...]:
        return self.op.regions

    def tensor(self, value: Any, type: Type | None = None) -> Tensor:
        return self.run.tensor(value, type)

    def known(self, value: Any, what: str) -> np.ndarray:
        return self.run.known(value, f"{self.op.text()}: {what}")

    def region(self, i: int, inputs: Sequence[Any]) -> list[Any]:
        """The results of a region, which sees the values around it."""
        return self.run.block(self.op.regions[i], inputs)

    def over(self, i: int, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The results of a region of numbers, computed on tensors, element by element."""
        return self.run.lifted(self.op.regions[i], inputs, self.op)


def dtype_of(t: Type) -> DType:
    """The dtype of a tensor's elements, or of what holds them. TypeError for what no tensor here has."""
    if t.kind != "tensor" or t.dtype is None:
        raise TypeError(f"there are no tensors of {t.element or t}")
    return by_numpy(CARRIERS.get(t.element, t.dtype))


def pairs(value: Any, n: int) -> list[tuple[int, int]]:
    """A padding: n pairs; zeros where there is none."""
    if value is None:
        return [(0, 0)] * n
    flat = value.ints() if hasattr(value, "ints") else [v for pair in value for v in pair]
    if len(flat) != 2 * n:
        raise TypeError(f"a padding of {len(flat)} numbers, where there are {n} dims")
    return list(zip(flat[::2], flat[1::2]))
