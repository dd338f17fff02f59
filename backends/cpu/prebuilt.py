"""Objects that are always the same, those of the driver and the worker pool: made once, and kept in `prebuilt_objects.py`.

    object_of(text, level)        # what LLVM makes of the text, kept or made now

LLVM takes 12 to 15 ms for each of them, as long as for the kernels of a small graph. What is kept is found by the digest of the text
and of the level, so that a text which was changed is compiled until `python -m ingot.backends.cpu.prebuild` has written the file again;
a test compares every byte with what the LLVM makes that the file names. Code that was linked of them is what it would be without.
"""

from __future__ import annotations

import base64
import hashlib
import zlib

from ingot.backends.cpu.prebuilt_objects import OBJECTS
from ingot.backends.llvm import codegen
from ingot.backends.llvm.level import Level

__all__ = ["digest", "is_kept", "object_of"]


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
    return hashlib.sha256(f"{level.triple}\n{level.cpu}\n{' '.join(level.features)}\n{text}".encode()).hexdigest()[:32]
