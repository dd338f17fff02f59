"""`ingot.nn.init`: torch's initialisers, in place and without gradient."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import ingot
import ingot.random  # noqa: F401  (gives Tensor its random methods)
from ingot._tensor import Tensor

__all__ = [
    "calculate_gain", "uniform_", "normal_", "trunc_normal_", "constant_", "ones_", "zeros_", "eye_", "dirac_", "xavier_uniform_",
    "xavier_normal_", "kaiming_uniform_", "kaiming_normal_", "orthogonal_", "sparse_",
]  # fmt: skip

_UNIT_GAIN = (
    "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "sigmoid",
)  # fmt: skip


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps a signal's variance through a nonlinearity: 1 for linear layers and sigmoid, sqrt(2) for relu, ….

    param: the slope of leaky_relu (0.01). ValueError for an unknown name.

    >>> nn.init.calculate_gain("leaky_relu", 0.2)
    1.3867504905630728
    """
    if nonlinearity in _UNIT_GAIN:
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "selu":
        return 3.0 / 4
    if nonlinearity == "leaky_relu":
        if param is not None and (isinstance(param, bool) or not isinstance(param, (int, float))):
            raise ValueError(f"negative_slope {param} not a valid number")
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1 + slope**2))
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Fill from U(a, b). Like all initialisers in place, without gradient, and returning the tensor.

    >>> w = nn.init.uniform_(ingot.empty(3, 5), -1.0, 1.0)
    >>> w.shape, bool((w.abs() <= 1).all())
    (ingot.Size([3, 5]), True)
    """
    with ingot.no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Fill from N(mean, std ** 2).

    >>> nn.init.normal_(ingot.empty(3, 5), std=0.02).shape
    ingot.Size([3, 5])
    """
    with ingot.no_grad():
        return tensor.normal_(mean, std, generator=generator)


def trunc_normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Any = None) -> Tensor:
    """Fill from N(mean, std ** 2) cut to [a, b], by the inverse of the cumulative distribution.

    Warns where mean is more than two std outside.

    >>> bool((nn.init.trunc_normal_(ingot.empty(3, 5)).abs() <= 2).all())
    True
    """

    def cdf(x: float) -> float:
        return (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0

    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The distribution of values may be incorrect.", stacklevel=2
        )
    lo, hi = cdf((a - mean) / std), cdf((b - mean) / std)
    with ingot.no_grad():
        wide = ingot.empty(tuple(tensor.shape), dtype=ingot.float64).uniform_(2 * lo - 1, 2 * hi - 1, generator=generator)
        values = _erfinv(wide.clamp(-1 + 1e-15, 1 - 1e-15)) * (std * math.sqrt(2.0)) + mean
        return tensor.copy_(values.clamp(a, b))


_no_grad_normal_, _no_grad_trunc_normal_, _no_grad_uniform_ = normal_, trunc_normal_, uniform_  # libraries take them


def _erfinv(y: Tensor) -> Tensor:
    """The inverse error function in float64: Giles' polynomial start, then Newton steps on erf."""
    w = -ingot.log((1.0 - y) * (1.0 + y))
    small = w < 5.0
    t = ingot.where(small, w - 2.5, ingot.sqrt(w) - 3.0)
    central = (
        2.81022636e-08,
        3.43273939e-07,
        -3.5233877e-06,
        -4.39150654e-06,
        0.00021858087,
        -0.00125372503,
        -0.00417768164,
        0.246640727,
        1.50140941,
    )
    tail = (
        -0.000200214257,
        0.000100950558,
        0.00134934322,
        -0.00367342844,
        0.00573950773,
        -0.0076224613,
        0.00943887047,
        1.00167406,
        2.83297682,
    )
    p: Any = 0.0
    q: Any = 0.0
    for c, d in zip(central, tail):
        p, q = p * t + c, q * t + d
    x = ingot.where(small, p, q) * y
    for _ in range(2):
        x = x - (ingot.erf(x) - y) / ((2.0 / math.sqrt(math.pi)) * ingot.exp(-x * x))
    return x


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with `val`.

    >>> nn.init.constant_(ingot.empty(2), 0.5)
    tensor([0.5000, 0.5000])
    """
    with ingot.no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with 1.

    >>> nn.init.ones_(ingot.empty(2))
    tensor([1., 1.])
    """
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with 0.

    >>> nn.init.zeros_(ingot.empty(2))
    tensor([0., 0.])
    """
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """Fill a matrix with the identity. ValueError for other ranks.

    >>> nn.init.eye_(ingot.empty(2, 3))
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    with ingot.no_grad():
        return tensor.copy_(ingot.eye(*tensor.shape, dtype=tensor.dtype))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Fill a convolution weight (O, I, *) so that it passes its inputs through, as many as there are; in each of the groups.

    ValueError unless it has 3 to 5 dims and `groups` divides O.

    >>> nn.init.dirac_(ingot.empty(2, 2, 3))
    tensor([[[0., 1., 0.],
             [0., 0., 0.]],
    <BLANKLINE>
            [[0., 0., 0.],
             [0., 1., 0.]]])
    """
    if tensor.ndim not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    if tensor.shape[0] % groups:
        raise ValueError("dim 0 must be divisible by groups")
    per_group = tensor.shape[0] // groups
    with ingot.no_grad():
        tensor.zero_()
        for g in range(groups):
            for d in range(min(per_group, tensor.shape[1])):
                at = (g * per_group + d, d, *(n // 2 for n in tensor.shape[2:]))
                tensor[at] = 1.0
    return tensor


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    if tensor.ndim < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    return _calculate_fan_in_and_fan_out(tensor)[mode.lower() == "fan_out"]


def _nothing_to_fill(tensor: Tensor) -> bool:
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return True
    return False


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Fill from U(-b, b), b = gain * sqrt(6 / (fan_in + fan_out)). ValueError for fewer than two dims.

    Source: Glorot, Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010.

    >>> w = nn.init.xavier_uniform_(ingot.empty(3, 5))
    >>> bool((w.abs() <= (6 / 8) ** 0.5).all())
    True
    """
    bound = gain * math.sqrt(6.0 / sum(_calculate_fan_in_and_fan_out(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Fill from N(0, 2 * gain ** 2 / (fan_in + fan_out)). ValueError for fewer than two dims.

    >>> nn.init.xavier_normal_(ingot.empty(3, 5)).shape
    ingot.Size([3, 5])
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_calculate_fan_in_and_fan_out(tensor))), generator)


