"""ingot.compile: Python state beside the arguments. What a call reads is watched, what it never looks at is not."""

import argparse
import copy
import types
from collections import deque
from dataclasses import dataclass

import numpy as np
import pytest

import ingot
from ingot import nn
from tests.support.small_net import close


@pytest.mark.parametrize("kind", [types.SimpleNamespace, argparse.Namespace])
def test_namespaces_are_watched(kind):
    settings = kind(scale=2, inner=kind(shift=1))
    f = ingot.compile(lambda x: x * settings.scale + settings.inner.shift)
    x = ingot.ones(2)
    assert f(x).tolist() == [3, 3]
    settings.scale = 5
    assert f(x).tolist() == [6, 6]
    settings.inner.shift = 0
    assert f(x).tolist() == [5, 5]
    assert f(x).tolist() == [5, 5] and f.stats["traces"] == 3


class Trainer:
    def __init__(self):
        self.model = nn.Linear(2, 2)
        self.optimizer = ingot.optim.SGD(self.model.parameters(), lr=0.1)
        self.steps, self.history, self.power = 0, [], 2
        self.step = ingot.compile(self._step)

    def _step(self, x):
        self.optimizer.zero_grad()
        loss = (self.model(x) ** self.power).sum()
        loss.backward()
        self.optimizer.step()
        return loss

    def log(self, loss):
        self.history.append(loss.item())


def test_counters_and_logs_that_the_function_does_not_read():
    t = Trainer()
    x = ingot.ones(1, 2)
    for _ in range(5):
        t.log(t.step(x))
        t.steps += 1
    assert t.step.stats["traces"] <= 2 and len(t.history) == 5
    t.power = 1
    t.step(x)
    assert t.step.stats["recompiles"] and any("power" in r for r in t.step.recompiles)


def test_module_attributes_that_a_call_does_not_read():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2, 2)
            self.global_step, self.metrics, self.scale = 0, {}, 1

        def forward(self, x):
            return self.fc(x) * self.scale

        def log(self, name, value):
            self.metrics.setdefault(name, []).append(value)

    m = Net()
    c = ingot.compile(m)
    x = ingot.ones(1, 2)
    for i in range(5):
        y = c(x)
        m.log("y", y.sum().item())
        m.global_step += 1
        m.fc.note = i
    assert c.stats["traces"] == 1
    m.scale = 3
    close(c(x).detach(), m(x).detach())
    assert c.stats["traces"] == 2
    m.eval()  # nothing here asks for the mode
    c(x)
    assert c.stats["traces"] == 2


