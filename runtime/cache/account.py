"""How much a writable layer holds, without looking: a file of fixed-size records, one appended per change.

A record is (first 8 bytes of the key, bytes, milliseconds); bytes are negative where an entry went. Their sum is the
layer's size, to within what concurrent writers of one key count twice; `evict` counts anew and rewrites the file. At
100,000 entries the file has 2.4 MB and is summed in a few milliseconds, and only when something was compiled.
"""

from __future__ import annotations

import os
import time

import numpy as np

from ingot.runtime.cache.entry import EntryError, parse
from ingot.runtime.cache.layer import Layer, Listed

__all__ = ["added", "removed", "total", "evict", "costs", "score"]

_RECORD = np.dtype([("key", "V8"), ("bytes", "<i8"), ("ms", "<f8")])
_FILL = 0.9  # eviction goes down to this part of the bounds
_REWRITE = 8 << 20  # bytes of account file


def added(layer: Layer, key: str, size: int, ms: float, max_bytes: int, max_entries: int, held: frozenset[str] = frozenset()) -> int:
    """Account for a new entry and evict where the layer is over its bounds, `held` entries last; how many entries went."""
    if not os.path.exists(_path(layer)):
        _rewrite(layer, list(layer.list()))  # the new one among them
    else:
        _append(layer, key, size, ms)
    nbytes, entries = total(layer)
    if nbytes > max_bytes or entries > max_entries:
        return len(evict(layer, max_bytes, max_entries, held=held | {key}))
    if os.path.getsize(_path(layer)) > _REWRITE:
        _rewrite(layer, list(layer.list()))
    return 0


def removed(layer: Layer, key: str, size: int) -> None:
    """Account for an entry that was deleted."""
    if os.path.exists(_path(layer)):
        _append(layer, key, -size, 0.0)


def total(layer: Layer) -> tuple[int, int]:
    """(bytes, entries) of the layer by its account."""
    records = _load(layer)
    return int(records["bytes"].sum()), int(np.sign(records["bytes"]).sum())


def costs(layer: Layer) -> dict[str, float]:
    """Compile milliseconds by the first 16 digits of the key, as far as the account knows them."""
    records = _load(layer)
    return {k.tobytes().hex(): float(ms) for k, n, ms in zip(records["key"], records["bytes"], records["ms"]) if n > 0 and ms > 0}


def score(size: int, ms: float, idle: float) -> float:
    """What an entry is worth: recompile time per byte, falling with the time since its last use."""
    return ms / max(size, 1) / (3600.0 + max(idle, 0.0))


def evict(
    layer: Layer, max_bytes: int, max_entries: int, *, held: frozenset[str] = frozenset(), fill: float = _FILL, dry_run: bool = False
) -> list[Listed]:
    """Delete the entries that are worth least until the layer is within `fill` of its bounds; those that went.

    Looks at every entry and rewrites the account. Entries that this process has mapped (`held`) go last: their code stays
    valid without the file, but they are sure to be wanted again.
    """
    listed = list(layer.list())
    nbytes, entries = sum(e.size for e in listed), len(listed)
    gone: list[Listed] = []
    if nbytes > max_bytes or entries > max_entries:
        known, now = costs(layer), time.time()
        worth = {e.key: score(e.size, known.get(e.key[:16]) or _cost_of(e), now - e.used) for e in listed}
        for e in sorted(listed, key=lambda e: (e.key in held, worth[e.key], e.key)):
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
        with open(listed.path, "rb") as f:
            return float(parse(f.read()).record.get("compile_ms", 1.0))
    except (OSError, EntryError, TypeError, ValueError):
        return 0.0


def _path(layer: Layer) -> str:
    return os.path.join(layer.folder, "account")


def _load(layer: Layer) -> np.ndarray:
    try:
        with open(_path(layer), "rb") as f:
            data = f.read()
    except OSError:
        data = b""
    return np.frombuffer(data[: len(data) - len(data) % _RECORD.itemsize], _RECORD)


def _record(key: str, size: int, ms: float) -> bytes:
    return np.array((np.void(bytes.fromhex(key[:16])), size, ms), _RECORD).tobytes()


def _append(layer: Layer, key: str, size: int, ms: float) -> None:
    fd = os.open(_path(layer), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, _record(key, size, ms))
    finally:
        os.close(fd)


def _rewrite(layer: Layer, listed: list[Listed]) -> None:
    known = costs(layer)
    temporary = f"{_path(layer)}.{os.urandom(8).hex()}.tmp"
    with open(temporary, "xb") as f:
        for e in listed:
            f.write(_record(e.key, e.size, known.get(e.key[:16]) or _cost_of(e)))
    os.replace(temporary, _path(layer))
