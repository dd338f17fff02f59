"""Activations; where an op is a function of torch's, it is that function's composite."""

from __future__ import annotations

import math
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.interchange.onnx.rules import op
from ingot.nn import functional as F

__all__: list[str] = []


@op("Elu")
def elu(x: Tensor, *, alpha: float = 1.0, consumed_inputs: Any = None) -> Tensor:
    return F.elu(x, alpha)


@op("Selu")
def selu(x: Tensor, *, alpha: float = 1.6732631921768188, gamma: float = 1.0507010221481323, consumed_inputs: Any = None) -> Tensor:
    return ingot.where(x > 0, x, ingot.expm1(x) * alpha) * gamma


@op("Selu", since=6)
def selu_6(x: Tensor, *, alpha: float = 1.6732631921768188, gamma: float = 1.0507010221481323) -> Tensor:
    if abs(alpha - 1.6732632423543772) < 1e-6 and abs(gamma - 1.0507009873554805) < 1e-6:
        return F.selu(x)
    return ingot.where(x > 0, x, ingot.expm1(x) * alpha) * gamma


@op("Celu")
def celu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return F.celu(x, alpha)


@op("LeakyRelu")
def leaky_relu(x: Tensor, *, alpha: float = 0.01, consumed_inputs: Any = None) -> Tensor:
    return F.leaky_relu(x, alpha)


@op("PRelu")
def prelu_channels(x: Tensor, slope: Tensor, *, consumed_inputs: Any = None) -> Tensor:
    if slope.ndim == 1 and x.ndim > 1 and slope.shape[0] != 1:
        slope = slope.reshape((-1,) + (1,) * (x.ndim - 2))
    return ingot.where(x < 0, x * slope, x)


@op("PRelu", since=7)
def prelu(x: Tensor, slope: Tensor) -> Tensor:
    return ingot.where(x < 0, x * slope, x)


@op("ThresholdedRelu")
def thresholded_relu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return ingot.where(x > alpha, x, 0)


@op("HardSigmoid")
def hard_sigmoid(x: Tensor, *, alpha: float = 0.2, beta: float = 0.5, consumed_inputs: Any = None) -> Tensor:
    if abs(alpha - 1 / 6) < 1e-7 and beta == 0.5:
        return F.hardsigmoid(x)
    return ingot.clamp(x * alpha + beta, 0, 1)


@op("HardSwish")
def hard_swish(x: Tensor) -> Tensor:
    return F.hardswish(x)


@op("Mish")
def mish(x: Tensor) -> Tensor:
    return F.mish(x)


@op("Softplus")
def softplus(x: Tensor) -> Tensor:
    return ingot.maximum(x, x.new_zeros(())) + ingot.log1p(ingot.exp(-ingot.abs(x)))


@op("Softsign")
def softsign(x: Tensor) -> Tensor:
    return F.softsign(x)


@op("Gelu")
def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    return F.gelu(x, approximate=approximate)


@op("Swish")
def swish(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return F.silu(x) if alpha == 1 else x * ingot.sigmoid(x * alpha)


@op("SwiGLU")
def swiglu(a: Tensor, b: Tensor, *, alpha: float = 1.0) -> Tensor:
    return swish(a, alpha=alpha) * b


@op("Shrink")
def shrink(x: Tensor, *, bias: float = 0.0, lambd: float = 0.5) -> Tensor:
    return ingot.where(x < -lambd, x + bias, ingot.where(x > lambd, x - bias, 0)).to(x.dtype)


def _as_matrix(x: Tensor, axis: int) -> tuple[int, int]:
    axis += x.ndim if axis < 0 else 0
    return math.prod(x.shape[:axis]), math.prod(x.shape[axis:])


def _hardmax(x: Tensor, dim: int) -> Tensor:
    return ingot.moveaxis(F.one_hot(ingot.argmax(x, dim), x.shape[dim]), -1, dim).to(x.dtype)


for _name, _f in {"Softmax": ingot.softmax, "LogSoftmax": ingot.log_softmax, "Hardmax": _hardmax}.items():

    def _flat(x: Tensor, *, axis: int = 1, f: Any = None, _f: Any = _f) -> Tensor:
        """Before op set 13: over all dims from `axis` on."""
        return _f(x.reshape(_as_matrix(x, axis)), 1).reshape(x.shape)

    op(_name)(_flat)
    op(_name, since=13)(lambda x, *, axis=-1, _f=_f: _f(x, axis))
