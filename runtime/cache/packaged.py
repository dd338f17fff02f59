"""Entries that come with the package, and the structures of recordings that they are for: what most sessions at a prompt begin with.

    entry = find(key)                # verified, or None
    sample = samples().get(structure)  # the leaves of one recording of it: see runtime/plans.py

The file, which `python -m ingot._prompt` writes, is asked last, after all layers. Entries have the keys that they would have anywhere, so
they are found by the compiler that made them alone: after any change of its sources, nobody asks for them until they are written again.
Each is compressed, with what they have in common as the dictionary.
"""

from __future__ import annotations

import functools
import json
import os
import zlib
from collections.abc import Mapping
from typing import Any

from ingot.runtime import switches
from ingot.runtime.cache.entry import Entry, EntryError, parse

__all__ = ["FILE", "find", "has", "keys", "packed", "samples"]

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "packaged.bin")
_ID, _PLACE = 32, 4  # bytes of a key, and of each number: where its entry begins, and where it ends
_ROW = _ID + 2 * _PLACE
_WINDOW = 32 << 10  # bytes of a dictionary that are of use


def find(key: str) -> Entry | None:
    """The verified entry of a key; None where there is none, or INGOT_CACHE_PACKAGED says that it is not to be used."""
    place = _place(key)
    if place is None:
        return None
    _, dictionary, _, entries = _file()
    try:
        unpacked = zlib.decompressobj(zdict=dictionary).decompress(entries[slice(*place)])
        return parse(unpacked, key)
    except (EntryError, zlib.error):
        return None


def has(key: str) -> bool:
    """Whether there is an entry of a key."""
    return _place(key) is not None


def keys() -> list[str]:
    """The keys of all entries, in order."""
    rows = _file()[0] if switches.get("INGOT_CACHE_PACKAGED") else b""
    return [rows[at : at + _ID].hex() for at in range(0, len(rows), _ROW)]


def samples() -> Mapping[str, tuple[Any, ...]]:
    """The leaves of a recording, by the outline of its structure; None stands for a number that is no size."""
    return _file()[2] if switches.get("INGOT_CACHE_PACKAGED") else {}


def _place(key: str) -> tuple[int, int] | None:
    if not switches.get("INGOT_CACHE_PACKAGED"):
        return None
    rows, name = _file()[0], bytes.fromhex(key)
    at = rows.find(name)
    while at % _ROW and at >= 0:
        at = rows.find(name, at + 1)
    if at < 0:
        return None
    at += _ID
    return int.from_bytes(rows[at : at + _PLACE], "little"), int.from_bytes(rows[at + _PLACE : at + 2 * _PLACE], "little")


@functools.cache
def _file() -> tuple[bytes, bytes, Mapping[str, tuple[Any, ...]], memoryview]:
    """Rows, dictionary, samples and entries. None of them where there is no file, or it makes no sense."""
    try:
        with open(FILE, "rb") as f:
            data = f.read()
        parts, at = [], 0
        for _ in range(3):
            size = int.from_bytes(data[at : at + _PLACE], "little")
            parts.append(data[at + _PLACE : at + _PLACE + size])
            at += _PLACE + size
        found = {k: tuple(v) for k, v in json.loads(zlib.decompress(parts[2])).items()}
        return parts[0], zlib.decompress(parts[1]), found, memoryview(data)[at:]
    except (OSError, ValueError, AttributeError, TypeError, zlib.error):
        return b"", b"", {}, memoryview(b"")


def packed(entries: Mapping[str, bytes], samples: Mapping[str, tuple[Any, ...]]) -> bytes:
    """The file of these entries, by their keys, and of these samples."""
    dictionary = max(entries.values(), key=len, default=b"")[:_WINDOW]
    rows, folded, at = b"", [], 0
    for key, data in sorted(entries.items()):
        packer = zlib.compressobj(9, zdict=dictionary)
        folded.append(packer.compress(data) + packer.flush())
        end = at + len(folded[-1])
        rows += bytes.fromhex(key) + at.to_bytes(_PLACE, "little") + end.to_bytes(_PLACE, "little")
        at = end
    told = json.dumps(dict(sorted(samples.items())), separators=(",", ":")).encode()
    head = (rows, zlib.compress(dictionary, 9), zlib.compress(told, 9))
    return b"".join(part for h in head for part in (len(h).to_bytes(_PLACE, "little"), h)) + b"".join(folded)
