"""`python -m benchmarks gpu --tune`: which tile of each product is the fastest on the present GPU, as `backends/cuda/tuned.py`.

Each candidate of a product runs; one whose results are not those of the rule's choice is named, and left out. The file is written anew
after each product, so that what was found stays when time is over.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import ingot.ir.ops  # noqa: F401  (fills the table of ops)
from ingot.backends import backend
from ingot.ir import dtypes
from ingot.ir.builder import Builder
from ingot.ir.graph import Graph
from ingot.ir.op import OPS
from ingot.ir.types import tensor_type
from ingot.runtime.cuda.device import device
from ingot.runtime.cuda.executable import DeviceExecutable

__all__ = ["CASES", "Case", "arrays_of", "graph_of", "loaded", "tune"]

Call = Callable[[], None]
Measure = Callable[[Call, str], float]


class Case(NamedTuple):
    """A product of m x k by k x n elements; `left`, `right`: the operands lie along k."""

    dtype: str
    m: int
    n: int
    k: int
    left: bool = True
    right: bool = False


SMALL = (Case("f32", 33, 32, 64, True, True),)  # where the GPU is emulated
_SQUARES = (1024, 2048, 4096, 8192)
_LINEAR = ((8192, 4096, 4096), (8192, 2304, 768), (8192, 3072, 768), (8192, 768, 3072), (64, 4096, 4096), (16, 4096, 4096))
_WAYS = ((True, False), (True, True), (False, False))
CASES = (
    *(Case(d, n, n, n, *ways) for d in ("bf16", "tf32", "f32") for n in _SQUARES for ways in _WAYS if d != "f32" or ways == (True, False)),
    *(Case("bf16", *sizes, *ways) for sizes in _LINEAR for ways in _WAYS),
)


def graph_of(case: Case) -> Graph:
    """The graph of a case."""
    b = Builder("product")
    dtype = dtypes.f32 if case.dtype == "tf32" else dtypes.by_name(case.dtype)
    shapes = (case.m, case.k) if case.left else (case.k, case.m), (case.n, case.k) if case.right else (case.k, case.n)
    x, y = (b.expr(b.input(tensor_type(dtype, s), name)) for s, name in zip(shapes, "xy"))
    if case.dtype == "tf32":
        x, y = OPS["round_tf32"](x), OPS["round_tf32"](y)
    out = OPS["dot"](x, y, batch=((), ()), contract=((int(case.left),), (int(case.right),)))
    return b.freeze((out.value,))


def seconds_of(call: Call, short: str) -> float:
    """The median time of a call."""
    gpu = device()

    def many(n: int) -> float:
        gpu.synchronize()
        start = time.perf_counter()
        for _ in range(n):
            call()
        gpu.synchronize()
        return (time.perf_counter() - start) / n

    many(2)
    n = max(1, min(200, int(0.01 / max(many(1), 1e-6))))
    return statistics.median(many(n) for _ in range(5))


def tune(seconds: float, out: str | None, cases: tuple[Case, ...] = (), measure: Measure = seconds_of) -> dict[str, dict[str, str]]:
    """Measure for about so long, and give what tuned.py should hold: what it held, and what was found. `out`: the folder for it."""
    began, gpu, cuda = time.monotonic(), device(), backend("cuda")
    found: dict[str, dict[str, str]] = {}
    for case in cases or (SMALL if gpu.driver.emulated else CASES):
        if time.monotonic() - began > seconds:
            print(f"no time is left for {case} and what follows")
            break
        name, best = _fastest(case, gpu, measure)
        if best:
            found.setdefault(gpu.level, {})[name] = best
        if out:
            os.makedirs(out, exist_ok=True)
            with open(os.path.join(out, "tuned.py"), "w", encoding="utf-8") as f:
                f.write(cuda.tuned(found)[1])
    return cuda.tuned(found)[0]


def _fastest(case: Case, gpu: Any, measure: Measure) -> tuple[str, str]:
    cuda, graph = backend("cuda"), graph_of(case)
    level = cuda.levels[gpu.level]
    name, every = cuda.choices(graph, level)
    arrays = list(arrays_of(graph))
    times: dict[str, float] = {}
    want, usual = None, ""
    for short, program in every:
        usual = usual or short
        try:
            call, result = loaded(cuda.build(program, level), arrays, graph, gpu)
            call()
            got = result().astype(np.float64)
            want = got if want is None else want
            if not np.allclose(got, want, rtol=2e-2, atol=2e-2 * float(np.abs(want).max())):
                print(f"{name}: {short} gives other numbers")
                continue
            times[short] = measure(call, short)
        except Exception as e:  # what fails is no candidate
            print(f"{name}: {short} failed: {type(e).__name__}: {str(e)[:200]}")
    if not times:
        return name, ""
    best = min(times, key=times.__getitem__)
    flops = 2 * case.m * case.n * case.k
    before = flops / times[usual] / 1e12 if usual in times else 0.0
    print(f"{name}: {best} {flops / times[best] / 1e12:.2f} TFLOP/s, {usual} {before:.2f} as chosen before", flush=True)
    return name, best


def arrays_of(graph: Graph) -> Iterator[np.ndarray]:
    """Numbers for the inputs of a graph."""
    rng = np.random.default_rng(0)
    for v in graph.inputs:
        yield rng.standard_normal(v.type.shape, np.float32).astype(v.type.dtype.numpy)


def loaded(built: Any, arrays: list[np.ndarray], graph: Graph, gpu: Any) -> tuple[Call, Callable[[], np.ndarray]]:
    """A call, and what gives its result."""
    stream = gpu.stream()
    buffers = [gpu.pool.allocate(a.nbytes, stream) for a in arrays]
    for b, a in zip(buffers, arrays):
        b.write(a.ctypes.data, a.nbytes)
    (out,) = graph.outputs
    result = gpu.pool.allocate(out.type.nbytes, stream)
    exe = DeviceExecutable(built.code, built.manifest).on(gpu)
    slots = [*(b.address for b in buffers), result.address]
    return lambda: exe.run(*slots), lambda: result.array(out.type.dtype.numpy, out.type.shape)
