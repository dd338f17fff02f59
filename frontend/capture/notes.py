"""Notes of what Python code sees while a function is traced, each with what it was when it was seen first, as watches.

What is found in a list, a global or an attribute is followed in turn. The classes of objects tell which attributes are read
(reads.py); of what tells nothing (modules, classes, objects made in C) the names count that the running code has.
"""

from __future__ import annotations

import functools
import sys
import types
import weakref
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

from ingot._tensor import Tensor
from ingot.capture.attached import attributes
from ingot.capture.codes import asks, global_names, imports, nested, reads_all, strings_of
from ingot.capture.describe import ADDED_TO, CONTAINERS, describe, items_of, plain
from ingot.capture.effects import is_iterator, itself, position
from ingot.capture.impure import of_ingot, standard_library
from ingot.capture.inline import AttributeIs, CellIs, ContextIs, FunctionIs, ItemIs, TableIs, TypeIs
from ingot.capture.reads import EVERYTHING, PATCHED, Reads, function_of, lookup, slots_of, vars_of
from ingot.capture.roots import OPTIMIZER_TABLES, is_module, is_optimizer, library, namespace
from ingot.capture.shadows import Bare, TensorClass, may_be_shadowed
from ingot.capture.watch import (
    MISSING,
    NOTHING,
    TABLES,
    AttributeHolds,
    Container,
    InlineWatch,
    ModuleState,
    NoAttribute,
    ObjectState,
    TensorState,
    Watch,
    Weakly,
    attribute,
    content,
    entry,
)
from ingot.ir.struct import replace

__all__ = ["Notes"]

_OF_CLASSES = ("__name__", "__qualname__", "__bases__", "__mro__", "__doc__", "__module__")  # kept beside the table of a class
_BY_STRING = {"getattr", "hasattr", "__dict__", "vars", "globals", "locals", "modules"}  # code that has these may look up its strings
_CACHE = type(functools.lru_cache(int))
_IN_C = (types.GetSetDescriptorType, types.MemberDescriptorType)


