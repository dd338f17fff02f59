"""Random programs that read a number through a chain of places, and change one of them: for what compiled functions watch.

A program is text that defines `f(x)`, `change()` and `again()`, another change of the same place. The chain begins at a root (a
global, a variable of an enclosing function, a default) and leads through places, each of which holds the next: attributes, items,
and what functions, methods and descriptors give.
"""

from __future__ import annotations

import random

__all__ = ["program"]

PRELUDE = """
import collections, contextvars, functools, operator, types, weakref
import ingot
class Plain: pass
class Slots: __slots__ = ("p", "__weakref__")
class Asked:
    def __getattr__(self, name): return self.__dict__["held"][name]
class Own:
    @property
    def p(self): return self.held
class Held:
    def __init__(self, held): self.held = held
    def __get__(self, instance, owner=None): return self.held
class Called:
    def __call__(self): return self.p
    def __getitem__(self, i): return self.p
    def __iter__(self): return iter([self.p])
def made(it, value):
    it.p = value
    return it
"""

# how a place {n} is made that holds {i}; how what it holds is read, where {e} reads the place; how that is changed to {new}
KINDS = (
    ("{n} = made(Plain(), {i})", "{e}.p|getattr({e}, 'p')|vars({e})['p']|operator.attrgetter('p')({e})",
     "{n}.p = {new}|{n}.__dict__['p'] = {new}|{n}.__dict__ = dict(p={new})|vars({n}).update(p={new})"),
    ("{n} = made(Slots(), {i})", "{e}.p|getattr({e}, 'p')", "{n}.p = {new}"),
    ("{n} = made(types.ModuleType('state'), {i})", "{e}.p", "{n}.p = {new}"),
    ("{n} = types.SimpleNamespace(p={i})", "{e}.p", "{n}.p = {new}"),
    ("class {n}: p = {i}", "{e}.p|{e}().p|{e}.__dict__['p']", "{n}.p = {new}"),
    ("class {n}b: p = {i}\nclass {n}({n}b): pass", "{e}.p|{e}().p", "{n}.p = {new}|{n}b.p = {new}"),
    ("{n} = type('C', (), dict(q=type('D', (), dict(p={i}))))", "{e}.q.p", "{n}.q.p = {new}|{n}.q = types.SimpleNamespace(p={new})"),
    ("class {n}m(type): p = {i}\nclass {n}(metaclass={n}m): pass", "{e}.p", "{n}m.p = {new}|{n}.p = {new}"),
    ("class {n}:\n    p = {i}\n    @classmethod\n    def m(cls): return cls.p", "{e}.m()|{e}().m()", "{n}.p = {new}"),
    ("{n} = [0, {i}]", "{e}[1]|{e}[-1]|[*{e}][1]|list(reversed({e}))[0]", "{n}[1] = {new}|{n}.pop(), {n}.append({new})"),
    ("{n} = dict(p={i})", "{e}['p']|{e}.get('p')|list({e}.values())[0]|{{**{e}}}['p']", "{n}['p'] = {new}|{n}.update(p={new})"),
    ("{n} = ({i}, 0)", "{e}[0]|min({e}[:1], key=id)", "{n} = ({new}, 0)"),
    ("{n} = collections.deque([{i}])", "{e}[0]", "{n}[0] = {new}"),
    ("{n} = collections.UserDict(p={i})", "{e}['p']", "{n}['p'] = {new}"),
    ("{n} = collections.ChainMap(dict(), dict(p={i}))", "{e}['p']", "{n}.maps[1]['p'] = {new}|{n}['p'] = {new}"),
    ("{n}d = dict(p={i})\n{n} = types.MappingProxyType({n}d)", "{e}['p']", "{n}d['p'] = {new}"),
    ("{n}d = dict(p={i})\n{n} = {n}d.values()", "list({e})[0]", "{n}d['p'] = {new}"),
    ("{n} = Asked()\n{n}.held = dict(p={i})", "{e}.p", "{n}.held['p'] = {new}|{n}.p = {new}|{n}.__dict__ = dict(held=dict(p={new}))"),
    ("{n} = Own()\n{n}.held = {i}", "{e}.p", "{n}.held = {new}|{n}.__dict__ = dict(held={new})|object.__setattr__({n}, 'held', {new})"),
    ("{n}d = Held({i})\n{n} = type('D', (), dict(p={n}d))()", "{e}.p", "{n}d.held = {new}|type({n}).p = {new}"),
    ("{n} = made(Called(), {i})", "{e}()|{e}[0]|list({e})[0]", "{n}.p = {new}"),
    ("{n}v = {i}\ndef {n}(): return {n}v", "{e}()", "{n}v = {new}"),
    ("def {n}(a={i}): return a", "{e}()", "{n}.__defaults__ = ({new},)"),
    ("def {n}(*, a={i}): return a", "{e}()", "{n}.__kwdefaults__ = dict(a={new})|{n}.__kwdefaults__['a'] = {new}"),
    ("def {n}(): return {n}.p\n{n}.p = {i}", "{e}()", "{n}.p = {new}|{n}.__dict__ = dict(p={new})"),
    ("{n} = made(ingot.ones(1), {i})", "{e}.p|getattr({e}, 'p')|vars({e})['p']",
     "{n}.p = {new}|{n}.__dict__ = dict(p={new})|vars({n}).update(p={new})|object.__setattr__({n}, 'p', {new})"),
    ("{n} = made(ingot.nn.Module(), {i})", "{e}.p|getattr({e}, 'p')",
     "{n}.p = {new}|{n}.__dict__ = dict({n}.__dict__, p={new})|vars({n})['p'] = {new}|object.__setattr__({n}, 'p', {new})"),
    ("{n}v = {i}\ndef {n}(): return {n}v\ndef {n}o(): return {new}", "{e}()", "{n}.__code__ = {n}o.__code__"),
    ("{n}l = [{i}]\n{n} = functools.partial(lambda held: held[0], {n}l)", "{e}()", "{n}l[0] = {new}"),
    ("{n}v = {i}\nclass {n}c:\n    def m(self): return {n}v\n{n} = {n}c()", "{e}.m()",
     "{n}v = {new}|{n}c.m = lambda self: {new}|{n}.m = lambda: {new}"),
    ("{n}o = made(Plain(), {i})\n{n} = weakref.ref({n}o)", "{e}().p", "{n}o.p = {new}"),
    ("{n} = contextvars.ContextVar('{n}')\n{n}.set({i})", "{e}.get()", "{n}.set({new})"),
    ("def {n}h():\n    v = {i}\n    def read(): return v\n    def write(to):\n        nonlocal v\n        v = to\n    return read, write\n"
     "{n}, {n}w = {n}h()",
     "{e}()", "{n}w({new})"),
)  # fmt: skip

