"""Activations. Where a branch would overflow, its argument is replaced first: 0 * inf in a backward is NaN.

Half-precision inputs are computed in float32 and rounded once, as torch does on the CPU.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import ingot
from ingot._tensor import Tensor, recording, wrap
from ingot._tensor.composites import composite

_HALF = ("float16", "bfloat16")


def is_half(t: Tensor) -> bool:
    return t.dtype.torch_name in _HALF


def elementwise(fn: Callable, integers: str = "refuse") -> Callable:
    """A composite of one float tensor (and static parameters) that computes halves in float32.

    integers: "refuse" (RuntimeError), "float" (as the default dtype), or "keep" (computed in their own dtype).
    """

    @composite
    @functools.wraps(fn)
    def compute(input: Tensor, *args: Any) -> Tensor:
        return fn(input.float(), *args).to(input.dtype) if is_half(input) else fn(input, *args)

    @functools.wraps(fn)
    def checked(input: Tensor, *args: Any) -> Tensor:
        if not isinstance(input, Tensor):
            raise TypeError(f"{fn.__name__.strip('_')}: input must be a Tensor, not {type(input).__name__}")
        if not input.is_floating_point():
            if integers == "refuse" or (integers == "keep" and input.dtype == ingot.bool):
                raise RuntimeError(f"{fn.__name__.strip('_')}: input must be of a floating-point dtype, not {input.dtype!r}")
            if integers == "float":
                input = input.to(ingot.get_default_dtype())
        return compute(input, *args)

    return checked


float_integers = functools.partial(elementwise, integers="float")
keep_integers = functools.partial(elementwise, integers="keep")


def apply(fn: Callable[..., Tensor], input: Tensor, inplace: bool, *args: Any) -> Tensor:
    """fn(input, *args), or `input` overwritten with it.

    In place, fn reads another handle of the same value: what its backward saves is the value before, which stays as it is.
    """
    if not inplace:
        return fn(input, *args)
    return recording.inplace(input, fn(wrap(input._pair()), *args))


# ---- rectifiers


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
    return ingot.where(x <= lo, lo, ingot.where(x >= hi, hi, x))


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


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where x > 0, else weight * x. Source: https://arxiv.org/abs/1502.01852.

    weight: one element, or one per channel (dim 1 of the input); RuntimeError for another number.

    >>> F.prelu(ingot.tensor([[-1.0, -1.0]]), ingot.tensor([0.1, 0.5]))
    tensor([[-0.1000, -0.5000]])
    """
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.numel() != 1 and weight.numel() != channels:
        raise RuntimeError(f"prelu: expected a weight of 1 or {channels} elements (the channels), but got {weight.numel()}")
    return _prelu(input, weight.reshape(()) if weight.numel() == 1 and weight.ndim == 1 else weight)


# ---- smooth


@elementwise
def _gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1.0 + ingot.erf(x * math.sqrt(0.5)))


@elementwise
def _gelu_tanh(x: Tensor) -> Tensor:
    return 0.5 * x * (1.0 + ingot.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))))


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x * Phi(x), Phi the distribution function of the standard normal. Source: https://arxiv.org/abs/1606.08415.

    approximate="tanh": 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3))). RuntimeError for another name.

    >>> F.gelu(ingot.tensor([-1.0, 2.0]))
    tensor([-0.1587,  1.9545])
    """
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"approximate argument must be either none or tanh, not {approximate!r}")
    return _gelu(input) if approximate == "none" else _gelu_tanh(input)


@elementwise
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


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta * x)) / beta; x itself where beta * x > threshold.

    >>> F.softplus(ingot.tensor([-1.0, 0.0, 30.0]))
    tensor([ 0.3133,  0.6931, 30.0000])
    """
    return _softplus(input, beta, threshold)


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
def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(x)), without overflow.

    >>> F.logsigmoid(ingot.tensor([-1000.0, 0.0]))
    tensor([-1.0000e+03, -6.9315e-01])
    """
    return -log1p_exp_neg(input)


@float_integers
def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|). Integers become the default float dtype.

    >>> F.softsign(ingot.tensor([-1.0, 3.0]))
    tensor([-0.5000,  0.7500])
    """
    return input / (1.0 + ingot.abs(input))


