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
import tarfile
from collections.abc import Callable

from benchmarks.processes import ROOT, Case, Column, Place, Row, Sampler, run_process

__all__ = ["rows", "unpack"]

PACKAGE = {"frontend": "", "ir": "ir", "backends": "backends", "runtime": "runtime"}  # folder -> its place in the package
_CALL = (Column("median", "call"), Column("best", "call", "best"), Column("/ now", "call", "ratio"))


def unpack(commit: str, folder: str) -> str:
    """Lay out the package as it was at a commit under `folder`, for PYTHONPATH.

    CalledProcessError where git knows no such commit, RuntimeError where another ingot comes first on Python's path.
    """
    data = subprocess.run(["git", "archive", commit, *PACKAGE], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extractall(os.path.join(folder, "tree"), filter="data")
    for room, place in PACKAGE.items():
        shutil.move(os.path.join(folder, "tree", room), os.path.join(folder, "ingot", place).rstrip("/"))
    found = run_process(["-c", "import ingot, json; print(json.dumps({'at': ingot.__file__}))"], {**os.environ, "PYTHONPATH": folder})["at"]
    if not found.startswith(folder):
        raise RuntimeError(f"PYTHONPATH does not come first: ingot is imported from {found}")
    return folder


def rows(commit: str, folder: str) -> tuple[Row, ...]:
    """The rows for a commit; its package is laid out in `folder`."""
    path = unpack(commit, folder)

    def pair(make: Callable[[str, Place], Sampler]) -> tuple[Case, ...]:
        return (Case("ingot", functools.partial(make, "")), Case(f"before ({commit:.12})", functools.partial(make, path), "ingot"))

    def cold(workload: str) -> tuple[Case, ...]:
        return pair(functools.partial(_cold, workload))

    def timed(what: str) -> tuple[Case, ...]:
        return pair(functools.partial(_timed, what))

    return (
        Row("before_cold_mlp", "cold compile, before and now: MLP inference", _CALL, cold("mlp_b256")),
        Row("before_cold_gpt_train", "cold compile, before and now: GPT training step", _CALL, cold("gpt_train")),
        Row("before_recording", "eager, before and now: an operation of 16 floats recorded", _CALL, timed("record")),
        Row("before_eager_step", "eager, before and now: training step of a small MLP, known plans", _CALL, timed("eager_step")),
        Row("before_call", "before and now: call of a compiled function of 16 floats", _CALL, timed("call")),
        Row("before_step", "before and now: call of a compiled training step of a small MLP", _CALL, timed("step")),
    )


def _environment(path: str, place: Place, caches: str) -> dict[str, str]:
    found = place.environment(caches)
    return {**found, "PYTHONPATH": path} if path else found


def _cold(workload: str, path: str, place: Place) -> Sampler:
    child = ["-m", "benchmarks.child", workload, "ingot", "run", ""]
    return lambda i: run_process(child, _environment(path, place, f"{'before' if path else 'now'}{i}"))


def _timed(what: str, path: str, place: Place) -> Sampler:
    return lambda i: run_process(["-m", "benchmarks.before_child", what], _environment(path, place, "before" if path else "now"))
