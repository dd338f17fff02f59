"""Parameters as one vector and back."""

from __future__ import annotations

from collections.abc import Iterable

import ingot
from ingot._tensor import Tensor

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters flattened and joined, in their order.

    >>> nn.utils.parameters_to_vector(nn.Linear(4, 2).parameters()).shape
    ingot.Size([10])
    """
    return ingot.cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy the slices of `vec` into the parameters. RuntimeError, with nothing changed, if the sizes differ.

    >>> layer = nn.Linear(1, 2)
    >>> nn.utils.vector_to_parameters(ingot.arange(4.0), layer.parameters())
    >>> layer.bias.detach()
    tensor([2., 3.])
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected an ingot.Tensor, but got: {type(vec).__name__}")
    items = list(parameters)
    needed = sum(p.numel() for p in items)
    if vec.numel() != needed:
        raise RuntimeError(f"vector_to_parameters: the parameters have {needed} elements, but the vector has {vec.numel()}")
    at = 0
    with ingot.no_grad():
        for p in items:
            p.copy_(vec[at : at + p.numel()].reshape(p.shape))
            at += p.numel()
