"""What the witness of a trace does not look at, and that it looks again afterwards."""

import sys
import time

import pytest

import ingot
from ingot.runtime.sight import seen, sight, unseen

scale = 2.0


def test_seen_within_unseen():
    calls = []

    def hook(frame, event, arg):
        calls.append((frame.f_code.co_name, event))

    def inner():
        return sys.getprofile()

    def outer():
        return sys.getprofile(), seen(inner), sys.getprofile()

    sight.set(hook)
    try:
        assert unseen(outer) == (None, hook, None)
        assert sys.getprofile() is hook
        with pytest.raises(ZeroDivisionError):
            unseen(divmod, 1, 0)
        assert sys.getprofile() is hook
    finally:
        sight.set(None)
    assert ("inner", "call") in calls and ("outer", "call") not in calls
    assert unseen(outer) == (None, None, None)


def test_what_hooks_of_saved_tensors_read_is_watched():
    global scale

    def pack(x):
        return x * scale

    def f(w, x):
        with ingot.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            y = (w * x).sum()
        y.backward()
        g = w.grad
        w.grad = None
        return g

    compiled = ingot.compile(f)
    for scale in (2.0, 3.0):
        for x in (1.0, 2.0):
            w = ingot.ones(3, requires_grad=True)
            assert compiled(w, ingot.full((3,), x)).tolist() == [scale * x] * 3
    scale = 2.0


def test_the_clock_is_refused_behind_an_error_of_an_operation():
    def f(x):
        try:
            x + ingot.ones(5)
        except RuntimeError:
            x = x + time.time()
        return x

    with pytest.raises(ingot.CaptureError, match=r"cannot read .*time"):
        ingot.compile(f)(ingot.ones(3))


def test_a_profiler_of_the_callers_goes_on():
    calls = []

    def profiler(frame, event, arg):
        if event == "call" and frame.f_code.co_name == "g":
            calls.append(sys.getprofile())

    def g():
        return 1

    f = ingot.compile(lambda x: (x * 2).exp())
    sys.setprofile(profiler)
    try:
        f(ingot.ones(3))
        g()
    finally:
        sys.setprofile(None)
    assert len(calls) == 1 and sight.hook is None and sight.held is None
