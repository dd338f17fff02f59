"""The cache as the compiler sees it: layers in order, memory where nothing can be written, and counts of all of it.

    found = cache.lookup(key)            # a verified entry, or None
    cache.put(key, data, compile_ms)     # never raises
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
from collections import Counter
from typing import Any

from ingot.runtime import log, switches
from ingot.runtime.cache import journal, packaged
from ingot.runtime.cache.entry import parse
from ingot.runtime.cache.layer import Found, Layer

__all__ = ["Cache", "default_folder", "the_cache"]


_MEMORY = 1024  # entries that are kept where nothing can be written, the oldest go first


def default_folder() -> str | None:
    """The folder of the writable layer: INGOT_CACHE_DIR, else under XDG_CACHE_HOME, else under ~/.cache.

    None where there is no home (and entries live in memory only).
    """
    named = switches.get("INGOT_CACHE_DIR")
    if named:
        return os.path.abspath(named)
    base = os.environ.get("XDG_CACHE_HOME")
    if not base or not os.path.isabs(base):  # the XDG rule: a relative path is ignored
        home = os.path.expanduser("~")
        if not os.path.isabs(home) or home == "/":
            return None
        base = os.path.join(home, ".cache")
    return os.path.join(base, "ingot")


class Cache:
    """Entries by key, in one writable layer and any number that are only read.

    `counts` tells what happened in this process: hit.memory, hit.disk, hit.shared, hit.package, miss.<reason>, put, evicted,
    saved_ms, the compile time that hits saved, and spent_ms, that of what was put. Safe to use from any thread.
    """

    def __init__(self, folder: str | None, shared: tuple[str, ...] = (), max_bytes: int = 2 * 2**30, max_entries: int = 100_000):
        self.own = Layer(folder, True) if folder else None
        self.shared = tuple(Layer(p, False) for p in shared)
        self.max_bytes = max_bytes
        self.max_entries = max_entries
        self.counts: Counter[str] = Counter()
        self._told: Counter[str] = Counter()  # what of `counts` the folder's statistics hold already
        self._memory: dict[str, bytes] = {}
        self._used: set[str] = set()
        self._reasons: dict[str, str] = {}  # of misses that are not recorded yet
        self._lock = threading.Lock()

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The folders, in the order they are asked."""
        return ((self.own,) if self.own else ()) + self.shared

    def lookup(self, key: str) -> Found | None:
        """The entry of `key`, checksums verified; the caller closes it. None is a miss, whatever went wrong."""
        start = time.perf_counter()
        found, reason = self._find(key)
        with self._lock:
            if found is None:
                self.counts[f"miss.{reason}"] += 1
                self._reasons[key] = reason
            else:
                self.counts[f"hit.{found.source}"] += 1
                if found.source != "package":  # which has it in every process
                    self._used.add(key)
                self.counts["saved_ms"] += int(found.entry.manifest.get("compile_ms", 0))
        if log.enabled("cache"):
            what = f"hit ({found.source})" if found else f"miss ({reason})"
            log.log("cache", "%s %s in %.2f ms", what, key[:12], (time.perf_counter() - start) * 1e3)
        return found

    def _find(self, key: str) -> tuple[Found | None, str]:
        data = self._memory.get(key)
        if data is not None:
            return Found(parse(data, key), "memory"), ""
        reason = "absent"
        for layer in self.layers:
            found = layer.get(key)
            if not isinstance(found, str):
                return found, ""
            if found != "absent" and reason == "absent":
                reason = found
        entry = packaged.find(key)
        return (None, reason) if entry is None else (Found(entry, "package"), "")

    def put(self, key: str, data: bytes, compile_ms: float) -> bool:
        """Store a packed entry: on disk, or in memory with one warning where that fails. Whether it is on the disk. Never raises."""
        with self._lock:
            self._used.add(key)
            self.counts["spent_ms"] += int(compile_ms)
        try:
            if self.own is None:
                raise OSError("there is no home folder; set INGOT_CACHE_DIR")
            self.own.put(key, data)
        except OSError as e:
            with self._lock:
                self._memory[key] = data
                while len(self._memory) > _MEMORY:
                    del self._memory[next(iter(self._memory))]
            log.warn_once("cache unwritable", f"the compile cache keeps new entries in memory only: {e}")
            return False
        with self._lock:
            self.counts["put"] += 1
        try:
            from ingot.runtime.cache import account

            evicted = account.added(self.own, key, len(data), compile_ms, self.max_bytes, self.max_entries)
        except OSError as e:
            log.log("cache", "accounting failed: %s", e)
        else:
            if evicted:
                with self._lock:
                    self.counts["evicted"] += evicted
                log.log("cache", "evicted %d entries", evicted)
        return True

    def reject(self, key: str) -> None:
        """Set aside an entry that passed its checks and cannot be loaded all the same."""
        with self._lock:
            self._memory.pop(key, None)
            self._reasons[key] = "damaged"
            self.counts["miss.damaged"] += 1
        if self.own is not None:
            self.own.set_aside(key)
        log.warn_once(f"rejected {key}", f"cache entry {key[:12]} holds no code that can be loaded; it is set aside and built again")

    @property
    def used(self) -> frozenset[str]:
        """The keys of what this process found here or put here."""
        with self._lock:
            return frozenset(self._used)

    def claimed(self, key: str) -> contextlib.AbstractContextManager[bool]:
        """Be the one process that compiles `key`, or wait for it: see claim.py. True: look it up again first."""
        if self.own is None:
            return contextlib.nullcontext(False)
        from ingot.runtime.cache import claim

        return claim.claimed(self.own, key, switches.get("INGOT_CACHE_WAIT"))

    def record_miss(self, key: str, provenance: dict[str, Any], preimage: bytes) -> None:
        """Leave a record of the last miss of `key` for `ingot cache explain`."""
        reason = self._reasons.pop(key, "absent")
        if self._usable():
            from ingot.runtime.cache import misses

            assert self.own is not None
            misses.record(self.own.folder, key, reason, provenance, preimage)

    def note(self, name: str) -> dict[str, Any]:
        """A small JSON object kept beside the entries, by name: that of all layers, the first one's word first."""
        found: dict[str, Any] = {}
        for layer in self.layers:
            if layer.check() and layer.owned():  # of a store that anybody may write, only entries are believed
                for record in journal.read(os.path.join(layer.folder, name + ".json"))[-1:]:
                    found = {**record, **found}
        return found

    def set_note(self, name: str, value: dict[str, Any]) -> None:
        """Keep a small JSON object beside the entries; forgotten where nothing can be written."""
        if self._usable():
            assert self.own is not None
            journal.append(os.path.join(self.own.folder, name + ".json"), value, bound=4096)

    def _usable(self) -> bool:
        """Whether there is a folder to write to, made now if need be."""
        if self.own is None:
            return False
        try:
            self.own.create()
        except OSError:
            return False
        return True

    def reset_counts(self) -> None:
        """Forget what was counted, after it was added to the folder's statistics."""
        self.save_counts()
        with self._lock:
            self.counts.clear()
            self._told.clear()

    def save_counts(self) -> None:
        """Add what this process counted to the folder's statistics, if they can be kept. Never raises."""
        with self._lock:
            fresh = self.counts - self._told
            self._told = Counter(self.counts)
        if fresh and self.own is not None and self.own.check():
            path = os.path.join(self.own.folder, "stats.jsonl")
            with contextlib.suppress(OSError):
                if journal.append(path, dict(fresh)) and os.path.getsize(path) > journal.BOUND // 2:
                    _fold(path)


def _fold(path: str) -> None:
    """Replace the lines of a statistics file by their sum."""
    total: Counter[str] = Counter()
    for record in journal.read(path):
        total.update({k: v for k, v in record.items() if isinstance(v, int)})
    with contextlib.suppress(OSError):
        journal.replace(path, [dict(total)])


_caches: dict[tuple, Cache] = {}


def the_cache() -> Cache:
    """The cache that the environment asks for; one object per setting, made when first asked."""
    setting = (
        default_folder(),
        switches.get("INGOT_CACHE_PATH"),
        switches.get("INGOT_CACHE_MAX_BYTES"),
        switches.get("INGOT_CACHE_MAX_ENTRIES"),
    )
    found = _caches.get(setting)
    if found is None:
        made = Cache(*setting)
        found = _caches.setdefault(setting, made)
        if found is made:  # and no other thread was faster
            atexit.register(_save, found, os.getpid())
    return found


def _after_fork() -> None:
    """Another thread of the parent may have held a lock."""
    for cache in _caches.values():
        cache._lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def _save(cache: Cache, pid: int) -> None:
    if os.getpid() == pid:  # a forked child that ends through atexit would count its parent's twice
        try:
            cache.save_counts()
        except OSError:
            pass
