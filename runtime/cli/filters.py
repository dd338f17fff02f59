"""The filters of `--filter`: which entries a command is about.

    keep = parse_filter("compile>=100ms")
    [row for row in rows if keep(row)]
"""

from __future__ import annotations

import operator
import re
import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from ingot.runtime.cli import output
from ingot.runtime.cli.output import CommandError

__all__ = ["FILTERS", "parse_filter"]

FILTERS = "fn=GLOB, target=GLOB, age>3d (since compiled), used>12h (since used), size>=1MiB or compile<100ms"

_NAMES = {"fn": "name", "target": "target"}  # filter -> field of a listed entry, compared with =
_NUMBERS: dict[str, tuple[Callable[[str], float], Callable[[dict[str, Any]], float]]] = {  # how to read the bound, what is compared
    "age": (output.parse_age, lambda row: time.time() - row["created"]),
    "used": (output.parse_age, lambda row: time.time() - row["used"]),
    "size": (output.size_argument, lambda row: row["bytes"]),
    "compile": (output.parse_duration, lambda row: row["compile_ms"]),
}
_SIGNS = {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}
_FILTER = re.compile(r"\s*([a-z]+)\s*(<=|>=|<|>|=)\s*(.*?)\s*", re.S)


def parse_filter(text: str) -> Callable[[dict[str, Any]], bool]:
    """The test of a listed entry (a row of `describe`) that `text` stands for. CommandError for what is no filter.

    >>> parse_filter("fn=train*")({"name": "train_step"})
    True
    """
    found = _FILTER.fullmatch(text)
    field, sign, value = found.groups() if found else ("", "", "")
    if sign == "=" and field in _NAMES and value:
        name = _NAMES[field]
        return lambda row: fnmatchcase(str(row[name]), value)
    if sign in _SIGNS and field in _NUMBERS:
        parse, measure = _NUMBERS[field]
        bound, compare = parse(value), _SIGNS[sign]
        return lambda row: compare(measure(row), bound)
    raise CommandError(f"expected a filter: {FILTERS}; not {text!r}")
