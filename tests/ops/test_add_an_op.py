"""docs/add-an-op.md, done in a copy of the package: its declarations in the files it names, then the generator, and both ops work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import FROM_PATH, ROOT, copy_package

BLOCK = re.compile(r"`(ir/ops/\w+\.py)`[^`]*```python\n(.*?)^```$", re.M | re.S)
GENERATED = {"_names.py", "__init__.pyi", "_tensor/methods.pyi", "functions/_examples.py"}

USE = """
import numpy as np
import ingot
from ingot.ir.op import OPS
from tests.support import cuda

assert ingot.__file__.startswith({copy!r}), ingot.__file__
x = np.random.default_rng(0).normal(size=(3, 70)) * 3


def softsign(x):
    return x / (1 + np.abs(x))


def absmax(x):
    return np.abs(x).max(1)


# eager, as functions and as methods, by torch's conventions
t = ingot.tensor(x)
np.testing.assert_allclose(ingot.softsign(t).numpy(), softsign(x), rtol=1e-12)
np.testing.assert_allclose(t.absmax(dim=1).numpy(), absmax(x), rtol=0)
assert ingot.softsign(ingot.tensor([1, -3])).tolist() == [0.5, -0.75]
assert ingot.absmax(t, dim=(0, 1)).item() == ingot.absmax(t).item() == np.abs(x).max()
assert t.absmax(0, keepdim=True).shape == (1, 70) and ingot.absmax(ingot.zeros(2, 0), dim=1).tolist() == [0, 0]
assert ingot.absmax(ingot.tensor([float("nan"), 1.0])).isnan().item()
u = ingot.tensor([1.0, -3.0])
assert u.softsign_() is u and u.tolist() == [0.5, -0.75]
assert "softsign" in dir(ingot) and "absmax" in ingot.absmax.__doc__

# gradients, compiled and not, against finite differences
for compiled in (False, True):
    for ours, numpy in ((lambda x: x.softsign(), softsign), (lambda x: x.absmax(1), absmax)):
        f = ingot.compile(ours) if compiled else ours
        leaf = ingot.tensor(x, requires_grad=True)
        y = f(leaf)
        np.testing.assert_allclose(y.detach().numpy(), numpy(x), rtol=1e-12)
        y.sum().backward()
        d = np.zeros_like(x)
        for at in np.ndindex(*x.shape):
            step = np.zeros_like(x)
            step[at] = 1e-6
            d[at] = (numpy(x + step) - numpy(x - step)).sum() / 2e-6
        np.testing.assert_allclose(leaf.grad.numpy(), d, rtol=1e-6, atol=1e-8)

# blocks and threads of a GPU, emulated
cuda.check(lambda x: OPS["reduce_absmax"](OPS["softsign"](x), axes=(1,)), x.astype(np.float32))
"""


def run(copy: Path, *command: str, code: str = "") -> None:
    """A process that sees the package in `copy` alone."""
    program = FROM_PATH + (code or "import runpy; sys.argv[:] = sys.argv[1:]; runpy.run_module(sys.argv[0], run_name='__main__')")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(copy.parent), str(ROOT)))}
    done = subprocess.run([sys.executable, "-c", program, *command], cwd=copy.parent, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package with the page's declarations, generated anew."""
    to = copy_package(tmp_path_factory.mktemp("tree"))
    before = {p.relative_to(to).as_posix(): p.read_bytes() for p in to.rglob("*.py*")}
    blocks = BLOCK.findall((ROOT / "docs" / "add-an-op.md").read_text(encoding="utf-8"))
    for path, declaration in blocks:
        with open(to / path, "a", encoding="utf-8") as f:
            f.write("\n\n" + declaration)
    run(to, "ingot._generate")
    after = {p.relative_to(to).as_posix(): p.read_bytes() for p in to.rglob("*.py*") if "__pycache__" not in p.parts}
    assert {path for path, _ in blocks} == {"ir/ops/transcendental.py", "ir/ops/reduction.py"}
    assert {p for p in before | after if before.get(p) != after.get(p)} == GENERATED | {path for path, _ in blocks}
    return to


def test_both_ops_work(copy: Path) -> None:
    run(copy, code=USE.format(copy=str(copy)))


def test_type_checkers_see_them(copy: Path) -> None:
    stub, methods = (copy / "__init__.pyi").read_text(), (copy / "_tensor" / "methods.pyi").read_text()
    assert "def softsign(input: Tensor, *, out: Tensor | None = ...) -> Tensor: ..." in stub
    assert "def absmax(input: Tensor, dim: Dims = ..., keepdim: _bool = ..., *, out: Tensor | None = ...) -> Tensor: ..." in stub
    assert "    def absmax(self, dim: Dims = ..., keepdim: _bool = ...," in methods and "    def softsign_(self, " in methods


@pytest.mark.parametrize("tests", ["tests/ops/test_op_declarations.py", "tests/ops/test_op_scalars.py", "tests/lower/test_ops_compiled.py"])
def test_their_declarations_bring_their_tests(copy: Path, tests: str) -> None:
    run(copy, "pytest", "-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), str(ROOT / tests), "-k", "softsign or absmax")
