"""Small append-only files of JSON lines beside the entries: misses, and what each process counted.

They serve people (`ingot cache explain`, `stats`), so losing a line is harmless and no lock is taken: a line is one
`write` to a descriptor opened for appending. A file that grows past its bound keeps its newer half.
"""

from __future__ import annotations

import json
from typing import Any

from ingot.runtime.cache import files

__all__ = ["append", "read", "replace"]

BOUND = 256 << 10  # bytes
_LINE_BOUND = 64 << 10


def append(path: str, record: dict[str, Any], bound: int = BOUND) -> bool:
    """Add one line to the file. False if it could not be written: never an exception."""
    line = b"\n" + json.dumps(record, sort_keys=True, separators=(",", ":")).encode() + b"\n"  # the line before may have no end
    if len(line) > _LINE_BOUND:
        return False
    try:
        size = files.append(path, line)
        if size > bound:
            _halve(path, size, bound // 2)
    except OSError:
        return False
    return True


def replace(path: str, records: list[dict[str, Any]]) -> None:
    """Put other records in the place of those of a file. OSError where that fails: the old ones then stay."""
    files.replace(path, b"".join(json.dumps(r, sort_keys=True, separators=(",", ":")).encode() + b"\n" for r in records))


def _halve(path: str, size: int, keep: int) -> None:
    tail = files.read(path, keep, max(size - keep, 0))
    files.replace(path, tail[tail.find(b"\n") + 1 :])  # without the rest of a line cut in two


def read(path: str, bound: int = 4 * BOUND) -> list[dict[str, Any]]:
    """The records of the file, oldest first; lines that are no JSON objects are skipped. [] if there is no file."""
    out = []
    try:
        lines = files.read(path, bound).splitlines()
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
