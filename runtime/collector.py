"""Python's garbage collector at rest, while much is made that stays alive: it would look at all of it again and again."""

from __future__ import annotations

import _thread
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["for_good", "paused"]

_lock = _thread.allocate_lock()
_pausing = 0  # how many are in `paused` now, in all threads
_enabled = True  # as it was before the first of them


@contextmanager
def paused() -> Iterator[None]:
    """The collector does not run of itself, in no thread. Afterwards it does as it did before.

    >>> with paused():
    ...     gc.isenabled()
    False
    """
    global _pausing, _enabled
    with _lock:
        if not _pausing:
            _enabled = gc.isenabled()
            gc.disable()
        _pausing += 1
    try:
        yield
    finally:
        with _lock:
            if _pausing == 1 and _enabled:
                gc.enable()
            _pausing = max(_pausing - 1, 0)


@contextmanager
def for_good() -> Iterator[None]:
    """`paused`, where nearly all that is made stays alive, as what an import makes does: from then on it counts as old, and is looked at
    only when everything is.

    >>> with for_good():
    ...     import statistics
    """
    with paused():
        yield
        if not gc.get_freeze_count():  # nobody keeps objects out of the collector's sight: they would come back to it
            gc.freeze()  # before the collector runs again, which would look at all that was made meanwhile
            gc.unfreeze()


def _after_fork() -> None:
    """The threads that were pausing are not there any more."""
    global _lock, _pausing
    _lock = _thread.allocate_lock()
    if _pausing and _enabled:
        gc.enable()
    _pausing = 0


os.register_at_fork(after_in_child=_after_fork)
