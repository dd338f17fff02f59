"""What a compiled function may not do, for later calls would not do it again: advance Python's own generators and iterators."""

from __future__ import annotations

import random
import sys
import threading
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ingot.capture.errors import CaptureError, refuse

if TYPE_CHECKING:
    from ingot.capture.roots import Roots

__all__ = ["Effects", "is_generator"]

_INSTEAD = "each call would use the numbers of the first one. Pass what is drawn as an argument, or draw it with ingot.rand and its kin"


def _numpy_random() -> Any:
    return sys.modules.get("numpy.random")


def is_generator(x: Any) -> bool:
    """Whether `x` is a random number generator of Python or NumPy."""
    np_random = _numpy_random()
    return isinstance(x, random.Random) or (np_random is not None and isinstance(x, (np_random.Generator, np_random.RandomState)))


def _state(generator: Any) -> Any:
    if isinstance(generator, random.Random):
        return None if isinstance(generator, random.SystemRandom) else generator.getstate()
    state = generator.bit_generator.state if hasattr(generator, "bit_generator") else generator.get_state(legacy=False)
    return repr(state)


class Effects:
    """The block in which a function, which can reach `roots`, is traced.

    An iterator that it advances is refused at once; `check()`, afterwards, refuses random numbers that it drew.
    """

    def __init__(self, name: str, roots: Roots):
        self.name = name
        np_random = _numpy_random()
        named = [("Python's random", random._inst)]  # type: ignore[attr-defined]
        if np_random is not None:
            named.append(("numpy.random", np_random.mtrand._rand))
        named += [(f"a {type(g).__name__}", g) for g in roots.generators]
        self._generators = [(what, g, _state(g)) for what, g in named]
        self._spaces: list[tuple[Any, str]] = [(space, name) for space, name, _ in roots.names]
        tables = [*map(vars, roots.modules), *(table for _, table in roots.objects)]
        self._spaces += [(table, name) for table in tables for name in list(table)]
        self._cells = [cell for cell, _ in roots.cells]
        self._undo: list[tuple[Any, str | None, Any, Any]] = []

    def check(self) -> None:
        """CaptureError if a generator was used."""
        for what, g, before in self._generators:
            if _state(g) != before:
                raise CaptureError(f"{self.name}: a compiled function draws from {what}; {_INSTEAD}")

    def __enter__(self) -> Effects:
        for space, name in self._spaces:
            value = space.get(name)
            if _is_iterator(value):
                space[name] = _Held(value)
                self._undo.append((space, name, value, space[name]))
        for cell in self._cells:
            try:
                value = cell.cell_contents
            except ValueError:  # an empty cell
                continue
            if _is_iterator(value):
                cell.cell_contents = _Held(value)
                self._undo.append((cell, None, value, cell.cell_contents))
        return self

    def __exit__(self, *exc: Any) -> None:
        for place, name, value, held in self._undo:
            if name is None:
                if place.cell_contents is held:
                    place.cell_contents = value
            elif place.get(name) is held:
                place[name] = value


def _is_iterator(x: Any) -> bool:
    """Whether `x` advances in a way that nobody can see: not an object of the user's, whose attributes are watched."""
    return isinstance(x, Iterator) and (isinstance(x, types.GeneratorType) or not hasattr(x, "__dict__"))


class _Held:
    """Stands for an iterator while a function is traced. Other threads go on with the iterator itself."""

    def __init__(self, iterator: Any):
        self._iterator = iterator
        self._thread = threading.get_ident()

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        if threading.get_ident() == self._thread:
            raise refuse(
                "a compiled function cannot take the next item of an iterator: each call would use the item of the first one",
                "take it outside, and pass it as an argument",
            )
        return next(self._iterator)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._iterator, name)
