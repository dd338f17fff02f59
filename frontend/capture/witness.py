"""The witness of a trace: sees what Python code looks at while the function runs, and takes notes of it (notes.py).

Nothing is foreseen: a profile hook tells which functions run, and of those the globals, closures and defaults are noted. What cannot be
watched, the clock, files and the like (impure.py), is refused with the user's line.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from typing import Any

from ingot._tensor import Tensor
from ingot.capture.added import Grown, StandIn
from ingot.capture.effects import position
from ingot.capture.errors import CaptureError, refuse
from ingot.capture.impure import calls_for, importing, of_ingot, standard_library
from ingot.capture.notes import Notes
from ingot.capture.pytree import flatten
from ingot.capture.reads import Reads
from ingot.capture.stand_ins import Namespaces
from ingot.capture.trace import aside
from ingot.capture.watch import Environment
from ingot.runtime.collector import paused
from ingot.runtime.recorder import outside
from ingot.runtime.sight import sight, unseen

__all__ = ["Witness"]

_ASKING = (getattr, hasattr, vars, dir, globals)  # by names that no code shows


class Witness(Notes):
    """Sees the trace of a function in its `with` block.

    values: the static arguments; tensors: those that the function can reach. begins: called when something begins to run at once; it gives
    what is called when that has ended.
    """

    def __init__(self, name: str, fn: Any, values: Iterable[Any], tensors: Iterable[Any], begins: Callable[[], Callable]):
        super().__init__()
        self.name = name
        self._thread = threading.get_ident()
        self._roots = [(fn, name), *((v, "an argument") for v in values), *((t, "a tensor") for t in tensors)]
        self._passed: set[types.CodeType] = set()  # code of Ingot's own: what it calls does not count
        self._begins = begins
        self._refused: CaptureError | None = None
        self._aside: list[tuple[types.FrameType, contextlib.ExitStack]] = []  # calls that run at once
        self.namespaces: Namespaces | None = None  # where stand-ins are put

    # ---- while the function runs

    def __enter__(self) -> Witness:
        self.reads = Reads(self._told)
        self._environments: list[Any] = [os.environ, os.environb] if os.supports_bytes_environ else [os.environ]
        self._environment: dict[Any, Any] = os.environ._data  # type: ignore[attr-defined]
        self._decoded = os.environ.decodekey, os.environ.decodevalue
        for e in self._environments:
            e._data = _NotingEnvironment(self._environment, self._read_environment)
        self._outer: Any = sys.getprofile()
        self._sight = sight.hook, sight.held
        self._paused = paused()  # the collector's callbacks, and what it finalises, are no part of the function
        self._paused.__enter__()
        try:
            for x, text in self._roots:
                self.follow(x, text)
            sight.set(self._profile)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: Any, *exc: Any) -> None:
        sight.set(None)
        try:
            if kind is None:
                self._read_libraries()
        finally:
            self._stop()

    def _stop(self) -> None:
        sight.set(None)
        while self._aside:
            self._aside.pop()[1].close()
        self._paused.__exit__(None, None, None)
        if hasattr(self._outer, "enable"):  # a profiler in C
            self._outer.enable()
        elif self._outer is not None:
            sys.setprofile(self._outer)
        sight.hook, sight.held = self._sight
        try:
            self.reads.stop()
        finally:
            for e in self._environments:
                e._data = self._environment

    def _told(self, x: Any, name: str) -> None:
        unseen(self._read_outside, x, name)  # what is done to take notes is of no interest

    def _read_outside(self, x: Any, name: str) -> None:
        with outside():  # looking at a tensor would capture it
            self._read(x, name)

    def check(self) -> None:
        """CaptureError if the function read what cannot be watched, and went on."""
        if self._refused is not None:
            raise self._refused
        for x, text, before in self._iterators:
            if position(x) != before:
                raise CaptureError(
                    f"{self.name}: a compiled function cannot take the next item of an iterator ({text}): each call would use the item of "
                    "the first one. Take it outside, and pass it as an argument"
                )

    def _profile(self, frame: types.FrameType, event: str, arg: Any) -> None:
        code = frame.f_code
        if event == "call":
            if code not in self._entered:
                self._entered.add(code)
                with outside():  # looking at a tensor would capture it
                    self._enter(code, frame)
            if code in self.caches:
                self._aside_until(frame)
        elif event == "return":
            if self._aside and self._aside[-1][0] is frame:
                self._aside.pop()[1].close()
        elif event == "c_call" and code not in self._passed:
            self._called(frame, arg)

    def _aside_until(self, frame: types.FrameType) -> None:
        """Have what a cache of functools keeps be computed at once, as it is eagerly: it is the same for all calls. Where it is given
        tensors of the trace, it is traced like any other function; what the cache keeps of that is found to leak."""
        leaves: list[Any] = []
        flatten(dict(frame.f_locals), leaves)
        if not any(isinstance(x, Tensor) and getattr(x._array.source, "tracing", False) for x in leaves):
            block = contextlib.ExitStack()
            block.enter_context(aside())
            if not self._aside:
                block.callback(self._begins())
            self._aside.append((frame, block))

    def _enter(self, code: types.CodeType, frame: types.FrameType) -> None:
        """Note what a function has to look at, before its first line."""
        name = str(frame.f_globals.get("__name__"))
        if of_ingot(code) or name.partition(".")[0] == "ingot":  # a dataclass's methods have no file
            self._passed.add(code)
            return
        if standard_library(name) or name.startswith("namedtuple_") or code.co_name == "<module>" or importing(frame):
            return
        if code not in self._functions:  # nobody has led to it: a method that Python itself calls, or something kept in C
            self._functions[code] = _made_of(code, name)
        for f in list(self._functions[code]):
            self._function(f)
        self._code(code, frame.f_globals)
        for base, n in self._owners.get(code, ()):
            self._place(base, n, base.__name__)
        if self.namespaces is not None:
            self.namespaces.enter(code, frame.f_globals)

    def _called(self, frame: types.FrameType, f: Any) -> None:
        """Note a call of a function in C."""
        if isinstance(getattr(f, "__self__", None), StandIn):  # a method of list itself, which sees nothing in it
            f.__self__.read = True
            raise Grown
        if f in _ASKING and not standard_library(frame.f_globals.get("__name__")):
            self.asks = True
            with outside():
                if f is globals:
                    self._space(frame.f_globals, "the global", None)
                self._look_for_any()
            return
        what = calls_for(f, frame)
        if what is not None:
            self._refused = refuse(
                f"{self.name}: a compiled function cannot read {what} ({f.__name__}): each call would use what the first one has read",
                "read it outside, and pass it as an argument",
            )
            raise self._refused

    def _read_environment(self, key: Any) -> None:
        """Note that a variable of the environment is read; all of them where `key` is None."""
        if threading.get_ident() != self._thread:
            return
        at: types.FrameType | None = sys._getframe(2)
        while at is not None and standard_library(at.f_globals.get("__name__")):
            at = at.f_back
        of_key, of_value = self._decoded
        name = None if key is None else of_key(key)
        if at is not None and not of_ingot(at.f_code) and self._first(os.environ, str(name)):
            data = {of_key(k): of_value(v) for k, v in self._environment.items()}
            self.deep.append(Environment(name, data.get(name) if name is not None else data))


class _NotingEnvironment(MutableMapping):
    """What os.environ keeps its variables in while it tells which are read. Its class is left alone: from the thousandth change of a
    class on, Python 3.13 goes on to call the methods that it had before."""

    def __init__(self, data: dict[Any, Any], note: Callable[[Any], None]):
        self._data = data
        self._note = note

    def __getitem__(self, key: Any) -> Any:
        self._note(key)
        return self._data[key]

    def __iter__(self) -> Iterator[Any]:
        self._note(None)
        return iter(self._data)

    def __len__(self) -> int:
        self._note(None)
        return len(self._data)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._data[key] = value

    def __delitem__(self, key: Any) -> None:
        del self._data[key]


_NUMPY: dict[int, tuple[types.CodeType, list[types.FunctionType]]] = {}


def _made_of(code: types.CodeType, module: str) -> list[types.FunctionType]:
    """The functions of some code. All objects are asked, which takes as long as there are many; of NumPy's, which has functions in C
    that hold the like, once."""
    found = _NUMPY.get(id(code))
    if found is not None:
        return list(found[1])
    functions = [f for f in gc.get_referrers(code) if isinstance(f, types.FunctionType) and f.__code__ is code]
    if module.partition(".")[0] == "numpy":
        _NUMPY[id(code)] = code, list(functions)
    return functions
