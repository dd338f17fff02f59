"""Activations that are smooth, or of linear pieces. Where a branch would overflow, its argument is replaced first.

0 * inf in a backward is NaN.
"""

from __future__ import annotations

import math

import ingot
from ingot._tensor import Tensor
from ingot._tensor.composites import keeps
from ingot.functions.common import emit_out
from ingot.ir.facts import Kept
from ingot.nn.functional.elementwise import apply, elementwise, float_integers, with_complex


@elementwise
def _gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1.0 + ingot.erf(x * math.sqrt(0.5)))


@elementwise
def _gelu_tanh(x: Tensor) -> Tensor:
    return 0.5 * x * (1.0 + ingot.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))))


def gelu(input: Tensor, approximate: str = "none", *, out: Tensor | None = None) -> Tensor:
    """x * Phi(x), Phi the distribution function of the standard normal. Source: https://arxiv.org/abs/1606.08415.

    approximate="tanh": 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3))). RuntimeError for another name.

    >>> F.gelu(ingot.tensor([-1.0, 2.0]))
    tensor([-0.1587,  1.9545])
    """
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"approximate argument must be either none or tanh, not {approximate!r}")
    return emit_out(_gelu(input) if approximate == "none" else _gelu_tanh(input), out)


@with_complex
def _silu(x: Tensor) -> Tensor:
    return x * ingot.sigmoid(x)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x * sigmoid(x), also called swish. Source: https://arxiv.org/abs/1702.03118.

    >>> F.silu(ingot.tensor([-1.0, 2.0]))
    tensor([-0.2689,  1.7616])
    """
    return apply(_silu, input, inplace)


def _soft_plus(x: Tensor, beta: float, limit: float) -> Tensor:
    z = x * beta
    linear = z > limit
    return ingot.where(linear, x, ingot.log1p(ingot.exp(ingot.where(linear, 0.0, z))) / beta)


@elementwise
def _softplus(x: Tensor, beta: float, limit: float) -> Tensor:
    return _soft_plus(x, beta, limit)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0, *, out: Tensor | None = None) -> Tensor:
    """log(1 + exp(beta * x)) / beta; x itself where beta * x > threshold.

    >>> F.softplus(ingot.tensor([-1.0, 0.0, 30.0]))
    tensor([ 0.3133,  0.6931, 30.0000])
    """
    return emit_out(_softplus(input, beta, threshold), out)


@elementwise
def _mish(x: Tensor) -> Tensor:
    return x * ingot.tanh(_soft_plus(x, 1.0, 20.0))


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * tanh(softplus(x)). Source: https://arxiv.org/abs/1908.08681.

    >>> F.mish(ingot.tensor([-1.0, 2.0]))
    tensor([-0.3034,  1.9440])
    """
    return apply(_mish, input, inplace)


def log1p_exp_neg(x: Tensor) -> Tensor:
    """log(1 + exp(-x)) without overflow, and with the right gradient at 0."""
    negative = x < 0
    return ingot.where(negative, -x, 0.0) + ingot.log1p(ingot.exp(ingot.where(negative, x, -x)))


@elementwise
def _logsigmoid(x: Tensor) -> Tensor:
    return -log1p_exp_neg(x)


def logsigmoid(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """log(sigmoid(x)), without overflow.

    >>> F.logsigmoid(ingot.tensor([-1000.0, 0.0]))
    tensor([-1.0000e+03, -6.9315e-01])
    """
    return emit_out(_logsigmoid(input), out)


@float_integers
@keeps(Kept.OPERANDS)
def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|). Integers become the default float dtype.

    >>> F.softsign(ingot.tensor([-1.0, 3.0]))
    tensor([-0.5000,  0.7500])
    """
    return input / (1.0 + ingot.abs(input))


@float_integers
@keeps(Kept.NOTHING)
def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x). Integers become the default float dtype.

    >>> F.tanhshrink(ingot.tensor([-1.0, 3.0]))
    tensor([-0.2384,  2.0049])
    """
    return input - ingot.tanh(input)


def tanh(input: Tensor) -> Tensor:
    """Hyperbolic tangent. Integers become the default float dtype.

    >>> F.tanh(ingot.tensor([-1.0, 3.0]))
    tensor([-0.7616,  0.9951])
    """
    return ingot.tanh(input)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x)). Integers become the default float dtype.

    >>> F.sigmoid(ingot.tensor([-1.0, 0.0]))
    tensor([0.2689, 0.5000])
    """
    return ingot.sigmoid(input)


# ---- piecewise linear


@elementwise
def _hardsigmoid(x: Tensor) -> Tensor:
    inner = (x > -3.0) & (x < 3.0)  # at NaN the gradient is 0
    return ingot.where(inner, (ingot.where(inner, x, 0.0) + 3.0) / 6.0, ingot.where(x <= -3.0, 0.0, ingot.where(x >= 3.0, 1.0, x.detach())))


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """0 up to -3, 1 from 3 on, x / 6 + 1 / 2 between.

    >>> F.hardsigmoid(ingot.tensor([-3.0, 0.0, 1.5]))
    tensor([0.0000, 0.5000, 0.7500])
    """
    return apply(_hardsigmoid, input, inplace)


@elementwise
def _hardswish(x: Tensor) -> Tensor:
    low, high = x <= -3.0, x >= 3.0
    middle = ingot.where(low | high, 0.0, x)  # a product with an infinity, and its gradient, are never computed
    return ingot.where(low, 0.0, ingot.where(high, x, middle * (middle + 3.0) / 6.0))


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * hardsigmoid(x). Source: https://arxiv.org/abs/1905.02244.

    >>> F.hardswish(ingot.tensor([-1.5, 1.5, 4.0]))
    tensor([-0.3750,  1.1250,  4.0000])
    """
    return apply(_hardswish, input, inplace)


@elementwise
def _hardshrink(x: Tensor, lambd: float) -> Tensor:
    return ingot.where((x >= -lambd) & (x <= lambd), 0.0, x)


def hardshrink(input: Tensor, lambd: float = 0.5, *, out: Tensor | None = None) -> Tensor:
    """x where |x| > lambd, else 0.

    >>> F.hardshrink(ingot.tensor([-1.0, 0.25, 0.5]))
    tensor([-1.,  0.,  0.])
    """
    return emit_out(_hardshrink(input, lambd), out)


@elementwise
def _softshrink(x: Tensor, lambd: float) -> Tensor:
    inside = ingot.where(x.isnan(), x, x * 0.0)
    return ingot.where(x > lambd, x - lambd, ingot.where(x < -lambd, x + lambd, inside))


def softshrink(input: Tensor, lambd: float = 0.5, *, out: Tensor | None = None) -> Tensor:
    """x moved towards 0 by lambd; 0 within [-lambd, lambd]. RuntimeError for a negative lambd.

    >>> F.softshrink(ingot.tensor([-1.0, 0.25, 0.75]))
    tensor([-0.5000,  0.0000,  0.2500])
    """
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd}")
    return emit_out(_softshrink(input, lambd), out)
