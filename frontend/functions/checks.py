"""Assertions by the names that model code uses: `torch._assert`, `torch._check` and their like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ingot.functions.common import Tensor, apply, cast, scalar
from ingot.ir.dtypes import i64

__all__ = [
    "_assert", "_check", "_check_index", "_check_is_size", "_check_not_implemented", "_check_tensor_all", "_check_tensor_all_with",
    "_check_type", "_check_value", "_check_with", "_assert_async",
]  # fmt: skip


def _assert(condition: Any, message: str) -> None:
    """AssertionError with the message unless the condition holds."""
    assert condition, message


def _check_with(error: type[Exception], cond: bool, message: Callable[[], str] | None = None) -> None:
    """`error` with what message() gives unless the condition, a bool, holds."""
    if not isinstance(cond, bool):
        raise TypeError(f"cond must be a bool, but got {type(cond)}")
    if not cond:
        raise error("Expected cond to be True, but got False." if message is None else str(message()))


def _check(cond: bool, message: Callable[[], str] | None = None) -> None:
    """RuntimeError unless the condition holds."""
    _check_with(RuntimeError, cond, message)


def _check_index(cond: bool, message: Callable[[], str] | None = None) -> None:
    """IndexError unless the condition holds."""
    _check_with(IndexError, cond, message)


def _check_value(cond: bool, message: Callable[[], str] | None = None) -> None:
    """ValueError unless the condition holds."""
    _check_with(ValueError, cond, message)


def _check_type(cond: bool, message: Callable[[], str] | None = None) -> None:
    """TypeError unless the condition holds."""
    _check_with(TypeError, cond, message)


def _check_not_implemented(cond: bool, message: Callable[[], str] | None = None) -> None:
    """NotImplementedError unless the condition holds."""
    _check_with(NotImplementedError, cond, message)


def _check_is_size(i: int, message: Callable[[], str] | None = None, *, max: int | None = None) -> None:
    """RuntimeError unless 0 <= i, and i <= max where it is given."""
    _check(bool(i >= 0), message)
    if max is not None:
        _check(bool(i <= max), message)


def _check_tensor_all_with(error: type[Exception], cond: Tensor, message: Callable[[], str] | None = None) -> None:
    """`error` unless a bool tensor is true everywhere."""
    if not isinstance(cond, Tensor):
        raise TypeError(f"cond must be a tensor, but got {type(cond)}")
    _check_with(error, bool(cond.all()), message)


def _check_tensor_all(cond: Tensor, message: Callable[[], str] | None = None) -> None:
    """RuntimeError unless a bool tensor is true everywhere."""
    _check_tensor_all_with(RuntimeError, cond, message)


def _assert_async(input: Tensor, assert_msg: str | None = None) -> None:
    """RuntimeError with the message unless a tensor of one element is not zero."""
    if input.numel() != 1:
        raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous" if input.numel() else "expected one element")
    _check(bool(input), lambda: assert_msg or "Expected Tensor with single nonzero value, but got zero")


def checked(x: Tensor, good: Tensor) -> Tensor:
    """`x`, in a graph that fails where a bool is false. What it says stands with the name of the composite (runtime/failures.py)."""
    one = apply("broadcast", scalar(-0.0 if x.dtype.kind == "f" else 0, x.dtype), attrs=((1,),))
    return x + apply("index_get", one, apply("reshape", cast(apply("logical_not", good), i64), attrs=((1,),)), attrs=((0,),)).reshape(())
