"""Guards: what Python would have seen in a call, beside its arguments, and whether it would see the same again.

Found without running anything: the globals and closures of the function and of every user function it can reach, and the
modules and optimizers among them. Of their attributes, those count that the trace looked at (`_reads.py`). What can change
only through a Module or a parameter group is looked at again when the epoch has moved; the rest is compared at each call,
mostly by identity.
"""

from __future__ import annotations

import functools
import sys
import types
import weakref
from abc import ABCMeta
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from ingot._describe import PLAIN, SMALL, Kind, Rebound, describe
from ingot._effects import is_generator
from ingot._reads import Reads, ours
from ingot._tensor import Tensor
from ingot.runtime.epoch import EPOCH

__all__ = ["Roots", "Guards", "find_roots"]

_MISSING = object()
_CONTAINERS = (list, dict, set, deque, np.ndarray)  # what can change and stay the same object
_NAMESPACES = (("types", "SimpleNamespace"), ("argparse", "Namespace"))  # of the standard library, and yet the user's


def is_module(x: Any) -> bool:
    """Whether `x` is an nn.Module."""
    return "_parameters" in getattr(x, "__dict__", ()) and hasattr(x, "named_modules")


def is_optimizer(x: Any) -> bool:
    """Whether `x` is an Optimizer."""
    return not isinstance(x, dict) and all(hasattr(x, name) for name in ("param_groups", "state", "zero_grad"))


