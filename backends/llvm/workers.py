"""Several pieces of work at once, by threads that end with it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["side_by_side"]

T = TypeVar("T")


def side_by_side(works: Sequence[Callable[[], T]], workers: int = 1) -> list[T]:
    """What each piece of work returns, or what the first of them that failed has raised.

    The main thread does none of it, so that Ctrl-C is heard meanwhile: LLVM returns to Python at its end only. Work that was given up
    goes on to the end of the piece at hand, whose result is dropped; the process ends after it.
    """
    todo = deque(enumerate(works))
    made: dict[int, T] = {}
    failed: dict[int, BaseException] = {}

    def run() -> None:
        while todo:
            try:
                i, work = todo.popleft()
            except IndexError:  # another thread was faster
                return
            try:
                made[i] = work()
            except BaseException as error:
                failed[i] = error
                todo.clear()

    own = threading.current_thread() is not threading.main_thread()
    threads = [threading.Thread(target=run, name="ingot compile") for _ in range(min(workers, len(works)) - own)]
    try:
        for t in threads:
            t.start()
        if own:
            run()
        for t in threads:
            while t.is_alive():
                t.join(0.2)  # the signal may have come to another thread, which wakes nobody
    finally:
        todo.clear()
    if failed:
        raise failed[min(failed)]
    return [made[i] for i in range(len(works))]
