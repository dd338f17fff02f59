"""What is in the table of Tensor's class: stand-ins of methods until they are looked up, and what users put there (`Tensor.sum = …`).

Compiled functions ask how often users did.
"""

from __future__ import annotations

import importlib
from typing import Any

from ingot.runtime.epoch import bump

__all__ = ["PATCHES", "Later", "TensorType"]

PATCHES = [0]  # how often


class TensorType(type):
    """The class of Tensor and its subclasses."""

    def __setattr__(cls, name: str, value: Any) -> None:
        type.__setattr__(cls, name, value)
        PATCHES[0] += 1
        bump()

    def __delattr__(cls, name: str) -> None:
        type.__delattr__(cls, name)
        PATCHES[0] += 1
        bump()


class Later:
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
