"""ingot.compile: what makes it compile again, and what does not."""

import cProfile
import gc
import logging
import sys
import threading
import time

import numpy as np
import pytest

import ingot
from ingot import nn
from ingot.capture import CaptureError
from ingot.runtime.frozen import FrozenError
from tests.support.small_net import close, data, net

F = nn.functional


def test_eval_and_train():
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.9))
    c = ingot.compile(model)
    x, _ = data()
    c(x)
    model.eval()
    close(c(x).detach(), model[0](x).detach())
    model.train()
    assert (c(x) == 0).sum().item() > 5
    model.eval()
    close(c(x).detach(), model[0](x).detach())
    assert c.stats["traces"] == 2


def test_changed_attributes_globals_and_closures(monkeypatch):
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = 2
            self.config = {"shift": 1}

        def forward(self, x):
            return x * self.factor + self.config["shift"]

    m = Scale()
    c = ingot.compile(m)
    x = ingot.ones(2)
    assert c(x).tolist() == [3, 3]
    m.factor = 5
    assert c(x).tolist() == [6, 6]
    m.factor = 2
    assert c(x).tolist() == [3, 3] and c.stats["traces"] == 2

    level = 1
    f = ingot.compile(lambda x: x + level + GLOBAL)
    assert f(x).tolist() == [11 + 1, 12]
    level = 2
    assert f(x).tolist() == [13, 13]
    monkeypatch.setitem(globals(), "GLOBAL", 20)
    assert f(x).tolist() == [23, 23]


GLOBAL = 10


def test_grad_mode_default_dtype_and_requires_grad():
    w = ingot.ones(2, requires_grad=True)
    c = ingot.compile(lambda x: x * w)
    x = ingot.ones(2)
    assert c(x).requires_grad
    with ingot.no_grad():
        assert not c(x).requires_grad
    w.requires_grad_(False)
    assert not c(x).requires_grad
    w.requires_grad_()
    c(x).sum().backward()
    assert w.grad.tolist() == [1, 1]
    f = ingot.compile(lambda n: n / 2)
    i = ingot.ones(2, dtype=ingot.int64)
    assert f(i).dtype is ingot.float32
    ingot.set_default_dtype(ingot.float64)
    try:
        assert f(i).dtype is ingot.float64
    finally:
        ingot.set_default_dtype(ingot.float32)


def test_exchanged_parameters():
    model = nn.Linear(2, 2)
    c = ingot.compile(model)
    x = ingot.ones(1, 2)
    c(x)
    model.weight = nn.Parameter(ingot.zeros(2, 2))
    close(c(x).detach(), model.bias.detach()[None])
    model.load_state_dict({"weight": ingot.ones(2, 2), "bias": ingot.zeros(2)})
    assert c(x).tolist() == [[2, 2]]


@pytest.mark.compiled
def test_frozen_by_the_decorator(capsys, monkeypatch):
    def twice(x):
        return x * 2 + 0.0078125 * x - 0.0078125 * x  # no other test compiles this

    f = ingot.compile(twice, mode="frozen")
    f(ingot.ones(2))
    with pytest.raises(FrozenError, match=r"twice: (argument x is f32\[3\]|x.shape\[0\] is 3), it was .*2.*ingot cache explain"):
        f(ingot.ones(3))
    assert f(ingot.ones(2)).tolist() == [2, 2]
    ingot.compile(twice)(ingot.ones(3))
    assert f(ingot.ones(3)).tolist() == [2, 2, 2]  # the cache holds its code by now
    with ingot.frozen(False):
        assert f(ingot.ones(4)).tolist() == [2, 2, 2, 2]
    m = nn.Sequential(nn.Linear(5, 5), nn.Dropout(0.234567))
    c = ingot.compile(m, mode="frozen")
    c(ingot.ones(13, 5))
    m.eval()
    with pytest.raises(FrozenError, match="training is False, it was True"):
        c(ingot.ones(13, 5))
    monkeypatch.setenv("INGOT_LOG", "recompiles")
    g = ingot.compile(lambda x, *more, k=None: x + 1)
    def f16(*shape):
        return ingot.ones(*shape, dtype=ingot.float16)

    g(ingot.ones(2)), g(f16(2))
    assert "is compiled again: argument x is f16[2], it was f32[2]" in capsys.readouterr().err
    g(ingot.ones(3), [ingot.ones(1)]), g(ingot.ones(3), [f16(2)])
    assert "argument more[0][0] is f16[2], it was f32[1]" in capsys.readouterr().err
    g(ingot.ones(3), k={"a": ingot.ones(1)}), g(ingot.ones(3), k={"a": f16(2)})
    assert "argument k['a'] is f16[2], it was f32[1]" in capsys.readouterr().err
    assert g.recompiles["argument x is f16[2], it was f32[2]"] == 1 and sum(g.recompiles.values()) == g.stats["recompiles"]


@pytest.mark.compiled
def test_frozen_by_a_block_or_the_environment(monkeypatch):
    def thrice(x, scale):
        return x * 3 * scale

    told = r"thrice \(.*guards.py:\d+\) would have to be compiled.*holds no code of thrice"
    with ingot.frozen(), pytest.raises(FrozenError, match=told):
        ingot.compile(thrice)(ingot.ones(5), ingot.ones(1))
    ingot.compile(thrice)(ingot.ones(5), ingot.ones(1))
    with ingot.frozen():
        assert ingot.compile(thrice)(ingot.ones(5), ingot.ones(1)).tolist() == [3] * 5
        with pytest.raises(FrozenError, match=r"differs: argument x is f32\[6\], stored is f32\[5\]"):
            ingot.compile(thrice)(ingot.ones(6), ingot.ones(1))
    monkeypatch.setenv("INGOT_FROZEN", "1")
    with pytest.raises(FrozenError) as told:
        ingot.compile(thrice)(ingot.ones(7), ingot.ones(1))
    assert len(told.value.key) == 64
    with ingot.frozen(False):
        ingot.compile(thrice)(ingot.ones(7), ingot.ones(1))


