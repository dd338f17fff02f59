"""Events of a profile, and the ranges that programs name."""

from __future__ import annotations

import functools
import inspect
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ingot.runtime import timing
from ingot.runtime.recorder import here

__all__ = ["Averages", "Event", "Recording", "record_function"]


@dataclass(frozen=True)
class Event:
    """Something that took time: a call of compiled code (kind "graph"), or a named range. Times in microseconds."""

    name: str
    kind: str
    start: float
    duration: float
    thread: int


class Recording:
    """What happened between `start` and `stop`."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.ran: Counter[Any] = Counter()  # executables
        self.began = time.perf_counter_ns()

    def start(self) -> None:
        here.recorder.flush()
        self.began = time.perf_counter_ns()
        _active.append(self)
        timing.start(self._called)

    def stop(self) -> None:
        here.recorder.flush()
        timing.stop(self._called)
        _active.remove(self)

    def note(self, name: str, kind: str, begin: int, end: int) -> None:
        self.events.append(Event(name, kind, (begin - self.began) / 1e3, (end - begin) / 1e3, threading.get_ident()))

    def _called(self, executable: Any, begin: int, end: int) -> None:
        self.ran[executable] += 1
        self.note(getattr(executable, "title", "graph"), "graph", begin, end)

    def chrome_trace(self) -> dict[str, Any]:
        """The events as chrome://tracing and Perfetto read them."""
        pid = os.getpid()
        rows = [
            {"ph": "X", "cat": e.kind, "name": e.name, "pid": pid, "tid": e.thread, "ts": e.start, "dur": e.duration} for e in self.events
        ]
        return {"schemaVersion": 1, "traceEvents": rows, "displayTimeUnit": "ms"}


_active: list[Recording] = []


class record_function:
    """A block, or decorated function, under a name in the profile. While one is made, what is recorded runs at its ends.

    >>> with ingot.profiler.profile() as prof:
    ...     with ingot.profiler.record_function("forward"):
    ...         _ = ingot.ones(3).sin().sum().item()
    >>> [e.key for e in prof.key_averages() if e.key == "forward"]
    ['forward']
    """

    def __init__(self, name: str, args: str | None = None):
        self.name, self.args = name, args
        self._begun: list[int] = []

    def __enter__(self) -> record_function:
        if _active and not here.recorder.tracing:
            here.recorder.flush()
        self._begun.append(time.perf_counter_ns())
        return self

    def __exit__(self, *exc: Any) -> None:
        begin = self._begun.pop()
        if _active and not here.recorder.tracing:
            here.recorder.flush()
            for recording in _active:
                recording.note(self.name, "range", begin, time.perf_counter_ns())

    def __call__(self, fn: Callable) -> Callable:
        if inspect.isgeneratorfunction(fn):
            raise TypeError("record_function decorates functions, not generators: use it as a block within")

        @functools.wraps(fn)
        def called(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name, self.args):
                return fn(*args, **kwargs)

        return called


@dataclass
class Average:
    """All events of one name. Times in microseconds; `self` times leave out what ran within."""

    key: str
    count: int = 0
    cpu_time_total: float = 0.0
    self_cpu_time_total: float = 0.0

    @property
    def cpu_time(self) -> float:
        """The mean of a call."""
        return self.cpu_time_total / max(self.count, 1)


class Averages(list):
    """Rows of a profile, one for each name."""

    def __init__(self, events: list[Event]):
        found: dict[str, Average] = {}
        for e in events:
            row = found.setdefault(e.name, Average(e.name))
            row.count += 1
            row.cpu_time_total += e.duration
            row.self_cpu_time_total += e.duration - sum(o.duration for o in _within(e, events))
        super().__init__(found.values())

    @property
    def self_cpu_time_total(self) -> float:
        """The time of all rows."""
        return sum(row.self_cpu_time_total for row in self)

    def total_average(self) -> Average:
        """All rows as one."""
        return Average("Total", sum(r.count for r in self), self.self_cpu_time_total, self.self_cpu_time_total)

    def table(self, sort_by: str | None = None, row_limit: int = 100, max_name_column_width: int | None = 55, **options: Any) -> str:
        """The rows as text, the largest first. sort_by: "cpu_time_total", "self_cpu_time_total", "cpu_time" or "count"; other: in order."""
        rows = list(self)
        if sort_by in ("cpu_time_total", "self_cpu_time_total", "cpu_time", "count"):
            rows.sort(key=lambda r: -getattr(r, sort_by))
        width = min(max_name_column_width or 200, max([len(r.key) for r in rows] + [4]))
        total = max(self.self_cpu_time_total, 1e-9)
        head = f"{'Name':<{width}}  {'Self CPU %':>10}  {'Self CPU':>11}  {'CPU total':>11}  {'CPU time avg':>12}  {'# of Calls':>10}"
        line = "-" * len(head)
        lines = [line, head, line]
        for r in rows[: row_limit if row_limit >= 0 else None]:
            name = r.key if len(r.key) <= width else r.key[: width - 3] + "..."
            share = 100 * r.self_cpu_time_total / total
            times = (_time(t) for t in (r.self_cpu_time_total, r.cpu_time_total, r.cpu_time))
            own, whole, mean = times
            lines.append(f"{name:<{width}}  {share:>9.2f}%  {own:>11}  {whole:>11}  {mean:>12}  {r.count:>10}")
        return "\n".join([*lines, line, f"Self CPU time total: {_time(self.self_cpu_time_total)}", ""])


def _within(e: Event, events: list[Event]) -> Iterator[Event]:
    """The outermost events within a range."""
    if e.kind == "graph":
        return
    end = e.start + e.duration
    inner = [o for o in events if o is not e and o.thread == e.thread and e.start <= o.start and o.start + o.duration <= end]
    inner.sort(key=lambda o: (o.start, -o.duration))
    end = float("-inf")
    for o in inner:
        if o.start >= end:
            end = o.start + o.duration
            yield o


def _time(us: float) -> str:
    scale, unit = (1e6, "s") if us >= 1e6 else (1e3, "ms") if us >= 1e3 else (1.0, "us")
    return f"{us / scale:.3f}{unit}"
