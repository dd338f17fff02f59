"""Work that another thread does, before its result is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Ahead"]

T = TypeVar("T")


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
        while self._thread.is_alive():
            self._thread.join(0.2)  # the signal may have come to another thread, which wakes nobody
        if self._error is not None:
            raise self._error
        return self._made
