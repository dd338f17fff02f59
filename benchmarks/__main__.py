"""python -m benchmarks: Ingot beside its peers and the machine's limits."""

from __future__ import annotations

import argparse
import fnmatch
import logging
import os
import platform
import sys
import tempfile
import warnings
from typing import Any


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    p = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Compare Ingot with the peers that are installed. All take turns in one run; what counts is the ratio.",
        epilog="example: python -m benchmarks mlp_b1 'sgemm_*' --peers 'torch*,onnxruntime' --out benchmarks/results; "
        "python -m benchmarks tune 'kernel_matmul_*' --seconds 600 --out ir/lower/tiles",
    )
    p.add_argument("names", nargs="*", help="workloads (patterns such as 'mlp*') or a group; all by default, see --list; "
                   "or gpu; or tune and workloads, whose contractions get faster schedules: --out gets tuned.py")
    p.add_argument("--peers", default="*", help="who takes part: patterns, separated by commas (default: all that can be imported)")
    p.add_argument("--threads", type=int, default=2, help="threads for everybody (default 2)")
    p.add_argument("--rounds", type=int, default=15, help="rounds of taking turns (default 15; of processes a third)")
    p.add_argument("--seconds", type=float, default=30.0, help="stop a workload's rounds after this long, but not before the third")
    p.add_argument("--before", metavar="COMMIT", help="beside Ingot of another commit instead: cold compile, recording, calls")
    p.add_argument("--tune", action="store_true", help="with gpu: find the fastest tiles of products; --out gets backends/cuda/tuned.py")
    p.add_argument("--out", help="folder for one .json and one .md per workload (for the committed tables: benchmarks/results)")
    p.add_argument("--list", action="store_true", help="list workloads and contenders and end")
    return p.parse_args(argv)


GROUPS = {
    "cache": ("cache_*", "load_1gb"),
    "sizes": ("sizes_*",),
    "onnx": ("onnx_*",),
    "transforms": ("vmap_grad", "hessian", "per_sample", "hvp"),
    "kernels": ("kernel_*",),
    "conv": ("conv_*",),
}


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo") as f:
            return next(line.split(":", 1)[1].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def main(argv: list[str] | None = None) -> int:
    """Measure what was asked for. Exit status: 0, or 2 where nothing matches, or git knows no such commit."""
    a = _arguments(argv)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "INGOT_NUM_THREADS"):
        os.environ[name] = str(a.threads)  # before anything reads them
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: a.threads])  # for those that take no number of threads
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    if a.names[:1] == ["gpu"]:
        if a.tune:
            from benchmarks import gpu_tune

            gpu_tune.tune(a.seconds, a.out)
            return 0
        from benchmarks import gpu

        return gpu.main(a.seconds, a.out, a.names[1:])

    from rich.console import Console

    from benchmarks import report
    from benchmarks.cache import CACHE
    from benchmarks.contenders import CONTENDERS
    from benchmarks.convolutions import CONVOLUTIONS
    from benchmarks.harness import measure
    from benchmarks.kernels import KERNELS
    from benchmarks.load import LOADS
    from benchmarks.onnx import ONNX
    from benchmarks.processes import Row, measure_row
    from benchmarks.sizes import SIZES
    from benchmarks.starts import STARTS
    from benchmarks.workloads import WORKLOADS, Workload

    console = Console(width=None if sys.stdout.isatty() else 140)
    everything: list[Any] = [*WORKLOADS, *KERNELS, *CONVOLUTIONS, *STARTS, *CACHE, *LOADS, *SIZES, *ONNX]
    if a.before:
        from benchmarks import before

        try:
            everything = list(before.rows(a.before))
        except ValueError as e:
            print(e, file=sys.stderr)
            return 2
        a.peers = "ingot"
    tuning = a.names[:1] == ["tune"]
    names = [n for name in a.names[tuning:] for n in GROUPS.get(name, (name,))]
    items = [i for i in everything if not names or any(fnmatch.fnmatch(i.name, n) for n in names)]

    def wanted(name: str) -> bool:
        return any(fnmatch.fnmatch(name, p.strip()) for p in a.peers.split(","))

    chosen = [c for c in CONTENDERS if wanted(c.name)]
    if a.list:
        report.show(console, "workloads", ("name", "what"), [(i.name, i.title) for i in everything])
        report.show(console, "groups", ("name", "workloads"), [(name, " ".join(patterns)) for name, patterns in GROUPS.items()])
        report.show(console, "contenders", ("name",), [(c.name,) for c in CONTENDERS])
        return 0
    if not items or not chosen:
        print(f"nothing matches {' '.join(a.names) if not items else a.peers}; see --list", file=sys.stderr)
        return 2

    if tuning:
        from benchmarks import tune

        ours = next(c for c in CONTENDERS if c.name == "ingot")
        ours.load(a.threads)
        return tune.main([i for i in items if isinstance(i, Workload)], ours, a.seconds, a.out)

    # This process loads them (for the workloads); start-up is measured in processes of their own.
    machine: dict = {"cpu": _cpu(), "threads": a.threads, "python": platform.python_version()}
    ready = []
    for c in chosen:
        try:
            version = c.load(a.threads)
        except ImportError as e:
            console.print(f"{c.name} does not take part: {e}")
            continue
        ready.append((c, version))
        machine[c.name.split(".")[0].split()[0]] = version
    limits = {}
    if any(getattr(i, "flops", 0) or getattr(i, "nbytes", 0) for i in items):
        from benchmarks.limits import limits as measure_limits

        limits = measure_limits(a.threads)
        machine |= {"peak GFLOP/s": limits["gflops"], "copy GB/s": limits["copy"], "non-temporal copy GB/s": limits["copy_nt"]}

    def takes_part(name: str) -> bool:
        """A contender that can be imported; what is none of them (numpy, say, the floor) says itself whether it can run."""
        return any(c.name == name for c, _ in ready) or (name not in {c.name for c in CONTENDERS} and (name == "numpy" or wanted(name)))

    with tempfile.TemporaryDirectory(prefix="ingot-benchmarks-") as folder:
        tables: dict[str, list] = {}
        for item in items:
            results: list
            if isinstance(item, Row):
                results = measure_row(item, takes_part, a.rounds, a.threads, folder)
                heads, rows = report.process_rows(item, results)
            else:
                results = measure(item, ready, a.rounds, a.seconds)
                heads, rows = report.workload_rows(item, results, limits)
            report.show(console, f"{item.name}: {item.title}", heads, rows, report.failures(results))
            if getattr(item, "table", ""):
                tables.setdefault(item.table, []).append((item, results))
            elif a.out:
                report.write(a.out, machine, item, results, heads, rows)
        for name, measured in tables.items():
            heads, rows = report.together(measured)
            report.show(console, name, heads, rows)
            if a.out:
                report.write_table(a.out, machine, name, measured, heads, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
