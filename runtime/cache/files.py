"""Small files beside the entries, which may have been replaced by anything: read with a bound, appended to, and replaced whole."""

from __future__ import annotations

import contextlib
import os
import stat

from ingot.runtime.cache.ownership import open_regular

__all__ = ["append", "close", "read", "replace"]


def read(path: str, limit: int, start: int = 0) -> bytes:
    """At most `limit` bytes of a regular file from `start` on. OSError for anything else, and never a wait."""
    fd, _ = open_regular(path)
    try:
        return os.pread(fd, limit, start)
    finally:
        close(fd)


def append(path: str, data: bytes) -> int:
    """Append to a regular file, which is made if need be; its size now. OSError where that fails."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(f"{path} is not a regular file")
        os.write(fd, data)
        return os.fstat(fd).st_size
    finally:
        close(fd)


def replace(path: str, data: bytes, mode: int = 0o666, durable: bool = False) -> None:
    """Write a file whole, by way of a temporary in the same folder. OSError where that fails: the old one then stays.

    mode: of the new file, less the umask;  durable: it is on the disk when this returns
    """
    temporary = f"{path}.{os.urandom(8).hex()}.tmp"
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as f:
            f.write(data)
            if durable:
                f.flush()
                os.fsync(f.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def close(fd: int) -> None:
    """Close what was only read, or does not matter: network file systems may complain even of that."""
    try:
        os.close(fd)
    except OSError:
        pass
