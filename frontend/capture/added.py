"""Lists and deques outside that a function adds to and does not look at: each call adds what it has made, however long they are by then.

Where a trace finds that something was added, it begins again, with stand-ins in the places of those lists. They take note of what is
added; where the function looks at one in any other way, the trace begins once more, without it.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ingot._tensor import Tensor
from ingot._tensor.extents import Extent
from ingot._tensor.reals import Real
from ingot.capture.describe import ADDED_TO, HELD, PLAIN
from ingot.capture.leftovers import is_constant
from ingot.capture.places import Elsewhere, Within
from ingot.capture.pytree import flatten
from ingot.ir.struct import struct
from ingot.runtime.recorder import here

if TYPE_CHECKING:
    from ingot.capture.standing import Standing

__all__ = ["Additions", "Grown", "Noted", "StandIn"]

_PLAIN = [
    "__class__", "__new__", "__init__", "__init_subclass__", "__subclasshook__", "__class_getitem__", "__getattribute__", "__setattr__",
    "__delattr__", "__doc__", "__hash__", "__dir__", "__getstate__",
]  # fmt: skip
_ENDS = {"append": 1, "appendleft": 1, "extend": 1, "extendleft": 1, "insert": 2, "clear": 0, "__iadd__": 1}


class Grown(BaseException):  # not for the function to catch
    """Something was added to lists, or one was looked at that was taken not to be: the trace begins again."""


class StandIn:
    """What stands for the list or deque `of`: `done` is what was done to it, method by method. Other threads, and what runs at once in
    the midst of a trace, go on with `of` itself.
    """

    of: Any
    done: list[tuple[str, tuple]]
    read: bool

    @classmethod
    def made(cls, of: Any) -> Any:
        """One for a list or a deque."""
        x = (_DEQUE if type(of) is deque else _LIST)()
        x.of, x.done, x.read = of, [], False
        return x


def _reading(name: str) -> Callable:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not here.recorder.tracing:
            return getattr(self.of, name)(*args, **kwargs)
        self.read = True
        raise Grown

    return method


def _adding(name: str, count: int) -> Callable:
    reads, many = _reading(name), name in ("extend", "extendleft", "__iadd__")

    def method(self: Any, *args: Any) -> Any:
        if not here.recorder.tracing or len(args) != count or (name == "insert" and type(args[0]) is not int):
            return reads(self, *args)
        self.done.append(("extend" if many and name == "__iadd__" else name, (list(args[0]),) if many else args))
        return self if name == "__iadd__" else None

    return method


def _kind(base: type) -> type:
    methods: dict[str, Any] = {n: _reading(n) for n in (*dir(base), "__radd__", "__rmul__") if callable(getattr(base, n, len))}
    methods |= {n: _adding(n, count) for n, count in _ENDS.items() if hasattr(base, n)}
    for n in _PLAIN:
        methods.pop(n, None)
    if base is deque:
        methods["maxlen"] = property(lambda self: self.of.maxlen)
    return type(base.__name__, (StandIn, base), {"__slots__": ("of", "done", "read"), **methods})


_LIST, _DEQUE = _kind(list), _kind(deque)


@struct
class Noted:
    """What a function does to a list or a deque: methods of it, with what they are given."""

    of: Any
    done: Sequence[tuple[str, tuple]]

    def values(self) -> Iterator[Any]:
        """What it is given."""
        for _, given in self.done:
            yield from given


class Additions:
    """The lists that one function adds to, from one trace of it to the next."""

    def __init__(self) -> None:
        self._wanted: dict[int, Any] = {}
        self._read: set[int] = set()
        self._standing: list[tuple[Any, list[Elsewhere]]] = []  # stand-ins, and where they are
        self.found: list[Noted] = []  # by the trace that has just run

    def hold(self, standing: Standing) -> None:
        """Put stand-ins in the places of those lists."""
        self.found = []
        for key, x in self._wanted.items():
            places = [] if key in self._read else [w.place for w in standing.where({key: x}) if w.value is x]
            if not places or any(isinstance(p, Within) for p in places):
                self._read.add(key)
                continue
            stand_in = StandIn.made(x)
            HELD[id(stand_in)] = x
            ADDED_TO.add(key)
            self._standing.append((stand_in, places))
            for p in places:
                p.put(stand_in)

    def release(self, known: set[int]) -> None:
        """The function has run: put the lists where they were. Raises `Grown` where it did more than to add. known: the ids of the lists
        and dicts outside.
        """
        read = len(self._read)
        while self._standing:
            stand_in, places = self._standing.pop()
            x, done, stand_in.done = stand_in.of, stand_in.done, []
            moved = not self._put(stand_in, places)
            if stand_in.read or moved or sys.getrefcount(stand_in) > 2 or not all(_repeats(v, known) for _, given in done for v in given):
                self._read.add(id(x))
            elif done:
                self.found.append(Noted(x, done))
        if len(self._read) > read:
            raise Grown

    def stop(self) -> Iterator[tuple[Any, list[tuple[str, tuple]]]]:
        """The trace has ended. Where the function has failed or read one, put the lists where they were: the stand-ins, and what was done
        to them."""
        self.found = []
        while self._standing:
            stand_in, places = self._standing.pop()
            self._put(stand_in, places)
            if stand_in.read:
                self._read.add(id(stand_in.of))
            yield stand_in, stand_in.done

    def _put(self, stand_in: Any, places: Sequence[Elsewhere]) -> bool:
        """Put a list where its stand-in is; False where that is elsewhere."""
        there = [p for p in places if p.read() is stand_in]
        for p in there:
            p.put(stand_in.of)
        return len(there) == len(places)

    def see(self, x: Any, was: Sequence[Any], now: Sequence[Any], seen: bool) -> None:
        """Told of a list that has changed while the function ran; by another thread, if the function has not `seen` it."""
        if id(x) in self._read:
            return
        if id(x) in self._wanted:  # it was found in another way than by its places
            self._read.add(id(x))
            raise Grown
        full = isinstance(x, deque) and x.maxlen == len(was) == len(now)
        if seen and (len(now) > len(was) or full) and type(x) in (list, deque):
            self._wanted[id(x)] = x
            raise Grown


def _repeats(x: Any, known: set[int]) -> bool:
    """Whether each call can add the like: tensors, numbers, what never changes, and new tuples, lists and dicts of such."""
    leaves: list[Any] = []
    flatten(x, leaves)
    return not _outside(x, known) and all(isinstance(v, (Tensor, Extent, Real, *PLAIN)) or is_constant(v) for v in leaves)


def _outside(x: Any, known: set[int], depth: int = 0) -> bool:
    if not isinstance(x, (tuple, list, dict)) or depth > 6:
        return False
    return id(x) in known or any(_outside(v, known, depth + 1) for v in (dict.values(x) if isinstance(x, dict) else x))