ROOTS = (
    "def f(x): return x * float({0})",
    "def outer(root):\n    def f(x): return x * float({1})\n    return f\nf = outer({2})",
    "def f(x, root={2}): return x * float({1})",
    "class Model:\n    root = {2}\n    def call(self, x): return x * float({3})\nf = Model().call",
)


def program(seed: int) -> str:
    """The program of a seed."""
    rng = random.Random(seed)
    depth = rng.randrange(1, 5)
    kinds = [rng.choice(KINDS) for _ in range(depth)]
    inner, lines = f"{rng.randrange(1, 9)}.", [PRELUDE]
    numbers = [f"{rng.randrange(10, 19)}.", f"{rng.randrange(20, 29)}."]
    at = rng.randrange(depth)
    for k, (make, _, _) in enumerate(kinds):
        lines.append(make.format(n=f"v{k}", i=inner, new=numbers[0] if k == 0 else f"w{k - 1}"))
        inner = f"v{k}"
    others = list(numbers)  # what the changed place holds afterwards: chains like the one below it
    for i, first in enumerate("wu"):
        for k, (make, _, _) in enumerate(kinds[:at]):
            lines.append(make.format(n=f"{first}{k}", i=others[i], new=numbers[i]))
            others[i] = f"{first}{k}"
    reads = [rng.choice(read.split("|")) for _, read, _ in kinds]

    def through(e: str) -> str:
        for read in reversed(reads):
            e = read.format(e=e)
        return e

    lines.append(rng.choice(ROOTS).format(through(inner), through("root"), inner, through("self.root")))
    names = [f"v{at}{s}" for s in ("", "v")]
    for function, other in zip(("change", "again"), others):
        change = rng.choice(kinds[at][2].split("|")).format(n=f"v{at}", new=other)
        lines.append(f"def {function}():\n    global {', '.join(names)}\n    {change}")
    return "\n".join(lines)
