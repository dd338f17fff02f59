"""Ops of com.microsoft beside attention and quantisation: layers of diffusion models, and early forms of ONNX's own ops."""

from __future__ import annotations

from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.interchange.onnx.ops.constants import range_, trilu
from ingot.interchange.onnx.ops.convolution import convolved
from ingot.interchange.onnx.ops.indexing import gather_nd
from ingot.interchange.onnx.ops.movement import ints, pad
from ingot.interchange.onnx.ops.vision import grid_sample
from ingot.interchange.onnx.rules import op
from ingot.nn import functional as F

__all__: list[str] = []

MS = "com.microsoft"

op("Trilu", domain=MS, known=("k",))(trilu)
op("Range", domain=MS, known=("start", "limit", "delta"))(range_)
op("GatherND", domain=MS, moves=True)(gather_nd)
op("GridSample", domain=MS)(grid_sample)
op("Pad", domain=MS, known=("pads", "axes"))(pad)


@op("ExpandDims", domain=MS, known=("axis",))
def expand_dims(x: Tensor, axis: np.ndarray) -> Tensor:
    return x.unsqueeze(ints(axis)[0])


@op("CDist", domain=MS)
def cdist(a: Tensor, b: Tensor, *, metric: str = "sqeuclidean") -> Tensor:
    d = ((a.unsqueeze(1) - b.unsqueeze(0)) ** 2).sum(-1)
    return ingot.sqrt(d) if metric == "euclidean" else d


@op("GemmFastGelu", domain=MS)
def gemm_fast_gelu(x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
    y = ingot.matmul(x, w)
    return F.gelu(y if bias is None else y + bias, approximate="tanh")


@op("IsAllFinite", domain=MS)
def is_all_finite(*x: Tensor, isinf_only: int = 0, isnan_only: int = 0) -> Tensor:
    bad = ingot.isinf if isinf_only else ingot.isnan if isnan_only else lambda t: ~ingot.isfinite(t)
    return ~ingot.stack([bad(t).any() for t in x]).any()


@op("RelativePositionBias", domain=MS, known=("rows", "columns"))
def relative_position_bias(table: Tensor, rows: np.ndarray, columns: np.ndarray, *, is_bidirectional: int = 0, max_distance: int) -> Tensor:
    """T5's: distances in buckets, exact ones for the nearest, then logarithmic; (1, heads, rows, columns)."""
    (n,), (m,) = ints(rows), ints(columns)
    away = np.arange(m) - np.arange(n)[:, None]
    buckets = table.shape[0] // 2 if is_bidirectional else table.shape[0]
    at = (away > 0) * buckets if is_bidirectional else np.zeros_like(away)
    away = np.abs(away) if is_bidirectional else np.maximum(-away, 0)
    exact = buckets // 2
    far = exact + (np.log(np.maximum(away, 1) / exact) / np.log(max_distance / exact) * (buckets - exact)).astype(int)
    at = at + np.where(away < exact, away, np.minimum(far, buckets - 1))
    return ingot.moveaxis(table[ingot.from_numpy(at)], -1, 0).unsqueeze(0)


# ---- of diffusion models


@op("NhwcConv", domain=MS)
def nhwc_conv(
    x: Tensor, w: Tensor, b: Tensor | None = None, *, auto_pad: str = "NOTSET", dilations: Any = None, group: int = 1,
    kernel_shape: Any = None, pads: Any = None, strides: Any = None,
) -> Tensor:  # fmt: skip
    y = convolved(ingot.moveaxis(x, -1, 1), ingot.moveaxis(w, -1, 1), b, kernel_shape, strides, dilations, pads, auto_pad, group)
    return ingot.moveaxis(y, 1, -1)


@op("GroupNorm", domain=MS)
def group_norm(
    x: Tensor, gamma: Tensor, beta: Tensor, *, activation: int, channels_last: int = 1, epsilon: float = 1e-5, groups: int
) -> Tensor:
    y = F.group_norm(ingot.moveaxis(x, -1, 1) if channels_last else x, groups, gamma.to(x.dtype), beta.to(x.dtype), epsilon)
    y = F.silu(y) if activation else y
    return ingot.moveaxis(y, 1, -1) if channels_last else y


@op("SkipGroupNorm", domain=MS)
def skip_group_norm(
    x: Tensor, gamma: Tensor, beta: Tensor, skip: Tensor, bias: Tensor | None = None, *, activation: int, channels_last: int = 1,
    epsilon: float = 1e-5, groups: int,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    if skip.ndim == 2:
        skip = skip.reshape((x.shape[0], 1, 1, -1) if channels_last else (x.shape[0], -1, 1, 1))
    total = x + skip
    if bias is not None:
        total = total + (bias if channels_last else bias.reshape((-1, 1, 1)))
    return group_norm(total, gamma, beta, activation=activation, channels_last=channels_last, epsilon=epsilon, groups=groups), total


@op("BiasAdd", domain=MS)
def bias_add(x: Tensor, bias: Tensor, skip: Tensor) -> Tensor:
    return x + bias + skip


@op("BiasSplitGelu", domain=MS)
def bias_split_gelu(x: Tensor, bias: Tensor) -> Tensor:
    value, gate = ingot.chunk(x + bias, 2, -1)
    return value * F.gelu(gate)
