"""Messages to people, on stderr: channels chosen by `INGOT_LOG`, and warnings that are given once.

Imports the standard library only; a channel that is off costs one dictionary look-up.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ingot.runtime import switches

__all__ = ["enabled", "log", "warn_once", "timed", "IngotWarning"]


class IngotWarning(UserWarning):
    """Something is not as it should be, and the result is right all the same."""


_warned: set[str] = set()


def enabled(channel: str) -> bool:
    """Whether `INGOT_LOG` asks for `channel`."""
    return channel in switches.get("INGOT_LOG")


def log(channel: str, message: str, *args: Any) -> None:
    """Print `message % args` on stderr if the channel is on.

    >>> log("cache", "hit %s in %.2f ms", "ab12", 0.4)  # INGOT_LOG=cache: `ingot:cache: hit ab12 in 0.40 ms`
    """
    if channel in switches.get("INGOT_LOG"):
        print(f"ingot:{channel}: {message % args if args else message}", file=sys.stderr, flush=True)


def warn_once(key: str, message: str) -> None:
    """Give one IngotWarning per `key` and process."""
    if key in _warned:
        return
    _warned.add(key)
    import warnings

    warnings.warn(message, IngotWarning, stacklevel=3)


@contextmanager
def timed(stage: str, times: dict[str, float] | None = None) -> Iterator[None]:
    """Measure a stage: added to `times` in milliseconds, and printed where `INGOT_TIME` is set."""
    start = time.perf_counter()
    try:
        yield
    finally:
        ms = (time.perf_counter() - start) * 1e3
        if times is not None:
            times[stage] = times.get(stage, 0.0) + ms
        if switches.get("INGOT_TIME"):
            print(f"ingot:time: {stage:<10} {ms:9.2f} ms", file=sys.stderr, flush=True)
