"""Rows that are measured in processes of their own: each case starts one per round and reads the line that it prints."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Case", "Column", "Place", "ProcessResult", "Row", "measure_row", "run_process"]

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
Line = dict[str, Any]  # what a process printed, and "seconds" from the start of python until it did
Sampler = Callable[[int], Line]  # round -> line


@dataclass(frozen=True)
class Place:
    """Where a case works: a folder of its row's own, one that all rows of the run share, and the number of threads."""

    folder: str
    shared: str
    threads: int

    def environment(self, caches: str = "") -> dict[str, str]:
        """This process's, with every compiler's cache in the subfolder `caches` of the row's folder."""
        folder = os.path.join(self.folder, caches)
        n = str(self.threads)
        out = {
            **os.environ,
            "OMP_NUM_THREADS": n, "MKL_NUM_THREADS": n, "OPENBLAS_NUM_THREADS": n, "INGOT_NUM_THREADS": n,
            "INGOT_CACHE_DIR": os.path.join(folder, "ingot"), "INGOT_CACHE_PATH": "",
            "TORCHINDUCTOR_CACHE_DIR": os.path.join(folder, "torch"), "JAX_COMPILATION_CACHE_DIR": os.path.join(folder, "jax"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }  # fmt: skip
        out.pop("PYTHONDONTWRITEBYTECODE", None)  # else every start would compile Python sources
        return out


@dataclass(frozen=True)
class Case:
    """One line of a row's table. `prepare` makes what its processes need and returns what starts one of them.

    who: the contender that it belongs to, where the label is not its name. most: rounds that it takes part in.
    """

    label: str
    prepare: Callable[[Place], Sampler]
    who: str = ""
    most: int = 99

    @property
    def contender(self) -> str:
        return self.who or self.label


@dataclass(frozen=True)
class Column:
    """A column: which number of the lines it shows, and which of the samples: median, best, worst, or median / ingot's."""

    head: str
    key: str
    pick: str = "median"
    unit: str = "time"  # or bytes, or number


@dataclass(frozen=True)
class Row:
    """A table of cases, which take turns. It runs 1 / `share` of the rounds that were asked for."""

    name: str
    title: str
    columns: tuple[Column, ...]
    cases: tuple[Case, ...]
    share: int = 3


@dataclass
class ProcessResult:
    """The lines of one case's processes; `error` where it failed."""

    contender: str
    lines: list[Line] = field(default_factory=list)
    error: str = ""

    def values(self, key: str) -> list[float]:
        """All samples of a number: a line may hold one or a list of them."""
        found = [line[key] for line in self.lines if key in line]
        return [v for f in found for v in (f if isinstance(f, list) else [f])]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the samples and their median, by number."""
        numbers = {k: self.values(k) for line in self.lines[:1] for k in line}
        out = {
            "contender": self.contender, "samples": numbers, "error": self.error,
            "median": {k: statistics.median(v) for k, v in numbers.items() if v},
        }  # fmt: skip
        return {k: v for k, v in out.items() if v}


def run_process(arguments: list[str], environment: dict[str, str]) -> Line:
    """Run python with these arguments until it printed its line. RuntimeError with its last words where it fails."""
    with tempfile.TemporaryFile() as errors:  # a pipe that nobody reads would stop it
        start = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, *arguments], env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
        )
        assert child.stdout is not None
        line = child.stdout.readline()
        seconds = time.perf_counter() - start
        child.communicate()
        if child.returncode or not line:
            errors.seek(0)
            last = errors.read().decode(errors="replace").strip().splitlines() or [f"exit status {child.returncode}"]
            raise RuntimeError(last[-1][:150])
    return {"seconds": seconds, **json.loads(line)}


def measure_row(row: Row, takes_part: Callable[[str], bool], rounds: int, threads: int, folder: str) -> list[ProcessResult]:
    """All cases of a row whose contender takes part, taking turns. `folder` is that of the run, and stays."""
    place = Place(os.path.join(folder, row.name), os.path.join(folder, "shared"), threads)
    for path in (place.folder, place.shared):
        os.makedirs(path, mode=0o700, exist_ok=True)
    results, samplers = [], {}
    for case in row.cases:
        if takes_part(case.contender):
            result = ProcessResult(case.label)
            results.append(result)
            try:
                samplers[case.label] = case.prepare(place)
            except (RuntimeError, OSError) as e:
                result.error = str(e)
    most = {case.label: case.most for case in row.cases}
    for i in range(max(1, rounds // row.share)):
        for result in results:
            if not result.error and i < most[result.contender]:
                try:
                    result.lines.append(samplers[result.contender](i))
                except (RuntimeError, OSError) as e:
                    result.error = str(e)
    return results
