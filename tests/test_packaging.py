"""The package: its list of packages, what an import costs, and that no process is ever started."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.support.processes import ROOT


def config():
    if sys.version_info >= (3, 11):
        import tomllib

        with open(os.path.join(ROOT, "pyproject.toml"), "rb") as f:
            return tomllib.load(f)
    pytest.skip("reading pyproject.toml needs Python 3.11")


def test_the_list_of_packages_is_that_of_the_folders():
    listed = config()["tool"]["setuptools"]["packages"]
    found = set()
    for room, name in (("frontend", "ingot"), ("ir", "ingot.ir"), ("backends", "ingot.backends"), ("runtime", "ingot.runtime")):
        for folder, _, names in os.walk(os.path.join(ROOT, room)):
            if any(n.endswith(".py") for n in names):
                rest = os.path.relpath(folder, os.path.join(ROOT, room)).replace(os.sep, ".")
                found.add(name if rest == "." else f"{name}.{rest}")
    assert set(listed) == found and len(listed) == len(set(listed))


def test_every_folder_with_modules_is_a_package():
    for room in ("frontend", "ir", "backends", "runtime"):
        for folder, _, names in os.walk(os.path.join(ROOT, room)):
            if any(n.endswith(".py") for n in names):
                assert "__init__.py" in names, folder


def test_no_stub_is_left():
    """A package whose folder has text in it must not shadow a module of the same name."""
    for room in ("frontend", "ir", "backends", "runtime"):
        for folder, folders, names in os.walk(os.path.join(ROOT, room)):
            both = {n[:-3] for n in names if n.endswith(".py")} & set(folders)
            assert not both, f"{folder}: both a module and a package: {both}"


@pytest.mark.parametrize("statement", ["import ingot", "import ingot.runtime.cli", "import ingot; ingot.load"])
def test_an_import_is_light(statement, tmp_path):
    heavy = ("llvmlite", "pycuda", "torch", "rich", "safetensors", "sklearn", "multiprocessing", "pydoc", "unittest", "asyncio",
             "cryptography", "shtab")
    code = f"import sys\n{statement}\nprint([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


WORK = """
import os
import numpy as np
import ingot
x = ingot.tensor(np.arange(12, dtype=np.float32).reshape(3, 4))
print((x.exp() * 2 + 1).sum().item())
"""


def test_no_process_is_started(tmp_path):
    """Compile, load and run under a trace of system calls: no execve but the interpreter's own, no fork, no child but threads."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    log = tmp_path / "trace"
    env = {**os.environ, "INGOT_CACHE_DIR": str(tmp_path / "cache")}
    command = [strace, "-f", "-qq", "-o", str(log), "-e", "trace=execve,execveat,fork,vfork,clone,clone3", sys.executable, "-c", WORK]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env, timeout=300)
    if done.returncode and "ptrace" in done.stderr.lower():
        pytest.skip("tracing is not permitted here")
    assert done.returncode == 0, done.stderr
    started = []
    for line in log.read_text().splitlines():
        call = re.match(r"\d+\s+(\w+)\(", line)
        if not call or "= -1" in line:
            continue
        if call[1] in ("clone", "clone3") and "CLONE_THREAD" in line:
            continue
        started.append(line)
    assert len(started) == 1 and "execve" in started[0], started  # Python itself
    assert any((tmp_path / "cache").rglob("*.so"))
