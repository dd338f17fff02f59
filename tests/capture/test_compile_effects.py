"""ingot.compile: what later calls would not do again is refused, not done once: random numbers of Python, items of iterators."""

import functools
import itertools
import random
import threading

import numpy as np
import pytest

import ingot
from ingot.utils.data import DataLoader, TensorDataset

X = ingot.ones(2)
OWN = random.Random(3)


class Noisy:
    def __init__(self):
        self.rng = np.random.default_rng(0)

    def __call__(self, x):
        return x + self.rng.normal()


DRAWS = {
    "random": lambda x: x + random.random(),
    "a branch": lambda x: x * 2 if random.random() < 0.5 else x,
    "numpy": lambda x: x * float(np.random.rand()),
    "an array": lambda x: x + ingot.tensor(np.random.randn(2)),
    "a Random": lambda x: x + OWN.random(),
    "a Generator": Noisy(),
}


@pytest.mark.parametrize("f", DRAWS.values(), ids=DRAWS)
def test_random_numbers_of_python(f):
    with pytest.raises(ingot.CaptureError, match="a compiled function draws from .* each call would use the numbers of the first"):
        ingot.compile(f)(X)
    assert f(X).shape == (2,)


def test_random_numbers_outside_are_fine():
    f = ingot.compile(lambda x, scale: x * scale + (ingot.rand(2) >= 0))
    assert f(X, random.random()).shape == (2,) and random.random() != random.random()


def numbers():
    while True:
        yield ingot.ones(2)


STREAM = iter([ingot.ones(2)] * 9)


def advancing():
    cell, count, zipped = numbers(), itertools.count(), zip([1, 2, 3], [4, 5, 6])

    class Holder:
        def __init__(self):
            self.batches = iter([ingot.zeros(2)] * 5)

        def __call__(self, x):
            return x + next(self.batches)

    return {
        "generator": lambda x: x + next(cell),
        "global": lambda x: x + next(STREAM),
        "count": lambda x: x + next(count),
        "zip": lambda x: x + sum(a * b for a, b in zipped),
        "attribute": Holder(),
        "loader": lambda x: x + next(batches)[0].sum(),
    }


batches = iter(DataLoader(TensorDataset(ingot.ones(4)), batch_size=2))


@pytest.mark.parametrize("kind", advancing())
def test_iterators_that_are_advanced(kind):
    f = advancing()[kind]
    with pytest.raises(ingot.CaptureError, match="cannot take the next item of an iterator"):
        ingot.compile(f)(X)
    assert f(X).shape == (2,)  # as it was before


def test_iterators_that_are_not_advanced():
    it = iter([1.0, 2.0])
    f = ingot.compile(lambda x: x if it is None else x * 2)
    assert f(X).tolist() == [2, 2] and next(it) == 1.0
    assert f(X).tolist() == [2, 2] and f.stats["traces"] == 1


def test_iterators_made_inside():
    f = ingot.compile(lambda x: sum(a * b for a, b in zip(x, iter([1.0, 2.0]))))
    assert f(X).item() == 3


def test_other_threads_go_on_with_theirs():
    got = []

    def work():
        got.append(next(shared))

    def f(x):
        t = threading.Thread(target=work)
        t.start()
        t.join()
        return x

    shared = iter([5, 6])
    ingot.compile(f)(X)
    assert got == [5] and next(shared) == 6


def test_loaders():
    loader = DataLoader(TensorDataset(ingot.ones(4)), batch_size=2)
    with pytest.raises(ingot.CaptureError, match="cannot go through a DataLoader"):
        ingot.compile(lambda x: sum(b[0].sum() for b in loader) + x)(X)


def test_partials_are_looked_into():
    scale = 2.0

    def g(x, settings, k=1.0):
        return x * scale * k + settings["shift"]

    settings = {"shift": 1.0}
    f = ingot.compile(functools.partial(g, settings=settings, k=3.0))
    assert f(X).tolist() == [7, 7]
    scale = 1.0
    assert f(X).tolist() == [4, 4]
    settings["shift"] = 0.0
    assert f(X).tolist() == [3, 3]


def test_default_arguments_that_change_in_place():
    def f(x, settings={"scale": 2}):  # noqa: B006
        return x * settings["scale"]

    c = ingot.compile(f)
    assert c(X).tolist() == [2, 2]
    f.__defaults__[0]["scale"] = 3
    assert c(X).tolist() == [3, 3]


def test_modes_and_plain_attributes_are_set_by_every_call():
    class Net(ingot.nn.Module):
        def __init__(self):
            super().__init__()
            self.drop, self.phase, self.counts = ingot.nn.Dropout(0.9), "new", {"calls": 0}

        def forward(self, x):
            self.eval()
            self.phase, self.counts["calls"] = "called", 1
            return self.drop(x)

    m = Net()
    c = ingot.compile(m)
    for _ in range(4):
        m.train()
        m.phase, m.counts["calls"] = "new", 0
        assert c(X).tolist() == [1, 1]
        assert not m.training and not m.drop.training and m.phase == "called" and m.counts == {"calls": 1}
    assert c.stats["traces"] <= 2


def test_requires_grad_is_set_by_every_call():
    layer = ingot.nn.Linear(2, 1)

    @ingot.compile
    def frozen(x):
        layer.requires_grad_(False)
        return layer(x)

    for _ in range(4):
        layer.requires_grad_(True)
        assert not frozen(X).requires_grad and not layer.weight.requires_grad and not layer.bias.requires_grad


SEEDING = {
    "manual_seed": lambda x: ingot.manual_seed(3) and x + ingot.rand(2),
    "a generator": lambda x: x + ingot.rand(2, generator=ingot.Generator().manual_seed(3)),
    "state": lambda x: ingot.random.default_generator.set_state(STATE) or x,
    "fork": lambda x: forked(x),
}
STATE = ingot.get_rng_state().numpy()


def forked(x):
    with ingot.random.fork_rng():
        return x + ingot.rand(2)


@pytest.mark.parametrize("f", SEEDING.values(), ids=SEEDING)
def test_generators_are_seeded_outside(f):
    with pytest.raises(ingot.CaptureError, match="cannot (seed|read the state of|set the state of) a generator"):
        ingot.compile(f)(X)
    assert f(X).shape == (2,)


@pytest.mark.compiled
def test_a_failed_nan_check_writes_nothing(monkeypatch):
    monkeypatch.setenv("INGOT_CHECK", "nan")
    w = ingot.ones(1000)
    w.tolist()

    @ingot.compile
    def f(x):
        w.mul_(x)

    for _ in range(2):
        f(ingot.from_numpy(np.full(1000, 2.0, np.float32)))
    with pytest.raises(RuntimeError, match="f: 1000 of 1000 .* NaN"):
        f(ingot.from_numpy(np.full(1000, np.nan, np.float32)))
    monkeypatch.delenv("INGOT_CHECK")
    assert w.tolist() == [4] * 1000


def test_a_module_that_counts_its_calls_is_exported(tmp_path):
    class Counting(ingot.nn.Module):
        calls = 0

        def __init__(self):
            super().__init__()
            self.seen = 0

        def forward(self, x):
            self.seen += 1
            return x * 2

    ingot.export(Counting().eval(), (X,), tmp_path / "counting.ingot")
    assert ingot.load(tmp_path / "counting.ingot")(X).tolist() == [2, 2]
