"""What a compiled function may not do, for later calls would not do it again: advance Python's own generators and iterators."""

from __future__ import annotations

import operator
import random
import sys
import threading
import types
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from ingot.capture.describe import HELD, describe
from ingot.capture.errors import CaptureError, refuse
from ingot.capture.reads import lookup, vars_of
from ingot.capture.stand_ins import named

if TYPE_CHECKING:
    from ingot.capture.roots import Roots

__all__ = ["Effects", "is_generator", "is_iterator", "itself", "position"]

_INSTEAD = "each call would use the numbers of the first one. Pass what is drawn as an argument, or draw it with ingot.rand and its kin"

_UNUSED = 624  # the position of a Mersenne Twister that was seeded and has drawn nothing


def _numpy_random() -> Any:
    return sys.modules.get("numpy.random")


def is_generator(x: Any) -> bool:
    """Whether `x` is a random number generator of Python or NumPy."""
    np_random = _numpy_random()
    return isinstance(x, random.Random) or (np_random is not None and isinstance(x, (np_random.Generator, np_random.RandomState)))


def _state(generator: Any) -> Any:
    if isinstance(generator, random.Random):
        return None if isinstance(generator, random.SystemRandom) else generator.getstate()
    return _plain(generator.bit_generator.state if hasattr(generator, "bit_generator") else generator.get_state(legacy=False))


def _plain(state: Any) -> Any:
    """A state of NumPy's, which is dicts of arrays and numbers, as what can be compared."""
    if isinstance(state, dict):
        return {k: _plain(v) for k, v in state.items()}
    return (str(state.dtype), state.tobytes()) if isinstance(state, np.ndarray) else state


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
        self._numpy_is_new = np_random is None
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
        np_random = _numpy_random()
        if self._numpy_is_new and np_random is not None:  # NumPy has imported it meanwhile
            state = np_random.mtrand._rand.get_state(legacy=False)
            if state["state"]["pos"] != _UNUSED or state["has_gauss"]:
                raise CaptureError(f"{self.name}: a compiled function draws from numpy.random; {_INSTEAD}")

    def __enter__(self) -> Effects:
        for space, name in self._spaces:
            value = space.get(name)
            if is_iterator(value):
                space[name] = _Held(value)
                self._undo.append((space, name, value, space[name]))
        for cell in self._cells:
            try:
                value = cell.cell_contents
            except ValueError:  # an empty cell
                continue
            if is_iterator(value):
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


def is_iterator(x: Any) -> bool:
    """Whether `x` advances in a way that nobody can see: not an object of the user's, whose attributes are watched."""
    if isinstance(x, types.GeneratorType):
        return True
    return vars_of(x) is None and lookup(type(x), "__next__")[0] is not None and lookup(type(x), "__iter__")[0] is not None


def position(x: Any) -> Any:
    """How far an iterator has come, as far as it tells."""
    if isinstance(x, types.GeneratorType):
        return None if x.gi_frame is None else (x.gi_frame.f_lasti, [_told(v) for v in x.gi_frame.f_locals.values()])
    if type(x).__module__.partition(".")[0] == "ingot":  # a loader's
        return position(x.over())
    left = operator.length_hint(x, -1)
    if left >= 0:
        return left
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from 3.12 on the iterators of itertools warn
        try:
            return [_told(v) for v in x.__reduce__()]
        except TypeError:
            return None


def _told(x: Any) -> Any:
    return position(x) if is_iterator(x) else [_told(i) for i in x] if isinstance(x, tuple) else describe(x)


def itself(x: Any) -> Any:
    """What a stand-in is held for, and any other value."""
    return x._iterator if type(x) is _Held else HELD[id(x)] if id(x) in HELD else named(x)


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
