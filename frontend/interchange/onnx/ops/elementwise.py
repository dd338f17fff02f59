"""Arithmetic, comparisons, logic, bits and casts, element by element. Types do not promote: both operands have one."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.interchange.onnx.rules import Call, op
from ingot.interchange.onnx.tensors import TYPES
from ingot.interchange.onnx.values import Coded, decoded, encoded, is_coded
from ingot.ir.dtypes import by_numpy

__all__: list[str] = []


def _unary(name: str, f: Callable[[Tensor], Tensor]) -> None:
    op(name)(lambda x, *, consumed_inputs=None: f(x))


for _name, _f in {
    "Abs": ingot.abs, "Acos": ingot.acos, "Acosh": ingot.acosh, "Asin": ingot.asin, "Asinh": ingot.asinh, "Atan": ingot.atan,
    "Atanh": ingot.atanh, "Ceil": ingot.ceil, "Cos": ingot.cos, "Cosh": ingot.cosh, "Erf": ingot.erf, "Exp": ingot.exp,
    "Floor": ingot.floor, "Log": ingot.log, "Neg": ingot.neg, "Reciprocal": ingot.reciprocal, "Relu": ingot.relu, "Round": ingot.round,
    "Sigmoid": ingot.sigmoid, "Sign": ingot.sign, "Sin": ingot.sin, "Sinh": ingot.sinh, "Sqrt": ingot.sqrt, "Tan": ingot.tan,
    "Tanh": ingot.tanh, "IsNaN": ingot.isnan, "Not": ingot.logical_not, "BitwiseNot": ingot.bitwise_not,
}.items():  # fmt: skip
    _unary(_name, _f)


@op("Identity", raw=True)
def identity(x: Any) -> Any:
    return x


@op("IsInf")
def is_inf(x: Tensor, *, detect_negative: int = 1, detect_positive: int = 1) -> Tensor:
    out = ingot.isinf(x)
    if not detect_negative:
        out = out & (x > 0)
    if not detect_positive:
        out = out & (x < 0)
    return out


# ---- two operands


def _aligned(a: Tensor, b: Tensor, axis: int | None) -> Tensor:
    """`b` as op sets before 7 broadcast it: its dims begin at `axis` of `a`, or are the last ones."""
    if axis is None or not b.ndim:
        return b
    axis += a.ndim if axis < 0 else 0
    return b.reshape((*b.shape, *(1,) * (a.ndim - axis - b.ndim)))


def _binary(name: str, f: Callable[..., Tensor]) -> None:
    def legacy(a: Tensor, b: Tensor, *, axis: int | None = None, broadcast: int = 0, consumed_inputs: Any = None) -> Tensor:
        return f(a, _aligned(a, b, axis) if broadcast else b)

    op(name)(legacy)
    op(name, since=7)(lambda a, b: f(a, b))


def _divided(a: Tensor, b: Tensor) -> Tensor:
    return ingot.div(a, b) if a.is_floating_point() else ingot.div(a, b, rounding_mode="trunc")


def _power(a: Tensor, b: Tensor) -> Tensor:
    if a.is_floating_point() or not b.is_floating_point():
        return ingot.pow(a, b.to(a.dtype)) if a.is_floating_point() or b.dtype is not a.dtype else ingot.pow(a, b)
    return ingot.pow(a.double(), b.double()).to(a.dtype)


_BINARY: dict[str, Callable[..., Tensor]] = {
    "Add": ingot.add,
    "Sub": ingot.sub,
    "Mul": ingot.mul,
    "Div": _divided,
    "Pow": _power,
    "Equal": ingot.eq,
    "Less": ingot.lt,
    "Greater": ingot.gt,
    "And": ingot.logical_and,
    "Or": ingot.logical_or,
    "Xor": ingot.logical_xor,
}
for _name2, _f2 in _BINARY.items():
    _binary(_name2, _f2)

op("LessOrEqual")(lambda a, b: ingot.le(a, b))
op("GreaterOrEqual")(lambda a, b: ingot.ge(a, b))
op("BitwiseAnd")(lambda a, b: ingot.bitwise_and(a, b))
op("BitwiseOr")(lambda a, b: ingot.bitwise_or(a, b))
op("BitwiseXor")(lambda a, b: ingot.bitwise_xor(a, b))


@op("Mod")
def mod(a: Tensor, b: Tensor, *, fmod: int = 0) -> Tensor:
    return ingot.fmod(a, b) if fmod else ingot.remainder(a, b)


@op("BitShift")
def bit_shift(x: Tensor, y: Tensor, *, direction: str) -> Tensor:
    """Shifts by as many bits as the type has, or more, leave nothing (or the sign)."""
    bits = x.dtype.bits
    over = y >= bits
    y = ingot.where(over, 0, y).to(x.dtype)
    if direction == "LEFT":
        return ingot.where(over, 0, ingot.bitwise_left_shift(x, y)).to(x.dtype)
    rest = (x < 0).to(x.dtype) * -1 if x.dtype.is_signed else ingot.zeros_like(x)
    return ingot.where(over, rest, ingot.bitwise_right_shift(x, y)).to(x.dtype)


# ---- many operands

op("Max")(lambda *xs, consumed_inputs=None: reduce(ingot.maximum, xs))
op("Min")(lambda *xs, consumed_inputs=None: reduce(ingot.minimum, xs))
op("Sum")(lambda *xs, consumed_inputs=None: reduce(ingot.add, xs))
op("Mean")(lambda *xs, consumed_inputs=None: reduce(ingot.add, xs) / len(xs))


@op("Where")
def where(condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return ingot.where(condition, x, y)


@op("Clip")
def clip_attributes(
    x: Tensor, *, min: float = -3.4028234663852886e38, max: float = 3.4028234663852886e38, consumed_inputs: Any = None
) -> Tensor:
    return ingot.clamp(x, min, max)


@op("Clip", since=11)
def clip(x: Tensor, min: Tensor | None = None, max: Tensor | None = None) -> Tensor:
    if min is not None:
        x = ingot.maximum(x, min)
    return x if max is None else ingot.minimum(x, max)


# ---- casts


def cast(value: Any, dtype: np.dtype, saturate: int = 1, round_mode: str = "up") -> Any:
    """A value in another element type, codes included."""
    x = decoded(value) if isinstance(value, Coded) else value
    if is_coded(dtype):
        if isinstance(value, Coded) and value.dtype == dtype:
            return value
        return encoded(x, dtype, bool(saturate), round_mode)
    to = by_numpy(dtype)
    if x.is_floating_point() and to.is_integer and to.bits < 32:  # out of range: modulo, as by way of int32
        return x.to(ingot.int32).to(to)
    return x.to(to)


def _to(code: int) -> np.dtype:
    if code not in TYPES or code == 8:
        raise TypeError(f"a cast to the element type {code}" + (" (strings)" if code == 8 else ", which is not known"))
    return TYPES[code]


def _castable(c: Call, value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype == object and all(isinstance(s, str) for s in value.flat):
        return ingot.tensor([float(s) for s in value.reshape(-1)], dtype=ingot.float64).reshape(value.shape)
    return c.tensor(value)


_LEGACY = {name: code for code, name in enumerate(
    "UNDEFINED FLOAT UINT8 INT8 UINT16 INT16 INT32 INT64 STRING BOOL FLOAT16 DOUBLE UINT32 UINT64".split())}  # fmt: skip


@op("Cast", raw=True)
def cast_by_name(c: Call, x: Any, *, to: Any) -> Any:
    return cast(_castable(c, x), _to(_LEGACY[to] if isinstance(to, str) else to))


@op("Cast", since=6, raw=True)
def cast_to(c: Call, x: Any, *, to: int, saturate: int = 1, round_mode: str = "up") -> Any:
    if to == 8:
        return _texts(x if isinstance(x, np.ndarray) else c.known(x, "what is cast to strings"))
    return cast(_castable(c, x), _to(to), saturate, round_mode)


def _texts(x: np.ndarray) -> np.ndarray:
    return np.array([str(v) for v in x.reshape(-1).tolist()], object).reshape(x.shape)


@op("CastLike", raw=True)
def cast_like(c: Call, x: Any, target: Any, *, saturate: int = 1, round_mode: str = "up") -> Any:
    dtype = target.dtype.numpy if isinstance(target, Tensor) else target.dtype
    if dtype.kind == "O":
        return _texts(x if isinstance(x, np.ndarray) else c.known(x, "what is cast to strings"))
    return cast(_castable(c, x), dtype, saturate, round_mode)


@op("BitCast", raw=True)
def bit_cast(c: Call, x: Any, *, to: int) -> Any:
    x, dtype = c.tensor(x), _to(to)
    bits = x.codes if isinstance(x, Coded) else x
    if is_coded(dtype):
        return Coded(bits.view(ingot.int8 if dtype.name.startswith("int") else ingot.uint8), dtype)
    if bits.dtype is ingot.bool or dtype == np.bool_:
        return bits.to(ingot.uint8).view(by_numpy(dtype)) if dtype != np.bool_ else bits.view(ingot.uint8) != 0
    return bits.view(by_numpy(dtype))
