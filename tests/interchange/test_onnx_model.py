"""A loaded model: its inputs, its errors, its parameters, what it may be told, and what it never does."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest

import ingot
from ingot import nn
from ingot.interchange.onnx.emit.writer import attribute
from ingot.interchange.onnx.messages import (
    Dimension,
    GraphProto,
    ModelProto,
    NodeProto,
    OperatorSetId,
    TensorShape,
    TensorType,
    TypeProto,
    ValueInfo,
)  # fmt: skip
from ingot.interchange.onnx.tensors import proto_of
from ingot.interchange.onnx.wire import encode
from ingot.onnx import OnnxError


def node(op, inputs, outputs, **attrs):
    return NodeProto(op_type=op, input=inputs.split(), output=outputs.split(), attribute=[attribute(k, v) for k, v in attrs.items()])


def data(nodes, inputs, outputs, opset=20, **values):
    values = {k: np.asarray(v) for k, v in values.items()}
    graph = GraphProto(
        name="g", node=nodes, initializer=[proto_of(k, v) for k, v in values.items()],
        input=[ValueInfo(name=i) for i in inputs.split()], output=[ValueInfo(name=o) for o in outputs.split()],
    )  # fmt: skip
    return encode(ModelProto(ir_version=9, opset_import=[OperatorSetId(version=opset)], graph=graph))


def test_inputs_that_have_initializers():
    model = ingot.onnx.load(data([node("Add", "x w", "y")], "x w", "y", w=np.float32([1, 2])))
    x = np.zeros(2, np.float32)
    assert model.input_names == ["x"]
    assert model.run({"x": x})["y"].tolist() == [1, 2]
    assert model.run({"x": x, "w": np.float32([5, 6])})["y"].tolist() == [5, 6]
    assert model.run({"x": x})["y"].tolist() == [1, 2]


def test_errors_name_node_op_and_input():
    good = [node("MatMul", "x w", "y")]
    model = ingot.onnx.load(data(good, "x", "y", w=np.zeros((3, 2), np.float32)))
    with pytest.raises(OnnxError, match="MatMul.*'y'.*'x' float32.2, 5"):
        model.run({"x": np.zeros((2, 5), np.float32)})
    with pytest.raises(OnnxError, match="no input 'z'"):
        model.run({"z": np.zeros(1)})
    with pytest.raises(OnnxError, match="input 'x' is missing"):
        model.run({})
    for nodes, match in (
        ([node("Nothing", "x", "y")], "Nothing.*there is no such op in version 20"),
        ([NodeProto(op_type="Conv", domain="com.microsoft.nchwc", output=["y"])], "the memory layout of one kind of processor"),
        ([node("Relu", "x", "y", alpha=1.0)], "attribute 'alpha', which the op does not know"),
        ([node("Relu", "x x", "y")], "has 2 inputs, where the op takes x"),
        ([node("Relu", "z", "y")], "reads 'z', which nothing before it gives"),
        ([node("Relu", "b", "a"), node("Relu", "a", "b"), node("Add", "x b", "y")], "reads 'b', which nothing"),
    ):
        with pytest.raises(OnnxError, match=match):
            ingot.onnx.load(data(nodes, "x", "y")).run({"x": np.zeros(2, np.float32)})
    with pytest.raises(OnnxError, match="op set 99"):
        ingot.onnx.load(data(good, "x", "y", opset=99))
    program = ingot.onnx.export(nn.Linear(4, 2), (ingot.zeros(3, 4),), input_names=["x"])
    exact = ingot.onnx.load(program.serialize())
    for array, match in (
        (np.zeros((3, 4)), "must be float32"),
        (np.zeros((3, 5), np.float32), "must have the shape .3, 4"),
        (None, "missing"),
    ):
        with pytest.raises(OnnxError, match=match):
            exact.run({"x": array})


def test_fine_tuning():
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    model = ingot.onnx.load(ingot.onnx.export(net, (ingot.zeros(16, 4),)).serialize())
    optimizer = ingot.optim.SGD(model.parameters(), lr=0.1)
    ingot.manual_seed(0)
    x = ingot.randn(16, 4)
    y = x.sum(1, keepdim=True)
    losses = []

    @ingot.compile
    def step(x, y):
        optimizer.zero_grad()
        loss = ((model(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(20):
        losses.append(step(x, y).item())
    assert losses[-1] < losses[0] / 2
    assert model.state_dict().keys() == net.state_dict().keys()


def test_sizes_are_folded_and_artifacts_made(tmp_path):
    """Reshape to a shape that is computed of another: compiled as a whole, and exported."""
    nodes = [
        node("Shape", "x", "s"), node("Gather", "s zero", "n", axis=0), node("Unsqueeze", "n axes", "n1"),
        node("Concat", "n1 rest", "shape", axis=0), node("Reshape", "x shape", "y"),
    ]  # fmt: skip
    model = ingot.onnx.load(data(nodes, "x", "y", zero=np.int64(0), axes=np.int64([0]), rest=np.int64([-1])))
    for shape in ((2, 3, 4), (5, 3, 4), (7, 2, 2)):
        x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        np.testing.assert_array_equal(model.run({"x": x})["y"], x.reshape(shape[0], -1))
    assert model.parts is None
    ingot.export(model, (np.zeros((2, 3, 4), np.float32),), tmp_path / "m.ingot")
    assert ingot.load(tmp_path / "m.ingot")(np.ones((2, 3, 4), np.float32)).shape == (2, 12)


def test_damaged_models(long):
    """Whatever a byte becomes: a model, or one error of ours."""
    rng = random.Random(5)
    whole = data(
        [node("Gemm", "x w b", "h", alpha=0.5, transB=1), node("Erf", "h", "e"), node("Mul", "h e", "y")], "x", "y",
        w=np.ones((2, 3), np.float32), b=np.ones(2, np.float32),
    )  # fmt: skip
    for _ in range(100_000 if long else 2000):
        bad = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        try:
            ingot.onnx.load(bytes(bad))
        except (ValueError, OnnxError):
            pass


def test_small_files_that_ask_for_much(monkeypatch):
    """Sparse tensors of absurd shapes, constants that grow when they are folded, functions that double what is called: refused, or left
    to the run, which says what is wrong."""
    onnx = pytest.importorskip("onnx")
    many = np.arange(1 << 16, dtype=np.int64)
    nodes = [node("Gather", "w many", "b"), node("Concat", "many many many", "c"), node("Add", "rows many", "sum"), node("Size", "x", "y")]
    model = ingot.onnx.load(data(nodes, "x", "y", w=many[None], many=many, rows=many[:, None]))
    assert sum(a.nbytes for a in model._known.values()) < 1 << 22 and model.run({"x": np.zeros(3)})["y"] == 3
    sparse = '<ir_version: 8, opset_import: ["" : 17]> g () => (float[2] y) { y = Constant <sparse_value = float[2] {1.0}> () }'
    proto = onnx.parser.parse_model(sparse.replace("sparse_value", "value"))
    attribute = proto.graph.node[0].attribute[0]
    attribute.sparse_tensor.values.CopyFrom(onnx.numpy_helper.from_array(np.float32([1]), "v"))
    attribute.sparse_tensor.indices.CopyFrom(onnx.numpy_helper.from_array(np.int64([5])))
    attribute.name, attribute.type = "sparse_value", onnx.AttributeProto.SPARSE_TENSOR
    attribute.ClearField("t")
    for dims, match in (([1 << 40], "cannot be made dense"), ([-1], "cannot be made dense"), ([3], "values elsewhere")):
        attribute.sparse_tensor.dims[:] = dims
        with pytest.raises(OnnxError, match=match):
            ingot.onnx.load(proto.SerializeToString())
    twice = "".join(f'<domain: "d", opset_import: ["d" : 1]> f{i} (x) => (z) {{ y = d.f{i + 1}(x)  z = d.f{i + 1}(y) }}' for i in range(40))
    last = '<domain: "d", opset_import: ["" : 17]> f40 (x) => (y) { y = Abs(x) }'
    text = f'<ir_version: 8, opset_import: ["" : 17, "d" : 1]> g (float[2] x) => (float[2] y) {{ y = d.f0(x) }} {twice} {last}'
    with pytest.raises(OnnxError, match="is more than 4194304 nodes"):
        ingot.onnx.load(onnx.parser.parse_model(text).SerializeToString())
    wrong = onnx.parser.parse_model(sparse.replace("sparse_value = float[2] {1.0}", "value = [1]"))
    with pytest.raises(OnnxError, match="Constant.*is no tensor"):
        ingot.onnx.load(wrong.SerializeToString()).run({})


def test_what_constants_decide_is_computed_once():
    nodes = [
        node("ConstantOfShape", "shape", "w", value=np.float32([2])), node("Constant", "", "c", value=np.ones(100, np.float32)),
        node("Mul", "x w", "m"), node("Add", "m c", "y"),
    ]  # fmt: skip
    model = ingot.onnx.load(data(nodes, "x", "y", shape=np.int64([100])))
    assert [n.op for n in model._program.body.nodes] == ["Mul", "Add"]
    graph = ingot.capture.trace_call(ingot.compile(model), (ingot.ones(100),), {})[0].graph
    assert not any(n.op.name == "constant" and n.attrs[0].type.numel > 64 for n in graph.nodes)
    assert model.run({"x": np.ones(100, np.float32)})["y"].tolist() == [3] * 100


def test_what_follows_from_weights_is_kept():
    """They lie in memory that nobody else sees."""
    module = ingot.onnx.load(data([node("MatMul", "x w", "y")], "x", "y", w=np.ones((40, 50), np.float32)))
    module.run({"x": np.ones((3, 40), np.float32)})
    assert all(p._storage.exposed is None for p in module.parameters())


_ONE_MODULE_PER_OP = """
import importlib, inspect, sys
from ingot.interchange.onnx import ops, rules
assert ops.find("", "Add", 14) and "ingot.interchange.onnx.ops.strings" not in sys.modules
for module in ops.MODULES:
    before = {key: len(versions) for key, versions in rules._RULES.items()}
    importlib.import_module(f"{ops.__name__}.{module}")
    for key, n in before.items():
        assert module == "elementwise" or len(rules._RULES[key]) == n, (module, key)
