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

    return public, get, lambda: [*vars(sys.modules[package]), *(n for n in public if n not in vars(sys.modules[package]))]
