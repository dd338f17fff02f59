"""Results that come later, by the names of torch.futures. What `ingot.jit.fork` gives is one that has its result.

>>> f = ingot.futures.Future()
>>> g = f.then(lambda done: done.value() + 1)
>>> f.set_result(2)
>>> g.wait()
3
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent import futures
from typing import Any, Generic, TypeVar

__all__ = ["Future", "collect_all", "wait_all"]

T = TypeVar("T")


class Future(Generic[T]):
    """A value that another thread, or a later line, sets: once (RuntimeError). devices: accepted."""

    def __init__(self, *, devices: Any = None):
        self._slot: futures.Future[T] = futures.Future()

    def done(self) -> bool:
        """Whether there is a result, or an error."""
        return self._slot.done()

    def wait(self) -> T:
        """The result, once there is one; the error that was set is raised."""
        return self._slot.result()

    def value(self) -> T:
        """The result. RuntimeError where there is none yet."""
        if not self.done():
            raise RuntimeError("Future.value() was called before there was a result: wait() waits for it")
        return self._slot.result()

    def set_result(self, result: T) -> None:
        """Set the value, and call what waits for it."""
        self._set(lambda: self._slot.set_result(result))

    def set_exception(self, result: BaseException) -> None:
        """Set an error, which `wait` raises. AssertionError for what is none."""
        assert isinstance(result, Exception), f"{result} is of type {type(result)}, not an Exception."
        self._set(lambda: self._slot.set_exception(result))

    def _set(self, put: Callable[[], None]) -> None:
        try:
            put()
        except futures.InvalidStateError:
            raise RuntimeError("Future can only be marked completed once") from None

    def add_done_callback(self, callback: Callable[[Future[T]], Any]) -> None:
        """Have `callback(self)` called when there is a result: at once where there is one. What it raises is logged."""
        self._slot.add_done_callback(lambda _: callback(self))

    def then(self, callback: Callable[[Future[T]], Any]) -> Future[Any]:
        """The Future of what `callback(self)` gives, or raises, when there is a result."""
        out: Future[Any] = Future()

        def run(done: Future[T]) -> None:
            try:
                value = callback(done)
            except Exception as e:
                out.set_exception(e)
            else:
                out.set_result(value)

        self.add_done_callback(run)
        return out


def collect_all(futures: Sequence[Future]) -> Future[list[Future]]:
    """The Future of the list of all of them, when each has a result."""
    out: Future[list[Future]] = Future()
    listed = list(futures)
    left = [len(listed)]

    def one(_: Future) -> None:
        left[0] -= 1
        if not left[0]:
            out.set_result(listed)

    for f in listed:
        f.add_done_callback(one)
    if not listed:
        out.set_result(listed)
    return out


def wait_all(futures: Sequence[Future]) -> list[Any]:
    """The results of all, in order; the first error that was set is raised.

    >>> ingot.futures.wait_all([ingot.jit.fork(len, "ab")])
    [2]
    """
    return [f.wait() for f in futures]
