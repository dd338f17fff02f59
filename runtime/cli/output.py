"""How commands speak: tables for people, one JSON document for programs, sizes and ages as people write them."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from typing import Any

from ingot.runtime.switches import parse_size

__all__ = [
    "CommandError", "EXIT", "SCHEMA_VERSION", "age", "confirm", "document", "duration", "parse_age", "parse_duration", "size",
    "size_argument", "table",
]  # fmt: skip

EXIT = {"fine": 0, "finding": 1, "usage": 2, "busy": 3, "trust": 4, "io": 5}
SCHEMA_VERSION = 1
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGE_PART = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)([smhdw])", re.ASCII)
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)(ms|s|m|)", re.ASCII)


class CommandError(Exception):
    """A command cannot go on: one line for people, and the exit code."""

    def __init__(self, message: str, kind: str = "usage"):
        super().__init__(message)
        self.code = EXIT[kind]


def document(kind: str, **fields: Any) -> None:
    """Print the one JSON document of a command."""
    print(json.dumps({"schema_version": SCHEMA_VERSION, "kind": kind, **fields}, sort_keys=True, indent=2))


def table(titles: Sequence[str], rows: Sequence[Sequence[Any]], right: Sequence[str] = ()) -> None:
    """A table on stdout: by rich, as wide as the terminal, or plain where stdout is none. `right`: titles aligned right."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        t = Table(box=None, header_style="bold", pad_edge=False)
        for i, title in enumerate(titles):  # the last column gives way where the terminal is narrow
            width = max(len(str(row[i])) for row in (titles, *rows)) if i < len(titles) - 1 else None
            t.add_column(title, justify="right" if title in right else "left", overflow="ellipsis", no_wrap=True, min_width=width)
        for row in rows:
            t.add_row(*(Text(str(c)) for c in row))
        Console().print(t)
        return
    cells = [[str(c) for c in row] for row in (titles, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(titles))]
    for row in cells:
        line = "  ".join(c.rjust(w) if t in right else c.ljust(w) for c, w, t in zip(row, widths, titles))
        print(line.rstrip())


def size(n: float) -> str:
    """1.5 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(n) < 1024:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1024
    return f"{n:.1f} TiB"


def duration(ms: float) -> str:
    """12 ms or 3.4 s."""
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


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
    """Bytes from 64MiB. CommandError for anything else."""
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
