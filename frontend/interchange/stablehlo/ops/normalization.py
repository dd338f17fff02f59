"""Batch norms, as StableHLO has them."""

from __future__ import annotations

from typing import Any

from ingot._tensor import Tensor
from ingot.functions.common import apply, scalar
from ingot.interchange.stablehlo.rules import op

__all__: list[str] = []


def _beside(v: Tensor, x: Tensor, axis: int) -> Tensor:
    """A vector of features, in the shape that goes with x."""
    return apply("reshape", v, attrs=(tuple(n if i == axis else 1 for i, n in enumerate(x.shape)),))


def _mean(x: Tensor, axis: int) -> Tensor:
    axes = tuple(i for i in range(x.ndim) if i != axis)
    count: Any = 1
    for i in axes:
        count = count * x.shape[i]
    total = apply("reshape", apply("reduce_sum", x, attrs=(axes,)), attrs=((x.shape[axis],),))
    return total / count


def _normal(x: Tensor, mean: Tensor, variance: Tensor, epsilon: float, axis: int) -> Tensor:
    scale = apply("rsqrt", variance + scalar(epsilon, variance.dtype))
    return (x - _beside(mean, x, axis)) * _beside(scale, x, axis)


@op("batch_norm_inference")
def inference(
    x: Tensor, scale: Tensor, offset: Tensor, mean: Tensor, variance: Tensor, *, epsilon: float, feature_index: int
) -> Tensor:  # fmt: skip
    return _normal(x, mean, variance, epsilon, feature_index) * _beside(scale, x, feature_index) + _beside(offset, x, feature_index)


@op("batch_norm_training")
def training(x: Tensor, scale: Tensor, offset: Tensor, *, epsilon: float, feature_index: int) -> tuple[Tensor, ...]:
    mean = _mean(x, feature_index)
    centred = x - _beside(mean, x, feature_index)
    variance = _mean(centred * centred, feature_index)
    out = _normal(x, mean, variance, epsilon, feature_index) * _beside(scale, x, feature_index) + _beside(offset, x, feature_index)
    return out, mean, variance


@op("batch_norm_grad")
def grad(
    x: Tensor, scale: Tensor, mean: Tensor, variance: Tensor, grad_output: Tensor, *, epsilon: float, feature_index: int
) -> tuple[Tensor, ...]:  # fmt: skip
    axis = feature_index
    normal = _normal(x, mean, variance, epsilon, axis)
    axes = tuple(i for i in range(x.ndim) if i != axis)
    flat = (x.shape[axis],)
    by_offset = apply("reshape", apply("reduce_sum", grad_output, attrs=(axes,)), attrs=(flat,))
    by_scale = apply("reshape", apply("reduce_sum", grad_output * normal, attrs=(axes,)), attrs=(flat,))
    root = _beside(scale * apply("rsqrt", variance + scalar(epsilon, variance.dtype)), x, axis)
    centred = grad_output - _beside(_mean(grad_output, axis), x, axis) - normal * _beside(_mean(grad_output * normal, axis), x, axis)
    return centred * root, by_scale, by_offset
