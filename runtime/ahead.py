"""Work that other threads do, before its results are asked for."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

__all__ = ["Ahead", "Works"]

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
_OFTEN = 2e-4  # seconds after which a thread that runs Python lets another one, which waits for it within LLVM's calls, go on
_lock = threading.Lock()
_switching: list[float] = []  # the interval that Python had before, once for each `_often` that there is


class Ahead(Generic[T]):
    """Begin `work` now.

    >>> Ahead(lambda: 6 * 7).result()
    42
    """

    def __init__(self, work: Callable[[], T]):
        self._made: T
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(work,), name="ingot compile")
        self._thread.start()

    def _run(self, work: Callable[[], T]) -> None:
        try:
            self._made = work()
        except BaseException as error:
            self._error = error

    def result(self) -> T:
        """What the work returns; what it raised comes through. Ctrl-C is heard."""
        _join(self._thread)
        if self._error is not None:
            raise self._error
        return self._made


class Works(Generic[K, T]):
    """Pieces of work that `workers` threads do while more are still handed in.

    >>> works = Works(2)
    >>> works.begin("a", lambda: 6 * 7)
    >>> works.results(2)
    {'a': 42}
    """

    def __init__(self, workers: int):
        self._workers = workers
        self._todo: deque[tuple[K, Callable[[], T]]] = deque()
        self._there = threading.Semaphore(0)  # pieces, and what ends a thread
        self._threads: list[threading.Thread] = []
        self._made: dict[K, T] = {}
        self._failed: dict[K, BaseException] = {}
        self._order: list[K] = []
        self._often = _often()
        self._often.__enter__()
        self._open = True

    def begin(self, key: K, work: Callable[[], T]) -> None:
        """Have a piece of work done."""
        self._order.append(key)
        self._todo.append((key, work))
        self._there.release()
        if len(self._threads) < self._workers:
            self._start()

    def results(self, workers: int) -> dict[K, T]:
        """What all pieces return, by their keys, or what the first of those that failed has raised. `workers` threads do what is left.

        The calling thread does none of it, so that Ctrl-C is heard meanwhile.
        """
        while len(self._threads) < min(workers, len(self._order)):
            self._start()
        for _ in self._threads:
            self._there.release()
        for t in self._threads:
            _join(t)
        self.close()
        for key in self._order:
            if key in self._failed:
                raise self._failed[key]
        return self._made

    def close(self) -> None:
        """Begin nothing more. What was given up goes on to the end of the piece at hand, whose result is dropped."""
        if self._open:
            self._open = False
            self._todo.clear()
            for _ in self._threads:
                self._there.release()
            self._often.__exit__(None, None, None)

    def _start(self) -> None:
        self._threads.append(threading.Thread(target=self._run, name="ingot compile"))
        self._threads[-1].start()

    def _run(self) -> None:
        while self._there.acquire():
            try:
                key, work = self._todo.popleft()
            except IndexError:
                return
            try:
                self._made[key] = work()
            except BaseException as error:
                self._failed[key] = error
                self._todo.clear()


def _join(thread: threading.Thread) -> None:
    while thread.is_alive():
        thread.join(0.2)  # the signal may have come to another thread, which wakes nobody


@contextmanager
def _often() -> Iterator[None]:
    """Threads take turns often."""
    with _lock:
        _switching.append(_switching[0] if _switching else sys.getswitchinterval())
        sys.setswitchinterval(min(_OFTEN, _switching[0]))
    try:
        yield
    finally:
        with _lock:
            before = _switching.pop()
            if not _switching:
                sys.setswitchinterval(before)
