"""Roots: what a function can reach, found without running anything.

The globals and closures of the function and of every user function that it can reach, and the modules, optimizers and other
objects among them.
"""

from __future__ import annotations

import builtins
import functools
import sys
import types
from abc import ABCMeta
from array import array
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, MutableMapping
from typing import Any

import numpy as np

from ingot._tensor import Tensor
from ingot.capture.codes import names_of
from ingot.capture.describe import CONTAINERS, PLAIN, SMALL, held_in, plain
from ingot.capture.effects import is_generator
from ingot.capture.reads import function_of, lookup, vars_of
from ingot.capture.slots import OfClass, Slots
from ingot.capture.trace import leaf_of
from ingot.runtime.recorder import ours

__all__ = ["OPTIMIZER_TABLES", "Roots", "find_roots", "is_module", "is_optimizer", "library", "namespace"]

_MADE_AT_RUN_TIME = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class of Python's own `class`
_NAMESPACES = (("types", "SimpleNamespace"), ("argparse", "Namespace"))  # of the standard library, and yet the user's
OPTIMIZER_TABLES = ("param_groups", "state")  # attributes of an optimizer that have watches of their own


def is_module(x: Any) -> bool:
    """Whether `x` is an nn.Module."""
    return "_parameters" in (vars_of(x) or ()) and lookup(type(x), "named_modules")[0] is not None


def is_optimizer(x: Any) -> bool:
    """Whether `x` is an Optimizer."""
    return {"param_groups", "state"} <= (vars_of(x) or {}).keys() and lookup(type(x), "zero_grad")[0] is not None


