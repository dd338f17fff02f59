"""What numbers that remember have in common: they do as the plain numbers they stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Remembering", "needed"]


def needed(fn: Callable[..., Any], why: str) -> Callable[..., Any]:
    """The method for what needs the number for good."""

    def method(self: Remembering, *args: Any) -> Any:
        return fn(self.pin(why), *args)

    return method


class Remembering:
    """Stands for a `plain` number, though it is no subclass of that: C code reads a subclass's digits without asking."""

    __slots__ = ()
    __array_priority__ = 0
    plain: type

    def pin(self, why: str) -> Any:
        """The number for good."""
        raise AssertionError("abstract")

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # type: ignore[override]
        return self.plain

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return self if self >= 0 else -self  # type: ignore[operator]

    __hash__ = needed(hash, "it is looked up in a table")  # type: ignore[assignment]
    __complex__ = needed(complex, "it becomes a complex number")
    __repr__ = needed(repr, "it is shown")
    __str__ = needed(str, "it is shown")
    __format__ = needed(format, "it is shown")

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    def __reduce__(self) -> tuple:
        return self.plain, (self.pin("it is pickled"),)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not hasattr(self.plain, name):
            raise AttributeError(f"{self.plain.__name__!r} object has no attribute {name!r}")
        return getattr(self.pin(f"its {name} is asked for"), name)
