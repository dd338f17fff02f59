"""Tensor's operators: functions of this package that take numbers and NumPy arrays on either side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ingot.functions import binary
from ingot.functions.common import Tensor, before, is_number, named, operand, store

__all__: list[str] = []

OPERATORS = {
    "add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "floordiv": "floor_divide", "mod": "remainder", "pow": "pow",
    "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor", "lshift": "bitwise_left_shift", "rshift": "bitwise_right_shift",
}  # fmt: skip


def _contains(self: Tensor, element: Any) -> bool:
    """Whether any element equals `element`. Reads the values."""
    if isinstance(element, Tensor) or is_number(element):
        return bool((self == element).any())
    raise RuntimeError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element).__name__}.")


def _operator(function: Callable[..., Tensor], name: str) -> Callable[..., Any]:
    """self <op> other: NotImplemented for what is no Tensor, number or NumPy array, so that Python tries the other side."""

    def method(self: Tensor, other: Any) -> Any:
        y = other if isinstance(other, (Tensor, int, float)) else operand(self, other)
        return NotImplemented if y is None else function(self, y)

    return named(method, name, f"`ingot.{function.__name__}`.")


def _reflected(function: Callable[..., Tensor], name: str) -> Callable[..., Any]:
    def method(self: Tensor, other: Any) -> Any:
        y = other if isinstance(other, (Tensor, int, float)) else operand(self, other)
        return NotImplemented if y is None else function(y, self)

    return named(method, name, f"`ingot.{function.__name__}`, the other way round.")


def _assigned(function: Callable[..., Tensor], name: str) -> Callable[..., Any]:
    def method(self: Tensor, other: Any) -> Any:
        y = other if isinstance(other, (Tensor, int, float)) else operand(self, other)
        return NotImplemented if y is None else store(self, function(before(self), y))

    return named(method, name, f"`ingot.{function.__name__}`, in place.")


def _equal(self: Tensor, other: Any) -> Any:
    """Elementwise; False for what is neither a Tensor, a number nor a NumPy array."""
    y = operand(self, other)
    return NotImplemented if y is None else binary.eq(self, y)  # type: ignore[attr-defined]


def _unequal(self: Tensor, other: Any) -> Any:
    """Elementwise; True for what is neither a Tensor, a number nor a NumPy array."""
    y = operand(self, other)
    return NotImplemented if y is None else binary.ne(self, y)  # type: ignore[attr-defined]


def _methods() -> dict[str, Any]:
    found: dict[str, Any] = {"__eq__": _equal, "__ne__": _unequal, "__contains__": _contains}
    for op, name in OPERATORS.items():
        function = getattr(binary, name)
        found[f"__{op}__"] = _operator(function, f"__{op}__")
        found[f"__r{op}__"] = _reflected(function, f"__r{op}__")
        found[f"__i{op}__"] = _assigned(function, f"__i{op}__")
    return found | {f"__{name}__": _operator(getattr(binary, name), f"__{name}__") for name in ("lt", "le", "gt", "ge")}


METHODS = _methods()
