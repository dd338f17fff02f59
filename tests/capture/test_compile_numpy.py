"""ingot.compile: arguments whose memory NumPy sees. The short way reads them where they are, and keeps none."""

import numpy as np
import pytest

import ingot
from ingot.capture.function import CompiledFunction


@pytest.fixture
def short(monkeypatch):
    """From when it is called, no call goes the long way."""
    return lambda: monkeypatch.setattr(CompiledFunction, "_long", lambda *a: pytest.fail("the long way"))


def warm(f, *args):
    for _ in range(3):
        f(*args)


def test_what_is_written_between_calls_is_seen(short):
    a = np.ones(4, np.float32)
    x, plain = ingot.from_numpy(a), ingot.ones(4)
    f = ingot.compile(lambda x: x * 2)
    warm(f, plain)
    short()
    results = []
    for i in range(3):
        a[:] = i
        results.append(f(x))
        np.testing.assert_array_equal(f(plain).numpy(), np.full(4, 2))
    for i, y in enumerate(results):
        np.testing.assert_array_equal(y.numpy(), np.full(4, 2 * i))


def test_the_same_way_whichever_came_first(short):
    x, y = ingot.from_numpy(np.ones(4, np.float32)), ingot.ones(4) * 3
    f = ingot.compile(lambda x, y: x - y)
    warm(f, x, y)
    short()
    for a, b, expected in ((x, y, -2), (y, x, 2), (y, y + 1, -1), (x, ingot.from_numpy(np.full(4, 5, np.float32)), -4)):
        np.testing.assert_array_equal(f(a, b).numpy(), np.full(4, expected))


def test_a_tensor_that_numpy_was_given():
    x = ingot.ones(4)
    seen = x.numpy()
    f = ingot.compile(lambda x: x.sum())
    warm(f, x)
    seen[:] = 3
    assert f(x).item() == 12
    x.add_(1)
    assert f(x).item() == 16 and seen[0] == 4


def test_views_of_memory_that_numpy_sees():
    a = np.arange(12, dtype=np.float32).reshape(3, 4)
    x = ingot.from_numpy(a)
    f = ingot.compile(lambda x: x * 2)
    warm(f, ingot.ones(4))
    for i in range(3):
        a += 1
        np.testing.assert_array_equal(f(x[i]).numpy(), a[i] * 2)


def test_an_argument_that_shares_memory_with_what_is_captured():
    a = np.ones(3, np.float32)
    w = ingot.from_numpy(a)
    f = ingot.compile(lambda x: w.mul_(2) + x)
    warm(f, ingot.ones(3))
    np.testing.assert_array_equal(a, np.full(3, 8))
    np.testing.assert_array_equal(f(w).numpy(), np.full(3, 32))
    np.testing.assert_array_equal(a, np.full(3, 16))
    np.testing.assert_array_equal(f(ingot.from_numpy(np.ones(3, np.float32))).numpy(), np.full(3, 33))


def test_one_argument_twice():
    x, y = ingot.from_numpy(np.ones(3, np.float32)), ingot.from_numpy(np.full(3, 2, np.float32))
    f = ingot.compile(lambda x, y: x.mul_(3) + y)
    for _ in range(3):
        f(ingot.ones(3), y)
    np.testing.assert_array_equal(f(x, y).numpy(), np.full(3, 5))
    np.testing.assert_array_equal(f(x, x).numpy(), np.full(3, 18))
    np.testing.assert_array_equal(f(x, x.view(3)).numpy(), np.full(3, 54))


def test_what_a_backward_reads_is_kept():
    a = np.ones(3, np.float32)
    w = ingot.ones(3).requires_grad_()
    f = ingot.compile(lambda x: (x * w).sum())
    for i in range(4):
        a[:] = i
        loss = f(ingot.from_numpy(a))
        a[:] = 100
        w.grad = None
        loss.backward()
        np.testing.assert_array_equal(w.grad.numpy(), np.full(3, i))


def test_sizes_that_change(short):
    f = ingot.compile(lambda x: x.sum())
    for n in (2, 3, 4, 4, 4):
        f(ingot.from_numpy(np.ones(n, np.float32)))
    short()
    for n in (5, 1, 9):
        assert f(ingot.from_numpy(np.full(n, 2, np.float32))).item() == 2 * n
