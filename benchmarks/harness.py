"""Measuring: all contenders of a workload take turns, round after round, so that what disturbs one disturbs all."""

from __future__ import annotations

import gc
import random
import statistics
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from benchmarks.contenders import Contender, Run, Skip
from benchmarks.workloads import Workload

__all__ = ["Result", "measure"]

BLOCK = 0.04  # seconds of calls per contender and round, at least one call
PAUSE = 0.02  # between contenders: the last one's workers stop spinning and go to sleep


@dataclass
class Result:
    """What one contender did. Times in seconds per call; `error` where it took no part."""

    contender: str
    version: str = ""
    first: float = 0.0  # the first call, compilation included
    samples: list[float] = field(default_factory=list)
    difference: float | None = None  # of its first result from the reference's, relative to that one's largest value
    error: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def best(self) -> float:
        return min(self.samples)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        out = {k: v for k, v in asdict(self).items() if v not in ("", None)}
        if self.samples:
            out["median"] = self.median
        return out


def _why(e: BaseException) -> str:
    text = str(e).strip().splitlines()
    return f"{type(e).__name__}: {text[0][:150] if text else ''}"


def measure(w: Workload, contenders: list[tuple[Contender, str]], rounds: int, seconds: float) -> list[Result]:
    """Run a workload with each contender (and its version): `rounds` rounds, or as many as `seconds` allow, at least 3.

    A contender that fails is reported as such and does not stop the others. The reference for the first results is
    the first that ran and is not Ingot.
    """
    results, taking_part, firsts = [], [], []
    for contender, version in contenders:
        result = Result(contender.name, version)
        results.append(result)
        arrays = w.inputs(np.random.default_rng(1))
        try:
            run = contender.prepare(w, arrays)
            with contender.mode(w.training):
                start = time.perf_counter()
                value = run()
                result.first = time.perf_counter() - start
                firsts.append((result, np.array(contender.numpy(value), np.float64)))
                count = _calls_per_block(run)
            taking_part.append((contender, run, count, result))
        except Skip as e:
            result.error = f"- ({e})"
        except Exception as e:  # a peer's failure is a result, whatever it is
            result.error = _why(e)
    _compare(firsts)
    _take_turns(w, taking_part, rounds, seconds)
    return results


def _calls_per_block(run: Run) -> int:
    for _ in range(2):
        run()
    start = time.perf_counter()
    run()
    once = time.perf_counter() - start
    if once > BLOCK / 10:
        return max(1, int(BLOCK / once))
    start = time.perf_counter()
    for _ in range(10):
        run()
    return max(1, int(BLOCK / ((time.perf_counter() - start) / 10)))


def _take_turns(w: Workload, taking_part: list[tuple[Contender, Run, int, Result]], rounds: int, seconds: float) -> None:
    gc.collect()
    gc.disable()
    try:
        began = time.perf_counter()
        order = random.Random(0)  # nobody always follows the same one
        for i in range(rounds):
            for contender, run, count, result in order.sample(taking_part, len(taking_part)):
                with contender.mode(w.training):
                    run()
                    start = time.perf_counter()
                    for _ in range(count):
                        run()
                    result.samples.append((time.perf_counter() - start) / count)
                time.sleep(PAUSE)
            gc.collect()
            if i >= 2 and time.perf_counter() - began > seconds:
                break
    finally:
        gc.enable()


def _compare(firsts: list[tuple[Result, np.ndarray]]) -> None:
    """How far the first results are from the first that is not Ingot's."""
    reference = next((value for result, value in firsts if not result.contender.startswith("ingot")), None)
    if reference is None:
        return
    scale = float(np.max(np.abs(reference))) or 1.0
    for result, value in firsts:
        value = value.reshape(reference.shape) if value.size == reference.size else value
        same = value.shape == reference.shape
        result.difference = float(np.max(np.abs(value - reference))) / scale if same else float("inf")
