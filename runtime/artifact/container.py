"""The file of an artifact: a header, a manifest (JSON), and parts on page boundaries.

    header    magic, schema, length of the file, length and SHA-256 of the manifest, SHA-256 of the header itself
    manifest  JSON; "parts" lists name, offset, length and SHA-256 of each part, in the order of their offsets
    parts     each begins on a multiple of 4096; what lies between them is zero; the last one ends the file

`Container` reads it: everything is checked against the file's own length before anything of the claimed size is
allocated. Reading executes nothing.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import struct
from collections.abc import Mapping
from typing import Any

__all__ = ["ArtifactError", "Container", "is_artifact", "write", "SCHEMA"]

SCHEMA = 1
PAGE = 4096
_MAGIC = b"INGOT\r\n\x1a"
_HEADER = struct.Struct("<8sI4xQQ32s32s")
_MANIFEST_LIMIT = 64 << 20
_PARTS_LIMIT = 4096


class ArtifactError(RuntimeError):
    """A file that is not a whole, unaltered artifact for this machine; the message says why in one line."""


def is_artifact(path: str | os.PathLike[str]) -> bool:
    """Whether the file begins as an artifact does. OSError where it cannot be read."""
    with open(path, "rb") as f:
        return f.read(len(_MAGIC)) == _MAGIC


def write(path: str, manifest: dict[str, Any], parts: Mapping[str, bytes | memoryview | list]) -> None:
    """Write an artifact atomically: a private temporary in the same folder, fsync, rename.

    parts: name -> bytes, or a list of bytes that follow each other. `manifest` gets "parts" added. OSError as from
    the file system; the old file of that name stays until the new one is whole.
    """
    pieces: list[list] = []
    sums: list[tuple[str, int, str]] = []
    table: list[dict[str, Any]] = []
    for name, part in parts.items():
        chunks = part if isinstance(part, list) else [part]
        h = hashlib.sha256()
        for c in chunks:
            h.update(c)
        pieces.append(chunks)
        sums.append((name, sum(memoryview(c).nbytes for c in chunks), h.hexdigest()))
    # offsets stand in the manifest, whose length moves them: lay out until they stay
    offset, text = 0, b""
    while True:
        start = _round_up(_HEADER.size + len(text))
        if start == offset:
            break
        offset, table, at = start, [], start
        for name, length, digest in sums:
            table.append({"name": name, "offset": at, "length": length, "sha256": digest})
            at = _round_up(at + length)
        text = json.dumps({**manifest, "parts": table}, sort_keys=True, separators=(",", ":")).encode()
    end = table[-1]["offset"] + table[-1]["length"] if table else _HEADER.size + len(text)
    head = _HEADER.pack(_MAGIC, SCHEMA, end, len(text), hashlib.sha256(text).digest(), b"")[:-32]

    folder = os.path.dirname(os.path.abspath(path))
    temporary = os.path.join(folder, f".{os.path.basename(path)}.{os.urandom(8).hex()}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with open(fd, "wb") as f:
            f.write(head + hashlib.sha256(head).digest() + text)
            for row, chunks in zip(table, pieces):
                f.write(bytes(row["offset"] - f.tell()))
                for c in chunks:
                    f.write(c)
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


class Container:
    """An open artifact whose header, manifest and table of parts were checked.

    ArtifactError says what is wrong with the file, OSError that it cannot be opened. Parts are checked when read.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = os.fspath(path)
        self.fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.size = os.fstat(self.fd).st_size
            self.manifest = self._read_manifest()
            self.parts = self._read_table()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; maps of it stay valid."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fail(self, why: str) -> ArtifactError:
        """The error for this file, in one line of readable length."""
        return ArtifactError(f"{self.path}: {' '.join(why.split())[:300]}")

    def _read_manifest(self) -> dict[str, Any]:
        head = os.pread(self.fd, _HEADER.size, 0)
        if head[:8] != _MAGIC[: len(head)] or not head:
            raise self.fail("this is no Ingot artifact")
        if len(head) < _HEADER.size:
            raise self.fail(f"truncated: {len(head)} bytes")
        _, schema, size, length, digest, own = _HEADER.unpack(head)
        if hashlib.sha256(head[:-32]).digest() != own:
            raise self.fail("the header is damaged (its checksum differs)")
        if schema > SCHEMA:
            raise self.fail(f"schema {schema} is newer than this Ingot reads (up to {SCHEMA}); upgrade ingot")
        if size != self.size:
            why = "truncated" if self.size < size else "too long"
            raise self.fail(f"the file is {why}: it has {self.size} bytes, its header says {size}")
        if length > min(_MANIFEST_LIMIT, self.size - _HEADER.size):
            raise self.fail(f"a manifest of {length} bytes is more than the file holds")
        text = os.pread(self.fd, length, _HEADER.size)
        if hashlib.sha256(text).digest() != digest:
            raise self.fail("the manifest is damaged (its checksum differs)")
        try:
            manifest = json.loads(text)
        except (ValueError, RecursionError) as e:
            raise self.fail(f"the manifest is no JSON: {e}") from None
        if not isinstance(manifest, dict):
            raise self.fail("the manifest is no JSON object")
        self._end = _HEADER.size + length
        return manifest

    def _read_table(self) -> dict[str, tuple[int, int, str]]:
        table = self.manifest.get("parts")
        if not isinstance(table, list) or len(table) > _PARTS_LIMIT:
            raise self.fail("the manifest lists no parts")
        parts: dict[str, tuple[int, int, str]] = {}
        end = self._end
        for row in table:
            try:
                name, offset, length, digest = row["name"], row["offset"], row["length"], row["sha256"]
            except (TypeError, KeyError):
                raise self.fail("the table of parts is malformed") from None
            if not (isinstance(name, str) and isinstance(digest, str) and type(offset) is int and type(length) is int and length >= 0):
                raise self.fail("the table of parts is malformed")
            if name in parts:
                raise self.fail(f"two parts are called {name!r}")
            if offset != _round_up(end) or offset + length > self.size:
                raise self.fail(f"part {name!r} overlaps its neighbour or leaves the file")
            if offset > end and any(os.pread(self.fd, offset - end, end)):
                raise self.fail(f"the padding before part {name!r} is not zero")
            parts[name] = (offset, length, digest)
            end = offset + length
        if end != self.size:
            raise self.fail(f"{self.size - end} bytes follow the last part")
        return parts

    def extent(self, name: str) -> tuple[int, int]:
        """(offset, length) of a part."""
        if name not in self.parts:
            raise self.fail(f"there is no part {name!r}")
        return self.parts[name][:2]

    def read(self, name: str) -> bytes:
        """The bytes of a part, checked."""
        offset, length = self.extent(name)
        data = bytearray(length)
        view, done = memoryview(data), 0
        while done < length:
            n = os.preadv(self.fd, [view[done:]], offset + done)
            if not n:
                break
            done += n
        self._check(name, view)
        return bytes(data)

    def map(self, name: str) -> memoryview:
        """A part as read-only memory shared with every process that maps it: not read, and not checked, until used."""
        offset, length = self.extent(name)
        if not length:
            return memoryview(b"")
        return memoryview(mmap.mmap(self.fd, length, mmap.MAP_SHARED, mmap.PROT_READ, offset=offset))

    def check(self, name: str, data: memoryview) -> None:
        """Compare mapped bytes of a part with its checksum."""
        self._check(name, data)

    def _check(self, name: str, data: memoryview) -> None:
        if hashlib.sha256(data).hexdigest() != self.parts[name][2]:
            raise self.fail(f"part {name!r} is damaged (its checksum differs)")


def _round_up(n: int) -> int:
    return -(-n // PAGE) * PAGE
