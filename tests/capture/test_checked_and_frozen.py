"""INGOT_CHECK=capture, traces without a call, and frozen processes, where sizes and numbers are those of each call."""

import numpy as np
import pytest

import ingot
from ingot import nn
from ingot.capture import trace_call


class Growing(nn.Module):
    scale = 1.0

    def __init__(self):
        super().__init__()
        self.kept, self.table = None, {"n": 1}

    def forward(self, x, i):
        self.kept = x if self.kept is None else ingot.cat([self.kept, x])
        self.table["n"] += 1
        return self.kept[-i:].sum() * Growing.scale + self.kept.shape[0] / 3 + self.table["n"]


def test_calls_at_run_time_sizes_are_checked(monkeypatch):
    monkeypatch.setenv("INGOT_CHECK", "capture")
    f, plain = Growing(), Growing()
    compiled = ingot.compile(f)
    for i, n in enumerate((2, 3, 3, 1, 4, 5, 2, 7)):
        Growing.scale = i / 4
        assert compiled(ingot.ones(n, 2), i + 1).item() == pytest.approx(plain(ingot.ones(n, 2), i + 1).item())
    assert compiled.stats["traces"] <= 4, compiled._compiled.recompiles


@pytest.mark.compiled
def test_what_is_traced_without_a_call_has_the_sizes_that_were_declared():
    f = ingot.compile(lambda x: x * x.shape[0], dynamic={"x": {0: ingot.Dim("B", max=9)}})
    traced, _ = trace_call(f, (ingot.ones(3, 2),), {})
    assert str(traced.graph.out_types[0]) == "f32[B,2]"
    with ingot.frozen(False):
        f(ingot.ones(3, 2))
    with ingot.frozen():
        assert f(ingot.ones(5, 2)).tolist() == [[5.0, 5.0]] * 5


@pytest.mark.compiled
def test_a_frozen_process_is_served_by_code_for_all_sizes():
    def make():
        return ingot.compile(lambda x: (x * 2).cumsum(0) / len(x), dynamic=True)

    xs = [ingot.ones(n, 3) for n in (4, 6, 9)]
    make()(xs[0])
    with ingot.frozen():
        f = make()
        assert [f(x).shape[0] for x in xs] == [4, 6, 9]


@pytest.mark.compiled
def test_a_frozen_process_finds_the_code_for_all_sizes_at_its_first_call():
    weight = ingot.arange(12.0).reshape(3, 4)

    def f(x, y):
        return ((x @ weight).relu().sum(1) + y) / x.shape[0]

    before = ingot.compile(f)
    for n in (2, 7):
        before(ingot.ones(n, 3), ingot.ones(n))
    xs = {n: (ingot.ones(n, 3), ingot.arange(n) * 1.0) for n in (11, 5, 2)}
    want = {n: f(*a).tolist() for n, a in xs.items()}
    with ingot.frozen():
        after = ingot.compile(f)
        for n, a in xs.items():
            np.testing.assert_allclose(after(*a).tolist(), want[n], rtol=1e-5)
        assert after.stats["traces"] == 1, after.recompiles
        with pytest.raises(ingot.FrozenError):
            ingot.compile(lambda x: f(x, 2.0) * 7)(xs[5][0])
