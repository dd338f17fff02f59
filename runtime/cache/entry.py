"""One cache entry: a shared object, and behind it what a program needs to trust, use and explain it.

    code | manifest | record | preimage | texts | footer

`code` is the ELF file as the loader maps it (it accepts what follows). `manifest` says how to call it, `record` where
it came from and what it cost, `preimage` what its key was made of, `texts` holds IR for people. The footer has a fixed
size and stands at the very end: magic, format version, the key, the five lengths, a checksum of everything before it
and one of itself. `manifest` and `record` are JSON; `preimage` and `texts` are zlib-compressed JSON.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from typing import Any

from ingot.runtime.cache.ownership import open_regular
from ingot.runtime.digest import sha256

__all__ = ["Entry", "EntryError", "pack", "parse", "peek", "peek_preimage", "FORMAT"]

FORMAT = 1
_MAGIC = b"INGOT.SO"
_FOOTER = struct.Struct("<8sI4x32s5Q32s32s")  # magic, format, key, lengths, checksum of the body, checksum of the footer
_TEXT_LIMIT = 64 << 20  # bytes that a compressed part may unfold to
_JSON_LIMIT = 8 << 20  # bytes of the manifest, and of the record: parsed, they may take some twenty times as much


class EntryError(ValueError):
    """Bytes that are no valid entry; the message says why."""


class Entry:
    """A verified entry. `code` is a view of the bytes it was parsed from; the rest is decoded when read."""

    __slots__ = ("key", "code", "manifest", "size", "_record", "_preimage", "_texts")

    def __init__(self, key: str, code: memoryview, manifest: dict, size: int, record: bytes, preimage: bytes, texts: bytes):
        self.key = key
        self.code = code
        self.manifest = manifest
        self.size = size
        self._record = record
        self._preimage = preimage
        self._texts = texts

    @property
    def record(self) -> dict[str, Any]:
        """Provenance, compile milliseconds and sizes."""
        return _object(self._record, "record")

    @property
    def preimage(self) -> dict[str, Any]:
        """The document whose SHA-256 is the key."""
        return _object(self.preimage_bytes, "preimage")

    @property
    def preimage_bytes(self) -> bytes:
        """The document itself."""
        return _unfold(self._preimage, "preimage")

    @property
    def texts(self) -> dict[str, str]:
        """IR and schedule, by name."""
        return _object(_unfold(self._texts, "texts"), "texts")

    def check_deep(self) -> None:
        """Check that every part is what the compiler writes and that the preimage gives the key: see structure.py.

        Nothing is mapped. EntryError with the reason.
        """
        from ingot.runtime.cache import structure

        preimage = self.preimage_bytes
        if sha256(preimage).hexdigest() != self.key:
            raise EntryError("the preimage does not give the key")
        try:
            structure.check(self.code, self.manifest, self.record, preimage, self.texts)
        except ValueError as e:
            raise EntryError(str(e)) from None


def pack(key: str, code: bytes, manifest: dict, record: dict, preimage: bytes, texts: dict[str, str]) -> bytes:
    """The bytes of an entry. `preimage` is the canonical document; `key` its SHA-256, hex."""
    told = _json(texts)
    if len(told) > _TEXT_LIMIT:  # they are for people
        told = b"{}"
    parts = (code, _json(manifest), _json(record), zlib.compress(preimage, 1), zlib.compress(told, 1))
    body = b"".join(parts)
    head = _FOOTER.pack(_MAGIC, FORMAT, bytes.fromhex(key), *map(len, parts), sha256(body).digest(), b"")[:-32]
    return body + head + sha256(head).digest()


def parse(data: bytes | memoryview, key: str | None = None) -> Entry:
    """Check the bytes of an entry, and that it is the one of `key`. EntryError with the reason."""
    view = memoryview(data)
    if len(view) < _FOOTER.size:
        raise EntryError(f"truncated: {len(view)} bytes")
    footer = view[-_FOOTER.size :]
    magic, version, digest, *lengths, body_sum, footer_sum = _FOOTER.unpack(footer)
    if magic != _MAGIC:
        raise EntryError("no entry footer at the end of the file")
    if sha256(footer[:-32]).digest() != footer_sum:
        raise EntryError("the footer's checksum differs")
    if version != FORMAT:
        raise EntryError(f"format {version}, this Ingot reads {FORMAT}")
    if sum(lengths) != len(view) - _FOOTER.size:
        raise EntryError("the lengths of the parts do not make up the file")
    if max(lengths[1:3]) > _JSON_LIMIT:
        raise EntryError(f"a manifest or record of {max(lengths[1:3])} bytes is more than any entry has (up to {_JSON_LIMIT})")
    if sha256(view[: -_FOOTER.size]).digest() != body_sum:
        raise EntryError("the checksum differs")
    found = digest.hex()
    if key is not None and found != key:
        raise EntryError(f"it is the entry of {found[:12]}")
    parts, start = [], 0
    for n in lengths:
        parts.append(view[start : start + n])
        start += n
    return Entry(found, parts[0], _object(bytes(parts[1]), "manifest"), len(view), *(bytes(p) for p in parts[2:]))


def peek(path: str) -> dict[str, Any]:
    """The record of the entry at `path`, for listings: two small reads, and nothing but the footer is checked.

    EntryError or OSError where it cannot be had.
    """
    return _object(_part(path, 2), "record")


def peek_preimage(path: str) -> dict[str, Any]:
    """The preimage of the entry at `path`, read in the same way."""
    return _object(_unfold(_part(path, 3), "preimage"), "preimage")


def _part(path: str, index: int) -> bytes:
    fd, st = open_regular(path)  # in a shared store, it may be anything
    try:
        if st.st_size < _FOOTER.size:
            raise EntryError(f"truncated: {st.st_size} bytes")
        footer = os.pread(fd, _FOOTER.size, st.st_size - _FOOTER.size)
        if len(footer) < _FOOTER.size:
            raise EntryError("truncated while it was read")
        magic, version, _, *lengths, _, own = _FOOTER.unpack(footer)
        if magic != _MAGIC or version != FORMAT or sha256(footer[:-32]).digest() != own:
            raise EntryError("no entry footer at the end of the file")
        if sum(lengths) != st.st_size - _FOOTER.size:
            raise EntryError("the lengths of the parts do not make up the file")
        if lengths[index] > _JSON_LIMIT:
            raise EntryError(f"a part of {lengths[index]} bytes is more than any entry has (up to {_JSON_LIMIT})")
        return os.pread(fd, lengths[index], sum(lengths[:index]))
    finally:
        os.close(fd)


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _object(data: bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as e:
        raise EntryError(f"its {what} is no JSON: {e}") from None
    if not isinstance(value, dict):
        raise EntryError(f"its {what} is no JSON object")
    return value


def _unfold(data: bytes, what: str) -> bytes:
    try:
        d = zlib.decompressobj()
        out = d.decompress(data, _TEXT_LIMIT)
    except zlib.error as e:
        raise EntryError(f"its {what} does not decompress: {e}") from None
    if not d.eof or d.unused_data:
        raise EntryError(f"its {what} does not decompress to its end")
    return out
