"""The file of an artifact: a header, a manifest (JSON), and parts on page boundaries.

    header    magic, schema, length of the file, length and SHA-256 of the manifest, SHA-256 of the header itself
    manifest  JSON; "parts" lists name, offset, length and SHA-256 of each part, in the order of their offsets
    parts     each begins on a multiple of 4096; what lies between them is zero; the last one ends the file

`Container` reads it: everything is checked against the file's own length before anything of the claimed size is
allocated. Reading executes nothing.
"""

from __future__ import annotations

import contextlib
import errno
import json
import mmap
import os
import stat
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ingot.runtime import digest as digests
from ingot.runtime.artifact import strict
from ingot.runtime.digest import sha256

__all__ = ["ArtifactError", "Container", "is_artifact", "layout", "sums", "write", "HEADER_LIMIT", "SCHEMA"]

SCHEMA = 3  # of files that have no weights but as the code reads them; 2, of those whose sizes a call decides; others are schema 1
PAGE = 4096
HEADER_LIMIT = 8 << 20  # bytes of JSON, of the manifest and of a section of tensors: parsed, they take some twenty times as much
_MAGIC = b"INGOT\r\n\x1a"
_HEADER = struct.Struct("<8sI4xQQ32s32s")
_PARTS_LIMIT = 4096
_READ_LIMIT = 1 << 30  # bytes of a part that is read as a whole, as code is
_CHUNK = 1 << 20


class ArtifactError(RuntimeError):
    """A file that is not a whole, unaltered artifact for this machine; the message says why in one line."""


