"""Integers that are known: what modules compute of shapes and of seeds, done with NumPy while they run. Exact work on small arrays.

A symbolic size is an int that carries its expression: arrays of such are arrays of objects, for which NumPy calls their operators. A fold
takes the operation, arrays and attributes, and gives an array, or None where the rule on Tensors shall do it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ingot.interchange.stablehlo.module import DTYPES, Operation

__all__ = ["FOLDS", "foldable"]

FOLDS: dict[str, Callable] = {}
_COMPARE = {"EQ": operator.eq, "NE": operator.ne, "LT": operator.lt, "LE": operator.le, "GT": operator.gt, "GE": operator.ge}


def _fold(*names: str) -> Callable[[Callable], Callable]:
    def enter(fn: Callable) -> Callable:
        for name in names:
            FOLDS[name] = fn
        return fn

    return enter


def foldable(element: str) -> bool:
    """Whether arrays of such elements are kept known."""
    return element in ("i1", "i8", "i16", "i32", "i64", "ui8", "ui16", "ui32", "ui64")


def _dtype(o: Operation) -> np.dtype:
    return DTYPES[o.outputs[0].type.element]


def _made(result: Any, o: Operation, *inputs: np.ndarray) -> np.ndarray:
    """The result in its type: as objects where it is symbolic, wrapped around like the type otherwise."""
    result = np.asarray(result)
    if result.dtype == object and all(type(v) is int for v in result.flat):
        bits = 8 * _dtype(o).itemsize
        wrapped = [v & ((1 << bits) - 1) for v in result.flat]
        return np.array(wrapped, np.uint64).astype(f"u{bits // 8}").view(_dtype(o)).reshape(result.shape)
    return result if result.dtype == object else result.astype(_dtype(o))


def _arithmetic(fn: Callable) -> Callable:
    def fold(o: Operation, a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
        if a.dtype == bool:
            return None
        with np.errstate(all="ignore"):
            return _made(fn(a, b), o)

    return fold


for _name, _fn in (("add", operator.add), ("subtract", operator.sub), ("multiply", operator.mul)):
    FOLDS[_name] = _arithmetic(_fn)


@_fold("divide", "remainder")
def _divide(o: Operation, a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """Towards zero. Symbolic sizes are asked whether they are negative."""
    if a.dtype == bool or a.shape != b.shape or any(v == 0 for v in b.flat):
        return None
    out = []
    for x, y in zip(a.tolist() if a.ndim else [a.item()], b.tolist() if b.ndim else [b.item()]) if a.ndim < 2 else ():
        quotient = abs(x) // abs(y)
        quotient = -quotient if (x < 0) != (y < 0) else quotient
        out.append(quotient if o.name == "divide" else x - quotient * y)
    return _made(np.array(out, object).reshape(a.shape), o) if a.ndim < 2 else None


@_fold("sign", "abs")
def _sign(o: Operation, a: np.ndarray) -> np.ndarray | None:
    if a.dtype == object:
        return _made(np.array([abs(v) if o.name == "abs" else (v > 0) - (v < 0) for v in a.flat], object).reshape(a.shape), o)
    with np.errstate(all="ignore"):
        return None if a.dtype == bool else np.asarray(np.abs(a) if o.name == "abs" else np.sign(a))


@_fold("maximum", "minimum")
def _extreme(o: Operation, a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    if object in (a.dtype, b.dtype):
        pick = max if o.name == "maximum" else min
        return np.array([pick(x, y) for x, y in zip(a.flat, b.flat)], object).reshape(a.shape)
    return (np.maximum if o.name == "maximum" else np.minimum)(a, b)


@_fold("negate")
def _negate(o: Operation, a: np.ndarray) -> np.ndarray | None:
    with np.errstate(all="ignore"):
        return None if a.dtype == bool else _made(-a, o)


@_fold("and", "or", "xor", "not")
def _bits(o: Operation, a: np.ndarray, b: np.ndarray | None = None) -> np.ndarray | None:
    if a.dtype == object or b is not None and b.dtype == object:
        return None
    if b is None:
        return ~a
    return {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}[o.name](a, b)


@_fold("shift_left", "shift_right_logical", "shift_right_arithmetic")
def _shift(o: Operation, a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    if object in (a.dtype, b.dtype):
        return None
    bits = 8 * a.dtype.itemsize
    signed = o.name == "shift_right_arithmetic"
    x = a.view(f"{'i' if signed else 'u'}{bits // 8}")
    by = b.astype(np.int64)
    wrong = (by < 0) | (by >= bits)
    by = np.where(wrong, 0, by).astype(x.dtype)
    out = np.left_shift(x, by) if o.name == "shift_left" else np.right_shift(x, by)
    return np.where(wrong, np.where(x < 0, -1, 0).astype(x.dtype) if signed else np.zeros_like(x), out).view(a.dtype)


@_fold("compare")
def _compare(o: Operation, a: np.ndarray, b: np.ndarray, *, comparison_direction: str, compare_type: str = "") -> np.ndarray:
    if object in (a.dtype, b.dtype):
        fn = _COMPARE[comparison_direction]
        return np.array([bool(fn(x, y)) for x, y in zip(a.flat, b.flat)], bool).reshape(a.shape)
    return np.asarray(_COMPARE[comparison_direction](a, b))


@_fold("select")
def _select(o: Operation, c: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.where(c, a, b) if object not in (a.dtype, b.dtype) else np.where(c, a.astype(object), b.astype(object))


@_fold("clamp")
def _clamp(o: Operation, low: np.ndarray, x: np.ndarray, high: np.ndarray) -> np.ndarray | None:
    return None if object in (low.dtype, x.dtype, high.dtype) else np.minimum(np.maximum(x, low), high)


@_fold("convert")
def _convert(o: Operation, a: np.ndarray) -> np.ndarray | None:
    if not foldable(o.outputs[0].type.element):
        return None
    if a.dtype == object:
        return None if o.outputs[0].type.element == "i1" else a
    return a.astype(_dtype(o))


@_fold("reshape")
def _reshape(o: Operation, a: np.ndarray) -> np.ndarray | None:
    shape = o.outputs[0].type.shape
    return None if shape is None or None in shape or int(np.prod(shape)) != a.size else a.reshape(shape)  # type: ignore[arg-type]


@_fold("broadcast_in_dim")
def _broadcast(o: Operation, a: np.ndarray, *, broadcast_dimensions: Any) -> np.ndarray | None:
    shape = o.outputs[0].type.shape
    if shape is None or None in shape or o.outputs[0].type.numel > 4096:
        return None
    spread = [1] * len(shape)
    for d, n in zip(broadcast_dimensions, a.shape):
        spread[d] = n
    return np.broadcast_to(a.reshape(spread), shape)  # type: ignore[arg-type]


@_fold("concatenate")
def _concatenate(o: Operation, *parts: np.ndarray, dimension: int) -> np.ndarray:
    return np.concatenate(parts, dimension)


@_fold("slice")
def _slice(o: Operation, a: np.ndarray, *, start_indices: Any, limit_indices: Any, strides: Any) -> np.ndarray | None:
    if any(not 0 <= s <= e <= n for s, e, n in zip(start_indices, limit_indices, a.shape)):
        return None
    return a[tuple(slice(*at) for at in zip(start_indices, limit_indices, strides))]


@_fold("transpose")
def _transpose(o: Operation, a: np.ndarray, *, permutation: Any) -> np.ndarray:
    return a.transpose(permutation)


@_fold("iota")
def _iota(o: Operation, *, iota_dimension: int) -> np.ndarray | None:
    t = o.outputs[0].type
    if not foldable(t.element) or t.shape is None or None in t.shape or t.numel > 64 or len(t.shape) != 1:
        return None
    return np.arange(t.numel).astype(_dtype(o))
