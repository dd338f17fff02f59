"""Small append-only files of JSON lines beside the entries: misses, and what each process counted.

They serve people (`ingot cache explain`, `stats`), so losing a line is harmless and no lock is taken: a line is one
`write` to a descriptor opened for appending. A file that grows past its bound keeps its newer half.
"""

from __future__ import annotations

import json
import os
from typing import Any

__all__ = ["append", "read"]

BOUND = 256 << 10  # bytes
_LINE_BOUND = 64 << 10


def append(path: str, record: dict[str, Any], bound: int = BOUND) -> bool:
    """Add one line to the file. False if it could not be written: never an exception."""
    line = json.dumps(record, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    if len(line) > _LINE_BOUND:
        return False
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, line)
            size = os.fstat(fd).st_size
        finally:
            os.close(fd)
        if size > bound:
            _halve(path, bound // 2)
    except OSError:
        return False
    return True


def _halve(path: str, keep: int) -> None:
    with open(path, "rb") as f:
        f.seek(-keep, os.SEEK_END)
        f.readline()  # the rest of a line cut in two
        tail = f.read()
    temporary = f"{path}.{os.urandom(8).hex()}.tmp"
    try:
        with open(temporary, "xb") as f:
            f.write(tail)
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def read(path: str, bound: int = 4 * BOUND) -> list[dict[str, Any]]:
    """The records of the file, oldest first; lines that are no JSON objects are skipped. [] if there is no file."""
    out = []
    try:
        with open(path, "rb") as f:
            lines = f.read(bound).splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            out.append(record)
    return out
