"""Dispatch below functions, by torch's names: there is none. `ingot.overrides.TorchFunctionMode` sees the functions that are called."""

from __future__ import annotations

from ingot._refused import refused_class

__all__ = ["TorchDispatchMode", "is_traceable_wrapper_subclass"]

TorchDispatchMode = refused_class(
    "utils._python_dispatch.TorchDispatchMode", "nothing is dispatched below functions; overrides.TorchFunctionMode sees those called"
)


def is_traceable_wrapper_subclass(t: object) -> bool:
    """False: no tensor holds others."""
    return False
