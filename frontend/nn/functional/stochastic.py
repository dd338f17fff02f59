"""Dropout and its kin: random masks come from the default generator, one draw per call."""

from __future__ import annotations

import ingot
from ingot._tensor import Tensor
from ingot._tensor.composites import composite
from ingot.nn.functional.activation import apply


def _check(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


@composite
def _drop(input: Tensor, uniform: Tensor, p: float) -> Tensor:
    return ingot.where(uniform >= p, input * (1.0 / (1.0 - p)), 0.0)


def _zeroed(input: Tensor) -> Tensor:
    return input * 0.0


def _dropout(input: Tensor, p: float, training: bool, inplace: bool, mask_shape: tuple[int, ...]) -> Tensor:
    _check(p)
    if not training or p == 0.0:
        return input
    if p == 1.0:
        return apply(_zeroed, input, inplace)
    return apply(_drop, input, inplace, ingot.rand(mask_shape, device=input.device), p)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Each element is zeroed with probability p in training, the others are scaled by 1 / (1 - p)."""
    return _dropout(input, p, training, inplace, tuple(input.shape))


def _feature_dropout(name: str, ranks: tuple[int, int]):
    def fn(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if input.ndim not in ranks:
            raise RuntimeError(f"{name}: expected {ranks[0]}D or {ranks[1]}D input, but received a {input.ndim}D input")
        lead = input.ndim - (ranks[1] - 2)
        return _dropout(input, p, training, inplace, tuple(input.shape[:lead]) + (1,) * (input.ndim - lead))

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = f"Whole channels are zeroed with probability p in training; input is {ranks[0]}D or {ranks[1]}D."
    return fn


dropout1d = _feature_dropout("dropout1d", (2, 3))
dropout2d = _feature_dropout("dropout2d", (3, 4))
dropout3d = _feature_dropout("dropout3d", (4, 5))


@composite
def _alpha_drop(input: Tensor, uniform: Tensor, p: float) -> Tensor:
    saturated = -1.7580993408473766  # the limit of selu at -inf
    a = ((1.0 - p) * (1.0 + p * saturated**2)) ** -0.5
    b = -a * saturated * p
    return ingot.where(uniform >= p, input, saturated) * a + b


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout that keeps mean and variance of self-normalising activations."""
    return _alpha(input, p, training, inplace, tuple(input.shape))


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """`alpha_dropout` of whole channels."""
    return _alpha(input, p, training, inplace, tuple(input.shape[:2]) + (1,) * (input.ndim - 2))


def _alpha(input: Tensor, p: float, training: bool, inplace: bool, mask_shape: tuple[int, ...]) -> Tensor:
    _check(p)
    if not training or p == 0.0:
        return input
    if p == 1.0:
        return apply(_zeroed, input, inplace)
    return apply(_alpha_drop, input, inplace, ingot.rand(mask_shape, device=input.device), p)
