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
from ingot._tensor import Tensor, wrap
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
    return input._assign(fn(wrap(input._pair()), *args))


# ---- rectifiers


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0); NaN stays NaN."""
    return apply(ingot.relu, input, inplace)


def relu_(input: Tensor) -> Tensor:
    """`relu` in place."""
    return relu(input, inplace=True)


@keep_integers
def _hardtanh(x: Tensor, lo: float, hi: float) -> Tensor:
    return ingot.where(x <= lo, lo, ingot.where(x >= hi, hi, x))


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x clamped to [min_val, max_val]; its gradient is 0 at the bounds. Integers stay integers."""
    if min_val > max_val:
        raise ValueError(f"min_val cannot be greater than max_val: {min_val} > {max_val}")
    return apply(_hardtanh, input, inplace, *_in_kind(input, min_val, max_val))


def _in_kind(input: Tensor, *values: float) -> tuple[float, ...]:
    """Parameters beside integers lose their fraction, as in torch."""
    return values if not isinstance(input, Tensor) or input.is_floating_point() else tuple(int(v) for v in values)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6)."""
    return hardtanh(input, 0.0, 6.0, inplace)


@elementwise
def _leaky_relu(x: Tensor, slope: float) -> Tensor:
    return ingot.where(x > 0, x, x * slope)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, else negative_slope * x."""
    return apply(_leaky_relu, input, inplace, negative_slope)


def _rrelu(x: Tensor, slope: Tensor) -> Tensor:
    return ingot.where(x >= 0, x, x * slope)


def rrelu(input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False) -> Tensor:
    """leaky_relu with a random slope per element in training, the mean slope otherwise."""
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    slope = ingot.rand_like(input) * (upper - lower) + lower
    return apply(_rrelu, input, inplace, slope)


@elementwise
def _elu(x: Tensor, alpha: float, scale: float, inner: float) -> Tensor:
    positive = x > 0
    return ingot.where(positive, x * scale, ingot.expm1(ingot.where(positive, 0.0, x) * inner) * (alpha * scale))


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha * (exp(x) - 1)."""
    return apply(_elu, input, inplace, alpha, 1.0, 1.0)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """scale * elu(x, alpha) with the constants of self-normalising networks."""
    return apply(_elu, input, inplace, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946, 1.0)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1))."""
    if alpha == 0:
        raise RuntimeError("celu: alpha cannot be 0")
    return apply(_elu, input, inplace, alpha, 1.0, 1.0 / alpha)


@keep_integers
def _threshold(x: Tensor, threshold: float, value: float) -> Tensor:
    return ingot.where(x <= threshold, value, x)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where x > threshold, else value."""
    return apply(_threshold, input, inplace, *_in_kind(input, threshold, value))


@composite
def _prelu(input: Tensor, weight: Tensor) -> Tensor:
    if weight.ndim == 1 and input.ndim > 1:
        weight = weight.reshape((weight.shape[0],) + (1,) * (input.ndim - 2))
    return ingot.where(input > 0, input, weight * input)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where x > 0, else weight * x; weight has one element, or one per channel (dim 1)."""
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
    """x * Phi(x), or with approximate="tanh" its tanh approximation."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"approximate argument must be either none or tanh, not {approximate!r}")
    return _gelu(input) if approximate == "none" else _gelu_tanh(input)


@elementwise
def _silu(x: Tensor) -> Tensor:
    return x * ingot.sigmoid(x)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x * sigmoid(x)."""
    return apply(_silu, input, inplace)


def _soft_plus(x: Tensor, beta: float, limit: float) -> Tensor:
    z = x * beta
    linear = z > limit
    return ingot.where(linear, x, ingot.log1p(ingot.exp(ingot.where(linear, 0.0, z))) / beta)


@elementwise
def _softplus(x: Tensor, beta: float, limit: float) -> Tensor:
    return _soft_plus(x, beta, limit)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta * x)) / beta; x itself where beta * x > threshold."""
    return _softplus(input, beta, threshold)


@elementwise
def _mish(x: Tensor) -> Tensor:
    return x * ingot.tanh(_soft_plus(x, 1.0, 20.0))


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * tanh(softplus(x))."""
    return apply(_mish, input, inplace)