class Roots:
    """What a function can reach."""

    def __init__(self) -> None:
        self.functions: list[types.FunctionType] = []
        self.modules: list[Any] = []
        self.optimizers: list[Any] = []
        self.objects: list[Any] = []  # other objects with attributes
        self.classes: list[type] = []  # the user's: of these objects, and those that functions name
        self.names: list[tuple[dict, str, str]] = []  # (namespace, name, what it is called) that functions read
        self.cells: list[tuple[Any, str]] = []
        self.dicts: list[dict] = []
        self.tensors: list[Tensor] = []  # one entry for each place that holds one
        self.bound: list[tuple[Any, str]] = []  # values that functions hold, and what they are called
        self.generators: list[Any] = []  # of random numbers, Python's and NumPy's
        self._seen: set[int] = set()
        self._keep: list[Any] = []

    def add(self, x: Any, depth: int = 0) -> None:
        """Take in a value, and what can be reached from it."""
        if isinstance(x, Tensor):
            self.tensors.append(x)
            return
        if isinstance(x, (*PLAIN, types.BuiltinFunctionType)) or id(x) in self._seen or depth > 6:
            return
        if isinstance(x, type):
            if type(x) in (type, ABCMeta) and not _library(x):
                self._methods(x, depth)
            return
        self._seen.add(id(x))
        self._keep.append(x)
        wrapped = getattr(x, "__wrapped__", None) if callable(x) else None
        if isinstance(wrapped, (types.FunctionType, types.MethodType)):
            self.add(wrapped, depth)
        if isinstance(x, types.FunctionType):
            if not ours(x.__code__.co_filename):
                self._function(x, depth)
        elif isinstance(x, types.MethodType):
            self.add(x.__func__, depth)
            self.add(x.__self__, depth)
        elif isinstance(x, functools.partial):
            for item in (x.func, *x.args, *x.keywords.values()):
                self.bound.append((item, "what a partial binds"))
                self.add(item, depth + 1)
        elif is_generator(x):
            self.generators.append(x)
        elif is_module(x):
            self._module(x, depth)
        elif is_optimizer(x):
            self.optimizers.append(x)
            for g in x.param_groups:
                self._keep.append(g)
                self.tensors += g["params"]
            self.tensors += [t for state in x.state.values() for t in state.values() if isinstance(t, Tensor)]
            if not _library(type(x)):
                self._methods(type(x), depth)
        elif isinstance(x, (tuple, list, set, frozenset)):
            for item in list(x)[:SMALL]:
                self.add(item, depth + 1)
        elif isinstance(x, dict):
            if type(x) in (dict, OrderedDict, defaultdict):
                self.dicts.append(x)
            for item in list(x.values())[:SMALL]:
                self.add(item, depth + 1)
        elif isinstance(x, types.ModuleType):
            pass
        elif hasattr(x, "__dict__") and (not _library(type(x)) or _namespace(x)):
            self.objects.append(x)
            self._methods(type(x), depth)
            for item in list(vars(x).values())[:SMALL]:
                self.add(item, depth + 1)

    def _module(self, m: Any, depth: int) -> None:
        self.modules.append(m)
        self._methods(type(m), depth)
        for name, item in list(vars(m).items()):
            if name in ("_parameters", "_buffers"):
                self.tensors += [t for t in item.values() if t is not None]
                continue
            self.add(item, depth if name == "_modules" else depth + 1)
        for child in list(m._modules.values()):
            self.add(child, 0)

    def _methods(self, cls: type, depth: int) -> None:
        if id(cls) in self._seen:
            return
        self._seen.add(id(cls))
        self._keep.append(cls)
        self.classes += [c for c in cls.__mro__ if c not in self.classes and not _library(c)]
        for base in cls.__mro__:
            for item in vars(base).values():
                fn = getattr(item, "__func__", item)
                fn = getattr(fn, "fget", None) or fn
                if isinstance(fn, types.FunctionType):
                    self.add(fn, depth)

    def _function(self, f: types.FunctionType, depth: int) -> None:
        self.functions.append(f)
        for value in (*(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values()):
            self.bound.append((value, f"a default of {f.__name__}"))
            self.add(value, depth + 1)
        for name, cell in zip(f.__code__.co_freevars, f.__closure__ or ()):
            self.cells.append((cell, name))
            try:
                self.add(cell.cell_contents, depth + 1)
            except ValueError:  # an empty cell
                pass
        space = f.__globals__
        for name in _names(f.__code__):
            if name not in space:
                continue
            value = space[name]
            if not _library(value):
                self.names.append((space, name, name))
            if isinstance(value, types.ModuleType):
                if not _library(value):
                    inner = vars(value)
                    for n in _names(f.__code__):
                        if n in inner:
                            self.names.append((inner, n, f"{name}.{n}"))
                            self.add(inner[n], depth + 1)
            else:
                self.add(value, depth + 1)


def _library(x: Any) -> bool:
    """Whether a class or module belongs to Ingot, NumPy or Python itself: nothing there is watched."""
    if isinstance(x, types.ModuleType):
        name = x.__name__
    elif isinstance(x, (type, types.FunctionType, types.BuiltinFunctionType)):
        name = x.__module__
    else:
        return False
    top = (name or "").partition(".")[0]
    if top in ("ingot", "numpy", "builtins", "ml_dtypes"):
        return True
    return top in getattr(sys, "stdlib_module_names", ()) and top != "__main__"


def _namespace(x: Any) -> bool:
    return any((base.__module__, base.__qualname__) in _NAMESPACES for base in type(x).__mro__)


def _names(code: types.CodeType) -> list[str]:
    """The names that a code object, and the functions defined in it, look up."""
    found = list(code.co_names)
    for c in code.co_consts:
        if isinstance(c, types.CodeType):
            found += _names(c)
    return found


def _strings(code: types.CodeType) -> list[str]:
    """The strings in a code object: names for getattr, maybe."""
    return [s for c in code.co_consts for s in (_strings(c) if isinstance(c, types.CodeType) else [c] if isinstance(c, str) else [])]


def find_roots(fn: Callable, values: list[Any]) -> Roots:
    """What `fn`, called with the static arguments `values`, can reach."""
    roots = Roots()
    roots.add(fn)
    for v in values:
        roots.add(v)
    return roots


# ---- comparing


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
        self.class_names = {n for c in codes for n in (*_names(c), *_strings(c))}
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
            if not _library(type(m)):  # its lists and dicts may change without an epoch
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
