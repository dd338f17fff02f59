"""Nested arguments and results, as an artifact's manifest describes them.

    "*"                    a tensor
    {"tuple": [...]}       {"list": [...]}       {"dict": [[key, tree], ...]}
    {"value": v}           a static value: None, a bool, a finite number or a string
    {"float": "inf"}       the numbers that JSON has not: inf, -inf and nan
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["describe", "flatten", "unflatten", "count", "valid"]

_DEPTH = 50
_NO_JSON = ("inf", "-inf", "nan")


def describe(value: Any, is_leaf: Callable[[Any], bool], depth: int = 0) -> Any:
    """The tree of a value. TypeError for what an artifact cannot hold."""
    if is_leaf(value):
        return "*"
    if depth > _DEPTH:
        raise TypeError(f"an artifact takes and returns values nested {_DEPTH} deep at most")
    if type(value) in (tuple, list):
        return {type(value).__name__: [describe(v, is_leaf, depth + 1) for v in value]}
    if type(value) is dict:
        if not all(isinstance(k, str) for k in value):
            raise TypeError("an artifact's dicts have strings for keys")
        return {"dict": [[k, describe(v, is_leaf, depth + 1)] for k, v in value.items()]}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(float(value))}
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"value": value}
    raise TypeError(f"an artifact takes and returns tensors in tuples, lists and dicts, not {type(value).__name__}")


def flatten(value: Any, tree: Any, where: str = "input") -> Iterator[Any]:
    """The tensors of `value`, which must have the shape of `tree`. TypeError or ValueError where it has not."""
    if tree == "*":
        yield value
        return
    ((kind, children),) = tree.items()
    if kind == "value":
        same = (value is None or isinstance(value, (bool, int, float, str))) and value == children
        _expect(same, where, children, value)
    elif kind == "float":
        wanted = float(children)
        same = isinstance(value, float) and (value == wanted or math.isnan(value) and math.isnan(wanted))
        _expect(same, where, wanted, value)
    elif kind == "dict":
        if not isinstance(value, dict) or set(value) != {k for k, _ in children}:
            raise TypeError(f"{where}: expected a dict with keys {', '.join(k for k, _ in children)}")
        for k, child in children:
            yield from flatten(value[k], child, f"{where}[{k!r}]")
    else:
        if not isinstance(value, (tuple, list)) or len(value) != len(children):
            raise TypeError(f"{where}: expected a {kind} of {len(children)}, got {_what(value)}")
        for i, (v, child) in enumerate(zip(value, children)):
            yield from flatten(v, child, f"{where}[{i}]")


def unflatten(leaves: Iterator[Any], tree: Any) -> Any:
    """The value that `tree` describes, its tensors taken from `leaves` in order."""
    if tree == "*":
        return next(leaves)
    ((kind, children),) = tree.items()
    if kind in ("value", "float"):
        return children if kind == "value" else float(children)
    if kind == "dict":
        return {k: unflatten(leaves, child) for k, child in children}
    values = [unflatten(leaves, child) for child in children]
    return tuple(values) if kind == "tuple" else values


def count(tree: Any) -> int:
    """How many tensors a tree has."""
    if tree == "*":
        return 1
    ((kind, children),) = tree.items()
    return 0 if kind in ("value", "float") else sum(count(c[1] if kind == "dict" else c) for c in children)


def valid(tree: Any, depth: int = 0) -> bool:
    """Whether a tree that was read from a file is one."""
    if tree == "*":
        return True
    if not isinstance(tree, dict) or len(tree) != 1 or depth > _DEPTH:
        return False
    ((kind, children),) = tree.items()
    if kind == "value":
        return children is None or isinstance(children, (bool, int, float, str))
    if kind == "float":
        return isinstance(children, str) and children in _NO_JSON
    if kind == "dict":
        rows = isinstance(children, list) and all(isinstance(c, list) and len(c) == 2 and isinstance(c[0], str) for c in children)
        return rows and len({c[0] for c in children}) == len(children) and all(valid(c[1], depth + 1) for c in children)
    return kind in ("tuple", "list") and isinstance(children, list) and all(valid(c, depth + 1) for c in children)


def _expect(same: bool, where: str, wanted: Any, got: Any) -> None:
    if not same:
        raise ValueError(f"{where}: this artifact was exported for {wanted!r} only, not {got!r}")


def _what(value: Any) -> str:
    return f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, (tuple, list)) else "")
