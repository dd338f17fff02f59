"""Artifacts for CPUs and GPUs: one file for both, loaded without a compiler."""

import json
import subprocess
import sys

import numpy as np
import pytest

import ingot
from ingot import nn
from ingot.backends import backend
from ingot.runtime.cli import main
from tests.support.cuda import needs_ptxas

pytestmark = pytest.mark.usefixtures("cuda")


@pytest.fixture
def model():
    ingot.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2), nn.Softmax(1)).eval()


def test_one_file_for_cpus_and_gpus(model, tmp_path, standin):
    x = ingot.randn(3, 4)
    want = model(x).detach().numpy()
    path = tmp_path / "m.ingot"
    host = [t for t in ("x86-64-v2", "aarch64") if t.startswith("x86") == (ingot.runtime.compiler.host_level().arch == "x86_64")]
    ingot.export(model, (x,), path, targets=[*host, "emulated", "sm_90a"])
    here, there = ingot.load(path), ingot.load(path, map_location="cuda")
    assert here.level == host[0] and there.level == "emulated"
    assert "this machine lacks a GPU for sm_90a" in _inspected(path)
    np.testing.assert_allclose(here(x.numpy()), want, rtol=1e-5)
    np.testing.assert_allclose(there(x.numpy()), want, rtol=1e-5)
    y = there(x.cuda())
    assert y.device == ingot.device("cuda:0")
    np.testing.assert_allclose(y.cpu().numpy(), want, rtol=1e-5)
    assert there(x).device.type == "cpu" and ingot.load(path, map_location="cuda:1")(x.cuda(1)).device.index == 1
    assert [a.name for a in there.verify()] == ["output"]
    with pytest.raises(ingot.ArtifactError, match="no code for device 'cuda:0': x86-64-v2 is not for cuda|aarch64 is not for cuda"):
        ingot.export(model, (x,), path, targets=host)
        ingot.load(path, map_location="cuda")


def _inspected(path):
    done = subprocess.run([sys.executable, "-m", "ingot.runtime.cli", "inspect", str(path)], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_sizes_and_weights_there(tmp_path):
    model = nn.Embedding(7, 3).cuda()
    path = tmp_path / "e.ingot"
    sizes = {"input": {0: ingot.Dim("n", max=9)}}
    ingot.export(model, (ingot.tensor([1, 2], device="cuda"),), path, targets=["emulated"], dynamic_shapes=sizes)
    found = ingot.load(path)
    assert found.level == "emulated"
    for n in (1, 5):
        i = np.arange(n)
        np.testing.assert_array_equal(found(i), model.weight.detach().cpu().numpy()[i])
    with pytest.raises(IndexError, match="out of range"):
        found(np.array([8]))


LOADED = """
import sys, numpy as np
from ingot.runtime.artifact import load
m = load(sys.argv[1])
print(m.level, m(np.ones((3, 4), np.float32)).shape)
print([n for n in ("llvmlite", "ingot.ir", "ingot.backends", "ingot._tensor") if n in sys.modules])
"""


def test_a_process_that_serves_has_no_compiler(model, tmp_path, standin):
    path = tmp_path / "m.ingot"
    ingot.export(model, (ingot.ones(3, 4),), path, targets=["emulated"])
    done = subprocess.run([sys.executable, "-c", LOADED, str(path)], capture_output=True, text=True, timeout=100)
    assert done.stdout == "emulated (3, 2)\n[]\n", done.stdout + done.stderr


def test_machine_code_is_taken_where_the_device_takes_it(model, tmp_path, capsys, standin, monkeypatch):
    x = ingot.ones(3, 4)
    want = model(x).detach().numpy()
    made = lambda self, image, level: (image, "ptxas 13.0.1")  # noqa: E731
    foreign = lambda self, image, level: (b"of another generation" + bytes(64), "ptxas 13.0.1")  # noqa: E731
    for assembled, image in ((made, "cubin"), (foreign, "ptx"), (lambda *_: None, "ptx")):
        monkeypatch.setattr(type(backend("cuda")), "assembled", assembled)
        path = str(tmp_path / f"{image}.ingot")
        ingot.export(model, (x,), path, targets=["emulated"])
        loaded = ingot.load(path)
        assert loaded.image == image
        np.testing.assert_allclose(loaded(x.numpy()), want, rtol=1e-5)
        assert main(["verify", "--run", path]) == main(["inspect", path]) == 0
        said = capsys.readouterr().out
        assert ("emulated (cubin) output" in said) == (image == "cubin")
        assert ("machine code by ptxas 13.0.1" in said) == ("cubin/emulated" in said) == (assembled is made or assembled is foreign)


@needs_ptxas
def test_export_assembles(model, tmp_path, capsys):
    path = str(tmp_path / "m.ingot")
    ingot.export(model, (ingot.ones(3, 4),), path, targets=["sm_80", "sm_90a"])
    assert main(["inspect", "--json", path]) == 0
    said = json.loads(capsys.readouterr().out)
    for t in said["targets"]:
        assert t["assembler"].startswith("ptxas ") and t["cubin"] == f"cubin/{t['level']}"
        (part,) = [p for p in said["parts"] if p["name"] == t["cubin"]]
        with open(path, "rb") as f:
            f.seek(part["offset"])
            assert f.read(4) == b"\x7fELF"
    monkeypatch = pytest.MonkeyPatch()
    with monkeypatch.context() as m:
        m.setenv("PATH", str(tmp_path))
        ingot.export(model, (ingot.ones(3, 4),), path, targets=["sm_90a"])  # no assembler: PTX alone
    assert main(["inspect", path]) == 0
    assert "cubin" not in capsys.readouterr().out


def test_commands_know_gpus(model, tmp_path, capsys, standin):
    path = str(tmp_path / "m.ingot")
    ingot.export(model, (ingot.ones(3, 4),), path, targets=["emulated"])
    assert main(["verify", "--run", path]) == 0
    assert "emulated output" in capsys.readouterr().out
    assert main(["cache", "ls", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows and "emulated" in json.dumps(rows)
    main(["doctor"])
    assert "Emulated GPU" in capsys.readouterr().out
