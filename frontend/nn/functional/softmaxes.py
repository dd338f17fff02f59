"""Activations along a dimension: softmax and its kin, and the gated linear unit."""

from __future__ import annotations

import warnings
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot._tensor.composites import composite


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
