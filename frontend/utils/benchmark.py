"""Timing statements, by the names of torch.utils.benchmark. What a statement records is computed before the clock is read.

    print(Timer("model(x)", globals={"model": model, "x": x}).blocked_autorange())
"""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ingot
from ingot.runtime.recorder import here

__all__ = ["Measurement", "TaskSpec", "Timer"]


@dataclass(frozen=True)
class TaskSpec:
    """What is timed."""

    stmt: str
    setup: str
    label: str | None = None
    sub_label: str | None = None
    description: str | None = None
    num_threads: int = 1


@dataclass
class Measurement:
    """How long runs took: raw_times are seconds of `number_per_run` runs each."""

    number_per_run: int
    raw_times: list[float]
    task_spec: TaskSpec
    metadata: dict[Any, Any] = field(default_factory=dict)

    @property
    def times(self) -> list[float]:
        """Seconds of one run, by repetition."""
        return [t / self.number_per_run for t in self.raw_times]

    @property
    def mean(self) -> float:
        """Their mean."""
        return statistics.mean(self.times)

    @property
    def median(self) -> float:
        """Their median."""
        return statistics.median(self.times)

    @property
    def iqr(self) -> float:
        """How far the upper quartile is above the lower one."""
        if len(self.times) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.times, n=4, method="inclusive")
        return high - low

    def __repr__(self) -> str:
        scale, unit = next(((s, u) for s, u in ((1, "s"), (1e3, "ms"), (1e6, "us")) if self.median * s >= 1), (1e9, "ns"))
        return f"<{__name__}.Measurement of {self.task_spec.stmt}>\n  {self.median * scale:.2f} {unit}, {len(self.times)} measurements"


class Timer:
    """Times a statement, a text as in `timeit`, with `num_threads` threads.

    >>> timer = ingot.utils.benchmark.Timer("x.sin()", globals={"x": ingot.ones(8)})
    >>> timer.timeit(3).number_per_run
    3
    """

    def __init__(
        self,
        stmt: str = "pass",
        setup: str = "pass",
        global_setup: str = "",
        timer: Callable[[], float] = timeit.default_timer,
        globals: dict[str, Any] | None = None,
        label: str | None = None,
        sub_label: str | None = None,
        description: str | None = None,
        env: str | None = None,
        num_threads: int = 1,
        language: str = "python",
    ):
        if str(language).lower() not in ("python", "language.python"):
            raise ValueError(f"Timer: statements are Python, not {language}")
        self._spec = TaskSpec(stmt, setup, label, sub_label, description, num_threads)

        def after() -> float:
            here.recorder.flush()
            return timer()

        self._timer = timeit.Timer(stmt, setup, timer=after, globals=globals)

    def _measure(self, number: int, repeat: int) -> Measurement:
        threads = ingot.get_num_threads()
        ingot.set_num_threads(self._spec.num_threads)
        try:
            return Measurement(number, [self._timer.timeit(number) for _ in range(repeat)], self._spec)
        finally:
            ingot.set_num_threads(threads)

    def timeit(self, number: int = 1_000_000) -> Measurement:
        """`number` runs, measured together."""
        self._measure(max(number // 100, 2), 1)  # compiled, and warm
        return self._measure(number, 1)

    def repeat(self, repeat: int = -1, number: int = -1) -> None:
        """NotImplementedError: see `blocked_autorange`."""
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def _number(self, least: float) -> tuple[int, float]:
        """How many runs take at least `least` seconds, and how long they took."""
        number = 1
        self._measure(2, 1)
        while True:
            took = self._measure(number, 1).raw_times[0]
            if took >= least:
                return number, took
            number *= 10

    def blocked_autorange(self, callback: Any = None, min_run_time: float = 0.2) -> Measurement:
        """Blocks of as many runs as take a thousandth of `min_run_time`, for that many seconds."""
        number, took = self._number(min_run_time / 1000)
        return self._measure(number, max(1, min(int(min_run_time / max(took, 1e-9)), 10_000)))

    def adaptive_autorange(
        self, threshold: float = 0.1, *, min_run_time: float = 0.01, max_run_time: float = 10.0, callback: Any = None
    ) -> Measurement:
        """Repeats until the quartiles lie within `threshold` of the median, or `max_run_time` seconds are over."""
        number, _ = self._number(min_run_time / 1000)
        found = Measurement(number, [], self._spec)
        while sum(found.raw_times) < max_run_time:
            found.raw_times += self._measure(number, 10).raw_times
            if sum(found.raw_times) >= min_run_time and found.iqr / found.median < threshold:
                break
        return found
