"""Nested tuples, lists and dicts of values: taken apart into leaves, and put together again."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from typing import Any

__all__ = ["flatten", "unflatten", "LEAF"]

LEAF = "*"  # the structure of anything that is not taken apart


def flatten(tree: Any, leaves: list[Any]) -> Any:
    """Append the leaves of `tree` to `leaves`; its structure, hashable, is returned."""
    t = type(tree)
    if t is tuple or t is list:
        return (t, *[flatten(x, leaves) for x in tree])
    if t is dict or t is OrderedDict or t is defaultdict:
        return (dict if t is defaultdict else t, tuple(tree), *[flatten(x, leaves) for x in tree.values()])
    if isinstance(tree, tuple) and hasattr(t, "_fields"):
        return (t, *[flatten(x, leaves) for x in tree])
    leaves.append(tree)
    return LEAF


def unflatten(structure: Any, leaves: Sequence[Any]) -> Any:
    """The tree of `structure` with `leaves`."""
    it = iter(leaves)

    def build(s: Any) -> Any:
        if s is LEAF:
            return next(it)
        t = s[0]
        if t is dict or t is OrderedDict:
            return t(zip(s[1], [build(x) for x in s[2:]]))
        items = [build(x) for x in s[1:]]
        return t(*items) if hasattr(t, "_fields") else t(items)

    return build(structure)
