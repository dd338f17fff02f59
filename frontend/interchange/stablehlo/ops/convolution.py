"""Convolutions with general dims: brought into the order that the IR has, and the result out of it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ingot._tensor import Tensor
from ingot.functions.common import apply, cast, scalar
from ingot.interchange.stablehlo.ops.movement import padded, transposed
from ingot.interchange.stablehlo.rules import Call, op, pairs
from ingot.ir.dtypes import DType, bool_, f32

__all__: list[str] = []


def _inverse(perm: Sequence[int]) -> list[int]:
    return sorted(range(len(perm)), key=lambda i: perm[i])


def _convolved(
    x: Tensor, w: Tensor, strides: Sequence[int], pads: list[tuple[int, int]], spread: Sequence[int], dilation: Sequence[int],
    groups: int, batches: int, to: DType,
) -> Tensor:  # fmt: skip
    """N C … with O I …. Elements are spread out, and cut off, before; groups of the batch are groups of channels."""
    x, w = (cast(v, to) if to.bits > v.dtype.bits or v.dtype.kind != to.kind else v for v in (x, w))
    n = len(strides)
    if any(s != 1 for s in spread) or any(p < 0 for pair in pads for p in pair):
        low, high = [0, 0, *(p[0] for p in pads)], [0, 0, *(p[1] for p in pads)]
        x = padded(x, scalar(0, x.dtype), low, high, [0, 0, *(s - 1 for s in spread)])
        pads = [(0, 0)] * n
    if batches > 1:
        size, channels = x.shape[0] // batches, x.shape[1]
        x = apply("reshape", x, attrs=((batches, size, channels, *x.shape[2:]),))
        x = transposed(x, [1, 0, *range(2, x.ndim)])
        x = apply("reshape", x, attrs=((size, batches * channels, *x.shape[3:]),))
        groups = batches
    if not n:  # a product, of one place
        x, w = (apply("reshape", v, attrs=((*v.shape, 1),)) for v in (x, w))
        out = apply("conv", x, w, attrs=((1,), ((0, 0),), (1,), groups))
        return cast(apply("reshape", out, attrs=(tuple(out.shape[:2]),)), to)
    return cast(apply("conv", x, w, attrs=(tuple(strides), tuple(pads), tuple(dilation), groups)), to)


def _convolution(
    c: Call, lhs: Tensor, rhs: Tensor, padding: Any, *, window_strides: Any = None, lhs_dilation: Any = None, rhs_dilation: Any = None,
    window_reversal: Any = None, input_batch_dimension: int, input_feature_dimension: int, input_spatial_dimensions: Any,
    kernel_input_feature_dimension: int, kernel_output_feature_dimension: int, kernel_spatial_dimensions: Any,
    output_batch_dimension: int, output_feature_dimension: int, output_spatial_dimensions: Any, feature_group_count: int,
    batch_group_count: int, precision_config: Any = None,
) -> Tensor:  # fmt: skip
    n = len(input_spatial_dimensions)
    ones = (1,) * n
    pads = pairs(padding, n)
    x = transposed(lhs, [input_batch_dimension, input_feature_dimension, *input_spatial_dimensions])
    w = transposed(rhs, [kernel_output_feature_dimension, kernel_input_feature_dimension, *kernel_spatial_dimensions])
    turned = [i + 2 for i, r in enumerate(window_reversal or ()) if r]
    if turned:
        w = apply("reverse", w, attrs=(tuple(turned),))
    out = _convolved(x, w, window_strides or ones, pads, lhs_dilation or ones, rhs_dilation or ones, feature_group_count,
                     batch_group_count, f32 if c.dtype is bool_ else c.dtype)  # fmt: skip
    if c.dtype is bool_:  # whether any of the products holds
        out = apply("ne", out, scalar(0, f32))
    return transposed(out, _inverse([output_batch_dimension, output_feature_dimension, *output_spatial_dimensions]))


@op("convolution")
def convolution(
    c: Call, lhs: Tensor, rhs: Tensor, *, window_strides: Any = None, padding: Any = None, lhs_dilation: Any = None,
    rhs_dilation: Any = None, window_reversal: Any = None, input_batch_dimension: int, input_feature_dimension: int,
    input_spatial_dimensions: Any, kernel_input_feature_dimension: int, kernel_output_feature_dimension: int,
    kernel_spatial_dimensions: Any, output_batch_dimension: int, output_feature_dimension: int, output_spatial_dimensions: Any,
    feature_group_count: int = 1, batch_group_count: int = 1, precision_config: Any = None,
) -> Tensor:  # fmt: skip
    attrs = dict(locals())
    return _convolution(attrs.pop("c"), attrs.pop("lhs"), attrs.pop("rhs"), attrs.pop("padding"), **attrs)


@op("dynamic_conv", known=("padding",))
def dynamic_conv(
    c: Call, lhs: Tensor, rhs: Tensor, padding: np.ndarray, *, window_strides: Any = None, lhs_dilation: Any = None,
    rhs_dilation: Any = None, window_reversal: Any = None, input_batch_dimension: int, input_feature_dimension: int,
    input_spatial_dimensions: Any, kernel_input_feature_dimension: int, kernel_output_feature_dimension: int,
    kernel_spatial_dimensions: Any, output_batch_dimension: int, output_feature_dimension: int, output_spatial_dimensions: Any,
    feature_group_count: int = 1, batch_group_count: int = 1, precision_config: Any = None,
) -> Tensor:  # fmt: skip
    attrs = dict(locals())
    return _convolution(attrs.pop("c"), attrs.pop("lhs"), attrs.pop("rhs"), attrs.pop("padding").tolist(), **attrs)
