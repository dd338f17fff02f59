"""Sizes as a manifest tells them: numbers, or texts over the symbols of a graph, made into functions of the symbols' values.

    arena = formula("4*B*T+64", ("B", "T"))
    arena(2, 3)                     # 88

As `ir/size.py` prints sizes: sums, differences and products, `/` for the division that rounds down, `min(a,b)` and `max(a,b)`. A process
that serves an artifact has no IR, and a manifest may be anything: nothing but such a text becomes a function.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["FormulaError", "formula", "is_name", "names_in", "parts"]

_LONGEST = 20_000  # characters
_DEEPEST = 60  # parentheses within each other


class FormulaError(ValueError):
    """A text that is no size; the message says why."""


def formula(size: int | str, names: Sequence[str]) -> Callable[..., int]:
    """The function that calculates a size from the values of `names`, in this order. FormulaError where it is none."""
    if isinstance(size, int):
        return lambda *values: size
    places = {name: f"s{k}" for k, name in enumerate(names)}
    parts = []
    for kind, text in _tokens(size):
        if kind == "name" and text not in ("min", "max"):
            if text not in places:
                raise FormulaError(f"the size {size:.60} has the symbol {text:.60}, which is none of {', '.join(names) or 'none'}")
            text = places[text]
        parts.append("//" if text == "/" else text)
    try:
        return eval(f"lambda {', '.join(places.values())}: {' '.join(parts)}", {"__builtins__": {}, "min": min, "max": max})
    except (SyntaxError, MemoryError, RecursionError, ValueError):
        raise FormulaError(f"{size:.60} is no size") from None


def names_in(size: int | str) -> set[str]:
    """The symbols in a size. FormulaError where it is none."""
    return set() if isinstance(size, int) else {text for kind, text in _tokens(size) if kind == "name" and text not in ("min", "max")}


def is_name(text: str) -> bool:
    """Whether a text may be the name of a symbol."""
    return text.isascii() and text.isidentifier() and text not in ("min", "max")


def parts(text: str) -> list[str]:
    """The sizes in a list of them, as a type has one.

    >>> parts("2*B,min(B,T),7")
    ['2*B', 'min(B,T)', '7']
    """
    found, depth = [""], 0
    for c in text:
        depth += (c == "(") - (c == ")")
        if c == "," and depth == 0:
            found.append("")
        else:
            found[-1] += c
    return found if text else []


@functools.cache
def _token() -> Any:
    """Matches a token. Most programs have no such sizes, and need not compile it."""
    import re

    return re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<number>[0-9]{1,19})|(?P<sign>[-+*/(),])", re.ASCII).match


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at = depth = 0
    before, match = "(", _token()
    while at < len(text):
        m = match(text, at)
        if m is None or len(text) > _LONGEST:
            raise FormulaError(f"{text:.60} is no size")
        kind, token = m.lastgroup or "", m.group()
        operand = kind != "sign"
        depth += (token == "(") - (token == ")")
        # operands and signs in turn: no power, no call but of min and max, no number that runs on
        follows = before in "(,+-*/" if operand or token == "(" and before not in ("min", "max") else True
        if token in ("+", "*", "/", ",", ")") and before in ("(", ",", "+", "-", "*", "/"):
            follows = False
        if before in ("min", "max") and token != "(" or token == "-" and before in ("+", "-", "*", "/"):
            follows = False
        if not follows or not 0 <= depth <= _DEEPEST:
            raise FormulaError(f"{text:.60} is no size")
        found.append((kind, token))
        before = token if kind == "sign" or token in ("min", "max") else "operand"
        at = m.end()
    if depth or not found or before in ("(", ",", "+", "-", "*", "/", "min", "max"):
        raise FormulaError(f"{text:.60} is no size")
    return found
