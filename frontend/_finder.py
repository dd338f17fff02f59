"""Finds Ingot's modules where they must lie, and takes their byte code from where Python keeps it.

Python's own finder lists folders, tries every suffix there is and opens files by way of several objects, which is a quarter of what it
takes to import a module of usual size; a start imports two hundred of them. Here it is one `stat` of the source and one file read. Where
the byte code is missing or is not that of the source as it is now, Python imports the module as ever, and writes it.
"""

from __future__ import annotations

import marshal
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import MAGIC_NUMBER, cache_from_source
from types import CodeType
from typing import Any

__all__ = ["Finder", "install"]

_HEAD = 16  # bytes of a .pyc before the code: magic number, flags, time and size of the source (PEP 552)
_BY_TIME = MAGIC_NUMBER + bytes(4)  # flags of one that is valid by those two
_READ = 1 << 16


class _Loader(SourceFileLoader):
    """Python's own, which is given the code the first time."""

    def __init__(self, name: str, path: str, code: memoryview):
        super().__init__(name, path)
        self._code: memoryview | None = code

    def get_code(self, fullname: str) -> CodeType | None:
        code, self._code = self._code, None
        return super().get_code(fullname) if code is None else marshal.loads(code)


class Finder:
    """A finder for `sys.meta_path`, of modules below a package that lie in the first folder of their parent's `__path__`."""

    def __init__(self, package: str):
        self._below = package + "."
        folder, _, name = cache_from_source("module.py").rpartition("module")
        self._folder, self._suffix = os.path.join("", folder), name

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """The module, if its byte code is that of its source; None leaves it to the others."""
        if not name.startswith(self._below) or type(path) is not list or not path or sys.pycache_prefix is not None:
            return None
        folder, tail = path[0], name.rpartition(".")[2]
        source, compiled, inside = f"{folder}/{tail}.py", f"{folder}/{self._folder}{tail}{self._suffix}", None
        try:
            now = os.stat(source)
        except OSError:
            inside = f"{folder}/{tail}"
            source, compiled = f"{inside}/__init__.py", f"{inside}/{self._folder}__init__{self._suffix}"
            try:
                now = os.stat(source)
            except OSError:
                return None
        code = _kept(compiled, now)
        if code is None:
            return None
        spec = ModuleSpec(name, _Loader(name, source, code), origin=source, is_package=inside is not None)
        spec.has_location = True
        spec.cached = compiled
        if inside is not None:
            spec.submodule_search_locations = [inside]
        return spec


def _kept(path: str, source: os.stat_result) -> memoryview | None:
    """The code in a .pyc, if that was made of this source."""
    try:
        fd = os.open(path, os.O_RDONLY)
        try:
            data = last = os.read(fd, _READ)
            while len(last) == _READ:
                data += (last := os.read(fd, _READ))
        finally:
            os.close(fd)
    except OSError:
        return None
    stamp = (int(source.st_mtime) & 0xFFFFFFFF).to_bytes(4, "little") + (source.st_size & 0xFFFFFFFF).to_bytes(4, "little")
    return memoryview(data)[_HEAD:] if data[:_HEAD] == _BY_TIME + stamp else None


def install(package: str) -> None:
    """Have the modules of a package found by this finder first."""
    if os.name == "posix":
        sys.meta_path.insert(0, Finder(package))  # type: ignore[arg-type]
