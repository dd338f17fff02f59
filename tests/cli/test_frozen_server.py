"""A server whose functions were warmed runs frozen, whatever exact arithmetic its callers do around the calls."""

import os
import re
import subprocess
import sys

import pytest

from ingot.runtime.cli import main
from tests.support.cli import run

MODULE = """
import ingot
from ingot import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.head = nn.Linear(2 * 6 * 6, 3)

    def forward(self, x):
        return self.head(ingot.relu(self.conv(x)).flatten(1))


model = ingot.compile(Net().eval())
halved = Net().eval()
halved.head.weight.data.mul_(0.5)


@ingot.compile
def predict(x):
    return halved(x).softmax(1)


plain = nn.Linear(4, 4)
optimizer = ingot.optim.Adam(plain.parameters())


def step(x):
    optimizer.zero_grad()
    loss = plain(x).square().mean()
    loss.backward()
    optimizer.step()
    return loss
"""
SPECS = ("serve:model(f32[8,1,8,8])", "serve:predict(f32[8,1,8,8])", "serve:step(f32[2,4])")
CALLERS = {
    "zeros": "x = ingot.zeros(8, 1, 8, 8)\nprint(serve.model(x).shape)",
    "division": "x = ingot.tensor(np.ones((8, 1, 8, 8), np.uint8))\nprint(serve.model(x / 255).shape)",
    "float": "x = ingot.from_numpy(np.ones((8, 1, 8, 8), np.uint8))\nprint(serve.model(x.float()).shape)",
    "normalized": "x = ingot.ones(8, 8, 8, 1)\nprint(serve.model(((x - 0.5) / 0.25).permute(0, 3, 1, 2)).shape)",
    "before the import": "x = ingot.full((8, 1, 8, 8), 2.0) / 3\nimport serve\nprint(serve.predict(x).argmax(1).shape)",
    "between calls": "x = ingot.zeros(8, 1, 8, 8)\nfor i in range(4):\n    y = serve.model(x)\n    x = x + i\nprint(y.shape)",
    "a step": "x = ingot.ones(2, 4) * 2\nstep = ingot.compile(serve.step)\nprint(step(x).shape, step(x + 1).shape)",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with the module `serve`, and a cache that was warmed for SPECS."""
    folder = tmp_path_factory.mktemp("project")
    os.chmod(folder, 0o700)
    (folder / "serve.py").write_text(MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("INGOT_CACHE_DIR", str(folder / "cache"))
        for name in ("INGOT_CACHE_PATH", "INGOT_CPU_LEVEL", "INGOT_CACHE_TRUST", "INGOT_FROZEN"):
            patch.delenv(name, raising=False)
        assert main(["cache", "warm", *SPECS, "--manifest", "needs.json"]) == 0
        assert main(["cache", "check", "--frozen", "needs.json"]) == 0
        yield folder


def served(folder, lines):
    """What a frozen process prints that runs `lines`, or the last line of its error."""
    (folder / "server.py").write_text(f"import numpy as np\nimport ingot\n{'' if 'import serve' in lines else 'import serve'}\n{lines}\n")
    env = {**os.environ, "INGOT_FROZEN": "1"}
    done = subprocess.run([sys.executable, "server.py"], cwd=folder, env=env, capture_output=True, text=True, timeout=120)
    return done.stdout if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("caller", CALLERS)
def test_a_warmed_server_runs_frozen(project, caller):
    assert "Size" in served(project, CALLERS[caller])


def test_what_numpy_does_not_compute_alike_is_refused_with_the_callers_line(project):
    line = served(project, "x = ingot.zeros(8, 1, 8, 8)\n\nprint(serve.model(x.sin()).shape)")
    assert re.search(r"FrozenError: What is computed outside of compiled functions \(\S*server\.py:6\)", line), line
    assert "serve.py:1" not in line


@pytest.mark.parametrize("name", ["serve:model", "model", "serve:model(f32[8,1,8,8])", "Net"])
def test_explain_knows_the_name_of_warming(project, capsys, name):
    code, out, err = run(capsys, "cache", "explain", name)
    assert code == 0 and out.startswith("Net"), err


def test_thawed_code_is_compiled(monkeypatch, tmp_path):
    import ingot
    from ingot.runtime import compiler
    from ingot.runtime.cache import the_cache

    os.chmod(tmp_path, 0o700)
    monkeypatch.setenv("INGOT_CACHE_DIR", str(tmp_path))

    def quotient():
        return (ingot.arange(7).reshape(7, 1, 1) / 3).tolist()

    before = compiler.counts["interpreted"]
    with ingot.frozen():
        frozen = quotient()
    assert compiler.counts["interpreted"] == before + 1 and not the_cache().counts["put"]
    assert quotient() == frozen
    assert the_cache().counts["put"]


def test_a_constructor_shares_no_graph_with_its_caller():
    import ingot
    from ingot import nn

    x = ingot.ones(3) / 7
    layers = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 3)), nn.Linear(4, 4)
    assert x._array.buffer is not None and layers[0][0].weight._array.buffer is None
    y = x + 1  # the layers are one graph, and what follows is another
    assert all(p._array.buffer is not None for layer in layers for p in layer.parameters()) and y._array.buffer is None
    nn.Linear(4, 4)
    assert y._array.buffer is not None
