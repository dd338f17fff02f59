"""Descriptions of Python values, for guards: equal descriptions, same code."""

from __future__ import annotations

import hashlib
import operator
from array import array
from collections import deque
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from ingot._tensor import Tensor
from ingot.ir.dtypes import DType

__all__ = ["PLAIN", "SMALL", "Kind", "Rebound", "Same", "describe"]

PLAIN = (int, float, bool, str, bytes, type(None), complex, DType, type(Ellipsis), slice)
SMALL = 1024  # items of a container that are looked into
Rebound = Mapping[int, set[str]]  # id of a module, object or dict -> what of it calls themselves assign


def describe(x: Any, depth: int = 0, rebound: Rebound = MappingProxyType({})) -> Any:
    """What of a value code may depend on: equal descriptions, same code. Tensors and most objects by identity.

    rebound: of dicts whose entries calls assign themselves, those keys; of these entries only the kind counts.
    """
    if isinstance(x, PLAIN):
        return (type(x), repr(x) if isinstance(x, (float, slice)) else x)
    if isinstance(x, (list, tuple)) and depth < 5 and len(x) <= SMALL:
        return (type(x), *[describe(i, depth + 1, rebound) for i in x])
    if isinstance(x, dict) and depth < 5 and len(x) <= SMALL:
        own = rebound.get(id(x), ())
        return (type(x), *[(describe(k, depth + 1), Kind(v) if k in own else describe(v, depth + 1, rebound)) for k, v in x.items()])
    if isinstance(x, (set, frozenset)) and len(x) <= SMALL:
        return (type(x), frozenset(i if isinstance(i, PLAIN) and not isinstance(i, slice) else _ById(i) for i in x))
    if isinstance(x, deque) and depth < 5 and len(x) <= SMALL:
        return (deque, *[describe(i, depth + 1, rebound) for i in x])
    if isinstance(x, (list, dict, set, deque)) and len(x) > SMALL:
        return _Items(x, rebound.get(id(x), ()))
    if isinstance(x, np.ndarray) and not x.dtype.hasobject:
        return (np.ndarray, x.dtype.str, x.shape, _digest(x))
    if isinstance(x, (bytearray, array)):
        return (type(x), bytes(x))
    return Same(x)


def _digest(x: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(x).reshape(-1).view(np.uint8).data, digest_size=16).digest()


class Same:
    """Equal to the same object only; holds it, so that its id is not used again."""

    __slots__ = ("x", "kind")

    def __init__(self, x: Any):
        self.x = x
        self.kind = _kind(x) if isinstance(x, Tensor) else None

    def __eq__(self, other: object) -> bool:
        return NotImplemented if isinstance(other, Kind) else isinstance(other, Same) and self.x is other.x

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self.x).__name__} at {id(self.x):#x}"


class _Items:
    """Equal while a large container holds the same objects: what is in them does not count. Of entries named in `own`, the kind does."""

    __slots__ = ("x", "items", "values", "own")

    def __init__(self, x: Any, own: Collection[str]):
        self.x = x
        self.items: Any = set(x) if isinstance(x, set) else list(x)
        self.values = list(x.values()) if isinstance(x, dict) else []
        self.own = own

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Items) or self.x is not other.x or len(self.items) != len(other.items):
            return False
        if isinstance(self.x, set):
            return self.items == other.items
        if not all(map(operator.is_, self.items, other.items)):
            return False
        own = self.own or other.own
        if not own:
            return all(map(operator.is_, self.values, other.values))
        entries = zip(self.items, self.values, other.values)
        return all([v is w or (k in own and Kind(v) == Kind(w)) for k, v, w in entries])

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self.x).__name__} of {len(self.items)}"


class Kind:
    """Equal to tensors of the same kind, and to the same plain value: what is left of an entry that calls assign themselves."""

    __slots__ = ("kind",)

    def __init__(self, x: Any):
        self.kind = _kind(x)

    def __eq__(self, other: object) -> bool:
        return self.kind == (other.kind if isinstance(other, (Same, Kind)) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"a tensor {self.kind[1]}" if isinstance(self.kind, tuple) and len(self.kind) == 3 else repr(self.kind)


def _kind(x: Any) -> Any:
    return (type(x), x._array.type, x.requires_grad) if isinstance(x, Tensor) else describe(x)


class _ById(Same):
    """The same, in a set."""

    __slots__ = ()

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self.x)
