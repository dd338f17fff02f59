"""The system calls that the cache makes below a folder, one by one: to list them, to fail at one, to die at one.

    with watched(folder, hook):      # hook(name, call): call() makes the call; raise, or die, instead
        cache.put(key, data, 5.0)

Functions of `os` are replaced, and `open` by one that reads and writes through them, so that the calls of a buffered
file are seen as well. Only calls on paths below the folder, and on descriptors opened there, come to the hook.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import os
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

Hook = Callable[[str, Callable[[], Any]], Any]

CALLS = (
    "open", "close", "read", "pread", "readv", "preadv", "write", "pwrite", "writev", "lseek", "fsync", "fdatasync", "ftruncate",
    "truncate", "rename", "replace", "link", "unlink", "remove", "mkdir", "rmdir", "stat", "lstat", "fstat", "utime", "chmod",
    "fchmod", "listdir", "scandir", "access", "readlink", "posix_fallocate", "copy_file_range", "sendfile",
)  # fmt: skip


class _Raw(io.RawIOBase):
    """A file whose every call goes through `os`."""

    def __init__(self, fd: int, mode: str):
        self.fd, self.mode = fd, mode

    def fileno(self) -> int:
        return self.fd

    def readable(self) -> bool:
        return "r" in self.mode or "+" in self.mode

    def writable(self) -> bool:
        return "r" not in self.mode or "+" in self.mode

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = os.read(self.fd, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        return os.write(self.fd, bytes(data))

    def seek(self, offset: int, whence: int = 0) -> int:
        return os.lseek(self.fd, offset, whence)

    def tell(self) -> int:
        return os.lseek(self.fd, 0, os.SEEK_CUR)

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self.fd)


@contextlib.contextmanager
def watched(folder: str, hook: Hook) -> Iterator[None]:
    """Bring every system call of the block that concerns `folder` to `hook`."""
    ours: set[int] = set()
    busy: list[str] = []  # a hook's own calls go through
    folder = os.path.abspath(folder)
    real_open = builtins.open

    def concerns(what: Any) -> bool:
        if isinstance(what, int):
            return what in ours
        return isinstance(what, (str, bytes, os.PathLike)) and (os.fsdecode(what) + "/").startswith(folder + "/")

    def wrap(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if busy or not args or not concerns(args[0]):
                return call(*args, **kwargs)
            busy.append(name)
            try:
                result = hook(name, _Call(call, args, kwargs))
            finally:
                busy.pop()
            if name == "open":
                ours.add(result)
            elif name == "close":
                ours.discard(args[0])
            return result

        return wrapped

    def python_open(file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None, **rest: Any) -> Any:
        if busy or isinstance(file, int) or not concerns(file):
            return real_open(file, mode, buffering, encoding, **rest)
        flags = {"r": os.O_RDONLY, "w": os.O_WRONLY | os.O_CREAT | os.O_TRUNC, "x": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
                 "a": os.O_WRONLY | os.O_CREAT | os.O_APPEND}[mode.strip("bt+")]  # fmt: skip
        if "+" in mode:
            flags = flags & ~os.O_WRONLY | os.O_RDWR
        raw = _Raw(os.open(file, flags | os.O_CLOEXEC, 0o666), mode)
        kind: Any = io.BufferedReader if not raw.writable() else io.BufferedWriter if not raw.readable() else io.BufferedRandom
        buffered = kind(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding or "utf-8")

    with contextlib.ExitStack() as stack:
        for name in CALLS:
            stack.enter_context(mock.patch.object(os, name, wrap(name, getattr(os, name))))
        stack.enter_context(mock.patch.object(builtins, "open", python_open))
        yield


class _Call:
    """A call that waits to be made."""

    def __init__(self, call: Callable[..., Any], args: tuple, kwargs: dict):
        self.call, self.args, self.kwargs = call, args, kwargs

    def __call__(self) -> Any:
        return self.call(*self.args, **self.kwargs)

    def half(self) -> None:
        """A write of the first half of its data, where that is not nothing."""
        fd, data = self.args
        self.call(fd, bytes(data)[: len(data) // 2])


def trace(folder: str, work: Callable[[], Any]) -> list[str]:
    """The names of the calls that `work` makes, in order."""
    names: list[str] = []

    def note(name: str, call: Any) -> Any:
        names.append(name)
        return call()

    with watched(folder, note):
        work()
    return names
