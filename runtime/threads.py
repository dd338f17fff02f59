"""The worker pool of this process, as executables see it, and the number of threads.

There is one pool for all executables. It is compiled code itself (`backends/cpu/pool.py`): the compiler hands it over
(`start_pool`) or the artifact that is loaded, so that a process without a compiler has it too. It starts with the
first call of an executable, not with the import, and it is made again after a fork, whose child has no workers.
"""

from __future__ import annotations

import _thread
import atexit
import ctypes
import os
from typing import Any

from ingot.runtime import switches
from ingot.runtime.library import open_library

__all__ = ["Table", "default_num_threads", "get_num_threads", "pool_loaded", "pool_table", "set_num_threads", "start_pool"]

ABI_VERSION = 1


class _Layout(ctypes.Structure):
    """What an entry gets as its second argument."""

    _fields_ = [("abi_version", ctypes.c_int64), ("nthreads", ctypes.c_int64), ("pool", ctypes.c_void_p), ("parallel", ctypes.c_void_p)]


class Table:
    """The table of functions that entries are called with. It never changes: another number of threads is another table."""

    def __init__(self, layout: _Layout):
        self.address = ctypes.addressof(layout)
        self.nthreads = layout.nthreads
        self._layout = layout  # what the address is that of


current: Table | None = None  # the pool's table, once it runs
_lock = _thread.allocate_lock()
_library: Any = None  # the pool's functions
_tables: list[Table] = []  # every table that was ever handed out: a call may still run on an old one
_running: list[int] = []  # pools whose workers run
_num_threads: int | None = None


def _quota() -> float | None:
    """How many CPUs' worth of time the control group grants (v2, then v1); None where it does not limit."""
    try:
        with open("/proc/self/cgroup") as f:
            groups = dict((line.split(":", 2)[1], line.rstrip("\n").split(":", 2)[2]) for line in f)
    except (OSError, IndexError):
        return None
    limits = []
    path = groups.get("", "/")  # v2: every level up to the root may limit
    while True:
        try:
            with open(f"/sys/fs/cgroup{path.rstrip('/')}/cpu.max") as f:
                quota, period = f.read().split()
            if quota != "max":
                limits.append(int(quota) / int(period))
        except (OSError, ValueError, ZeroDivisionError):
            pass
        if path in ("/", ""):
            break
        path = os.path.dirname(path)
    for controllers, path in groups.items():
        if "cpu" in controllers.split(","):
            for folder in (f"/sys/fs/cgroup/{controllers}{path}", f"/sys/fs/cgroup/{controllers}", "/sys/fs/cgroup/cpu"):
                try:
                    with open(f"{folder}/cpu.cfs_quota_us") as q, open(f"{folder}/cpu.cfs_period_us") as p:
                        quota_us, period_us = int(q.read()), int(p.read())
                    if quota_us > 0:
                        limits.append(quota_us / period_us)
                    break
                except (OSError, ValueError, ZeroDivisionError):
                    continue
    return min(limits) if limits else None


def default_num_threads() -> int:
    """INGOT_NUM_THREADS, else the CPUs that this process may run on, within its control group's quota."""
    chosen = switches.get("INGOT_NUM_THREADS")
    if chosen is not None:
        return chosen
    try:
        cpus = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        cpus = os.cpu_count() or 1
    quota = _quota()
    return max(1, cpus if quota is None else min(cpus, int(quota)))


def get_num_threads() -> int:
    """How many threads run a graph, the calling one included."""
    global _num_threads
    if _num_threads is None:
        _num_threads = default_num_threads()
    return _num_threads


def set_num_threads(n: int) -> None:
    """Run graphs on `n` threads from the next call on. Results do not depend on it.

    TypeError unless `n` is an int, ValueError unless it is at least 1.

    >>> ingot.set_num_threads(1)
    >>> ingot.get_num_threads()
    1
    """
    global _num_threads, current
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"set_num_threads expects an int, got {type(n).__name__}")
    if n < 1:
        raise ValueError(f"set_num_threads expects a number of at least 1, got {n}")
    with _lock:
        if n == _num_threads:
            return
        _num_threads = n
        current = None
        _stop()


def start_pool(so: bytes | memoryview) -> None:
    """Load the pool's code, unless it is loaded: what an artifact carries, or `compiler.pool_code()`."""
    global _library
    if _library is not None:
        return
    with _lock:
        if _library is None:
            handle, name = open_library(so)
            library = ctypes.CDLL(name, handle=handle)
            library.ingot_pool_create.argtypes = (ctypes.c_int64,)
            library.ingot_pool_create.restype = ctypes.c_void_p
            library.ingot_pool_destroy.argtypes = (ctypes.c_void_p,)
            library.ingot_pool_destroy.restype = None
            _library = library


def pool_loaded() -> bool:
    """Whether the pool's code is loaded."""
    return _library is not None


def pool_table() -> Table:
    """The table of the process's worker pool, which is started at the first call.

    RuntimeError where its code is not loaded, see `start_pool`, or memory has run out.
    """
    global current
    if current is not None:
        return current
    if _library is None:
        raise RuntimeError("the worker pool's code is not loaded: call start_pool")
    with _lock:
        if current is None:
            pool = _library.ingot_pool_create(get_num_threads())
            if not pool:
                raise RuntimeError(f"out of memory: cannot start a pool of {get_num_threads()} threads")
            nthreads = ctypes.c_int64.from_address(pool).value  # fewer than wanted where the system refuses threads
            layout = _Layout(ABI_VERSION, nthreads, pool, ctypes.cast(_library.ingot_pool_parallel, ctypes.c_void_p).value)
            table = Table(layout)
            _tables.append(table)
            _running.append(pool)
            current = table
        return current


def _stop() -> None:
    """End the workers. A call that still runs on a pool ends first; later ones on it run serially."""
    while _running:
        _library.ingot_pool_destroy(_running.pop())


def _after_fork() -> None:
    """In a child there are no workers, and the lock may be held by a thread that is not there."""
    global _lock, current
    _lock = _thread.allocate_lock()
    _running.clear()
    current = None


def _at_exit() -> None:
    global current, _num_threads
    with _lock:
        _num_threads, current = 1, None  # what still runs after this runs on its own thread
        _stop()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
