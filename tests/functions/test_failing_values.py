"""Values that are errors: indices out of range, integers divided by zero. What is raised, when, and what it names."""

import operator

import numpy as np
import pytest

import ingot
import ingot.nn.functional as F
from ingot.runtime import plans

DIVISIONS = {
    "//": operator.floordiv, "%": operator.mod, "fmod": ingot.fmod, "remainder": ingot.remainder, "floor_divide": ingot.floor_divide,
    "trunc": lambda a, b: ingot.div(a, b, rounding_mode="trunc"), "floor": lambda a, b: ingot.div(a, b, rounding_mode="floor"),
    "floor_divide_": lambda a, b: a.clone().floor_divide_(b), "remainder_": lambda a, b: a.clone().remainder_(b),
    "fmod_": lambda a, b: a.clone().fmod_(b), "7 //": lambda a, b: 7 // b + a * 0, "7 %": lambda a, b: 7 % b + a * 0,
}  # fmt: skip


@pytest.mark.parametrize("name", DIVISIONS)
@pytest.mark.parametrize("dtype", [ingot.int64, ingot.int32, ingot.uint8])
def test_an_integer_divided_by_zero_is_an_error(name, dtype):
    f = DIVISIONS[name]
    compiled = ingot.compile(f)
    for n in (1, 67):
        a, b = ingot.arange(n).to(dtype), ingot.ones(n).to(dtype)
        for g in (f, compiled):
            assert g(a, b).shape == (n,)
            for zeros in (ingot.arange(n).to(dtype), ingot.zeros((), dtype=dtype)):
                with pytest.raises(RuntimeError, match="ZeroDivisionError"):
                    g(a, zeros).tolist()


def test_floats_divide_by_zero():
    a = ingot.tensor([1.0, -1.0, 0.0])
    for f in (lambda a, b: a // b, ingot.compile(lambda a, b: a // b)):
        assert np.array_equal(f(a, ingot.zeros(3)).numpy(), [np.inf, -np.inf, np.nan], equal_nan=True)


def test_a_zero_outside_of_a_mask_is_no_error():
    a, b = ingot.arange(10), ingot.arange(1, 11)

    def f(a, b):
        q = a // b
        return F.pad(q, (3, 3)), ingot.cat([q, b]), q[::2].sum(), q.reshape(2, 5).sum(0)

    for g in (f, ingot.compile(f)):
        padded, joined, every_second, sums = g(a, b)
        assert padded.tolist() == [0] * 16 and joined.tolist() == [0] * 10 + b.tolist() and every_second.item() == 0
        assert sums.tolist() == [0] * 5


def one(x, i):
    return x[i]


def other(x, i):
    return x[i]


@pytest.mark.compiled
@pytest.mark.parametrize("compiled", [False, True])
def test_an_error_names_its_own_line_value_and_operation(compiled):
    x = ingot.ones(3)
    for f in (one, other):
        g = ingot.compile(f) if compiled else f
        for _ in range(2):
            with pytest.raises(IndexError, match=rf"index 7 is out of range for axis 0 of extent 3\n.* in {f.__name__}\n"):
                g(x, ingot.tensor([0, 7, -5])).tolist()

    def loss(logits, target):
        return F.cross_entropy(logits, target)

    def step(logits, target):
        loss(logits, target).backward()

    for f in (loss, step):
        with pytest.raises(IndexError, match=r"cross_entropy: target 7 is out of bounds for 3 classes\n.* in .*loss"):
            result = (ingot.compile(f) if compiled else f)(ingot.ones(2, 3, requires_grad=True), ingot.tensor([1, 7]))
            result.item()


def test_what_nobody_reads_fails_all_the_same():
    x = ingot.ones(3)

    def drop(x, i):
        x[i] + 1
        return x * 2

    for f in (drop, ingot.compile(drop)):
        assert f(x, ingot.tensor([2])).tolist() == [2.0, 2.0, 2.0]
        with pytest.raises(IndexError, match="index 3 is out of range"):
            f(x, ingot.tensor([3])).tolist()
    y = x * 3
    ingot.tensor([1]) % ingot.tensor([0])
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        y.tolist()
    assert y.tolist() == [3.0, 3.0, 3.0]


@pytest.mark.compiled
def test_the_first_nan_is_named(monkeypatch, request):
    monkeypatch.setenv("INGOT_CHECK", "nan")
    request.addfinalizer(plans.clear)  # they look for NaN as long as they are known

    @ingot.compile
    def f(x):
        y = x * 2
        z = ingot.log(y)
        return F.softmax(z, 0)

    assert f(ingot.ones(2)).tolist() == [0.5, 0.5]
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"(?s)f: 2 of 2 .*the first NaN is made by log\n.*z = ingot.log\(y\)"):
            f(-ingot.ones(2))
    with pytest.raises(RuntimeError, match=r"input \w+ holds NaN already"):
        f(ingot.full((2,), float("nan")))
    x = ingot.zeros(2, requires_grad=True)
    g = ingot.compile(lambda x: ingot.sqrt(x * 0).sum())
    with pytest.raises(RuntimeError, match=r"(?s)the first NaN is made by mul \(in .*backward\)\n.*ingot.sqrt"):
        g(x).backward()


def test_indices_are_named_as_people_know_them():
    for target in (3, -2):
        with pytest.raises(IndexError, match=f"nll_loss: target {target} is out of bounds for 3 classes"):
            F.nll_loss(ingot.ones(2, 3), ingot.tensor([0, target])).item()
        with pytest.raises(IndexError, match=f"embedding: index {target} is out of range for 3 rows of weight"):
            F.embedding(ingot.tensor([0, target]), ingot.ones(3, 2)).tolist()
