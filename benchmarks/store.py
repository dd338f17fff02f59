"""A compile cache folder with a given number of entries: one of real code, the others small and made up."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from typing import Any

from benchmarks.processes import Place, run_process
from ingot.runtime.cache import entry
from ingot.runtime.cache.layer import Layer

__all__ = ["Store", "the_store"]

_CODE = b"\x7fELF" + bytes(508)


class Store:
    """A folder of `entries` entries. `key` is that of the real one: the MLP 784-512-512-10 at batch 1.

    `restore` puts back what was removed and removes what was added since.
    """

    def __init__(self, folder: str, entries: int, place: Place):
        self.folder, self.entries = folder, entries
        self.layer = Layer(folder, True)
        self._environment = place.environment()
        made = os.path.join(place.folder, f"made-{entries}")
        self._make(made)  # elsewhere first, to know how many entries that are
        real = {e.key: entry.parse(_bytes(e.path)) for e in Layer(made, True).list()}
        self.key = max((k for k, e in real.items() if e.preimage["kind"] == "graph"), key=lambda k: real[k].size)
        self.graph = str(real[self.key].preimage["text"])
        now = time.time()
        self._others = {_key(i): (i, now - 60 - i % 1000 * 2592) for i in range(entries - len(real))}  # used within a month
        for key in self._others:
            self._write(key)
        self._make(folder)  # the account is made here, as it would be: by the first process that stores something
        self._kept = {path: _bytes(path) for path in (*map(self.layer.path, real), *self._notes())}
        os.sync()

    def environment(self, **more: str) -> dict[str, str]:
        """That of a process which uses this cache."""
        return {**self._environment, "INGOT_CACHE_DIR": self.folder, "INGOT_CACHE_MAX_ENTRIES": "10000000", **more}

    def restore(self) -> None:
        """Make the folder as it was."""
        others = {self.layer.path(k): k for k in self._others}
        found = {e.path for e in self.layer.list()} | set(self._notes())
        for path in found - others.keys() - self._kept.keys():
            os.unlink(path)
        for path, data in self._kept.items():
            with open(path, "wb") as f:
                f.write(data)
        lost = others.keys() - found
        for path in lost:
            self._write(others[path])
        if lost:
            os.sync()  # else the next fsync that is measured would have to write all this

    def _make(self, folder: str) -> None:
        """Let a process compile the MLP, with its cache there."""
        run_process(["-m", "benchmarks.child", "mlp_b1", "ingot", "run", ""], self.environment(INGOT_CACHE_DIR=folder))

    def _write(self, key: str) -> None:
        i, used = self._others[key]
        path = self.layer.path(key)
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.write(fd, _entry(key, i))
            os.utime(fd, (used, used))
        finally:
            os.close(fd)

    def _notes(self) -> list[str]:
        """The files beside the entries: the account, journals."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as files:
            return [f.path for f in files if f.is_file(follow_symlinks=False)]
        return []


_stores: dict[str, Store] = {}


def the_store(entries: int, place: Place) -> Store:
    """The folder of so many entries: made once per run, whoever asks first."""
    folder = os.path.join(place.shared, f"cache-{entries}")
    if folder not in _stores:
        _stores[folder] = Store(folder, entries, place)
    return _stores[folder]


def _preimage(i: int) -> bytes:
    return json.dumps({"kind": "graph", "text": f"made up {i}"}).encode()


def _key(i: int) -> str:
    return hashlib.sha256(_preimage(i)).hexdigest()


def _entry(key: str, i: int) -> bytes:
    record: dict[str, Any] = {
        "name": f"made_up_{i}", "target": "x86-64-v4", "signature": "(x: f32[16]) -> (f32[16])", "compile_ms": 1.0 + i % 500,
        "code_bytes": len(_CODE), "created": 1.7e9 + i,
    }  # fmt: skip
    return entry.pack(key, _CODE, {"compile_ms": record["compile_ms"]}, record, _preimage(i), {})


def _bytes(path: str) -> bytes:
    with open(path, "rb") as f:
        return f.read()
