"""How much a writable layer holds, without looking: a file of fixed-size records, one appended per change.

A record is (first 8 bytes of the key, bytes, milliseconds); bytes are negative where an entry went. The first record is of no
entry: it says by chance which file this is, which is rewritten from time to time. The sum of the others is the
layer's size, to within what concurrent writers of one key count twice; `evict` counts anew and rewrites the file. At
100,000 entries the file has 2.4 MB; a process sums it once, in some 20 ms, and later only what was appended since.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from typing import NamedTuple

from ingot.runtime.cache import files
from ingot.runtime.cache.entry import EntryError, peek
from ingot.runtime.cache.layer import Layer, Listed
from ingot.runtime.cache.mapped import mapped_in
from ingot.runtime.cache.ownership import open_regular

__all__ = ["added", "removed", "total", "evict", "costs", "score"]

_RECORD = struct.Struct("<8sqd")
_FILL = 0.98  # eviction goes down to this part of the bounds: little at once, for somebody waits for it
_REWRITE = 8 << 20  # bytes of account file
_LIMIT = 64 << 20  # a longer one is none of ours


class _Sum(NamedTuple):
    """What the records up to `offset` add up to, in the file that begins with `first`."""

    first: bytes
    offset: int
    bytes: int
    entries: int


_sums: dict[str, _Sum] = {}  # by account file


def added(layer: Layer, key: str, size: int, ms: float, max_bytes: int, max_entries: int) -> int:
    """Account for a new entry and evict where the layer is over its bounds; how many entries went."""
    if not _whole(layer):
        _rewrite(layer, list(layer.list()))  # the new one among them
    else:
        _append(layer, key, size, ms)
    nbytes, entries = total(layer)
    if nbytes > max_bytes or entries > max_entries:
        return len(evict(layer, max_bytes, max_entries, keep=frozenset((key,))))
    if os.path.getsize(_path(layer)) > _REWRITE:
        _rewrite(layer, list(layer.list()))
    return 0


def removed(layer: Layer, key: str, size: int) -> None:
    """Account for an entry that was deleted."""
    if _whole(layer):
        _append(layer, key, -size, 0.0)


def total(layer: Layer) -> tuple[int, int]:
    """(bytes, entries) of the layer by its account."""
    path = _path(layer)
    try:
        fd, st = open_regular(path)
    except OSError:
        return 0, 0
    try:
        first = os.pread(fd, _RECORD.size, 0)
        known = _sums.get(path)
        if known is None or known.first != first or st.st_size < known.offset:
            known = _Sum(first, 0, 0, 0)
        sizes = [size for _, size, _ in _records(os.pread(fd, _LIMIT, known.offset))]
    except OSError:
        return 0, 0
    finally:
        files.close(fd)
    nbytes, entries = known.bytes + sum(sizes), known.entries + sum((size > 0) - (size < 0) for size in sizes)
    _sums[path] = _Sum(first, known.offset + len(sizes) * _RECORD.size, nbytes, entries)
    return nbytes, entries


def costs(layer: Layer) -> dict[str, float]:
    """Compile milliseconds by the first 16 digits of the key, as far as the account knows them."""
    try:
        return {key.hex(): ms for key, size, ms in _records(files.read(_path(layer), _LIMIT)) if size > 0 and ms > 0}
    except OSError:
        return {}


def score(size: int, ms: float, idle: float) -> float:
    """What an entry is worth: recompile time per byte, falling with the time since its last use."""
    return ms / max(size, 1) / (3600.0 + max(idle, 0.0))


def evict(
    layer: Layer, max_bytes: int, max_entries: int, *, keep: frozenset[str] = frozenset(), fill: float = _FILL, dry_run: bool = False
) -> list[Listed]:
    """Delete the entries that are worth least until the layer is within `fill` of its bounds; those that went.

    Looks at every entry and rewrites the account. What living processes have mapped stays, as far as that can be known, and
    so do the keys in `keep`.
    """
    listed = list(layer.list())
    nbytes, entries = sum(e.size for e in listed), len(listed)
    gone: list[Listed] = []
    if nbytes > max_bytes or entries > max_entries:
        known, now, keep = costs(layer), time.time(), keep | mapped_in(layer).keys()
        free = [e for e in listed if e.key not in keep]
        worth = {e.key: score(e.size, known.get(e.key[:16]) or _cost_of(e), now - e.used) for e in free}
        for e in sorted(free, key=lambda e: (worth[e.key], e.key)):
            if nbytes <= max_bytes * fill and entries <= max_entries * fill:
                break
            nbytes, entries = nbytes - e.size, entries - 1
            gone.append(e)
    if not dry_run:
        for e in gone:
            layer.remove(e.key)
        layer.sweep()
        lost = {e.key for e in gone}
        _rewrite(layer, [e for e in listed if e.key not in lost])
    return gone


def _cost_of(listed: Listed) -> float:
    """Compile milliseconds from the entry itself."""
    try:
        return float(peek(listed.path).get("compile_ms", 1.0))
    except (OSError, EntryError, TypeError, ValueError):
        return 0.0


def _path(layer: Layer) -> str:
    return os.path.join(layer.folder, "account")


def _whole(layer: Layer) -> bool:
    """Whether there is an account that makes sense: of whole records, and not below zero."""
    try:
        size = os.path.getsize(_path(layer))
        return size > 0 and size % _RECORD.size == 0 and size <= _LIMIT and min(total(layer)) >= 0
    except OSError:
        return False


def _records(data: bytes) -> Iterator[tuple[bytes, int, float]]:
    return _RECORD.iter_unpack(data[: len(data) - len(data) % _RECORD.size])


def _record(key: str, size: int, ms: float) -> bytes:
    return _RECORD.pack(bytes.fromhex(key[:16]), size, ms)


def _append(layer: Layer, key: str, size: int, ms: float) -> None:
    files.append(_path(layer), _record(key, size, ms))


def _rewrite(layer: Layer, listed: list[Listed]) -> None:
    known = costs(layer)
    records = [_RECORD.pack(os.urandom(8), 0, 0.0)]
    records += [_record(e.key, e.size, known.get(e.key[:16]) or _cost_of(e)) for e in listed]
    files.replace(_path(layer), b"".join(records))
