"""Modules that only pass their arguments on to a functional: one table row each in activation.py, pooling.py, ..."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ingot.nn.modules.module import Module

__all__ = ["Functional"]


class Functional(Module):
    """A module whose forward calls `fn(input, **settings)`.

    A subclass names its constructor's arguments and defaults in `settings`; `shown` says which of them its text shows,
    and how: by name (default), or by value for those in `positional`.
    """

    fn: Callable
    settings: dict[str, Any] = {}
    shown: tuple[str, ...] | None = None
    positional: tuple[str, ...] = ()
    __signature__: inspect.Signature

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if "settings" in cls.__dict__:
            kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
            cls.__signature__ = inspect.Signature([inspect.Parameter(n, kind, default=d) for n, d in cls.settings.items()])

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()
        try:
            bound = self.__signature__.bind(*args, **kwargs)
        except TypeError as e:
            raise TypeError(f"{type(self).__name__}(): {e}") from None
        bound.apply_defaults()
        for name, value in bound.arguments.items():
            setattr(self, name, value)

    def forward(self, *inputs: Any) -> Any:
        return type(self).fn(*inputs, **{n: getattr(self, n) for n in self.settings})

    def extra_repr(self) -> str:
        parts = []
        for name in self.settings if self.shown is None else self.shown:
            value = getattr(self, name)
            if name == "inplace":
                if value:
                    parts.append("inplace=True")
            else:
                parts.append(f"{value}" if name in self.positional else f"{name}={value!r}")
        return ", ".join(parts)


REQUIRED = inspect.Parameter.empty
