"""Objects that come with the package, so that LLVM is not asked for them: those of the driver and the worker pool, which are always the
same, and those of kernels that most sessions at a prompt begin with.

    object_of(text, level)              # what LLVM makes of a text of ours, kept or made now
    kernel_object(text, level)          # what it makes of a kernel the quick way, or None

LLVM takes 12 to 15 ms for the driver, as long for the pool, and up to twice that for the kernels of a first `randn`. What is kept is
found by the digest of its LLVM IR and of the level, so that what was changed is compiled until `python -m ingot._prompt` (for driver and
pool alone `python -m ingot.backends.cpu.prebuild`) has written the files again; tests compare every byte with what the LLVM makes that
they name. Code that was linked of them is what it would be without.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import zlib

from ingot.backends.cpu.prebuilt_objects import KERNELS, OBJECTS
from ingot.backends.llvm import codegen
from ingot.backends.llvm.level import Level

__all__ = ["FILE", "digest", "is_kept", "kernel_object", "object_of", "packed"]

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "prebuilt_kernels.bin")
_ID, _PLACE = 16, 4  # bytes of a digest, and of each number: where its object begins, and where it ends
_ROW = _ID + 2 * _PLACE


def is_kept(text: str, level: Level) -> bool:
    """Whether the object of a text is among those that are kept."""
    return digest(text, level) in OBJECTS


def object_of(text: str, level: Level) -> bytes:
    """The relocatable object of a text that people wrote, in which `alwaysinline` counts: kept, or else made by LLVM."""
    found = OBJECTS.get(digest(text, level))
    if found is not None:
        return zlib.decompress(base64.b85decode(found))
    return codegen.object_code(text, level, inline=True)


def digest(text: str, level: Level) -> str:
    """What an object is found by."""
    return hashlib.sha256(f"{level.triple}\n{level.cpu}\n{' '.join(level.features)}\n{text}".encode()).hexdigest()[: 2 * _ID]


def kernel_object(text: str, level: Level) -> bytes | None:
    """The relocatable object that LLVM makes of a kernel the quick way, if it is kept."""
    rows, objects = _kernels()
    name = bytes.fromhex(digest(text, level))
    at = rows.find(name)
    while at % _ROW and at >= 0:
        at = rows.find(name, at + 1)
    if at < 0:
        return None
    begin, end = (int.from_bytes(rows[k : k + _PLACE], "little") for k in (at + _ID, at + _ID + _PLACE))
    return zlib.decompress(objects[begin:end])


@functools.cache
def _kernels() -> tuple[bytes, memoryview]:
    """The rows of the file of kernels, and its objects. None where it is missing, or is not that which this package was made with."""
    try:
        with open(FILE, "rb") as f:
            data = f.read()
    except OSError:
        return b"", memoryview(b"")
    if hashlib.sha256(data).hexdigest() != KERNELS:
        return b"", memoryview(b"")
    end = _PLACE + int.from_bytes(data[:_PLACE], "little") * _ROW
    return data[_PLACE:end], memoryview(data)[end:]


def packed(found: dict[str, bytes]) -> bytes:
    """The file of kernels: how many there are, a row for each, and the objects, equal ones once."""
    places: dict[bytes, int] = {}
    at = 0
    for name in sorted(found):
        if found[name] not in places:
            places[found[name]] = at
            at += len(found[name])
    rows = (
        bytes.fromhex(n) + places[found[n]].to_bytes(_PLACE, "little") + (places[found[n]] + len(found[n])).to_bytes(_PLACE, "little")
        for n in sorted(found)
    )
    return b"".join((len(found).to_bytes(_PLACE, "little"), *rows, *places))
