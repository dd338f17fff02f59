"""Who sees what runs while a function is traced, and where there is nothing to see.

The witness of a trace (frontend/capture/witness.py) has Python call it at every call and return, which takes longer than what most of
Ingot's own functions do. Where only these run, and none of a user's, it is out of the way.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["seen", "sight", "unseen"]

T = TypeVar("T")


class _Sight(threading.local):
    """hook: what Python calls in this thread; None: nothing, or nothing of a witness. held: that hook, while it is out of the way."""

    hook: Any = None
    held: Any = None

    def set(self, hook: Any, held: Any = None) -> None:
        """Have Python call `hook`; None: nothing."""
        self.hook, self.held = hook, held
        sys.setprofile(hook)


sight = _Sight()


def unseen(f: Callable[..., T], *args: Any) -> T:
    """`f(*args)`, in which no function of a user's runs but by `seen`."""
    hook = sight.hook
    if hook is None:
        return f(*args)
    sight.set(None, hook)
    try:
        return f(*args)
    finally:
        sight.set(hook)


def seen(f: Callable[..., T], *args: Any) -> T:
    """`f(*args)`, a function of a user's, seen by the witness if there is one."""
    hook = sight.held
    if hook is None:
        return f(*args)
    sight.set(hook)
    try:
        return f(*args)
    finally:
        sight.set(None, hook)
