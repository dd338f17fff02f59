"""Tensor's operators: functions of this package that take numbers and NumPy arrays on either side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ingot._tensor.recording import from_array
from ingot.functions import binary, matmul, subscript, unary
from ingot.functions.common import Tensor, before, is_number, operands, store

__all__: list[str] = []

OPERATORS = {
    "add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "floordiv": "floor_divide", "mod": "remainder", "pow": "pow",
    "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor", "lshift": "bitwise_left_shift", "rshift": "bitwise_right_shift",
}  # fmt: skip


def named(method: Callable[..., Any], name: str, doc: str) -> Callable[..., Any]:
    """`method` under another name, with this docstring."""
    method.__name__ = method.__qualname__ = name
    method.__doc__ = doc
    return method


def _contains(self: Tensor, element: Any) -> bool:
    """Whether any element equals `element`. Reads the values."""
    if isinstance(element, Tensor) or is_number(element):
        return bool((self == element).any())
    raise RuntimeError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element).__name__}.")


def _operand(self: Tensor, other: Any) -> Any:
    """The other side of an operator, as the function takes it; None for what is neither a Tensor, a number nor a NumPy array."""
    if isinstance(other, (Tensor, int, float)) or is_number(other):
        return other
    if isinstance(other, np.ndarray):
        return from_array(other.astype(np.result_type(self.dtype.numpy, other.dtype)))
    return None


def _operator(function: Callable[..., Tensor], name: str) -> Callable[..., Any]:
    """self <op> other: NotImplemented for what is no Tensor, number or NumPy array, so that Python tries the other side."""

    def method(self: Tensor, other: Any) -> Any:
        y = other if isinstance(other, (Tensor, int, float)) else _operand(self, other)
        return NotImplemented if y is None else function(self, y)

    return named(method, name, f"`ingot.{function.__name__}`.")


def _reflected(function: Callable[..., Tensor], name: str) -> Callable[..., Any]:
    def method(self: Tensor, other: Any) -> Any:
        y = other if isinstance(other, (Tensor, int, float)) else _operand(self, other)
        return NotImplemented if y is None else function(y, self)

    return named(method, name, f"`ingot.{function.__name__}`, the other way round.")


def _assigned(function: Callable[..., Tensor], name: str) -> Callable[..., Any]:
    def method(self: Tensor, other: Any) -> Any:
        y = other if isinstance(other, (Tensor, int, float)) else _operand(self, other)
        return NotImplemented if y is None else store(self, function(before(self), y))

    return named(method, name, f"`ingot.{function.__name__}`, in place.")


def _matmul(self: Tensor, other: Any) -> Any:
    """`ingot.matmul`."""
    if isinstance(other, np.ndarray):
        return matmul.matmul(*operands("matmul", self, _operand(self, other)))
    return matmul.matmul(self, other) if isinstance(other, Tensor) else NotImplemented


def _equal(self: Tensor, other: Any) -> Any:
    """Elementwise; False for what is neither a Tensor, a number nor a NumPy array."""
    y = _operand(self, other)
    return NotImplemented if y is None else binary.eq(self, y)  # type: ignore[attr-defined]


def _unequal(self: Tensor, other: Any) -> Any:
    """Elementwise; True for what is neither a Tensor, a number nor a NumPy array."""
    y = _operand(self, other)
    return NotImplemented if y is None else binary.ne(self, y)  # type: ignore[attr-defined]


def _rmatmul(self: Tensor, other: Any) -> Any:
    """`ingot.matmul`, the other way round."""
    if isinstance(other, np.ndarray):
        return matmul.matmul(*operands("matmul", _operand(self, other), self))
    return matmul.matmul(other, self) if isinstance(other, Tensor) else NotImplemented


def install(cls: Any) -> None:
    """Give `cls` (Tensor) its operators."""
    for op, name in OPERATORS.items():
        function = getattr(binary, name)
        setattr(cls, f"__{op}__", _operator(function, f"__{op}__"))
        setattr(cls, f"__r{op}__", _reflected(function, f"__r{op}__"))
        setattr(cls, f"__i{op}__", _assigned(function, f"__i{op}__"))
    for name in ("lt", "le", "gt", "ge"):
        setattr(cls, f"__{name}__", _operator(getattr(binary, name), f"__{name}__"))
    cls.__eq__, cls.__ne__ = _equal, _unequal
    cls.__hash__ = object.__hash__
    cls.__matmul__, cls.__rmatmul__ = _matmul, _rmatmul
    cls.__neg__, cls.__pos__, cls.__abs__, cls.__invert__ = unary.neg, unary.positive, unary.abs, unary.bitwise_not  # type: ignore[attr-defined]
    cls.__getitem__, cls.__setitem__, cls.__contains__ = subscript.getitem, subscript.setitem, _contains
