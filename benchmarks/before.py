"""Ingot beside Ingot of another commit, taking turns: `python -m benchmarks --before COMMIT`.

    before_cold_*      cold compile: fresh process, empty cache
    before_recording   eager code: microseconds to record an operation, and for a small training step
    before_call        microseconds for a call of a compiled function, and of a compiled training step
"""

from __future__ import annotations

import functools
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable

from benchmarks.processes import ROOT, Case, Column, Line, Place, Row, Sampler, run_process
from benchmarks.starts import run_workload

__all__ = ["lay_out", "rows"]

PACKAGE = {"frontend": "", "ir": "ir", "backends": "backends", "runtime": "runtime"}  # folder -> its place in the package
# an editable installation would be found before the path
_CUSTOMIZE = """
import sys
from importlib import machinery
sys.meta_path[:] = [machinery.BuiltinImporter, machinery.FrozenImporter, machinery.PathFinder]
"""
_CALL = (Column("median", "call"), Column("best", "call", "best"), Column("/ now", "call", "ratio"))


def lay_out(commit: str, folder: str) -> str:
    """The package at a commit, or as it is in the tree ("" for a commit), and its byte code, under `folder`, for PYTHONPATH.

    What is there stays. RuntimeError where another ingot is imported all the same.
    """
    package = os.path.join(folder, "ingot")
    if os.path.exists(package):
        return folder
    tree = ROOT
    if commit:
        tree = folder + "-tree"
        data = subprocess.run(["git", "archive", commit, *PACKAGE], cwd=ROOT, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            tar.extractall(tree, filter="data")
    for room, place in PACKAGE.items():
        shutil.copytree(
            os.path.join(tree, room), os.path.join(package, place), dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    with open(os.path.join(folder, "sitecustomize.py"), "w") as f:
        f.write(_CUSTOMIZE)
    subprocess.run([sys.executable, "-m", "compileall", "-q", folder], check=True)
    found = run_process(["-c", "import ingot, json; print(json.dumps({'at': ingot.__file__}))"], {**os.environ, "PYTHONPATH": folder})["at"]
    if not found.startswith(folder):
        raise RuntimeError(f"ingot is imported from {found}, not from {folder}")
    return folder


def rows(commit: str) -> tuple[Row, ...]:
    """The rows for a commit. ValueError where git knows no such commit."""
    found = subprocess.run(["git", "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}"], cwd=ROOT, capture_output=True, text=True)
    if found.returncode:
        raise ValueError(f"git knows no commit {commit!r}")
    before = found.stdout.strip()

    def pair(make: Callable[[str, str, Place], Sampler], what: str) -> tuple[Case, ...]:
        now, then = (functools.partial(make, what, c) for c in ("", before))
        return (Case("ingot", now), Case(f"before ({before[:12]})", then, "ingot"))

    return (
        Row("before_cold_mlp", "cold compile, before and now: MLP inference", _CALL, pair(_cold, "mlp_b256")),
        Row("before_cold_gpt_train", "cold compile, before and now: GPT training step", _CALL, pair(_cold, "gpt_train")),
        Row("before_recording", "eager, before and now: an operation of 16 floats recorded", _CALL, pair(_timed, "record")),
        Row("before_eager_step", "eager, before and now: training step of a small MLP, known plans", _CALL, pair(_timed, "eager_step")),
        Row("before_call", "before and now: call of a compiled function of 16 floats", _CALL, pair(_timed, "call")),
        Row("before_step", "before and now: call of a compiled training step of a small MLP", _CALL, pair(_timed, "step")),
    )


def _environment(commit: str, place: Place, caches: str = "") -> dict[str, str]:
    side = commit or "now"
    return {**place.environment(side + caches), "PYTHONPATH": lay_out(commit, os.path.join(place.shared, side))}


def _cold(workload: str, commit: str, place: Place) -> Sampler:
    def run(i: int) -> Line:
        return run_workload(workload, "ingot", _environment(commit, place, str(i)), cached=False)

    run(-1)  # not counted, so that the files are read and the byte code is there
    return run


def _timed(what: str, commit: str, place: Place) -> Sampler:
    def run(i: int) -> Line:
        return run_process(["-m", "benchmarks.before_child", what], _environment(commit, place))

    run(-1)  # not counted: it fills the cache
    return run
