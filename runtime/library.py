"""Shared objects, opened from a path, a descriptor or their bytes: checked to be whole, and never written to a disk."""

from __future__ import annotations

import _ctypes
import itertools
import os
import struct

__all__ = ["open_library"]

_unique = itertools.count(1)


def open_library(source: str | os.PathLike | int | bytes | memoryview) -> tuple[int, str]:
    """dlopen a shared object: a path, an open file descriptor (the caller closes it), or its bytes.

    Returns the handle and the name it was opened by. OSError where it is no shared object or the system refuses. Bytes are mapped from an
    anonymous file in memory; nothing is written to any disk.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        fd = _memfd(source)
        try:
            return open_library(fd)
        finally:
            os.close(fd)
    if not isinstance(source, int):
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return open_library(fd)
        finally:
            os.close(fd)
    _check_whole(source)
    # The loader takes a name that it has seen for the library that it has already, but descriptors are used again:
    # each load gets a spelling of its own ("/./" and "//" mean the same directory).
    spelling = "".join("/./" if bit == "1" else "//" for bit in f"{next(_unique):b}")
    name = f"/proc/self/fd{spelling}{source}"
    return _ctypes.dlopen(name, os.RTLD_NOW | os.RTLD_LOCAL), name


def _check_whole(fd: int) -> None:
    """Refuse what is not ELF or ends before its segments do: the loader would map it and the process end with SIGBUS."""
    head = os.pread(fd, 4096, 0)
    if len(head) < 64 or head[:7] != b"\x7fELF\x02\x01\x01":
        raise OSError(f"not a shared object: it starts with {head[:4]!r}")
    offset, count = struct.unpack_from("<Q", head, 32)[0], struct.unpack_from("<H", head, 56)[0]
    size = os.fstat(fd).st_size
    if offset + 56 * count > len(head):
        raise OSError("not a shared object of Ingot's: its program headers are not at its start")
    for i in range(count):
        start, length = struct.unpack_from("<8xQ16xQ", head, offset + 56 * i)
        if start + length > size:
            raise OSError(f"a truncated shared object: {size} bytes, {start + length} expected")


def _memfd(data: bytes | bytearray | memoryview) -> int:
    try:
        fd = os.memfd_create("ingot", os.MFD_CLOEXEC | 0x10)  # MFD_EXEC, which Linux 6.3 wants to hear
    except OSError:
        fd = os.memfd_create("ingot", os.MFD_CLOEXEC)
    try:
        rest = memoryview(data)
        while len(rest):
            rest = rest[os.write(fd, rest) :]
    except BaseException:
        os.close(fd)
        raise
    return fd