assert set(ops.MODULES) == {m.name for m in __import__("pkgutil").iter_modules(ops.__path__)}
for key, versions in rules._RULES.items():
    for rule in versions:
        parameters = list(inspect.signature(rule.run).parameters.values())[rule.wants_call :]
        assert rule.attrs == {p.name for p in parameters if p.kind == p.KEYWORD_ONLY}, key
        assert rule.inputs == tuple(p.name for p in parameters if p.kind != p.KEYWORD_ONLY), key
        assert rule.variadic == any(p.kind == p.VAR_POSITIONAL for p in parameters), key
print(len(rules._RULES))
"""


def test_all_versions_of_an_op_stand_in_one_module_and_rules_are_what_their_functions_take():
    done = subprocess.run([sys.executable, "-c", _ONE_MODULE_PER_OP], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and int(done.stdout) > 200, done.stderr


def test_dims_that_may_be_anything():
    """As PaddlePaddle's exporter writes them."""
    x = np.float32([[[1, -2, 3]]])
    dims = [Dimension(dim_value=-1), Dimension(dim_param="?"), Dimension(dim_param="?")]
    shape = TypeProto(tensor_type=TensorType(elem_type=1, shape=TensorShape(dim=dims)))
    graph = GraphProto(name="g", node=[node("Abs", "x", "y")], input=[ValueInfo(name="x", type=shape)], output=[ValueInfo(name="y")])
    model = ingot.onnx.load(encode(ModelProto(ir_version=9, opset_import=[OperatorSetId(version=17)], graph=graph)))
    assert model.inputs[0].dims == (None, None, None) and model.run({"x": x})["y"].tolist() == [[[1, 2, 3]]]


