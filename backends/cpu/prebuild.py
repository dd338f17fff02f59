"""Writes `prebuilt_objects.py`: `python -m ingot.backends.cpu.prebuild`, whenever a test says that it is not what it was made of.

The kernels that come with the package are written by `python -m ingot._prompt`, which knows what people begin with, and this file with
them.
"""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from collections.abc import Iterable

from ingot.backends.cpu import driver, pool, prebuilt
from ingot.backends.cpu.kernels import emit_kernel
from ingot.backends.cpu.levels import LEVELS, common_level
from ingot.backends.cpu.prebuilt import digest
from ingot.backends.llvm import codegen
from ingot.backends.llvm.level import Level
from ingot.ir.loop.ir import Kernel

__all__ = ["contents", "kernels", "objects", "write"]

_HEAD = '''"""Written by `python -m ingot.backends.cpu.prebuild`: objects, compressed, in base 85 (see prebuilt.py)."""

LLVM, LLVMLITE = "{llvm}", "{llvmlite}"  # that made them
KERNELS = "{kernels}"  # SHA-256 of prebuilt_kernels.bin
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


def kernels(asked: Iterable[tuple[Kernel, Level]]) -> bytes:
    """The file of kernels, with the objects that LLVM makes now of those that are asked for."""
    texts = {(prebuilt.digest(text, level), text, level) for kernel, level in asked for text in (emit_kernel(level, kernel)[0],)}
    return prebuilt.packed({name: zlib.compress(codegen.object_code(text, level, quick=True), 9) for name, text, level in texts})


def _lines(code: bytes) -> str:
    text = base64.b85encode(zlib.compress(code, 9)).decode()
    return "".join(f'        "{text[at : at + _WIDTH]}"\n' for at in range(0, len(text), _WIDTH))


def contents(kernels: bytes) -> str:
    """The file, as it is to be beside that of kernels."""
    import llvmlite
    import llvmlite.binding as llvm

    texts = "".join(f'    "{found_by}": (\n{_lines(code)}    ),\n' for found_by, code in objects().items())
    version, digest = ".".join(map(str, llvm.llvm_version_info)), hashlib.sha256(kernels).hexdigest()
    return _HEAD.format(llvm=version, llvmlite=llvmlite.__version__, kernels=digest, objects=texts)


def write(kernels: bytes) -> None:
    """Write both files."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "prebuilt_objects.py")
    made = contents(kernels)
    with open(prebuilt.FILE, "wb") as f:
        f.write(kernels)
    with open(path, "w", encoding="utf-8") as f:
        f.write(made)


def _present() -> bytes:
    with open(prebuilt.FILE, "rb") as f:
        return f.read()


if __name__ == "__main__":
    write(_present())
