"""Writes `prebuilt_objects.py`: `python -m ingot.backends.cpu.prebuild`, whenever a test says that it is not what it was made of."""

from __future__ import annotations

import base64
import os
import zlib

from ingot.backends.cpu import driver, pool
from ingot.backends.cpu.levels import LEVELS, common_level
from ingot.backends.cpu.prebuilt import digest
from ingot.backends.llvm import codegen

__all__ = ["contents", "objects", "write"]

_HEAD = '''"""Written by `python -m ingot.backends.cpu.prebuild`: objects, compressed, in base 85 (see prebuilt.py)."""

LLVM = "{llvm}"  # that made them
OBJECTS: dict[str, str] = {{
{objects}}}
'''
_WIDTH = 130
_ARCHITECTURES = tuple(dict.fromkeys(level.arch for level in LEVELS.values()))


def objects() -> dict[str, bytes]:
    """What is to be in the file, as LLVM makes it now."""
    made = {}
    for arch in _ARCHITECTURES:
        level = common_level(arch)
        for text in (*driver.texts(arch), pool.text(arch)):
            made[digest(text, level)] = codegen.object_code(text, level, inline=True)
    return made


def _lines(code: bytes) -> str:
    text = base64.b85encode(zlib.compress(code, 9)).decode()
    return "".join(f'        "{text[at : at + _WIDTH]}"\n' for at in range(0, len(text), _WIDTH))


def contents() -> str:
    """The file, as it is to be."""
    import llvmlite.binding as llvm

    texts = "".join(f'    "{found_by}": (\n{_lines(code)}    ),\n' for found_by, code in objects().items())
    return _HEAD.format(llvm=".".join(map(str, llvm.llvm_version_info)), objects=texts)


def write() -> None:
    """Write the file."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "prebuilt_objects.py")
    made = contents()
    with open(path, "w", encoding="utf-8") as f:
        f.write(made)


if __name__ == "__main__":
    write()
