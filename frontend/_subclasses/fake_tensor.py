"""Tensors without values, by the names of torch's tracer: there are none. A traced function sees Tensors."""

from __future__ import annotations

import contextlib

from ingot._refused import refused_class

__all__ = ["FakeTensor", "FakeTensorMode", "is_fake", "unset_fake_temporarily"]

_WHY = "a traced function sees Tensors, whose values are not known while it is traced"
FakeTensor = refused_class("_subclasses.fake_tensor.FakeTensor", _WHY)
FakeTensorMode = refused_class("_subclasses.fake_tensor.FakeTensorMode", _WHY)


def is_fake(x: object) -> bool:
    """False."""
    return False


def unset_fake_temporarily() -> contextlib.AbstractContextManager[None]:
    """A block without effect: there are no fake tensors to leave."""
    return contextlib.nullcontext()
