"""The kernels that only a card can prove, each against NumPy in float64: `python -m tests.gpu.kernels 120 --out kernels.jsonl`.

Products by every candidate of their schedules, of this GPU's generation and of the oldest, in all ways operands may lie; attention and its
gradients in all widths of heads. A line for each is written as it is known, with the error as a part of what is allowed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.gpu_tune import Case, arrays_of, graph_of, loaded
from ingot.backends import backend
from ingot.runtime.cuda.device import device

WAYS = tuple((left, right) for left in (True, False) for right in (True, False))
SIZES = ((512, 512, 512), (520, 264, 328), (72, 136, 4104), (257, 130, 75))
SMALL = ((72, 72, 72),)  # where the GPU is emulated
TOLERANCE = {"bf16": 1e-2, "f16": 2e-3, "tf32": 2e-3, "f32": 1e-5}

Row = dict[str, Any]
Check = Callable[[], float]  # the error, 1 being what is allowed


def products(sizes: Sequence[tuple[int, int, int]], few: bool) -> Iterator[tuple[Row, Check]]:
    """Every candidate of every case, the cases in a mixed order: where time ends early, some of everything was seen."""
    cuda, gpu = backend("cuda"), device()
    levels = [gpu.level] if few else list(dict.fromkeys((gpu.level, "sm_80")))
    every = [Case(d, *s, *ways) for d in TOLERANCE for s in sizes for ways in (WAYS[:1] if few else WAYS)]
    for at in np.random.default_rng(0).permutation(len(every)):
        case = every[at]
        graph = graph_of(case)
        arrays = list(arrays_of(graph))
        x, y = (a.astype(np.float64) for a in arrays)
        want = (x if case.left else x.T) @ (y.T if case.right else y)
        for name in levels:
            _, found = cuda.choices(graph, cuda.levels[name])
            for short, program in itertools.islice(found, 1 if few else None):

                def check(program=program, name=name, graph=graph, arrays=arrays, want=want, allowed=TOLERANCE[case.dtype]) -> float:
                    call, result = loaded(cuda.build(program, cuda.levels[name]), arrays, graph, gpu)
                    call()
                    return _error(result(), want, allowed)

                yield {"kernel": "product", **case._asdict(), "level": name, "schedule": short}, check


def attention(few: bool) -> Iterator[tuple[Row, Check]]:
    """Results and gradients, of halves and of float32."""
    import ingot
    import ingot.nn.functional as F

    for dtype, tolerance in (("bfloat16", 2e-2), ("float16", 5e-3), ("float32", 1e-4)):
        for width in (64,) if few else (32, 64, 128, 256):
            for rows, columns, causal in ((40, 40, True),) if few else ((512, 512, True), (200, 333, False), (64, 1024, False)):

                def check(dtype=dtype, tolerance=tolerance, width=width, rows=rows, columns=columns, causal=causal) -> float:
                    rng = np.random.default_rng(0)
                    given = [rng.standard_normal((2, 3, n, width), np.float32) for n in (rows, columns, columns, rows)]
                    got = []
                    for where in ("cuda", "cpu"):
                        kind = getattr(ingot, dtype if where == "cuda" else "float64")
                        q, k, v, g = (ingot.tensor(x).to(getattr(ingot, dtype)).to(kind).to(where) for x in given)
                        for x in (q, k, v):
                            x.requires_grad_()
                        out = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
                        out.backward(g)
                        got.append([x.detach().cpu().to(ingot.float64).numpy() for x in (out, q.grad, k.grad, v.grad)])
                    return max(_error(a, b, tolerance) for a, b in zip(*got))

                yield {"kernel": "attention", "dtype": dtype, "width": width, "rows": rows, "columns": columns, "causal": causal}, check


def _error(got: np.ndarray, want: np.ndarray, tolerance: float) -> float:
    """The largest error, by what is allowed; infinite where something is no number."""
    off = np.abs(got.astype(np.float64) - want)
    scale = tolerance * max(float(np.abs(want).max()), 1e-30)
    return float(off.max() / scale) if np.isfinite(off).all() else float("inf")


def main(argv: Sequence[str] | None = None) -> int:
    """The number of kernels that are wrong is the exit status, up to 99."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("seconds", type=float)
    p.add_argument("--out", help="where results are written, a line each")
    a = p.parse_args(argv)
    few = device().driver.emulated
    began, wrong, done = time.monotonic(), 0, 0
    both = attention(few), products(SMALL if few else SIZES, few)
    for row, check in (x for pair in itertools.zip_longest(*both) for x in pair if x is not None):
        if time.monotonic() - began > a.seconds:
            break
        try:
            row["error"] = check()
        except Exception as e:
            row["failed"] = f"{type(e).__name__}: {str(e).strip()[:300]}"
        done += 1
        row["seconds"] = round(time.monotonic() - began, 2)
        if row.get("error", float("inf")) > 1:
            wrong += 1
            print(f"wrong: {row}", flush=True)
        if a.out:
            with open(a.out, "a", encoding="utf-8") as f:
                f.write(json.dumps(row) + "\n")
        if "CUDA error" in row.get("failed", ""):
            print("the device is lost")
            break
    print(f"{done} kernels, {wrong} wrong")
    return min(wrong, 99)


if __name__ == "__main__":
    raise SystemExit(main())