class Notes:
    """What was seen: `inline`, `deep` and `modules` are watches; `asks`, whether code ran that may look for attributes that are not there.
    `reads` has to be there before anything is followed."""

    reads: Reads

    def __init__(self) -> None:
        self.inline: list[InlineWatch] = []
        self.deep: list[Watch] = []
        self.modules: dict[int, ModuleState] = {}
        self.module_reads: dict[int, set[str]] = {}
        self._noted: set[tuple[int, str]] = set()  # (id of the place, name)
        self._followed: set[int] = set()
        self._weak: set[int] = set()  # what is reached by weak references only: no watch may keep it alive
        self._kept: list[Any] = []  # an id is an object's as long as it lives
        self._entered: set[types.CodeType] = set()
        self._functions: dict[types.CodeType, list[types.FunctionType]] = {}  # those known by their code
        self._owners: dict[types.CodeType, list[tuple[type, str]]] = {}  # the classes in which they are, and by which names
        self.caches: dict[types.CodeType, Any] = {}  # functools' caches, by the code of what they keep the results of
        self._names: set[str] = set()  # that the code which has run looks up
        self._strings: set[str] = set()
        self._any_name = False
        self._reads_all = False
        self.asks = False
        self._spaces: list[tuple[Any, str]] = []  # what tells nothing, and what it is called
        self._libraries: list[types.ModuleType] = []
        self._tensors: list[TensorState] = []
        self._optimizers: set[int] = set()
        self._iterators: list[tuple[Any, str, Any]] = []  # what they are called, and how far they had come

    def watches(self) -> tuple[list[InlineWatch], list[Watch]]:
        """What was seen: what the fast call compares itself, and what it looks into."""
        def weak(w: Any) -> bool:
            return id(getattr(w, "of", w)) in self._weak

        self.deep += self._attributes()
        weakly = [Weakly.on(w) for w in (*self.inline, *self.deep) if weak(w)]
        return [w for w in self.inline if not weak(w)], [*(w for w in self.deep if not weak(w)), *weakly]

    def _attributes(self) -> list[Watch]:
        """Watches of the attributes of tensors. Few have any; of those that have none only code that asks for some sees that."""
        found: list[Watch] = []
        bare = []
        everything = self._any_name or self._reads_all
        for w in self._tensors:
            names = None if everything or attributes(w.of).keys() != w.seen.keys() else self._names
            if w.seen or attributes(w.of):
                seen = {k: v for k, v in w.seen.items() if names is None or k in names}
                if seen or self.looks or names is None:
                    found.append(replace(w, seen=seen, names=names))
            elif self.looks or not library(type(w.of)):
                bare.append(weakref.ref(w.of))
        return [*found, Bare(tuple(bare), None if everything else frozenset(self._names))] if bare else found

    @property
    def looks(self) -> bool:
        """Whether it matters that tensors have no attributes: code asked for some, or looks up names that could stand before methods."""
        return self.asks or self._any_name or self._reads_all or may_be_shadowed(self._names)

    @property
    def looks_at_gradients(self) -> bool:
        """Whether the code itself asks for gradients, and for names that could stand before their methods."""
        return "grad" in self._names and self.looks

    def by_user(self, m: Any, names: set[str]) -> set[str]:
        """Those names read of a module that the user's code looks up, or may, or under which users have put tensors."""
        held = vars(m)
        found = names if self._any_name or self._reads_all else names & self._names
        return found.union(n for n in names if isinstance(held.get(n), Tensor))

    def classes(self) -> list[TensorClass]:
        """Watches of the classes of tensors, for what the code looks up there."""
        kinds: dict[type, None] = dict.fromkeys([Tensor, *(type(w.of) for w in self._tensors)])
        return [TensorClass.now(c, self._names) for c in kinds if library(c)]

    def forget(self) -> None:
        """Let go of everything: what the function has seen lives no longer for it."""
        vars(self).clear()

    # ---- what is seen

    def _code(self, code: types.CodeType, space: dict[str, Any]) -> None:
        for inner in nested(code)[1:]:
            self._functions.setdefault(inner, [])
        builtins = space.get("__builtins__", MISSING)
        builtins = vars(builtins) if isinstance(builtins, types.ModuleType) else builtins
        for n in global_names(code):
            found = self._item(space, n, f"the global {n}")
            if found is MISSING and isinstance(builtins, dict):
                self._item(builtins, n, f"the builtin {n}")
        for n in imports(code):
            package = space.get("__package__") or ""
            for full in (n, f"{package}.{n}"):
                if full in sys.modules:
                    self._item(sys.modules, full, f"the module {full}")
        self._look_for(code.co_names)
        self._reads_all = self._reads_all or reads_all(code)
        self.asks = self.asks or asks(code)
        if not _BY_STRING.isdisjoint(code.co_names):
            self._strings.update(strings_of(code))
            self._look_for(strings_of(code))

    def _function(self, f: types.FunctionType) -> None:
        if not self._first(f, "__code__"):
            return
        self.inline.append(FunctionIs(f, f.__code__, f.__defaults__, f.__kwdefaults__))
        for value in f.__defaults__ or ():
            self.follow(value, f"a default of {f.__name__}")
        if f.__kwdefaults__:
            self.follow(f.__kwdefaults__, f"a default of {f.__name__}")
        for n, cell in zip(f.__code__.co_freevars, f.__closure__ or ()):
            if self._first(cell, ""):
                value = itself(content(cell))
                self.inline.append(CellIs(cell, n, value))
                self.follow(value, n)

    def _first(self, place: Any, name: str) -> bool:
        """Whether a place is looked at for the first time."""
        key = id(place), name
        if key in self._noted:
            return False
        self._noted.add(key)
        self._kept.append(place)
        return True

    def _item(self, space: Any, name: str, text: str) -> Any:
        """Note a name in a namespace; what it stands for."""
        value = itself(entry(space, name))
        if self._first(space, name):
            self.inline.append(ItemIs(space, name, text, value))
            self.follow(value, text.removeprefix("the global "))
        return value

    def _read(self, x: Any, name: str) -> None:
        """Note that an attribute of a watched object is read, or is about to be assigned."""
        if name in PATCHED or not self._first(x, name) or (name in OPTIMIZER_TABLES and id(x) in self._optimizers):
            return
        if name == "_cache" and _is_of_logging(x, "Logger"):  # what it keeps of the levels, for messages that decide nothing
            while x is not None:
                self._read(x, "level")
                x = x.parent
            return
        cls, text = type(x), f"{type(x).__name__}.{name}"
        table = vars_of(x)
        if id(x) in self.modules:
            self.module_reads.setdefault(id(x), set()).add(name)
            if table is not None and name in table:
                if name not in TABLES:
                    self.follow(table[name], text, described=True)
                return
        elif name == EVERYTHING:
            for n in list(table or ()):
                self._read(x, n)
            self.deep.append(ObjectState(x, cls.__name__, _described(x), NOTHING))
            return
        if name == "__class__":
            return
        base, raw = lookup(cls, name)
        if isinstance(raw, types.MemberDescriptorType):
            self._value(x, name, text, _slot(raw, x))
        elif base is not None and lookup(type(raw), "__set__")[0] is not None:  # a property: it wins over what the object holds
            self._of_class(cls, name, base, raw)
        elif table is not None and name in table:
            self._value(x, name, text, table[name])
        elif base is None:
            if not name.startswith("__") and id(x) not in self.modules:
                self.deep.append(NoAttribute(x, name, text))
        else:
            if table is not None and not library(base) and id(x) not in self.modules:
                self.inline.append(ItemIs(table, name, text, MISSING))
                if self._first(table, ""):
                    self.inline.append(TableIs(x, table))
            self._of_class(cls, name, base, raw)

    def _value(self, of: Any, name: str, text: str, value: Any) -> None:
        """Note what an attribute holds that Python gives as it is."""
        value = itself(value)
        if isinstance(value, CONTAINERS) and id(value) not in ADDED_TO:
            self.deep.append(AttributeHolds(of, name, text, describe(value), NOTHING))
            self.follow(value, text, described=True)
        elif value is MISSING:
            self.deep.append(NoAttribute(of, name, text))
        else:
            self.inline.append(AttributeIs(of, name, text, value))
            self.follow(value, text)

    def _of_class(self, cls: type, name: str, base: type, raw: Any) -> None:
        """Note an attribute that `cls` has from `base`. Of Ingot's own classes, a layer's `forward` counts, and what the user looks up."""
        if (not library(base) or name == "forward" or name in self._names) and self._first(cls, name):
            text = f"{cls.__name__}.{name}"
            if isinstance(raw, staticmethod):
                self._value(cls, name, text, raw.__func__)
            elif lookup(type(raw), "__get__")[0] is not None and not isinstance(raw, (types.FunctionType, property)):
                self.inline.append(ItemIs(vars(base), name, text, raw))
                self.follow(function_of(raw) or raw, text)
            else:
                self._value(cls, name, text, raw)

    def _place(self, owner: Any, name: str, text: str) -> None:
        """Note a name in the table of a class, a module or another object that tells nothing."""
        if isinstance(owner, type):
            table = vars(owner)
            if name in PATCHED:
                return
            base, raw = lookup(owner, name)
            if base is not None and not library(base):
                self._of_class(owner, name, base, raw)
            elif name in _OF_CLASSES and self._first(owner, name):
                self.inline.append(AttributeIs(owner, name, f"{text}.{name}", getattr(owner, name)))
            elif base is not None:
                pass
            elif lookup(type(owner), name)[0] not in (None, type, object) and self._first(owner, name):  # of the class's own class
                self.inline.append(ItemIs(table, name, f"{text}.{name}", MISSING))
            elif name in self._strings and self._first(owner, name):
                self.deep.append(NoAttribute(owner, name, f"{text}.{name}"))
        elif isinstance(owner, dict):  # the globals, for a function that asks for all of them
            if dict.__contains__(owner, name):
                self._item(owner, name, f"{text} {name}")
        else:
            held = vars_of(owner) or {}
            if name in held:
                if self._first(owner, name):
                    self._value(owner, name, f"{text}.{name}", held[name])
            elif isinstance(lookup(type(owner), name)[1], _IN_C) and self._first(owner, name):
                value = attribute(owner, name)
                if isinstance(value, (*CONTAINERS, tuple)) or value is attribute(owner, name):
                    self._value(owner, name, f"{text}.{name}", value)

    def _space(self, owner: Any, text: str, names: Iterable[str] | None) -> None:
        """Note names (None: all there are) in what tells nothing."""
        table = owner if isinstance(owner, dict) else vars(owner) if isinstance(owner, type) else vars_of(owner) or {}
        if names is None:
            names = self._names.union(n for n in table if isinstance(n, str) and n[:2] != "__")
        if isinstance(owner, (dict, types.ModuleType)):
            names = [n for n in names if entry(table, n) is not MISSING]
        for n in list(names):
            self._place(owner, n, text)

    def _look_for(self, names: Iterable[str]) -> None:
        """The running code looks up these names, too."""
        new = set(names) - self._names
        self._names |= new
        if new:
            for owner, text in list(self._spaces):
                self._space(owner, text, new)
            for n in new:
                base, raw = lookup(Tensor, n)
                if base is not None and not hasattr(type(raw), "__get__"):  # put there by the user
                    self.follow(raw, f"Tensor.{n}")

    def _look_for_any(self) -> None:
        """The running code may look up any name."""
        if not self._any_name:
            self._any_name = True
            for owner, text in list(self._spaces):
                self._space(owner, text, None)

    def _add_space(self, owner: Any, text: str) -> None:
        self._spaces.append((owner, text))
        self._space(owner, text, None if self._any_name else self._names)

    def followed(self, x: Any) -> bool:
        """Whether the function has come upon an object."""
        return id(x) in self._followed

    def looked_at(self, owner: Any, name: Any) -> bool:
        """Whether an attribute, an entry or a variable was read, or what it is in was looked through."""
        read = self.module_reads.get(id(owner))
        if read is not None:
            return name in read or EVERYTHING in read
        return (id(owner), name) in self._noted or (isinstance(owner, CONTAINERS) and id(owner) in self._followed)

    # ---- what it leads to

    def follow(self, x: Any, text: str, described: bool = False) -> None:
        """Take in a value that is called `text`. `described`: its content is watched already, where it is a container."""
        if plain(x) or x is MISSING or id(x) in self._followed or id(itself(x)) in ADDED_TO:
            return
        self._followed.add(id(x))
        self._kept.append(x)
        if isinstance(x, CONTAINERS) and not described and not _ingots(x):
            self.deep.append(Container(x, text, describe(x), NOTHING))
            described = True
        if isinstance(x, Tensor):
            held = attributes(x)
            seen = {k: describe(v) for k, v in held.items()}
            self._tensors.append(TensorState(x, f"an attribute of a tensor of shape {list(x.shape)}", seen, NOTHING, None))
            for value in held.values():
                self.follow(value, text, described=True)
            if not library(type(x)):
                self._follow_class(type(x))
        elif isinstance(x, types.FunctionType):
            self._follow_function(x, text)
        elif isinstance(x, types.MethodType):
            self.follow(x.__func__, text)
            self.follow(x.__self__, text)
        elif isinstance(x, functools.partial):
            for item in (x.func, *x.args, *x.keywords.values()):
                self.follow(item, "what a partial binds")
        elif isinstance(x, type):
            self._follow_class(x)
        elif isinstance(x, types.ModuleType):
            if library(x):
                self._libraries.append(x)
            else:
                self._add_space(x, x.__name__)
        elif isinstance(x, ContextVar):
            value = x.get(MISSING)
            self.inline.append(ContextIs(x, value))
            self.follow(value, x.name)
        elif isinstance(x, types.BuiltinFunctionType):
            if isinstance(x.__self__, CONTAINERS):
                self.follow(x.__self__, text)
        elif isinstance(x, types.CodeType):
            pass
        elif is_iterator(x):
            self._iterators.append((x, text, position(x)))
        else:
            self._follow_object(x, text, described)

    def _follow_function(self, f: types.FunctionType, text: str) -> None:
        if f.__dict__:
            self._add_space(f, f.__name__)
        if of_ingot(f.__code__):
            return
        self._functions.setdefault(f.__code__, []).append(f)
        if f.__code__ in self._entered or standard_library(f.__module__):
            self._function(f)

    def _follow_class(self, cls: type) -> None:
        for base in cls.__mro__:
            if self._first(base, "__mro__") and not library(base):
                self._methods(base)
        if not library(type(cls)):
            self.follow(type(cls), type(cls).__name__)

    def _methods(self, base: type) -> None:
        """Know the methods of a user's class by their code, and have its table looked into."""
        for n, item in list(vars(base).items()):
            f = function_of(item)
            if f is not None and not of_ingot(f.__code__):
                self._functions.setdefault(f.__code__, []).append(f)
                self._owners.setdefault(f.__code__, []).append((base, n))
        self._add_space(base, base.__name__)

    def _follow_object(self, x: Any, text: str, described: bool) -> None:
        if isinstance(x, weakref.ReferenceType) and id(x()) not in self._followed:
            self._weak.add(id(x()))
        for item in items_of(x):
            self.follow(item, text, described)
        wrapped = (vars_of(x) or {}).get("__wrapped__")
        if wrapped is not None:  # a compiled function; a cache, which need not call what it wraps
            self.follow(wrapped, text)
            if isinstance(wrapped, types.FunctionType) and not of_ingot(wrapped.__code__) and isinstance(x, _CACHE):
                self.caches.setdefault(wrapped.__code__, x)
                self._function(wrapped)
                self._code(wrapped.__code__, wrapped.__globals__)
        inner = (vars_of(x) or {}).get("_orig_mod")
        if inner is not None:
            self.follow(inner, text)
        cls, table = type(x), vars_of(x)
        if _is_of_logging(x, "Handler"):
            return
        if is_module(x):
            self._module(x)
        elif is_optimizer(x):
            self._optimizers.add(id(x))
            if library(cls):
                return
        elif (library(cls) and not namespace(x) and not _of_python(cls)) or (table is None and not slots_of(cls)):
            return
        self._follow_class(cls)
        if self.reads.watch(x):
            if not described and not is_module(x):
                self.inline.append(TypeIs(x, cls))
        elif isinstance(cls.__getattribute__, types.WrapperDescriptorType):  # in C
            self._add_space(x, cls.__name__)
        else:
            self.deep.append(ObjectState(x, cls.__name__, _described(x), NOTHING))
            for value in (table or {}).values():
                self.follow(value, text, described=True)

    def _module(self, m: Any) -> None:
        w = ModuleState(m, type(m).__name__, {}, None, NOTHING)
        w.seen = w.now()
        self.modules[id(m)] = w
        for child in list(m._modules.values()):
            if child is not None:
                self.follow(child, type(m).__name__)

    # ---- the modules of libraries, which no function changes while it is traced

    def _read_libraries(self) -> None:
        names = self._names
        for m in self._libraries:  # it grows
            table = vars(m)
            for n in names & table.keys():
                value = table[n]
                if value is sys.modules:
                    for full in self._strings & value.keys():
                        self._item(value, full, f"the module {full}")
                elif not plain(value) or not n.startswith("__"):
                    self._place(m, n, m.__name__)


def _is_of_logging(x: Any, name: str) -> bool:
    """Whether an object is an instance of this class of the logging module."""
    logging = sys.modules.get("logging")
    return logging is not None and issubclass(type(x), getattr(logging, name, ()))


def _of_python(cls: type) -> bool:
    """Whether a class is of the standard library; what threads wait for with each other decides nothing."""
    return standard_library(cls.__module__) and cls.__module__.partition(".")[0] not in ("threading", "multiprocessing")


def _described(x: Any) -> dict[str, Any]:
    """What an object holds itself, described."""
    return {k: describe(v) for k, v in (vars_of(x) or {}).items()}


def _ingots(x: Any) -> bool:
    """Whether an object's class is Ingot's own."""
    return (type(x).__module__ or "").partition(".")[0] == "ingot"


def _slot(slot: Any, x: Any) -> Any:
    """What a slot of an object holds; MISSING where nothing."""
    try:
        return slot.__get__(x)
    except AttributeError:
        return MISSING
