"""Watches: one thing each that Python would have seen in a call, as it was when the function was traced. One class per kind.

A new kind of Python state is a class here, and a place in `guards.py` where it is found.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from ingot.capture.describe import PLAIN, Kind, Rebound, describe
from ingot.capture.trace import hooks, leaf_of
from ingot.runtime.tape import GradSlot

if TYPE_CHECKING:
    from ingot.capture.lines import Lines

__all__ = [
    "CONTAINERS", "MISSING", "NOTHING", "CellIs", "ClassState", "Container", "GlobalIs", "GradIs", "GradIsNone", "HooksAre",
    "InlineWatch", "ModuleState", "ObjectState", "OptimizerState", "RequiresGradIs", "SameMemory", "Settings", "TABLES", "Watch", "content",
]  # fmt: skip

MISSING = object()
NOTHING: Rebound = MappingProxyType({})
CONTAINERS = (list, dict, set, deque, np.ndarray, bytearray, array)  # what can change and stay the same object
TABLES = ("_parameters", "_buffers", "_modules")  # of a Module
_MODULE_SKIP = ("_state_hooks", "_compiled_call")


class Watch(ABC):
    """The base of all kinds."""

    __slots__ = ()

    @abstractmethod
    def failed(self) -> str | None:
        """What is another now, in words; None if nothing is."""


# ---- compared by identity, in the generated fast call itself


class InlineWatch(Watch):
    """What the fast call compares by a line of its own."""

    __slots__ = ()

    @abstractmethod
    def lines(self, c: Lines) -> bool:
        """Add that line. False: it cannot."""


@dataclass(eq=False, repr=False)
class GlobalIs(InlineWatch):
    """A name in a namespace, called `text`."""

    space: dict
    name: str
    text: str
    value: Any

    def failed(self) -> str | None:
        now = self.space.get(self.name, MISSING)
        return None if _same(now, self.value) else f"the global {self.text} is {_text(now)}, it was {_text(self.value)}"

    def lines(self, c: Lines) -> bool:
        c.need(f"{c.name(self.space)}.get({self.name!r}, MISS) is {c.name(self.value)}")
        return True


@dataclass(eq=False, repr=False)
class CellIs(InlineWatch):
    """A variable of an enclosing function."""

    cell: Any
    name: str
    value: Any

    def failed(self) -> str | None:
        now = content(self.cell)
        return None if _same(now, self.value) else f"{self.name} of the enclosing function is {_text(now)}, it was {_text(self.value)}"

    def lines(self, c: Lines) -> bool:
        if self.value is MISSING:
            return False
        c.need(f"{c.name(self.cell)}.cell_contents is {c.name(self.value)}")
        return True


@dataclass(eq=False, repr=False)
class GradIsNone(InlineWatch):
    """Whether a gradient is there."""

    slot: GradSlot
    was_none: bool

    def failed(self) -> str | None:
        is_none = self.slot.grad is None
        if is_none is self.was_none:
            return None
        return f"a gradient is {'None' if is_none else 'a tensor'}, it was {'None' if self.was_none else 'a tensor'}"

    def lines(self, c: Lines) -> bool:
        c.need(f"({c.name(self.slot)}.grad is None) is {self.was_none}")
        return True


@dataclass(eq=False, repr=False)
class GradIs(InlineWatch):
    """Which tensor a gradient is, where it shares memory with others."""

    slot: GradSlot
    held: Any

    def failed(self) -> str | None:
        return None if self.slot.grad is self.held else "a gradient that shared memory with other tensors is another one"

    def lines(self, c: Lines) -> bool:
        c.need(f"{c.name(self.slot)}.grad is {c.name(self.held)}")
        return True


# ---- looked into at each call: nobody tells when they change


@dataclass(eq=False, repr=False)
class Container(Watch):
    """A list, dict, set, deque or array, which may change and stay the same object."""

    value: Any
    text: str
    seen: Any
    rebound: Rebound

    def failed(self) -> str | None:
        return None if describe(self.value, 0, self.rebound) == self.seen else f"{self.text} has changed"


@dataclass(eq=False, repr=False)
class _State(Watch):
    """Names with descriptions of what they hold. `seen` of them count."""

    of: Any
    text: str
    seen: Mapping[str, Any]

    @abstractmethod
    def now(self) -> dict[str, Any]:
        """The present descriptions."""

    def failed(self) -> str | None:
        now = self.now()
        return None if now == self.seen else _difference(self.text, self.seen, now)


@dataclass(eq=False, repr=False)
class Settings(_State):
    """Settings of a parameter group that the function has read itself, among those that a step reads at run time."""

    def now(self) -> dict[str, Any]:
        return {k: describe(self.of[k]) for k in self.seen if k in self.of}


@dataclass(eq=False, repr=False)
class ObjectState(_State):
    """Attributes of an object, as `table` holds them: those named, or all where `names` is None, but the `skipped` ones."""

    table: Mapping[str, Any]
    names: set[str] | None
    rebound: Rebound
    skipped: tuple[str, ...]

    def now(self) -> dict[str, Any]:
        d = self.table
        own = self.rebound.get(id(self.of), ())
        names = d if self.names is None else self.names
        return {k: Kind(d[k]) if k in own else describe(d[k], 0, self.rebound) for k in list(names) if k in d and k not in self.skipped}


@dataclass(eq=False, repr=False)
class ClassState(_State):
    """The settings among the attributes of a class: values, not methods."""

    names: set[str]

    def now(self) -> dict[str, Any]:
        settings = (*PLAIN, tuple, *CONTAINERS)
        return {k: describe(v) for k, v in list(vars(self.of).items()) if k in self.names and k[:2] != "__" and isinstance(v, settings)}


# ---- looked at again when the epoch has moved


@dataclass(eq=False, repr=False)
class ModuleState(_State):
    """A Module's parameters, buffers and submodules, and its attributes: those named, or all where `names` is None."""

    names: set[str] | None
    rebound: Rebound

    def now(self) -> dict[str, Any]:
        out: dict[str, Any] = {}
        d = vars(self.of)
        own = self.rebound.get(id(self.of), ())
        for k in list(d) if self.names is None else self.names:
            if k in d and k not in _MODULE_SKIP and k not in TABLES:
                out[k] = Kind(d[k]) if k in own else describe(d[k], 0, self.rebound)
        for table in TABLES:
            for n, t in list(d[table].items()):
                out[n] = Kind(t) if n in own else describe(t)
        return out


