"""Guards: what Python would have seen in a call, beside its arguments, and whether it would see the same again.

Of what a function can reach (roots.py), globals and closures count, and the attributes that the trace looked at (reads.py). What
can change only through a Module or a parameter group is looked at again when the epoch has moved; the rest is compared at each call,
mostly by identity.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from ingot._tensor import Tensor
from ingot.capture.describe import PLAIN, Kind, Rebound, describe
from ingot.capture.reads import Reads
from ingot.capture.roots import Roots, library, names_of, strings_of
from ingot.runtime.epoch import EPOCH

__all__ = ["Guards"]

_MISSING = object()
_CONTAINERS = (list, dict, set, deque, np.ndarray)  # what can change and stay the same object

_MODULE_SKIP = ("_state_hooks", "_compiled_call")
_TABLES = ("_parameters", "_buffers", "_modules")


def _module_state(m: Any, watched: set[str] | None = None, rebound: Rebound = MappingProxyType({})) -> dict[str, Any]:
    """What is watched of a Module: its parameters, buffers and submodules, and the attributes `watched` (None: all)."""
    out: dict[str, Any] = {}
    d = vars(m)
    own = rebound.get(id(m), ())
    for k in d if watched is None else watched:
        if k in d and k not in _MODULE_SKIP and k not in _TABLES:
            out[k] = Kind(d[k]) if k in own else describe(d[k], 0, rebound)
    for table in _TABLES:
        for n, t in d[table].items():
            out[n] = Kind(t) if n in own else describe(t)
    return out


def _object_state(o: Any, watched: set[str] | None = None, rebound: Rebound = MappingProxyType({})) -> dict[str, Any]:
    d = vars(o)
    own = rebound.get(id(o), ())
    return {k: Kind(d[k]) if k in own else describe(d[k], 0, rebound) for k in (d if watched is None else watched) if k in d}


def _class_state(c: type, names: set[str]) -> dict[str, Any]:
    """The settings among the attributes of a class: values, not methods."""
    return {k: describe(v) for k, v in vars(c).items() if k in names and k[:2] != "__" and isinstance(v, (*PLAIN, tuple, *_CONTAINERS))}


def _optimizer_state(o: Any, rebound: Rebound = MappingProxyType({})) -> dict[str, Any]:
    from ingot.optim.group import CELLS, _shape_of

    out: dict[str, Any] = {}
    for i, g in enumerate(o.param_groups):
        for k, v in g.items():
            out[f"param_groups[{i}][{k!r}]"] = _shape_of(v) if k in CELLS else describe(v)
        for j, p in enumerate(g["params"]):
            out[f"state of parameter {j} of group {i}"] = describe(o.state.get(p) or None, 0, rebound)
    return out


class Guards:
    """What held when a function was traced. `failed()` says what no longer does."""

    def __init__(self, roots: Roots):
        from ingot.optim.group import CELLS, WatchedDict

        self.roots = roots
        self.rebound: Rebound = {}
        self.slots: list[tuple[Any, bool]] = []  # gradient slots, and whether they were None
        self.requires: list[tuple[weakref.ref[Tensor], bool]] = []
        self.types: list[tuple[Any, str, Any, str]] = []
        self.captured: dict[Any, None] = {}  # Storages
        self.leaf_names: Sequence[str] = ()
        self.by_reference: dict[int, Tensor] = {}  # arguments that must be these very tensors, for they are captured too
        self.epoch = EPOCH[0]
        self.watched: dict[int, set[str] | None] = {}  # id of a module or object -> its attributes that count
        self.modules = [(m, type(m).__name__, _module_state(m)) for m in roots.modules]
        self.optimizers = [(o, type(o).__name__, _optimizer_state(o)) for o in roots.optimizers]
        self.objects = [(o, type(o).__name__, _object_state(o)) for o in roots.objects]
        self.settings = [  # what groups hold that is read at run time: it counts where the user's code has read it
            (g, f"{text}.param_groups[{i}]", {k: describe(v) for k, v in dict.items(g) if k in CELLS})
            for o, text, _ in self.optimizers
            for i, g in enumerate(o.param_groups)
        ]
        codes = [f.__code__ for f in roots.functions if f.__name__ != "__init__"]
        self.class_names = {n for c in codes for n in (*names_of(c), *strings_of(c))}
        self.classes = [(c, s) for c, s in ((c, _class_state(c, self.class_names)) for c in roots.classes) if s]
        self.names = []
        self.containers: list[tuple[Any, str, Any]] = []
        for space, name, text in roots.names:
            value = space.get(name, _MISSING)
            self.names.append((space, name, text, value))
            self._contain(value, text)
        for value, text in roots.bound:
            self._contain(value, text)
        for o, text, _ in self.optimizers:
            for value in o.state.values():
                if not isinstance(value, WatchedDict):  # put there by the user: nobody hears of what is written to it
                    self._contain(value, f"{text}.state")
        self.cells = []
        for cell, name in roots.cells:
            value = _content(cell)
            self.cells.append((cell, name, value))
            self._contain(value, name)

    def _contain(self, value: Any, text: str) -> None:
        if isinstance(value, _CONTAINERS):
            self.containers.append((value, text, describe(value)))

    def narrow(self, reads: Reads) -> None:
        """Of modules and objects, watch only what the trace looked at: `reads`."""
        modules, objects = self.modules, self.objects
        self.modules, self.objects = [], []
        for m, text, seen in modules:
            watched = self.watched[id(m)] = reads.of(m)
            if watched is None:
                self.modules.append((m, text, seen))
            elif watched:
                before = {k: v for k, v in seen.items() if k in watched or any(k in vars(m)[t] for t in _TABLES)}
                self.modules.append((m, text, before))
            if not library(type(m)):  # its lists and dicts may change without an epoch
                for k, v in vars(m).items():
                    if k in seen and k[:1] != "_" and (watched is None or k in watched) and isinstance(v, _CONTAINERS):
                        self.containers.append((v, f"{text}.{k}", seen[k]))
        for o, text, seen in objects:
            watched = self.watched[id(o)] = reads.of(o)
            if watched is None or any(k in vars(o) or not hasattr(type(o), k) for k in watched):
                self.objects.append((o, text, seen if watched is None else {k: v for k, v in seen.items() if k in watched}))

        self.settings = [(g, text, {k: s for k, s in seen.items() if k in reads.settings(g)}) for g, text, seen in self.settings]
        self.settings = [entry for entry in self.settings if entry[2]]

    def aliased(self, leaves: Sequence[Any]) -> str | None:
        """How arguments share memory with captured tensors in another way than they did; None if they do not."""
        for i, x in enumerate(leaves):
            if i in self.by_reference:
                if x is not self.by_reference[i]:
                    return f"argument {self.leaf_names[i]} is not the captured tensor that it was"
            elif isinstance(x, Tensor) and x._storage is not None and x._storage in self.captured:
                if not any(x is t for t in self.by_reference.values()) and not self._shared(x, leaves):
                    return f"argument {self.leaf_names[i]} shares memory with a tensor that the function captures"
        return None

    def _shared(self, x: Tensor, leaves: Sequence[Any]) -> bool:
        return any(isinstance(y, Tensor) and y is not x and y._storage is x._storage for y in leaves)

    def failed(self) -> str | None:
        """What differs from the trace, in words; None if nothing does."""
        for space, name, text, value in self.names:
            now = space.get(name, _MISSING)
            if now is not value and not _same_plain(now, value):
                return f"the global {text} is {_text(now)}, it was {_text(value)}"
        for cell, name, value in self.cells:
            now = _content(cell)
            if now is not value and not _same_plain(now, value):
                return f"{name} of the enclosing function is {_text(now)}, it was {_text(value)}"
        for slot, was_none in self.slots:
            if (slot.grad is None) is not was_none:
                return f"a gradient is {'None' if slot.grad is None else 'a tensor'}, it was {'None' if was_none else 'a tensor'}"
        changed = self.changed()
        if changed is not None:
            return changed
        if EPOCH[0] != self.epoch:
            now_epoch = EPOCH[0]
            reason = self._slow()
            if reason is not None:
                return reason
            self.epoch = now_epoch
        return None

    def changed(self) -> str | None:
        """What differs in containers, objects and classes, which no epoch watches."""
        for value, text, seen in self.containers:
            if describe(value, 0, self.rebound) != seen:
                return f"{text} has changed"
        for g, text, seen in self.settings:
            now = {k: describe(g[k]) for k in seen if k in g}
            if now != seen:
                return _difference(text, seen, now)
        for o, text, seen in self.objects:
            now = _object_state(o, self.watched.get(id(o)), self.rebound)
            if now != seen:
                return _difference(text, seen, now)
        for c, seen in self.classes:
            now = _class_state(c, self.class_names)
            if now != seen:
                return _difference(c.__name__, seen, now)
        return None

    def _slow(self) -> str | None:
        for m, text, seen in self.modules:
            now = _module_state(m, self.watched.get(id(m)), self.rebound)
            if now != seen:
                return _difference(text, seen, now)
        for o, text, seen in self.optimizers:
            now = _optimizer_state(o, self.rebound)
            if now != seen:
                return _difference(text, seen, now)
        for r, was in self.requires:
            t = r()
            if t is not None and t.requires_grad is not was:
                return f"requires_grad of a captured tensor of shape {list(t.shape)} is {t.requires_grad}, it was {was}"
        for r, what, s, shape in self.types:
            t = r()
            if t is not None and t._storage is not s:
                return f"the memory of a captured tensor ({what}) was exchanged{shape}"
        return None


def _difference(text: str, before: dict, now: dict) -> str:
    for k in [*before, *now]:
        a, b = before.get(k, _MISSING), now.get(k, _MISSING)
        if a is _MISSING or b is _MISSING or a != b:
            return f"{text}.{k} is {_said(b)}, it was {_said(a)}"
    return f"{text} has changed"


def _said(d: Any) -> str:
    if d is _MISSING:
        return "not there"
    return repr(d[1]) if isinstance(d, tuple) and len(d) == 2 and isinstance(d[0], type) else repr(d)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _MISSING


def _same_plain(a: Any, b: Any) -> bool:
    return isinstance(a, PLAIN) and describe(a) == describe(b)


def _text(x: Any) -> str:
    return "not there" if x is _MISSING else repr(x) if isinstance(x, PLAIN) else f"another {type(x).__name__}"
