"""Random numbers, from Ingot's own streams: of the right distribution, not the numbers of another runtime."""

from __future__ import annotations

from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.interchange.onnx.rules import op
from ingot.interchange.onnx.tensors import TYPES
from ingot.ir.dtypes import by_numpy

__all__: list[str] = []


def _dtype(code: int | None, x: Tensor | None) -> Any:
    if code is not None:
        return by_numpy(TYPES[code])
    return ingot.float32 if x is None or not x.is_floating_point() else x.dtype


def _uniform(shape: Any, dtype: Any, low: float, high: float) -> Tensor:
    return (ingot.rand(tuple(shape)) * (high - low) + low).to(dtype)


def _normal(shape: Any, dtype: Any, mean: float, scale: float) -> Tensor:
    return (ingot.randn(tuple(shape)) * scale + mean).to(dtype)


@op("RandomUniform")
def random_uniform(*, shape: list[int], dtype: int = 1, low: float = 0.0, high: float = 1.0, seed: float = 0.0) -> Tensor:
    return _uniform(shape, _dtype(dtype, None), low, high)


@op("RandomUniformLike")
def random_uniform_like(x: Tensor, *, dtype: int | None = None, low: float = 0.0, high: float = 1.0, seed: float = 0.0) -> Tensor:
    return _uniform(x.shape, _dtype(dtype, x), low, high)


@op("RandomNormal")
def random_normal(*, shape: list[int], dtype: int = 1, mean: float = 0.0, scale: float = 1.0, seed: float = 0.0) -> Tensor:
    return _normal(shape, _dtype(dtype, None), mean, scale)


@op("RandomNormalLike")
def random_normal_like(x: Tensor, *, dtype: int | None = None, mean: float = 0.0, scale: float = 1.0, seed: float = 0.0) -> Tensor:
    return _normal(x.shape, _dtype(dtype, x), mean, scale)


@op("Bernoulli")
def bernoulli(x: Tensor, *, dtype: int | None = None, seed: float = 0.0) -> Tensor:
    return (ingot.rand(x.shape) < x).to(x.dtype if dtype is None else by_numpy(TYPES[dtype]))


@op("Multinomial")
def multinomial(x: Tensor, *, dtype: int = 6, sample_size: int = 1, seed: float = 0.0) -> Tensor:
    """Draws of classes whose log-probabilities, not normalised, are given."""
    ends = ingot.cumsum(ingot.softmax(x, -1), -1)
    at = ingot.rand((x.shape[0], sample_size, 1))
    drawn = (at >= ends.unsqueeze(1)).sum(-1)
    return ingot.clamp(drawn, 0, x.shape[1] - 1).to(by_numpy(TYPES[dtype]))
