"""Attributes that users put on tensors: `x.tag = 2.0`. Those of arguments are arguments themselves: they have a structure and leaves."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from types import MemberDescriptorType
from typing import Any

from ingot._tensor import Tensor
from ingot.capture.pytree import count, flatten

__all__ = ["MARK", "attached", "attributes", "has_slots", "holders", "put_attributes", "seen_in"]

MARK = "_ingot_dims"  # an attribute of Ingot's own: what mark_dynamic says of a tensor


def attributes(t: Tensor) -> Mapping[str, Any]:
    """The user's attributes of a tensor, those in slots of its class included, but what is the class's own."""
    held: Mapping[str, Any] = t.__dict__
    if type(t) is Tensor and MARK not in held:
        return held
    found = {n: v for n, v in held.items() if n != MARK}
    for n, slot in _slots(type(t)).items():
        try:
            found[n] = slot.__get__(t)
        except AttributeError:  # nothing is in it
            pass
    return found


def put_attributes(t: Tensor, values: Mapping[str, Any], gone: Collection[str] = ()) -> None:
    """Have a tensor hold these, and no longer those `gone`, around what its class makes of assignments."""
    slots = _slots(type(t))
    for n, v in values.items():
        if n in slots:
            slots[n].__set__(t, v)
        else:
            t.__dict__[n] = v
    for n in gone:
        if n not in slots:
            t.__dict__.pop(n, None)
        elif n in attributes(t):
            slots[n].__delete__(t)


def has_slots(cls: type) -> bool:
    """Whether a class of tensors has slots of the user's."""
    return bool(_slots(cls))


def _slots(cls: Any) -> Mapping[str, Any]:
    return {} if cls is Tensor else _slots_of(cls)


@functools.lru_cache(maxsize=256)
def _slots_of(cls: Any) -> Mapping[str, Any]:
    own = [base for base in cls.__mro__[: cls.__mro__.index(Tensor)] if not base.__module__.startswith("ingot.")]
    return {n: v for base in own for n, v in list(vars(base).items()) if isinstance(v, MemberDescriptorType)}


def attached(structure: tuple, leaves: list[Any]) -> tuple:
    """The structure of `(args, kwargs)` with that of the attributes of the tensors among the leaves, whose values come behind these.

    It is the structure of `(args, kwargs, {leaf: attributes})`; as it was, where no tensor has any.

    >>> x = ingot.ones(3)
    >>> x.tag = 2.0
    >>> leaves = []
    >>> attached(flatten(((x,), {}), leaves), leaves)[3], leaves[1:]
    ((<class 'dict'>, (0,), (<class 'dict'>, ('tag',), '*')), [2.0])
    """
    found: dict[int, Any] = {}
    seen: set[int] = set()
    for i, x in enumerate(leaves):  # it grows: an attribute may be a tensor with attributes
        if isinstance(x, Tensor) and id(x) not in seen:
            seen.add(id(x))
            held = attributes(x)
            if held:
                found[i] = flatten(dict(held), leaves)
    return (*structure, (dict, tuple(found), *found.values())) if found else structure


def holders(structure: Sequence[Any]) -> dict[int, range]:
    """The leaves of tensors with attributes, and those that their attributes are made of."""
    at = count(tuple(structure[:3]))
    found: dict[int, range] = {}
    for parts in structure[3:]:
        for i, s in zip(parts[1], parts[2:]):
            n = count(s)
            found[i] = range(at, at + n)
            at += n
    return found


def seen_in(leaves: Sequence[Any]) -> list[Any]:
    """What Python sees in arguments: those that are no tensors, and the classes of those that are."""
    kinds = dict.fromkeys(type(x) for x in leaves if isinstance(x, Tensor) and type(x) is not Tensor)
    return [*(x for x in leaves if not isinstance(x, Tensor)), *kinds]
