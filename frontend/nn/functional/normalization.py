"""Normalisations: statistics in float32 for half inputs, running statistics updated in place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot._tensor.composites import composite
from ingot._tensor.recording import scalar
from ingot.functions.common import as_int, refuse
from ingot.ir.size import ShapeError
from ingot.nn.functional.elementwise import is_half
from ingot.nn.functional.padding import pad
from ingot.nn.functional.pooling import avg_pool1d
from ingot.nn.functional.sizes import same_dtype


def _wide(x: Tensor) -> Tensor:
    return x.float() if is_half(x) else x


def _affine(y: Tensor, weight: Tensor | None, bias: Tensor | None, shape: tuple[int, ...] | None = None) -> Tensor:
    """y * weight + bias, with both reshaped to `shape` when given."""
    if weight is not None:
        y = y * _wide(weight if shape is None else weight.reshape(shape))
    if bias is not None:
        y = y + _wide(bias if shape is None else bias.reshape(shape))
    return y


def _normalized(x: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
    centred = x - x.mean(dims, keepdim=True)
    return centred * ingot.rsqrt((centred * centred).mean(dims, keepdim=True) + eps)


def _check_normalized_shape(name: str, input: Tensor, shape: Sequence[int], *params: Tensor | None) -> tuple[int, ...]:
    dims = (shape,) if isinstance(shape, int) else tuple(as_int(d) for d in shape)
    if not dims or tuple(input.shape[input.ndim - len(dims) :]) != dims or len(dims) > input.ndim:
        raise ShapeError(f"{name}: expected an input of shape [*, {', '.join(map(str, dims))}], but got {list(input.shape)}")
    for p in params:
        if p is not None and tuple(p.shape) != dims:
            raise ShapeError(f"{name}: weight and bias must have normalized_shape {list(dims)}, but got {list(p.shape)}")
    return dims


def _check_dtypes(name: str, input: Tensor, weight: Tensor | None, bias: Tensor | None) -> None:
    if input.dtype.kind != "f":
        raise refuse(name, input.dtype)
    same_dtype(name, input, True, weight=weight, bias=bias)


@composite
def _layer_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, n: int, eps: float) -> Tensor:
    return _affine(_normalized(_wide(x), tuple(range(-n, 0)), eps), weight, bias).to(x.dtype)


def layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias, mean and (biased) variance over the trailing dims `normalized_shape`.

    weight, bias: of shape `normalized_shape`. ShapeError where the shapes do not fit. Source: https://arxiv.org/abs/1607.06450.

    >>> F.layer_norm(ingot.tensor([[1.0, 3.0]]), (2,))
    tensor([[-1.0000,  1.0000]])
    """
    dims = _check_normalized_shape("layer_norm", input, normalized_shape, weight, bias)
    _check_dtypes("layer_norm", input, weight, bias)
    return _layer_norm(input, weight, bias, len(dims), eps)


@composite
def _rms_norm(x: Tensor, weight: Tensor | None, n: int, eps: float) -> Tensor:
    wide = _wide(x)
    return _affine(wide * ingot.rsqrt((wide * wide).mean(tuple(range(-n, 0)), keepdim=True) + eps), weight, None).to(x.dtype)


