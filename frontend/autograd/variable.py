"""`Variable`, the old name of a tensor that may want gradients."""

from __future__ import annotations

from typing import Any

from ingot._tensor import Tensor

__all__ = ["Variable"]


class _OfTensors(type):
    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, Tensor)

    def __call__(cls, data: Any, requires_grad: bool = False, volatile: bool = False) -> Any:
        if not isinstance(data, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        if requires_grad and not data.requires_grad:
            return data.detach().requires_grad_()
        return data.detach() if data.requires_grad and not requires_grad else data


class Variable(metaclass=_OfTensors):
    """`Variable(x, requires_grad=False)`: the tensor itself, or without its history. Every tensor is an instance.

    >>> x = ingot.autograd.Variable(ingot.ones(2), requires_grad=True)
    >>> x, isinstance(x, ingot.autograd.Variable)
    (tensor([1., 1.], requires_grad=True), True)
    """
