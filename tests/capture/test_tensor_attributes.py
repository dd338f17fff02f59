"""ingot.compile: attributes that users put on tensors. Those of arguments are arguments themselves; those of others are watched."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest

import ingot
from ingot import nn
from ingot.capture import CaptureError

PROGRAMS = {}


def program(make):
    """A program: given `compile` it gives what each step calls with its number."""
    PROGRAMS[make.__name__] = make
    return make


def plain(x: Any) -> Any:
    if isinstance(x, ingot.Tensor):
        return type(x).__name__, str(x.as_subclass(ingot.Tensor).tolist())
    return [plain(i) for i in x] if isinstance(x, (tuple, list)) else repr(x)


def ones() -> Any:
    return ingot.ones(2)


def reading(fn, change, x=None):
    """A program that changes `x` before each call."""

    def make(compile):
        f, t = compile(fn), ones() if x is None else x()

        def step(i):
            change(t, i)
            return f(t)

        return step

    return make


def tag_at_times(t, i):
    if i in (1, 3):
        t.tag = float(i)
    elif i == 4:
        del t.tag


def parts(t, i):
    t.parts = [ingot.full((2,), float(i)), {"a": i}, *[0] * (i // 4)]


def table(t, i):
    setattr(t, f"a{i}", i)


def matched(t):
    match t:
        case ingot.Tensor(tag=2):
            return t * 5
        case ingot.Tensor(tag=n):
            return t * n
    return t


def nested(t, i):
    t.within = getattr(t, "within", ones())
    t.within.tag = float(i)


def array(t, i):
    t.arr = getattr(t, "arr", np.ones(2))
    t.arr[0] = i


class Config:
    p = 1.0


def config(t, i):
    t.config = getattr(t, "config", Config())
    t.config.p = float(i)


def by_turns(t, i):
    t.fn = (lambda x: x * 2) if i % 2 else (lambda x: x * 3)


class Scaled(ingot.Tensor):
    scale = 2.0

    @property
    def twice(self):
        return self.scale * 2


class Slotted(ingot.Tensor):
    __slots__ = ("pos",)


class Placed(ingot.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        out = super().__torch_function__(func, types, args, kwargs or {})
        if isinstance(out, Placed):
            out._pos = max([a._pos for a in args if isinstance(a, Placed) and hasattr(a, "_pos")], default=0) + 1
        return out


class Guarded(ingot.Tensor):
    @property
    def scale(self):
        return self._scale * 2

    @scale.setter
    def scale(self, value):
        self._scale = value

    def __getattr__(self, name):
        if name == "magic":
            return 7.0
        raise AttributeError(name)


def scaled(t, i):
    Scaled.scale = 2.0 + i
    if i == 3:
        t.scale = 7.0


def special(t, i):
    t.tag = [0.0, -0.0, float("nan"), 1.5, 2.5, 3.5][i]


class Tagged(nn.Module):
    def forward(self, t):
        return t * t.tag


def slotted(t, i):
    if i == 4:
        del t.pos
    elif i:
        t.pos = float(i)


PROGRAMS |= {
    "a tag that comes and goes": reading(lambda t: t * getattr(t, "tag", 1.0), tag_at_times),
    "hasattr": reading(lambda t: t * (2 if hasattr(t, "tag") else 3), tag_at_times),
    "a mask": reading(lambda t: t * t.mask, lambda t, i: setattr(t, "mask", ingot.full((2,), float(i)))),
    "masks of many sizes": reading(lambda t: t * t.mask.sum(), lambda t, i: setattr(t, "mask", ingot.ones(i + 1))),
    "vars": reading(lambda t: t * len(vars(t)), table),
    "__dict__": reading(lambda t: t * len(t.__dict__), table),
    "dir": reading(lambda t: t * ("a3" in dir(t)), table),
    "a class that matches": reading(matched, tag_at_times),
    "a list": reading(lambda t: t * t.parts[0] + t.parts[1]["a"] + len(t.parts), parts),
    "attributes of attributes": reading(lambda t: t * t.within.tag + t.within, nested),
    "an object": reading(lambda t: t * t.config.p, config),
    "an array": reading(lambda t: t * float(t.arr[0]), array),
    "a function": reading(lambda t: t.fn(t), by_turns),
    "a name": reading(lambda t: t * (2 if t.name == "3" else 3), lambda t, i: setattr(t, "name", str(i))),
    "a branch": reading(lambda t: t * (2.0 if t.tag > 3 else 3.0), lambda t, i: setattr(t, "tag", 1.5 * i)),
    "floats that are special": reading(lambda t: (t.tag, t * t.tag), special),
    "an attribute of a class": reading(lambda t: (t * t.scale, t * t.twice), scaled, lambda: ones().as_subclass(Scaled)),
    "a slot": reading(lambda t: ones() * getattr(t, "pos", 1.0), slotted, lambda: ones().as_subclass(Slotted)),
    "in a Module": reading(Tagged(), lambda t, i: setattr(t, "tag", i)),
}


def captured(fn, change):
    """A program that reads a tensor which is no argument."""

    def make(compile):
        w = ones()
        f, x = compile(lambda t: fn(t, w)), ones()

        def step(i):
            change(w, i)
            return f(x)

        return step

    return make


PROGRAMS |= {
    "captured: a tag that comes and goes": captured(lambda t, w: t * w * getattr(w, "tag", 1.0), tag_at_times),
    "captured: not read otherwise": captured(lambda t, w: t * (2 if hasattr(w, "tag") else 3), tag_at_times),
    "captured: vars": captured(lambda t, w: t * len(vars(w)), table),
    "captured: __dict__": captured(lambda t, w: t * len(w.__dict__), table),
    "captured: numbers": captured(lambda t, w: t * w.tag, lambda w, i: setattr(w, "tag", float(i))),
}


def tried(t, w):
    try:
        return t * w.tag
    except AttributeError:
        return t + 7


PROGRAMS["captured: tried"] = captured(tried, tag_at_times)


@program
def of_a_parameter(compile):
    m = nn.Linear(2, 2)
    f, x = compile(lambda t: m(t) * 0 + (2.0 if hasattr(m.weight, "flag") else 1.0)), ones()

    def step(i):
        if i == 2:
            m.weight.flag = True
        if i == 4:
            del m.weight.flag
        return f(x)

    return step


@program
def of_all_parameters(compile):
    m = nn.Linear(2, 2)
    nn.init.ones_(m.weight)
    f, x = compile(lambda t: t * sum([p.sum() for p in m.parameters() if getattr(p, "group", 0) == 1])), ones()

    def step(i):
        m.weight.group = i % 2
        return f(x)

    return step


@program
def counted(compile):
    def fn(t):
        t.count = getattr(t, "count", 0) + 1
        return t * t.count

    f, x = compile(fn), ones()
    return lambda i: (f(x), x.count)


@program
def gathered(compile):
    def fn(t):
        t.total = getattr(t, "total", 0) + t
        return t.total * 2

    f, x = compile(fn), ones()
    return lambda i: (f(x), x.total)


@program
def deleted_by_turns(compile):
    def fn(t):
        if hasattr(t, "seen"):
            del t.seen
            return t * 2
        t.seen = True
        return t * 3

    f, x = compile(fn), ones()
    return lambda i: (f(x), hasattr(x, "seen"))


@program
def of_itself(compile):
    def fn(t):
        t.me = t
        y = t * 2
        y.source = t
        return y

    f, x = compile(fn), ones()

    def step(i):
        y = f(x)
        return y, x.me is x, y.source is x

    return step


@program
def written_in_place(compile):
    def fn(t):
        t.mask.add_(1)
        return t * t.mask

    f, x = compile(fn), ones()
    x.mask = ones()
    return lambda i: (f(x), x.mask)


@program
def with_gradients(compile):
    m = nn.Linear(2, 2)
    nn.init.ones_(m.weight)
    f, g, x = compile(lambda t: t * t.weight), compile(lambda t: t * t.weight + m.weight), ones()

    def step(i):
        x.weight = m.weight
        for h in f, g:
            h(x).sum().backward()
        return m.weight.grad

    return step


@program
def of_what_the_function_captures_too(compile):
    w = ones()

    def fn(t):
        t.tag = getattr(t, "tag", 0) + 1
        return w * t * t.tag

    f = compile(fn)
    return lambda i: (f(w), w.tag)


@program
def of_arguments_that_share_memory(compile):
    def fn(a, b):
        a.add_(1)
        return b * a.tag

    f, x = compile(fn), ingot.ones(2, 2)

    def step(i):
        x.tag = i
        return f(x, x[0]), x

    return step


@program
def of_what_is_kept(compile):
    o = Config()
    o.h = ones()

    def fn(t):
        k = getattr(o.h, "k", 0)
        o.h = o.h + t
        o.h.k = (k + 1) % 3
        return o.h * o.h.k

    f = compile(fn)
    return lambda i: (f(ones()), o.h, o.h.k)


@program
def of_what_the_user_exchanges(compile):
    o = Config()
    f = compile(lambda t: t * o.h * getattr(o.h, "k", 1))

    def step(i):
        o.h = ingot.full((2,), float(i))
        if i > 3:
            o.h.k = i
        return f(ones())

    return step


@program
def of_results_of_a_class(compile):
    f = compile(lambda t: t * 2 + t)
    x = ones().as_subclass(Placed)
    x._pos = 0
    kept = [x]

    def step(i):
        kept[0] = f(kept[0])
        return kept[0], kept[0]._pos

    return step


@program
def by_properties_and_getattr(compile):
    def fn(t):
        t.scale = t.scale + 1
        return t * t.magic

    f, x = compile(fn), ones().as_subclass(Guarded)
    x.scale = 1.0
    return lambda i: (f(x), x.scale)


@program
def weak(compile):
    owners = [Config()]
    f, x = compile(lambda t: t * (t.owner().p if t.owner() is not None else 0.0)), ones()
    x.owner = weakref.ref(owners[0])

    def step(i):
        if i == 2:
            owners[0].p = 5.0
        if i == 4:
            owners.clear()
        return f(x)

    return step


@program
def in_a_dict_and_by_keyword(compile):
    f, x, y = compile(lambda d, *, u: d["x"] * d["x"].mask * u.tag), ones(), ones()

    def step(i):
        x.mask, y.tag = ingot.full((2,), float(i)), i
        return f({"x": x}, u=y)

    return step


@program
def of_autograd(compile):
    def fn(t):
        return t * (2 if t.requires_grad else 3) * (2 if t.is_leaf else 3) * (2 if t.retains_grad else 3) * (2 if t.grad is None else 3)

    f, x = compile(fn), ingot.ones(2, requires_grad=True)
    y = x * 2

    def step(i):
        if i == 3:
            y.retain_grad()
        if i == 4:
            x.grad = ones()
        return f([ones(), x, y, y, x, y][i])

    return step


@pytest.mark.parametrize("make", PROGRAMS.values(), ids=PROGRAMS)
def test_programs(make):
    eager, compiled = make(lambda f: f), make(ingot.compile)
    for i in range(6):
        want = plain(eager(i))
        assert plain(compiled(i)) == want, f"call {i}"


def test_numbers_are_run_time_numbers_from_the_second_value_on():
    f, x = ingot.compile(lambda t: t * t.scale + t.n), ones()
    for i in range(8):
        x.scale, x.n = 1.5 * i, i
        assert f(x).tolist() == [2.5 * i] * 2
    assert f.stats["traces"] == 2
    assert "t.scale is 1.5, it was 0.0" in str(f.recompiles)


def test_hits_go_the_short_way():
    f, x = ingot.compile(lambda t: t * t.mask), ones()
    for i in range(4):
        x.mask = ingot.full((2,), float(i))
        assert f(x).tolist() == [i, i]
    assert f._fast[1](x) is not None and f._fast[0] == 1
    del x.mask
    with pytest.raises(AttributeError):
        f(x)


def test_other_attributes_are_named_as_the_reason():
    f, x = ingot.compile(lambda t: t * 2), ones()
    f(x)
    x.tag = "a"
    f(x)
    x.tag = "b"
    f(x)
    assert list(f.recompiles) == ["tensors among the arguments have other attributes", "argument t.tag is 'b', it was 'a'"]


def test_marks_are_no_attributes():
    f = ingot.compile(lambda t: t * 2)
    for n in range(2, 7):
        x = ingot.ones(n)
        ingot.mark_dynamic(x, 0)
        y = f(x)
        assert y.shape == (n,) and not vars(y)
    assert f.stats["traces"] == 1


def test_what_no_call_would_repeat_is_refused():
    def write(t):
        t.meta["n"] = 1
        return t

    x = ones()
    x.meta = {}
    with pytest.raises(CaptureError, match="cannot add to or take from a list or dict"):
        ingot.compile(write)(x)
    assert x.meta == {}

    def tag(a, b):
        a.add_(1)
        a.tag = 1
        return b

    x = ingot.ones(2, 2)
    with pytest.raises(CaptureError, match="assigns the attribute tag of argument a, which shares memory"):
        ingot.compile(tag)(x, x[0])
    assert not vars(x) and x.tolist() == [[1, 1], [1, 1]]