def rms_norm(input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    """x / sqrt(mean(x ** 2) + eps) * weight, the mean over the trailing dims `normalized_shape`.

    eps: the input's machine epsilon where None. Source: https://arxiv.org/abs/1910.07467.

    >>> F.rms_norm(ingot.tensor([[1.0, 7.0]]), (2,))
    tensor([[0.2000, 1.4000]])
    """
    dims = _check_normalized_shape("rms_norm", input, normalized_shape, weight)
    if eps is None:
        eps = float(ingot.finfo(ingot.float32 if is_half(input) else input.dtype).eps)
    return _rms_norm(input, weight, len(dims), eps)


def _check_channels(name: str, channels: int, **params: Tensor | None) -> None:
    for what, p in params.items():
        if p is not None and tuple(p.shape) != (channels,):
            raise ShapeError(f"{name}: {what} must have shape [{channels}], one entry per channel, but got {list(p.shape)}")


@composite
def _group_norm(x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    grouped = _wide(x).reshape((x.shape[0], groups, x.shape[1] // groups * math.prod(x.shape[2:])))
    shape = (x.shape[1],) + (1,) * (x.ndim - 2)
    return _affine(_normalized(grouped, (-1,), eps).reshape(x.shape), weight, bias, shape).to(x.dtype)


def group_norm(input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """As `layer_norm`, but over each of `num_groups` groups of channels of each sample of (N, C, *); weight and bias (C).

    RuntimeError unless C is divisible by `num_groups`, ValueError for one group of one element. Source:
    https://arxiv.org/abs/1803.08494.

    >>> F.group_norm(ingot.arange(8.0).reshape(1, 4, 2), 2)
    tensor([[[-1.3416, -0.4472],
             [ 0.4472,  1.3416],
             [-1.3416, -0.4472],
             [ 0.4472,  1.3416]]])
    """
    if input.ndim < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.ndim}")
    if num_groups < 1 or input.shape[1] % num_groups:
        raise RuntimeError(
            f"Expected number of channels in input to be divisible by num_groups, but got {list(input.shape)} and {num_groups}"
        )
    if input.shape[0] * (input.shape[1] // num_groups) * math.prod(input.shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {list(input.shape)}")
    _check_channels("group_norm", input.shape[1], weight=weight, bias=bias)
    _check_dtypes("group_norm", input, weight, bias)
    return _group_norm(input, num_groups, weight, bias, eps)


# ---- batch statistics


@composite
def _batch_norm_train(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """The normalised batch, its mean and its variance (biased)."""
    wide, dims, shape = _wide(x), (0, *range(2, x.ndim)), (1, -1) + (1,) * (x.ndim - 2)
    mean = wide.mean(dims, keepdim=True)
    centred = wide - mean
    var = (centred * centred).mean(dims, keepdim=True)
    y = _affine(centred * ingot.rsqrt(var + eps), weight, bias, shape).to(x.dtype)
    return y, mean.reshape((-1,)), var.reshape((-1,))


@composite
def _batch_norm_eval(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    shape = (1, -1) + (1,) * (x.ndim - 2)
    centred = _wide(x) - _wide(mean).reshape(shape)
    return _affine(centred * ingot.rsqrt(_wide(var).reshape(shape) + eps), weight, bias, shape).to(x.dtype)


@composite
def _running(mean: Tensor, var: Tensor, batch_mean: Tensor, batch_var: Tensor, momentum: Tensor, unbias: float) -> tuple[Tensor, Tensor]:
    m = momentum.to(batch_mean.dtype)
    new_mean = _wide(mean) * (1.0 - m) + batch_mean * m
    new_var = _wide(var) * (1.0 - m) + (batch_var * unbias) * m
    return new_mean.to(mean.dtype), new_var.to(var.dtype)


def update_running(mean: Tensor | None, var: Tensor | None, batch_mean: Tensor, batch_var: Tensor, momentum: Any, count: int) -> None:
    """running = (1 - momentum) * running + momentum * batch, in place; the variance is made unbiased over `count`: of 0, they stay."""
    if mean is None or var is None or count == 0:
        return
    with ingot.no_grad():
        m = momentum if isinstance(momentum, Tensor) else scalar(float(momentum), batch_mean.dtype)
        new_mean, new_var = _running(mean, var, batch_mean.detach(), batch_var.detach(), m, count / max(count - 1, 1))
        mean.copy_(new_mean)
        var.copy_(new_var)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | Tensor = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel of (N, C, *); all parameters and statistics (C).

    training: mean and (biased) variance are the batch's, and the running ones move by `momentum` towards its mean and unbiased
    variance, in place; otherwise they are the running ones (RuntimeError where they are None). ValueError for one value per
    channel in training. Source: https://arxiv.org/abs/1502.03167.

    >>> mean, var = ingot.zeros(2), ingot.ones(2)
    >>> F.batch_norm(ingot.tensor([[1.0, 2.0], [3.0, 6.0]]), mean, var, training=True)
    tensor([[-1.0000, -1.0000],
            [ 1.0000,  1.0000]])
    >>> mean
    tensor([0.2000, 0.4000])
    """
    if input.ndim < 2 and tuple(input.shape) != (0,):
        raise ShapeError(f"batch_norm: expected an input (N, C, *), but got shape {list(input.shape)}")
    if input.ndim < 2:  # nothing at all, which torch takes for no channels
        return batch_norm(input.reshape((0, 0)), running_mean, running_var, weight, bias, training, momentum, eps).reshape((0,))
    _check_channels("batch_norm", input.shape[1], running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    _check_dtypes("batch_norm", input, weight, bias)
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError("Expected running_mean and running_var to be defined when training=False")
        return _batch_norm_eval(input, running_mean, running_var, weight, bias, eps)
    if (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var must either both be None or neither be None")
    count = input.numel() // max(input.shape[1], 1)
    if count == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {list(input.shape)}")
    y, mean, var = _batch_norm_train(input, weight, bias, eps)
    update_running(running_mean, running_var, mean, var, momentum, count)
    return y


@composite
def _instance_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    wide, dims, shape = _wide(x), tuple(range(2, x.ndim)), (1, -1) + (1,) * (x.ndim - 2)
    mean = wide.mean(dims, keepdim=True)
    centred = wide - mean
    var = (centred * centred).mean(dims, keepdim=True)
    y = _affine(centred * ingot.rsqrt(var + eps), weight, bias, shape).to(x.dtype)
    return y, mean.mean(0).reshape((-1,)), var.mean(0).reshape((-1,))


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """As `batch_norm`, but with the mean and variance of each channel of each sample of (N, C, *).

    use_input_stats=False: with the running ones; otherwise they, where given, move towards the batch's average.
    ShapeError without spatial dims, ValueError for one element in them. Source: https://arxiv.org/abs/1607.08022.

    >>> F.instance_norm(ingot.tensor([[[1.0, 3.0], [2.0, 6.0]]]))
    tensor([[[-1.0000,  1.0000],
             [-1.0000,  1.0000]]])
    """
    if input.ndim < 3:
        raise ShapeError(f"instance_norm: expected an input (N, C, *) with spatial dims, but got shape {list(input.shape)}")
    _check_channels("instance_norm", input.shape[1], running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    _check_dtypes("instance_norm", input, weight, bias)
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats=False")
        return _batch_norm_eval(input, running_mean, running_var, weight, bias, eps)
    count = input.numel() // max(input.shape[0] * input.shape[1], 1)
    if count == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {list(input.shape)}")
    y, mean, var = _instance_norm(input, weight, bias, eps)
    update_running(running_mean, running_var, mean, var, momentum, count)
    return y


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """x / (k + alpha * mean(x ** 2)) ** beta, the mean over `size` neighbouring channels of (N, C, *), zeros beyond the ends.

    ValueError for fewer than three dims. Source: Krizhevsky et al., ImageNet Classification with Deep CNNs, 2012.

    >>> F.local_response_norm(ingot.ones(1, 3, 1), size=3, alpha=3.0)
    tensor([[[0.4387],
             [0.3536],
             [0.4387]]])
    """
    if input.ndim < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {input.ndim} dimensions)")
    if not input.numel():
        return input * 1
    n, c = input.shape[0], input.shape[1]
    square = (input * input).reshape((n, c, -1)).transpose(1, 2)
    padded = pad(square, (size // 2, (size - 1) // 2))
    mean = avg_pool1d(padded, size, 1).transpose(1, 2).reshape(input.shape)
    return input / (mean * alpha + k) ** beta
