"""ingot.compile: what users put before Tensor's own methods, at one tensor or at its class, is seen by compiled functions."""

from __future__ import annotations

import pytest

import ingot
from ingot.capture import CaptureError


def hundred(*_):
    return ingot.tensor(100.0)


class Subclass(ingot.Tensor):
    factor = 2.0

    def scaled(self):
        return self.sum() * self.factor


def held():
    x = ingot.ones(3)
    return x, lambda y: x.sum() * y, x


def parameter():
    layer = ingot.nn.Linear(3, 1)
    return layer.weight, lambda y: layer.weight.sum() * y, layer


def in_a_list():
    x = [ingot.ones(3)]
    return x[0], lambda y: x[0].sum() * y, x


def state_of_an_optimizer():
    p = ingot.ones(3, requires_grad=True)
    optimizer = ingot.optim.SGD([p], 0.1, momentum=0.9)
    p.sum().backward()
    optimizer.step()
    return optimizer.state[p]["momentum_buffer"], lambda y: optimizer.state[p]["momentum_buffer"].sum() * y, optimizer


def of_a_subclass():
    x = ingot.ones(3).as_subclass(Subclass)
    return x, lambda y: x.scaled() * y, x


def warm(f, *args):
    return [float(f(*args)) for _ in range(4)][-1]


@pytest.mark.parametrize("make", [held, parameter, in_a_list, state_of_an_optimizer, of_a_subclass])
def test_a_method_replaced_at_one_tensor(make):
    x, fn, _kept = make()
    f = ingot.compile(fn)
    one = ingot.ones(1)
    before = warm(f, one)
    assert before == float(fn(one)) != 100
    x.unread = 1
    assert warm(f, one) == before and f.stats["traces"] == 1
    x.sum = hundred
    assert warm(f, one) == float(fn(one)) != before
    del x.sum
    assert warm(f, one) == before


def test_a_method_replaced_at_an_argument():
    x = ingot.ones(3)
    f = ingot.compile(lambda x: x.sum() * 1)
    assert warm(f, x) == 3
    x.sum = hundred
    assert warm(f, x) == 100 and warm(f, ingot.ones(3)) == 3


def test_an_attribute_of_a_gradient_is_refused():
    p = ingot.ones(3, requires_grad=True)
    p.grad = ingot.ones(3)
    f = ingot.compile(lambda y: p.grad.sum() * y)
    assert warm(f, ingot.ones(1)) == 3
    p.grad.sum = hundred
    with pytest.raises(CaptureError, match="attributes of a gradient"):
        f(ingot.ones(1))


CLASSES = {
    "sum": (lambda x: x.sum(), hundred),
    "__add__": (lambda x: (x + 1).sum(), hundred),
    "T": (lambda x: x.T.sum(), property(lambda x: x * 100)),
    "factor": (lambda x: (x * x.factor).sum(), 5.0),
    "table": (lambda x: (x * x.table[0]).sum(), [7.0]),
    "twice": (lambda x: x.twice().sum(), lambda x: x * 2),
}


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("captured", [False, True])
def test_what_is_put_into_the_class(name, captured, monkeypatch):
    fn, new = CLASSES[name]
    x = ingot.ones(3)
    if not hasattr(ingot.Tensor, name):
        monkeypatch.setattr(ingot.Tensor, name, (lambda x: x) if callable(new) else [1.0] if isinstance(new, list) else 1.0, raising=False)
    f = ingot.compile((lambda: fn(x)) if captured else fn)
    args = () if captured else (x,)
    before = warm(f, *args)
    monkeypatch.setattr(ingot.Tensor, name, new)
    now = warm(f, *args)
    assert now == float(fn(x)) != before
    monkeypatch.undo()
    if hasattr(ingot.Tensor, name):
        assert warm(f, *args) == before


def test_a_list_in_the_class_that_changes(monkeypatch):
    monkeypatch.setattr(ingot.Tensor, "table", [1.0], raising=False)
    f = ingot.compile(lambda x: (x * x.table[0]).sum())
    assert warm(f, ingot.ones(3)) == 3
    ingot.Tensor.table[0] = 2.0  # type: ignore[attr-defined]
    assert warm(f, ingot.ones(3)) == 6


def test_what_is_put_into_classes_of_layers(monkeypatch):
    layer = ingot.nn.Linear(1, 1)
    monkeypatch.setattr(ingot.nn.Linear, "factor", 2.0, raising=False)
    f = ingot.compile(lambda x: (x * layer.factor * len(list(layer.parameters()))).sum())
    assert warm(f, ingot.ones(1)) == 4
    monkeypatch.setattr(ingot.nn.Linear, "factor", 7.0)
    assert warm(f, ingot.ones(1)) == 14
    monkeypatch.setattr(ingot.nn.Module, "parameters", lambda self: [1, 2, 3])
    assert warm(f, ingot.ones(1)) == 21
    layer.factor = 10.0
    assert warm(f, ingot.ones(1)) == 30
