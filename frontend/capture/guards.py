"""Guards: what Python would have seen in a call, beside its arguments, and whether it would see the same again.

What Python looked at during the trace counts (witness.py). What
can change only through a Module or a parameter group is looked at again when the epoch has moved; the rest is compared at each call,
mostly by identity.
"""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ingot._tensor import Tensor
from ingot._tensor.extents import Extent, Extents
from ingot._tensor.gradients import places
from ingot._tensor.reals import Real
from ingot.capture.describe import ADDED_TO, CONTAINERS, Kind, Rebound, Same, alike, describe, held_in
from ingot.capture.errors import CaptureError
from ingot.capture.exchanged import Alone, Apart, Exchanges, GradientsApart, PlaceHolds, moved_extents, tensors_in
from ingot.capture.inline import AttributeIs, CellIs, EntryHolds, FoundIn, GradIs, GradIsNone, ItemIs, Unshadowed
from ingot.capture.places import Elsewhere, InCell, InClass, InList, InTable, within
from ingot.capture.reads import EVERYTHING, lookup, vars_of
from ingot.capture.roots import Roots, library
from ingot.capture.shadows import BareGradients
from ingot.capture.trace import Trace, leaf_of
from ingot.capture.watch import (
    MISSING,
    NOTHING,
    TABLES,
    AttributeHolds,
    CacheHolds,
    Container,
    HooksAre,
    InlineWatch,
    ModuleState,
    ObjectState,
    OptimizerState,
    RareWatch,
    RequiresGradIs,
    SameMemory,
    Settings,
    Watch,
    attribute,
    content,
)
from ingot.capture.witness import Witness
from ingot.ir.struct import replace
from ingot.runtime.epoch import EPOCH
from ingot.runtime.storage import Storage
from ingot.runtime.tape import GradSlot

__all__ = ["Guards", "Seen", "same_memory"]


