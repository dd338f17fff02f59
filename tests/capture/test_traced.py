"""What tracing gives is a value: nothing is compiled, run or changed for it, and its kinds know their own rules."""

import dataclasses

import numpy as np
import pytest

import ingot
from ingot import nn
from ingot.capture import CompiledFunction, trace_call
from ingot.capture.call import CompiledCall
from ingot.capture.sources import Source
from ingot.ir.dtypes import f64
from ingot.runtime import compiler
from ingot.runtime.array import host
from ingot.runtime.numbers import rank0
from ingot.runtime.recorder import here

F = nn.functional


def step_of(model, opt):
    def step(x, y):
        opt.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        opt.step()
        return {"loss": loss, "rest": [x, 3]}

    return step


@pytest.mark.compiled
def test_tracing_compiles_nothing_and_changes_nothing(monkeypatch):
    ingot.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
    opt = ingot.optim.AdamW(model.parameters(), lr=0.1)
    f = ingot.compile(step_of(model, opt))
    x, y = ingot.ones(4, 2), ingot.zeros(4, 3)
    opt.initialize_state()
    before = {k: v.tolist() for k, v in model.state_dict().items()}
    state = [{k: v.tolist() for k, v in s.items()} for s in opt.state.values()]
    offset = ingot.random.default_generator.offset
    monkeypatch.setattr(compiler, "executable", None)
    counts = dict(compiler.counts)
    traced, leaves = trace_call(f, (x,), {"y": y})
    assert dict(compiler.counts) == counts and f.stats["traces"] == 0 and f.stats["calls"] == 0
    assert {k: v.tolist() for k, v in model.state_dict().items()} == before and all(p.grad is None for p in model.parameters())
    assert [{k: v.tolist() for k, v in s.items()} for s in opt.state.values()] == state
    assert ingot.random.default_generator.offset == offset and leaves == [x, y]
    with pytest.raises(AttributeError, match="cannot be changed"):
        traced.graph = None
    assert {"x", "y", "0.weight", "1.running_mean", "lr", "0.weight.exp_avg"} <= set(traced.graph.input_names)


@pytest.mark.compiled
def test_one_traced_value_is_made_into_calls_as_often_as_wanted():
    model = nn.Linear(2, 1)
    opt = ingot.optim.SGD(model.parameters(), lr=0.5)
    other = nn.Linear(2, 1)
    other.load_state_dict(model.state_dict())
    x, y = ingot.ones(4, 2), ingot.zeros(4, 1)
    traced, leaves = trace_call(ingot.compile(step_of(model, opt)), (x, y), {})
    step = step_of(other, ingot.optim.SGD(other.parameters(), lr=0.5))
    for _ in range(2):
        got, want = CompiledCall(traced).call(leaves), step(x, y)
        assert np.allclose(got["loss"].detach(), want["loss"].detach()) and got["rest"][0] is x and got["rest"][1] == 3
    for p, q in zip(model.parameters(), other.parameters()):
        assert np.allclose(p.detach(), q.detach()) and np.allclose(p.grad, q.grad)


class Counting:
    """A number that counts how often it is asked for."""

    asked = 0

    def __float__(self):
        self.asked += 1
        return float(self.asked)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Asked(Source):
    """A kind of source that nobody else knows."""

    label = "asked"
    of: Counting

    def gather(self, leaves, t, sizes):
        return host(t, float(self.of))

    def lines(self, c, k, t):
        c.add(f"n{k} = float({c.name(self.of)})")
        return f"n{k}", f"Array({c.name(t)}, None, n{k}, HOST)"


@pytest.mark.compiled
@pytest.mark.parametrize("grad", [False, True])
def test_a_new_kind_of_source_is_one_class(grad):
    counting = Counting()

    def f(x):
        number = ingot._tensor.wrap((here.recorder.placeholder(rank0(f64), Asked(counting), scalar=True), None))
        return x * number

    f = ingot.compile(f)
    for i in range(1, 5):  # a first call, a long one, and short ones
        x = ingot.ones(2, dtype=ingot.float64, requires_grad=grad)
        y = f(x)
        assert y.tolist() == [i, i]
        if grad:
            y.sum().backward()
            assert x.grad.tolist() == [i, i]
    assert isinstance(f, CompiledFunction) and f._fast[0] == 1
    assert "asked" in trace_call(f, (x,), {})[0].graph.input_names[1]


def test_a_gradient_that_is_read_is_an_input_and_no_captured_tensor():
    w = ingot.ones(2, requires_grad=True)
    w.grad = ingot.ones(2)
    traced, _ = trace_call(ingot.compile(lambda x: x * w.grad), (ingot.ones(2),), {})
    assert [s.label for s in traced.sources] == ["arg", "slot"] and w.grad._storage is None
