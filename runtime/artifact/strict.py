"""JSON as artifacts hold it: UTF-8, no name twice, finite numbers of sane length. What a file says has one meaning."""

from __future__ import annotations

import json
import math
from typing import Any

__all__ = ["parse", "plain_name", "printable"]

_DIGITS = 400  # a double takes at most 17 and its exponent; Python takes minutes over an integer of a million
_NAME = 1024  # characters


def parse(text: bytes) -> Any:
    """The value of a JSON text; ValueError says what is wrong with it."""
    try:
        return json.loads(
            text.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite, parse_int=_integer
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def printable(value: Any) -> bool:
    """Whether a value from a file is text that can be shown as it is: no control characters, no surrogates, not endless."""
    return isinstance(value, str) and len(value) <= _NAME and value.isprintable()


def plain_name(value: Any) -> bool:
    """Whether a value is a name that stays harmless where somebody takes it for a path: printable, relative, no `..`."""
    return printable(value) and "\\" not in value and not {"", ".", ".."} & set(value.split("/"))


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a name occurs twice")
    return out


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    value = float(text) if len(text) <= _DIGITS else math.inf
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is out of range")
    return value


def _integer(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"the number {text[:40]} is out of range")
    return int(text)
