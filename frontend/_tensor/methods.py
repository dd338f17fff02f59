"""The base class that stands for what `ingot.functions` gives to Tensor: empty here, spelled out for type checkers in `methods.pyi`."""

from __future__ import annotations

__all__ = ["TensorMethods"]


class TensorMethods:
    """Functions as methods, operators, indexing and printing: see `ingot.functions.methods`."""

    __slots__ = ()