class Roots:
    """What a function can reach."""

    def __init__(self) -> None:
        self.modules: list[Any] = []
        self.optimizers: list[Any] = []
        self.objects: list[tuple[Any, MutableMapping]] = []  # other objects with attributes, and the tables of these
        self.names: list[tuple[dict, str, str]] = []  # (namespace, name, what it is called) that functions read
        self.cells: list[tuple[Any, str]] = []
        self.dicts: list[dict] = []
        self.containers: list[Any] = []  # what else can change and stay the same object: lists, sets, deques, arrays
        self.tensors: list[Tensor] = []  # one entry for each place that holds one
        self.in_classes: dict[int, Any] = {}  # lists and dicts that attributes of classes hold, by their ids
        self.functions: list[types.FunctionType] = []
        self.generators: list[Any] = []  # of random numbers, Python's and NumPy's
        self._seen: set[int] = set()
        self._keep: list[Any] = []
        self._classes: set[int] = set()

    def add(self, x: Any, depth: int = 0) -> None:
        """Take in a value, and what can be reached from it."""
        if isinstance(x, Tensor):
            self._tensor(x, depth)
            return
        if isinstance(x, tuple) and id(x) in self._seen:  # it cannot be assigned: what it holds is in one place more
            self.tensors += [t for t in x if isinstance(t, Tensor)]
        if isinstance(x, types.BuiltinFunctionType):
            x = x.__self__  # of a list, a dict or the like whose method it is
            if not isinstance(x, CONTAINERS):
                return
        if plain(x) or id(x) in self._seen or depth > 6 or isinstance(x, PLAIN):
            return
        if isinstance(x, type):
            if type(x) in (type, ABCMeta) and not library(x):
                self._methods(x, depth)
            return
        self._seen.add(id(x))
        self._keep.append(x)
        attributes = vars_of(x)
        held = {} if attributes is None else attributes
        wrapped = held.get("__wrapped__")
        if isinstance(wrapped, (types.FunctionType, types.MethodType)):
            self.add(wrapped, depth)
        original = held.get("_orig_mod")  # of a compiled Module
        if original is not None:
            self.add(original, depth)
        if isinstance(x, types.FunctionType):
            if not ours(x.__code__.co_filename):
                self._function(x, depth)
        elif isinstance(x, types.MethodType):
            self.add(x.__func__, depth)
            self.add(x.__self__, depth)
        elif isinstance(x, functools.partial):
            for item in (x.func, *x.args, *x.keywords.values()):
                self.add(item, depth + 1)
        elif is_generator(x):
            self.generators.append(x)
        elif is_module(x):
            self._module(x, depth)
        elif is_optimizer(x):
            self.optimizers.append(x)
            for g in x.param_groups:
                self._keep.append(g)
                for t in g["params"]:
                    self._tensor(t, depth)
            for state in list(x.state.values()):
                for t in list(state.values()):
                    if isinstance(t, Tensor):
                        self._tensor(t, depth)
            if not library(type(x)):
                self.objects.append((x, vars(x)))
                self._methods(type(x), depth)
                for item in [v for k, v in vars(x).items() if k not in OPTIMIZER_TABLES]:
                    self.add(item, depth + 1)
        elif isinstance(x, (np.ndarray, bytearray, array)):
            self.containers.append(x)
        elif isinstance(x, (tuple, list, set, frozenset, deque)):
            if not isinstance(x, (tuple, frozenset)):
                self.containers.append(x)
            for item in held_in(x)[:SMALL]:
                self.add(item, depth + 1)
        elif isinstance(x, dict):
            if type(x) in (dict, OrderedDict, defaultdict):
                self.dicts.append(x)
            for item in list(dict.values(x))[:SMALL]:
                self.add(item, depth + 1)
        elif isinstance(x, types.ModuleType):
            pass
        elif not library(type(x)) or namespace(x):
            tables: list[MutableMapping] = [] if attributes is None else [held]
            slots = Slots(x, [c for c in type(x).__mro__ if not library(c)])
            if slots.names:
                tables.append(slots)
            for table in tables:
                self.objects.append((x, table))
                for item in list(table.values())[:SMALL]:
                    self.add(item, depth + 1)
            self._methods(type(x), depth)

    def storage_names(self) -> dict[int, str]:
        """Names of Storages, by id: parameters, buffers, and an optimizer's state of them."""
        found: dict[int, str] = {}
        inner: set[int] = set()
        for m in self.modules:  # a module comes before those inside it
            if id(m) in inner:
                continue
            inner.update(map(id, m.modules()))
            for name, t in (*m.named_parameters(), *m.named_buffers()):
                if t._storage is not None:
                    found.setdefault(id(t._storage), name)
        for o in self.optimizers:
            for p, state in o.state.items():
                of = found.get(id(p._storage), "state")
                for k, t in state.items():
                    if isinstance(t, Tensor) and t._storage is not None:
                        found.setdefault(id(t._storage), f"{of}.{k}")
        return found

    def _tensor(self, t: Tensor, depth: int) -> None:
        self.tensors.append(t)
        if id(t) in self._seen:
            return
        self._seen.add(id(t))
        self._keep.append(t)
        self.hooks(t, depth)
        for item in list(vars(t).values())[:SMALL]:
            self.add(item, depth + 1)

    def hooks(self, t: Tensor, depth: int = 0) -> None:
        """Take in what the hooks of a leaf are."""
        leaf = leaf_of(t)
        if leaf is not None:
            for hook in (*(leaf.pre_hooks or {}).values(), *(leaf.hooks or {}).values(), *(leaf.slot.post_hooks or {}).values()):
                self.add(hook, depth + 1)

    def _module(self, m: Any, depth: int) -> None:
        self.modules.append(m)
        self._methods(type(m), depth)
        for name, item in list(vars(m).items()):
            if name in ("_parameters", "_buffers"):
                for t in list(item.values()):
                    if t is not None:
                        self._tensor(t, depth)
                continue
            self.add(item, depth if name == "_modules" else depth + 1)
        for child in list(m._modules.values()):
            self.add(child, 0)

    def _methods(self, cls: type, depth: int) -> None:
        if id(cls) in self._seen:
            return
        self._seen.add(id(cls))
        self._keep.append(cls)
        for base in cls.__mro__:
            own = not library(base)
            for name, item in list(vars(base).items()):  # other threads may add to it
                self._in_class(item, own and name[:2] != "__")
                fn = function_of(item)
                if fn is not None:
                    self.add(fn, depth)
            if not library(base) and id(base) not in self._classes:
                self._classes.add(id(base))
                self.objects.append((base, OfClass(base)))

    def _in_class(self, x: Any, changes: bool, depth: int = 0) -> None:
        """Take in what an attribute of a class holds. changes: a list or dict in it may change."""
        if isinstance(x, Tensor):
            self.tensors.append(x)
        elif isinstance(x, (set, bytearray, array, np.ndarray)):
            self.add(x, depth)
        elif isinstance(x, (tuple, list, deque, dict)) and depth < 6 and id(x) not in self.in_classes:
            self.in_classes[id(x)] = x
            if changes and not isinstance(x, tuple):
                held: list[Any] = self.dicts if isinstance(x, dict) else self.containers
                held.append(x)
            for item in (list(dict.values(x)) if isinstance(x, dict) else held_in(x))[:SMALL]:
                self._in_class(item, changes, depth + 1)
        elif changes and depth and not isinstance(x, (type, types.FunctionType)):
            self.add(x, depth)

    def _function(self, f: types.FunctionType, depth: int) -> None:
        names = names_of(f.__code__)
        self.objects.append((f, vars(f)))
        self.functions.append(f)
        for value in (*(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values()):
            self.add(value, depth + 1)
        for name, cell in zip(f.__code__.co_freevars, f.__closure__ or ()):
            self.cells.append((cell, name))
            try:
                self.add(cell.cell_contents, depth + 1)
            except ValueError:  # an empty cell
                pass
        space = f.__globals__
        for name in names:
            if name not in space:
                if not hasattr(builtins, name):
                    self.names.append((space, name, name))
                continue
            value = space[name]
            if not library(value):
                self.names.append((space, name, name))
            if isinstance(value, types.ModuleType):
                if not library(value):
                    inner = vars(value)
                    for n in names:
                        if n in inner:
                            self.names.append((inner, n, f"{name}.{n}"))
                            self.add(inner[n], depth + 1)
            else:
                self.add(value, depth + 1)


def library(x: Any) -> bool:
    """Whether a class or module belongs to Ingot, NumPy or Python itself: nothing there is watched."""
    if isinstance(x, types.ModuleType):
        name = x.__name__
    elif isinstance(x, (type, types.FunctionType, types.BuiltinFunctionType)):
        name = x.__module__
    else:
        return False
    top = name.partition(".")[0] if isinstance(name, str) else ""
    if top == "builtins":  # or made by `exec` where no module has a name
        return not isinstance(x, types.FunctionType) and not (isinstance(x, type) and x.__flags__ & _MADE_AT_RUN_TIME)
    if top in ("ingot", "numpy", "ml_dtypes"):
        return True
    return top in getattr(sys, "stdlib_module_names", ()) and top != "__main__"


def namespace(x: Any) -> bool:
    """Whether an object is a plain holder of attributes from the standard library."""
    return any((base.__module__, base.__qualname__) in _NAMESPACES for base in type(x).__mro__)


def find_roots(fn: Callable, values: list[Any]) -> Roots:
    """What `fn`, called with the static arguments `values`, can reach."""
    roots = Roots()
    roots.add(fn)
    for v in values:
        roots.add(v)
    return roots
