"""Export: every IR op and models, read again by Ingot and run by ONNX Runtime; names, op sets, external data, errors."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest

import ingot
from ingot import nn
from ingot.interchange.onnx.emit.writer import UnsupportedError
from ingot.interchange.onnx.export import model_of
from ingot.interchange.onnx.wire import encode
from ingot.ir.builder import op_graph
from ingot.ir.op import OPS
from ingot.ir.ops.samples import cases, types_of
from ingot.nn import functional as F

# what ONNX has no op for
WITHOUT = {"random_bits", "bitcast", "round_tf32", "complex", "view_as_complex"}
# where runtimes have a say of their own: NaN and overflow, and int products by way of floats
LOOSE = {"argmax", "argmin", "window_max", "window_argmax", "pow", "integer_pow", "sort"}
DTYPES = {"float32", "float64", "int64", "int32", "bool", "uint8"}


def onnx_package():
    return pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")


def exported_op(op, arrays, attrs, opset):
    graph = op_graph(op, attrs, types_of(arrays))
    feed = [("input", i) for i in range(len(arrays))]
    names = [f"x{i}" for i in range(len(arrays))]
    outputs = [f"y{i}" for i in range(len(graph.outputs))]
    return encode(model_of(graph, feed, {}, inputs=names, outputs=outputs, opset=opset)), dict(zip(names, arrays))


@pytest.mark.parametrize("name", sorted(set(OPS) - {"call", "constant"}))
def test_op_and_back(name, monkeypatch, long):
    """What an op computes, written, read and run by the interpreter."""
    monkeypatch.setenv("INGOT_BACKEND", "interpreter")
    op, known, seen = OPS[name], 0, 0
    for arrays, attrs in cases(op, np.random.default_rng(0))[: 60 if long else 12]:
        if any(a.dtype.name not in DTYPES for a in arrays):
            continue
        known += 1
        try:
            data, inputs = exported_op(op, arrays, attrs, 26)
        except UnsupportedError:
            continue
        seen += 1
        expected = op.ref(*arrays, *attrs)
        got = ingot.onnx.load(data).run(inputs).values()
        for e, g in zip(expected if isinstance(expected, tuple) else (expected,), got):
            assert (g.shape, g.dtype) == (e.shape, e.dtype)
            np.testing.assert_allclose(g, e, rtol=1e-4, atol=1e-5, err_msg=f"{name} {[a.shape for a in arrays]} {attrs}")
    assert seen or not known or name in WITHOUT, "an op that is not written: say how in interchange/onnx/emit/, or list it above"


@pytest.mark.parametrize("opset", [11, 12, 13, 14, 15, 16])
def test_old_op_sets(opset, monkeypatch, long):
    """Ops are written in the form that they had: the package's checker takes the models, which mean the same."""
    onnx, _ = onnx_package()
    monkeypatch.setenv("INGOT_BACKEND", "interpreter")
    seen = set()
    for name in sorted(set(OPS) - {"call", "constant"})[opset % 3 :: 1 if long else 3]:
        op = OPS[name]
        for arrays, attrs in cases(op, np.random.default_rng(0))[: 12 if long else 3]:
            if any(a.dtype.name not in DTYPES for a in arrays):
                continue
            try:
                data, inputs = exported_op(op, arrays, attrs, opset)
            except UnsupportedError:
                continue
            model = onnx.load_from_string(data)
            assert model.opset_import[0].version == opset
            onnx.checker.check_model(model, full_check=True)
            expected = op.ref(*arrays, *attrs)
            got = ingot.onnx.load(data).run(inputs).values()
            for e, g in zip(expected if isinstance(expected, tuple) else (expected,), got):
                np.testing.assert_allclose(g, e, rtol=1e-4, atol=1e-5, err_msg=f"{name} {[a.shape for a in arrays]} {attrs}")
            seen.add(name)
    assert len(seen) > 30


