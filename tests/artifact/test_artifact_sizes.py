"""Artifacts whose sizes a call decides: they serve every size within the bounds, refuse others in one line, and tell what they take."""

import json
import subprocess
import sys

import numpy as np
import pytest

import ingot.ir.ops  # noqa: F401  (fills the table of ops)
from ingot.ir import dtypes as dt
from ingot.ir import interpret
from ingot.ir.builder import Builder
from ingot.ir.op import OPS
from ingot.ir.size import symbol
from ingot.ir.sized import sized
from ingot.ir.types import tensor_type
from ingot.runtime.artifact import ArtifactError, load
from ingot.runtime.artifact import container as containers
from ingot.runtime.artifact.export import write_artifact
from ingot.runtime.cli import main
from tests.support.processes import with_tests

B, T = symbol("B", 1, 64), symbol("T", 1, 512)


def make_graph():
    """y = exp(x) * w, and the sums of the rows of x and y side by side."""
    b = Builder("rows")
    x = b.expr(b.input(tensor_type(dt.f32, (B, T)), "x"))
    w = b.expr(b.input(tensor_type(dt.f32, (1,)), "w"))
    y = OPS["exp"](x) * w
    sums = OPS["concatenate"](OPS["reduce_sum"](x, axes=(1,)), OPS["reduce_sum"](y, axes=(1,)), axis=0)
    return b.freeze((y.value, sums.value))


WEIGHTS = {"w": np.full(1, 0.5, np.float32)}


def arrays(b, t):
    return np.random.default_rng(b + t).standard_normal((b, t)).astype(np.float32)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("sizes") / "rows.ingot")
    graph = make_graph()
    write_artifact(
        path, graph, [("input", 0), ("weight", "w")], WEIGHTS, name="rows", inputs=[("x", graph.in_types[0])], output_names=["y", "sums"],
        example=[arrays(3, 5)],
    )  # fmt: skip
    return path


def want(x):
    b, t = x.shape
    return interpret.run(sized(make_graph(), {"B": b, "T": t}), [x, WEIGHTS["w"]])


@pytest.mark.parametrize("sizes", [(1, 1), (3, 5), (64, 512), (7, 13), (1, 512), (64, 1)])
def test_every_size_is_served(path, sizes):
    x = arrays(*sizes)
    for got, expected in zip(load(path)(x), want(x), strict=True):
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize(
    "shape, why",
    [
        ((65, 5), "rows: input x: dim 0, B, must be at least 1 and at most 64, got 65"),
        ((0, 5), "rows: input x: dim 0, B, must be at least 1 and at most 64, got 0"),
        ((5, 513), "rows: input x: dim 1, T, must be at least 1 and at most 512, got 513"),
        ((5,), r"rows: input x must have shape \(B, T\), got \(5,\)"),
    ],
)
def test_other_sizes_are_refused_in_one_line(path, shape, why):
    with pytest.raises(RuntimeError, match=f"^{why}$"):
        load(path)(np.zeros(shape, np.float32))


def test_what_it_is_and_takes(path, capsys):
    m = load(path)
    assert m.signature == "(x: float32[B, T]) -> (y: float32[B, T], sums: float32[2*B, 1]) where 1 <= B <= 64, 1 <= T <= 512"
    assert m.peak_bytes == m.bytes_for(B=64, T=512) >= 2 * 4 * 64 * 512 > m.bytes_for(B=1, T=1) and "2*B" in repr(m)
    with pytest.raises(TypeError, match="rows has the sizes B, T, got B"):
        m.bytes_for(B=3)
    assert main(["inspect", path]) == 0
    told = capsys.readouterr().out
    assert "size    1 <= B <= 64" in told and "size    1 <= T <= 512" in told and "B*T" in told and "(at most " in told
    assert main(["inspect", path, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["symbols"] == [{"name": "B", "min": 1, "max": 64}, {"name": "T", "min": 1, "max": 512}] and facts["schema"] == 2
    assert facts["inputs"][0]["shape"] == ["B", "T"] and facts["outputs"][1]["bytes"] == 4 * 128
    assert main(["verify", "--run", path]) == 0


ALONE = """
import sys
sys.modules["llvmlite"] = None
import numpy as np
from ingot.runtime.artifact import load
m = load(sys.argv[1])
for b, t in [(2, 3), (9, 100)]:
    y, sums = m(np.ones((b, t), np.float32))
    assert y.shape == (b, t) and sums.shape == (2 * b, 1) and sums[0, 0] == t
assert not any(name.startswith(("ingot.ir", "ingot.backends")) for name in sys.modules)
"""


def test_no_compiler_is_needed(path):
    done = subprocess.run([sys.executable, "-c", ALONE, path], capture_output=True, text=True, env=with_tests())
    assert done.returncode == 0, done.stderr


def test_a_symbol_that_no_input_gives_is_refused(tmp_path):
    b = Builder("f")
    x = b.expr(b.input(tensor_type(dt.f32, (2 * B,)), "x"))
    with pytest.raises(ValueError, match="the size B is no dim of an input by itself"):
        write_artifact(tmp_path / "f.ingot", b.freeze((OPS["exp"](x).value,)), [("input", 0)], {})
    assert not list(tmp_path.iterdir())


CHANGES = [
    (lambda m: m["symbols"][0].update(min=70), "no extent is at least 70 and at most 64"),
    (lambda m: m["symbols"][0].update(name="min"), "expected a name, got 'min'"),
    (lambda m: m["symbols"][0].update(name="C"), "the symbol C is no dim of any input"),
    (lambda m: m["symbols"].append(m["symbols"][0]), "a name is there twice"),
    (lambda m: m["symbols"][0].update(max=63), "symbols are not those that are described"),
    (lambda m: m["outputs"][0].update(shape=["B", "T.x"]), "expected a shape of a sane size"),
    (lambda m: m["outputs"][0].update(shape=["B", "C"]), "has symbols that are not described"),
    (lambda m: m["outputs"][0].update(shape=["B", "T*T"]), "the code does not give what is described"),
    (lambda m: m["targets"][0].update(peak_bytes="__import__('os')"), "expected a number of bytes"),
    (lambda m: m["targets"][0].update(peak_bytes="C*4"), "peak_bytes has symbols that are not described"),
    (lambda m: m["targets"][0].update(peak_bytes="B"), "fewer than its parts take"),
    (lambda m: m["targets"][0].update(worker_bytes="4*B"), "worker_bytes is not a worker's scratch"),
    (lambda m: m["targets"][0]["executable"].pop("symbols"), "symbols is missing"),
    (lambda m: m["targets"][0]["executable"]["slots"].pop(), "5 slots for 6 inputs, outputs and symbols"),
    (lambda m: m["targets"][0]["executable"]["slots"].__setitem__(-1, "address"), "a symbol's is no i64"),
]


@pytest.mark.parametrize("change, why", CHANGES, ids=[why for _, why in CHANGES])
def test_every_field_is_checked(path, tmp_path, change, why):
    with containers.Container(path) as c:
        manifest = json.loads(json.dumps({k: v for k, v in c.manifest.items() if k != "parts"}))
        parts = {name: bytes(c.read(name)) for name in c.parts}
    change(manifest)
    other = str(tmp_path / "other.ingot")
    containers.write(other, manifest, parts)
    with pytest.raises(ArtifactError, match=why):
        load(other)
