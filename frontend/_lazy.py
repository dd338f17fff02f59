"""Packages whose names are imported when they are first used: a process pays for the layers and optimizers that it uses.

The stub of such a package, `__init__.pyi`, says which of its modules gives a name, as an ordinary `__init__.py` would; for type checkers
it is one. `python -m ingot._generate` makes the table `_names.PACKAGES` of it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ingot._names import PACKAGES

__all__ = ["imported", "names"]


def imported(name: str) -> ModuleType:
    """A module, imported if it was not. The garbage collector rests meanwhile: what an import makes stays alive."""
    if name in sys.modules:
        return importlib.import_module(name)
    from ingot.runtime.collector import for_good

    with for_good():
        return importlib.import_module(name)


class _Whole(ModuleType):
    """A package whose `__dict__` has all of its names, imported or not: `for name, cls in vars(optim).items()`."""

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        for name in self.__all__:
            getattr(self, name)
        return _own(self)

    def __dir__(self) -> list[str]:
        return sorted({*_own(self), *self.__all__})


def _own(module: ModuleType) -> dict[str, Any]:
    """What a module's `__dict__` has so far."""
    found: dict[str, Any] = vars(ModuleType)["__dict__"].__get__(module)
    return found


def names(package: str) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """`__all__`, `__getattr__` and `__dir__` of a package. Its modules are attributes too, as those that an `__init__.py` imports are."""
    homes = PACKAGES[package]
    public = sorted(homes)

    def get(name: str) -> Any:
        home = homes.get(name, f"{package}.{name}")
        try:
            module = imported(home)
        except ModuleNotFoundError as e:
            if name in homes or e.name != home:
                raise
            raise AttributeError(f"module {package!r} has no attribute {name!r}") from None
        value = module if home == f"{package}.{name}" else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    if package != "ingot.nn.functional":  # its functions are called in loops, and attributes of a class of modules take a little longer
        sys.modules[package].__class__ = _Whole
    return public, get, lambda: sorted({*_own(sys.modules[package]), *public})
