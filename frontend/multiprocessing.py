"""Python's `multiprocessing` with torch's additions: `spawn`, and the strategy of sharing, of which there is one.

Tensors go through queues and pipes as copies; memory that was shared with `Tensor.share_memory_` before a fork is seen by both sides.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing import *  # noqa: F403  (all of it)
from typing import Any

__all__ = [  # noqa: PLE0604  (of Python's module all, too)
    *multiprocessing.__all__, "ProcessRaisedException", "SpawnContext", "get_all_sharing_strategies", "get_sharing_strategy",
    "set_sharing_strategy", "spawn", "start_processes",
]  # fmt: skip


class ProcessRaisedException(Exception):
    """A process that `spawn` started has failed; the message has its traceback."""


class SpawnContext:
    """The processes that `spawn` started."""

    def __init__(self, processes: list[Any], errors: list[Any]):
        self.processes = processes
        self._errors = errors

    def pids(self) -> list[int]:
        """The processes' numbers."""
        return [p.pid for p in self.processes]

    def join(self, timeout: float | None = None) -> bool:
        """Wait for one of the processes: whether all have ended. ProcessRaisedException where one failed; the others are ended then."""
        import multiprocessing.connection

        waiting = {p.sentinel: i for i, p in enumerate(self.processes) if p.exitcode is None}
        if waiting:
            multiprocessing.connection.wait(list(waiting), timeout)
        for i, p in enumerate(self.processes):
            if p.exitcode not in (None, 0):
                for other in self.processes:
                    if other.is_alive():
                        other.terminate()
                for other in self.processes:
                    other.join()
                told = self._errors[i].recv() if self._errors[i].poll() else f"it ended with exit code {p.exitcode}"
                raise ProcessRaisedException(f"process {i} failed:\n{told}")
        return all(p.exitcode == 0 for p in self.processes)


def spawn(fn: Callable, args: tuple = (), nprocs: int = 1, join: bool = True, daemon: bool = False, start_method: str = "spawn") -> Any:
    """Call `fn(i, *args)` in `nprocs` processes. With `join` it waits for them, else it gives a SpawnContext.

    ProcessRaisedException where one fails.
    """
    return start_processes(fn, args, nprocs, join, daemon, start_method)


def start_processes(
    fn: Callable, args: tuple = (), nprocs: int = 1, join: bool = True, daemon: bool = False, start_method: str = "spawn"
) -> Any:
    """See `spawn`."""
    context: Any = multiprocessing.get_context(start_method)
    processes, errors = [], []
    for i in range(nprocs):
        receive, send = context.Pipe(False)
        p = context.Process(target=_run, args=(fn, i, args, send), daemon=daemon)
        p.start()
        send.close()
        processes.append(p)
        errors.append(receive)
    running = SpawnContext(processes, errors)
    if not join:
        return running
    while not running.join():
        pass
    return None


def _run(fn: Callable, i: int, args: tuple, errors: Any) -> None:
    try:
        fn(i, *args)
    except Exception:
        import sys
        import traceback

        errors.send(traceback.format_exc())
        sys.exit(1)


def get_all_sharing_strategies() -> set[str]:
    """{"file_descriptor"}."""
    return {"file_descriptor"}


def get_sharing_strategy() -> str:
    """Always "file_descriptor": what `Tensor.share_memory_` maps has no name."""
    return "file_descriptor"


def set_sharing_strategy(new_strategy: str) -> None:
    """Accepted for torch's sake: `file_descriptor` or `file_system`. ValueError for any other."""
    if new_strategy not in ("file_descriptor", "file_system"):
        raise ValueError(f"sharing strategies are file_descriptor and file_system, not {new_strategy!r}")
