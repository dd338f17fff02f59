"""Masked tensors: there are none. What libraries look for when they are imported is here, and says so."""

from __future__ import annotations

from ingot._refused import refused, refused_class

__all__ = ["MaskedTensor", "as_masked_tensor", "is_masked_tensor", "masked_tensor"]

_MASKED = "tensors have no mask of their own: keep one beside them, for ingot.where and Tensor.masked_fill"
masked_tensor, as_masked_tensor = refused("masked.masked_tensor", _MASKED), refused("masked.as_masked_tensor", _MASKED)
MaskedTensor = refused_class("masked.MaskedTensor", _MASKED)


def is_masked_tensor(obj: object, /) -> bool:
    """False."""
    return False
