"""write_artifact: a graph and its weights as a file that computes the same, here and in a process without a compiler."""

import os
import subprocess
import sys

import numpy as np
import pytest

import ingot.ir.ops  # noqa: F401
from ingot.ir import dtypes as dt
from ingot.ir import interpret
from ingot.ir.builder import Builder
from ingot.ir.op import OPS
from ingot.ir.types import tensor_type
from ingot.runtime import compiler
from ingot.runtime.artifact import ArtifactError, load
from ingot.runtime.artifact.container import Container
from ingot.runtime.artifact.export import write_artifact

rng = np.random.default_rng(0)
X = rng.standard_normal((4, 8)).astype(np.float32)
WEIGHTS = {"w": rng.standard_normal((8, 3)).astype(np.float32), "b": rng.standard_normal(3).astype(np.float32)}


def layer():
    """tanh(x @ w + b) and its sum, with x first and the weights behind it."""
    b = Builder("layer")
    x, w, bias = (b.expr(b.input(tensor_type(dt.f32, s), n)) for s, n in (((4, 8), "x"), ((8, 3), "w"), ((3,), "b")))
    y = OPS["tanh"](OPS["dot"](x, w, batch=((), ()), contract=((1,), (0,))) + bias)
    return b.freeze((y.value, y.sum((0, 1)).reshape(()).value))


FEED = [("input", 0), ("weight", "w"), ("weight", "b")]


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "layer.ingot")


def test_the_file_computes_what_the_graph_means(path):
    graph = layer()
    write_artifact(path, graph, FEED, WEIGHTS, inputs=[("x", layer().in_types[0])], output_names=["y", "total"], example=[X])
    m = load(path)
    assert m.signature == "(x: float32[4, 8]) -> (y: float32[4, 3], total: float32[])"
    for _ in range(2):
        for got, want in zip(m(X), interpret.run(graph, [X, *WEIGHTS.values()])):
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    assert [name for name, _, _ in m.verify()] == ["y", "total"]
    with Container(path) as c:
        assert c.read("graph").decode() == graph.text and "tanh" in graph.text
        assert c.manifest["golden"] == {"rtol": 1e-4, "atol": 1e-5, "level": compiler.host_level().name}


def test_it_is_served_without_a_compiler(path, tmp_path):
    write_artifact(path, layer(), FEED, WEIGHTS, example=[X])
    code = (
        "import sys\nfor n in ('llvmlite', 'safetensors', 'ml_dtypes', 'ingot.ir', 'ingot.backends'): sys.modules[n] = None\n"
        "import ingot\nm = ingot.load(sys.argv[1])\nprint(m.verify()[0][0], m.peak_bytes > 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "output0 True\n", done.stderr


def test_same_model_same_bytes(path):
    write_artifact(path, layer(), FEED, WEIGHTS, example=[X])
    with open(path, "rb") as f:
        first = f.read()
    write_artifact(path, layer(), FEED, WEIGHTS, example=[X])
    with open(path, "rb") as f:
        assert f.read() == first


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="levels of x86-64")
def test_several_levels_in_one_file(path):
    from ingot.backends import backend

    levels = backend("cpu").levels

    levels = [levels["aarch64"], levels["x86-64-v3"], levels["x86-64-v2"]]
    write_artifact(path, layer(), FEED, WEIGHTS, levels=levels, example=[X])
    m = load(path)
    assert m.level == "x86-64-v3"
    m.verify()
    with Container(path) as c:
        assert {"code/aarch64", "code/x86-64-v3", "code/x86-64-v2", "pool/aarch64", "pool/x86_64"} <= c.parts.keys()


def test_a_failing_check_names_what_failed(path):
    b = Builder("pick")
    x, i = b.expr(b.input(tensor_type(dt.f32, (5,)), "x")), b.expr(b.input(tensor_type(dt.i64, (2,)), "i"))
    graph = b.freeze((OPS["gather"](x, i, axis=0).value,))
    write_artifact(path, graph, [("input", 0), ("input", 1)], {}, inputs=list(zip("xi", graph.in_types)))
    m = load(path)
    x = np.arange(5, dtype=np.float32)
    np.testing.assert_array_equal(m(x, np.array([1, -1])), [1, 4])
    with pytest.raises(IndexError, match="out of range"):
        m(x, np.array([1, 5]))
    with pytest.raises(ArtifactError, match="no golden samples"):
        m.verify()


def test_what_does_not_fit_is_refused(path):
    graph = layer()
    with pytest.raises(ValueError, match="3 inputs, feed describes 2"):
        write_artifact(path, graph, FEED[:2], WEIGHTS)
    with pytest.raises(ValueError, match="'w', which is not given"):
        write_artifact(path, graph, FEED, {})
    with pytest.raises(ValueError, match="the graph expects f32"):
        write_artifact(path, graph, FEED, WEIGHTS, example=[X.astype(np.float64)])
    assert not os.path.exists(path)
    with pytest.raises(OSError):
        write_artifact(os.path.join(path, "no", "folder"), graph, FEED, WEIGHTS)


def test_the_level_of_this_machine_is_the_default(path):
    write_artifact(path, layer(), FEED, WEIGHTS)
    assert load(path).level == compiler.host_level().name
