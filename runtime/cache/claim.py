"""Who compiles what, between processes: a courtesy that spares work, never a lock that correctness needs.

A process that is about to compile an entry leaves `.KEY.claim` beside it. Others that miss the same key wait for the
entry, but at most INGOT_CACHE_WAIT seconds, and not at all for a claimant that is known to be dead; then they compile
anyway. The file is made with O_EXCL, which network file systems without working locks have too.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Iterator

from ingot.runtime.cache.layer import Layer

__all__ = ["claimed", "claim_path"]

_FIRST_PAUSE, _LAST_PAUSE = 0.002, 0.05  # seconds between two looks


def claim_path(layer: Layer, key: str) -> str:
    """Where the claim on `key` is, or would be."""
    return os.path.join(layer.entries, key[:2], f".{key}.claim")


@contextlib.contextmanager
def claimed(layer: Layer, key: str, wait: float) -> Iterator[bool]:
    """Hold the claim on `key` for the block, or wait for who holds it. True where it is worth looking the key up again.

    Never raises: where no claim can be made, nobody waits.
    """
    path, ours, again = claim_path(layer, key), False, False
    if wait > 0:
        try:
            layer.folder_of(key)
            ours, again = _claim(path, layer.path(key), wait)
        except OSError:
            pass
    try:
        yield again
    finally:
        if ours:
            with contextlib.suppress(OSError):
                os.unlink(path)


def _claim(path: str, entry: str, wait: float) -> tuple[bool, bool]:
    """(whether the claim is ours, whether the entry may be there by now)."""
    until, pause = time.monotonic() + wait, _FIRST_PAUSE
    while True:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            pass
        else:
            try:
                try:
                    os.write(fd, _identity(os.getpid()))
                finally:
                    os.close(fd)
                return True, os.path.exists(entry)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(path)
                raise
        if os.path.exists(entry):
            return False, True
        if time.monotonic() >= until or _dead(path):
            with contextlib.suppress(OSError):
                os.unlink(path)
            if time.monotonic() >= until:
                return False, True
            continue
        time.sleep(pause)
        pause = min(2 * pause, _LAST_PAUSE)


@functools.cache
def _place() -> str:
    """This machine since it was started, and this namespace of process numbers."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as f:
            return f"{f.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return os.uname().nodename


def _identity(pid: int) -> bytes:
    """A process's number is used again; the time of its start tells the two apart. OSError where there is no such process."""
    with open(f"/proc/{pid}/stat", "rb") as f:
        start = f.read().rpartition(b")")[2].split()[19].decode()
    return f"{pid} {start} {_place()}".encode()


def _dead(path: str) -> bool:
    """Whether the claimant is known to have ended without taking its claim back."""
    try:
        with open(path, "rb") as f:
            told = f.read(256)
        pid, _, place = told.decode().split(" ", 2)
    except (OSError, ValueError):  # gone, or not written yet
        return False
    if place != _place():
        return False
    try:
        return _identity(int(pid)) != told
    except (OSError, ValueError, IndexError):
        return True
