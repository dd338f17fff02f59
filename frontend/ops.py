"""`ingot.ops`: operators by name. `ops.aten` has the public functions by the names of torch's own; others are those that users declare.

>>> ingot.ops.aten.add.Tensor(ingot.ones(1), ingot.ones(1))
tensor([2.])
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, NoReturn

__all__ = ["load_library"]

_DECLARED: dict[str, Operator] = {}


class Operator:
    """An operator: called, it runs its kernel. Its overloads (`.default`, `.Tensor`, …) are itself."""

    def __init__(self, name: str):
        self.name = name
        self.schema: str | None = None
        self.kernel: Callable | None = None
        self._call: Callable | None = None
        self.__name__ = name.partition("::")[2]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = self._call or self.kernel
        if call is None:
            raise NotImplementedError(f"{self.name} was declared, and no function computes it on the CPU")
        return call(*args, **kwargs)

    def differentiate(self, call: Callable) -> None:
        """Have `call`, which has a gradient, run in the kernel's place."""
        self._call = call

    def bound(self, args: tuple, kwargs: dict[str, Any]) -> tuple:
        """All arguments of a call by their places, defaults included."""
        assert self.kernel is not None
        call = inspect.signature(self.kernel).bind(*args, **kwargs)
        call.apply_defaults()
        return (*call.args, *call.kwargs.values())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self

    def overloads(self) -> list[str]:
        """["default"]."""
        return ["default"]

    def __repr__(self) -> str:
        return f"<OpOverloadPacket(op='{self.name.replace('::', '.')}')>"


def declare(name: str) -> Operator:
    """The operator "namespace::name", made where there is none. ValueError for a name without a namespace."""
    namespace, found, short = name.partition("::")
    if not found or not namespace or not short:
        raise ValueError(f'an operator is named as "namespace::name", not as {name!r}')
    name = name.partition(".")[0]  # without its overload
    return _DECLARED.setdefault(name, Operator(name))


def operator(name: str) -> Operator:
    """The operator "namespace::name". RuntimeError where there is none."""
    found = _DECLARED.get(name.partition(".")[0])
    if found is None:
        raise RuntimeError(f"operator {name} does not exist")
    return found


class _Namespace(ModuleType):
    """The operators of a namespace."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        space = self.__name__.rpartition(".")[2]
        found = _DECLARED.get(f"{space}::{name}")
        if found is None and space in ("aten", "prims"):
            found = _public(name)
        if found is None:
            raise AttributeError(f"'_OpNamespace' '{space}' object has no attribute '{name}'")
        return found


def _slice(x: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Any:
    return x[(slice(None),) * (dim % x.ndim) + (slice(start, end, step),)]


_ATEN: dict[str, Callable] = {  # those that have no public function of their name
    "_sparse_addmm": lambda *args, **kwargs: importlib.import_module("ingot.sparse").addmm(*args, **kwargs),
    "_to_copy": lambda x, **kwargs: x.to(**kwargs, copy=True),
    "alias": lambda x: x.view_as(x),
    "index": lambda x, indices: x[tuple(slice(None) if i is None else i for i in indices)],
    "slice": _slice,
}


def _public(name: str) -> Operator | None:
    import ingot

    homes = (ingot, ingot.Tensor, ingot.nn.functional, ingot.special, ingot.linalg)
    names = (name, name.removeprefix("special_"), name.removeprefix("linalg_"), name.removeprefix("_"))
    fn: Any = _ATEN.get(name) or next((f for n in names for home in homes if callable(f := getattr(home, n, None))), None)
    if fn is None:
        return None
    made = _DECLARED[f"aten::{name}"] = Operator(f"aten::{name}")
    made.kernel = fn
    return made


def load_library(path: str) -> NoReturn:
    """OSError: machine code of torch's extensions is made for torch's own tensors."""
    raise OSError(f"{path} is an extension of torch's, made for torch's own tensors; Ingot does not load it")


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    made = _Namespace(f"{__name__}.{name}")
    setattr(sys.modules[__name__], name, made)
    return made
