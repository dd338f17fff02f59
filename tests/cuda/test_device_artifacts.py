"""Artifacts for CPUs and GPUs: one file for both, loaded without a compiler."""

import json
import subprocess
import sys

import numpy as np
import pytest

import ingot
from ingot import nn
from ingot.runtime.cli import main

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
