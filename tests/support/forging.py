"""Files that lie: headers over any manifest, artifacts with fields changed and their checksums made right again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from typing import Any

from ingot.runtime.artifact import container
from ingot.runtime.artifact.container import Container


def header(manifest: Any, schema: int = 1, size: int | None = None, tail: int = 0) -> bytes:
    """A good header and `manifest` (bytes, or what is written as JSON), in a file that ends `tail` bytes later."""
    text = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    size = container._HEADER.size + len(text) + tail if size is None else size
    head = container._HEADER.pack(b"INGOT\r\n\x1a", schema, size, len(text), hashlib.sha256(text).digest(), b"")[:-32]
    return head + hashlib.sha256(head).digest() + text


def forge(path: str, manifest: Any, tail: bytes = b"", schema: int = 1, size: int | None = None) -> None:
    with open(path, "wb") as f:
        f.write(header(manifest, schema, size, len(tail)) + tail)


def contents(path: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest of an artifact, and its parts."""
    with Container(path) as c:
        return {k: v for k, v in c.manifest.items() if k != "parts"}, {name: c.read(name) for name in c.parts}


def rewrite(path: str, manifest: dict[str, Any], parts: dict[str, bytes], table: Callable[[list], Any] | None = None) -> None:
    """Write a file whose checksums are right, without a look at what it says. `table` changes the table of parts."""
    sums = [(name, len(data), container.sums([data])) for name, data in parts.items()]
    head, rows, end = container.layout(manifest, sums)
    whole = bytearray(end)
    for row in rows:
        whole[row["offset"] : row["offset"] + row["length"]] = parts[row["name"]]
    if table is not None:  # the offsets stay where they are as long as the manifest ends on the same page
        text = json.dumps({**manifest, "parts": table(rows)}, sort_keys=True, separators=(",", ":")).encode()
        head = header(text, size=end)
    whole[: len(head)] = head
    with open(path, "wb") as f:
        f.write(whole)


def claim(path: str, manifest: dict[str, Any], parts: dict[str, bytes | tuple[bytes, int] | tuple[bytes, int, str]]) -> None:
    """A sparse file. A part is bytes, or (its first bytes, how many zeros follow, SHA-256 of all): holes are not written.

    The checksum is made where it is not given.
    """
    sums, written = [], []
    for name, part in parts.items():
        first, n, *digest = (part, 0) if isinstance(part, bytes) else part
        sums.append((name, len(first) + n, {"sha256": digest[0] if digest else zeros(n, first)}))
        written.append(first)
    head, rows, end = container.layout(manifest, sums)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        os.ftruncate(fd, end)
        os.pwrite(fd, head, 0)
        for row, first in zip(rows, written):
            os.pwrite(fd, first, row["offset"])
        os.fsync(fd)  # pages that were not written out yet count as dirty, whoever maps them
    finally:
        os.close(fd)


def zeros(n: int, first: bytes = b"") -> str:
    """SHA-256 of `first` and `n` zeros, without holding them."""
    h = hashlib.sha256(first)
    block = memoryview(bytes(1 << 20))
    for at in range(0, n, len(block)):
        h.update(block[: n - at])
    return h.hexdigest()
