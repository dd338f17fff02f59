"""Tensors outside of a compiled function that are others at each call: what calls assign themselves, and what the user exchanges.

Each is read at its place, like an argument: of what stood there while the function was traced only the kind counts. A place is an entry
of a table, an item of a list or a variable of an enclosing function, or a part of what such a place holds.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import ref

from ingot._tensor import Tensor
from ingot._tensor.gradients import places
from ingot.capture.describe import HELD, Kind, Own, describe_own, held_in
from ingot.capture.places import DataOf, Elsewhere, ExtentAt, part, within
from ingot.capture.sources import Attribute
from ingot.capture.trace import leaf_of
from ingot.capture.watch import MISSING, Watch
from ingot.ir.struct import struct
from ingot.runtime.storage import Storage
from ingot.runtime.tape import GradSlot
from ingot.runtime.views import LeafStep

if TYPE_CHECKING:
    from ingot.capture.trace import Trace

__all__ = [
    "Alone", "Apart", "Assigned", "Exchanges", "GradientsApart", "PlaceHolds", "PlaceIs", "held_parts", "moved_extents", "original",
    "tensors_in",
]  # fmt: skip

_DEEP = 6


def tensors_in(x: Any, at: tuple = ()) -> Iterator[tuple[tuple, Tensor]]:
    """The tensors in a value, with their paths through tuples, lists and dicts."""
    x = original(x)
    if isinstance(x, Tensor):
        yield at, x
    elif len(at) < _DEEP:
        if isinstance(x, dict):
            for k, v in list(x.items()):
                yield from tensors_in(v, (*at, k))
        elif isinstance(x, (tuple, list, deque)):
            for i, v in enumerate(held_in(x)):
                yield from tensors_in(v, (*at, i))


def _containers(x: Any, depth: int = 0) -> Iterator[int]:
    """The ids of a list or dict and of those in it."""
    if depth < _DEEP and isinstance(x, (tuple, list, dict, deque)):
        if not isinstance(x, tuple):
            yield id(x)
        for v in list(x.values()) if isinstance(x, dict) else held_in(x):
            yield from _containers(v, depth + 1)


def original(x: Any) -> Any:
    """What stood in a place before it held a stand-in for a trace."""
    return HELD.get(id(x), x)


def held_parts(x: Any, parts: Mapping[tuple, Any], at: tuple = ()) -> Any:
    """A value with others in the places of its parts, along paths through tuples."""
    if at in parts:
        return parts[at]
    if isinstance(x, tuple) and any(p[: len(at)] == at for p in parts):
        items = [held_parts(v, parts, (*at, i)) for i, v in enumerate(held_in(x))]
        made = tuple.__new__(type(x), items)
        if hasattr(x, "__dict__"):
            vars(made).update(vars(x))
        return made
    return x


@struct
class PlaceHolds(Watch):
    """What a place holds, of whose tensors those in `own` are exchanged between calls."""

    place: Elsewhere
    owner: Any  # of the place, and its name there: what notes know it by
    name: Any
    own: Own
    seen: Any

    def failed(self) -> str | None:
        now = describe_own(self.place.read(), self.own)
        if self.seen == now:
            return None
        if isinstance(self.seen, Kind) and isinstance(now, Kind):
            if repr(self.seen) == repr(now):
                return f"{self.place.text} has other attributes, or requires gradients in another way"
            return f"{self.place.text} is {now!r}, it was {self.seen!r}"
        return f"{self.place.text} has changed"

    def tensors(self) -> Iterator[tuple[Elsewhere, Kind]]:
        """The places of what is exchanged, with what was seen there."""
        yield from _kinds(self.place, self.seen)


def _kinds(place: Elsewhere, seen: Any, at: tuple = ()) -> Iterator[tuple[Elsewhere, Kind]]:
    if isinstance(seen, Kind):
        yield within(place, at), seen
    elif isinstance(seen, tuple) and seen and isinstance(seen[0], type):
        for i, item in enumerate(seen[1:]):
            if issubclass(seen[0], dict):
                yield from _kinds(place, item[1], (*at, item[0][1]))
            else:
                yield from _kinds(place, item, (*at, i))


def moved_extents(place: Elsewhere, kind: Kind) -> list[Elsewhere]:
    """The extents of a tensor that are others than they were, where nothing else of it is."""
    now = place.read()
    if not isinstance(now, Tensor) or not isinstance(kind.kind, tuple) or len(kind.kind) != 4:
        return []
    loose = Kind(now, True)
    if loose != kind or now._steps:
        return []
    was, shape = kind.kind[1].shape, now._array.type.shape
    return [ExtentAt(place, d, a) for d, (a, b) in enumerate(zip(was, shape)) if a != b]


@struct
class PlaceIs(Watch):
    """What is in a place: a list or dict whose items calls assign, or what they would have to assign and cannot."""

    place: Elsewhere
    value: Any

    def failed(self) -> str | None:
        if self.place.read() is self.value:
            return None
        if self.value is MISSING:
            return f"{self.place.text} is there, which the function deletes"
        return f"{self.place.text} is another {type(self.value).__name__} than it was"


@struct
class Apart(Watch):
    """That places whose tensors are exchanged hold none whose memory the function writes where it has captured it."""

    places: tuple[Elsewhere, ...]
    written: frozenset[Storage]

    def failed(self) -> str | None:
        for p in self.places:
            if getattr(p.read(), "_storage", None) in self.written:
                return f"{p.text} shares memory with what is written"
        return None


@struct
class Alone(Watch):
    """That the memory of tensors at places, in which the function writes, is that of no others that it reads."""

    written: tuple[Elsewhere, ...]
    others: tuple[Elsewhere, ...]
    captured: frozenset[Storage]

    def failed(self) -> str | None:
        found = [getattr(p.read(), "_storage", None) for p in self.written]
        own = {s for s in found if s is not None}
        others = {getattr(p.read(), "_storage", None) for p in self.others}
        if len(own) == len(found) - found.count(None) and own.isdisjoint(others) and own.isdisjoint(self.captured):
            return None
        return "tensors in whose memory the function writes share it with others that it reads"


@struct
class GradientsApart(Watch):
    """That gradients which each call reads anew share memory neither with each other nor with what the function has captured."""

    slots: tuple[GradSlot, ...]
    captured: frozenset[Storage]

    def failed(self) -> str | None:
        held = [s.grad for s in self.slots if s.grad is not None]
        stored = [g._storage for g in held if g._storage is not None]
        if len(set(map(id, held))) == len(held) and (not stored or len(set(stored)) == len(stored) and self.captured.isdisjoint(stored)):
            return None
        return "a gradient shares memory with other tensors that the function reads, it did not"


@struct
class Assigned:
    """A place that the function has assigned: what stood there, and the value, in which tensors of the trace are."""

    place: Elsewhere
    owner: Any
    name: Any
    old: Any
    value: Any


class Exchanges:
    """What is exchanged between the calls of a function that was traced.

    places: of tensors from outside, by their ids; rebound, watches: what guards must know of them
    read: by the ids of their owners, the names of what each call reads anew; assigned: likewise, of what the function has assigned
    given: by the ids of tuples, those that stood in their places
    memories: of tensors that have others at each call
    """

    def __init__(self, given: Mapping[int, Any]) -> None:
        self.given = given
        self.places: dict[int, Elsewhere] = {}
        self.rebound: dict[int, set[Any]] = {}
        self.watches: list[PlaceHolds] = []
        self.assigned: dict[int, set[Any]] = {}
        self.read: set[tuple[int, Any]] = set()
        self.memories: dict[Storage, Elsewhere] = {}

    def find(
        self, trace: Trace, assigned: Sequence[Assigned], asked: Iterable[tuple[Elsewhere, Any, Any, Any]], tensors: Sequence[Tensor],
        name: str,
    ) -> None:  # fmt: skip
        """Find them, and have the graph's inputs read them at their places.

        asked: places, with owners, names and what stood there, whose tensors were others in other calls
        tensors: one for each place that holds one
        """
        count = Counter(id(t._storage) for t in tensors if t._storage is not None)
        count.update(map(id, tensors))
        count.update([id(s.held) for s in trace.slots.values() if s.held is not None])  # one that a call makes a gradient
        known = set()
        renewed: set[int] = set()  # lists and dicts in whose place calls put others
        for a in assigned:
            known.add(a.place.key)
            renewed.update(_containers(a.old))
            self.assigned.setdefault(id(a.owner), set()).add(a.name)
            self._exchanged(trace, a.place, a.owner, a.name, a.old, a.value, count, name)
        for place, owner, entry, old in asked:
            if place.key not in known and id(owner) not in renewed:
                self._exchanged(trace, place, owner, entry, old, None, count, name)
        self._given_memory(trace, name)

    def _given_memory(self, trace: Trace, name: str) -> None:
        """Of tensors whose `.data` the function assigns: each call reads what it finds in them."""
        count = Counter(id(t._storage) for t, _, _, _ in trace.seen)
        for t, out, _ in trace.rebound.values():
            captured = trace.captured.get(t._storage)
            if out is t or captured is None or id(t) in self.places or count[id(t._storage)] > 1 or places(t) or t._storage in trace.shaped:
                continue  # what is captured is that memory, which the next call does not find: it is traced again
            place = self.places[id(t)] = DataOf(ref(t), f"a tensor {t._array.type}")
            self.read.add((id(place), ""))
            self.watches.append(PlaceHolds(place, place, "", {(): False}, Kind(t)))
            trace.sources[-1 - captured.placeholder.value] = Attribute(place, name)
            self.memories[t._storage] = place

    def _exchanged(
        self, trace: Trace, place: Elsewhere, owner: Any, entry: Any, old: Any, value: Any, count: Mapping[int, int], name: str
    ) -> None:
        own: dict[tuple, bool] = {}
        for path, t in tensors_in(old):
            if original(part(value, path)) is t:  # it stays what it is
                continue
            at = within(place, path)
            s = t._storage
            captured = None if s is None else trace.captured.get(s)
            loose = s is not None and any(not isinstance(d, int) for d in trace.shaped.get(s, ()))
            if captured is None:
                if count[id(t)] < 2:  # else it may have come here from where it stands, too
                    own[path] = loose
            elif count[id(s)] == 1 and captured.storage.base is captured.placeholder and all(isinstance(p, LeafStep) for p in t._steps):
                leaf = leaf_of(t)
                if leaf is not None and (value is None or leaf.slot in trace.slots):  # gradients go to it, not to what stands there
                    continue
                own[path] = loose
                self.places[id(t)] = at
                self.read.add((id(owner), entry))
                trace.sources[-1 - captured.placeholder.value] = Attribute(at, name)
            # else its memory is somebody else's too: this holds for one call, then the tensor there is another one
        if own or id(old) in self.given:
            self.rebound.setdefault(id(owner), set()).add(entry)
            for path in own:
                for n, k in enumerate(path):
                    if isinstance(x := part(old, path[:n]), (list, deque, dict)):
                        self.rebound.setdefault(id(x), set()).add(k)
            self.watches.append(PlaceHolds(place, owner, entry, own, describe_own(self.given.get(id(old), old), own)))
