"""The signature of a call: what of its arguments decides which code serves it, and how two signatures differ, in words."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ingot._tensor import Tensor, get_default_dtype
from ingot._tensor.autocast import LOWER
from ingot.capture.argnames import leaf_names
from ingot.capture.pytree import count
from ingot.capture.sources import shared_memory
from ingot.capture.trace import hooks, leaf_of
from ingot.ir.dtypes import DType
from ingot.ir.precision import PRODUCTS
from ingot.ir.types import TensorType

__all__ = ["ATTRIBUTE", "Statics", "difference", "loose", "signature"]

ATTRIBUTE = "float"  # the kind of a number that may become a symbol, unlike other floats
_STATIC = (int, bool, str, bytes, type(None))


class Statics:
    """The parameters of a function whose floats are static too: `compile(static=...)`. ValueError for a name that is no parameter."""

    def __init__(self, fn: Callable, static: str | Sequence[str]):
        names = [static] if isinstance(static, str) else list(static)
        parameters = list(inspect.signature(fn).parameters) if names else []
        for s in names:
            if s not in parameters:
                raise ValueError(f"static names {s!r}, which is no parameter of {getattr(fn, '__name__', fn)}: {', '.join(parameters)}")
        self._which: frozenset[Any] = frozenset(names) | frozenset(parameters.index(s) for s in names)

    def leaves(self, structure: Any) -> frozenset[int]:
        """The argument leaves that belong to them."""
        if not self._which:
            return frozenset()
        found: list[int] = []
        at = 0
        _, args, kwargs, *_ = structure
        for key, s in (*enumerate(args[1:]), *zip(kwargs[1], kwargs[2:])):
            n = count(s)
            if key in self._which:
                found += range(at, at + n)
            at += n
        return frozenset(found)


def signature(
    name: str, fn: Callable, statics: Statics, structure: Any, leaves: list[Any], given: int, rec: Any
) -> tuple[tuple[int, ...], Any]:
    """(the leaves that are run-time numbers, the key) of a call of `fn`, which is called `name` where an argument is refused.

    given: how many of the leaves are arguments; the others are attributes of these, in which Python's numbers are constants at first.

    TypeError for an argument that is a NumPy array.
    """
    key: list[Any] = [structure, rec.grad_enabled, get_default_dtype(), (rec.autocast, LOWER[0], PRODUCTS[0])]
    numbers: list[int] = []
    tensors: dict[int, int] = {}
    static: frozenset[int] | None = None
    for i, x in enumerate(leaves):
        if isinstance(x, Tensor):
            if shared_memory(x) is None:
                x._now()
            first = tensors.setdefault(id(x), i)
            slot = x._slot
            key.append((x._array.type, type(x), _history(x), first, slot is not None and slot.grad is not None))
        elif i >= given and isinstance(x, (float, np.floating, np.ndarray)):
            key.append((ATTRIBUTE, repr(x)) if type(x) is float else _Identity(x) if isinstance(x, np.ndarray) else (type(x), repr(x)))
        elif type(x) is float or isinstance(x, np.floating):
            if static is None:
                static = statics.leaves(structure)
            if i in static:
                key.append((float, repr(x)))
            else:
                numbers.append(i)
                key.append(float)
        elif isinstance(x, np.ndarray):
            raise TypeError(f"{name}: argument {leaf_names(fn, structure)[i]} is a NumPy array; pass ingot.from_numpy(...) of it")
        elif isinstance(x, _STATIC):
            key.append((type(x), x))
        else:
            key.append(_hashable(x))
    return tuple(numbers), tuple(key)


def loose(key: tuple[Any, ...]) -> tuple[Any, ...]:
    """A key without the extents of tensors, without ints, and without floats that are attributes."""
    return tuple([_loose(k) if type(k) is tuple else k for k in key])


def _loose(k: tuple[Any, ...]) -> Any:
    if len(k) == 5 and isinstance(k[0], TensorType):
        return k[0].dtype, k[0].rank, k[0].device, *k[1:]
    return k[0] if len(k) == 2 and k[0] in (int, ATTRIBUTE) else k


def _history(x: Tensor) -> tuple[Any, ...]:
    """Whether gradients go to a tensor: (), or what they find there."""
    if x._edge is None:
        return ()
    leaf = leaf_of(x)
    return ("history", x.retains_grad) if leaf is None else ("leaf", *hooks(leaf))


class _Identity:
    """Hashes and compares an object by identity, and keeps it alive."""

    __slots__ = ("x",)

    def __init__(self, x: Any):
        self.x = x

    def __hash__(self) -> int:
        return id(self.x)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.x is self.x

    def __repr__(self) -> str:
        return f"{type(self.x).__name__} at {id(self.x):#x}"


def _hashable(x: Any) -> Any:
    """A key for a static argument: dtypes and slices by value, anything else by identity."""
    if isinstance(x, DType):
        return x
    return ("slice", repr(x)) if isinstance(x, slice) else _Identity(x)


def difference(key: Any, known: Any, names: Sequence[str]) -> str:
    """How the signature `key`, whose leaves are called `names`, differs from `known`."""
    if key[0][:3] != known[0][:3]:
        return "the arguments have another structure"
    if key[0] != known[0]:
        return "tensors among the arguments have other attributes"
    whole = "grad mode", "the default dtype", "autocast (the dtype, that of others, and the precision of products)"
    for what, a, b in zip(whole, key[1:4], known[1:4]):
        if a != b:
            return f"{what} is {a}, it was {b}"
    for i, (a, b) in enumerate(zip(key[4:], known[4:])):
        if a == b:
            continue
        if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == 5 and len(b) == 5:
            if a[0].device != b[0].device:
                return f"argument {names[i]} is on {_place(a[0])}, it was on {_place(b[0])}"
            if a[0] != b[0]:
                return f"argument {names[i]} is {a[0]}, it was {b[0]}"
            if a[2] and b[2] and a[2] != b[2]:
                if a[2][0] == b[2][0] == "history":
                    return f"argument {names[i]} {'keeps' if a[2][1] else 'does not keep'} its gradient, it was the other before"
                if a[2][0] == b[2][0]:
                    return f"argument {names[i]} has other hooks"
                return f"argument {names[i]} {'is a leaf' if a[2][0] == 'leaf' else 'has a history'}, it was the other before"
            if a[2] != b[2]:
                now, before = ("requires", "did not") if a[2] else ("does not require", "did")
                return f"argument {names[i]} {now} gradients, before it {before}"
            if a[3] != b[3]:
                return f"argument {names[i]} is the same tensor as others in another way"
            return f"argument {names[i]} is a {a[1].__name__} of another kind"
        return f"argument {names[i]} is {_said(a)}, it was {_said(b)}"
    return "the arguments differ"


def _place(t: TensorType) -> str:
    return "cpu" if t.device is None else f"cuda:{t.device}"


def _said(k: Any) -> str:
    if isinstance(k, tuple) and len(k) == 2:
        return repr(k[1])
    return "a float" if k is float else "a Tensor" if isinstance(k, tuple) else repr(k)
