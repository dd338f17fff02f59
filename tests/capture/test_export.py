"""ingot.export and ingot.load as users see them."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import ingot
from ingot import nn
from ingot.runtime import compiler
from ingot.runtime.artifact import tensors
from ingot.runtime.artifact.container import Container
from ingot.runtime.cache import the_cache
from ingot.runtime.cache.layer import Layer


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "m.ingot")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(4 * 4 * 4, 3)

    def forward(self, image, scale=1.0):
        h = nn.functional.max_pool2d(nn.functional.relu(self.norm(self.conv(image))), 2)
        return self.out(self.drop(h.flatten(1))) * scale


def close(got, want):
    np.testing.assert_allclose(got, want.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_a_module(path):
    ingot.manual_seed(0)
    net = Net().eval()
    x = ingot.randn(2, 1, 8, 8)
    ingot.export(net, (x,), path)
    m = ingot.load(path)
    assert m.name == "Net" and str(m.inputs[0]) == "image: float32[2, 1, 8, 8]"
    assert set(m.weights) == {k for k in net.state_dict() if k != "norm.num_batches_tracked"}
    for seed in range(3):
        ingot.manual_seed(seed)
        x = ingot.randn(2, 1, 8, 8)
        close(m(x.numpy()), net(x))
    y = m(x)
    assert isinstance(y, ingot.Tensor) and not y.requires_grad
    close(y.numpy(), net(x))
    assert m.verify()
    assert net.conv.weight.requires_grad and not net.training


def test_what_follows_from_weights_is_kept(path):
    ingot.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 40, 3)).eval()
    net[1].running_var.uniform_(0.5, 2)
    ingot.export(net, (ingot.randn(2, 8, 12, 12),), path, dynamic_shapes=({0: ingot.export.Dim("B", min=1, max=8)},))
    m, other = ingot.load(path), ingot.load(path)
    with Container(path) as c:
        (target,) = c.manifest["targets"]
    kept = target["executable"]["kept"]
    assert kept >= 4 * (9 * 8 * 16 + 9 * 16 * 40)
    assert m.bytes_for(B=1) >= kept + sum(a.nbytes for a in m.weights.values())
    xs = [ingot.randn(n, 8, 12, 12) for n in (3, 8, 1, 3)]
    wanted = [net(x) for x in xs]
    with ThreadPoolExecutor(4) as pool:  # the first call among them
        for got, want in zip(pool.map(lambda x: m(x.numpy()), xs), wanted):
            close(got, want)
    first, again = other(xs[0].numpy()), other(xs[0].numpy())
    np.testing.assert_array_equal(first, again)
    assert other.verify() and kept < 1 << 20


def test_later_training_does_not_change_what_was_exported(path):
    net = nn.Linear(4, 2)
    x = ingot.ones(1, 4)
    before = net(x).detach().numpy().copy()
    ingot.export(net, x, path)
    with ingot.no_grad():
        net.weight.add_(1.0)
    np.testing.assert_allclose(ingot.load(path)(x.numpy()), before, rtol=1e-6)


def test_modules_in_training_mode_are_refused(path):
    x = ingot.randn(2, 1, 8, 8)
    net = Net()
    with pytest.raises(RuntimeError, match=r"eval\(\) first"):
        ingot.export(net, (x,), path)
    net.drop.eval()
    with pytest.raises(RuntimeError, match=r"changes tensors outside of it.*eval\(\) first"):
        ingot.export(net, (x,), path)
    assert float(net.norm.num_batches_tracked) == 0  # and nothing was changed by trying


def test_functions_nested_values_and_fixed_numbers(path):
    w = ingot.randn(3, 3)

    def f(batch, power, names, *more):
        a, b = batch["a"], batch["b"]
        return {"sum": a @ w + b, "same": [a, (more[0] * power, None)], "label": names[0]}

    a, b, c = ingot.randn(2, 3), ingot.randn(3), ingot.randn(4)
    ingot.export(f, ({"a": a, "b": b}, 3.0, ["n"], c), path)
    m = ingot.load(path)
    got, want = m({"b": b.numpy(), "a": a.numpy()}, 3.0, ["n"], c.numpy()), f({"a": a, "b": b}, 3.0, ["n"], c)
    close(got["sum"], want["sum"])
    close(got["same"][0], a)
    close(got["same"][1][0], c * 3)
    assert got["same"][1][1] is None and got["label"] == "n" and isinstance(got["same"][1], tuple)
    with pytest.raises(ValueError, match="exported for 3.0 only, not 4.0"):
        m({"b": b.numpy(), "a": a.numpy()}, 4.0, ["n"], c.numpy())


def test_one_tensor_given_twice_is_two_inputs(path):
    x = ingot.ones(3)
    ingot.export(lambda a, b: a - b, (x, x), path)
    np.testing.assert_array_equal(ingot.load(path)(np.full(3, 5, np.float32), np.ones(3, np.float32)), [4, 4, 4])


def test_an_input_that_is_not_used_is_still_an_input(path):
    ingot.export(lambda a, b: b * 2, (ingot.ones(3), ingot.ones(2)), path)
    m = ingot.load(path)
    np.testing.assert_array_equal(m(np.ones(3, np.float32), np.ones(2, np.float32)), [2, 2])
    with pytest.raises(RuntimeError, match="input a must have shape"):
        m(np.ones(4, np.float32), np.ones(2, np.float32))


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x, lambda x: (x, x), lambda x: x[1:], lambda x: x.T, lambda x: x.clone().add_(1), lambda x: (x + 1, x.sum(), x.argmax()),
        lambda x: ingot.zeros(2), lambda x: x.to(ingot.float64), lambda x: x > 0,
    ],
)  # fmt: skip
def test_what_functions_may_return(path, fn):
    x = ingot.randn(3, 2)
    ingot.export(fn, x, path)
    got, want = ingot.load(path)(x.numpy()), fn(x)
    for g, w in zip(*((v if isinstance(v, tuple) else (v,)) for v in (got, want))):
        close(g, w)
        assert g.dtype == w.numpy().dtype and g.shape == tuple(w.shape)


def test_what_was_compiled_can_be_exported(path):
    net = nn.Linear(4, 2)
    x = ingot.randn(1, 4)

    @ingot.compile
    def f(x):
        return net(x).relu()

    close(f(x).detach().numpy(), net(x).relu())
    ingot.export(f, x, path)
    close(ingot.load(path)(x.numpy()), net(x).relu())
    ingot.export(ingot.compile(net), x, path)
    close(ingot.load(path)(x.numpy()), net(x))


def test_numpy_examples_and_bfloat16(path):
    ingot.export(lambda x: x * 2, np.ones(3, np.float32), path, golden=False)
    m = ingot.load(path)
    np.testing.assert_array_equal(m(np.ones(3, np.float32)), [2, 2, 2])
    with Container(path) as c:
        assert "golden" not in c.parts
    x = ingot.randn(8).to(ingot.bfloat16)
    ingot.export(lambda x: x * 2, x, path)
    np.testing.assert_array_equal(ingot.load(path)(x).float().numpy(), (x * 2).float().numpy())


def test_bfloat16_without_ml_dtypes(path, monkeypatch):
    ingot.export(lambda x: x * 2, ingot.ones(8).to(ingot.bfloat16), path)
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(ingot.ArtifactError, match="bfloat16 needs ml_dtypes.*pip install ml_dtypes"):
        ingot.load(path)


@pytest.mark.parametrize(
    "args, error, match",
    [
        ((3, (1,)), TypeError, "takes a function or a Module, not int"),
        ((lambda x: x, {"x": 1}), TypeError, "example_inputs is a tuple"),
        ((lambda x: x, (object(),)), TypeError, "input: .*not object"),
        ((lambda x: object(), (1,)), TypeError, "result: .*not object"),
    ],
)
def test_bad_arguments(path, args, error, match):
    with pytest.raises(error, match=match):
        ingot.export(*args, path)


def test_a_branch_on_a_value_is_refused_with_its_line(path):
    def f(x):
        if x.sum() > 0:
            return x
        return -x

    with pytest.raises(ingot.CaptureError, match="test_export.py"):
        ingot.export(f, ingot.ones(3), path)


def test_levels(path):
    with pytest.raises(ValueError, match="targets are among"):
        ingot.export(lambda x: x + 1, ingot.ones(3), path, targets=["z80"])
    from ingot.backends import backend

    levels = backend("cpu").levels

    ingot.export(lambda x: x + 1, ingot.ones(3), path, targets=list(levels))
    with Container(path) as c:
        names = [t["level"] for t in c.manifest["targets"]]
    assert names.index("x86-64-v4") < names.index("x86-64-v2") and "aarch64" in names
    np.testing.assert_array_equal(ingot.load(path)(np.ones(3, np.float32)), [2, 2, 2])


@pytest.mark.compiled
def test_an_export_for_another_cpu_makes_no_code_for_this_one(path, tmp_path, monkeypatch):
    from ingot.backends import backend

    foreign = next(level for level in backend("cpu").levels.values() if level.arch != os.uname().machine)
    net = Net().eval()
    x = ingot.from_numpy(np.linspace(-1, 1, 128, dtype=np.float32).reshape(2, 1, 8, 8))
    want = net(x).detach().numpy().copy()
    os.mkdir(tmp_path / "cache", 0o700)
    monkeypatch.setenv("INGOT_CACHE_DIR", str(tmp_path / "cache"))
    compiled = compiler.counts["compiled"]
    ingot.export(net, x, path, targets=[foreign.name])
    assert compiler.counts["compiled"] == compiled + 1
    made = [the_cache().lookup(e.key).entry.record["target"] for e in Layer(str(tmp_path / "cache"), True).list()]
    assert sorted(made) == sorted([foreign.name, foreign.arch])  # the code and the worker pool
    with Container(path) as c:
        assert [t["level"] for t in c.manifest["targets"]] == [foreign.name] and "level" not in c.manifest["golden"]
        outputs = tensors.unpack(c.read("golden"))
    close(outputs["out.0"], ingot.from_numpy(want))
    ingot.export(net, x, path, targets=[foreign.name, compiler.host_level().name])  # the same graph, and now for both
    assert ingot.load(path).verify()


def test_load_reads_state_dicts_too(tmp_path):
    net = nn.Linear(2, 2)
    ingot.save(net.state_dict(), str(tmp_path / "m.safetensors"))
    assert list(ingot.load(str(tmp_path / "m.safetensors"))) == ["weight", "bias"]
    with pytest.raises(FileNotFoundError):
        ingot.load(str(tmp_path / "none.ingot"))