def log1p_exp_neg(x: Tensor) -> Tensor:
    """log(1 + exp(-x)) without overflow, and with the right gradient at 0."""
    negative = x < 0
    return ingot.where(negative, -x, 0.0) + ingot.log1p(ingot.exp(ingot.where(negative, x, -x)))


@elementwise
def logsigmoid(x: Tensor) -> Tensor:
    """log(sigmoid(x)), without overflow."""
    return -log1p_exp_neg(x)


@float_integers
def softsign(x: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return x / (1.0 + ingot.abs(x))


@float_integers
def tanhshrink(x: Tensor) -> Tensor:
    """x - tanh(x)."""
    return x - ingot.tanh(x)


def tanh(input: Tensor) -> Tensor:
    """Hyperbolic tangent."""
    return ingot.tanh(input)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return ingot.sigmoid(input)


# ---- piecewise linear


@elementwise
def _hardsigmoid(x: Tensor) -> Tensor:
    return ingot.where(x <= -3.0, 0.0, ingot.where(x >= 3.0, 1.0, (x + 3.0) / 6.0))


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """0 below -3, 1 above 3, x / 6 + 1 / 2 between."""
    return apply(_hardsigmoid, input, inplace)


@elementwise
def _hardswish(x: Tensor) -> Tensor:
    return ingot.where(x <= -3.0, 0.0, ingot.where(x >= 3.0, x, x * (x + 3.0) / 6.0))


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * hardsigmoid(x)."""
    return apply(_hardswish, input, inplace)


@elementwise
def _hardshrink(x: Tensor, lambd: float) -> Tensor:
    return ingot.where((x >= -lambd) & (x <= lambd), 0.0, x)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x where |x| > lambd, else 0."""
    return _hardshrink(input, lambd)


@elementwise
def _softshrink(x: Tensor, lambd: float) -> Tensor:
    return ingot.where(x > lambd, x - lambd, ingot.where(x < -lambd, x + lambd, x * 0.0))


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved towards 0 by lambd, 0 within [-lambd, lambd]."""
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd}")
    return _softshrink(input, lambd)


# ---- along a dimension


@composite
def _glu(input: Tensor, dim: int) -> Tensor:
    half = input.shape[dim] // 2
    return input.narrow(dim, 0, half) * ingot.sigmoid(input.narrow(dim, half, half))


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a * sigmoid(b), where a and b are the halves of x along dim. RuntimeError if its extent is odd."""
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
    """exp(x) / sum(exp(x)) along dim."""
    return ingot.softmax(input, _implicit_dim("softmax", input.ndim) if dim is None else dim, dtype=dtype)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """log(softmax(x)) along dim, without overflow."""
    return ingot.log_softmax(input, _implicit_dim("log_softmax", input.ndim) if dim is None else dim, dtype=dtype)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """softmax(-x) along dim."""
    return ingot.softmax(-input, _implicit_dim("softmin", input.ndim) if dim is None else dim, dtype=dtype)


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """A sample of the Gumbel-softmax distribution; with `hard` one-hot, differentiated as if soft."""
    uniform = ingot.rand_like(logits)
    gumbels = -ingot.log(-ingot.log(uniform.clamp(min=ingot.finfo(logits.dtype).tiny)))
    soft = softmax((logits + gumbels) / tau, dim)
    if not hard:
        return soft
    index = soft.argmax(dim, keepdim=True)
    one = ingot.zeros_like(logits).scatter_(dim, index, 1.0)
    return one - soft.detach() + soft


def _inplace(fn: Callable) -> Callable:
    @functools.wraps(fn)
    def in_place(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return fn(input, *args, inplace=True, **kwargs)

    in_place.__name__ = fn.__name__ + "_"
    in_place.__doc__ = f"`{fn.__name__}` in place."
    return in_place


_IN_PLACE: tuple[Callable[..., Tensor], ...] = (celu, elu, hardtanh, leaky_relu, rrelu, selu, threshold)
celu_, elu_, hardtanh_, leaky_relu_, rrelu_, selu_, threshold_ = map(_inplace, _IN_PLACE)
