"""Descriptions of Python values, for guards: equal descriptions, same code."""

from __future__ import annotations

import hashlib
from array import array
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from weakref import ReferenceType

import numpy as np

from ingot._tensor import Tensor
from ingot._tensor.extents import Extent
from ingot._tensor.reals import Real
from ingot.ir.dtypes import DType

__all__ = ["CONTAINERS", "PLAIN", "SMALL", "Kind", "Number", "Rebound", "Same", "describe", "items_of", "plain"]

PLAIN = (int, float, bool, str, bytes, type(None), complex, DType, type(Ellipsis), slice, range)
SMALL = 1024  # items of a container that roots are looked for in
Rebound = Mapping[int, set[str]]  # id of a module, object or dict -> what of it calls themselves assign

_PLAIN = frozenset(PLAIN)
_VIEWS: tuple[Any, ...] = (type({}.keys()), type({}.values()), type({}.items()), MappingProxyType)
_BYTES = (bytearray, memoryview, array)
# what can change and stay the same object
CONTAINERS = (list, dict, set, deque, np.ndarray, ReferenceType, *_VIEWS, *_BYTES)


def plain(x: Any) -> bool:
    """Whether a value is a number, a string or the like: it never changes, and nothing can be reached from it."""
    return type(x) in _PLAIN or type(x) in (Extent, Real)


def describe(x: Any, rebound: Rebound = MappingProxyType({}), inside: tuple[int, ...] = ()) -> Any:
    """What of a value code may depend on: equal descriptions, same code. Tensors and most objects by identity.

    rebound: of dicts whose entries calls assign themselves, those keys; of these entries only the kind counts.
    inside: the ids of the containers that `x` is an item of.
    """
    if type(x) in (Extent, Real):
        return Number(x.__class__)
    if isinstance(x, PLAIN):
        return (type(x), repr(x) if isinstance(x, (float, slice)) else x)
    found = _BY_TYPE.get(type(x)) or next((make for kind, make in _RULES if isinstance(x, kind)), None)
    if found is None or id(x) in inside:
        return Same(x)
    inside = (*inside, id(x))
    return (type(x), *found(x, lambda i: describe(i, rebound, inside), rebound))


def items_of(x: Any) -> list[Any]:
    """What a container holds, keys of dicts included; [] for what is none."""
    if isinstance(x, (dict, MappingProxyType)):
        return [*x.keys(), *x.values()]
    if isinstance(x, (list, tuple, set, frozenset, deque, *_VIEWS)):
        return [*x]  # type: ignore[misc]
    if isinstance(x, np.ndarray):
        return x.ravel().tolist() if x.dtype.hasobject else []
    return [x()] if isinstance(x, ReferenceType) else []


def _sequence(x: Any, of: Callable, rebound: Rebound) -> Any:
    if len(x) > SMALL and not _nested(x):
        return (_Many(tuple(x)),)
    return map(of, tuple(x))


def _dict(x: Any, of: Callable, rebound: Rebound) -> Any:
    own = rebound.get(id(x), ())
    if len(x) > SMALL and not own and not _nested(x.values()):
        return (_Many((*x, *x.values())),)
    return ((of(k), Kind(v) if k in own else of(v)) for k, v in tuple(x.items()))


def _nested(items: Any) -> bool:
    """Whether there are containers among the items."""
    return any(issubclass(kind, (*CONTAINERS, tuple, frozenset)) for kind in set(map(type, items)))


def _set(x: Any, of: Callable, rebound: Rebound) -> Any:
    return (frozenset(i if isinstance(i, PLAIN) and not isinstance(i, slice) else _ById(i) for i in tuple(x)),)


def _bytes(x: Any, of: Callable, rebound: Rebound) -> Any:
    return bytes(x) if isinstance(x, bytearray) else x.tobytes(), getattr(x, "typecode", ""), getattr(x, "format", "")


def _array(x: np.ndarray, of: Callable, rebound: Rebound) -> Any:
    if x.dtype.hasobject:
        return x.dtype.str, x.shape, *map(of, x.ravel().tolist())
    return x.dtype.str, x.shape, hashlib.blake2b(np.ascontiguousarray(x).reshape(-1).view(np.uint8).data, digest_size=16).digest()


def _reference(x: Any, of: Callable, rebound: Rebound) -> Any:
    return (id(x()),)  # held by the id: a reference that keeps nothing alive


_RULES: tuple[tuple[Any, Callable], ...] = (
    ((list, tuple, deque, *_VIEWS[:3]), _sequence), ((dict, MappingProxyType), _dict), ((set, frozenset), _set), (_BYTES, _bytes),
    (np.ndarray, _array), (ReferenceType, _reference),
)  # fmt: skip
_BY_TYPE: dict[type, Callable] = {list: _sequence, tuple: _sequence, dict: _dict}


class _Many:
    """Many items, none of which is a container, compared by identity first."""

    __slots__ = ("items",)

    def __init__(self, items: tuple):
        self.items = items

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Many) or len(self.items) != len(other.items):
            return False
        return all(a is b or describe(a) == describe(b) for a, b in zip(self.items, other.items))

    __hash__ = None  # type: ignore[assignment]


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


class Number:
    """Equal to any number of a kind: what is left of one that each call has anew."""

    __slots__ = ("kind",)

    def __init__(self, kind: type):
        self.kind = kind

    def __eq__(self, other: object) -> bool:
        return other.kind is self.kind if isinstance(other, Number) else isinstance(other, tuple) and other[:1] == (self.kind,)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"a number ({self.kind.__name__})"


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
