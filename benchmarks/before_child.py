"""One process of `benchmarks.before`: `python -m benchmarks.before_child WHAT`. Prints a line of JSON: seconds, many samples."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np

import ingot
from ingot import nn
from ingot.nn import functional as F

OPERATIONS = 200  # recorded in one go


def _record() -> Callable[[], int]:
    x = ingot.tensor(np.ones(16, np.float32))

    def once() -> int:
        y = x
        for _ in range(OPERATIONS // 2):
            y = y * 2.0 + x
        return OPERATIONS

    return once


def _small_step(compiled: bool) -> Callable[[], int]:
    model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
    optimizer = ingot.optim.SGD(model.parameters(), lr=1e-3)
    x, y = ingot.tensor(np.ones((4, 16), np.float32)), ingot.tensor(np.array([0, 1, 2, 3]))

    def step(x: ingot.Tensor, y: ingot.Tensor) -> ingot.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    run = ingot.compile(step) if compiled else step

    def once() -> int:
        run(x, y)
        return 1

    return once


def _call() -> Callable[[], int]:
    x = ingot.tensor(np.ones(16, np.float32))
    f = ingot.compile(lambda x: x * 2 + 1)

    def once() -> int:
        f(x)
        return 1

    return once


WHAT: dict[str, Callable[[], Callable[[], int]]] = {
    "record": _record, "call": _call, "step": lambda: _small_step(True), "eager_step": lambda: _small_step(False),
}  # fmt: skip


def main() -> None:
    """Time what the command line says: the median of 20 samples of some milliseconds each."""
    once = WHAT[sys.argv[1]]()
    for _ in range(50):
        once()
    samples = []
    for _ in range(20):
        start, n = time.perf_counter(), 0
        while time.perf_counter() - start < 0.005:
            n += once()
        samples.append((time.perf_counter() - start) / n)
    print(json.dumps({"call": sorted(samples)[len(samples) // 2]}), flush=True)


if __name__ == "__main__":
    main()