@pytest.mark.parametrize("opset", [13, 20, 26])
def test_what_is_written_out(opset):
    """Gamma functions, and running products and extrema, of sizes that vary, in ONNX Runtime."""
    _, ort = onnx_package()

    def model(x):
        return ingot.lgamma(x), ingot.digamma(x), *ingot.cummax(x, 1), *ingot.cummin(x, 0), ingot.cumprod(x, 1)

    made = ingot.onnx.export(model, (ingot.randn(2, 3),), opset_version=opset, input_names=["x"], dynamic_axes={"x": {0: "n", 1: "m"}})
    x = ingot.tensor([[0.5, -1.5, 3.0, 1e-3, -0.25], [2.0, 1.0, 2.0, 30.0, -7.1], [2.5, 1e5, -3.0, float("inf"), 2.0]])
    session = ort.InferenceSession(made.serialize(), providers=["CPUExecutionProvider"])
    for g, e in zip(session.run(None, {"x": x.numpy()}), model(x)):
        np.testing.assert_allclose(g, e.numpy(), rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("opset", [11, 14])
def test_old_models(opset, monkeypatch):
    """No functions, no layer norm, softmax over an axis that is not the last one."""
    onnx, ort = onnx_package()
    monkeypatch.setenv("INGOT_BACKEND", "interpreter")
    block = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True).eval()

    def model(x):
        y = block(x)
        return y.softmax(1), ingot.stack(y.split([2, 6], -1)[1].unbind(1), 0).relu()

    x = ingot.randn(2, 5, 8)
    made = ingot.onnx.export(model, (x,), opset_version=opset, input_names=["x"], dynamic_axes={"x": {0: "batch"}})
    onnx.checker.check_model(onnx.load_from_string(made.serialize()), full_check=True)
    assert not made.model_proto.functions and "LayerNormalization" not in {n.op_type for n in made.model_proto.graph.node}
    x = ingot.randn(3, 5, 8)
    wanted = [v.detach().numpy() for v in model(x)]
    for got in (
        ort.InferenceSession(made.serialize(), providers=["CPUExecutionProvider"]).run(None, {"x": x.numpy()}),
        ingot.onnx.load(made.serialize()).run({"x": x.numpy()}).values(),
    ):
        for g, e in zip(got, wanted):
            np.testing.assert_allclose(g, e, rtol=1e-4, atol=1e-5)
    with pytest.raises(UnsupportedError, match="scattering with add needs op set 16"):
        ingot.onnx.export(lambda x: x.index_add(0, ingot.tensor([0, 0]), x[:2]), (x,), opset_version=opset)


@pytest.mark.parametrize(
    "name",
    "add dot conv scan cond while_loop slice pad reduce_sum index_get index_put gather expm1 floor".split(),
)
def test_op_in_onnx_runtime(name):
    onnx, ort = onnx_package()
    for arrays, attrs in cases(OPS[name], np.random.default_rng(0))[:6]:
        if any(a.dtype.name not in ("float32", "int64", "bool") or not a.size for a in arrays):
            continue
        data, inputs = exported_op(OPS[name], arrays, attrs, 20)
        onnx.checker.check_model(data, full_check=True)
        got = ort.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, inputs)
        expected = OPS[name].ref(*arrays, *attrs)
        for e, g in zip(expected if isinstance(expected, tuple) else (expected,), got):
            np.testing.assert_allclose(g, e, rtol=1e-4, atol=1e-5)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.gru, self.rnn = nn.LSTM(4, 3, bidirectional=True), nn.GRU(6, 3), nn.RNN(3, 2)

    def forward(self, x):
        y, (h, c) = self.lstm(x)
        z, _ = self.gru(y)
        return self.rnn(z)[0], h, c


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8)
        self.back, self.group = nn.ConvTranspose2d(8, 4, 3, stride=2, padding=1, output_padding=1), nn.GroupNorm(2, 4)

    def forward(self, x):
        y = F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)
        y = F.interpolate(self.group(self.back(y)), scale_factor=2, mode="bilinear")
        return F.adaptive_avg_pool2d(F.avg_pool2d(y, 2, padding=1), (2, 2)).flatten(1)


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.TransformerEncoderLayer(16, 2, 32, activation="gelu", batch_first=True), nn.RMSNorm(16)

    def forward(self, x):
        y = self.norm(self.layer(x))
        q = y.reshape(2, 5, 2, 8).transpose(1, 2)
        return F.scaled_dot_product_attention(q, q, q, is_causal=True), ingot.log_softmax(y, -1)


