"""The cache key: SHA-256 of a canonical document of everything that decides the bytes of the code, and nothing else.

No paths, times, names of hosts or users, no environment: the same graph for the same target level by the same
compiler has the same key on every machine. The document (the preimage) is stored with the entry.
"""

from __future__ import annotations

import functools
import json
import os
from typing import Any

from ingot.runtime.digest import sha256

__all__ = ["preimage", "key_of", "sources_digest", "llvmlite_version"]

SCHEMA = 1


def preimage(kind: str, text: str, target: dict[str, Any], toolchain: dict[str, str], options: dict[str, Any]) -> bytes:
    """The canonical document of one piece of code: sorted JSON in UTF-8.

    kind: "graph" or "quick" (text is the graph's identity text; the latter is made with less optimisation) or "pool".
    target: what the code may assume of the machine. toolchain: versions of llvmlite and LLVM.
    """
    doc = {
        "schema": SCHEMA,
        "kind": kind,
        "text": text,
        "target": target,
        "sources": sources_digest(),
        "toolchain": toolchain,
        "options": options,
    }
    return json.dumps(doc, sort_keys=True, separators=(",", ":")).encode()


def key_of(preimage: bytes) -> str:
    """The key of a preimage, 64 hex digits."""
    return sha256(preimage).hexdigest()


@functools.cache
def sources_digest() -> str:
    """SHA-256 over names and contents of the Python sources of `ingot.ir` and `ingot.backends`: the compiler itself."""
    from importlib.util import find_spec

    h = sha256()
    for package in ("ingot.ir", "ingot.backends"):
        spec = find_spec(package)
        for root in (spec.submodule_search_locations or ()) if spec is not None else ():
            for name, path in sorted(_sources(root, package.replace(".", "/"))):
                data = _content(path)
                h.update(f"{name} {len(data)}\n".encode())
                h.update(data)
    return h.hexdigest()


def _content(path: str) -> bytes:
    """The bytes of a file; `open` and `read` would take three times as long for each of two hundred."""
    fd = os.open(path, os.O_RDONLY)
    try:
        data = more = os.read(fd, 1 << 16)
        while len(more) == 1 << 16:  # a regular file ends where less comes than was asked for
            data += (more := os.read(fd, 1 << 16))
        return data
    finally:
        os.close(fd)


def _sources(folder: str, name: str) -> list[tuple[str, str]]:
    out = []
    with os.scandir(folder) as entries:
        for e in entries:
            if e.name.endswith(".py"):
                out.append((f"{name}/{e.name}", e.path))
            elif e.name.isidentifier() and e.name != "__pycache__" and e.is_dir():
                out += _sources(e.path, f"{name}/{e.name}")
    return out


@functools.cache
def llvmlite_version() -> str | None:
    """The version of the installed llvmlite, read from its `_version.py` without importing it. None if there is none."""
    from importlib.util import find_spec

    try:
        spec = find_spec("llvmlite")
        if spec is None or not spec.origin:
            return None
        with open(os.path.join(os.path.dirname(spec.origin), "_version.py"), encoding="utf-8") as f:
            for line in f:
                name, _, value = line.partition("=")
                if name.strip() in ("version_version", "__version__"):
                    return value.strip().strip("'\"")
    except (ImportError, OSError, ValueError):
        pass
    return _imported_version()


def _imported_version() -> str | None:
    try:
        import llvmlite
    except ImportError:
        return None
    return llvmlite.__version__