class Guards:
    """What held when a function was traced. `failed()` says what no longer does.

    inline: watches that the fast call compares itself; deep: those that it looks into; rare: those that wait for the epoch to move
    epoch: the last one in which all held
    captured: the Storages that the function reads or writes; gradients: slots whose gradients it takes from there
    exchanged: the places of tensors that each call reads anew
    by_reference: arguments that must be these very tensors, for they are captured too
    asks: whether it matters that tensors among the arguments have no attributes of the user's
    extents: the numbers of the trace, as long as somebody has kept one
    """

    def __init__(
        self,
        inline: Sequence[InlineWatch],
        deep: Sequence[Watch],
        rare: Sequence[RareWatch],
        captured: frozenset[Storage],
        exchanged: Sequence[Elsewhere],
        gradients: Sequence[GradSlot],
        by_reference: Mapping[int, Tensor],
        names: Sequence[str],
        extents: Extents | None,
        asks: bool,
    ):
        self.inline, self.deep, self.rare = tuple(inline), tuple(deep), tuple(rare)
        self.epoch = -1
        self.asks = asks
        self.captured = captured
        self.exchanged = exchanged
        self.gradients = gradients
        self.by_reference = by_reference
        self.names = names  # of the argument leaves
        self._extents = None if extents is None else weakref.ref(extents)

    def serve(self) -> None:
        """Take note that what was traced serves another call."""
        extents = None if self._extents is None else self._extents()
        if extents is not None:
            extents.served()

    def failed(self) -> str | None:
        """What differs from the trace, in words; None if nothing does."""
        for w in self.inline:
            reason = w.failed()
            if reason is not None:
                return reason
        reason = self.changed()
        if reason is None and EPOCH[0] != self.epoch:
            now = EPOCH[0]
            for r in self.rare:
                r.register()
            reason = _first(self.rare)
            if reason is None:
                self.epoch = now
        return reason

    def moving(self) -> list[Elsewhere]:
        """The places of numbers and tensors that are others than they were, of the same type."""
        found: list[Elsewhere] = [*self._exchanged()]
        for w in self.inline:
            if isinstance(w, CellIs):
                if _moved(w.value, content(w.cell)):
                    found.append(InCell(w.cell, w.name))
            elif isinstance(w, (ItemIs, AttributeIs)):
                table = w.space if isinstance(w, ItemIs) else vars_of(w.of)
                if isinstance(table, dict) and _moved(w.value, dict.get(table, w.name)):
                    found.append(InTable(table, w.name, w.text.removeprefix("the global ")))
        for s in (*self.rare, *self.deep):
            if isinstance(s, (ModuleState, ObjectState)) and (table := vars_of(s.of)) is not None:
                held = [n for n, d in s.seen.items() if isinstance(d, tuple) and d[0] in (int, float) and d != describe(table.get(n))]
                found += [InTable(table, n, f"{s.text}.{n}") for n in held if type(table.get(n)) is s.seen[n][0]]
            elif isinstance(s, OptimizerState):
                for state, seen in s.states():
                    found += _others(None, state, seen, s.rebound)
        return found

    def _exchanged(self) -> Iterator[Elsewhere]:
        """The places of tensors that are others, and their extents where these are others, too."""
        for w in self.deep:
            if isinstance(w, PlaceHolds):
                for place, kind in w.tensors():
                    yield from moved_extents(place, kind)
                yield from _others(w.place, w.place.read(), w.seen)
            elif isinstance(w, Container):
                yield from _others(None, w.value, w.seen, w.rebound)
            elif isinstance(w, AttributeHolds):
                yield from _others(None, attribute(w.of, w.name), w.seen, w.rebound)
        for i in self.inline:
            if isinstance(i, CellIs):
                yield from _others(InCell(i.cell, i.name), content(i.cell), describe(i.value))
            elif isinstance(i, (ItemIs, AttributeIs)):
                table = i.space if isinstance(i, ItemIs) else vars_of(i.of)  # type: ignore[assignment]
                if isinstance(table, dict):
                    yield from _others(InTable(table, i.name, i.text), dict.get(table, i.name), describe(i.value))
                elif isinstance(i, AttributeIs) and isinstance(i.of, type) and (base := lookup(i.of, i.name)[0]) is not None:
                    yield from _others(InClass(base, i.name, i.text), vars(base)[i.name], describe(i.value))
        for s in (*self.rare, *self.deep):
            if isinstance(s, (ModuleState, ObjectState)):
                d = vars_of(s.of) or {}
                for table in (d, *(d[t] for t in TABLES if t != "_parameters" and isinstance(s, ModuleState))):
                    for n in s.seen.keys() - s.rebound.get(id(s.of), set()):
                        if n in table:
                            yield from _others(InTable(table, n, f"{s.text}.{n}"), table[n], s.seen[n], s.rebound)

    def changed(self) -> str | None:
        """What differs in containers, objects and classes, which no epoch watches."""
        return _first(self.deep)

    def aliased(self, leaves: Sequence[Any]) -> str | None:
        """How arguments share memory with captured tensors in another way than they did; None if they do not."""
        for i, x in enumerate(leaves):
            if i in self.by_reference:
                if x is not self.by_reference[i]:
                    return f"argument {self.names[i]} is not the captured tensor that it was"
            elif isinstance(x, Tensor) and any(same_memory(x, s.grad) for s in self.gradients):
                return f"argument {self.names[i]} shares memory with a gradient that the function reads"
            elif isinstance(x, Tensor) and any(same_memory(x, p.read()) for p in self.exchanged):
                return f"argument {self.names[i]} shares memory with a tensor that the function reads anew at each call"
            elif isinstance(x, Tensor) and x._storage is not None and x._storage in self.captured:
                if not any(x is t for t in self.by_reference.values()):
                    return f"argument {self.names[i]} shares memory with a tensor that the function captures"
        return None


def _others(place: Elsewhere | None, now: Any, seen: Any, rebound: Rebound = NOTHING) -> Iterator[Elsewhere]:
    """The places of tensors in a value that are others than those in its description, but for those that are known to be exchanged."""
    if isinstance(now, Tensor):
        if place is not None and isinstance(seen, Same) and seen.x is not now and alike(seen.x, now) and not now._steps:
            yield place
            yield from moved_extents(place, Kind(seen.x))
    elif type(now) in (int, float):
        if place is not None and isinstance(seen, tuple) and seen[0] is type(now) and seen != describe(now):
            yield place
    elif isinstance(seen, tuple) and seen and seen[0] is type(now) and isinstance(now, (tuple, list, dict)):
        own, items = rebound.get(id(now), ()), tuple(now.items()) if isinstance(now, dict) else held_in(now)
        if len(seen) != len(items) + 1:
            return
        for i, (part, was) in enumerate(zip(items, seen[1:])):
            k, x, was = (*part, was[1]) if isinstance(now, dict) else (i, part, was)
            if k in own:
                continue
            if place is not None:  # which list or dict stands there, each call sees
                yield from _others(within(place, (k,)), x, was, rebound)
            elif isinstance(now, dict):
                yield from _others(InTable(now, k, f"a dict's [{k!r}]"), x, was, rebound)
            elif isinstance(now, list):
                yield from _others(InList(now, k, f"a list's [{k}]"), x, was, rebound)


