"""ingot.compile in several threads: a trace hides nothing from the others and changes nothing that they see."""

import contextlib
import os
import select
import signal
import threading
import types

import numpy as np
import pytest

import ingot
from ingot import nn
from ingot.runtime import compiler
from ingot.runtime.interpreted import Interpreted

PATIENCE = 60.0  # seconds: only a failure waits so long


@contextlib.contextmanager
def traced_meanwhile(fn, *args):
    """A block that runs while another thread traces `fn`, which calls what it is given where the block shall run.

    `results` are the call's, after the block; the trace goes on where `go_on` is set, by the end of the block at the latest.
    """
    inside, go_on, results = threading.Event(), threading.Event(), []

    def pause():
        if not inside.is_set():
            inside.set()
            assert go_on.wait(PATIENCE)

    def work():
        try:
            results.append(ingot.compile(lambda *a: fn(pause, *a))(*args))
        except BaseException as e:  # noqa: BLE001
            results.append(e)
        finally:
            inside.set()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert inside.wait(PATIENCE)
        yield types.SimpleNamespace(results=results, go_on=go_on)
    finally:
        go_on.set()
        thread.join(PATIENCE)
    assert not thread.is_alive() and not isinstance(results[0], BaseException), results


def test_parameters_are_read_while_another_thread_traces():
    layer = nn.Linear(2, 1)
    weight = layer.weight.detach().numpy().copy()
    view, kept, version = layer.weight[:, 1:], layer.weight.detach(), layer.weight._version

    def step(pause, x):
        loss = (layer(x) * 2).sum()
        loss.backward()
        with ingot.no_grad():
            layer.weight.sub_(layer.weight.grad)
        seen = layer.weight + 0, view + 0
        pause()
        return seen

    x = ingot.ones(1, 2)
    with traced_meanwhile(step, x) as meanwhile:
        assert np.array_equal(layer.weight.detach().numpy(), weight) and np.array_equal(kept.numpy(), weight)
        assert view.tolist() == weight[:, 1:].tolist() and layer.weight.grad is None and layer.weight.requires_grad
        (layer.weight * 3).sum().backward()
        assert layer.weight.grad.tolist() == [[3, 3]] and layer.weight._version == version
        layer.weight.grad = None
    assert np.allclose(layer.weight.detach().numpy(), weight - 2) and layer.weight.grad.tolist() == [[2, 2]]
    whole, part = meanwhile.results[0]
    assert whole.tolist() == layer.weight.tolist() and np.allclose(part.detach().numpy(), weight[:, 1:] - 2)


def test_what_has_a_history_keeps_it_while_another_thread_traces():
    leaf = ingot.ones(3, requires_grad=True)
    state = leaf * 2

    def f(pause, x):
        y = state * x
        pause()
        return y

    with traced_meanwhile(f, ingot.arange(3.0)) as meanwhile:
        state.sum().backward(retain_graph=True)
        assert leaf.grad.tolist() == [2, 2, 2] and state.grad_fn.name() == "MulBackward0"
    meanwhile.results[0].sum().backward()
    assert leaf.grad.tolist() == [2, 4, 6]


def test_writes_while_another_thread_traces():
    state, shown = ingot.zeros(3), ingot.zeros(3)
    memory = shown.numpy()

    def f(pause, x):
        state.add_(x)
        shown[0] = 5
        pause()
        return state + 0, shown * 1

    with traced_meanwhile(f, ingot.ones(3)) as meanwhile:
        state.add_(10)
        memory[1] = 7
        shown[2] = 8
        assert state.tolist() == [10, 10, 10] and state._version == 1 and shown.tolist() == [0, 7, 8]
    assert meanwhile.results[0][0].tolist() == [11, 11, 11] == state.tolist() and state._version == 2
    assert meanwhile.results[0][1].tolist() == [5, 7, 8] == memory.tolist()


@pytest.mark.compiled
def test_compiled_calls_while_another_thread_traces():
    layer = nn.Linear(2, 2)
    forward = ingot.compile(layer)
    x = ingot.ones(1, 2)
    want = [forward(x).tolist() for _ in range(3)][0]

    def f(pause, x):
        with ingot.no_grad():
            layer.weight.mul_(0)
        pause()
        return layer(x)

    with traced_meanwhile(f, x):
        for _ in range(3):
            assert forward(x).tolist() == want
    assert forward(x).tolist() == [layer.bias.tolist()] and forward.stats["traces"] == 1


