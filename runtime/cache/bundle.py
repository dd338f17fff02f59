"""An exported cache: a tar file that is the same for the same entries, or a folder that serves at once as a layer.

    index.json           for each key the SHA-256 of its file, its bytes, name and target
    toolchain.json       the LLVM of each llvmlite that made an entry (see runtime/toolchain.py)
    v1/ab/abcd….sig      a detached signature, where there is one
    v1/ab/abcd….so       an entry

Members stand in the order of their names and have no times, owners or modes of their own. This module writes bundles, one
entry in memory at a time; bundle_reader.py reads them.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ingot.runtime.cache import entry as entry_format
from ingot.runtime.cache import ownership, trust
from ingot.runtime.cache.entry import Entry, EntryError
from ingot.runtime.cache.layer import Layer

__all__ = [
    "BLOCK", "CHUNK", "Changed", "ENTRY_LIMIT", "INDEX", "SCHEMA_VERSION", "Shipped", "TOOLCHAIN", "members",
    "prepare", "read_entry", "read_file", "read_upto", "target_name", "verified", "write_folder", "write_tar",
]  # fmt: skip

SCHEMA_VERSION = 1
INDEX, TOOLCHAIN = "index.json", "toolchain.json"
ENTRY_LIMIT = 1 << 30  # bytes, as in layer.py
BLOCK = 512  # of tar
CHUNK = 1 << 20


class Changed(OSError):
    """An entry went away, or became another file, while it was exported."""


class Shipped(NamedTuple):
    """An entry that is exported: where it is, and what the index says of it."""

    key: str
    layer: Layer
    row: dict[str, Any]
    toolchain: tuple[str, str] | None  # versions of llvmlite and LLVM
    signature: bytes | None


def read_entry(layer: Layer, key: str, deep: bool = True) -> tuple[bytes, Entry, bytes | None]:
    """A stored entry, verified in every part under the rule of its layer: its bytes, what they are, and its signature.

    deep: also that every part is what the compiler writes (see structure.py).

    Nothing is touched, set aside or mapped. FileNotFoundError where there is none; EntryError, TrustError or another OSError
    say what is wrong with it.
    """
    rule = trust.Policy("own") if layer.writable else trust.policy()
    path = layer.path(key)
    if not rule.by_content:
        ownership.check_inside(os.path.dirname(path))
    data = read_file(path, ENTRY_LIMIT, own=not rule.by_content)
    try:
        signature = read_file(layer.signature_path(key), trust.SIGNATURE_BYTES, own=not rule.by_content)
    except FileNotFoundError:
        signature = None
    return data, verified(key, data, signature, rule, deep), signature


def verified(key: str, data: bytes, signature: bytes | None, rule: trust.Policy, deep: bool = True) -> Entry:
    """The entry that `data` is, every part of it checked, and trusted by `rule`. EntryError or TrustError says what is wrong."""
    rule.check(key, data, signature)
    entry = entry_format.parse(data, key)
    if deep:
        entry.check_deep()
    return entry


def prepare(layer: Layer, key: str) -> Shipped:
    """Look at an entry that is to be exported. Raises as `read_entry` does."""
    data, entry, signature = read_entry(layer, key)
    preimage, name = entry.preimage, entry.record.get("name")
    row = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "name": name if isinstance(name, str) else "?",
        "target": target_name(preimage),
    }
    versions = preimage.get("toolchain")
    made_by = (versions.get("llvmlite"), versions.get("llvm")) if isinstance(versions, dict) else (None, None)
    return Shipped(key, layer, row, made_by if all(isinstance(v, str) for v in made_by) else None, signature)  # type: ignore[arg-type]


def members(shipped: Iterable[Shipped]) -> Iterator[tuple[str, bytes]]:
    """The names and contents of a bundle, in order; entries are read again, one at a time. Changed if one is not as it was."""
    entries = sorted(shipped, key=lambda s: s.key)
    yield INDEX, _json({"schema_version": SCHEMA_VERSION, "entries": {s.key: s.row for s in entries}}, indent=1)
    yield TOOLCHAIN, _json(dict(s.toolchain for s in entries if s.toolchain))
    for s in entries:
        name = f"v{entry_format.FORMAT}/{s.key[:2]}/{s.key}"
        try:
            data = read_file(s.layer.path(s.key), ENTRY_LIMIT, own=False)  # what it must be is known
        except FileNotFoundError:
            raise Changed(f"entry {s.key[:12]} went away while it was exported") from None
        if hashlib.sha256(data).hexdigest() != s.row["sha256"]:
            raise Changed(f"entry {s.key[:12]} was replaced while it was exported")
        if s.signature is not None:
            yield name + ".sig", s.signature
        yield name + ".so", data


def write_tar(file: Any, parts: Iterable[tuple[str, bytes]]) -> None:
    """Write members as a tar file: the plain old kind (USTAR), for any tar program."""
    size = 0
    for name, data in parts:
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = len(data), 0o644, 0
        for piece in (info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict"), data, bytes(-len(data) % BLOCK)):
            file.write(piece)
            size += len(piece)
    size += 2 * BLOCK
    file.write(bytes(2 * BLOCK + -size % tarfile.RECORDSIZE))


def write_folder(folder: str, parts: Iterable[tuple[str, bytes]]) -> None:
    """Write members below `folder`, which is made: readable by all, writable by this user, times all zero, synced."""
    os.mkdir(folder, 0o755)
    for name, data in parts:
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        with open(path, "xb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        _settle(path, 0o644)
    for at, _, _ in os.walk(folder, topdown=False):
        _settle(at, 0o755)


def _settle(path: str, mode: int) -> None:
    os.chmod(path, mode)  # whatever the umask says
    os.utime(path, (0, 0))


# -- files and fields ------------------------------------------------------------------------------------------------


def target_name(preimage: dict[str, Any]) -> str:
    """The target in an entry's preimage, as people name it: the level's name, or the architecture of the worker pool.

    >>> target_name({"target": {"arch": "x86_64"}})
    'x86_64'
    """
    target = preimage.get("target")
    found = target.get("name", target.get("arch")) if isinstance(target, dict) else None
    return found if isinstance(found, str) else "?"


def read_file(path: str, limit: int, own: bool) -> bytes:
    """The bytes of a regular file; `own`: TrustError unless only this user or root can write it. EntryError beyond `limit`."""
    with open(ownership.open_checked(path) if own else ownership.open_regular(path)[0], "rb", buffering=0) as f:
        size = os.fstat(f.fileno()).st_size
        if size > limit:
            raise EntryError(f"{os.path.basename(path)} has {size} bytes, more than the {limit} that it may have")
        return read_upto(f, size)


def read_upto(file: Any, size: int) -> bytes:
    """Up to `size` bytes: memory grows with what is there, not with what a header claims."""
    pieces = []
    while size:
        piece = file.read(min(size, CHUNK))
        if not piece:
            break
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _json(value: Any, indent: int | None = None) -> bytes:
    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps(value, sort_keys=True, separators=separators, indent=indent).encode() + b"\n"
