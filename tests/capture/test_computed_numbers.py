"""Numbers that a compiled function asks of tensors (`item()`, `float()`), and calculates with, returns and keeps."""

import math

import numpy as np
import pytest

import ingot
from ingot import nn


def same(a, b):
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, ingot.Tensor):
        return a.dtype is b.dtype and np.allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5)
    return a.__class__ is b.__class__ and (a == b or math.isclose(a, b, rel_tol=1e-5))


def beside(make, arguments, calls=6, traces=1):
    """What `make()` gives, eager beside compiled: a function, and what shows the state that it changes."""
    seen = []
    for compiled in (False, True):
        f, state = make()
        g = ingot.compile(f) if compiled else f
        seen.append([(g(*arguments(i)), [s.clone() if isinstance(s, ingot.Tensor) else s for s in state()]) for i in range(calls)])
    for i, (a, b) in enumerate(zip(*seen)):
        assert same(a, b), (i, a, b)
    assert g.stats["traces"] <= traces, g.recompiles


def up(i):
    return (ingot.arange(4.0) + i,)


RETURNED = [
    lambda x: (x * 2).sum().item(),
    lambda x: float((x * 2).sum()) * 2 + 1,
    lambda x: {"loss": x.sum().item(), "many": (x > 2).sum().item(), "y": x * 2},
    lambda x: (int((x > 2).sum()), float((x > 2).sum()), x.argmax().item()),
    lambda x: (x > 2).sum().item() / x.size(0),
    lambda x: math.sqrt(x.max().item() ** 2 + 1) - x.half().sum().item(),
    lambda x: x[x.argmax().item()],
]


@pytest.mark.parametrize("f", RETURNED)
def test_what_is_returned(f):
    beside(lambda: (f, lambda: []), up)


CALCULATED = [
    lambda x: x / x.sum().item() * math.sqrt(x.max().item()),
    lambda x: x * (2 - x.mean().item()) ** 2 + x.sum().item() // 3,
    lambda x: ingot.full((2,), x.max().item()) + ingot.ones((x > 1).sum().item(), 2).sum(),
    lambda x: x * math.exp(-x.max().item()) + math.log(x.sum().item() + 1, 2) % 2,
]


@pytest.mark.parametrize("f", CALCULATED)
def test_what_tensors_are_calculated_with(f):
    beside(lambda: (f, lambda: []), lambda i: (ingot.arange(4.0) + i + 1,))


def test_a_training_step_that_returns_numbers_and_keeps_them():
    def make():
        layer, totals = nn.Linear(4, 1), {"sum": 0.0, "n": 0}
        with ingot.no_grad():
            layer.weight.fill_(0.1)
            layer.bias.zero_()
        optimizer = ingot.optim.Adam(layer.parameters(), 0.1)

        def step(x):
            loss = layer(x).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            totals["sum"] += loss.item() * x.size(0)
            totals["n"] += x.size(0)
            return loss.item()

        return step, lambda: [dict(totals), *layer.parameters()]

    beside(make, up, traces=2)


def test_attributes_that_follow_computed_numbers():
    class Meter:
        value = total = average = 0.0
        n = 0

    def make():
        m = Meter()

        def f(x):
            m.value = x.mean().item()
            m.total += m.value
            m.n += 1
            m.average = m.total / m.n
            return m.average

        return f, lambda: [m.value, m.total, m.n, m.average]

    beside(make, up, traces=3)


def test_integers_may_be_negative():
    beside(lambda: (lambda x: ((x - 5).sum().long().item(), (x - 5).sum().int().item() * 2 + x), lambda: []), lambda i: up(2 * i), traces=2)


def test_sizes_that_integers_are():
    beside(lambda: (lambda x, n: ingot.zeros(n.item(), 2) + x[:2], lambda: []), lambda i: (ingot.ones(4), ingot.tensor(5 - i)), traces=2)
    with pytest.raises(RuntimeError):
        ingot.compile(lambda n: ingot.zeros(n.item()))(ingot.tensor(-2))


def test_division_by_zero_is_pythons_and_nothing_is_written():
    p = ingot.ones(1)

    @ingot.compile
    def f(x):
        p.add_(1)
        return x.sum().item() / x.min().item()

    with pytest.raises(ZeroDivisionError):
        f(ingot.arange(4.0))
    assert p.item() == 1 and f(ingot.arange(4.0) + 1) == 10.0 and p.item() == 2


def test_numbers_of_random_values_are_those_of_the_call():
    @ingot.compile
    def f():
        x = ingot.rand(3)
        return x, x.sum().item(), x * x.max().item()

    seen = []
    for _ in range(3):
        x, total, y = f()
        assert math.isclose(x.sum().item(), total, rel_tol=1e-6) and ingot.allclose(y, x * x.max())
        seen.append(total)
    assert len(set(seen)) == 3 and f.stats["traces"] == 1


@pytest.mark.parametrize("f", [
    lambda x: x if x.sum() > 0 else -x, lambda x: x if x.sum().item() > 0 else -x, lambda x: bool(x.sum()),
    lambda x: f"{x.sum().item():.2f}", lambda x: int(x.sum().item()), lambda x: [0] * x.long().sum().item(), lambda x: {x.sum().item(): 1},
    lambda x: round(x.sum().item(), 1),
    lambda x: (x > 1).any().item(),
])  # fmt: skip
def test_what_must_be_known_is_refused_with_its_line(f):
    with pytest.raises(ingot.CaptureError, match=r"(?s)is not known while.*test_computed_numbers.py:\d+.*ingot.where"):
        ingot.compile(f)(ingot.ones(2))


def test_an_artifact_has_no_numbers(tmp_path):
    with pytest.raises(RuntimeError, match="export: .*the value of a tensor"):
        ingot.export(lambda x: x * x.sum().item(), ingot.ones(3), tmp_path / "m.ingot")
