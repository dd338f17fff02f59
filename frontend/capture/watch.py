"""Watches: one thing each that Python would have seen in a call, as it was when the function was traced. One class per kind.

A new kind of Python state is a class here, and a place in `guards.py` where it is found.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from weakref import ref

from ingot._tensor.gradients import places
from ingot.capture.attached import attributes, has_slots
from ingot.capture.describe import EXCHANGED, PLAIN, Rebound, describe, holds, snapshot
from ingot.capture.reads import lookup, vars_of
from ingot.capture.trace import hooks, leaf_of
from ingot.ir.struct import replace, struct

if TYPE_CHECKING:
    from ingot.capture.lines import Lines

__all__ = [
    "MISSING", "NOTHING", "TABLES", "WATCHED", "AttributeHolds", "CacheHolds", "Container", "Environment", "HooksAre", "InlineWatch",
    "ModuleState", "NoAttribute", "ObjectState", "OptimizerState", "RareWatch", "RequiresGradIs", "SameMemory", "Settings", "TensorState",
    "Watch", "Weakly", "attribute", "content", "entry", "in_words", "is_same",
]  # fmt: skip

MISSING = object()
WATCHED: set[tuple[int, Any]] = set()  # (id of a table, name) of what guards that hold in this epoch have seen
NOTHING: Rebound = MappingProxyType({})
TABLES = ("_parameters", "_buffers", "_modules")  # of a Module
_MODULE_SKIP = ("_state_hooks", "_compiled_call")


class Watch(ABC):
    """The base of all kinds."""

    __slots__ = ()

    @abstractmethod
    def failed(self) -> str | None:
        """What is another now, in words; None if nothing is."""


class InlineWatch(Watch):
    """What the fast call compares by a line of its own."""

    __slots__ = ()

    @abstractmethod
    def lines(self, c: Lines) -> bool:
        """Add that line. False: it cannot."""


class RareWatch(Watch):
    """What is looked at again when the epoch has moved."""

    __slots__ = ()

    def register(self) -> None:
        """Have writes of compiled calls to what is seen move the epoch once; others do anyway."""


# ---- looked into at each call: nobody tells when they change


@struct
class Container(Watch):
    """A list, dict, set, deque or array, which may change and stay the same object."""

    value: Any
    text: str
    seen: Any
    rebound: Rebound
    items: tuple[Any, ...] | None = None  # what it held when it was looked through last, where that is enough to know

    def failed(self) -> str | None:
        if self.items is not None and holds(self.value, self.items):
            return None
        if describe(self.value, self.rebound) != self.seen:
            return f"{self.text} has changed"
        self.items = snapshot(self.value)
        return None


@struct
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


@struct
class Settings(_State):
    """Settings of a parameter group that the function has read itself, among those that a step reads at run time."""

    def now(self) -> dict[str, Any]:
        return {k: describe(self.of[k]) for k in self.seen if k in self.of}


@struct
class ObjectState(_State):
    """All that an object holds itself."""

    rebound: Rebound

    def now(self) -> dict[str, Any]:
        d = vars_of(self.of) or {}
        own = self.rebound.get(id(self.of), ())
        return {k: EXCHANGED if k in own else describe(v, self.rebound) for k, v in list(d.items())}


@struct
class TensorState(ObjectState):
    """The user's attributes of a tensor: those `names`, or all where it is None."""

    names: Collection[str] | None
    items: tuple[Any, ...] | None = None  # as that of a Container

    def now(self) -> dict[str, Any]:
        own = self.rebound.get(id(self.of), ())
        held = {k: v for k, v in attributes(self.of).items() if self.names is None or k in self.names}
        return {k: EXCHANGED if k in own else describe(v, self.rebound) for k, v in held.items()}

    def failed(self) -> str | None:
        if self.items is not None and holds(self.of.__dict__, self.items):
            return None
        reason = super().failed()
        if reason is None and not has_slots(type(self.of)) and id(self.of) not in self.rebound:
            self.items = snapshot(self.of.__dict__)
        return reason


@struct
class AttributeHolds(Watch):
    """The content of an attribute: a list, dict, set or the like."""

    of: Any
    name: str
    text: str
    seen: Any
    rebound: Rebound
    items: tuple[type, tuple[Any, ...]] | None = None  # as that of a Container, and of which kind

    def failed(self) -> str | None:
        value = attribute(self.of, self.name)
        if self.items is not None and type(value) is self.items[0] and holds(value, self.items[1]):
            return None
        now = MISSING if value is MISSING else describe(value, self.rebound)
        if not _equal(self.seen, now):
            return f"{self.text} {_changed(self.seen, now)}"
        found = snapshot(value)
        self.items = None if found is None else (type(value), found)
        return None


@struct
class NoAttribute(Watch):
    """That an object or class has no attribute of this name, neither itself nor by its class."""

    of: Any
    name: str
    text: str

    def failed(self) -> str | None:
        table, kind = (vars(self.of), self.of) if isinstance(self.of, type) else (vars_of(self.of) or (), type(self.of))
        return f"{self.text} is there now" if self.name in table or lookup(kind, self.name)[0] is not None else None


@struct
class CacheHolds(Watch):
    """That a cache of functools still keeps something: what its own table has under the key."""

    table: Mapping[Any, Any]
    key: Any
    value: Any
    text: str

    def failed(self) -> str | None:
        return None if self.table.get(self.key) is self.value else f"the cache of {self.text} has forgotten what it kept"


