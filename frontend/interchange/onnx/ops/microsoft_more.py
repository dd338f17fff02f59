"""Ops of com.microsoft beside attention and quantisation: layers of diffusion models, experts, and early forms of ONNX's own ops."""

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


# ---- experts

_ACTIVATIONS = {"relu": F.relu, "gelu": lambda t: F.gelu(t, approximate="tanh"), "silu": F.silu, "identity": lambda t: t}


@op("MoE", domain=MS)
def moe(
    x: Tensor, router: Tensor, w1: Tensor, b1: Tensor | None, w2: Tensor, b2: Tensor | None = None, w3: Tensor | None = None,
    b3: Tensor | None = None, *, activation_type: str = "relu", activation_alpha: float = 1.0, activation_beta: float = 0.0, k: int = 1,
    normalize_routing_weights: int = 0, swiglu_fusion: int = 0, swiglu_limit: float = float("inf"), use_sparse_mixer: int = 0,
) -> Tensor:  # fmt: skip
    """The k most probable of several pairs of layers, weighted: all are computed, as one product each."""
    if use_sparse_mixer:
        raise ValueError("a sparse mixer of experts")
    rows = x.reshape((-1, x.shape[-1]))
    best, which = ingot.topk(router, k, -1)
    share = ingot.softmax(best, -1) if normalize_routing_weights else ingot.gather(ingot.softmax(router, -1), -1, which)
    weights = ingot.zeros_like(router).scatter(-1, which, share.to(router.dtype))  # (rows, experts)
    h = ingot.matmul(rows, w1.mT)  # (experts, rows, hidden)
    h = h if b1 is None else h + b1.unsqueeze(1)
    if activation_type == "swiglu":
        if swiglu_fusion == 0:
            raise ValueError("swiglu whose parts lie apart (swiglu_fusion=0)")
        gate, linear = (h[..., 0::2], h[..., 1::2]) if swiglu_fusion == 1 else ingot.chunk(h, 2, -1)
        gate, linear = ingot.clamp(gate, max=swiglu_limit), ingot.clamp(linear, -swiglu_limit, swiglu_limit)
        h = gate * ingot.sigmoid(gate * activation_alpha) * (linear + activation_beta)
    else:
        h = _ACTIVATIONS[activation_type](h)
        if w3 is not None:
            up = ingot.matmul(rows, w3.mT)
            h = h * (up if b3 is None else up + b3.unsqueeze(1))
    y = ingot.matmul(h, w2.mT)
    y = y if b2 is None else y + b2.unsqueeze(1)
    return (y * weights.T.unsqueeze(-1)).sum(0).reshape(x.shape)
