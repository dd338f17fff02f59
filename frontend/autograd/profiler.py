"""The profiler by its older path: `ingot.autograd.profiler.profile`."""

from __future__ import annotations

from typing import Any

from ingot._refused import refused_class
from ingot.profiler import profile as _profile
from ingot.profiler import record_function
from ingot.profiler.recording import Averages as EventList

__all__ = ["EventList", "emit_itt", "emit_nvtx", "profile", "record_function"]

_UNSEEN = "a graph is one call, which other profilers see; ingot.profiler.profile sees what is in it"
emit_itt, emit_nvtx = refused_class("autograd.profiler.emit_itt", _UNSEEN), refused_class("autograd.profiler.emit_nvtx", _UNSEEN)


class profile(_profile):
    """`ingot.profiler.profile` of the whole block; enabled=False measures nothing.

    >>> with ingot.autograd.profiler.profile() as prof:
    ...     _ = ingot.ones(8).sum().item()
    >>> prof.self_cpu_time_total >= 0
    True
    """

    def __init__(
        self, enabled: bool = True, *, use_cuda: bool = False, record_shapes: bool = False, with_flops: bool = False,
        profile_memory: bool = False, with_stack: bool = False, with_modules: bool = False, use_kineto: bool = False, use_cpu: bool = True,
        **options: Any,
    ):  # fmt: skip
        super().__init__()
        self.enabled = enabled

    def start(self) -> None:
        """Begin, where enabled."""
        if self.enabled:
            super().start()

    @property
    def function_events(self) -> Any:
        """What was recorded, in order."""
        return self.events()

    @property
    def self_cpu_time_total(self) -> float:
        """The time of all rows, in microseconds."""
        return self.key_averages().self_cpu_time_total
