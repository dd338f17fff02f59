"""What distributions share: parameters broadcast together, probabilities and log odds, values computed when they are first read."""

from __future__ import annotations

import functools
import numbers
from collections.abc import Callable
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.random import _stream

__all__ = [
    "broadcast_all", "clamp_probs", "lazy_property", "logits_to_probs", "matmul_vector", "probs_to_logits", "stream", "vec_to_tril_matrix",
]  # fmt: skip


def stream(words: int) -> tuple[Tensor, Tensor]:
    """Seed and offset for that many random words of the default generator."""
    return _stream(None, words)


def _standard_normal(shape: Any, dtype: Any, device: Any) -> Tensor:
    """Draws of a standard normal distribution."""
    return ingot.empty(shape, dtype=dtype, device=device).normal_()


def _sum_rightmost(value: Tensor, dim: int) -> Tensor:
    """The sum over the last `dim` dims."""
    return value if dim == 0 else value.sum(tuple(range(-dim, 0)))


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """Tensors and numbers as tensors of one shape; numbers take the dtype of the first tensor. ValueError for anything else.

    >>> a, b = ingot.distributions.utils.broadcast_all(ingot.ones(2), 3)
    >>> b
    tensor([3., 3.])
    """
    if not all(isinstance(v, (Tensor, numbers.Number)) for v in values):
        raise ValueError("Input arguments must all be instances of Number, torch.Tensor or objects implementing __torch_function__.")
    like = next((v for v in values if isinstance(v, Tensor)), None)
    dtype = ingot.get_default_dtype() if like is None else like.dtype
    made = [v if isinstance(v, Tensor) else ingot.tensor(v, dtype=dtype) for v in values]
    return ingot.broadcast_tensors(*made)


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities at least an epsilon away from 0 and 1."""
    eps = ingot.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """Probabilities of log odds, or of unnormalized log-probabilities along the last dim."""
    return ingot.sigmoid(logits) if is_binary else ingot.softmax(logits, -1)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """The inverse of `logits_to_probs`."""
    p = clamp_probs(probs)
    return ingot.log(p) - ingot.log1p(-p) if is_binary else ingot.log(p)


def matmul_vector(matrix: Tensor, vector: Tensor) -> Tensor:
    """The product of (batches of) a matrix and a vector."""
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def vec_to_tril_matrix(vec: Tensor, diag: int = 0) -> Tensor:
    """A lower triangular matrix, of the vectors along the last dim, row by row."""
    count = vec.shape[-1]
    n = int((-(1 + 2 * diag) + ((1 + 2 * diag) ** 2 + 8 * count + 4 * abs(diag) * (diag + 1)) ** 0.5) / 2)
    rows, columns = ingot.tril_indices(n, n, diag)
    places = ingot.zeros(n, n, dtype=ingot.int64)
    places[rows, columns] = ingot.arange(count)
    on = ingot.zeros(n, n, dtype=ingot.bool)
    on[rows, columns] = True
    return ingot.where(on, vec[..., places.reshape(-1)].reshape((*vec.shape[:-1], n, n)), 0.0)


class lazy_property:
    """A property that is computed once, when it is first read, with gradients enabled."""

    def __init__(self, wrapped: Callable):
        self.wrapped = wrapped
        functools.update_wrapper(self, wrapped)  # type: ignore[arg-type]

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        with ingot.enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value