def training(x, w):
    w = w.detach().requires_grad_()
    loss = F.cross_entropy(F.conv2d(x, w, padding=1, stride=2).mean((2, 3)), ingot.tensor([0, 1]))
    loss.backward()
    return loss.detach(), w.grad


MODELS = {
    "recurrent": (Recurrent, ((5, 2, 4),), {"LSTM", "GRU", "RNN"}, 20),
    "convolutional": (Convolutional, ((2, 3, 16, 16),), {"Conv", "BatchNormalization", "ConvTranspose", "MaxPool", "AveragePool"}, 17),
    "attending": (Attending, ((2, 5, 16),), {"LayerNormalization", "Softmax", "Gelu"} - {"Softmax"}, 20),
    "attending, newer": (Attending, ((2, 5, 16),), {"LayerNormalization", "RMSNormalization", "Attention", "Gelu"}, 23),
    "convolutional, newer": (Convolutional, ((2, 3, 16, 16),), {"Conv", "GroupNormalization"}, 21),
    "training": (lambda: training, ((2, 3, 8, 8), (4, 3, 3, 3)), {"Conv", "LogSoftmax"}, 20),
}


@pytest.mark.parametrize("name", MODELS)
def test_models(name):
    onnx, ort = onnx_package()
    make, shapes, ops, opset = MODELS[name]
    ingot.manual_seed(0)
    model = make()
    model = model.eval() if isinstance(model, nn.Module) else model
    args = [ingot.randn(s) for s in shapes]
    program = ingot.onnx.export(model, tuple(args), opset_version=opset)
    data = program.serialize()
    onnx.checker.check_model(data, full_check=True)
    assert ops <= {n.op_type for n in program.model_proto.graph.node}
    expected = model(*args)
    expected = expected if isinstance(expected, tuple) else (expected,)
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    inputs = {i.name: a.numpy() for i, a in zip(session.get_inputs(), args)}
    theirs, ours = session.run(None, inputs), ingot.onnx.load(data).run(inputs)
    for e, t, o in zip(expected, theirs, ours.values()):
        np.testing.assert_allclose(t, e.detach().numpy(), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(o, e.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_names_and_parameters(tmp_path):
    path = tmp_path / "m.onnx"
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    ingot.onnx.export(model, (ingot.zeros(1, 4),), path, input_names=["x"], output_names=["y"])
    again = ingot.onnx.load(path)
    assert again.input_names == ["x"] and again.output_names == ["y"]
    assert {n for n, _ in again.named_parameters()} == {n for n, _ in model.named_parameters()}
    again.load_state_dict(model.state_dict())
    x = ingot.randn(1, 4)
    np.testing.assert_array_equal(again(x).detach().numpy(), model(x).detach().numpy())


def test_external_data(tmp_path):
    path = tmp_path / "m.onnx"
    model = nn.Linear(64, 64)
    ingot.onnx.export(model, (ingot.zeros(1, 64),), path, external_data=True)
    assert sorted(os.listdir(tmp_path)) == ["m.onnx", "m.onnx.data"] and os.path.getsize(path) < 2000
    x = np.random.default_rng(0).normal(size=(1, 64)).astype(np.float32)
    (name,) = ingot.onnx.load(path).input_names
    np.testing.assert_array_equal(ingot.onnx.load(path).run({name: x})["output"], model(ingot.from_numpy(x)).detach().numpy())


def test_errors(tmp_path):
    x = ingot.zeros(2, 3)
    with pytest.raises(ValueError, match="opset_version is from"):
        ingot.onnx.export(ingot.relu, (x,), opset_version=7)
    with pytest.raises(ValueError, match="2 input_names are given, and there are 1"):
        ingot.onnx.export(ingot.relu, (x,), input_names=["a", "b"])
    with pytest.raises(ValueError, match="names an input and an output"):
        ingot.onnx.export(ingot.relu, (x,), input_names=["a"], output_names=["a"])
    with pytest.raises(RuntimeError, match="onnx.export: .*no op for complex"):
        ingot.onnx.export(lambda x: ingot.view_as_real(ingot.complex(x, x) * 2), (x,))
    with pytest.raises(RuntimeError, match="eval"):
        ingot.onnx.export(nn.Dropout(), (x,))
    with pytest.raises(TypeError, match="no argument 'z'"):
        ingot.onnx.export(lambda x, y=None: x, (x,), kwargs={"z": 1})
    path = tmp_path / "old.onnx"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError):
        ingot.onnx.export(nn.Dropout(), (x,), path)
    assert path.read_bytes() == b"old"


class Pooled(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)

    def forward(self, x):
        return self.layer(x).mean(1)


def test_sizes_that_vary():
    onnx, ort = onnx_package()
    model, x, other = Pooled().eval(), ingot.randn(2, 5, 16), ingot.randn(3, 9, 16)
    shapes = ({0: ingot.Dim("B", min=1, max=64), 1: ingot.Dim("T", min=2, max=128)},)
    data = ingot.onnx.export(model, (x,), dynamic_shapes=shapes, input_names=["x"]).serialize()
    onnx.checker.check_model(data, full_check=True)
    session, ours = ort.InferenceSession(data, providers=["CPUExecutionProvider"]), ingot.onnx.load(data)
    assert session.get_inputs()[0].shape == ["B", "T", 16] and session.get_outputs()[0].shape == ["B", 16]
    for a in (x, other):
        for got in (session.run(None, {"x": a.numpy()})[0], ours.run({"x": a.numpy()})["output"]):
            np.testing.assert_allclose(got, model(a).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_dynamic_axes():
    model = nn.Linear(4, 2)
    program = ingot.onnx.export(model, (ingot.zeros(3, 4),), input_names=["x"], dynamic_axes={"x": {0: "batch"}, "output": {0: "batch"}})
    again = ingot.onnx.load(program.serialize())
    assert again.inputs[0].dims == ("batch", 4)
    x = ingot.randn(7, 4)
    np.testing.assert_allclose(again.run({"x": x.numpy()})["output"], model(x).detach().numpy(), rtol=1e-5)
    with pytest.raises(ValueError, match="give one of them"):
        ingot.onnx.export(model, (x,), dynamic_axes={}, dynamic_shapes=())
    with pytest.raises(ValueError, match="which is no argument"):
        ingot.onnx.export(model, (x,), dynamic_shapes={"y": None})
    with pytest.raises(ValueError, match="neither an input nor an output"):
        ingot.onnx.export(model, (x,), dynamic_axes={"z": {0: "batch"}})
    named = ingot.onnx.export(model, (x,), dynamic_axes={"input": {0: "batch"}})  # by the parameter's own name
    assert ingot.onnx.load(named.serialize()).inputs[0].dims == ("batch", 4)


COMPUTED = {
    "nonzero": lambda x: ingot.nonzero(x),
    "a mask": lambda x: (x[x > 0], (x[x > 0] * 2).sum()),
    "rows": lambda x: x[x.sum(1) > 0] @ ingot.ones(3, 2),
    "unique": lambda x: ingot.unique(x.long(), return_counts=True),
    "repeats": lambda x: x[0].repeat_interleave(x[1].abs().long()),
}


@pytest.mark.parametrize("name", COMPUTED)
@pytest.mark.parametrize("varies", [False, True])
def test_sizes_that_are_computed(name, varies, monkeypatch):
    monkeypatch.setenv("INGOT_BACKEND", "interpreter")
    onnx, ort = onnx_package()
    fn, x = COMPUTED[name], ingot.tensor([[1.0, -2, 3], [0, 5, -6]])
    shapes = ({0: ingot.Dim("B", min=2, max=64)},) if varies else None
    data = ingot.onnx.export(fn, (x,), dynamic_shapes=shapes).serialize()
    onnx.checker.check_model(data, full_check=True)
    session, ours = ort.InferenceSession(data, providers=["CPUExecutionProvider"]), ingot.onnx.load(data)
    for other in (x, ingot.tensor([[1.0, 2, 0], [4, 5, 6]]), *([ingot.tensor([[1.0, 2, 0], [3, 0, 6], [0, 1, 2]])] if varies else [])):
        want = fn(other)
        feed = {"x": other.numpy()}
        for w, t, o in zip(want if isinstance(want, tuple) else (want,), session.run(None, feed), ours.run(feed).values()):
            np.testing.assert_allclose(t, w.numpy(), rtol=1e-5)
            np.testing.assert_allclose(o, w.numpy(), rtol=1e-5)


def test_functions_stand_for_what_the_op_set_lacks():
    onnx, ort = onnx_package()
    model, x = Attending().eval(), ingot.randn(2, 5, 16)
    for opset, wanted in ((17, {"Attention", "RMSNormalization", "Gelu"}), (20, {"Attention", "RMSNormalization"}), (23, set())):
        made = ingot.onnx.export(model, (x,), opset_version=opset)
        functions = {f.name.partition("_")[0] for f in made.model_proto.functions}
        called = {n.op_type.partition("_")[0] for n in made.model_proto.graph.node if n.domain == "ingot"}
        assert functions == called == wanted
        data = made.serialize()
        onnx.checker.check_model(data, full_check=True)
        session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
        theirs, ours = session.run(None, {"x": x.numpy()}), ingot.onnx.load(data).run({"x": x.numpy()})
        for e, t, o in zip(model(x), theirs, ours.values()):
            np.testing.assert_allclose(t, e.detach().numpy(), rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(o, e.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_weights_as_inputs():
    onnx, ort = onnx_package()
    model, x = nn.Linear(4, 2), ingot.randn(1, 4)
    for options, stored in (({"export_params": False}, []), ({"keep_initializers_as_inputs": True}, ["weight", "bias"])):
        made = ingot.onnx.export(model, (x,), **options)
        graph = made.model_proto.graph
        assert [i.name for i in graph.input] == ["input", "weight", "bias"] and [t.name for t in graph.initializer] == stored
        onnx.checker.check_model(made.serialize(), full_check=True)
        feed = {"input": x.numpy(), "weight": np.ones((2, 4), np.float32), "bias": np.zeros(2, np.float32)}
        (got,) = ort.InferenceSession(made.serialize(), providers=["CPUExecutionProvider"]).run(None, feed)
        np.testing.assert_allclose(got, x.numpy() @ np.ones((4, 2)), rtol=1e-5)


def test_torch_s_arguments():
    model, file = nn.Sequential(nn.Linear(4, 2), nn.Dropout()), io.BytesIO()
    ingot.onnx.export(
        model, (ingot.zeros(1, 4),), file, verbose=False, training=ingot.onnx.TrainingMode.EVAL, do_constant_folding=True, dynamo=True,
        custom_opsets={"mine": 2}, verify=False, report=False, autograd_inlining=True,
    )  # fmt: skip
    assert model.training and model[1].training  # as they were
    again = ingot.onnx.load(file.getvalue())
    assert again._program.opsets == {"": 20, "mine": 2}
    ingot.onnx.export(nn.Linear(4, 2), (ingot.zeros(1, 4),), verify=True)
    with pytest.raises(RuntimeError, match="random numbers"):
        ingot.onnx.export(model, (ingot.zeros(1, 4),), training=ingot.onnx.TrainingMode.TRAINING)
    assert model.training
