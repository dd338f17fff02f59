"""A tiny artifact with machine code of its own: out = x * scale + w, where x and w are f32[2,3] and scale a scalar."""

import numpy as np
import pytest

from ingot.backends import backend
from ingot.runtime.artifact import container, host, tensors
from tests.support.objects import link_ir

ENTRY = """
define i32 @ingot_entry(ptr %args, ptr %table, ptr %arena) {
entry:
  %x = load ptr, ptr %args
  %wslot = getelementptr i64, ptr %args, i64 1
  %w = load ptr, ptr %wslot
  %sslot = getelementptr i64, ptr %args, i64 2
  %s = load float, ptr %sslot
  %oslot = getelementptr i64, ptr %args, i64 3
  %o = load ptr, ptr %oslot
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%n, %loop]
  %xp = getelementptr float, ptr %x, i64 %i
  %wp = getelementptr float, ptr %w, i64 %i
  %op = getelementptr float, ptr %o, i64 %i
  %a = load float, ptr %xp
  %b = load float, ptr %wp
  %c = fmul float %a, %s
  %d = fadd float %c, %b
  store float %d, ptr %op
  %n = add i64 %i, 1
  %more = icmp slt i64 %n, 6
  br i1 %more, label %loop, label %out
out:
  %bad = fcmp oeq float %s, 13.0
  %code = zext i1 %bad to i32
  ret i32 %code
}
"""


@pytest.fixture(scope="session")
def machine_code():
    """(the shared object of ENTRY, that of the worker pool)"""
    return link_ir(ENTRY, "ingot_entry"), backend("cpu").build_pool(host.architecture()).code


@pytest.fixture
def manifest():
    spec = {"dtype": "f32", "shape": [2, 3]}
    return {
        "name": "scale",
        "producer": "ingot test",
        "inputs": [{"name": "x", **spec}, {"name": "s", "dtype": "f32", "shape": []}],
        "outputs": [{"name": "y", **spec}],
        "in_tree": {"tuple": ["*", "*"]},
        "out_tree": "*",
        "feed": [["input", 0], ["weight", "w"], ["input", 1]],
        "targets": [
            {
                "arch": host.architecture(),
                "level": "any",
                "features": [],
                "code": "code",
                "pool": "pool",
                "executable": {
                    "entry": "ingot_entry",
                    "slots": ["address", "address", "f32", "address"],
                    "inputs": ["f32[2,3]", "f32[2,3]", "f32[]"],
                    "outputs": ["f32[2,3]"],
                    "arena_bytes": 0,
                    "scratch_bytes": 0,
                    "checks": {"1": {"message": "thirteen"}},
                },
            }
        ],
    }


@pytest.fixture
def weights():
    return {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}


@pytest.fixture
def write(tmp_path, machine_code, manifest, weights):
    """Write the artifact (with changes to its parts) and give its path."""

    def write(**parts):
        path = str(tmp_path / "m.ingot")
        x, y = np.ones((2, 3), np.float32), np.full((2, 3), 2, np.float32) + weights["w"]
        golden = {"in.0": x, "in.1": np.array(2, np.float32), "out.0": y}
        all_parts = {"code": machine_code[0], "pool": machine_code[1], "weights": tensors.pack(weights), "golden": tensors.pack(golden)}
        container.write(path, {"golden": {"rtol": 1e-6, "atol": 1e-6}, **manifest}, {**all_parts, **parts})
        return path

    return write


class Real:
    """An artifact as `ingot.export` writes it: nested values, a fixed one, weights, an index that is checked, three outputs.

    It has code for the lowest level of each architecture.
    """

    def __init__(self, path):
        import ingot

        ingot.manual_seed(0)
        net = ingot.nn.Linear(8, 3)

        def f(batch, index, scale, label):
            y = ingot.nn.functional.relu(net(batch["x"]))[index] * scale
            return {"y": y, "more": (y > 0, None), "grid": (y.reshape(-1, 1) * ingot.arange(1 << 12)).sum(1), "label": label}

        x, index, scale = ingot.randn(4, 8), ingot.tensor([0, -1, 2]), ingot.tensor(0.5)
        ingot.export(f, ({"x": x}, index, scale, "first"), path, targets=("x86-64-v2", "aarch64"))
        with open(path, "rb") as file:
            self.data = file.read()
        self.path = path
        self.args = ({"x": x.numpy().copy()}, index.numpy().copy(), scale.numpy().copy(), "first")
        self.results = ingot.load(path)(*self.args)

    def right(self, results):
        """Whether results are those of the whole artifact, to the bit."""
        got, want = ((r["y"], r["more"][0], r["grid"]) for r in (results, self.results))
        return all(np.array_equal(a, b) for a, b in zip(got, want)) and results["label"] == "first" and results["more"][1] is None


@pytest.fixture(scope="session")
def real(tmp_path_factory):
    if host.architecture() not in ("x86_64", "aarch64"):
        pytest.skip("there is no code for this machine")
    return Real(str(tmp_path_factory.mktemp("real") / "real.ingot"))


@pytest.fixture
def copy(real, tmp_path):
    """The path of a copy of the real artifact, to be altered."""
    path = str(tmp_path / "copy.ingot")
    with open(path, "wb") as f:
        f.write(real.data)
    return path
