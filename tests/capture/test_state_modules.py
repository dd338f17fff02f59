"""ingot.compile: modules that share, exchange and make state, nested and in functional calls, behave as they do uncompiled."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest

import ingot
from ingot import nn
from tests.support.stateful import Counting, X, check, tensor

PROGRAMS = {}


def program(make):
    PROGRAMS[make.__name__] = make
    return make


@program
def a_buffer_is_registered_inside(compile):
    class Lazy(nn.Module):
        def forward(self, x):
            if not hasattr(self, "mean"):
                self.register_buffer("mean", ingot.zeros(3))
            self.mean.mul_(0.5).add_(x)
            return x - self.mean

    m = Lazy()
    f = compile(m)
    return lambda: f(tensor()), m


@program
def a_parameter_is_registered_inside(compile):
    class Lazy(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_parameter("w", None)

        def forward(self, x):
            if self.w is None:
                self.w = nn.Parameter(ingot.ones(3))
            return (x * self.w).sum()

    m = Lazy()
    f = compile(m)

    def call():
        f(tensor()).backward()

    return call, m


@program
def two_modules_share_a_parameter(compile):
    a, b = nn.Linear(3, 3), nn.Linear(3, 3)
    b.weight = a.weight

    def f(x):
        a.zero_grad()
        loss = b(a(x)).pow(2).sum()
        loss.backward()
        with ingot.no_grad():
            for p in {*a.parameters(), *b.parameters()}:
                p.sub_(p.grad * 0.01)
        return loss

    f = compile(f)
    return lambda: f(tensor()), a, b


@program
def two_compiled_modules_share_a_parameter(compile):
    a, b = nn.Linear(3, 3), nn.Linear(3, 3)
    b.weight = a.weight
    f, g = compile(a), compile(b)

    def call():
        loss = g(f(tensor())).pow(2).sum()
        loss.backward()
        with ingot.no_grad():
            a.weight.sub_(a.weight.grad * 0.01)
        return loss

    return call, a, b


@program
def a_parameter_is_exchanged_between_calls(compile):
    m = nn.Linear(3, 1)
    f = compile(m)

    def call():
        out = f(tensor())
        m.weight = nn.Parameter(m.weight.detach() + 1)
        return out

    return call, m


@program
def functional_call_with_an_error_inside(compile):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(3, 3)

        def forward(self, x):
            f(x)
            raise KeyError

    m = Net()
    f = compile(m.inner)

    def call():
        seen = [f(tensor())]
        with pytest.raises(KeyError):
            ingot.func.functional_call(m, {"inner.weight": ingot.ones(3, 3)}, tensor())
        return seen + [f(tensor())]

    return call, m


@program
def generators(compile):
    mine = ingot.Generator().manual_seed(7)

    def f(x):
        return x + ingot.rand(3) + ingot.rand(3, generator=mine)

    f = compile(f)
    return (lambda: (f(tensor()), ingot.rand(2), ingot.rand(2, generator=mine), mine.offset),)


@program
def generators_that_are_seeded_between(compile):
    f = compile(lambda x: nn.functional.dropout(x, 0.5) + ingot.randn(3))

    def call():
        ingot.manual_seed(3)
        return f(tensor()), f(tensor())

    return (call,)


@program
def nested(compile):
    m = Counting()
    inner = compile(m)
    s = ingot.zeros(3)

    def f(x):
        y = inner(x)
        s.add_(y.detach())
        return y + s

    f = compile(f)
    return lambda: (f(tensor()), inner(tensor())), m, s


@program
def a_lazily_made_buffer_in_a_dict(compile):
    cache = {}

    def f(x):
        if "mask" not in cache:
            cache["mask"] = ingot.ones(3) * 2
        cache["mask"].add_(1)
        return x * cache["mask"]

    f = compile(f)
    return lambda: f(tensor()), cache


@program
def a_compiled_module_inside_changes_its_mode(compile):
    m = nn.BatchNorm1d(3)
    inner = compile(m)
    f = compile(lambda x: inner(x) * 2)

    def call():
        out = f(ingot.tensor([X, [2.0, 5.0, 1.0]]))
        m.eval()
        return out

    return call, m


def functional(tied):
    def make(compile):
        m = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        if tied:
            m[1].weight = m[0].weight
        f = compile(m)
        ones = {"0.weight": ingot.ones(3, 3), "1.bias": ingot.zeros(3)}

        def call():
            before = f(tensor())
            inside = ingot.func.functional_call(f, ones, tensor())
            return before, inside, f(tensor())

        return call, m

    make.__name__ = f"functional_call{'_of_tied_weights' * tied}"
    return make


program(functional(False))
program(functional(True))


@program
def parameters_that_are_made_anew(compile):
    class Renewing(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(tensor(), requires_grad=False)
            self.v = nn.Parameter(tensor())

        def forward(self, x):
            self.w = nn.Parameter(self.w + x, requires_grad=False)
            self.v = nn.Parameter(self.v.detach() * 2)
            return (self.w * self.v).sum()

    m = Renewing()
    f = compile(m)

    def call():
        f(tensor()).backward()

    return call, m


@program
def threads_with_models_of_their_own(compile):
    models = [Counting() for _ in range(2)]

    def step(m, x):
        m.zero_grad()
        loss = m(x).sum()
        loss.backward()
        with ingot.no_grad():
            m.w.sub_(m.w.grad * 0.01)
        return loss.detach()

    f = compile(step)

    def call():
        with ThreadPoolExecutor() as pool:
            return list(pool.map(lambda m: f(m, tensor()), models))

    return call, *models


@pytest.mark.parametrize("make", PROGRAMS.values(), ids=PROGRAMS)
def test_programs(make):
    check(make)


class _Holder:
    def __init__(self, factor):
        self.factor = factor


class _Holding(nn.Module):
    def __init__(self):
        super().__init__()
        self.k, self.holder, self.fn, self.pair, self.items = 2.0, _Holder(1.0), abs, (1.0, 2.0), [1.0]
        self.weight = nn.Parameter(ingot.ones(3))
        self.register_buffer("shift", ingot.ones(3))
        self.plain = ingot.ones(3)
        self.inner = nn.Linear(3, 3, bias=False)

    def forward(self, x):
        factor = self.k * self.holder.factor * self.pair[0] * self.items[0]
        return self.fn(self.inner(x) * factor * self.weight * self.plain + self.shift)


@pytest.mark.parametrize("put", [object.__setattr__, lambda m, name, v: vars(m).__setitem__(name, v), setattr])
def test_attributes_that_are_written_past_setattr(put):
    m, x = _Holding(), ingot.tensor([1.0, 2.0, 3.0])
    f = ingot.compile(m)
    new = {"k": 3.0, "holder": _Holder(2.0), "fn": lambda x: -x, "pair": (5.0, 6.0), "items": [3.0], "plain": ingot.full((3,), 2.0)}
    for name, value in new.items():
        for _ in range(2):
            assert f(x).tolist() == m(x).tolist()
        put(m, name, value)
        assert f(x).tolist() == m(x).tolist(), name
    traces = f.stats["traces"]
    put(m, "k", float("3"))
    put(m, "pair", tuple([5.0, 6.0]))  # equal to what was there
    assert f(x).tolist() == m(x).tolist() and f.stats["traces"] == traces


def test_tables_of_modules_that_are_written_directly():
    m, x = _Holding(), ingot.tensor([1.0, 2.0, 3.0])
    f = ingot.compile(m)
    other = nn.Linear(3, 3, bias=False)
    for table, name, value in (
        (m._parameters, "weight", nn.Parameter(ingot.full((3,), 4.0))),
        (m._buffers, "shift", ingot.full((3,), 5.0)),
        (m._modules, "inner", other),
        (other._parameters, "weight", nn.Parameter(ingot.eye(3))),
    ):
        for _ in range(2):
            assert f(x).tolist() == m(x).tolist()
        table[name] = value
        assert f(x).tolist() == m(x).tolist(), name
    copied = copy.deepcopy(m)
    copied._parameters["weight"] = None
    assert m.weight is not None and [n for n, _ in copied.named_parameters()] == ["inner.weight"]
