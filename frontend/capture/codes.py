"""What code objects look up, read from their bytecode."""

from __future__ import annotations

import sys
from functools import lru_cache
from opcode import opmap
from types import CodeType

__all__ = ["asks", "global_names", "imports", "names_of", "nested", "reads_all", "strings_of"]

_GLOBAL_SHIFT = 1 if sys.version_info >= (3, 11) else 0  # the lowest bit says whether a NULL is pushed as well
_GLOBALS = {opmap["LOAD_GLOBAL"]: _GLOBAL_SHIFT, opmap["STORE_GLOBAL"]: 0, opmap["DELETE_GLOBAL"]: 0, opmap["LOAD_NAME"]: 0}
_IMPORT, _EXTENDED, _MATCH = opmap["IMPORT_NAME"], opmap["EXTENDED_ARG"], opmap["MATCH_CLASS"]
_READING = frozenset(("__dict__", "vars", "dir", "copy", "deepcopy", "getmembers", "inspect", "pickle"))
_ASKING = frozenset(("getattr", "hasattr", *_READING))


@lru_cache(4096)
def _found(code: CodeType) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The global names and the imported ones of a code object, without those nested in it."""
    names: dict[str, None] = {}
    imported: dict[str, None] = {}
    text, high = code.co_code, 0
    for op, low in zip(text[::2], text[1::2]):
        arg = high | low
        high = arg << 8 if op == _EXTENDED else 0
        if op in _GLOBALS:
            names[code.co_names[arg >> _GLOBALS[op]]] = None
        elif op == _IMPORT:
            imported[code.co_names[arg]] = None
    return tuple(names), tuple(imported)


def global_names(code: CodeType) -> tuple[str, ...]:
    """The globals that a code object reads or writes.

    >>> global_names((lambda x: len(x.y) + z).__code__)
    ('len', 'z')
    """
    return _found(code)[0]


def imports(code: CodeType) -> tuple[str, ...]:
    """The names of the modules that a code object imports, as they are written."""
    return _found(code)[1]


def names_of(code: CodeType) -> list[str]:
    """The names that a code object, and the functions defined in it, look up: globals and attributes."""
    return [n for c in nested(code) for n in c.co_names]


def strings_of(code: CodeType) -> list[str]:
    """The strings in a code object, and in those defined in it: names for getattr, maybe."""
    return [s for c in nested(code) for s in c.co_consts if isinstance(s, str)]


def asks(code: CodeType) -> bool:
    """Whether a code object may go on where an attribute that it looks for is not there.

    >>> asks((lambda x: getattr(x, "tag", None)).__code__), asks((lambda x: x.tag).__code__)
    (True, False)
    """
    handles = getattr(code, "co_exceptiontable", True)  # before Python 3.11 nothing says it
    return bool(handles) or not _ASKING.isdisjoint(code.co_names) or _MATCH in code.co_code[::2]


def reads_all(code: CodeType) -> bool:
    """Whether a code object may read whatever attributes an object has."""
    return not _READING.isdisjoint(code.co_names)


def nested(code: CodeType) -> list[CodeType]:
    """A code object, and those of the functions, classes and comprehensions in it."""
    return [code, *(c for inner in code.co_consts if isinstance(inner, CodeType) for c in nested(inner))]
