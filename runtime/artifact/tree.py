"""Nested arguments and results, as an artifact's manifest describes them.

    "*"                    a tensor
    {"tuple": [...]}       {"list": [...]}       {"dict": [[key, tree], ...]}
    {"value": v}           a static value: None, a bool, a number or a string
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["describe", "flatten", "unflatten", "count", "valid"]


def describe(value: Any, is_leaf: Callable[[Any], bool]) -> Any:
    """The tree of a value. TypeError for what an artifact cannot hold."""
    if is_leaf(value):
        return "*"
    if type(value) in (tuple, list):
        return {type(value).__name__: [describe(v, is_leaf) for v in value]}
    if type(value) is dict:
        if not all(isinstance(k, str) for k in value):
            raise TypeError("an artifact's dicts have strings for keys")
        return {"dict": [[k, describe(v, is_leaf)] for k, v in value.items()]}
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
        if value != children:
            raise ValueError(f"{where}: this artifact was exported for {children!r} only, not {value!r}")
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
    if kind == "value":
        return children
    if kind == "dict":
        return {k: unflatten(leaves, child) for k, child in children}
    values = [unflatten(leaves, child) for child in children]
    return tuple(values) if kind == "tuple" else values


def count(tree: Any) -> int:
    """How many tensors a tree has."""
    if tree == "*":
        return 1
    ((kind, children),) = tree.items()
    return 0 if kind == "value" else sum(count(c[1] if kind == "dict" else c) for c in children)


def valid(tree: Any, depth: int = 0) -> bool:
    """Whether a tree that was read from a file is one."""
    if tree == "*":
        return True
    if not isinstance(tree, dict) or len(tree) != 1 or depth > 50:
        return False
    ((kind, children),) = tree.items()
    if kind == "value":
        return children is None or isinstance(children, (bool, int, float, str))
    if kind == "dict":
        rows = isinstance(children, list) and all(isinstance(c, list) and len(c) == 2 and isinstance(c[0], str) for c in children)
        return rows and all(valid(c[1], depth + 1) for c in children)
    return kind in ("tuple", "list") and isinstance(children, list) and all(valid(c, depth + 1) for c in children)


def _what(value: Any) -> str:
    return f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, (tuple, list)) else "")