def _moved(was: Any, now: Any) -> bool:
    return type(was) in (int, float) and type(now) is type(was) and describe(now) != describe(was)


def _first(watches: Sequence[Watch]) -> str | None:
    for w in watches:
        reason = w.failed()
        if reason is not None:
            return reason
    return None


def same_memory(x: Tensor, y: Any) -> bool:
    """Whether `y` is this tensor, or one that shares its memory."""
    return isinstance(y, Tensor) and (x is y or (x._storage is not None and x._storage is y._storage))


class Seen:
    """What Python sees when a function is traced: what the witness tells, and the state of optimizers."""

    def __init__(self, roots: Roots, witness: Witness):
        self._witness = witness
        if not roots.optimizers:
            self._optimizers, self._settings, self._containers = list[OptimizerState](), list[Settings](), list[Container]()
            return
        from ingot.optim.group import CELLS, WatchedDict

        self._optimizers = [OptimizerState(o, type(o).__name__, {}, NOTHING) for o in roots.optimizers]
        for w in self._optimizers:
            w.seen = w.now()
        self._settings = [  # what groups hold that is read at run time: it counts where the user's code has read it
            Settings(g, f"{w.text}.param_groups[{i}]", {k: describe(v) for k, v in dict.items(g) if k in CELLS})
            for w in self._optimizers
            for i, g in enumerate(w.of.param_groups)
        ]
        self._containers = [  # put there by the user: nobody hears of what is written to it
            Container(value, f"{w.text}.state", describe(value), NOTHING)
            for w in self._optimizers
            for value in w.of.state.values()
            if isinstance(value, CONTAINERS) and not isinstance(value, WatchedDict)
        ]

    def _cached(self, trace: Trace) -> Iterator[CacheHolds]:
        """Watches of the tensors that the function has from caches of functools: where one forgets, the function makes another."""
        seen = {id(t) for t, _, _, _ in trace.seen}
        for cache in self._witness.caches.values():
            held = gc.get_referents(cache)  # its table, and, where that has links and not results, keys with results behind them
            table = next(x for x in held if type(x) is dict and x is not vars(cache))
            for key, result in (*table.items(), *zip(held, held[1:])):
                if result is not table and any(id(t) in seen for _, t in tensors_in(result)):
                    with contextlib.suppress(KeyError, TypeError):  # no key, but what stands before one
                        yield CacheHolds(table, key, table[key], cache.__name__)

    def guards(
        self, exchanges: Exchanges, stay: Sequence[Watch], trace: Trace, by_reference: Mapping[int, Tensor], names: Sequence[str]
    ) -> Guards:
        """The guards of a trace. exchanges: what is exchanged between calls; stay: what calls must find as it is now."""
        w, rebound = self._witness, exchanges.rebound
        seen, looked_into = w.watches()
        held = [p for p in exchanges.watches if (id(p.owner), p.name) in exchanges.read or w.looked_at(p.owner, p.name)]
        written = frozenset(s for s, c in trace.captured.items() if c.storage.base is not c.placeholder or c.storage.edge != c.edge)
        own = [p for s, p in exchanges.memories.items() if s in written]
        read = tuple([p for p in exchanges.places.values() if p not in own])
        alone: list[Watch] = [Apart(read, written - exchanges.memories.keys())] if written and read else []
        if own:
            alone.append(Alone(tuple(own), read, frozenset(trace.captured.keys() - exchanges.memories.keys())))
        deep: list[Watch] = [*self._containers, *stay, *held, *alone, *self._cached(trace)]
        if w.looks_at_gradients:
            bare = BareGradients(tuple([s for s, state in trace.slots.items() if state.was_none is False]))
            if bare.failed() is not None:
                raise CaptureError(
                    f"{w.name}: a compiled function cannot look at the attributes of a gradient: put them at the parameter that has it"
                )
            deep.append(bare)
        inline: list[InlineWatch] = []
        for x in seen:
            if type(getattr(x, "value", None)) not in (Extent, Real) and not _is_exchanged(x, rebound):
                inline.append(x)
            elif isinstance(x, AttributeIs) and isinstance(x.of, type):  # each call reads it anew, where it stands
                inline.append(FoundIn(x.of, x.name, x.text, lookup(x.of, x.name)[0]))
        deep += [x for x in looked_into if not (isinstance(x, AttributeHolds) and x.name in rebound.get(id(x.of), ()))]
        assigned = {i: rebound.get(i, set()) | exchanges.assigned.get(i, set()) for i in w.modules}
        modules: list[ModuleState] = []
        for i, m in w.modules.items():
            told = w.module_reads.get(i, set())
            own_reads = m.seen if EVERYTHING in told else told if not library(type(m.of)) else w.by_user(m.of, told)
            inline += _attributes(m, own_reads, assigned[i], rebound)
            deep += _containers(m, own_reads, assigned[i])
            modules += _module(m, told)
        settings = [replace(s, seen={k: v for k, v in s.seen.items() if k in w.reads.settings.get(id(s.of), ())}) for s in self._settings]
        ours = {*trace.inner_slots, *trace.argument_slots, *trace.fixed}
        slots = [(s, state.was_none) for s, state in trace.slots.items() if s not in ours]
        gradients = [s for s, _ in trace.gradients.values() if s not in ours]
        rare: list[Any] = [_rebound(r, rebound) for r in (*modules, *self._optimizers)]
        exchanged = {id(t._storage) for t, _, _, _ in trace.seen if id(t) in exchanges.places}
        if gradients:
            deep.append(GradientsApart(tuple(dict.fromkeys(gradients)), frozenset(trace.captured)))
        return Guards(
            inline=[
                *inline,
                *(GradIsNone(s, was_none) for s, was_none in slots if was_none is not None),
                *(GradIs(s, held) for s, held in trace.fixed.items()),
            ],
            deep=[*(_rebound(d, rebound) for d in deep), *(s for s in settings if s.seen)],
            rare=[
                *rare,
                *w.classes(),
                *(RequiresGradIs(weakref.ref(t), was) for t, _, was, _ in trace.seen),
                *(HooksAre(weakref.ref(t), keys) for t, _, _, keys in trace.seen if leaf_of(t) is not None),
                *(
                    SameMemory(weakref.ref(t), f"{t.dtype.torch_name}{list(t.shape)}", t._storage, places(t))
                    for t, _, _, _ in trace.seen if t._storage not in exchanges.memories
                ),
            ],
            captured=frozenset(s for s in trace.captured if id(s) not in exchanged),
            exchanged=list(exchanges.places.values()),
            gradients=list(dict.fromkeys(gradients)),
            by_reference=by_reference,
            names=names,
            extents=trace.extents,
            asks=w.looks,
        )


