"""What people begin with at a prompt, whose kernels come with the package: `python -m ingot._prompt` writes them.

Each line is computed on small arrays of a few shapes, and every CPU level's kernels of its graphs, as eager code asks for them first, go
into `backends/cpu/prebuilt_kernels.bin`. Kernels take sizes as parameters, so most serve any small shape. A test says when the file is
no longer what these lines ask for: after a change of what LLVM IR they become, or of the lines.

Beside them, each line's graph for every size goes into `runtime/cache/packaged.bin`, whole: nothing is lowered for it. Those entries have
the sources of the compiler in their keys. After a change of the sources they are not found any more, until the file is written again,
which is a step of every release (`--check` only compares).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ingot.backends import backend

if TYPE_CHECKING:
    from ingot.backends import Level
    from ingot.ir.graph import Graph
    from ingot.ir.loop.ir import Kernel

__all__ = ["LINES", "SHAPES", "entries", "graphs", "kernels"]

LINES = (
    "randn(n, m)", "rand(n, m)", "ones(n, m)", "randint(0, 10, (n, m))", "arange(n)", "arange(0.0, n)", "eye(n)", "linspace(0, 1, n)",
    "x + 1", "x - 1", "x * 2", "x / 2", "2 * x + 1", "x + x", "x - y", "x * y", "x / y", "x + b", "x > 0", "i + 1",
    "x.exp()", "x.tanh()", "x.sigmoid()", "x.relu()", "x.sum()", "x.sum(0)", "x.sum(1)", "x.mean()", "x.mean(1)", "x.max()", "x.argmax(1)",
    "x.softmax(-1)", "x @ w", "x @ x.T", "(x @ x.T).softmax(-1).sum()", "x.double()", "x.long()", "i.float()",
)  # fmt: skip
# those in a group one after the other: what comes back with other sizes is compiled for all of them
ANY_MEMORY = frozenset(LINES[:8])  # also where they make much: code that took LLVM longer
SAMPLES = ((1013, 787, 619), (20, 16, 8))  # sizes that differ in everything, the first of them such as nobody asks for
SHAPES = (((3, 4, 5), (20, 16, 8)), ((20, 16, 8),), ((6, 9, 2),))


def graphs() -> Iterator[Graph]:
    """What the lines record, as it is compiled when they are new to a process."""
    from ingot.runtime import plans

    for line in LINES:
        for shapes in SHAPES:
            _as_new()
            for n, m, k in shapes:
                eval(line, _names(line, n, m, k)).numpy()
            yield from {bound.plan.graph: None for bound in plans._PLANS.values()}


def _as_new() -> None:
    """Run what is pending, and forget what this process has recorded."""
    from ingot._tensor import composites
    from ingot.runtime import plans, recorder

    recorder.flush()
    plans.clear()
    composites.clear()


def _names(line: str, n: int, m: int, k: int) -> dict[str, Any]:
    """What the names in a line stand for."""
    import ingot

    ones = np.ones((n, m), np.float32)
    arrays = {"x": ones, "y": ones, "b": ones[0], "w": ones.T[:, :k].copy(), "i": ones.astype(np.int64)}
    functions = {name: getattr(ingot, name) for name in dir(ingot) if f"{name}(" in line}
    return {"n": n, "m": m, "k": k, **{name: ingot.tensor(a) for name, a in arrays.items()}, **functions}


def kernels() -> Iterator[tuple[Kernel, Level]]:
    """The kernels of each level that are made quickly first."""
    cpu = backend("cpu")
    for graph in graphs():
        for level in cpu.levels.values():
            if cpu.has_quick(level):
                for kernel in cpu.lower(graph, level, quick=True).kernels.values():
                    yield kernel, level


def entries() -> tuple[dict[str, bytes], dict[str, tuple[Any, ...]]]:
    """The entries of the lines' graphs for every size, by their keys, and the leaves of a recording of each by its structure."""
    from ingot.runtime import compiler, plans
    from ingot.runtime.cache import key as keys

    cpu = backend("cpu")
    made, samples = {}, {}
    for arch in sorted({level.arch for level in cpu.levels.values()}):
        preimage = compiler._pool_preimage(arch)
        key = keys.key_of(preimage)
        made[key] = _entry(key, cpu.build_pool(arch).code, {}, preimage, "worker pool", arch)
    for line in LINES:
        _as_new()
        for n, m, k in SAMPLES:
            eval(line, _names(line, n, m, k)).numpy()
        for family in plans._FAMILIES.values():
            for plan, *_ in family.symbolic:
                samples[family.structure] = tuple([x if type(x) is int else None for x in family.samples[0]])
                for level in cpu.levels.values():
                    for quick in (True, False) if line in ANY_MEMORY else (True,):
                        quick = quick and cpu.has_quick(level)
                        preimage = compiler._preimage(plan.graph, level, quick)
                        built = cpu.build(cpu.lower(plan.graph, level, quick=quick), level, quick=quick)
                        key = keys.key_of(preimage)
                        made[key] = _entry(key, built.code, built.manifest, preimage, line, level.name)
    return made, samples


def _entry(key: str, code: bytes, manifest: dict[str, Any], preimage: bytes, name: str, target: str) -> bytes:
    from ingot.runtime.cache import entry

    record = {"name": name, "target": target, "signature": "", "compile_ms": 0.0, "times": {}, "code_bytes": len(code), "created": 0.0}
    return entry.pack(key, code, {**manifest, "compile_ms": 0.0}, record, preimage, {})


def _write() -> None:
    """Write what comes with the package."""
    from ingot.runtime.cache import key as keys
    from ingot.runtime.cache import packaged

    os.environ["INGOT_CACHE_PACKAGED"] = "0"
    backend("cpu").prebuild(kernels())  # before keys are made, for it writes a source
    keys.sources_digest.cache_clear()
    data = packaged.packed(*entries())
    with open(packaged.FILE, "wb") as f:
        f.write(data)


def _check() -> str | None:
    """What is wrong with the entries that come with the package."""
    from ingot.runtime.cache import packaged

    os.environ["INGOT_CACHE_PACKAGED"] = "0"
    with open(packaged.FILE, "rb") as f:
        same = f.read() == packaged.packed(*entries())
    return None if same else f"{packaged.FILE} was made by other sources: run python -m ingot._prompt"


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(_check())
    _write()
