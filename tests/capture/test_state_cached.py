"""ingot.compile: tensors that caches of functools keep are computed once, as they are eagerly, and captured."""

import functools

import pytest

import ingot
from ingot import nn
from tests.support.stateful import check, tensor

PROGRAMS = {}


def program(make):
    PROGRAMS[make.__name__] = make
    return make


@program
def positions(compile):
    ran, calls = [], []

    @functools.lru_cache(maxsize=9)
    def table(n, scale=1.0):
        ran.append(n)
        return ingot.arange(n) * scale, ingot.arange(n).sin()

    def f(x):
        calls.append("f")
        return x * table(x.shape[0])[0] + table(x.shape[0], 2.0)[1]

    f, sizes = compile(f), iter([3, 3, 2, 3, 2])
    return lambda: (f(ingot.ones(next(sizes))), ran, calls), tensor()


@program
def of_a_method(compile):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(tensor())

        @functools.lru_cache(maxsize=4)  # noqa: B019
        def table(self, n):
            return self.w[:n] * 2

        def forward(self, x):
            return (x * self.table(3)).sum()

    m = Net()
    f = compile(m)

    def call():
        out = f(tensor())
        with ingot.no_grad():
            m.w.mul_(2)
        return out

    return call, m


def drawn_written_and_cleared(compile, maxsize=None):
    @functools.lru_cache(maxsize)
    def table(n):
        return ingot.rand(n)

    def f(x):
        table(3).add_(1)
        return x * table(3)

    f, k = compile(f), [0]

    def call():
        out = f(tensor())
        k[0] += 1
        if k[0] == 2:
            table.cache_clear()
        return out, table(3)

    return call, tensor()


@program
def drawn_written_and_forgotten(compile):
    return drawn_written_and_cleared(compile, 2)


program(drawn_written_and_cleared)


@program
def one_within_another_that_fails_first(compile):
    flaws = [ValueError]

    @functools.cache
    def inner(n):
        if flaws:
            raise flaws.pop()
        return ingot.arange(n)

    @functools.cache
    def table(n):
        return inner(n) * 2.0

    def f(x):
        try:
            return x * table(3)
        except ValueError:
            return x * table(3) + 1

    f = compile(f)
    return lambda: f(tensor()), tensor()


@program
def under_vmap_and_no_grad(compile):
    w = tensor(True)

    @functools.cache
    def table(n):
        return w[:n] * 2

    def f(x):
        with ingot.no_grad():
            kept = table(3)
        return ingot.vmap(lambda row: row * table(3) + kept)(x)

    f = compile(f)
    return lambda: (f(ingot.ones(2, 3)), table(3)), w


@pytest.mark.parametrize("make", PROGRAMS.values(), ids=PROGRAMS)
def test_programs(make):
    check(make, 5)


def test_what_is_made_of_arguments_leaks():
    @functools.cache
    def double(x):
        return x * 2

    with pytest.raises(ingot.LeakedTensorError, match="kept after it"):
        ingot.compile(lambda x: double(x) + 1)(tensor())


def test_what_both_change_is_refused():
    log = []

    @functools.cache
    def table(n):
        log.append(n)
        return ingot.arange(n)

    with pytest.raises(ingot.CaptureError, match="both change a list"):
        ingot.compile(lambda x: (log.append("f"), x * table(3))[1])(tensor())
