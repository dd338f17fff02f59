"""Where in the user's source a node was recorded: (code, f_lasti), resolved only when somebody reads it.

Python 3.11 and later know columns; on 3.10 a location is a line.
"""

from __future__ import annotations

import linecache
import os
import sys

from ingot.ir.graph import Location
from ingot.ir.struct import value_type

__all__ = ["Source", "resolve", "describe"]


@value_type
class Source:
    """A place in a source file. Lines and columns count from 1, columns in characters; `column` is None where
    Python keeps none, `end_column` is the column after the last character on that line."""

    file: str
    line: int
    column: int | None
    end_column: int | None
    function: str

    def __str__(self) -> str:
        place = f"{_short(self.file)}:{self.line}"
        return place if self.column is None else f"{place}:{self.column}"

    def text(self) -> str:
        """The source line, without its line break; empty where the file cannot be read."""
        return linecache.getline(self.file, self.line).rstrip("\r\n")

    def snippet(self, indent: str = "    ") -> str:
        """The source line, and below it carets under the expression where its columns are known."""
        raw = self.text()
        line = raw.expandtabs(1).lstrip()
        if not line.strip():
            return ""
        if self.column is None or self.end_column is None:
            return indent + line
        start = max(self.column - 1 - (len(raw) - len(raw.lstrip())), 0)
        return f"{indent}{line}\n{indent}{' ' * start}{'^' * max(self.end_column - self.column, 1)}"


def resolve(loc: Location) -> Source:
    """The file, line and columns of a recorded location."""
    code, lasti = loc
    line, end_line, start, end = _position(code, lasti)
    file = code.co_filename
    name = getattr(code, "co_qualname", code.co_name)
    if start is None or end is None:
        return Source(file, line, None, None, name)
    raw = linecache.getline(file, line)
    if end_line != line:  # the expression goes on below: up to the end of its first line
        end = len(raw.rstrip().encode())
    return Source(file, line, _characters(raw, start) + 1, _characters(raw, end) + 1, name)


def describe(loc: Location | None, indent: str = "  ") -> str:
    """Lines for an error message: `file:line:column in function`, the source line and carets. Empty without a location."""
    if loc is None:
        return ""
    where = resolve(loc)
    head = f"{indent}{where} in {where.function}"
    snippet = where.snippet(indent + "  ")
    return f"{head}\n{snippet}" if snippet else head


def _position(code, lasti: int) -> tuple[int, int, int | None, int | None]:
    """(line, end line, start column, end column) of an instruction; columns from 0, in UTF-8 bytes."""
    if sys.version_info >= (3, 11):
        for i, (line, end_line, start, end) in enumerate(code.co_positions()):
            if i == lasti // 2 and line is not None:
                return line, end_line or line, start, end
    for begin, stop, line in code.co_lines():
        if begin <= lasti < stop and line is not None:
            return line, line, None, None
    return code.co_firstlineno, code.co_firstlineno, None, None


def _characters(line: str, nbytes: int) -> int:
    return len(line.encode()[:nbytes].decode(errors="ignore"))


def _short(file: str) -> str:
    """The path as people type it: relative to where they are, if it is below."""
    try:
        rel = os.path.relpath(file)
    except (ValueError, OSError):  # another drive, or a directory that is gone
        return file
    return file if rel.startswith("..") else rel
