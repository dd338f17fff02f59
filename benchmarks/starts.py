"""Start-up: cold compile, warm start, start from an exported file; each in processes of their own.

    cold       fresh process, empty caches: seconds from the call to the first result
    warm       a second process on the same caches: the same, and seconds from the start of python
    load       a process that only runs an exported file: seconds from the start of python, and its peak of memory
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable

from benchmarks.processes import Case, Column, Line, Place, Row, Sampler, run_process

__all__ = ["STARTS", "run_workload"]

_PEAK = Column("peak memory", "peak", unit="bytes")
_CALL = (Column("median", "call"), Column("best", "call", "best"), Column("/ ingot", "call", "ratio"), _PEAK)
_START = (Column("median", "seconds"), Column("best", "seconds", "best"), Column("/ ingot", "seconds", "ratio"), _PEAK)
_BOTH = (
    Column("first call", "call"), Column("worst", "call", "worst"), Column("/ ingot", "call", "ratio"),
    Column("from python", "seconds"), Column("worst", "seconds", "worst"), Column("/ ingot", "seconds", "ratio"), _PEAK,
)  # fmt: skip
_IMPORT = """
import {}, json
with open("/proc/self/status") as f:
    print(json.dumps({{"peak": next(int(line.split()[1]) << 10 for line in f if line.startswith("VmHWM"))}}), flush=True)
"""


def _cold(workload: str, contender: str, place: Place) -> Sampler:
    return lambda i: run_workload(workload, contender, place.environment(f"{contender}{i}"), cached=False)


def _warm(workload: str, contender: str, place: Place) -> Sampler:
    run_workload(workload, contender, place.environment(), cached=False)
    return lambda i: run_workload(workload, contender, place.environment(), cached=True)


def run_workload(workload: str, contender: str, environment: dict[str, str], cached: bool) -> Line:
    """A process that runs a workload. RuntimeError where it fails, or where its cache was hit and should not be, or missed."""
    line = run_process(["-m", "benchmarks.child", workload, contender, "run", ""], environment)
    if line.pop("hit", cached) is not cached:
        raise RuntimeError("its cache missed: it compiled again" if cached else "its cache was not empty")
    return line


def _load(workload: str, contender: str, place: Place) -> Sampler:
    if contender == "torch eager":  # which loads no file, but builds the network
        return _cold(workload, contender, place)
    child = ["-m", "benchmarks.child", workload, contender]
    path = os.path.join(place.folder, "model-" + contender)
    run_process([*child, "make", path], place.environment())
    return lambda i: run_process([*child, "load", path], place.environment())


def _import(module: str, place: Place) -> Sampler:
    command = ["-c", _IMPORT.format(module)]
    run_process(command, place.environment())  # Python keeps the modules' byte code
    return lambda i: run_process(command, place.environment())


def _cases(prepare: Callable[[str, str, Place], Sampler], workload: str, *contenders: str) -> tuple[Case, ...]:
    return tuple(Case(c, functools.partial(prepare, workload, c)) for c in contenders)


_COMPILERS = ("ingot", "torch.compile", "jax.jit")
STARTS = (
    Row("cold_mlp", "cold compile: MLP inference", _CALL, _cases(_cold, "mlp_b256", *_COMPILERS)),
    Row("cold_mlp_train", "cold compile: MLP training step", _CALL, _cases(_cold, "mlp_train", *_COMPILERS)),
    Row("cold_gpt_train", "cold compile: GPT training step", _CALL, _cases(_cold, "gpt_train", *_COMPILERS)),
    Row("cache_warm", "second process: the MLP's first call, imports not counted, and from the start of python to its result", _BOTH,
        _cases(_warm, "mlp_b1", "ingot", "torch eager", "torch.compile", "jax.jit")),
    Row("load_mlp", "exported MLP: python to its first result, and peak memory", _START,
        _cases(_load, "mlp_b1", "ingot", "onnxruntime", "openvino", "torch eager", "numpy")),
    Row("import", "import alone", _START,
        tuple(Case(m, functools.partial(_import, m)) for m in ("ingot", "numpy", "torch", "jax", "onnxruntime"))),
)  # fmt: skip
