"""ingot.compile in several threads: a trace hides nothing from the others and changes nothing that they see."""

import contextlib
import threading

import numpy as np
import pytest

import ingot
from ingot import nn

PATIENCE = 60.0  # seconds: only a failure waits so long


@contextlib.contextmanager
def traced_meanwhile(fn, *args):
    """A block that runs while another thread traces `fn`, which calls what it is given where the block shall run; then its result."""
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
        yield results
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
    with traced_meanwhile(step, x) as results:
        assert np.array_equal(layer.weight.detach().numpy(), weight) and np.array_equal(kept.numpy(), weight)
        assert view.tolist() == weight[:, 1:].tolist() and layer.weight.grad is None and layer.weight.requires_grad
        (layer.weight * 3).sum().backward()
        assert layer.weight.grad.tolist() == [[3, 3]] and layer.weight._version == version
        layer.weight.grad = None
    assert np.allclose(layer.weight.detach().numpy(), weight - 2) and layer.weight.grad.tolist() == [[2, 2]]
    assert results[0][0].tolist() == layer.weight.tolist() and np.allclose(results[0][1].detach().numpy(), weight[:, 1:] - 2)


def test_what_has_a_history_keeps_it_while_another_thread_traces():
    leaf = ingot.ones(3, requires_grad=True)
    state = leaf * 2

    def f(pause, x):
        y = state * x
        pause()
        return y

    with traced_meanwhile(f, ingot.arange(3.0)) as results:
        state.sum().backward(retain_graph=True)
        assert leaf.grad.tolist() == [2, 2, 2] and state.grad_fn.name() == "MulBackward0"
    results[0].sum().backward()
    assert leaf.grad.tolist() == [2, 4, 6]


def test_writes_while_another_thread_traces():
    state, shown = ingot.zeros(3), ingot.zeros(3)
    memory = shown.numpy()

    def f(pause, x):
        state.add_(x)
        shown[0] = 5
        pause()
        return state + 0, shown * 1

    with traced_meanwhile(f, ingot.ones(3)) as results:
        state.add_(10)
        memory[1] = 7
        shown[2] = 8
        assert state.tolist() == [10, 10, 10] and state._version == 1 and shown.tolist() == [0, 7, 8]
    assert results[0][0].tolist() == [11, 11, 11] == state.tolist() and state._version == 2
    assert results[0][1].tolist() == [5, 7, 8] == memory.tolist()


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
