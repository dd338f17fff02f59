"""Guards: what Python would have seen in a call, beside its arguments, and whether it would see the same again.

Of what a function can reach (roots.py), globals and closures count, and the attributes that the trace looked at (reads.py). What
can change only through a Module or a parameter group is looked at again when the epoch has moved; the rest is compared at each call,
mostly by identity.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ingot._tensor import Tensor
from ingot.capture.describe import Rebound, describe
from ingot.capture.reads import Reads
from ingot.capture.roots import OPTIMIZER_TABLES, Roots, is_optimizer, library, strings_of
from ingot.capture.trace import Trace, leaf_of
from ingot.capture.watch import (
    CONTAINERS,
    MISSING,
    NOTHING,
    TABLES,
    CellIs,
    ClassState,
    Container,
    GlobalIs,
    GradIs,
    GradIsNone,
    HooksAre,
    InlineWatch,
    ModuleState,
    ObjectState,
    OptimizerState,
    RequiresGradIs,
    SameMemory,
    Settings,
    Watch,
    content,
)
from ingot.runtime.epoch import EPOCH
from ingot.runtime.storage import Storage
from ingot.runtime.tape import GradSlot

__all__ = ["Guards", "Seen"]


class Guards:
    """What held when a function was traced. `failed()` says what no longer does.

    inline: watches that the fast call compares itself; deep: those that it looks into; rare: those that wait for the epoch to move
    epoch: the last one in which all held
    captured: the Storages that the function reads or writes; gradients: slots whose gradients it takes from there
    by_reference: arguments that must be these very tensors, for they are captured too
    """

    def __init__(
        self,
        inline: Sequence[InlineWatch],
        deep: Sequence[Watch],
        rare: Sequence[Watch],
        epoch: int,
        captured: frozenset[Storage],
        gradients: Sequence[GradSlot],
        by_reference: Mapping[int, Tensor],
        names: Sequence[str],
    ):
        self.inline, self.deep, self.rare = tuple(inline), tuple(deep), tuple(rare)
        self.epoch = epoch
        self.captured = captured
        self.gradients = gradients
        self.by_reference = by_reference
        self.names = names  # of the argument leaves

    def failed(self) -> str | None:
        """What differs from the trace, in words; None if nothing does."""
        for w in self.inline:
            reason = w.failed()
            if reason is not None:
                return reason
        reason = self.changed()
        if reason is None and EPOCH[0] != self.epoch:
            now = EPOCH[0]
            reason = _first(self.rare)
            if reason is None:
                self.epoch = now
        return reason

    def changed(self) -> str | None:
        """What differs in containers, objects and classes, which no epoch watches."""
        return _first(self.deep)

    def aliased(self, leaves: Sequence[Any]) -> str | None:
        """How arguments share memory with captured tensors in another way than they did; None if they do not."""
        for i, x in enumerate(leaves):
            if i in self.by_reference:
                if x is not self.by_reference[i]:
                    return f"argument {self.names[i]} is not the captured tensor that it was"
            elif isinstance(x, Tensor) and any(_same_memory(x, s.grad) for s in self.gradients):
                return f"argument {self.names[i]} shares memory with a gradient that the function reads"
            elif isinstance(x, Tensor) and x._storage is not None and x._storage in self.captured:
                if not any(x is t for t in self.by_reference.values()) and not _shared(x, leaves):
                    return f"argument {self.names[i]} shares memory with a tensor that the function captures"
        return None


def _first(watches: Sequence[Watch]) -> str | None:
    for w in watches:
        reason = w.failed()
        if reason is not None:
            return reason
    return None


def _same_memory(x: Tensor, y: Tensor | None) -> bool:
    return y is not None and (x is y or (x._storage is not None and x._storage is y._storage))


def _shared(x: Tensor, leaves: Sequence[Any]) -> bool:
    return any(isinstance(y, Tensor) and y is not x and y._storage is x._storage for y in leaves)


class Seen:
    """What Python sees before a function is traced, all of it; `guards()`, afterwards, keeps what counts."""

    def __init__(self, roots: Roots):
        from ingot.optim.group import CELLS, WatchedDict

        self._epoch = EPOCH[0]
        self._modules = [_with_state(ModuleState(m, type(m).__name__, {}, None, NOTHING)) for m in roots.modules]
        self._optimizers = [_with_state(OptimizerState(o, type(o).__name__, {}, NOTHING)) for o in roots.optimizers]
        self._objects = [
            _with_state(ObjectState(o, type(o).__name__, {}, table, None, NOTHING, _skipped(o))) for o, table in roots.objects
        ]
        self._tensors = [
            _with_state(ObjectState(t, f"an attribute of a tensor of shape {list(t.shape)}", {}, vars(t), None, NOTHING, ()))
            for t in {id(t): t for t in roots.tensors}.values()
        ]
        self._settings = [  # what groups hold that is read at run time: it counts where the user's code has read it
            Settings(g, f"{w.text}.param_groups[{i}]", {k: describe(v) for k, v in dict.items(g) if k in CELLS})
            for w in self._optimizers
            for i, g in enumerate(w.of.param_groups)
        ]
        codes = [f.__code__ for f in roots.functions if f.__name__ != "__init__"]
        names = {n for c in codes for n in (*roots.looked_up[c], *strings_of(c))}
        self._classes = [w for w in (_with_state(ClassState(c, c.__name__, {}, names)) for c in roots.classes) if w.seen]
        self._globals = [GlobalIs(space, name, text, space.get(name, MISSING)) for space, name, text in roots.names]
        self._cells = [CellIs(cell, name, content(cell)) for cell, name in roots.cells]
        held = [(w.value, w.text) for w in self._globals] + roots.bound
        for w in self._optimizers:  # put there by the user: nobody hears of what is written to it
            held += [(value, f"{w.text}.state") for value in w.of.state.values() if not isinstance(value, WatchedDict)]
        held += [(w.value, w.name) for w in self._cells]
        self._containers = [Container(value, text, describe(value), NOTHING) for value, text in held if isinstance(value, CONTAINERS)]

    def guards(
        self, reads: Reads, rebound: Rebound, trace: Trace, by_reference: Mapping[int, Tensor], names: Sequence[str]
    ) -> Guards:
        """The guards of a trace. Of modules and objects they watch only what it looked at: `reads`.

        rebound: names that calls themselves assign; of what they hold only the kind counts.
        """
        containers = list(self._containers)
        modules = [w for m in self._modules if (w := _module(m, reads.of(m.of), containers)) is not None]
        objects = [x for o in self._objects if (x := _object(o, reads.of(o.of))) is not None]
        settings = [replace(w, seen={k: s for k, s in w.seen.items() if k in reads.settings(w.of)}) for w in self._settings]
        own = {*trace.inner_slots, *trace.argument_slots, *trace.fixed}
        slots = [(s, state.was_none) for s, state in trace.slots.items() if s not in own]
        gradients = [s for s, held in trace.gradients.values() if s not in own]
        return Guards(
            inline=[
                *self._globals,
                *self._cells,
                *(GradIsNone(s, was_none) for s, was_none in slots if was_none is not None),
                *(GradIs(s, held) for s, held in trace.fixed.items()),
            ],
            deep=[
                *(replace(w, rebound=rebound) for w in containers),
                *(w for w in settings if w.seen),
                *(replace(x, rebound=rebound) for x in objects),
                *(replace(x, rebound=rebound) for x in self._tensors if x.seen or x.table),  # few have attributes of their own
                *self._classes,
            ],
            rare=[
                *(replace(w, rebound=rebound) for w in (*modules, *self._optimizers)),
                *(RequiresGradIs(weakref.ref(t), was) for t, _, was, _ in trace.seen),
                *(HooksAre(weakref.ref(t), keys) for t, _, _, keys in trace.seen if leaf_of(t) is not None),
                *(SameMemory(weakref.ref(t), f"{t.dtype.torch_name}{list(t.shape)}", t._storage) for t, _, _, _ in trace.seen),
            ],
            epoch=self._epoch,
            captured=frozenset(trace.captured),
            gradients=list(dict.fromkeys(gradients)),
            by_reference=by_reference,
            names=names,
        )


def _skipped(x: Any) -> tuple[str, ...]:
    return OPTIMIZER_TABLES if is_optimizer(x) else ()


def _with_state(w: Any) -> Any:
    """A watch that has seen the present state."""
    return replace(w, seen=w.now())


def _module(w: ModuleState, watched: set[str] | None, containers: list[Container]) -> ModuleState | None:
    """What counts of a module; None if nothing does. Lists and dicts that may change without an epoch go to `containers`."""
    d = vars(w.of)
    if not library(type(w.of)):
        for k, v in list(d.items()):
            if k in w.seen and k[:1] != "_" and (watched is None or k in watched) and isinstance(v, CONTAINERS):
                containers.append(Container(v, f"{w.text}.{k}", w.seen[k], NOTHING))
    if watched is None:
        return w
    if not watched:
        return None
    return replace(w, seen={k: v for k, v in w.seen.items() if k in watched or any(k in d[t] for t in TABLES)}, names=watched)


def _object(w: ObjectState, watched: set[str] | None) -> ObjectState | None:
    """What counts of an object; None if nothing does."""
    if watched is None:
        return w
    watched = watched.difference(w.skipped)
    if not any(k in w.table or not hasattr(type(w.of), k) for k in watched):
        return None
    return replace(w, seen={k: v for k, v in w.seen.items() if k in watched}, names=watched)
