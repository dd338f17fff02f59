"""One process of the ONNX rows: `python -m benchmarks.onnx_child make|CONTENDER NETWORK FILE`.

`make` has torch's exporter write the file, adds to the detector's the selection of boxes, and keeps ONNX Runtime's results beside it.
A contender prints one line of JSON: seconds from the file to the first result, those of calls after it, and how far it is from
those results, over their largest value.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import models
from benchmarks.networks import NETWORKS

CALLS, SECONDS = 200, 1.0


def _session(path: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _make(network: str, path: str) -> None:
    import torch

    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    build, inputs = NETWORKS[network]
    model = models.initialise(torch, build(torch)).eval()
    arrays = inputs(np.random.default_rng(1))
    with torch.no_grad(), contextlib.redirect_stdout(sys.stderr):
        torch.onnx.export(model, tuple(map(torch.from_numpy, arrays)), path, dynamo=True, verbose=False, external_data=False)
    if network == "detector":
        _select(path)
    session = _session(path)
    feed = {i.name: a for i, a in zip(session.get_inputs(), arrays)}
    np.savez(path + ".npz", **feed)
    np.savez(path + ".out.npz", **{o.name: v for o, v in zip(session.get_outputs(), session.run(None, feed))})


def _select(path: str) -> None:
    """Add NonMaxSuppression behind boxes and scores."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    m = onnx.load(path)
    boxes, scores = (o.name for o in m.graph.output)
    for name, value in (("most", np.int64(20)), ("overlap", np.float32(0.5)), ("least", np.float32(0.6))):
        m.graph.initializer.append(numpy_helper.from_array(np.array([value]), name))
    m.graph.node.append(helper.make_node("NonMaxSuppression", [boxes, scores, "most", "overlap", "least"], ["selected"]))
    m.graph.output.append(helper.make_tensor_value_info("selected", TensorProto.INT64, ["selected", 3]))
    onnx.save(m, path)


def _ingot(path: str) -> Callable[[dict[str, np.ndarray]], dict[str, Any]]:
    import ingot

    return ingot.onnx.load(path).run


def _onnxruntime(path: str) -> Callable[[dict[str, np.ndarray]], dict[str, Any]]:
    session = _session(path)
    names = [o.name for o in session.get_outputs()]
    return lambda feed: dict(zip(names, session.run(None, feed)))


def _openvino(path: str) -> Callable[[dict[str, np.ndarray]], dict[str, Any]]:
    import openvino

    config = {
        "INFERENCE_NUM_THREADS": int(os.environ["OMP_NUM_THREADS"]), "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"
    }  # fmt: skip
    request = openvino.Core().compile_model(path, "CPU", config).create_infer_request()
    return lambda feed: {k.any_name: v for k, v in request.infer(feed).items()}


CONTENDERS = {"ingot": (_ingot, "ingot.onnx"), "onnxruntime": (_onnxruntime, "onnxruntime"), "openvino": (_openvino, "openvino")}


def main() -> None:
    """Run what the command line says."""
    what, network, path = sys.argv[1:]
    if what == "make":
        _make(network, path)
        print("{}", flush=True)
        return
    prepare, module = CONTENDERS[what]
    __import__(module)
    with np.load(path + ".npz") as f:
        feed = dict(f)
    start = time.perf_counter()
    run = prepare(path)
    got = run(feed)
    first = time.perf_counter() - start
    with np.load(path + ".out.npz") as f:
        far = max(_far(np.asarray(got[n]), f[n]) for n in f.files)
    calls: list[float] = []
    until = time.perf_counter() + SECONDS
    while len(calls) < CALLS and time.perf_counter() < until:
        start = time.perf_counter()
        run(feed)
        calls.append(time.perf_counter() - start)
    print(json.dumps({"first": first, "call": calls, "difference": far}), flush=True)


def _far(got: np.ndarray, want: np.ndarray) -> float:
    assert got.shape == want.shape, f"{got.shape} for {want.shape}"
    return float(np.abs(got - want).max() / max(1e-30, np.abs(want).max())) if got.size else 0.0


if __name__ == "__main__":
    main()
