"""Quantised numbers: to and from integers, 8-bit floats and codes; products of integers are exact, and round once."""

from __future__ import annotations

from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.interchange.onnx.ops.convolution import integer_convolved
from ingot.interchange.onnx.ops.elementwise import cast
from ingot.interchange.onnx.ops.linear import integer_product
from ingot.interchange.onnx.ops.movement import axis_of
from ingot.interchange.onnx.rules import Call, op
from ingot.interchange.onnx.tensors import TYPES
from ingot.interchange.onnx.values import Coded, decoded, is_coded
from ingot.ir.dtypes import by_numpy

__all__: list[str] = []

_RANGES = {"int4": (-8, 7), "uint4": (0, 15), "int2": (-2, 1), "uint2": (0, 3)}


def _numbers(x: Any) -> Any:
    return decoded(x) if isinstance(x, Coded) else x


def _spread(s: Tensor, x: Tensor, axis: int, block: int) -> Tensor:
    """A scale, or zero points, beside what they belong to: one for all, one along an axis, or one for each block of it."""
    if not s.ndim or s.numel() == 1 and s.ndim <= 1:
        return s.reshape(())
    axis = axis_of(axis, x.ndim)
    if s.ndim == 1 and (not block or x.ndim > 1):
        shape = [1] * x.ndim
        shape[axis] = -1
        return s.reshape(shape)
    if s.shape[axis] == x.shape[axis]:
        return s
    each = block or -(-x.shape[axis] // s.shape[axis])
    return ingot.narrow(s.repeat_interleave(each, axis), axis, 0, x.shape[axis])


def _limits(dtype: np.dtype) -> tuple[int, int]:
    if dtype.name in _RANGES:
        return _RANGES[dtype.name]
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def quantized(scaled: Tensor, zero: Tensor | None, dtype: np.dtype, saturate: bool = True) -> Any:
    """Numbers, already divided by the scale: rounded to the nearest, ties to even, moved by the zero point, held in the type."""
    if dtype.name not in _RANGES and is_coded(dtype):
        return cast(scaled if zero is None else scaled + zero.to(scaled.dtype), dtype, int(saturate))
    low, high = _limits(dtype)
    whole = ingot.round(scaled)
    if zero is not None:
        whole = whole + zero.to(whole.dtype)
    held = ingot.clamp(whole, low, high)
    if dtype.name in _RANGES:
        return Coded(held.to(ingot.int8 if low else ingot.uint8), dtype)
    return held.to(by_numpy(dtype))


@op("QuantizeLinear", raw=True)
def quantize_linear(
    c: Call, x: Any, scale: Any, zero: Any = None, *, axis: int = 1, block_size: int = 0, output_dtype: int = 0, precision: int = 0,
    saturate: int = 1,
) -> Any:  # fmt: skip
    x, scale, zero = c.tensor(x), _numbers(c.tensor(scale)), c.tensor(zero)
    if zero is not None:
        dtype = zero.dtype if isinstance(zero, Coded) else zero.dtype.numpy
    else:
        dtype = TYPES[output_dtype] if output_dtype else np.dtype(np.uint8)
    wide = by_numpy(TYPES[precision]) if precision else ingot.float32 if not x.is_floating_point() else x.dtype
    if not precision and scale.dtype.bits > wide.bits:
        wide = scale.dtype
    scaled = x.to(wide) / _spread(scale.to(wide), x, axis, block_size)
    if zero is not None:
        zero = _spread(_numbers(zero), x, axis, block_size)
    return quantized(scaled, zero, np.dtype(dtype), bool(saturate))


@op("DequantizeLinear", raw=True)
def dequantize_linear(c: Call, x: Any, scale: Any, zero: Any = None, *, axis: int = 1, block_size: int = 0, output_dtype: int = 0) -> Any:
    x, scale, zero = _numbers(c.tensor(x)), _numbers(c.tensor(scale)), _numbers(c.tensor(zero))
    spread = _spread(scale, x, axis, block_size)
    if x.is_floating_point():
        whole = x if zero is None else x - _spread(zero, x, axis, block_size)
    else:
        whole = x.to(ingot.int32)
        if zero is not None:
            whole = whole - _spread(zero, x, axis, block_size).to(ingot.int32)
    out = by_numpy(TYPES[output_dtype]) if output_dtype else scale.dtype
    wide = ingot.float32 if scale.dtype.bits < 32 else scale.dtype
    return (whole.to(wide) * spread.to(wide)).to(out)


@op("DynamicQuantizeLinear")
def dynamic_quantize_linear(x: Tensor) -> tuple[Tensor, ...]:
    high = ingot.maximum(ingot.amax(x), x.new_zeros(()))
    low = ingot.minimum(ingot.amin(x), x.new_zeros(()))
    scale = (high - low) / 255.0
    safe = ingot.where(scale == 0, 1, scale)
    zero = ingot.clamp(ingot.round(ingot.where(scale == 0, 0, -low / safe)), 0, 255).to(ingot.uint8)
    return quantized(x / safe, zero, np.dtype(np.uint8)), scale, zero


def _requantized(total: Tensor, scale: Tensor, y_scale: Tensor, y_zero: Any) -> Any:
    """An exact int32 result in the output's scale: one rounding."""
    dtype = y_zero.dtype if isinstance(y_zero, Coded) else y_zero.dtype.numpy
    return quantized(total.to(ingot.float32) * (scale.to(ingot.float32) / y_scale.to(ingot.float32)), _numbers(y_zero), np.dtype(dtype))


def _columns(s: Tensor, rows: bool) -> Tensor:
    """A scale of rows or columns beside a product: vectors of rows stand upright."""
    return s.unsqueeze(-1) if rows and s.ndim == 1 and s.shape[0] != 1 else s


@op("QLinearMatMul", raw=True)
def qlinear_mat_mul(c: Call, a: Any, a_scale: Any, a_zero: Any, b: Any, b_scale: Any, b_zero: Any, y_scale: Any, y_zero: Any) -> Any:
    a, a_zero, b, b_zero = (_numbers(c.tensor(v)) for v in (a, a_zero, b, b_zero))
    a_scale, b_scale, y_scale = (_numbers(c.tensor(v)) for v in (a_scale, b_scale, y_scale))
    y_zero = c.tensor(y_zero)
    if a.is_floating_point():
        total = ingot.matmul(a - _columns(a_zero, True), b - b_zero)
    else:
        total = integer_product(a, b, a_zero, b_zero)
    scale = _columns(a_scale, True) * b_scale
    return _requantized(total, scale, _columns(y_scale, True), y_zero)


@op("QLinearConv")
def qlinear_conv(
    x: Tensor, x_scale: Tensor, x_zero: Tensor, w: Tensor, w_scale: Tensor, w_zero: Tensor, y_scale: Tensor, y_zero: Tensor,
    b: Tensor | None = None, *, auto_pad: str = "NOTSET", dilations: Any = None, group: int = 1, kernel_shape: Any = None, pads: Any = None,
    strides: Any = None,
) -> Any:  # fmt: skip
    total = integer_convolved(
        x, w, x_zero.reshape(()), w_zero.reshape(()) if w_zero.numel() == 1 else w_zero, strides, dilations, pads, auto_pad, group
    )
    shape = (-1,) + (1,) * (w.ndim - 2)
    if b is not None:
        total = total + b.reshape(shape)
    scale = (x_scale * w_scale).reshape(()) if w_scale.numel() == 1 else (x_scale * w_scale).reshape(shape)
    return _requantized(total, scale, y_scale, y_zero)
