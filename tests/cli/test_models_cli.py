"""`ingot import`, `compile`, `export` and `inspect` of ONNX and StableHLO files."""

from __future__ import annotations

import json

import numpy as np
import pytest

import ingot
from ingot import nn
from ingot.runtime.cli import main


@pytest.fixture
def linear(tmp_path):
    path = str(tmp_path / "linear.onnx")
    ingot.manual_seed(0)
    ingot.onnx.export(nn.Linear(4, 2), (ingot.zeros(3, 4),), path, input_names=["x"], dynamic_axes={"x": {0: "batch"}})
    return path


def test_inspect(linear, capsys):
    assert main(["inspect", linear]) == 0
    assert "x: float32[batch, 4]" in capsys.readouterr().out
    assert main(["inspect", linear, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "onnx" and found["ops"] == {"Gemm": 1} and found["parameters"] == 10


def test_import(linear, tmp_path, capsys):
    assert main(["import", linear, "--dim", "batch=2"]) == 0
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    loaded = ingot.load(str(tmp_path / "linear.ingot"))
    assert loaded.signature == "(x: float32[2, 4]) -> (output: float32[2, 2])"
    got = loaded(x)
    np.testing.assert_allclose(got, ingot.onnx.load(linear).run({"x": x})["output"], rtol=1e-6)
    capsys.readouterr()
    for argv, code, says in (
        (["import", linear], 2, "--dim batch=…"),
        (["import", linear, "--dim", "batch=2", "--dim", "time=3"], 2, "there is no such dim"),
        (["import", linear, "--dim", "batch"], 2, "expected NAME=N"),
        (["import", str(tmp_path / "none.onnx")], 5, "none.onnx"),
        (["import", linear, "--dim", "batch=2", "--target", "z80"], 2, "z80"),
    ):
        assert main(argv) == code and says in capsys.readouterr().err


def test_import_with_a_dim_left_open(linear, tmp_path, capsys):
    for text, sizes, refused in (("batch=1..64", (1, 7, 64), 65), ("batch=2..", (2, 100), 1)):
        assert main(["import", linear, "--dim", text]) == 0
        model = ingot.load(str(tmp_path / "linear.ingot"))
        for n in sizes:
            x = np.random.default_rng(n).normal(size=(n, 4)).astype(np.float32)
            np.testing.assert_allclose(model(x), ingot.onnx.load(linear).run({"x": x})["output"], rtol=1e-5, atol=1e-6)
        with pytest.raises(RuntimeError, match="batch"):
            model(np.zeros((refused, 4), np.float32))
    capsys.readouterr()
    for text, says in (("batch=5..2", "2 is less than 5"), ("batch=..3", "expected NAME=N or NAME=LOW..HIGH")):
        assert main(["import", linear, "--dim", text]) == 2 and says in capsys.readouterr().err
    assert main(["compile", linear, "--dim", "batch=1..3"]) == 2 and "expected NAME=N" in capsys.readouterr().err


def test_damaged(tmp_path, capsys):
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"\x08")
    for verb in ("import", "compile", "inspect"):
        assert main([verb, str(path)]) == 1
        told = capsys.readouterr().err
        assert "no ONNX file, or a damaged one" in told and "cut off" in told


def test_compile_and_export(linear, tmp_path, capsys, monkeypatch):
    assert main(["compile", linear, "--dim", "batch=2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parts"] is None
    monkeypatch.chdir(tmp_path)
    assert main(["export", "ingot.nn.functional:gelu(f32[1,4])", "--onnx", "net.onnx"]) == 0
    assert ingot.onnx.load("net.onnx").run({"input": np.zeros((1, 4), np.float32)})["output"].shape == (1, 4)
    capsys.readouterr()
    assert main(["export", "ingot.nn.functional:gelu(f32[1,4])"]) == 2 and "--onnx FILE" in capsys.readouterr().err
    assert main(["export", "ingot.nn.functional:nothing(f32[1,4])", "--onnx", "n.onnx"]) == 1 and "nothing" in capsys.readouterr().err


PROGRAM = """func.func @main(%x: tensor<2x4xf32>, %n: tensor<4xf32>) -> tensor<2x4xf32> {
  %0 = stablehlo.broadcast_in_dim %n, dims = [1] : (tensor<4xf32>) -> tensor<2x4xf32>
  %1 = stablehlo.multiply %x, %0 : tensor<2x4xf32>
  return %1 : tensor<2x4xf32>
}
"""


def test_stablehlo(tmp_path, capsys, monkeypatch):
    path = tmp_path / "scale.mlir"
    path.write_text(PROGRAM)
    assert main(["inspect", str(path)]) == 0 and "tensor<2x4xf32>" in capsys.readouterr().out
    assert main(["inspect", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ops"] == {"broadcast_in_dim": 1, "multiply": 1}
    assert main(["compile", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parts"] is None
    assert main(["import", str(path)]) == 0
    x, n = np.ones((2, 4), np.float32), np.arange(4, dtype=np.float32)
    np.testing.assert_array_equal(ingot.load(str(tmp_path / "scale.ingot"))(x, n), x * n)
    monkeypatch.chdir(tmp_path)
    assert main(["export", "ingot.nn.functional:gelu(f32[1,4])", "--stablehlo", "gelu.mlir"]) == 0
    assert ingot.stablehlo.load(tmp_path / "gelu.mlir")(np.zeros((1, 4), np.float32)).shape == (1, 4)
    path.write_text(PROGRAM.replace("%x,", "%z,"))
    capsys.readouterr()
    for verb in ("import", "compile", "inspect"):
        assert main([verb, str(path)]) == 1 and "line 3, column 27: %z has no value" in capsys.readouterr().err