@float_integers
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
    return ingot.where(x <= -3.0, 0.0, ingot.where(x >= 3.0, 1.0, (x + 3.0) / 6.0))


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """0 up to -3, 1 from 3 on, x / 6 + 1 / 2 between.

    >>> F.hardsigmoid(ingot.tensor([-3.0, 0.0, 1.5]))
    tensor([0.0000, 0.5000, 0.7500])
    """
    return apply(_hardsigmoid, input, inplace)


@elementwise
def _hardswish(x: Tensor) -> Tensor:
    return ingot.where(x <= -3.0, 0.0, ingot.where(x >= 3.0, x, x * (x + 3.0) / 6.0))


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * hardsigmoid(x). Source: https://arxiv.org/abs/1905.02244.

    >>> F.hardswish(ingot.tensor([-1.5, 1.5, 4.0]))
    tensor([-0.3750,  1.1250,  4.0000])
    """
    return apply(_hardswish, input, inplace)


@elementwise
def _hardshrink(x: Tensor, lambd: float) -> Tensor:
    return ingot.where((x >= -lambd) & (x <= lambd), 0.0, x)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x where |x| > lambd, else 0.

    >>> F.hardshrink(ingot.tensor([-1.0, 0.25, 0.5]))
    tensor([-1.,  0.,  0.])
    """
    return _hardshrink(input, lambd)


@elementwise
def _softshrink(x: Tensor, lambd: float) -> Tensor:
    return ingot.where(x > lambd, x - lambd, ingot.where(x < -lambd, x + lambd, x * 0.0))


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved towards 0 by lambd; 0 within [-lambd, lambd]. RuntimeError for a negative lambd.

    >>> F.softshrink(ingot.tensor([-1.0, 0.25, 0.75]))
    tensor([-0.5000,  0.0000,  0.2500])
    """
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd}")
    return _softshrink(input, lambd)


# ---- along a dimension


@composite
def _glu(input: Tensor, dim: int) -> Tensor:
    half = input.shape[dim] // 2
    return input.narrow(dim, 0, half) * ingot.sigmoid(input.narrow(dim, half, half))


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a * sigmoid(b), where a and b are the halves of x along `dim`, whose extent is halved.

    RuntimeError where that is odd. Source: https://arxiv.org/abs/1612.08083.

    >>> F.glu(ingot.tensor([1.0, 2.0, 0.0, 0.0]))
    tensor([0.5000, 1.0000])
    """
    if input.ndim == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    if not -input.ndim <= dim < input.ndim:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-input.ndim}, {input.ndim - 1}], but got {dim})")
    if input.shape[dim] % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size {input.shape[dim]}")
    return _glu(input, dim % input.ndim)


def _implicit_dim(name: str, ndim: int) -> int:
    warnings.warn(f"Implicit dimension choice for {name} has been deprecated. Pass dim=X as an argument.", stacklevel=3)
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """exp(x) / sum(exp(x)) along `dim`, without overflow. `dtype`: what the input is cast to first.

    >>> F.softmax(ingot.tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([0.0900, 0.2447, 0.6652])
    """
    return ingot.softmax(input, _implicit_dim("softmax", input.ndim) if dim is None else dim, dtype=dtype)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """log(softmax(x)) along `dim`, without overflow. `dtype`: what the input is cast to first.

    >>> F.log_softmax(ingot.tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([-2.4076, -1.4076, -0.4076])
    """
    return ingot.log_softmax(input, _implicit_dim("log_softmax", input.ndim) if dim is None else dim, dtype=dtype)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """softmax(-x) along `dim`. `dtype`: what the input is cast to first.

    >>> F.softmin(ingot.tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([0.6652, 0.2447, 0.0900])
    """
    return ingot.softmax(-input, _implicit_dim("softmin", input.ndim) if dim is None else dim, dtype=dtype)


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """A sample of the Gumbel-softmax distribution: softmax((logits + noise) / tau) along `dim`.

    hard: one-hot instead, with the gradient of the soft sample. Source: https://arxiv.org/abs/1611.01144.

    >>> F.gumbel_softmax(ingot.zeros(4, 3), tau=0.5, hard=True).sum(-1)
    tensor([1., 1., 1., 1.])
    """
    uniform = ingot.rand_like(logits)
    gumbels = -ingot.log(-ingot.log(uniform.clamp(min=ingot.finfo(logits.dtype).tiny)))
    soft = softmax((logits + gumbels) / tau, dim)
    if not hard:
        return soft
    index = soft.argmax(dim, keepdim=True)
    one = ingot.zeros_like(logits).scatter_(dim, index, 1.0)
    return one - soft.detach() + soft


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
