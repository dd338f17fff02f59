"""Timing of calls of compiled code, while somebody asks: nothing is in their way otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

__all__ = ["LIVE", "start", "stop"]

LIVE: WeakSet[Any] = WeakSet()  # the executables of this process
_sink: list[Callable[[Any, int, int], None]] = []


class _Timed:
    """An entry that tells how long a call took."""

    def __init__(self, executable: Any, entry: Any):
        self.executable, self.entry = executable, entry

    def __call__(self, *args: Any) -> Any:
        begin = time.perf_counter_ns()
        code = self.entry(*args)
        end = time.perf_counter_ns()
        for sink in _sink:
            sink(self.executable, begin, end)
        return code


def born(executable: Any) -> None:
    """An executable was loaded."""
    LIVE.add(executable)
    if _sink:
        executable._entry = _Timed(executable, executable._entry)


def start(sink: Callable[[Any, int, int], None]) -> None:
    """From now on call sink(executable, begin, end) after each call, times in nanoseconds of `time.perf_counter_ns`."""
    if not _sink:
        for executable in list(LIVE):
            executable._entry = _Timed(executable, executable._entry)
    _sink.append(sink)


def stop(sink: Callable[[Any, int, int], None]) -> None:
    """No longer."""
    _sink.remove(sink)
    if not _sink:
        for executable in list(LIVE):
            if isinstance(executable._entry, _Timed):
                executable._entry = executable._entry.entry