@dataclass(eq=False, repr=False)
class OptimizerState(_State):
    """An optimizer's settings (of those read at run time, whether they are zero) and which state it has."""

    rebound: Rebound

    def now(self) -> dict[str, Any]:
        from ingot.optim.group import CELLS, kind_of

        out: dict[str, Any] = {}
        for i, g in enumerate(self.of.param_groups):
            for k, v in g.items():
                out[f"param_groups[{i}][{k!r}]"] = kind_of(v) if k in CELLS else describe(v)
            for j, p in enumerate(g["params"]):
                out[f"state of parameter {j} of group {i}"] = describe(self.of.state.get(p) or None, 0, self.rebound)
        return out


@dataclass(eq=False, repr=False)
class RequiresGradIs(Watch):
    """Whether a captured tensor requires gradients."""

    tensor: ref[Any]
    was: bool

    def failed(self) -> str | None:
        t = self.tensor()
        if t is None or t.requires_grad is self.was:
            return None
        return f"requires_grad of a captured tensor of shape {list(t.shape)} is {t.requires_grad}, it was {self.was}"


@dataclass(eq=False, repr=False)
class HooksAre(Watch):
    """The hooks at a captured leaf, by their keys."""

    tensor: ref[Any]
    keys: tuple[int, ...]

    def failed(self) -> str | None:
        t = self.tensor()
        if t is None or hooks(leaf_of(t)) == self.keys:
            return None
        return f"the hooks of a captured tensor of shape {list(t.shape)} have changed"


@dataclass(eq=False, repr=False)
class SameMemory(Watch):
    """Which Storage a captured tensor has."""

    tensor: ref[Any]
    text: str
    storage: Any

    def failed(self) -> str | None:
        t = self.tensor()
        return None if t is None or t._storage is self.storage else f"the memory of a captured tensor ({self.text}) was exchanged"


# ---- words


def content(cell: Any) -> Any:
    """What a cell holds; MISSING where it is empty."""
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING


def _same(a: Any, b: Any) -> bool:
    return a is b or (isinstance(a, PLAIN) and describe(a) == describe(b))


def _text(x: Any) -> str:
    return "not there" if x is MISSING else repr(x) if isinstance(x, PLAIN) else f"another {type(x).__name__}"


def _difference(text: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    for k in [*before, *now]:
        a, b = before.get(k, MISSING), now.get(k, MISSING)
        if a is MISSING or b is MISSING or a != b:
            return f"{text}.{k} is {_said(b)}, it was {_said(a)}"
    return f"{text} has changed"


def _said(d: Any) -> str:
    if d is MISSING:
        return "not there"
    return repr(d[1]) if isinstance(d, tuple) and len(d) == 2 and isinstance(d[0], type) else repr(d)
