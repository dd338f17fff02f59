"""A StableHLO module as data: functions of operations on typed values. What both readers give, and what is evaluated.

Attributes are Python values, under the flat names that portable bytecode has for them: numbers, booleans, strings (also for enumerations
and symbols), lists, dicts, `Type`s, `Dense` for tensors of numbers. What belongs to other dialects is `Opaque`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np

from ingot.ir.struct import struct, value_type

__all__ = [
    "CARRIERS", "DTYPES", "Block", "Dense", "Function", "Module", "Opaque", "Operation", "Region", "StablehloError", "Type", "Value",
    "is_narrow", "is_quantized", "tensor",
]  # fmt: skip

# element types by the names that texts have for them
DTYPES: dict[str, np.dtype] = {
    "i1": np.dtype(bool), "index": np.dtype(np.int64), "bf16": np.dtype(ml_dtypes.bfloat16),
    **{f"i{n}": np.dtype(f"int{n}") for n in (8, 16, 32, 64)}, **{f"ui{n}": np.dtype(f"uint{n}") for n in (8, 16, 32, 64)},
    **{f"f{n}": np.dtype(f"float{n}") for n in (16, 32, 64)},
    "complex<f32>": np.dtype(np.complex64), "complex<f64>": np.dtype(np.complex128),
    "i4": np.dtype(ml_dtypes.int4), "ui4": np.dtype(ml_dtypes.uint4), "i2": np.dtype(ml_dtypes.int2), "ui2": np.dtype(ml_dtypes.uint2),
    "f8E4M3FN": np.dtype(ml_dtypes.float8_e4m3fn), "f8E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "f8E4M3FNUZ": np.dtype(ml_dtypes.float8_e4m3fnuz), "f8E5M2FNUZ": np.dtype(ml_dtypes.float8_e5m2fnuz),
    "f8E4M3B11FNUZ": np.dtype(ml_dtypes.float8_e4m3b11fnuz), "f8E4M3": np.dtype(ml_dtypes.float8_e4m3),
    "f8E3M4": np.dtype(ml_dtypes.float8_e3m4), "f8E8M0FNU": np.dtype(ml_dtypes.float8_e8m0fnu),
    "f4E2M1FN": np.dtype(ml_dtypes.float4_e2m1fn), "f6E2M3FN": np.dtype(ml_dtypes.float6_e2m3fn),
    "f6E3M2FN": np.dtype(ml_dtypes.float6_e3m2fn),
}  # fmt: skip


# what holds the elements of few bits
CARRIERS: dict[str, np.dtype] = {
    name: np.dtype(np.float32 if name[0] == "f" else np.int8 if name[0] == "i" else np.uint8)
    for name in ("i2", "i4", "ui2", "ui4", *(n for n in DTYPES if n[0] == "f" and "E" in n))
}


class StablehloError(ValueError):
    """A module that cannot be read, or run with these inputs; the message says where: line and column, byte, or operation."""


@value_type
class Type:
    """kind: "tensor", "token", "tuple", "function", "none", or the name of a type of another dialect
    element: of a tensor, as texts name it
    shape: of a tensor, None for dims that are not said; None where not even the rank is
    items: of a tuple; of a function, its results
    inputs: of a function
    """

    kind: str
    element: str = ""
    shape: tuple[int | None, ...] | None = ()
    items: tuple[Type, ...] = ()
    inputs: tuple[Type, ...] = ()

    @property
    def dtype(self) -> np.dtype | None:
        return DTYPES.get(self.element)

    @property
    def stored(self) -> np.dtype | None:
        """The dtype of what is kept for an element: of quantized numbers, the integers; of those of few bits, what holds them."""
        if self.element in CARRIERS:
            return CARRIERS[self.element]
        return DTYPES.get(self.element[len("!quant.uniform<") :].partition(":")[0].partition("<")[0]) if is_quantized(self) else self.dtype

    @property
    def numel(self) -> int:
        n = 1
        for d in self.shape or ():
            n *= d or 0
        return n

    def __str__(self) -> str:
        if self.kind == "tensor":
            dims = "*x" if self.shape is None else "".join(f"{'?' if d is None else d}x" for d in self.shape)
            return f"tensor<{dims}{self.element}>"
        if self.kind == "tuple":
            return f"tuple<{', '.join(map(str, self.items))}>"
        if self.kind == "function":
            return f"({', '.join(map(str, self.inputs))}) -> ({', '.join(map(str, self.items))})"
        return f"!stablehlo.{self.kind}" if self.kind == "token" else self.kind


def is_quantized(t: Type) -> bool:
    """Whether a type is of numbers that are kept as integers with a scale."""
    return t.element.startswith("!quant")


def is_narrow(t: Type) -> bool:
    """Whether a type is of numbers of few bits, which are kept in wider ones."""
    return t.element in CARRIERS


def tensor(element: str, *shape: int | None) -> Type:
    """The type of a tensor."""
    return Type("tensor", element, shape)


@struct
class Dense:
    """A tensor of numbers, known. `array` may repeat one element without holding it often."""

    type: Type
    array: np.ndarray

    def ints(self) -> list[int]:
        return [int(v) for v in self.array.reshape(-1).tolist()]


@struct
class Opaque:
    """What is kept as it is written."""

    text: str


class Value:
    """What an operation gives, or a block takes. Compared by identity."""

    __slots__ = ("type",)

    def __init__(self, type: Type):
        self.type = type


class Block:
    """Arguments, and operations in order; the last one is a return."""

    __slots__ = ("args", "ops")

    def __init__(self, args: tuple[Value, ...], ops: list[Operation]):
        self.args, self.ops = args, ops


Region = Block  # every region of StableHLO is one block


class Operation:
    """name: with its dialect
    place: where it was read, for messages
    """

    __slots__ = ("attrs", "inputs", "name", "outputs", "place", "regions")

    def __init__(
        self, name: str, inputs: tuple[Value, ...], outputs: tuple[Value, ...], attrs: dict[str, Any], regions: tuple[Block, ...],
        place: str,
    ):  # fmt: skip
        self.name, self.inputs, self.outputs, self.attrs, self.regions, self.place = name, inputs, outputs, attrs, regions, place

    def text(self) -> str:
        """The operation for messages."""
        return f"{self.name} ({self.place})"


@struct
class Function:
    name: str
    body: Block
    inputs: tuple[Type, ...]
    outputs: tuple[Type, ...]
    arg_attrs: tuple[dict[str, Any], ...]
    result_attrs: tuple[dict[str, Any], ...]


@struct
class Module:
    name: str
    functions: dict[str, Function]
    attrs: dict[str, Any]

    @property
    def main(self) -> Function:
        """The function that a call runs: `main`, or the first one."""
        return self.functions.get("main") or next(iter(self.functions.values()))

    def operations(self) -> Iterator[Operation]:
        """Every operation, those within others too."""
        stack = [f.body for f in self.functions.values()]
        while stack:
            for o in stack.pop().ops:
                yield o
                stack.extend(o.regions)
