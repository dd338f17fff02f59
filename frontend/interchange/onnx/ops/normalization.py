"""Normalisations, dropout and local responses."""

from __future__ import annotations

import math
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.interchange.onnx.ops.movement import axis_of
from ingot.interchange.onnx.rules import Call, op
from ingot.interchange.onnx.tensors import TYPES
from ingot.ir.dtypes import by_numpy
from ingot.nn import functional as F

__all__: list[str] = []


def _inference(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor, epsilon: float) -> Tensor:
    if scale.dtype is x.dtype and mean.dtype is x.dtype:
        return F.batch_norm(x, mean, var, scale, bias, False, 0.0, epsilon)
    wide = ingot.promote_types(x.dtype, mean.dtype)
    return F.batch_norm(x.to(wide), mean.to(wide), var.to(wide), scale.to(wide), bias.to(wide), False, 0.0, epsilon).to(x.dtype)


@op("BatchNormalization", buffers=("mean", "var"))
def batch_norm_old(
    x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor, *, epsilon: float = 1e-5, momentum: float = 0.9, spatial: int = 1,
    is_test: int = 1, consumed_inputs: Any = None,
) -> Tensor:  # fmt: skip
    if not spatial:
        return (x - mean) / ingot.sqrt(var + epsilon) * scale + bias
    return _inference(x, scale, bias, mean, var, epsilon)


@op("BatchNormalization", since=14, buffers=("mean", "var"))
def batch_norm(
    x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor, *, epsilon: float = 1e-5, momentum: float = 0.9,
    training_mode: int = 0,
) -> Any:  # fmt: skip
    if not training_mode:
        return _inference(x, scale, bias, mean, var, epsilon)
    over = (0, *range(2, x.ndim))
    now = ingot.mean(x, over)
    shape = (1, -1) + (1,) * (x.ndim - 2)
    spread = ingot.mean((x - now.reshape(shape)) ** 2, over)
    y = _inference(x, scale, bias, now, spread, epsilon)
    return y, mean * momentum + now * (1 - momentum), var * momentum + spread * (1 - momentum)


@op("InstanceNormalization")
def instance_norm(x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5, consumed_inputs: Any = None) -> Tensor:
    return F.instance_norm(x, None, None, scale, bias, True, 0.0, epsilon)


@op("LayerNormalization")
def layer_norm(
    c: Call, x: Tensor, scale: Tensor, bias: Tensor | None = None, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Any:
    axis = axis_of(axis, x.ndim)
    shape = tuple(x.shape[axis:])
    if not (c.wants(1) or c.wants(2)) and tuple(scale.shape) == shape and (bias is None or tuple(bias.shape) == shape):
        return F.layer_norm(x, shape, scale, bias, epsilon)
    wide = x.to(_stash(x, stash_type))
    over = tuple(range(axis, x.ndim))
    mean = ingot.mean(wide, over, keepdim=True)
    centred = wide - mean
    inverse = ingot.rsqrt(ingot.mean(centred * centred, over, keepdim=True) + epsilon)
    y = (centred * inverse).to(x.dtype) * scale
    return (y if bias is None else y + bias), mean, inverse


def _stash(x: Tensor, code: int) -> Any:
    wide = by_numpy(TYPES[code])
    return ingot.promote_types(wide, x.dtype)


@op("RMSNormalization")
def rms_norm(x: Tensor, scale: Tensor, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1) -> Tensor:
    axis = axis_of(axis, x.ndim)
    shape = tuple(x.shape[axis:])
    if tuple(scale.shape) == shape and scale.dtype is x.dtype:
        return F.rms_norm(x, shape, scale, epsilon)
    wide = x.to(_stash(x, stash_type))
    inverse = ingot.rsqrt(ingot.mean(wide * wide, tuple(range(axis, x.ndim)), keepdim=True) + epsilon)
    return (wide * inverse).to(x.dtype) * scale


@op("GroupNormalization")
def group_norm_by_groups(x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5, num_groups: int) -> Tensor:
    """Op sets 18 to 20: scale and bias are of groups."""
    each = x.shape[1] // num_groups
    return F.group_norm(x, num_groups, scale.repeat_interleave(each), bias.repeat_interleave(each), epsilon)


@op("GroupNormalization", since=21)
def group_norm(x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5, num_groups: int, stash_type: int = 1) -> Tensor:
    return F.group_norm(x, num_groups, scale, bias, epsilon)


@op("LpNormalization")
def lp_norm(x: Tensor, *, axis: int = -1, p: int = 2) -> Tensor:
    size = ingot.sum(ingot.abs(x), axis, keepdim=True) if p == 1 else ingot.sqrt(ingot.sum(x * x, axis, keepdim=True))
    return ingot.where(size == 0, 0, x / ingot.where(size == 0, 1, size)).to(x.dtype)


@op("MeanVarianceNormalization")
def mean_variance(x: Tensor, *, axes: list[int] | None = None) -> Tensor:
    over = tuple(axes or (0, 2, 3))
    mean = ingot.mean(x, over, keepdim=True)
    spread = ingot.mean(x * x, over, keepdim=True) - mean * mean
    return (x - mean) / (ingot.sqrt(spread) + 1e-9)


@op("LRN")
def lrn(x: Tensor, *, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0, size: int) -> Tensor:
    before, after = (size - 1) // 2, math.ceil((size - 1) / 2)
    square = F.pad(x * x, [0, 0] * (x.ndim - 2) + [before, after])
    total: Any = 0
    for i in range(size):
        total = total + ingot.narrow(square, 1, i, x.shape[1])
    return x / (total * (alpha / size) + bias) ** beta


@op("Dropout")
def dropout_old(c: Call, x: Tensor, *, ratio: float = 0.5, is_test: int = 0, seed: int = 0, consumed_inputs: Any = None) -> Any:
    """Inference: nothing is dropped."""
    return (x, ingot.ones(x.shape, dtype=x.dtype if c.version < 10 else ingot.bool)) if c.wants(1) else x


@op("Dropout", since=12, known=("ratio", "training_mode"))
def dropout(c: Call, x: Tensor, ratio: Any = None, training_mode: Any = None, *, seed: int = 0) -> Any:
    p = 0.5 if ratio is None else float(ratio.reshape(-1)[0])
    if training_mode is None or not training_mode.reshape(-1)[0] or p == 0:
        return (x, ingot.ones(x.shape, dtype=ingot.bool)) if c.wants(1) else x
    keep = ingot.rand(x.shape) >= p
    return ingot.where(keep, x / (1 - p), 0).to(x.dtype), keep
