"""Dropout and its kin: random masks come from the default generator, one draw per call."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import ingot
from ingot._tensor import Tensor
from ingot._tensor.composites import composite
from ingot.nn.functional.elementwise import apply


def _check(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


@composite
def _drop(input: Tensor, uniform: Tensor, p: float) -> Tensor:
    return ingot.where(uniform >= p, input * (1.0 / (1.0 - p)), 0.0)


def _zeroed(input: Tensor) -> Tensor:
    return input * 0.0


def _dropout(input: Tensor, p: float, training: bool, inplace: bool, mask_shape: Callable[[], tuple[int, ...]]) -> Tensor:
    _check(p)
    if not training or p == 0.0:
        return input
    if p == 1.0:
        return apply(_zeroed, input, inplace)
    return apply(_drop, input, inplace, ingot.rand(mask_shape(), device=input.device), p)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Each element is zeroed with probability p in training, and the others are scaled by 1 / (1 - p); otherwise the input itself.

    ValueError unless 0 <= p <= 1. Source: https://arxiv.org/abs/1207.0580.

    >>> y = F.dropout(ingot.ones(2, 3), p=0.5)
    >>> ((y == 0) | (y == 2)).all()
    tensor(True)
    """
    return _dropout(input, p, training, inplace, lambda: tuple(input.shape))


def _dropout_of_channels(input: Tensor, p: float, training: bool, inplace: bool, batched: bool) -> Tensor:
    return _dropout(input, p, training, inplace, lambda: _one_per_channel(input, batched))


def _one_per_channel(input: Tensor, batched: bool) -> tuple[int, ...]:
    """The shape of a mask for (N, C, *), or (C, *) without a batch."""
    if input.ndim < 1 + batched:
        raise RuntimeError(f"dropout of channels: expected an input of at least {1 + batched} dims, but received {list(input.shape)}")
    kept = 1 + batched
    return tuple(input.shape[:kept]) + (1,) * (input.ndim - kept)


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels of (N, C, L) or (C, L). RuntimeError for other ranks.

    >>> y = F.dropout1d(ingot.ones(2, 3, 4), p=0.5)
    >>> (y == y[:, :, :1]).all()
    tensor(True)
    """
    if input.ndim not in (2, 3):
        raise RuntimeError(f"dropout1d: expected 2D or 3D input, but received a {input.ndim}D input")
    return _dropout_of_channels(input, p, training, inplace, input.ndim == 3)


def _warn_of_rank(name: str, input: Tensor, spatial: int) -> None:
    if input.ndim not in (spatial + 1, spatial + 2):
        warnings.warn(f"{name}: expected a {spatial + 1}D or {spatial + 2}D input, not {input.ndim}D: use dropout instead", stacklevel=3)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels of (N, C, H, W). Source: https://arxiv.org/abs/1411.4280.

    As in torch, three dims are taken as (N, C, L), with a warning: not as one sample (C, H, W).

    >>> y = F.dropout2d(ingot.ones(2, 3, 4, 4), p=0.5)
    >>> (y == y[:, :, :1, :1]).all()
    tensor(True)
    """
    _warn_of_rank("dropout2d", input, 2)
    if input.ndim == 3:
        warnings.warn("dropout2d: a 3D input is taken as (N, C, L), not as (C, H, W): use dropout1d to say so", stacklevel=2)
    return _dropout_of_channels(input, p, training, inplace, True)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels of (N, C, D, H, W) or (C, D, H, W).

    >>> y = F.dropout3d(ingot.ones(2, 3, 2, 2, 2), p=0.5)
    >>> (y == y[:, :, :1, :1, :1]).all()
    tensor(True)
    """
    _warn_of_rank("dropout3d", input, 3)
    return _dropout_of_channels(input, p, training, inplace, input.ndim == 5)


@composite
def _alpha_drop(input: Tensor, uniform: Tensor, p: float) -> Tensor:
    saturated = -1.7580993408473766  # the limit of selu at -inf
    a = ((1.0 - p) * (1.0 + p * saturated**2)) ** -0.5
    b = -a * saturated * p
    return ingot.where(uniform >= p, input, saturated) * a + b


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout for `selu`: zeroed elements become its limit -1.758…, and a linear map keeps mean 0 and variance 1.

    ValueError unless 0 <= p <= 1. Source: https://arxiv.org/abs/1706.02515.

    >>> F.alpha_dropout(ingot.ones(2, 3), p=0.5, training=True).unique().shape[0] <= 2
    True
    """
    return _alpha(input, p, training, inplace, lambda: tuple(input.shape))


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """`alpha_dropout` of whole channels of (N, C, *). RuntimeError for fewer than two dims.

    >>> y = F.feature_alpha_dropout(ingot.ones(2, 3, 4), p=0.5, training=True)
    >>> (y == y[:, :, :1]).all()
    tensor(True)
    """
    return _alpha(input, p, training, inplace, lambda: _one_per_channel(input, True))


def _alpha(input: Tensor, p: float, training: bool, inplace: bool, mask_shape: Callable[[], tuple[int, ...]]) -> Tensor:
    _check(p)
    if not training or p == 0.0:
        return input
    if p == 1.0:
        return apply(_zeroed, input, inplace)
    return apply(_alpha_drop, input, inplace, ingot.rand(mask_shape(), device=input.device), p)