def _rebound(w: Watch, rebound: Rebound) -> Watch:
    """A watch that knows which names calls themselves assign."""
    return replace(w, rebound=rebound) if isinstance(w, (AttributeHolds, Container, ObjectState, ModuleState, OptimizerState)) else w


def _is_exchanged(w: InlineWatch, rebound: Rebound) -> bool:
    if isinstance(w, CellIs):
        return "" in rebound.get(id(w.cell), ())
    of = w.space if isinstance(w, ItemIs) else w.of if isinstance(w, AttributeIs) else None
    return of is not None and w.name in rebound.get(id(of), ())  # type: ignore[attr-defined]


def _attributes(w: ModuleState, watched: Collection[str], own: Collection[str], rebound: Rebound) -> Iterator[InlineWatch]:
    """What was read of a module: no epoch hears of what is written past the module's own `__setattr__`."""
    d, elsewhere = vars(w.of), list[str]()
    for k in watched:
        value = d.get(k, MISSING)
        if k not in w.seen or k in own or k.endswith("_hooks") or type(value) in (Extent, Real):
            continue
        if value is MISSING:  # a parameter, a buffer or a module: an entry would win over it
            elsewhere.append(k)
        elif describe(value, rebound) == w.seen[k]:  # not one that the function has assigned
            yield EntryHolds(d, k, f"{w.text}.{k}", value, w.seen[k], rebound)
    if elsewhere:
        yield Unshadowed(d, w.text, tuple(elsewhere), [len(d)])


def _containers(w: ModuleState, watched: Collection[str], own: Collection[str]) -> Iterator[Container]:
    """Lists, dicts and the like that were read of a module, which may change without an epoch."""
    for k, v in list(vars(w.of).items()):
        if k in w.seen and k[:1] != "_" and k not in own and k in watched and isinstance(v, CONTAINERS) and id(v) not in ADDED_TO:
            yield Container(v, f"{w.text}.{k}", w.seen[k], NOTHING)


def _module(w: ModuleState, watched: set[str]) -> Iterator[ModuleState]:
    """What counts of a module, if anything does."""
    if EVERYTHING in watched:
        yield w
    elif watched:
        d = vars(w.of)
        yield replace(w, seen={k: v for k, v in w.seen.items() if k in watched or any(k in d[t] for t in TABLES)}, names=watched)