@pytest.mark.compiled
def test_what_is_eager_stays_pending_when_frozen():
    x = ingot.ones(3, 7) * 5
    with ingot.frozen():
        y = (x + 17.5).exp2()
        for _ in range(2):
            with pytest.raises(FrozenError, match=r"outside of .*test_compile_guards.py:\d+\) would have to be compiled"):
                y.tolist()
    assert np.allclose(y.numpy(), 2**22.5)


@pytest.mark.compiled
def test_counts_of_the_process():
    ingot.cache.reset_stats()
    f = ingot.compile(lambda x: x * 11 - 4)
    f(ingot.ones(9)), f(ingot.ones(10))
    told = ingot.cache.stats()
    assert told["executables"]["compiled"] >= 2 and told["misses"]["absent"] >= 2 and told["recompiles"] == {"<lambda>": 1}
    ingot.cache.reset_stats()
    assert ingot.cache.stats()["executables"] == {} and ingot.cache.folder()


def test_check_capture_finds_what_guards_cannot_see(monkeypatch):
    """What the standard library keeps for itself, as here the present thread, is such."""
    f = ingot.compile(lambda x: x * len(threading.current_thread().name))
    monkeypatch.setattr(threading.current_thread(), "name", "a")
    x = ingot.ones(2)
    f(x)
    monkeypatch.setenv("INGOT_CHECK", "capture")
    assert f(x).tolist() == [1, 1]
    monkeypatch.setattr(threading.current_thread(), "name", "ab")
    with pytest.raises(CaptureError, match="INGOT_CHECK=capture"):
        f(x)


def test_messages_and_profilers_change_nothing(capsys):
    class Kept(logging.Handler):
        def __init__(self):
            super().__init__()
            self.records = []

        def emit(self, record):
            self.records.append(record)

    log = logging.getLogger("ingot.tests.messages")
    log.setLevel(logging.INFO)
    log.addHandler(Kept())

    @ingot.compile
    def f(x):
        log.info("called with %s", x.shape)
        print("called")
        return x * (2 if log.isEnabledFor(logging.DEBUG) else 1)

    profiler = cProfile.Profile()
    with profiler:
        for _ in range(3):
            assert f(ingot.ones(2)).tolist() == [1, 1]
    assert f.stats["traces"] == 1 and len(log.handlers[0].records) == 1 and capsys.readouterr().out == "called\n"
    assert any("__call__" in str(entry.code) for entry in profiler.getstats())
    log.setLevel(logging.DEBUG)
    assert f(ingot.ones(2)).tolist() == [2, 2]


def test_what_the_garbage_collector_calls_is_no_part_of_a_function():
    began = [0.0]

    def timed(phase, info):
        began[0] = time.perf_counter()

    def f(x):
        for _ in range(5000):  # garbage
            held = []
            held.append(held)
        return x + 1

    f = ingot.compile(f)
    gc.callbacks.append(timed)
    try:
        for _ in range(3):
            assert f(ingot.ones(2)).tolist() == [2, 2]
    finally:
        gc.callbacks.remove(timed)
    assert f.stats["traces"] == 1 and gc.isenabled() and began[0]


def test_methods_and_memory():
    class Thing:
        def __init__(self):
            self.k = 3

        @ingot.compile
        def times(self, x):
            return x * self.k

    t = Thing()
    assert t.times(ingot.ones(2)).tolist() == [3, 3]
    t.k = 4
    assert t.times(ingot.ones(2)).tolist() == [4, 4]
    assert Thing().times(ingot.ones(2)).tolist() == [3, 3]
    gc.collect()


def test_threads_share_a_compiled_function():
    model = net()
    c = ingot.compile(model)
    x, _ = data()
    want = model(x).detach().numpy().copy()
    errors = []

    def work():
        try:
            for _ in range(20):
                close(c(x).detach(), want)
        except Exception as e:  # noqa: BLE001
            errors.append(e)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that they meet everywhere
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    finally:
        sys.setswitchinterval(interval)
    assert not errors


def test_views_of_shared_memory_read_inside():
    table = ingot.zeros(3).unsqueeze(0)
    seen = table.numpy()  # shares the memory
    m = nn.Linear(3, 3)
    m.register_buffer("table", table)

    @ingot.compile
    def f(x):
        return (x + m.table).sum(), m.table[:, 1:] * 2

    for i in range(3):
        seen[0, 1] = i
        total, part = f(ingot.ones(2, 3))
        assert float(total) == 6 + 2 * i and part.tolist() == [[2.0 * i, 0.0]]
    assert m.table.tolist() == [[0.0, 2.0, 0.0]]


def test_requires_grad_of_other_tensors_does_not_invalidate():
    from ingot.runtime.epoch import EPOCH

    before = EPOCH[0]
    x = ingot.ones(3)
    x.detach().requires_grad_()
    assert EPOCH[0] == before


def test_dicts_that_answer_in_their_own_way_are_watched():
    class Registry(dict):
        def get(self, key):
            return super().get(str(key)) or 1.0

        def __contains__(self, key):
            raise TypeError("ask with get")

    registry = Registry(a=3.0)
    f = ingot.compile(lambda x: x * registry.get("a") + registry.get("none"))
    x, seen = ingot.ones(1), []
    for change in ({}, {"a": 5.0}, {"none": 7.0}, {}):
        registry.update(change)
        seen.append(f(x).item())
    assert seen == [4, 6, 12, 12]
