"""Nested tuples, lists, dicts and dataclasses of values: taken apart into leaves, and put together again."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from ingot._tensor.metadata import Size

__all__ = ["broadcast_prefix", "count", "flatten", "unflatten", "named", "LEAF"]

LEAF = "*"  # the structure of anything that is not taken apart


def flatten(tree: Any, leaves: list[Any]) -> Any:
    """Append the leaves of `tree` to `leaves`; its structure, hashable, is returned."""
    t = type(tree)
    if t is tuple or t is list or t is Size:
        return (t, *[flatten(x, leaves) for x in tree])
    if t is dict or t is OrderedDict or t is defaultdict:
        return (dict if t is defaultdict else t, tuple(tree), *[flatten(x, leaves) for x in tree.values()])
    if isinstance(tree, dict) and hasattr(t, "__dataclass_fields__") and tree.keys() <= t.__dataclass_fields__.keys():
        return (t, tuple(tree), *[flatten(x, leaves) for x in tree.values()])  # made by keywords, as transformers' outputs are
    if isinstance(tree, tuple) and hasattr(t, "_fields"):
        return (t, *[flatten(x, leaves) for x in tree])
    if hasattr(t, "__dataclass_fields__") and _holds_tensors(tree):
        return (t, tuple(vars(tree)), *[flatten(x, leaves) for x in vars(tree).values()])
    leaves.append(tree)
    return LEAF


def named(kind: type) -> bool:
    """Whether a structure of this kind has names: (kind, names, structures...)."""
    return issubclass(kind, dict) or hasattr(kind, "__dataclass_fields__")


def _holds_tensors(tree: Any) -> bool:
    """Whether a dataclass is one of tensors, and nothing but its fields; others are values like any object."""
    from ingot._tensor import Tensor

    fields = getattr(tree, "__dict__", None)
    if fields is None or isinstance(tree, (type, dict, Tensor)) or fields.keys() != type(tree).__dataclass_fields__.keys():
        return False
    inner: list[Any] = []
    for x in fields.values():
        flatten(x, inner)
    return any(isinstance(x, Tensor) for x in inner)


def unflatten(structure: Any, leaves: Sequence[Any]) -> Any:
    """The tree of `structure` with `leaves`."""
    return _build(structure, iter(leaves))


def _build(s: Any, leaves: Iterator[Any]) -> Any:
    if s is LEAF:
        return next(leaves)
    t = s[0]
    if t is dict or t is OrderedDict:
        return t(zip(s[1], [_build(x, leaves) for x in s[2:]]))
    if issubclass(t, dict):
        return t(**dict(zip(s[1], [_build(x, leaves) for x in s[2:]])))
    if hasattr(t, "__dataclass_fields__"):
        made = object.__new__(t)
        for name, x in zip(s[1], s[2:]):
            object.__setattr__(made, name, _build(x, leaves))
        return made
    items = [_build(x, leaves) for x in s[1:]]
    return t(*items) if hasattr(t, "_fields") else t(items)


def broadcast_prefix(prefix: Any, tree: Any) -> list[Any] | None:
    """For each leaf of `tree` what `prefix` has there, or above it; None where the two do not fit.

    >>> broadcast_prefix((0, None), (1, [2, 3]))
    [0, None, None]
    """
    found: list[Any] = []
    leaves: list[Any] = []
    structure = flatten(tree, leaves)
    return found if _match(prefix, structure, found) else None


def count(structure: Any) -> int:
    """How many leaves a structure has."""
    if structure == LEAF:
        return 1
    return sum(map(count, structure[2 if named(structure[0]) else 1 :]))


def _match(prefix: Any, structure: Any, found: list[Any]) -> bool:
    if not isinstance(prefix, (tuple, list, dict)):
        found += [prefix] * count(structure)
        return True
    if structure is LEAF:
        return False
    kind = structure[0]
    if isinstance(prefix, dict):
        if not issubclass(kind, dict) or set(prefix) != set(structure[1]):
            return False
        return all(_match(prefix[k], s, found) for k, s in zip(structure[1], structure[2:]))
    if named(kind) or len(prefix) != len(structure) - 1:
        return False
    return all(_match(p, s, found) for p, s in zip(prefix, structure[1:]))
