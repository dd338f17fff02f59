"""The base class that has Tensor's methods and operators until they are first looked up; `methods.pyi` spells them out for type checkers.

They are functions of `ingot.functions`, whose modules are imported when one of them is needed: see `ingot.functions.methods`.
"""

from __future__ import annotations

import importlib
from typing import Any

from ingot._names import METHODS

__all__ = ["TensorMethods"]


class _Later:
    """Stands for a method or property that a module gives to Tensor, until one of that module is looked up."""

    __slots__ = ("_name", "_home")

    def __init__(self, name: str, home: str):
        self._name, self._home = name, home

    def _found(self) -> Any:
        """What the module gives: not what a subclass has under the name, whose method may have called this one."""
        return importlib.import_module("ingot.functions.methods").method(self._home, self._name)

    def __get__(self, tensor: Any, cls: type) -> Any:
        found = self._found()
        return found.__get__(tensor, cls) if hasattr(type(found), "__get__") else found

    def __set__(self, tensor: Any, value: Any) -> None:
        found = self._found()
        if hasattr(type(found), "__set__"):
            found.__set__(tensor, value)
        else:
            object.__setattr__(tensor, self._name, value)


class TensorMethods:
    """Functions as methods, operators, indexing and printing: see `ingot.functions.methods`."""

    __slots__ = ()
    is_nested = is_sparse_csr = volatile = False
    is_ipu = is_maia = is_mps = is_mtia = is_xla = is_xpu = False
    name = None
    locals().update({name: _Later(name, home) for home, names in METHODS.items() for name in names.split()})

