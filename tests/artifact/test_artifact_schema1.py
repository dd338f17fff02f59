"""The artifact of schema 1 that is kept for ever: see data/README.md. It is never made again."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from ingot.runtime.artifact import host, load
from ingot.runtime.artifact.container import Container
from ingot.runtime.artifact.model import validate
from ingot.runtime.cli import main
from tests.support.forging import contents, rewrite

PATH = os.path.join(os.path.dirname(__file__), "data", "schema1.ingot")
LEVELS = {"x86_64": "x86-64-v2", "aarch64": "aarch64"}
runs_here = pytest.mark.skipif(host.architecture() not in LEVELS, reason="it holds code for x86-64 and AArch64")


def test_it_is_the_one():
    with open(PATH, "rb") as f:
        data = f.read()
    assert hashlib.sha256(data).hexdigest() == "d33afb70a772479d3e8dfda6a7b6c34715ae0c2cd78ca34429192f8aec48037f", "made again, or damaged"


def test_it_is_read_everywhere(capsys):
    with Container(PATH) as c:
        m = validate(c)
        assert c.schema == 1 and set(c.parts) == {
            "code/aarch64", "code/x86-64-v2", "pool/aarch64", "pool/x86_64", "weights", "graph", "golden",
        }  # fmt: skip
    assert m.name == "Net" and m.producer == "ingot 0.1.0 (llvmlite 0.50.0, LLVM 22.1.0)"
    assert m.signature == (
        "(batch.0: float32[4, 8], index: int64[3], scale: float32[]) -> (output0: float32[3, 3], output1: float32[9], output2: bool[3, 3])"
    )
    assert [(t.level, t.peak_bytes, t.worker_bytes) for t in m.targets] == [("aarch64", 2713, 0), ("x86-64-v2", 2713, 0)]
    assert main(["inspect", PATH]) == 0 and main(["verify", PATH]) == 0
    assert "x86-64-v2 (x86_64)" in capsys.readouterr().out


@runs_here
def test_it_is_verified_and_run(capsys):
    m = load(PATH)
    assert m.level == LEVELS[host.architecture()]
    assert main(["verify", "--run", PATH]) == 0
    agreement = {"x86-64-v2": "the same bits", "aarch64": "of what is allowed"}[m.level]
    assert f"{m.level} output0: " in (out := capsys.readouterr().out) and agreement in out

    x, index, scale = np.arange(32, dtype=np.float32).reshape(4, 8) / 16 - 1, np.array([3, 0, -2]), np.array(2, np.float32)
    for _ in range(3):
        got = m({"x": x}, index, scale, "first")
        y = 2 * np.maximum(x @ m.weights["out.weight"].T + m.weights["out.bias"], 0)[index]
        np.testing.assert_allclose(got["y"], y, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(got["grid"], y.reshape(-1) * (65535 * 32768), rtol=1e-5)
        np.testing.assert_array_equal(got["more"][0], y > 0)
        assert got["label"] == "first" and got["more"][1] is None and (y > 0).any() and not (y > 0).all()
    with pytest.raises(IndexError, match="out of range"):
        m({"x": x}, np.array([0, 4, 0]), scale, "first")
    with pytest.raises(ValueError, match="exported for 'first' only"):
        m({"x": x}, index, scale, "second")


@runs_here
def test_as_the_first_files_of_schema_1_were(tmp_path):
    """Without the fields that came later: peak memory per target, and the level of the golden samples."""
    manifest, parts = contents(PATH)
    for t in manifest["targets"]:
        del t["peak_bytes"], t["worker_bytes"]
    del manifest["golden"]["level"]
    path = str(tmp_path / "first.ingot")
    rewrite(path, manifest, parts)
    m = load(path)
    assert m.peak_bytes == load(PATH).peak_bytes and [a.error <= a.allowed for a in m.verify()] == [True] * 3


@runs_here
def test_without_a_compiler(tmp_path):
    code = (
        "import sys\nfor n in ('llvmlite', 'safetensors', 'ml_dtypes', 'rich', 'ingot.ir', 'ingot.backends'): sys.modules[n] = None\n"
        "import ingot\nprint(len(ingot.load(sys.argv[1]).verify()))"
    )
    done = subprocess.run([sys.executable, "-c", code, PATH], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.stdout == "3\n", done.stderr
