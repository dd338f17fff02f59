"""`profile`, by steps of a schedule."""

from __future__ import annotations

import enum
import os
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

from ingot.profiler.recording import Averages, Event, Recording

__all__ = ["ProfilerAction", "ProfilerActivity", "profile", "schedule", "supported_activities", "tensorboard_trace_handler"]


class ProfilerActivity(enum.Enum):
    """What is measured: on the CPU."""

    CPU = 0
    CUDA = 1
    XPU = 2
    MTIA = 3
    HPU = 4
    PrivateUse1 = 5


class ProfilerAction(enum.Enum):
    """What a step of a schedule does."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def supported_activities() -> set[ProfilerActivity]:
    """{ProfilerActivity.CPU}."""
    return {ProfilerActivity.CPU}


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0, skip_first_wait: int = 0
) -> Callable[[int], ProfilerAction]:
    """What each step does: after `skip_first` steps, cycles of `wait` steps of nothing, `warmup` unrecorded and `active` recorded ones.

    repeat: how many cycles; 0 for no end. skip_first_wait: leave out the first cycle's `wait`. ValueError where a number makes no sense.

    >>> [ingot.profiler.schedule(wait=1, warmup=1, active=2, repeat=1)(step).name for step in range(5)]
    ['NONE', 'WARMUP', 'RECORD', 'RECORD_AND_SAVE', 'NONE']
    """
    if min(wait, warmup, repeat, skip_first) < 0 or active <= 0:
        raise ValueError("Invalid profiler schedule arguments")

    def at(step: int) -> ProfilerAction:
        if step < 0:
            raise ValueError(f"Step must be non-negative. Got {step}.")
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        if skip_first_wait != 0:
            step += wait
        cycle = wait + warmup + active
        if repeat > 0 and step / cycle >= repeat:
            return ProfilerAction.NONE
        place = step % cycle
        if place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if place < cycle - 1 else ProfilerAction.RECORD_AND_SAVE

    return at


def tensorboard_trace_handler(dir_name: str, worker_name: str | None = None, use_gzip: bool = False) -> Callable[[Any], None]:
    """A function for `on_trace_ready` that writes Chrome traces into a folder, where TensorBoard's plugin finds them."""
    os.makedirs(dir_name, exist_ok=True)

    def handle(prof: Any) -> None:
        name = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        path = os.path.join(dir_name, f"{name}.{time.time_ns()}.pt.trace.json")
        prof.export_chrome_trace(path + ".gz" if use_gzip else path)

    return handle


class profile:
    """A block whose calls of compiled code are timed; with a `schedule`, those of the steps that it says, which `step()` ends.

    on_trace_ready: called with the profile when a recorded cycle, or the block, ends. activities: the CPU is measured; the other arguments
    are accepted. RuntimeError for a profile that is read before it has begun.

    >>> with ingot.profiler.profile() as prof:
    ...     _ = (ingot.ones(8, 8) @ ingot.ones(8, 8)).sum().item()
    >>> "Self CPU time total" in prof.key_averages().table(sort_by="cpu_time_total")
    True
    """

    def __init__(
        self,
        *,
        activities: Iterable[ProfilerActivity] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[[Any], Any] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_flops: bool = False,
        with_modules: bool = False,
        experimental_config: Any = None,
        execution_trace_observer: Any = None,
        acc_events: bool = False,
        use_cuda: bool | None = None,
        custom_trace_id_callback: Any = None,
        post_processing_timeout_s: float | None = None,
    ):
        self.schedule = schedule or (lambda step: ProfilerAction.RECORD)
        self.on_trace_ready = on_trace_ready
        self.step_num = 0
        self._recording: Recording | None = None  # that is being made
        self._made: Recording | None = None

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *exc: Any) -> None:
        self.stop()

    def start(self) -> None:
        """Begin."""
        self._follow(self.schedule(self.step_num))

    def stop(self) -> None:
        """End, and hand over what was recorded."""
        if self._recording is not None:
            self._end()

    def step(self) -> None:
        """The next step begins."""
        if self.schedule(self.step_num) is ProfilerAction.RECORD_AND_SAVE and self._recording is not None:
            self._end()
        self.step_num += 1
        self._follow(self.schedule(self.step_num))

    def _follow(self, action: ProfilerAction) -> None:
        recorded = action in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)
        if recorded and self._recording is None:
            self._recording = Recording()
            self._recording.start()
        elif not recorded and self._recording is not None:
            self._end()

    def _end(self) -> None:
        assert self._recording is not None
        self._recording.stop()
        self._made, self._recording = self._recording, None
        if self.on_trace_ready is not None:
            self.on_trace_ready(self)

    def _read(self) -> Recording:
        found = self._made or self._recording
        if found is None:
            raise RuntimeError("Profiler didn't finish running")
        return found

    def events(self) -> list[Event]:
        """What was recorded, in order."""
        return list(self._read().events)

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0, group_by_overload_name: bool = False) -> Averages:
        """A row for each name: see `table`."""
        return Averages(self._read().events)

    def kernels(self, rounds: int = 5) -> Any:
        """The kernels of the graphs that ran, each timed by itself on inputs of ones, the least of `rounds` times.

        Rows (graph, name, calls, seconds, nbytes, operations), whose `table()` shows GB/s and GFLOP/s beside what this machine reaches.
        Graphs of sizes that are known only when they run are named in `left_out`.
        """
        from ingot.profiler.kernels import Kernels

        return Kernels(self._read().ran, rounds)

    def total_average(self) -> Any:
        """All rows as one."""
        return self.key_averages().total_average()

    def table(self, *args: Any, **kwargs: Any) -> str:
        """`key_averages().table(...)`."""
        return self.key_averages().table(*args, **kwargs)

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write the events for chrome://tracing or Perfetto; compressed where the path ends in .gz."""
        import gzip
        import json

        text = json.dumps(self._read().chrome_trace())
        opened = gzip.open(path, "wt") if os.fspath(path).endswith(".gz") else open(path, "w", encoding="utf-8")
        with opened as f:
            f.write(text)  # type: ignore[call-overload]

    def add_metadata(self, key: str, value: str) -> None:
        """Nothing: a trace has events alone."""

    def add_metadata_json(self, key: str, value: str) -> None:
        """Nothing: a trace has events alone."""