READS = {
    "lookup": lambda o: o.k,
    "getattr with a default": lambda o: getattr(o, "k", 1),
    "hasattr": lambda o: 7 if hasattr(o, "k") else 1,
    "vars": lambda o: vars(o).get("k", 1),
    "__dict__": lambda o: o.__dict__.get("k", 1),
    "a built name": lambda o: getattr(o, "".join(["k"]), 1),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("kind", ["object", "module"])
def test_every_way_to_read_is_seen(read, kind):
    base = nn.Module if kind == "module" else object

    class Holder(base):
        pass

    o = Holder()
    if read is not READS["lookup"]:
        f = ingot.compile(lambda x: x * read(o))
        assert f(ingot.ones(1)).item() == 1
        o.k = 7
        assert f(ingot.ones(1)).item() == 7
        del o.k
        assert f(ingot.ones(1)).item() == 1
    o.k = 2
    f = ingot.compile(lambda x: x * read(o))
    before = f(ingot.ones(1)).item()
    o.k = 5
    assert f(ingot.ones(1)).item() == (7 if read is READS["hasattr"] else 5), before


def test_what_methods_properties_and_super_read():
    class Base:
        def __init__(self):
            self._width, self.depth = 2, 3

        @property
        def width(self):
            return self._width

        def total(self):
            return self.depth

    class Derived(Base):
        def total(self):
            return super().total() + self.width

    d = Derived()
    f = ingot.compile(lambda x: x * d.total())
    assert f(ingot.ones(1)).item() == 5
    d._width = 4
    assert f(ingot.ones(1)).item() == 7
    d.depth = 0
    assert f(ingot.ones(1)).item() == 4


def test_frozen_dataclasses_slots_and_own_lookups():
    @dataclass(frozen=True)
    class Config:
        width: int = 2

    class Loose(dict):
        __getattr__ = dict.__getitem__

    class Watching:
        def __init__(self):
            self.k = 1

        def __getattribute__(self, name):
            return object.__getattribute__(self, name)

    class Meta(type):
        def __setattr__(cls, name, value):
            raise TypeError("closed")

    class Closed(metaclass=Meta):
        def __init__(self):
            self.k = 1

    config, loose, watching, closed = Config(), Loose(k=1), Watching(), Closed()
    f = ingot.compile(lambda x: x * (config.width + loose.k * 10 + watching.k * 100 + closed.k * 1000))
    x = ingot.ones(1)
    assert f(x).item() == 1112
    watching.k = 2
    assert f(x).item() == 1212
    closed.k = 2
    assert f(x).item() == 2212
    object.__setattr__(config, "width", 3)
    assert f(x).item() == 2213
    assert Config.__getattribute__ is object.__getattribute__ and "__getattribute__" not in vars(nn.Module)


def test_attributes_that_a_call_writes_are_written_by_later_calls():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = "nothing"

        def forward(self, x):
            self.last = "forward"
            return x * 2

    m = Net()
    c = ingot.compile(m)
    for _ in range(3):
        c(ingot.ones(1))
        assert m.last == "forward"
    m.last = "other"
    c(ingot.ones(1))
    assert m.last == "forward"


def test_a_failed_trace_leaves_classes_as_they_were():
    t = Trainer()
    f = ingot.compile(lambda x: x * (1 if x.sum() > 0 else t.power))
    with pytest.raises(ingot.CaptureError):
        f(ingot.ones(1))
    assert Trainer.__getattribute__ is object.__getattribute__ and "__getattribute__" not in vars(nn.Module)
    assert Trainer.__setattr__ is object.__setattr__


TABLE = {"scale": 1}


class Settings:
    scale = 1
    names = ["a"]

    @classmethod
    def total(cls):
        return cls.scale + len(cls.names)


class Holding(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return x * total(self.value)


class Plain:
    def __init__(self, value):
        self.value = value

    def __call__(self, x):
        return x * total(self.value)


def total(value):
    return float(sum(value.values() if isinstance(value, dict) else value))


VALUES = [
    ([1, 2], lambda v: v.append(4)),
    ({"a": 3}, lambda v: v.update(a=7)),
    ({1, 2}, lambda v: v.add(4)),
    (np.array([1.0, 2.0]), lambda v: v.__setitem__(0, 5.0)),
    (deque([1, 2]), lambda v: v.append(4)),
]


@pytest.mark.parametrize("value, change", VALUES, ids=[type(v).__name__ for v, _ in VALUES])
@pytest.mark.parametrize("where", [Holding, Plain, lambda v: lambda x: x * total(v)], ids=["module", "object", "closure"])
def test_containers_that_change_in_place(value, change, where):
    value = copy.deepcopy(value)
    f = ingot.compile(where(value))
    x = ingot.ones(1)
    assert [f(x).item() for _ in range(3)] == [3, 3, 3]
    change(value)
    assert [f(x).item() for _ in range(3)] == [7, 7, 7]


def test_class_attributes(monkeypatch):
    f = ingot.compile(lambda x: x * Settings.total() + TABLE["scale"])
    x = ingot.ones(1)
    assert [f(x).item() for _ in range(3)] == [3, 3, 3]
    monkeypatch.setattr(Settings, "scale", 4)
    assert [f(x).item() for _ in range(3)] == [6, 6, 6]
    monkeypatch.setattr(Settings, "names", [])
    assert f(x).item() == 5
    monkeypatch.setitem(TABLE, "scale", 2)
    assert f(x).item() == 6

    class Scaled(nn.Module):
        factor = 2

        def forward(self, x):
            return x * self.factor

    c = ingot.compile(Scaled())
    assert c(x).item() == 2
    Scaled.factor = 3
    assert c(x).item() == 3


def test_tuples_that_count_in_their_own_way():
    class Odd(tuple):
        def __len__(self):
            raise NotImplementedError("there are several ways to count")

        def __iter__(self):
            raise NotImplementedError("and to go through it")

        def last(self):
            return self[1]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.odd = Odd((2, 3))

        def forward(self, x):
            return x * self.odd.last()

    odd, net = Odd((2.0, 3.0)), Net()
    f, g = ingot.compile(lambda x: x * odd[1]), ingot.compile(net)
    for _ in range(2):
        assert f(ingot.ones(1)).item() == 3 and g(ingot.ones(1)).item() == 3
    net.odd = Odd((2, 5))
    assert g(ingot.ones(1)).item() == 5
    net.odd = Odd((2, 6))
    assert g(ingot.ones(1)).item() == 6 and type(net.odd) is Odd


def test_data_that_is_assigned_as_it_is():
    layer, other = nn.Linear(2, 2), ingot.ones(2, 2)

    @ingot.compile
    def f(x):
        layer.weight.data = layer.weight.data.to(ingot.float32)
        return layer(x)

    x = ingot.ones(1, 2)
    for _ in range(2):
        close(f(x), layer(x).detach().numpy())
        layer.weight.data.add_(1)
    f(x).sum().backward()
    assert layer.weight.grad.tolist() == [[1, 1], [1, 1]]
    for change in (lambda t: t.t(), lambda t: other, lambda t: t.clone()):

        def g(x, change=change):
            layer.weight.data = change(layer.weight.data)
            return layer(x)

        close(ingot.compile(g)(x), layer(x).detach().numpy())
