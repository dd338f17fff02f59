"""`fx` beside torch.fx: the nodes of traced modules, and what they compute."""

import copy
import operator

import numpy as np
import pytest

import ingot

torch = pytest.importorskip("torch")
X = np.random.default_rng(0).standard_normal((2, 6), dtype=np.float32)


def models(T):
    nn, F = T.nn, T.nn.functional

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 6)
            self.scale = nn.Parameter(T.ones(6))
            self.register_buffer("shift", T.zeros(6))

        def forward(self, x, factor=2.0):
            y = F.relu(self.linear(x)) * self.scale + self.shift
            a, b = y.chunk(2, dim=-1)
            n = x.shape[0]
            return T.cat([a, b], dim=1).view(n, -1)[:, 1:] * factor

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.Sequential(Block(), nn.Linear(5, 6))
            self.norm = nn.LayerNorm(6)

        def forward(self, x):
            x = x + self.blocks(x)
            x = T.softmax(self.norm(x), dim=-1).add_(1)
            return {"y": x.sum(dim=1), "z": [x, 1 - x, -x]}

    return {"block": Block, "outer": Outer, "sequential": lambda: nn.Sequential(nn.Linear(6, 3), nn.ReLU(), nn.Dropout(0.0))}


@pytest.mark.parametrize("name", ["block", "outer", "sequential"])
def test_traced_modules(name):
    found = []
    for T in (ingot, torch):
        model = models(T)[name]()
        for i, p in enumerate(model.parameters()):
            with T.no_grad():
                p.copy_(T.tensor(np.random.default_rng(i).standard_normal(tuple(p.shape), dtype=np.float32)))
        traced = T.fx.symbolic_trace(model)
        traced.graph.lint()
        y = traced(T.tensor(X))
        again = copy.deepcopy(traced)(T.tensor(X))
        leaves = y if isinstance(y, dict) else {"y": y}
        assert leaves.keys() == (again.keys() if isinstance(again, dict) else {"y"})
        nodes = [(n.op, n.name, n.target if isinstance(n.target, str) else n.target.__name__, len(n.users)) for n in traced.graph.nodes]
        found.append((nodes, leaves["y"].detach().numpy(), sorted(traced.state_dict())))
    assert found[0][0] == found[1][0] and found[0][2] == found[1][2]
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-5, atol=1e-6)


def test_graphs_are_changed():
    traced = ingot.fx.symbolic_trace(lambda x: ingot.relu(x) + 1)
    for n in traced.graph.find_nodes(op="call_function", target=ingot.relu):
        with traced.graph.inserting_after(n):
            other = traced.graph.call_function(ingot.neg, n.args)
        n.replace_all_uses_with(other)
        with pytest.raises(RuntimeError, match="still had"):
            traced.graph.erase_node(other)
        traced.graph.erase_node(n)
    traced.recompile()
    assert traced(ingot.tensor([1.0, -2.0])).tolist() == [0, 3]
    assert [n.name for n in traced.graph.nodes] == ["x", "neg", "add", "output"] and "neg" in traced.code
    unused = traced.graph.create_node("call_function", operator.add, (1, 2))
    traced.graph.output_node().prepend(unused)
    assert traced.graph.eliminate_dead_code() and not traced.graph.eliminate_dead_code()
    with pytest.raises(ValueError, match="a node's op is one of"):
        traced.graph.create_node("call", len)

    class Doubling(ingot.fx.Transformer):
        def call_function(self, target, args, kwargs):
            return super().call_function(target, args, kwargs) * 2

    assert Doubling(traced).transform()(ingot.tensor([1.0, -2.0])).tolist() == [-2, 10]


@ingot.fx.wrap
def whole_number(x):
    return x * int(x.shape[0])


def test_what_cannot_be_traced():
    assert [n.op for n in ingot.fx.symbolic_trace(lambda x: whole_number(x)).graph.nodes] == ["placeholder", "call_function", "output"]
    for fn, message in (
        (lambda x: x if x.sum() > 0 else -x, "control flow"),
        (lambda x: [y for y in x], "cannot be iterated"),
        (lambda x: ingot.zeros(len(x)), "len"),
        (lambda x: x * int(x.shape[0]), "no integer"),
    ):
        with pytest.raises(ingot.fx.TraceError, match=message):
            ingot.fx.symbolic_trace(fn)
    assert ingot.relu(ingot.tensor([-1.0])).item() == 0  # nothing stays replaced
    traced = ingot.fx.symbolic_trace(lambda x, flip: -x if flip else x, concrete_args={"flip": True})
    assert traced(ingot.ones(1)).item() == -1
    with pytest.raises(TypeError, match="Expected positional argument for parameter x"):
        traced()
    compiled = ingot.compile(traced)
    assert compiled(ingot.ones(1)).item() == -1
