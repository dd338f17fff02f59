"""`ingot.profiler`: how long compiled code ran, by graph and by the ranges that a program names.

    with ingot.profiler.profile() as prof:
        train_step(x, y)
    print(prof.key_averages().table(sort_by="cpu_time_total"))
    print(prof.kernels().table())                       # kernel by kernel: time, GB/s and GFLOP/s beside the machine's limits
    prof.export_chrome_trace("trace.json")

A row is a graph: what was recorded together, fused, and run by one call of native code. Its name has the operations that are in it.
"""

from __future__ import annotations

from ingot.profiler.profiling import ProfilerAction, ProfilerActivity, profile, schedule, supported_activities, tensorboard_trace_handler
from ingot.profiler.recording import record_function

__all__ = [
    "ProfilerAction", "ProfilerActivity", "kineto_available", "profile", "record_function", "schedule", "supported_activities",
    "tensorboard_trace_handler",
]  # fmt: skip


def kineto_available() -> bool:
    """False: the profiler is Ingot's own."""
    return False
