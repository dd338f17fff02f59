"""Tensors without values, by the names of torch's tracer: there are none. A traced function sees Tensors."""

from __future__ import annotations

from ingot._refused import refused_class

__all__ = ["FakeTensor", "FakeTensorMode", "is_fake"]

_WHY = "a traced function sees Tensors, whose values are not known while it is traced"
FakeTensor = refused_class("_subclasses.fake_tensor.FakeTensor", _WHY)
FakeTensorMode = refused_class("_subclasses.fake_tensor.FakeTensorMode", _WHY)


def is_fake(x: object) -> bool:
    """False."""
    return False
