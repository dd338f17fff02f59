"""Kernels that are known: those of this process, and those in the entries of the cache, for graphs that have some of them too.

    pieces = Pieces(json.loads(preimage), about_to_make)
    built = backend("cpu").build(program, level, pieces)     # asks for its kernels by name
    remember(layer, key, pieces.ids)                         # once the entry is stored

An entry holds the code of its kernels and tells where; no file is written for a kernel, since a file that is on the disk for sure costs
several milliseconds, as much as to compile one. Which entry has which kernel stands in `pieces`, a file of fixed-size records (16 bytes
of the kernel's digest, the entry's key), one appended per kernel of an entry. It is a hint: what it leads to is verified as every entry
is, and must be made by the same compiler for the same level. Where it leads nowhere, the kernel is compiled.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ingot.runtime import log
from ingot.runtime.cache import files, the_cache
from ingot.runtime.cache.entry import Entry, EntryError
from ingot.runtime.cache.layer import Layer
from ingot.runtime.digest import sha256
from ingot.runtime.threads import get_num_threads

if TYPE_CHECKING:
    from ingot.backends import Make, Part
    from ingot.runtime.ahead import Works

__all__ = ["Pieces", "ids_of", "remember"]

_FILE = "pieces"
_ID = 16  # bytes of a kernel's digest
_RECORD = _ID + 32  # and the key of an entry
_LIMIT = 8 << 20  # bytes of the file, from which on it is rewritten
_TRIED = 4  # entries that are looked at for one kernel, the newest first
_IN_MEMORY = 8192  # kernels
_FIELDS = ("target", "sources", "toolchain", "options")  # of a preimage: what must be alike, beside the kernel itself

_known: dict[bytes, bytes] = {}  # by digest, those used last at the end


class Pieces:
    """What a compilation knows of its kernels: a `Keep` (see ingot.backends.built).

    A part that will be asked for may be begun; then it is made meanwhile, where code is compiled by several threads.

    made: called before the first kernel that nobody has is compiled. It may raise, and nothing is compiled.
    known, compiled: how many kernels were found, and how many not; packaged: how many of the known ones come with the package.
    """

    def __init__(self, preimage: dict[str, Any], made: Callable[[], None]):
        self._wanted = {f: preimage[f] for f in _FIELDS}
        self._context = _context(preimage)
        self._made = made
        self.ids: list[bytes] = []
        self._begun: dict[bytes, Part] = {}
        self._works: Works[bytes, bytes] | None = None
        self._came: set[bytes] = set()  # those that come with the package
        self.known = self.compiled = self.packaged = 0

    def begin(self, part: Part) -> None:
        """A part will be asked for."""
        workers = get_num_threads() - 1  # beside the thread that calls
        key = _id(self._context, part.name)
        if not workers or key in self._begun or _known.get(key) or self._stored(key) is not None:
            return
        if part.ready():
            _known[key] = part.make()
            self._came.add(key)
            return
        self._begun[key] = part
        if len(self._begun) == 2:  # one alone is not worth a thread
            from ingot.runtime.ahead import Works

            self._made()
            self._works = Works(workers)
            for k, p in self._begun.items():
                self._works.begin(k, p.make)
        elif self._works is not None:
            self._works.begin(key, part.make)

    def close(self) -> None:
        """Make nothing more of what was begun."""
        if self._works is not None:
            self._works.close()

    def __call__(self, parts: Sequence[Part], make: Make) -> list[bytes]:
        """The code of each part, found or made: by as many threads as compiled code has."""
        keys = [_id(self._context, p.name) for p in parts]
        self.ids += keys
        found: dict[bytes, bytes] = {}
        missing: dict[bytes, Part] = {}
        for key, part in zip(keys, parts):
            part = self._begun.get(key, part)
            code = _known.get(key) or (part.make() if not part.text and part.ready() else self._stored(key))
            if code is None and part.ready():  # which takes as long for a kernel as to write LLVM IR
                code = part.make()
                self._came.add(key)
            if code is None:
                missing[key] = part
            else:
                found[key] = code
        if missing and self._works is not None:
            for key, part in missing.items():
                if key not in self._begun:
                    self._works.begin(key, part.make)
            made = self._works.results(get_num_threads())
            found.update((key, made[key]) for key in missing)
        elif missing:
            self._made()
            found.update(zip(missing, make(list(missing.values()), get_num_threads())))
        counted = [key for key, p in zip(keys, parts) if p.text]
        self.compiled = sum(key in missing for key in counted)
        self.known = len(counted) - self.compiled
        self.packaged = sum(key in self._came for key in counted)
        for key, code in found.items():
            _known.pop(key, None)
            _known[key] = code  # at the end
        while len(_known) > _IN_MEMORY:
            _known.pop(next(iter(_known)), None)
        return [found[key] for key in keys]

    def _stored(self, key: bytes) -> bytes | None:
        for layer in the_cache().layers:
            for entry_key in _entries_with(layer, key):
                found = layer.get(entry_key)
                if isinstance(found, str):
                    continue
                try:
                    self._learn(found.entry)
                finally:
                    found.close()
                if key in _known:
                    return _known[key]
        return None

    def _learn(self, entry: Entry) -> None:
        from ingot.backends import backend

        try:
            if {f: entry.preimage.get(f) for f in _FIELDS} == self._wanted:
                _known.update((_id(self._context, name), code) for name, code in backend("cpu").pieces(entry.code).items())
        except (EntryError, ValueError) as e:
            log.log("cache", "the kernels of %s cannot be read: %s", entry.key[:12], e)


def ids_of(entry: Entry) -> list[bytes]:
    """The kernels that an entry holds, as `remember` takes them. Empty where it is none of a graph, or makes no sense."""
    from ingot.backends import backend

    try:
        context = _context(entry.preimage)
        return [_id(context, name) for name in backend("cpu").pieces(entry.code)]
    except (EntryError, KeyError, ValueError):
        return []


def remember(layer: Layer | None, key: str, ids: list[bytes]) -> None:
    """Note in a writable layer which kernels the entry of `key` holds. Never raises."""
    if layer is None:
        return
    path = os.path.join(layer.folder, _FILE)
    with contextlib.suppress(OSError):
        if ids and files.append(path, b"".join(i + bytes.fromhex(key) for i in ids)) > _LIMIT:
            kept = {e.key for e in layer.list()}
            live = [r for r in _records(files.read(path, 2 * _LIMIT)) if r[_ID:].hex() in kept]
            files.replace(path, b"".join(live[-(_LIMIT // 2 // _RECORD) :]), mode=0o600)


def _entries_with(layer: Layer, key: bytes) -> list[str]:
    """The keys of entries that may hold a kernel, the newest first."""
    path = os.path.join(layer.folder, _FILE)
    found: list[str] = []
    try:
        data = files.read(path, 2 * _LIMIT) if layer.check() else b""
    except OSError:
        return found
    at = data.rfind(key)
    while at >= 0 and len(found) < _TRIED:
        if at % _RECORD == 0 and at + _RECORD <= len(data):
            found.append(data[at + _ID : at + _RECORD].hex())
        at = data.rfind(key, 0, at + _ID - 1)
    return found


def _records(data: bytes) -> Iterator[bytes]:
    return (data[at : at + _RECORD] for at in range(0, len(data) - _RECORD + 1, _RECORD))


def _context(preimage: dict[str, Any]) -> bytes:
    return json.dumps({f: preimage[f] for f in _FIELDS}, sort_keys=True).encode()


def _id(context: bytes, name: bytes) -> bytes:
    return sha256(context + name).digest()[:_ID]