@struct
class Environment(Watch):
    """A variable of the environment; all of them where `name` is None."""

    name: str | None
    value: Any

    def now(self) -> Any:
        """The present value."""
        return dict(os.environ) if self.name is None else os.environ.get(self.name)

    def failed(self) -> str | None:
        if self.now() == self.value:
            return None
        return "the environment has changed" if self.name is None else f"the environment's {self.name} has changed"


@struct
class Weakly(Watch):
    """Another watch, which needs its object `of`, as long as that lives."""

    of: ref[Any]
    watch: Any

    @classmethod
    def on(cls, watch: Any) -> Weakly:
        """`watch` without its object."""
        return cls(ref(watch.of), replace(watch, of=None))

    def failed(self) -> str | None:
        x = self.of()
        return None if x is None else replace(self.watch, of=x).failed()


# ---- looked at again when the epoch has moved


@struct
class ModuleState(_State, RareWatch):
    """A Module's parameters, buffers and submodules, and its attributes: those named, or all where `names` is None."""

    names: set[str] | None
    rebound: Rebound

    def now(self) -> dict[str, Any]:
        out: dict[str, Any] = {}
        d = vars(self.of)
        own = self.rebound.get(id(self.of), ())
        for k in list(d) if self.names is None else self.names:
            if k in d and k not in _MODULE_SKIP and k not in TABLES:
                out[k] = EXCHANGED if k in own else describe(d[k], self.rebound)
        for table in TABLES:
            for n, t in list(d[table].items()):
                if n not in d:  # else what the module holds itself wins
                    out[n] = EXCHANGED if n in own else describe(t)
        return out

    def register(self) -> None:
        d = vars(self.of)
        seen = self.seen.keys() - self.rebound.get(id(self.of), set())
        for table in (d, *(d[t] for t in TABLES)):
            WATCHED.update([(id(table), k) for k in seen if k in table and not isinstance(table[k], PLAIN)])


@struct
class OptimizerState(_State, RareWatch):
    """An optimizer's settings (of those read at run time, whether they are zero) and which state it has."""

    rebound: Rebound

    def now(self) -> dict[str, Any]:
        from ingot.optim.group import CELLS, kind_of

        out: dict[str, Any] = {}
        for i, g in enumerate(self.of.param_groups):
            for k, v in g.items():
                out[f"param_groups[{i}][{k!r}]"] = kind_of(v) if k in CELLS else describe(v)
            for j, p in enumerate(g["params"]):
                out[_state_of(i, j)] = describe(self.of.state.get(p) or None, self.rebound)
        return out

    def states(self) -> Iterator[tuple[Any, Any]]:
        """The state that each parameter has, and its description in the trace."""
        for i, g in enumerate(self.of.param_groups):
            for j, p in enumerate(g["params"]):
                yield self.of.state.get(p), self.seen.get(_state_of(i, j))

    def register(self) -> None:
        WATCHED.update([(id(state), k) for state in self.of.state.values() for k in state if k not in self.rebound.get(id(state), ())])


@struct
class RequiresGradIs(RareWatch):
    """Whether a captured tensor requires gradients."""

    tensor: ref[Any]
    was: bool

    def failed(self) -> str | None:
        t = self.tensor()
        if t is None or t.requires_grad is self.was:
            return None
        return f"requires_grad of a captured tensor of shape {list(t.shape)} is {t.requires_grad}, it was {self.was}"


@struct
class HooksAre(RareWatch):
    """The hooks at a captured leaf, by their keys."""

    tensor: ref[Any]
    keys: tuple[int, ...]

    def failed(self) -> str | None:
        t = self.tensor()
        if t is None or hooks(leaf_of(t)) == self.keys:
            return None
        return f"the hooks of a captured tensor of shape {list(t.shape)} have changed"


@struct
class SameMemory(RareWatch):
    """Which Storage a captured tensor has, and what it shows of that."""

    tensor: ref[Any]
    text: str
    storage: Any
    places: list[Any]

    def failed(self) -> str | None:
        t = self.tensor()
        if t is None or t._storage is self.storage and places(t) == self.places:
            return None
        return f"the memory of a captured tensor ({self.text}) was exchanged"


# ---- words


def attribute(x: Any, name: str) -> Any:
    """An attribute; MISSING where there is none, or asking for it fails."""
    try:
        return getattr(x, name)
    except Exception:
        return MISSING


def entry(space: Mapping[str, Any], name: str) -> Any:
    """What is in a namespace, whatever a subclass of dict makes of asking for it; MISSING where nothing is."""
    return dict.get(space, name, MISSING) if isinstance(space, dict) else space.get(name, MISSING)


def content(cell: Any) -> Any:
    """What a cell holds; MISSING where it is empty."""
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING


def is_same(a: Any, b: Any) -> bool:
    """Whether a value is what it was: itself, or an equal number, string or the like."""
    return a is b or (isinstance(a, PLAIN) and describe(a) == describe(b))


def _equal(a: Any, b: Any) -> bool:
    return a is b if a is MISSING or b is MISSING else bool(a == b)


def _changed(before: Any, now: Any) -> str:
    if MISSING in (before, now) or not _plain(before):
        return "is not there any more" if now is MISSING else "is there now" if before is MISSING else "has changed"
    return f"is {_said(now)}, it was {_said(before)}"


def _plain(d: Any) -> bool:
    return isinstance(d, tuple) and len(d) == 2 and isinstance(d[0], type) and issubclass(d[0], PLAIN)


def _state_of(group: int, parameter: int) -> str:
    return f"state of parameter {parameter} of group {group}"


def in_words(x: Any) -> str:
    """A value in a sentence."""
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
    if isinstance(d, tuple) and d and isinstance(d[0], type):
        return repr(d[1]) if _plain(d) else f"another {d[0].__name__}"
    return repr(d)
