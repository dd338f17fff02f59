"""Loading a gigabyte of weights: how long it takes, and whose memory they then are."""

from __future__ import annotations

import functools
import os

from benchmarks.processes import Case, Column, Place, Row, Sampler, run_process

__all__ = ["LOADS", "load_row"]

_CONTENDERS = {
    "ingot": "ingot.load",
    "numpy": "numpy.load(mmap_mode), and NumPy's products",
    "safetensors": "safe_open, and NumPy's products",
    "torch eager": "torch.load(mmap=True), and a network of it",
    "onnxruntime": "InferenceSession, weights in a file beside the model",
}


def _load(mbytes: int, contender: str, place: Place) -> Sampler:
    weights = os.path.join(place.shared, f"weights-{mbytes}")
    command = ["-m", "benchmarks.load_child", contender]
    if not os.path.exists(weights):
        run_process([*command, "weights", weights, str(mbytes)], place.environment())
    run_process([*command, "make", weights, ""], place.environment())
    return lambda i: run_process([*command, "load", weights, ""], place.environment())


def load_row(name: str, mbytes: int) -> Row:
    """The row for so many megabytes of weights."""
    columns = (
        Column("load", "load"), Column("worst", "load", "worst"), Column("/ ingot", "load", "ratio"),
        Column("private", "private", unit="bytes"), Column("resident", "resident", unit="bytes"),
        Column("first call", "call"), Column("private then", "private_then", unit="bytes"), Column("later call", "again"),
    )  # fmt: skip
    title = f"{mbytes} MiB of weights (16 layers, batch 1) from files in the page cache: loading, growth of memory by it, the calls"
    return Row(name, title, columns, tuple(Case(c, functools.partial(_load, mbytes, c)) for c in _CONTENDERS))


LOADS = (load_row("load_1gb", 1024),)