def kaiming_uniform_(tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None) -> Tensor:
    """Fill from U(-b, b), b = gain * sqrt(3 / fan). Source: https://arxiv.org/abs/1502.01852.

    mode: which fan, "fan_in" (of the forward pass) or "fan_out". The gain is `calculate_gain(nonlinearity, a)`. ValueError for
    another mode or nonlinearity, or fewer than two dims.

    >>> w = nn.init.kaiming_uniform_(ingot.empty(3, 5), nonlinearity="relu")
    >>> bool((w.abs() <= (6 / 5) ** 0.5).all())
    True
    """
    if _nothing_to_fill(tensor):
        return tensor
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3.0 / _calculate_correct_fan(tensor, mode))
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None) -> Tensor:
    """Fill from N(0, gain ** 2 / fan); arguments are those of `kaiming_uniform_`.

    >>> nn.init.kaiming_normal_(ingot.empty(3, 5), mode="fan_out", nonlinearity="relu").shape
    ingot.Size([3, 5])
    """
    if _nothing_to_fill(tensor):
        return tensor
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(_calculate_correct_fan(tensor, mode)), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Tensor:
    """Fill with a (semi-)orthogonal matrix times gain; dims after the first count as columns. ValueError for fewer than two dims.

    Source: https://arxiv.org/abs/1312.6120.

    >>> w = nn.init.orthogonal_(ingot.empty(2, 3))
    >>> ingot.allclose(w @ w.T, ingot.eye(2), atol=1e-6)
    True
    """
    if tensor.ndim < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.numel() == 0 or tensor.is_meta:
        return tensor
    import numpy as np

    rows = tensor.shape[0]
    cols = tensor.numel() // rows
    with ingot.no_grad():
        drawn = ingot.empty((rows, cols), dtype=ingot.float64).normal_(0, 1, generator=generator).numpy()
        q, r = np.linalg.qr(drawn.T if rows < cols else drawn)  # on the host: initialisation happens once
        q = q * np.sign(np.diagonal(r))
        q = q.T if rows < cols else q
        return tensor.copy_(ingot.tensor((gain * q).reshape(tuple(tensor.shape)), dtype=tensor.dtype))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
    """Fill a matrix from N(0, std ** 2), then zero a fraction `sparsity` of each column. ValueError for other ranks.

    >>> (nn.init.sparse_(ingot.empty(4, 2), sparsity=0.5) == 0).sum(0)
    tensor([2, 2])
    """
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, cols = tensor.shape
    zeros = math.ceil(sparsity * rows)
    with ingot.no_grad():
        tensor.normal_(0, std, generator=generator)
        ranks = ingot.empty((rows, cols)).uniform_(generator=generator).argsort(0).argsort(0)
        return tensor.copy_(ingot.where(ranks < zeros, ingot.zeros((), dtype=tensor.dtype), tensor))


def _old(new: Callable) -> Callable:
    """An initialiser under the name that it had before it was known to write in place; a FutureWarning says the new one."""
    name = new.__name__[:-1]

    @functools.wraps(new)
    def old(*args: Any, **kwargs: Any) -> Any:
        warnings.warn(f"`nn.init.{name}` is now deprecated in favor of `nn.init.{new.__name__}`.", FutureWarning, stacklevel=2)
        return new(*args, **kwargs)

    old.__name__ = old.__qualname__ = name
    return old


uniform, normal, constant, eye, dirac, sparse = (_old(f) for f in (uniform_, normal_, constant_, eye_, dirac_, sparse_))
xavier_uniform, xavier_normal, orthogonal = _old(xavier_uniform_), _old(xavier_normal_), _old(orthogonal_)
kaiming_uniform, kaiming_normal = _old(kaiming_uniform_), _old(kaiming_normal_)
_no_grad_uniform_, _no_grad_normal_, _no_grad_fill_, _no_grad_zero_ = uniform_, normal_, constant_, zeros_
