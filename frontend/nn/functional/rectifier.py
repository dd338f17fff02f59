"""Rectifiers: activations that are the identity above a point, and their in-place twins."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot._tensor.autocast import lower
from ingot._tensor.composites import composite
from ingot.nn.functional.elementwise import apply, elementwise, keep_integers
from ingot.nn.functional.sizes import same_dtype


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0), elementwise: the input's shape and dtype; NaN stays NaN. RuntimeError for bool.

    >>> F.relu(ingot.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """
    return apply(ingot.relu, input, inplace)


def relu_(input: Tensor) -> Tensor:
    """`relu` in place.

    >>> x = ingot.tensor([-1.0, 0.0, 2.0])
    >>> F.relu_(x)
    tensor([0., 0., 2.])
    """
    return relu(input, inplace=True)


@keep_integers
def _hardtanh(x: Tensor, lo: float, hi: float) -> Tensor:
    kept = ingot.where(x == lo, x.detach(), lo)  # -0.0 stays what it is beside 0
    return ingot.where(x <= lo, kept, ingot.where(x >= hi, hi, x))


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x clamped to [min_val, max_val]; its gradient is 0 at the bounds.

    Integers stay integers, and the bounds lose their fraction. ValueError for min_val > max_val.

    >>> F.hardtanh(ingot.tensor([-2.0, 0.5, 2.0]))
    tensor([-1.0000,  0.5000,  1.0000])
    """
    if min_val > max_val:
        raise ValueError(f"min_val cannot be greater than max_val: {min_val} > {max_val}")
    return apply(_hardtanh, input, inplace, *_in_kind(input, min_val, max_val))


def _in_kind(input: Tensor, *values: float) -> tuple[float, ...]:
    """Parameters beside integers lose their fraction, as in torch."""
    return values if not isinstance(input, Tensor) or input.is_floating_point() else tuple(int(v) for v in values)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6). Source: Krizhevsky, Convolutional Deep Belief Networks on CIFAR-10, 2010.

    >>> F.relu6(ingot.tensor([-2.0, 0.5, 8.0]))
    tensor([0.0000, 0.5000, 6.0000])
    """
    return hardtanh(input, 0.0, 6.0, inplace)


@elementwise
def _leaky_relu(x: Tensor, slope: float) -> Tensor:
    return ingot.where(x > 0, x, x * slope)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, else negative_slope * x. RuntimeError for integers.

    >>> F.leaky_relu(ingot.tensor([-2.0, 0.5]), 0.1)
    tensor([-0.2000,  0.5000])
    """
    return apply(_leaky_relu, input, inplace, negative_slope)


def _rrelu(x: Tensor, slope: Tensor) -> Tensor:
    return ingot.where(x >= 0, x, x * slope)


def rrelu(input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False) -> Tensor:
    """`leaky_relu` whose slope is drawn for each element from [lower, upper) in training, and is their mean otherwise.

    RuntimeError for lower > upper. Source: https://arxiv.org/abs/1505.00853.

    >>> F.rrelu(ingot.tensor([-1.0, 2.0]), lower=0.1, upper=0.3)
    tensor([-0.2000,  2.0000])
    """
    if lower > upper:
        raise RuntimeError(f"rrelu: lower must not be above upper, but got {lower} and {upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    slope = ingot.rand_like(input) * (upper - lower) + lower
    return apply(_rrelu, input, inplace, slope)


@elementwise
def _elu(x: Tensor, alpha: float, scale: float, inner: float) -> Tensor:
    positive = x > 0
    return ingot.where(positive, x * scale, ingot.expm1(ingot.where(positive, 0.0, x) * inner) * (alpha * scale))


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha * (exp(x) - 1). Source: https://arxiv.org/abs/1511.07289.

    >>> F.elu(ingot.tensor([-1.0, 2.0]))
    tensor([-0.6321,  2.0000])
    """
    return apply(_elu, input, inplace, alpha, 1.0, 1.0)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """scale * elu(x, alpha) with scale = 1.0507… and alpha = 1.6733…, which keep mean 0 and variance 1 from layer to layer.

    Source: https://arxiv.org/abs/1706.02515.

    >>> F.selu(ingot.tensor([-1.0, 2.0]))
    tensor([-1.1113,  2.1014])
    """
    return apply(_elu, input, inplace, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946, 1.0)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1)): `elu` with a continuous derivative for every alpha.

    RuntimeError for alpha = 0. Source: https://arxiv.org/abs/1704.07483.

    >>> F.celu(ingot.tensor([-1.0, 2.0]), alpha=2.0)
    tensor([-0.7869,  2.0000])
    """
    if alpha == 0:
        raise RuntimeError("celu: alpha cannot be 0")
    return apply(_elu, input, inplace, alpha, 1.0, 1.0 / alpha)


@keep_integers
def _threshold(x: Tensor, threshold: float, value: float) -> Tensor:
    return ingot.where(x <= threshold, value, x)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where x > threshold, else value. Integers stay integers.

    >>> F.threshold(ingot.tensor([0.5, 2.0]), 1.0, -9.0)
    tensor([-9.,  2.])
    """
    return apply(_threshold, input, inplace, *_in_kind(input, threshold, value))


@composite
def _prelu(input: Tensor, weight: Tensor) -> Tensor:
    if weight.ndim == 1 and input.ndim > 1:
        weight = weight.reshape((weight.shape[0],) + (1,) * (input.ndim - 2))
    return ingot.where(input > 0, input, weight * input)


@lower
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where x > 0, else weight * x. Source: https://arxiv.org/abs/1502.01852.

    weight: one element, or one per channel (dim 1 of the input); RuntimeError for another number.

    >>> F.prelu(ingot.tensor([[-1.0, -1.0]]), ingot.tensor([0.1, 0.5]))
    tensor([[-0.1000, -0.5000]])
    """
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.numel() != 1 and weight.numel() != channels:
        raise RuntimeError(f"prelu: expected a weight of 1 or {channels} elements (the channels), but got {weight.numel()}")
    same_dtype("prelu", input, weight=weight)
    return _prelu(input, weight.reshape(()) if weight.numel() == 1 and weight.ndim == 1 else weight)


# ---- in place


def _inplace(fn: Callable, required: str = "") -> Callable:
    @functools.wraps(fn)
    def in_place(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return fn(input, *args, inplace=True, **kwargs)

    in_place.__name__ = fn.__name__ + "_"
    in_place.__doc__ = (
        f"`{fn.__name__}` in place. Returns the input.\n\n    >>> x = ingot.tensor([-1.0, 2.0])\n"
        f"    >>> F.{fn.__name__}_(x{required}) is x\n    True\n    "
    )
    return in_place


_IN_PLACE: tuple[Callable[..., Tensor], ...] = (celu, elu, hardtanh, leaky_relu, rrelu, selu)
celu_, elu_, hardtanh_, leaky_relu_, rrelu_, selu_ = map(_inplace, _IN_PLACE)
threshold_ = _inplace(threshold, ", 1.0, 0.0")
