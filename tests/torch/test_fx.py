"""Graphs of Python calls: what tracing finds, against torch's; changing graphs and running them."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import ingot
from tests.support.interpreter import interpreter  # noqa: F401  (these are semantics: nothing needs to be compiled)
from tests.torch.against import copy_weights


def scaled(x):
    return x if float(x.sum()) < 0 else x * 2


ingot.fx.wrap("scaled")
torch.fx.wrap("scaled")


def block(m):
    class Block(m.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = m.nn.Conv2d(3, 4, 3, padding=1)
            self.inner = m.nn.Sequential(m.nn.BatchNorm2d(4), m.nn.ReLU())
            self.scale = m.nn.Parameter(m.ones(1) * 0.5)
            self.register_buffer("shift", m.ones(4, 1, 1))

        def forward(self, x, flag: bool = True):
            y = self.inner(self.conv(x)) * self.scale + self.shift
            a, b = m.split(y, 2, 1)
            z = m.cat([a, -b], dim=1).mean((2, 3))
            z = m.nn.functional.gelu(z) @ z.t()
            size = x.shape[0]
            return {"out": z.reshape(size, -1)[:, 1:], "pair": (a.sum(), 2 - b)}

    return Block()


def test_a_trace_is_torch_s():
    mine, theirs = ingot.fx.symbolic_trace(block(ingot)), torch.fx.symbolic_trace(block(torch))
    name = lambda n: n.target if isinstance(n.target, str) else n.target.__name__  # noqa: E731
    rows = [[(n.op, name(n), len(n.users)) for n in g.graph.nodes] for g in (mine, theirs)]
    assert rows[0] == rows[1]
    copy_weights(theirs, mine)
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32)
    a, b = mine(ingot.tensor(x)), theirs(torch.tensor(x))
    for p, q in ((a["out"], b["out"]), (a["pair"][0], b["pair"][0]), (a["pair"][1], b["pair"][1])):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), atol=1e-5)
    again = copy.deepcopy(mine)
    assert ingot.equal(again(ingot.tensor(x))["out"], mine(ingot.tensor(x))["out"])
    assert list(mine.state_dict()) == list(theirs.state_dict())


def test_features_of_a_layer():
    model = ingot.nn.Sequential(ingot.nn.Linear(3, 4), ingot.nn.ReLU(), ingot.nn.Linear(4, 2)).eval()
    traced = ingot.fx.symbolic_trace(model)
    node = next(n for n in traced.graph.nodes if n.target == "1")
    out = next(n for n in traced.graph.nodes if n.op == "output")
    out.args = (node,)
    assert traced.graph.eliminate_dead_code()
    traced.delete_all_unused_submodules()
    traced.recompile()
    traced.graph.lint()
    x = ingot.ones(2, 3)
    assert ingot.equal(traced(x), model[:2](x)) and list(traced._modules) == ["0", "1"]
    compiled = ingot.compile(traced)
    assert ingot.allclose(compiled(x), model[:2](x))


def test_a_graph_is_changed():
    traced = ingot.fx.symbolic_trace(lambda x, y: ingot.relu(x) + y)
    for n in traced.graph.nodes:
        if n.op == "call_function" and n.target.__name__ == "relu":
            with traced.graph.inserting_after(n):
                new = traced.graph.call_function(ingot.tanh, (n.args[0],))
            n.replace_all_uses_with(new)
            traced.graph.erase_node(n)
    traced.recompile()
    x = ingot.tensor([-1.0, 2.0])
    assert ingot.equal(traced(x, x), ingot.tanh(x) + x)
    first = traced.graph.nodes[0]
    assert first.next is traced.graph.nodes[1] and "tanh" in str(traced.graph) and "tanh" in traced.code
    with pytest.raises(RuntimeError, match="still had"):
        traced.graph.erase_node(first)
    with pytest.raises(ValueError):
        traced.graph.create_node("other", "x")

    class Doubled(ingot.fx.Transformer):
        def call_function(self, target, args, kwargs):
            return super().call_function(target, args, kwargs) * 2

    assert ingot.equal(Doubled(ingot.fx.symbolic_trace(lambda x: ingot.relu(x))).transform()(x), ingot.relu(x) * 2)


def test_what_is_not_looked_into_and_what_cannot_be_traced():
    traced = ingot.fx.symbolic_trace(lambda x: scaled(x) + 1)
    assert [n.target.__name__ for n in traced.graph.nodes if n.op == "call_function"] == ["scaled", "add"]
    assert traced(ingot.ones(1)).item() == 3
    for bad in (lambda x: x if x.sum() > 0 else -x, lambda x: [v for v in x]):
        with pytest.raises(ingot.fx.TraceError):
            ingot.fx.symbolic_trace(bad)
    with pytest.raises(RuntimeError, match="top level"):
        ingot.fx.wrap("scaled")
    assert ingot.relu(ingot.tensor(-1.0)).item() == 0  # everything is as it was
    concrete = ingot.fx.symbolic_trace(lambda x, n: x * n, concrete_args={"n": 3})
    assert concrete(ingot.ones(1)).item() == 3
    default = ingot.fx.symbolic_trace(lambda x, n=2: x * n)
    assert default(ingot.ones(1)).item() == 2 and ingot.fx.Interpreter(default).run(ingot.ones(1)).item() == 2