def is_artifact(path: str | os.PathLike[str]) -> bool:
    """Whether the file begins as an artifact does. OSError where it cannot be read."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # reading a pipe would take bytes from it, or wait for them
        return False
    with open(path, "rb") as f:
        return f.read(len(_MAGIC)) == _MAGIC


def layout(manifest: dict[str, Any], parts: Iterable[tuple[str, int, Mapping[str, Any]]]) -> tuple[bytes, list[dict[str, Any]], int]:
    """What stands before the parts (header and manifest), the table of parts, and the length of the file.

    parts: name and length of each, and its checksums as the table has them.
    """
    parts = list(parts)
    # offsets stand in the manifest, whose length moves them: lay out until they stay
    table: list[dict[str, Any]] = []
    offset, text = 0, b""
    while True:
        start = _round_up(_HEADER.size + len(text))
        if start == offset:
            break
        offset, table, at = start, [], start
        for name, length, checksums in parts:
            table.append({"name": name, "offset": at, "length": length, **checksums})
            at = _round_up(at + length)
        text = json.dumps({**manifest, "parts": table}, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    end = table[-1]["offset"] + table[-1]["length"] if table else _HEADER.size + len(text)
    head = _HEADER.pack(_MAGIC, _schema(manifest), end, len(text), sha256(text).digest(), b"")[:-32]
    return head + sha256(head).digest() + text, table, end


def _schema(manifest: dict[str, Any]) -> int:
    """The least schema whose readers know what to do with a manifest."""
    targets = manifest.get("targets")
    if isinstance(targets, list) and any(isinstance(t, dict) and "prepared" in t for t in targets):
        return 3
    return 2 if "symbols" in manifest else 1


def write(
    path: str, manifest: dict[str, Any], parts: Mapping[str, bytes | memoryview | list], check: Callable[[Container], object] | None = None
) -> None:
    """Write an artifact atomically: a private temporary in the same folder, fsync, rename.

    parts: name -> bytes, or a list of bytes that follow each other. `manifest` gets "parts" added.
    check: called with the finished file before it gets its name; what it raises stops the export.

    OSError as from the file system. Whatever fails, the old file of that name stays, and no temporary.
    """
    pieces = {name: part if isinstance(part, list) else [part] for name, part in parts.items()}
    head, table, _ = layout(manifest, [(name, sum(memoryview(c).nbytes for c in p), sums(p)) for name, p in pieces.items()])

    # the name of the temporary is short: that of the artifact may be as long as the file system allows
    temporary = os.path.join(os.path.dirname(os.path.abspath(path)), f".ingot-{os.urandom(8).hex()}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        try:
            at = _write_all(fd, head)
            for row in table:
                at += _write_all(fd, bytes(row["offset"] - at))
                for c in pieces[row["name"]]:
                    at += _write_all(fd, c)
            os.fsync(fd)
        finally:
            os.close(fd)
        if check is not None:
            with Container(temporary, name=path) as c:
                check(c)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def sums(chunks: list) -> dict[str, Any]:
    """The SHA-256 of a part, and of each of its blocks where there are several."""
    whole, block, room, found = sha256(), sha256(), digests.BLOCK, list[str]()
    for c in chunks:
        rest = memoryview(c).cast("B")
        whole.update(rest)
        while len(rest):
            block.update(rest[:room])
            done = min(room, len(rest))
            rest, room = rest[done:], room - done
            if not room:
                found.append(block.hexdigest())
                block, room = sha256(), digests.BLOCK
    last = [block.hexdigest()] if room < digests.BLOCK else []
    return {"sha256": whole.hexdigest(), **({"blocks": found + last} if len(found + last) > 1 else {})}


def _write_all(fd: int, data: bytes | memoryview) -> int:
    rest = memoryview(data).cast("B")
    while len(rest):
        rest = rest[os.write(fd, rest[: 1 << 30]) :]
    return memoryview(data).nbytes


class Container:
    """An open artifact whose header, manifest and table of parts were checked.

    ArtifactError says what is wrong with the file, OSError that it cannot be opened. Parts are checked when read.
    `name` is what to call it in messages instead of its path.
    """

    def __init__(self, path: str | os.PathLike[str], name: str | os.PathLike[str] | None = None):
        self.path = os.fsdecode(path if name is None else name)
        self._whole: memoryview | None = None
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe without a writer would wait for one
        try:
            status = os.fstat(self.fd)
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self.path)
            if not stat.S_ISREG(status.st_mode):
                raise self.fail("this is no Ingot artifact, but no file at all (a pipe or a device)")
            self.size = status.st_size
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
        line = " ".join(why.split())[:300]
        return ArtifactError(f"{self.path}: {''.join(c if c.isprintable() else '?' for c in line)}")

    def _read_manifest(self) -> dict[str, Any]:
        head = os.pread(self.fd, _HEADER.size, 0)
        if head[:8] != _MAGIC[: len(head)] or not head:
            raise self.fail("this is no Ingot artifact")
        if len(head) < _HEADER.size:
            raise self.fail(f"truncated: {len(head)} bytes")
        _, schema, size, length, digest, own = _HEADER.unpack(head)
        if sha256(head[:-32]).digest() != own:
            raise self.fail("the header is damaged (its checksum differs)")
        if schema > SCHEMA:
            raise self.fail(f"schema {schema} is newer than this Ingot reads (up to {SCHEMA}); upgrade ingot")
        if schema < 1:
            raise self.fail(f"there is no schema {schema}")
        self.schema: int = schema
        if size != self.size:
            why = "truncated" if self.size < size else "too long"
            raise self.fail(f"the file is {why}: it has {self.size} bytes, its header says {size}")
        if length > self.size - _HEADER.size:
            raise self.fail(f"a manifest of {length} bytes is more than the file holds")
        if length > HEADER_LIMIT:
            raise self.fail(f"a manifest of {length} bytes is more than any artifact has (up to {HEADER_LIMIT})")
        if self._digest(_HEADER.size, length) != digest:
            raise self.fail("the manifest is damaged (its checksum differs)")
        try:
            manifest = strict.parse(os.pread(self.fd, length, _HEADER.size))
        except ValueError as e:
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
        self._blocks: dict[str, list[str]] = {}
        end = self._end
        for row in table:
            try:
                name, offset, length, digest = row["name"], row["offset"], row["length"], row["sha256"]
            except (TypeError, KeyError):
                raise self.fail("the table of parts is malformed") from None
            if not (isinstance(name, str) and isinstance(digest, str) and type(offset) is int and type(length) is int and length >= 0):
                raise self.fail("the table of parts is malformed")
            if not strict.plain_name(name):
                raise self.fail(f"a part is called {name[:40]!r}, which is no plain name")
            if name in parts:
                raise self.fail(f"two parts are called {name!r}")
            if offset != _round_up(end) or offset + length > self.size:
                raise self.fail(f"part {name!r} overlaps its neighbour or leaves the file")
            if os.pread(self.fd, offset - end, end).strip(b"\0"):
                raise self.fail(f"the padding before part {name!r} is not zero")
            of_blocks = row.get("blocks")
            if of_blocks is not None:
                if type(of_blocks) is not list or len(of_blocks) != -(-length // digests.BLOCK):
                    raise self.fail("the table of parts is malformed")
                self._blocks[name] = of_blocks
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

    def check(self, name: str) -> None:
        """Compare a part in the file with its checksums; takes no memory of its size."""
        offset, length = self.extent(name)
        self._compare(self._digest(offset, length).hex(), self.parts[name][2], name)
        for i, wanted in enumerate(self._blocks.get(name, ())):
            at = i * digests.BLOCK
            self._compare(self._digest(offset + at, min(digests.BLOCK, length - at)).hex(), wanted, name)

    def read(self, name: str) -> bytes:
        """The bytes of a part, checked: twice where it is large, so that a false size allocates nothing."""
        offset, length = self.extent(name)
        if length > _READ_LIMIT:
            raise self.fail(f"part {name!r} of {length} bytes is more than any artifact has (up to {_READ_LIMIT})")
        if length > _CHUNK:
            self.check(name)
        data = os.pread(self.fd, length, offset)
        while len(data) < length and (more := os.pread(self.fd, length - len(data), offset + len(data))):
            data += more
        self.check_mapped(name, memoryview(data))
        return data

    def map(self, name: str) -> memoryview:
        """A part as read-only memory shared with every process that maps it: not read, and not checked, until used."""
        offset, length = self.extent(name)
        if self._whole is None:
            try:  # one map of the file for all of its parts: each keeps a descriptor
                self._whole = memoryview(mmap.mmap(self.fd, self.size, mmap.MAP_SHARED, mmap.PROT_READ))
            except ValueError:
                raise self.fail("the file became shorter while it was read") from None
        return self._whole[offset : offset + length]

    def check_mapped(self, name: str, data: memoryview, nthreads: int = 1) -> None:
        """Compare bytes of a part that are in memory with its checksum; of a long one with those of its blocks, by several threads."""
        of_blocks = self._blocks.get(name)
        if of_blocks is None:
            self._compare(sha256(data).hexdigest(), self.parts[name][2], name)
        else:
            for digest, wanted in zip(digests.blocks(data, nthreads), of_blocks, strict=True):
                self._compare(digest.hex(), wanted, name)

    def _compare(self, digest: str, wanted: str, name: str) -> None:
        if digest != wanted:
            raise self.fail(f"part {name!r} is damaged (its checksum differs)")

    def _digest(self, offset: int, length: int) -> bytes:
        """SHA-256 of bytes of the file, read through a small buffer; of fewer bytes where it has become shorter."""
        h = sha256()
        buffer = memoryview(bytearray(min(length, _CHUNK)))
        while length:
            n = os.preadv(self.fd, [buffer[:length]], offset)
            if not n:
                break
            h.update(buffer[:n])
            offset, length = offset + n, length - n
        return h.digest()


def _round_up(n: int) -> int:
    return -(-n // PAGE) * PAGE
