"""Clipping of gradients, in place."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import ingot
from ingot._tensor import Tensor

__all__ = ["clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]


def _list(parameters: Any) -> list[Tensor]:
    return [parameters] if isinstance(parameters, Tensor) else list(parameters)


def get_total_norm(tensors: Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: Any = None) -> Tensor:
    """The p-norm of all tensors together, as if they were one vector. RuntimeError where it is not finite and that is an error.

    >>> nn.utils.get_total_norm([ingot.tensor([3.0]), ingot.tensor([4.0])])
    tensor(5.)
    """
    items = _list(tensors)
    p = float(norm_type)
    if not items:
        return ingot.tensor(0.0)
    with ingot.no_grad():
        if p == float("inf"):
            total = ingot.stack([t.abs().max() for t in items]).max()
        elif p in (0.0, float("-inf")):
            total = ingot.linalg.vector_norm(ingot.stack([ingot.linalg.vector_norm(t, p) for t in items]), p)
        elif p == 2.0:
            total = ingot.sqrt(_sum([(t * t).sum() for t in items]))
        else:
            total = _sum([(t.abs() ** p).sum() for t in items]) ** (1.0 / p)
    if error_if_nonfinite and not bool(ingot.isfinite(total)):
        raise RuntimeError(
            f"The total norm of order {p} for gradients from `parameters` is non-finite, so it cannot be clipped. "
            "To disable this error and scale the gradients by the non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return total


def _sum(items: list[Tensor]) -> Tensor:
    total = items[0]
    for t in items[1:]:
        total = total + t
    return total


def clip_grads_with_norm_(parameters: Any, max_norm: float, total_norm: Tensor, foreach: Any = None) -> None:
    """Scale the gradients by max_norm / (total_norm + 1e-6), where that is below 1.

    >>> w = nn.Parameter(ingot.zeros(2))
    >>> w.grad = ingot.tensor([3.0, 4.0])
    >>> nn.utils.clip_grads_with_norm_([w], 1.0, ingot.tensor(5.0))
    >>> w.grad
    tensor([0.6000, 0.8000])
    """
    with ingot.no_grad():
        scale = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)
        for p in _list(parameters):
            if p.grad is not None:
                p.grad.mul_(scale.to(p.grad.dtype))


def clip_grad_norm_(
    parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: Any = None
) -> Tensor:
    """Scale the gradients so that their norm together is at most max_norm. Returns the norm before, a 0-d tensor.

    parameters: tensors, or one; those without a gradient are left out. RuntimeError for a norm that is not finite with
    `error_if_nonfinite`, which waits for the values.

    >>> w = nn.Parameter(ingot.zeros(2))
    >>> w.grad = ingot.tensor([3.0, 4.0])
    >>> nn.utils.clip_grad_norm_([w], max_norm=1.0)
    tensor(5.)
    >>> w.grad
    tensor([0.6000, 0.8000])
    """
    items = _list(parameters)
    total = get_total_norm([p.grad for p in items if p.grad is not None], norm_type, error_if_nonfinite)
    clip_grads_with_norm_(items, max_norm, total)
    return total


def clip_grad_value_(parameters: Any, clip_value: float, foreach: Any = None) -> None:
    """Clamp every gradient to [-clip_value, clip_value].

    >>> w = nn.Parameter(ingot.zeros(2))
    >>> w.grad = ingot.tensor([3.0, -0.5])
    >>> nn.utils.clip_grad_value_([w], 1.0)
    >>> w.grad
    tensor([ 1.0000, -0.5000])
    """
    bound = float(clip_value)
    with ingot.no_grad():
        for p in _list(parameters):
            if p.grad is not None:
                p.grad.clamp_(-bound, bound)


def clip_grad_norm(
    parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: Any = None
) -> Tensor:
    """`clip_grad_norm_` by its old name, with a FutureWarning.

    >>> w = nn.Parameter(ingot.zeros(1))
    >>> w.grad = ingot.ones(1)
    >>> nn.utils.clip_grad_norm([w], max_norm=2.0)
    tensor(1.)
    """
    warnings.warn("nn.utils.clip_grad_norm is now deprecated in favor of nn.utils.clip_grad_norm_.", FutureWarning, stacklevel=2)
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)
