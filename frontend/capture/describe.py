"""Descriptions of Python values, for guards: equal descriptions, same code."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Mapping
from itertools import chain
from operator import is_
from types import MappingProxyType
from typing import Any
from weakref import ReferenceType

import numpy as np

from ingot._tensor import Tensor
from ingot._tensor.extents import Extent
from ingot._tensor.reals import Real
from ingot.capture.attached import attributes
from ingot.ir.dtypes import DType

__all__ = [
    "ADDED_TO", "ALL", "CONTAINERS", "EXCHANGED", "HELD", "PLAIN", "SMALL", "Kind", "Number", "Own", "Rebound", "Same", "alike", "describe",
    "describe_own", "holds", "items_of", "plain", "snapshot",
]  # fmt: skip

PLAIN = (int, float, bool, str, bytes, type(None), complex, DType, type(Ellipsis), slice, range)
SMALL = 1024  # items of a container that roots are looked for in
Rebound = Mapping[int, set[Any]]  # id of a module, object, dict or list -> what of it is exchanged between calls
Own = Mapping[tuple, bool]  # paths of tensors that are exchanged within a value -> whether their extents are looked at elsewhere

ADDED_TO: set[int] = set()  # meanwhile, the ids of lists that the function adds to and does not look at: what is in them does not count
HELD: dict[int, Any] = {}  # by the ids of what places outside hold while a function is traced: what they hold else

_PLAIN = frozenset(PLAIN)
_NESTED = frozenset((list, dict, tuple, set, frozenset, deque, Extent, Real))
_VIEWS: tuple[Any, ...] = (type({}.keys()), type({}.values()), type({}.items()), MappingProxyType)
_BYTES = (bytearray, memoryview, array)
# what can change and stay the same object
CONTAINERS = (list, dict, set, deque, np.ndarray, ReferenceType, *_VIEWS, *_BYTES)


def plain(x: Any) -> bool:
    """Whether a value is a number, a string or the like: it never changes, and nothing can be reached from it."""
    return type(x) in _PLAIN or type(x) in (Extent, Real)


def describe(x: Any, rebound: Rebound = MappingProxyType({}), inside: tuple[int, ...] = ()) -> Any:
    """What of a value code may depend on: equal descriptions, same code. Tensors and most objects by identity.

    rebound: of dicts and lists whose entries are exchanged between calls, those keys: the entries have watches of their own.
    inside: the ids of the containers that `x` is an item of.
    """
    if type(x) in (Extent, Real):
        return Number(x.__class__)
    if HELD and not isinstance(x, tuple):  # of a tuple its numbers, which each call has anew, are described as such
        x = HELD.get(id(x), x)
    if isinstance(x, PLAIN):
        return (type(x), repr(x) if isinstance(x, (float, slice)) else x)
    if id(x) in ADDED_TO:
        return type(x), EXCHANGED
    found = _BY_TYPE.get(type(x)) or next((make for kind, make in _RULES if isinstance(x, kind)), None)
    if found is None or id(x) in inside:
        return Same(x)
    inside = (*inside, id(x))
    return (type(x), *found(x, lambda i: describe(i, rebound, inside), rebound))


def describe_own(x: Any, own: Own, at: tuple = ()) -> Any:
    """The same of a value in which those tensors are exchanged between calls: of these only the kind counts."""
    if isinstance(x, Tensor):
        x = HELD.get(id(x), x)
    if at in own:
        return Kind(x, own[at])
    if isinstance(x, tuple) or any(p[: len(at)] == at for p in own):
        if isinstance(x, dict):
            return (type(x), *((describe(k), describe_own(v, own, (*at, k))) for k, v in tuple(x.items())))
        if isinstance(x, (tuple, list, deque)):
            return (type(x), *(describe_own(v, own, (*at, i)) for i, v in enumerate(held_in(x))))
    return describe(x)


def snapshot(x: Any) -> tuple[Any, ...] | None:
    """The items of a list, tuple or dict none of which can change and stay the same object; None for any other."""
    if type(x) is dict:
        found = (*x, *x.values())
    elif type(x) in (list, tuple):
        found = tuple(x)
    else:
        return None
    kinds = set(map(type, found))
    if kinds.isdisjoint(_NESTED) and not any(issubclass(k, (*CONTAINERS, tuple, frozenset)) for k in kinds - _PLAIN):
        return found
    return None


def holds(x: Any, items: tuple[Any, ...]) -> bool:
    """Whether the items of a list, tuple or dict are these very objects."""
    if type(x) is dict:
        return 2 * len(x) == len(items) and all(map(is_, chain(x, x.values()), items))
    return type(x) in (list, tuple) and len(x) == len(items) and all(map(is_, x, items))


def held_in(x: Any) -> tuple[Any, ...]:
    """What a tuple, list, set, … holds, of a class that counts or goes through it in its own way, too."""
    if type(x) in (tuple, list):
        return tuple(x)
    kind = next((k for k in (tuple, list, set, frozenset, deque) if isinstance(x, k)), type(x))
    return tuple(kind.__iter__(x))


def items_of(x: Any) -> list[Any]:
    """What a container holds, keys of dicts included; [] for what is none."""
    if isinstance(x, (dict, MappingProxyType)):
        return [*x.keys(), *x.values()]
    if isinstance(x, (list, tuple, set, frozenset, deque, *_VIEWS)):
        return [*held_in(x)]
    if isinstance(x, np.ndarray):
        return x.ravel().tolist() if x.dtype.hasobject else []
    return [x()] if isinstance(x, ReferenceType) else []


def _sequence(x: Any, of: Callable, rebound: Rebound) -> Any:
    own = rebound.get(id(x), ())
    if own is ALL:
        return (EXCHANGED,)
    items = held_in(x)
    if len(items) > SMALL and not own and not _nested(items):
        return (_Many(items),)
    return (EXCHANGED if i in own else of(v) for i, v in enumerate(items)) if own else map(of, items)


def _dict(x: Any, of: Callable, rebound: Rebound) -> Any:
    own = rebound.get(id(x), ())
    if len(x) > SMALL and not own and not _nested(x.values()):
        return (_Many((*x, *x.values())),)
    return ((of(k), EXCHANGED if k in own else of(v)) for k, v in tuple(x.items()))


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
    from hashlib import blake2b  # not at the top: few functions read arrays

    return x.dtype.str, x.shape, blake2b(np.ascontiguousarray(x).reshape(-1).view(np.uint8).data, digest_size=16).digest()


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
        if not isinstance(other, _Many):
            return NotImplemented
        if len(self.items) != len(other.items):
            return False
        return all(a is b or describe(a) == describe(b) for a, b in zip(self.items, other.items))

    __hash__ = None  # type: ignore[assignment]


class Same:
    """Equal to the same object only; holds it, so that its id is not used again."""

    __slots__ = ("x",)

    def __init__(self, x: Any):
        self.x = x

    def __eq__(self, other: object) -> bool:
        return self.x is other.x if isinstance(other, Same) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self.x).__name__} at {id(self.x):#x}"


class Number:
    """Equal to any number of a kind: what is left of one that each call has anew."""

    __slots__ = ("kind",)

    def __init__(self, kind: type):
        self.kind = kind

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Number):
            return other.kind is self.kind
        return other[:1] == (self.kind,) if isinstance(other, tuple) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"a number ({self.kind.__name__})"


class Kind:
    """Equal to tensors of the same kind, and to the same plain value: what is left of one that is exchanged between calls.

    loose: of its type only the dtype and the rank count.
    """

    __slots__ = ("kind", "loose")

    def __init__(self, x: Any, loose: bool = False):
        self.kind = _kind(x)
        self.loose = loose

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Kind):
            return NotImplemented
        if self.loose and isinstance(self.kind, tuple) and isinstance(other.kind, tuple) and len(self.kind) == 4 == len(other.kind):
            return _loosely(self.kind) == _loosely(other.kind)
        return bool(self.kind == other.kind)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"a tensor {self.kind[1]}" if isinstance(self.kind, tuple) and len(self.kind) == 4 else repr(self.kind)


class _Exchanged:
    """Equal to anything: stands for an entry that is exchanged between calls and has a watch of its own."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


EXCHANGED = _Exchanged()


class _All(set):
    """All that may be in a list."""

    def __contains__(self, key: Any) -> bool:
        return True


ALL = _All()


def alike(x: Any, y: Any) -> bool:
    """Whether two values are tensors that differ in their extents at most."""
    return isinstance(x, Tensor) and isinstance(y, Tensor) and _loosely(_kind(x)) == _loosely(_kind(y))


def _loosely(kind: tuple) -> tuple:
    """A tensor's kind without its extents."""
    cls, t, grad, held = kind
    return cls, t.dtype, t.rank, t.device, grad, held


def _kind(x: Any) -> Any:
    if not isinstance(x, Tensor):
        return describe(x)
    held = attributes(x)
    return type(x), x._array.type, x.requires_grad, describe(dict(held)) if held else None


class _ById(Same):
    """The same, in a set."""

    __slots__ = ()

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self.x)
