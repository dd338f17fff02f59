"""Random graphs on a GPU against the interpreter, for so many seconds: `python -m tests.gpu.fuzz 300 --out fuzz.jsonl`.

Each runs twice, and gives the same bits. A line is written for each that fails: its seed, why, and a smaller graph that fails likewise.
"""

from __future__ import annotations

import argparse
import collections
import json
import time
from collections.abc import Sequence

import numpy as np

from ingot.ir.graph import Graph
from ingot.runtime import compiler
from ingot.runtime.cuda.device import device
from tests.support.calling import compare
from tests.support.generate import generate
from tests.support.shrink import case_text, shrink


def run_there(graph: Graph, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The outputs of a graph on the present GPU."""
    gpu = device()
    stream = gpu.stream()
    slots: list = []
    keep = []
    for i, a in enumerate(arrays):
        a = np.ascontiguousarray(a)
        if i in graph.scalars:
            slots.append(a.item())
            continue
        keep.append(gpu.pool.allocate(a.nbytes, stream))
        keep[-1].write(a.ctypes.data, a.nbytes)
        slots.append(keep[-1].address)
    outs = [gpu.pool.allocate(v.type.nbytes, stream) for v in graph.outputs]
    compiler.executable(graph, device=gpu.index).run(*slots, *(b.address for b in outs))
    return [b.array(v.type.dtype.numpy, v.type.shape) for b, v in zip(outs, graph.outputs)]


def check(graph: Graph, arrays: Sequence[np.ndarray]) -> None:
    """AssertionError where results are wrong, or differ between two runs."""
    got = run_there(graph, arrays)
    compare(graph, arrays, got, 20)
    for a, b in zip(got, run_there(graph, arrays)):
        assert a.tobytes() == b.tobytes(), "two runs give different bits"


def fails(graph: Graph, arrays: Sequence[np.ndarray]) -> bool:
    """Whether it does."""
    try:
        check(graph, arrays)
    except Exception:
        return True
    return False


def main(argv: Sequence[str] | None = None) -> int:
    """The number of failures is the exit status, up to 99."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("seconds", type=float)
    p.add_argument("--first", type=int, default=0, help="the first seed")
    p.add_argument("--out", help="where failures are written, a line each")
    a = p.parse_args(argv)
    began, failed, done = time.monotonic(), collections.Counter[str](), 0
    seed = a.first
    while time.monotonic() - began < a.seconds:
        graph, arrays = generate(seed, 4 + seed % 24)
        try:
            check(graph, arrays)
        except Exception as e:
            why = f"{type(e).__name__}: {str(e).strip().splitlines()[0][:200] if str(e).strip() else ''}"
            failed[why[:60]] += 1
            small = shrink(graph, arrays, fails) if failed[why[:60]] <= 2 and "CUDA error" not in why else (graph, arrays)
            if a.out:
                with open(a.out, "a", encoding="utf-8") as f:
                    f.write(json.dumps({"seed": seed, "why": why, "graph": case_text(*small)}) + "\n")
            if "CUDA error" in why:
                print(f"the device is lost at seed {seed}: {why}")
                break
        done += 1
        seed += 1
    print(f"{done} graphs from seed {a.first} on, {sum(failed.values())} failed: {dict(failed)}")
    return min(sum(failed.values()), 99)


if __name__ == "__main__":
    raise SystemExit(main())