# ---- tracing in several threads


def started(*targets):
    """Threads that run the targets, started, and the list of what they return or raise."""
    results = [None] * len(targets)

    def work(i):
        try:
            results[i] = targets[i]()
        except BaseException as e:  # noqa: BLE001
            results[i] = e

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(targets))]
    for t in threads:
        t.start()
    return threads, results


def joined(threads, results):
    for t in threads:
        t.join(PATIENCE)
    assert not any(t.is_alive() for t in threads)
    return results


@pytest.fixture
def compiling(monkeypatch):
    """Stops every compilation where it begins: `begun[name]` is set there, and it goes on when `go_on[name]` is."""
    begun, go_on = {n: threading.Event() for n in "fg"}, {n: threading.Event() for n in "fg"}
    real = compiler.executable

    def gated(graph, provenance=None, **how):
        if graph.name in begun:
            begun[graph.name].set()
            assert go_on[graph.name].wait(PATIENCE)
        return real(graph, provenance, **how)

    monkeypatch.setattr(compiler, "executable", gated)
    yield begun, go_on
    for e in go_on.values():
        e.set()


@pytest.mark.compiled
@pytest.mark.parametrize("first", "fg")
def test_one_function_is_traced_while_another_is_compiled(compiling, first):
    begun, go_on = compiling
    layer = nn.Linear(2, 2)

    def f(x):
        return layer(x) + 1

    def g(x):
        return layer(x) * 2

    x = ingot.ones(1, 2)
    want = [(layer(x) + 1).tolist(), (layer(x) * 2).tolist()]
    threads, results = started(*(lambda fn=fn: ingot.compile(fn)(x).tolist() for fn in (f, g)))
    for name in "fg":
        assert begun[name].wait(PATIENCE)  # both have been traced, and neither is compiled
    go_on[first].set()
    threads["fg".index(first)].join(PATIENCE)
    assert results["fg".index(first)] == want["fg".index(first)]
    go_on["g" if first == "f" else "f"].set()
    assert joined(threads, results) == want


def test_threads_with_one_new_signature_share_its_entry(compiling):
    begun, go_on = compiling
    arrived = threading.Semaphore(0)

    def f(x):
        arrived.release()
        return x * 3

    f = ingot.compile(f)
    go_on["f"].set()
    f(ingot.ones(5))
    go_on["f"].clear()
    assert arrived.acquire(timeout=PATIENCE)
    x = ingot.ones(2)
    threads, results = started(*[lambda: f(x).tolist()] * 3)
    for _ in range(3):
        assert arrived.acquire(timeout=PATIENCE)  # all three trace, for none has compiled yet
    go_on["f"].set()
    assert joined(threads, results) == [[3, 3]] * 3
    assert repr(f) == "<compiled f: 2 specialisations>" and f.stats == {"calls": 4, "traces": 4, "recompiles": 1}


def test_threads_draw_different_numbers(monkeypatch):
    together = threading.Barrier(2)
    run = Interpreted.run

    def slow(self, *slots):
        together.wait(PATIENCE)  # both have gathered their inputs
        run(self, *slots)

    g = ingot.Generator()
    with monkeypatch.context() as m:
        m.setattr(Interpreted, "run", slow)
        f = ingot.compile(lambda: ingot.rand(4, generator=g))
        a, b = joined(*started(f, f))
    assert a.tolist() != b.tolist() and g.offset == 2


def test_a_fork_waits_for_the_trace_of_another_thread():
    layer = nn.Linear(2, 2)
    x = ingot.ones(1, 2)
    want = ingot.compile(layer)(x).tolist()
    read, write = os.pipe()

    def f(pause, x):
        layer.last = layer(x)
        pause()
        return layer.last + 0

    with traced_meanwhile(f, x) as meanwhile:
        os.register_at_fork(before=meanwhile.go_on.set)
        pid = os.fork()
        if not pid:
            untouched = "__getattribute__" not in vars(nn.Module)
            os.write(write, f"{untouched} {ingot.compile(layer)(x).tolist() == want}".encode())
            os._exit(0)
    try:
        assert select.select([read], [], [], PATIENCE)[0] and os.read(read, 100) == b"True True"
        assert meanwhile.results[0].tolist() == want
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(read), os.close(write)
