"""How commands speak: tables for people, one JSON document for programs, sizes and ages as people write them.

What comes out of files is shown as text and nothing else: control characters are spelled out.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
import sys
import time
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from ingot.runtime.switches import parse_size

__all__ = [
    "CommandError", "EXIT", "SCHEMA_VERSION", "age", "confirm", "document", "duration", "parse_age", "parse_duration", "plain", "size",
    "size_argument", "table",
]  # fmt: skip

EXIT = {"fine": 0, "finding": 1, "usage": 2, "busy": 3, "trust": 4, "io": 5}
SCHEMA_VERSION = 1
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGE_PART = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)([smhdw])", re.ASCII)
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)(ms|s|m|)", re.ASCII)
_MEASURED = 1000  # rows that decide how wide a table's columns are
_NARROWEST = 12  # cells that a column keeps where the terminal is narrow


class CommandError(Exception):
    """A command cannot go on: one line for people, and the exit code."""

    def __init__(self, message: str, kind: str = "usage"):
        super().__init__(message)
        self.code = EXIT[kind]


def document(kind: str, rows: tuple[str, Iterable[dict[str, Any]]] | None = None, **fields: Any) -> None:
    """Print the one JSON document of a command.

    rows: the name of a field that is a list, and its items, one a line: they are written as they come.
    """
    doc = {"schema_version": SCHEMA_VERSION, "kind": kind, **fields, **({rows[0]: []} if rows else {})}
    text = json.dumps(doc, sort_keys=True, indent=2)
    if rows is None:
        print(text)
        return
    head, tail = text.split(f'\n  "{rows[0]}": []')
    print(f'{head}\n  "{rows[0]}": [', end="")
    comma = ""
    for row in rows[1]:
        print(f"{comma}\n    {json.dumps(row, sort_keys=True)}", end="")
        comma = ","
    print("\n  ]" + tail if comma else "]" + tail)


def plain(value: Any, lines: bool = False) -> str:
    """`value` as text that a terminal shows as it stands: control characters spelled out, but for line breaks and tabs if `lines`."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or (lines and c in "\n\t") else c.encode("unicode_escape").decode() for c in text)


def table(titles: Sequence[str], rows: Iterable[Sequence[Any]], right: Sequence[str] = ()) -> None:
    """A table on stdout: by rich on a terminal, else plain. `right`: the titles of columns of numbers, aligned right.

    A table that is wider than the terminal (COLUMNS, where that is set) has its longest texts cut, but those of the first column,
    then its last columns left out. Elsewhere it is as wide as it is. The first thousand rows decide how wide the columns are.
    """
    stream = iter(rows)
    first = [[plain(c) for c in row] for row in itertools.islice(stream, _MEASURED)]
    widths = _fitted([max(_width(row[i]) for row in (titles, *first)) for i in range(len(titles))], [t in right for t in titles])
    cells = itertools.chain(first, ([plain(c) for c in row] for row in stream))
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.text import Text

        head = Text(_line(list(titles), widths, titles, right), style="bold")
        Console(soft_wrap=True, highlight=False).print(head)
    else:
        print(_line(list(titles), widths, titles, right))
    for row in cells:
        print(_line(row, widths, titles, right))


def _line(cells: list[str], widths: list[int], titles: Sequence[str], right: Sequence[str]) -> str:
    out = []
    for cell, width, title in zip(cells, widths, titles):
        have = _width(cell)
        if have > width and _terminal() is not None:
            cell, have = _cut(cell, width), width
        pad = " " * max(width - have, 0)
        out.append(pad + cell if title in right else cell + pad)
    return "  ".join(out).rstrip()


def _terminal() -> int | None:
    """How many cells a line has; None where there is no terminal."""
    return max(shutil.get_terminal_size().columns, 10) if sys.stdout.isatty() else None


def _fitted(widths: list[int], numbers: list[bool]) -> list[int]:
    """Widths that fit the terminal: of what is too much, the widest texts lose most; columns that do not fit are left out."""
    limit = _terminal()
    if limit is None:
        return widths
    while widths:
        excess = sum(widths) + 2 * (len(widths) - 1) - limit
        texts = [i for i, w in enumerate(widths) if i and not numbers[i] and w > _NARROWEST]
        if excess <= 0:
            break
        if texts:
            widest = max(widths[i] for i in texts)
            longest = [i for i in texts if widths[i] == widest]
            next_widest = max([widths[i] for i in texts if widths[i] < widest], default=_NARROWEST)
            step = max(min(widest - next_widest, -(-excess // len(longest))), 1)
            widths = [w - step if i in longest else w for i, w in enumerate(widths)]
        elif len(widths) > 1:
            widths = widths[:-1]
        else:
            break
    return widths


def _width(text: str) -> int:
    """How many cells of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _cut(text: str, width: int) -> str:
    out, used = [], 1
    for c in text:
        used += _width(c)
        if used > width:
            break
        out.append(c)
    return "".join(out) + "…" + " " * (width - _width("".join(out)) - 1)


def size(n: float) -> str:
    """1.5 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(n) < 1024:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1024
    return f"{n:.1f} TiB"


def duration(ms: float) -> str:
    """12 ms, 3.4 s, 5 m 12 s or 7 h 3 m."""
    if ms < 999.5:
        return f"{ms:.0f} ms"
    s = ms / 1000
    if s < 119.95:
        return f"{s:.1f} s"
    m, s = divmod(round(s), 60)
    return f"{m} m {s} s" if m < 120 else f"{m // 60} h {m % 60} m"


def age(when: float) -> str:
    """How long ago: 5 m, 3 h, 2 d."""
    s = max(time.time() - when, 0)
    for unit, length in (("w", 604800), ("d", 86400), ("h", 3600), ("m", 60)):
        if s >= length:
            return f"{s / length:.0f} {unit}"
    return f"{s:.0f} s"


def parse_age(text: str) -> float:
    """Seconds from an age as people write it: 30s, 10m, 3h, 7d, 2w, 3d12h. CommandError for anything else."""
    t = re.sub(r"\s", "", text.lower())
    parts = _AGE_PART.findall(t)
    n = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if not parts or "".join(number + unit for number, unit in parts) != t or not n < 1e12:
        raise CommandError(f"expected an age such as 30s, 10m, 3h, 7d, 2w or 3d12h, not {text!r}")
    return n


def parse_duration(text: str) -> float:
    """Milliseconds from 100, 100ms, 1.5s or 2m. CommandError for anything else."""
    found = _DURATION.fullmatch(re.sub(r"\s", "", text.lower()))
    if found is None:
        raise CommandError(f"expected milliseconds or a duration such as 100ms, 1.5s or 2m, not {text!r}")
    return float(found[1]) * {"": 1.0, "ms": 1.0, "s": 1e3, "m": 6e4}[found[2]]


def size_argument(text: str) -> int:
    """Bytes from 64MiB or 1.5GB. CommandError for anything else."""
    try:
        return parse_size(text)
    except ValueError as e:
        raise CommandError(f"expected {e}") from None


def confirm(question: str, yes: bool) -> bool:
    """Ask on the terminal; without one, `--yes` is needed."""
    if yes:
        return True
    if not (sys.stdin is not None and sys.stdin.isatty()):
        raise CommandError("nothing was removed: add --yes where no terminal can be asked")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
