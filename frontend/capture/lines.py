"""The text of a generated Python function, and the objects that it names."""

from __future__ import annotations

from collections.abc import Callable
from keyword import iskeyword
from typing import Any

__all__ = ["Lines"]


class Lines:
    """The lines of a function on their way; `names` is its namespace. `tensors`: which of the leaves `a0`, `a1`, … of its arguments are
    tensors, whose values are `m0`, `m1`, … and whose Storages, or None, `s0`, `s1`, …; `bare`: the ids of those without attributes of the
    user's.

    >>> c = Lines({"MISS": None})
    >>> c.need("a0 is not None")
    >>> c.add(f"return a0 + {c.name(3)}")
    >>> c.function("fast", ["a0"], "<example>")(4)
    7
    """

    def __init__(self, names: dict[str, Any]):
        self.names = names
        self.tensors: list[int] = []
        self.bare: set[int] = set()
        self._lines: list[str] = []
        self._needed: list[str] = []

    def name(self, value: Any) -> str:
        """A name for an object."""
        n = f"v{len(self.names)}"
        self.names[n] = value
        return n

    def need(self, condition: str) -> None:
        """Return MISS unless `condition`."""
        self._lines.append(f"    if not ({condition}): return MISS")

    def need_that(self, condition: str) -> None:
        """Return MISS unless `condition`, which may fail. The line comes with the next `settle`."""
        self._needed.append(condition)

    def need_attribute(self, of: str, name: str, value: str) -> None:
        """Return MISS unless an attribute, which may be gone, is `value`. The line comes with the next `settle`."""
        plain = name.isidentifier() and not iskeyword(name)
        self.need_that(f"{of}.{name} is {value}" if plain else f"getattr({of}, {name!r}) is {value}")

    def need_item(self, table: str, name: str, value: str) -> None:
        """Return MISS unless an entry of a dict, which may be gone, is `value`. The line comes with the next `settle`."""
        self.need_that(f"{table}[{name!r}] is {value}")

    def settle(self) -> None:
        """Add the lines for what is needed and may fail."""
        if self._needed:
            self._lines.append("    try:")
            self._lines += [f"        if not ({a}): return MISS" for a in self._needed]
            self._lines.append("    except Exception: return MISS")
            self._needed = []

    def add(self, line: str) -> None:
        """Add a line."""
        self._lines.append("    " + line)

    def function(self, name: str, parameters: list[str], place: str) -> Callable[..., Any]:
        """The function of these lines; tracebacks say that it stands in the file `place`."""
        text = f"def {name}({', '.join(parameters)}):\n" + "\n".join(self._lines)
        exec(compile(text, place, "exec"), self.names)
        return self.names[name]
