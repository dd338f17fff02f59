"""Networks that torch's exporter wrote as ONNX files: from the file to the first result, and calls after it.

Every case starts a process per round. "cold" is with nothing kept, "again" with what the first process left in its cache; the
preparation of a session (or the compilation) and the first result are counted, imports are not. Before anything is timed, the results
are compared with ONNX Runtime's.
"""

from __future__ import annotations

import functools
import os

from benchmarks.networks import NETWORKS
from benchmarks.processes import Case, Column, Place, Row, Sampler, run_process

__all__ = ["ONNX"]

_COLUMNS = (
    Column("to the first result", "first"), Column("/ ingot", "first", "ratio"), Column("a call", "call"), Column("best", "call", "best"),
    Column("/ ingot", "call", "ratio"), Column("difference", "difference", unit="number"),
)  # fmt: skip


def _file(network: str, place: Place) -> str:
    path = os.path.join(place.folder, network + ".onnx")
    if not os.path.exists(path):
        run_process(["-m", "benchmarks.onnx_child", "make", network, path], place.environment())
    return path


def _cold(network: str, contender: str, place: Place) -> Sampler:
    path = _file(network, place)
    return lambda i: run_process(["-m", "benchmarks.onnx_child", contender, network, path], place.environment(f"{contender}{i}"))


def _again(network: str, contender: str, place: Place) -> Sampler:
    child = ["-m", "benchmarks.onnx_child", contender, network, _file(network, place)]
    run_process(child, place.environment())
    return lambda i: run_process(child, place.environment())


def _row(network: str) -> Row:
    cases = (
        Case("ingot", functools.partial(_cold, network, "ingot")),
        Case("ingot, again", functools.partial(_again, network, "ingot"), "ingot"),
        Case("onnxruntime", functools.partial(_cold, network, "onnxruntime")),
        Case("openvino", functools.partial(_cold, network, "openvino")),
    )
    return Row(f"onnx_{network}", f"{network}.onnx at batch 1", _COLUMNS, cases)


ONNX: tuple[Row, ...] = tuple(map(_row, NETWORKS))
