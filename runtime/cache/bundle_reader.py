"""Reading a bundle (see bundle.py), of which nothing is believed: names are compared with what they must be, sizes are bounded,
one entry is in memory at a time, and what comes out is still to be verified (`bundle.verified`).

    reader = Reader(read_tar(file))
    for offer in reader: ...             # Offer or Refused
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from ingot.runtime.cache import bundle, ownership, trust
from ingot.runtime.cache import entry as entry_format
from ingot.runtime.cache.bundle import BLOCK, ENTRY_LIMIT, INDEX, TOOLCHAIN, read_file, read_upto
from ingot.runtime.cache.entry import EntryError

__all__ = ["BundleError", "Member", "Offer", "Reader", "Refused", "read_folder", "read_tar"]

_LIMITS = {"so": ENTRY_LIMIT, "sig": trust.SIGNATURE_BYTES, INDEX: 64 << 20, TOOLCHAIN: 64 << 10}  # bytes
_MEMBER = re.compile(rf"v{entry_format.FORMAT}/([0-9a-f]{{2}})/(\1[0-9a-f]{{62}})\.(so|sig)")
_KINDS = {
    tarfile.DIRTYPE: "a folder", tarfile.SYMTYPE: "a symlink", tarfile.LNKTYPE: "a hard link", tarfile.FIFOTYPE: "a FIFO",
    tarfile.CHRTYPE: "a device", tarfile.BLKTYPE: "a device",
}  # fmt: skip


class BundleError(ValueError):
    """Something that is no bundle, or ends before its end; the message says why."""


class Refused(NamedTuple):
    """Something that was left out: its key or name, and the reason in a few words."""

    name: str
    why: str


class Member(NamedTuple):
    """One file of a bundle: its name and contents, or why it is refused (and `data` is None)."""

    name: str
    data: bytes | None
    why: str = ""


class Offer(NamedTuple):
    """An entry that a bundle offers. Its bytes are those of the bundle, and nothing of them is verified yet."""

    key: str
    data: bytes
    signature: bytes | None


class Reader:
    """The entries of a bundle, in its order, each an Offer or Refused.

    After iteration `toolchain` holds the bundle's note and `missing` what the index lists and the bundle lacks. BundleError where
    the bundle cannot be read on.
    """

    def __init__(self, files: Iterator[Member]):
        self._files = files
        self._rows: dict[str, Any] = {}
        self.toolchain: dict[str, str] = {}
        self.missing: list[str] = []

    def __iter__(self) -> Iterator[Offer | Refused]:
        names: set[str] = set()
        signature: tuple[str, bytes] | None = None
        for m in self._files:
            found = _MEMBER.fullmatch(m.name)
            why = m.why if m.data is None else "appears twice" if m.name in names else ""
            names.add(m.name)
            if why or m.data is None:
                yield Refused(found[2] if found and found[3] == "so" else m.name, why)
            elif m.name == INDEX:
                try:
                    self._rows = _index(m.data)
                except EntryError as e:
                    yield Refused(INDEX, str(e))
            elif m.name == TOOLCHAIN:
                self.toolchain = _note(m.data)
            elif found and found[3] == "sig":
                signature = found[2], m.data
            elif found:
                key, row = found[2], self._rows.get(found[2])
                if row is not None and row != hashlib.sha256(m.data).hexdigest():
                    yield Refused(key, f"{INDEX} lists another file under its key")
                else:
                    yield Offer(key, m.data, signature[1] if signature and signature[0] == key else None)
        self.missing = sorted(k for k in self._rows if f"v{entry_format.FORMAT}/{k[:2]}/{k}.so" not in names)


def read_tar(file: BinaryIO) -> Iterator[Member]:
    """The members of a tar file, read from front to end. BundleError where it is none, stops before its end or goes on behind it."""
    at = 0
    while (info := _header(file, at)) is not None:
        why = _why_not(info)
        data = None if why else read_upto(file, info.size)
        got = len(data) if data is not None else _skip(file, info.size)
        padding = -info.size % BLOCK
        if got < info.size or _skip(file, padding) < padding:
            raise BundleError(f"it is truncated: {info.name!r} ends before its end")
        yield Member(info.name, data, why)
        at += BLOCK + info.size + padding
    while piece := file.read(bundle.CHUNK):
        if piece.count(0) < len(piece):
            raise BundleError("something stands behind its end")


def _header(file: BinaryIO, at: int) -> tarfile.TarInfo | None:
    """The next header, or None at the block of zeros that ends the file."""
    block = read_upto(file, BLOCK)
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:  # its size or checksum
        if len(block) == BLOCK and not any(block):
            return None
        if at and len(block) < BLOCK:
            raise BundleError(f"it is truncated: there is no end after {at} bytes") from None
        if block[:2] == b"\x1f\x8b":
            raise BundleError("it is compressed; unpack it on the way: zcat FILE | ingot cache import -") from None
        raise BundleError(f"there is no tar header at byte {at}" if at else "it is no tar file") from None
    if info.size < 0:
        raise BundleError(f"the tar header at byte {at} claims {info.size} bytes")
    return info


def _why_not(info: tarfile.TarInfo) -> str:
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        return f"is {_KINDS.get(info.type, f'of tar type {info.type!r}')}, no regular file"
    return _why_not_file(info.name, info.size)


def _why_not_file(name: str, size: int) -> str:
    found = _MEMBER.fullmatch(name)
    limit = _LIMITS.get(found[3] if found else name)
    if limit is None or name in ("so", "sig"):
        return "has no name that a bundle may hold"
    return f"has {size} bytes, more than the {limit} that it may have" if size > limit else ""


def read_folder(folder: str, own: bool = True) -> Iterator[Member]:
    """The members of a folder: an exported one, or the folder of a cache. Only what could have an entry's name is looked at.

    own: TrustError where somebody else could have written the folder; files that others can write are refused one by one.
    OSError where the folder cannot be read.
    """
    if own:
        ownership.check_folder(folder, own=False)
    version = f"v{entry_format.FORMAT}"
    for name in (INDEX, TOOLCHAIN):
        if os.path.lexists(os.path.join(folder, name)):
            yield _file(folder, name, own)
    if not os.path.lexists(os.path.join(folder, version)):
        return
    if own:
        ownership.check_inside(os.path.join(folder, version))
    for shard in sorted(os.listdir(os.path.join(folder, version))):
        try:
            if own:
                ownership.check_inside(os.path.join(folder, version, shard))
            files = sorted(os.listdir(os.path.join(folder, version, shard)))
        except OSError as e:
            yield Member(f"{version}/{shard}", None, str(e))
            continue
        for file in files:
            if not file.startswith("."):  # temporaries and claims of a cache in use
                yield _file(folder, f"{version}/{shard}/{file}", own)


def _file(folder: str, name: str, own: bool) -> Member:
    why = _why_not_file(name, 0)
    try:
        return Member(name, None, why) if why else Member(name, read_file(os.path.join(folder, name), _limit(name), own))
    except (EntryError, OSError) as e:
        return Member(name, None, str(e))


def _limit(name: str) -> int:
    found = _MEMBER.fullmatch(name)
    return _LIMITS[found[3] if found else name]


def _index(data: bytes) -> dict[str, str]:
    """SHA-256 by key. EntryError where it is no index; BundleError where a newer Ingot made it."""
    doc = entry_format._object(data, "index")
    version = doc.get("schema_version")
    if isinstance(version, int) and version > bundle.SCHEMA_VERSION:
        raise BundleError(f"its schema version is {version}, this Ingot reads {bundle.SCHEMA_VERSION}")
    rows = doc.get("entries")
    if version != bundle.SCHEMA_VERSION or not isinstance(rows, dict):
        raise EntryError("is no index of entries")
    return {k: row["sha256"] for k, row in rows.items() if isinstance(row, dict) and isinstance(row.get("sha256"), str)}


def _note(data: bytes) -> dict[str, str]:
    """The last line of the file that is a JSON object: versions of LLVM by those of llvmlite."""
    for line in reversed(data.splitlines()):
        try:
            doc = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(doc, dict):
            known = {k: v for k, v in doc.items() if isinstance(v, str) and len(k) <= 64 and len(v) <= 64}
            return dict(sorted(known.items())[:64])
    return {}


def _skip(file: Any, size: int) -> int:
    done = 0
    while done < size:
        piece = file.read(min(size - done, bundle.CHUNK))
        if not piece:
            break
        done += len(piece)
    return done
