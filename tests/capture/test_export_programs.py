"""ingot.export as torch.export: ExportedProgram, and its files."""

import inspect
import io

import numpy as np
import pytest

import ingot
import ingot.export as module
from ingot import nn
from ingot.capture import CaptureError


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.norm, self.out = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2)
        self.shift = ingot.arange(2.0)

    def forward(self, x, scale=1.0, *, extra=None):
        return {"y": self.out(self.norm(self.inner(x)).softmax(-1)) * scale + self.shift, "x": [x + 1]}


@pytest.fixture
def net():
    ingot.manual_seed(0)
    return Net().eval()


def same(got, want):
    for a, b in ((got["y"], want["y"]), (got["x"][0], want["x"][0])):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_the_module_writes_files_when_it_is_called(tmp_path):
    assert module is ingot.export and list(inspect.signature(ingot.export).parameters)[:3] == ["fn_or_module", "example_inputs", "path"]
    ingot.export(ingot.tanh, ingot.zeros(3), tmp_path / "f.ingot")
    assert ingot.load(tmp_path / "f.ingot")(np.zeros(3, np.float32)).tolist() == [0, 0, 0]
    assert ingot.export.Dim is ingot.Dim


def test_a_program_computes_what_its_module_does_on_the_same_tensors(net):
    ep = ingot.export.export(net, (ingot.randn(3, 4),), {"scale": 2.0})
    with pytest.raises(RuntimeError, match=r"exported_program.module\(\)"):
        ep(ingot.randn(3, 4))
    m, x = ep.module(), ingot.randn(3, 4)
    same(m(x, 2.0), net(x, 2.0))
    same(m(x=x, scale=2.0), net(x, 2.0))
    assert dict(m.named_parameters()).keys() == dict(net.named_parameters()).keys()
    assert m.inner.weight is net.inner.weight is ep.state_dict["inner.weight"] and ep.state_dict.keys() == net.state_dict().keys()
    with ingot.no_grad():
        net.inner.weight.mul_(2.0)
    same(m(x, 2.0), net(x, 2.0))
    assert not m(x, 2.0)["y"].requires_grad
    refused = {RuntimeError: (ingot.randn(2, 4), 2.0), ValueError: (x, 3.0), TypeError: (x.double(), 2.0)}
    for error, wrong in refused.items():
        with pytest.raises(error):
            m(*wrong)
    with pytest.raises(TypeError, match="no further argument 'extra'"):
        m(x, 2.0, extra=1)


class Views(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(ingot.arange(6.0).view(2, 3))
        self.register_buffer("row", self.w.detach()[0], persistent=False)

    def forward(self, x, y=None, scale=2.0, z=None):
        return x * self.row + self.w.sum() * scale + z


def test_weights_that_share_memory_and_arguments_with_defaults():
    model, x = Views(), ingot.ones(3)
    ep = ingot.export.export(model, (x,), {"z": x})
    m = ep.module()
    assert list(dict(m.named_parameters())) == ["w"] and m.w is model.w and dict(ep.named_buffers())["row"] is model.row
    for factor in (1.0, 2.0):
        with ingot.no_grad():
            model.w.mul_(factor)
        for got in (m(x, z=x), m(x, None, 2.0, x), m(x, scale=2.0, z=x)):
            assert got.tolist() == model(x, z=x).tolist()
    with pytest.raises(ValueError, match="exported for 2.0 only"):
        m(x, scale=3.0, z=x)
    held = io.BytesIO()
    ingot.export.save(ep, held)
    held.seek(0)
    assert ingot.export.load(held).module()(x, None, 2.0, x).tolist() == model(x, z=x).tolist()


def test_graph_and_signature(net):
    x = ingot.randn(3, 4)
    ep = ingot.export.export(net, (x,))
    s = ep.graph_signature
    assert s.user_inputs == ("x",) and s.inputs_to_parameters["p_inner_weight"] == "inner.weight" and "norm.running_mean" in s.buffers
    assert len(s.lifted_tensor_constants) == 1 and len(s.user_outputs) == 2 and list(ep.constants) == list(s.lifted_tensor_constants)
    names = [n.target.__name__ for n in ep.graph.nodes if n.op == "call_function"]
    assert "_softmax" in names
    flat = ep.run_decompositions()
    written = [n.target.__name__ for n in flat.graph.nodes if n.op == "call_function"]
    assert "_softmax" not in written and "exp" in written
    assert "Graph signature:" in str(ep) and "p_inner_weight: PARAMETER target='inner.weight'" in str(ep)
    tensors = {**ep.state_dict, **ep.constants}
    for program in (ep, flat):
        given = [x if i.target is None else tensors[i.target] for i in program.graph_signature.input_specs]
        got = dict(zip(("y", "x"), program.graph_module(*given)))
        same({"y": got["y"], "x": [got["x"]]}, net(x))


@pytest.mark.compiled
def test_programs_are_saved_as_artifacts(net, tmp_path):
    n = ingot.export.Dim("n", max=8)
    ep = ingot.export.export(net, (ingot.randn(3, 4),), dynamic_shapes={"x": {0: n}})
    assert ep.range_constraints == {"n": (1, 8)}
    with ingot.no_grad():
        net.out.bias.add_(1.0)  # saved as it is now
    held = io.BytesIO()
    ingot.export.save(ep, tmp_path / "m.ingot")
    ingot.export.save(ep, held)
    held.seek(0)
    for f in (tmp_path / "m.ingot", held):
        loaded = ingot.export.load(f)
        assert loaded.range_constraints == {"n": (1, 8)} and "inner.weight" in loaded.state_dict
        for k in (1, 5):
            x = ingot.randn(k, 4)
            same(loaded.module()(x), net(x))
            same(ep.module()(x), net(x))
    x = ingot.randn(5, 4)
    same(ingot.load(tmp_path / "m.ingot")(x), net(x))
    with pytest.raises(RuntimeError, match="n, must be at least 1 and at most 8, got 9"):
        ep.module()(ingot.randn(9, 4))
    with pytest.raises(RuntimeError, match="sizes of this graph vary"):
        ep.graph_module(*[ingot.zeros(1)] * len(ep.graph_signature.input_specs))


def test_what_cannot_be_exported(net):
    x = ingot.randn(3, 4)
    with pytest.raises(ValueError, match="to be an instance of"):
        ingot.export.export(ingot.tanh, (x,))
    with pytest.raises(TypeError, match="to be a tuple"):
        ingot.export.export(net, x)
    with pytest.raises(RuntimeError, match=r"eval\(\) first"):
        ingot.export.export(net.train(), (x,))

    class Branching(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(CaptureError):
        ingot.export.export(Branching(), (x,))
    with pytest.raises(TypeError, match="ExportedProgram"):
        ingot.export.save(net, "m.ingot")