def test_transforms_of_signals_without_a_dim_of_parts():
    x = np.random.default_rng(0).normal(size=(2, 64)).astype(np.float32)
    stored = {"step": np.int64(4), "window": np.hanning(8).astype(np.float32)}
    flat, full = (data([node("STFT", "x step window", "y")], "x", "y", **stored) for _ in range(2))
    want = ingot.onnx.load(full).run({"x": x[..., None]})["y"]
    assert want.shape == (2, 15, 5, 2)
    np.testing.assert_array_equal(ingot.onnx.load(flat).run({"x": x})["y"], want)


def test_what_is_computed_of_strings():
    lower = node("StringNormalizer", "x", "y", case_change_action="LOWER", stopwords=["a"])
    model = ingot.onnx.load(data([lower], "", "y", x=np.int64([1, 2])))
    with pytest.raises(OnnxError, match="StringNormalizer.*'x' int64"):
        model.run({})


def test_branches_that_are_for_other_inputs():
    """Of a compiled model both branches are computed: where one cannot be, the model runs as it is written."""

    def branch(name, weight):
        return GraphProto(name=name, node=[node("MatMul", f"x {weight}", name)], output=[ValueInfo(name=name)])

    nodes = [node("If", "p", "y", then_branch=branch("a", "short"), else_branch=branch("b", "long"))]
    model = ingot.onnx.load(data(nodes, "p x", "y", short=np.ones((2, 3), np.float32), long=np.ones((4, 3), np.float32)))
    for p, n in ((True, 2), (False, 4)):
        assert model.run({"p": np.array(p), "x": np.ones((1, n), np.float32)})["y"].tolist() == [[n] * 3]
    assert "its condition is computed" in model.parts
    with pytest.raises(OnnxError, match="MatMul"):
        model.run({"p": np.array(True), "x": np.ones((1, 4), np.float32)})


