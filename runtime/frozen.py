"""Frozen: nothing is compiled. Code comes from the cache, or there is an error that says what it would have been for.

Three ways to ask for it, one rule: `ingot.compile(mode="frozen")` for one function, `INGOT_FROZEN=1` for a process, and
`with ingot.frozen():` for a block, which has the last word.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

from ingot.runtime import switches

__all__ = ["FrozenError", "frozen_by_default", "is_frozen", "refusing"]

_asked: contextvars.ContextVar[bool | None] = contextvars.ContextVar("ingot_frozen", default=None)


class FrozenError(RuntimeError):
    """Something would have to be compiled where that was forbidden. The message names function, argument and difference.

    key: of the code that is missing ("" where it is not known).
    """

    def __init__(self, message: str, key: str = ""):
        super().__init__(message)
        self.key = key


@contextlib.contextmanager
def refusing(on: bool = True) -> Iterator[None]:
    """The block of `ingot.frozen`, without what is computed before it."""
    token = _asked.set(on)
    try:
        yield
    finally:
        _asked.reset(token)


def frozen_by_default(on: bool) -> contextlib.AbstractContextManager[None]:
    """What a decorator asks for: it holds where no block around it says otherwise."""
    return refusing() if on and _asked.get() is None else contextlib.nullcontext()


def is_frozen() -> bool:
    """Whether compiling is forbidden here."""
    asked = _asked.get()
    return switches.get("INGOT_FROZEN") if asked is None else asked
