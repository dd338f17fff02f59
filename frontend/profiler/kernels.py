"""A profile by kernels: the graphs that ran, taken apart and timed kernel by kernel, beside what the machine can do."""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from ingot.runtime.cache import the_cache
from ingot.runtime.executable import Executable
from ingot.runtime.stepwise import KernelTime, kernel_times

__all__ = ["KernelRow", "Kernels", "Limits", "limits"]


class Limits(NamedTuple):
    """What this machine reaches in a copy of 64 MiB (bytes read and written), and in a product of float32 matrices of 1024."""

    gbytes: float
    gflops: float


class KernelRow(NamedTuple):
    """A kernel of a graph that ran: of which graph, how often that ran, and the time, bytes and operations of one run."""

    graph: str
    name: str
    calls: int
    seconds: float
    nbytes: int
    operations: int

    @property
    def gbytes(self) -> float:
        """GB/s."""
        return self.nbytes / self.seconds / 1e9

    @property
    def gflops(self) -> float:
        """GFLOP/s."""
        return self.operations / self.seconds / 1e9


class Kernels(list[KernelRow]):
    """The kernels of a profile, those that took longest in all first. `left_out`: graphs that could not be taken apart, and why."""

    def __init__(self, ran: Counter[Executable], rounds: int):
        super().__init__()
        self.left_out: list[tuple[str, str]] = []
        for executable, calls in ran.items():
            try:
                found = _taken_apart(executable, rounds)
            except (ValueError, LookupError) as e:
                self.left_out.append((executable.title, str(e)))
                continue
            self += [KernelRow(executable.title, k.name, calls, k.seconds, k.nbytes, k.operations) for k in found]
        self.sort(key=lambda r: -r.seconds * r.calls)

    def table(self, row_limit: int = 50) -> str:
        """The rows as text, with the share of the machine's limit that each comes nearer to."""
        most = limits()
        head = f"{'Kernel':<40}  {'Time':>10}  {'Calls':>6}  {'Bytes':>12}  {'GB/s':>8}  {'GFLOP/s':>8}  {'of limit':>8}"
        line = "-" * len(head)
        lines = [line, head, line]
        for r in self[:row_limit]:
            share = max(r.gbytes / most.gbytes, r.gflops / most.gflops)
            name = r.name if len(r.name) <= 40 else r.name[:37] + "..."
            rates = f"{r.nbytes:>12,}  {r.gbytes:>8.1f}  {r.gflops:>8.1f}  {share:>8.0%}"
            lines.append(f"{name:<40}  {_time(r.seconds):>10}  {r.calls:>6}  {rates}")
        lines += [line, f"limits of this machine: {most.gbytes:.1f} GB/s in a copy, {most.gflops:.1f} GFLOP/s in a product"]
        lines += [f"not taken apart: {title}: {why}" for title, why in self.left_out]
        return "\n".join([*lines, ""])


def _taken_apart(executable: Executable, rounds: int) -> list[KernelTime]:
    from ingot.ir import ops  # noqa: F401  fills the table of ops
    from ingot.ir.parse import ParseError
    from ingot.ir.text import parse

    found = the_cache().lookup(executable.key)
    if found is None:
        raise LookupError("its graph is not in the cache")
    text = found.entry.preimage["text"]
    found.close()
    try:
        return kernel_times(parse(text), rounds)
    except ParseError:
        raise ValueError("it has a large constant, of which the cache holds the digest") from None


@functools.cache
def limits() -> Limits:
    """Measured once in a process, in a fraction of a second."""
    import ingot

    x, a = ingot.zeros(1 << 24), ingot.ones(1024, 1024)
    copy, product = ingot.compile(lambda x: x + 1.0), ingot.compile(lambda a: a @ a)
    return Limits(2 * 4 * (1 << 24) / _least(lambda: copy(x)) / 1e9, 2 * 1024**3 / _least(lambda: product(a)) / 1e9)


def _least(call: Callable[[], object], times: int = 15) -> float:
    best = float("inf")
    for _ in range(times):
        begin = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - begin)
    return best


def _time(seconds: float) -> str:
    scale, unit = (1e3, "ms") if seconds >= 1e-3 else (1e6, "us")
    return f"{seconds * scale:.2f}{unit}"