LOOPS = """<ir_version: 8, opset_import: ["" : 17]>
g (float[n,3] x, float[3] h) => (float[3] last, float[n,3] ys, float[m,3] zs) {
  last, ys = Scan <num_scan_inputs=1, scan_input_directions=[1], body = b (float[3] c, float[3] r) => (float[3] c2, float[3] y) {
    c1 = Mul(c, r)  c2 = Add(c1, r)  y = Tanh(c2) }> (h, x)
  shape = Shape(x)
  zero = Constant <value = int64[1] {0}> ()
  m1 = Gather(shape, zero)
  m = Squeeze(m1)
  t = Constant <value = bool {1}> ()
  l2, zs = Loop <body = lb (int64 i, bool cond, float[3] s) => (bool cond2, float[3] s2, float[3] z) {
    cond2 = Identity(cond)  row = Gather(x, i)  s2 = Add(s, row)  z = Mul(s2, s2) }> (m, t, h)
}"""


def test_loops_of_many_steps_are_loops(monkeypatch):
    """A Scan over a dim that varies, and a Loop over its size, keep it: one model for every size."""
    onnx = pytest.importorskip("onnx")
    monkeypatch.setenv("INGOT_BACKEND", "interpreter")
    data = onnx.parser.parse_model(LOOPS).SerializeToString()
    model = ingot.onnx.load(data)
    again = ingot.onnx.export(model, (ingot.randn(20, 3), ingot.ones(3)), input_names=["x", "h"], dynamic_axes={"x": {0: "n"}})
    assert sorted(n.op_type for n in again.model_proto.graph.node if n.op_type in ("Scan", "Loop")) == ["Scan", "Scan"]
    written = ingot.onnx.load(again.serialize())
    for n in (1, 5, 20, 37):
        x, h = ingot.randn(n, 3), ingot.ones(3)
        wanted, state = [], h
        for i in reversed(range(n)):
            state = state * x[i] + x[i]
            wanted.append(state.tanh())  # in the order of the steps
        sums = (h + x.cumsum(0)) ** 2
        for m in (model, written):
            last, ys, zs = m(x, h)
            for got, want in ((last, state), (ys, ingot.stack(wanted)), (zs, sums)):
                np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-5, atol=1e-5)


def test_loops_that_end_themselves_or_grow(monkeypatch):
    """What no compiled loop can do is done step by step: a condition that turns, a state that gets longer."""
    onnx = pytest.importorskip("onnx")
    monkeypatch.setenv("INGOT_BACKEND", "interpreter")
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[2] x) => (float[k] grown, float[2] done) {
      m = Constant <value = int64 {20}> ()
      t = Constant <value = bool {1}> ()
      limit = Constant <value = float {100.0}> ()
      grown = Loop <body = a (int64 i, bool c, float[p] s) => (bool c2, float[q] s2) {
        c2 = Identity(c)  s2 = Concat <axis=0> (s, x) }> (m, t, x)
      done = Loop <body = b (int64 i, bool c, float[2] s) => (bool c2, float[2] s2) {
        s2 = Add(s, x)  r = ReduceSum <keepdims=0> (s2)  c2 = Less(r, limit) }> (m, t, x)
    }"""
    model = ingot.onnx.load(onnx.parser.parse_model(text).SerializeToString())
    grown, done = model(ingot.tensor([1.0, 29.0]))
    assert grown.tolist() == [1.0, 29.0] * 21 and done.tolist() == [4.0, 116.0]


def test_a_constant_with_an_attribute_that_is_none(monkeypatch):
    onnx = pytest.importorskip("onnx")
    monkeypatch.setenv("INGOT_BACKEND", "interpreter")
    text = '<ir_version: 8, opset_import: ["" : 17]> g (float[2] x) => (float[2] y) { c = Constant <valve_ints = [1]> () y = Add(x, c) }'
    model = ingot.onnx.load(onnx.parser.parse_model(text).SerializeToString())
    with pytest.raises(ingot.onnx.OnnxError, match="Constant.*has the attribute 'valve_ints', which the op does not know"):
        model(ingot.zeros(2))


def test_code_selects_no_float_among_many():
    from ingot.capture.export import traced_model

    weights = np.arange(40, dtype=np.float32)
    nodes = [node("Constant", "", "w", value=weights), node("Add", "x w", "y")]
    model = ingot.onnx.load(data(nodes, "x", "y"))
    x = np.ones((3, 40), np.float32)
    assert np.array_equal(model.run({"x": x})["y"], x + weights)
    graph = traced_model(model, (ingot.from_numpy(x),), {}).graph
    assert not any(n.op.name == "constant" and n.attrs[0].array().size > 4 for n in graph.nodes)
