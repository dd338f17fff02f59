"""One process of the start-up measurements: `python -m benchmarks.child WORKLOAD CONTENDER MODE FILE`.

MODE: `make` writes what `load` reads (an artifact, an ONNX file); `run` builds the network and runs it; `load` runs what
was made. Prints one line of JSON when the first result is there: seconds from the call to that result, whether the
compiler's cache had all of it (`hit`; for those that have one), and the peak of this process's memory.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import numpy as np


def _peak_bytes() -> int:
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("VmHWM"))


def _find(workload: str, contender: str) -> tuple[Any, Any]:
    from benchmarks.contenders import CONTENDERS
    from benchmarks.workloads import WORKLOADS

    return next(w for w in WORKLOADS if w.name == workload), next((c for c in CONTENDERS if c.name == contender), None)


def _build(workload: str, contender: str) -> tuple[Any, Any]:
    """The network, as a function that runs it, and what tells whether the cache had it."""
    w, c = _find(workload, contender)
    c.load(int(os.environ["OMP_NUM_THREADS"]))
    run = c.prepare(w, w.inputs(np.random.default_rng(1)))

    def call() -> np.ndarray:
        with c.mode(w.training):
            return c.numpy(run())

    return call, c.hit


def _make(workload: str, contender: str, path: str) -> None:
    from benchmarks import contenders, models

    w, _ = _find(workload, contender)
    arrays = w.inputs(np.random.default_rng(1))
    np.save(path + ".npy", arrays[0])
    if contender == "ingot":
        import ingot

        model = models.initialise(ingot, w.model(ingot)).eval()
        ingot.export(model, tuple(ingot.from_numpy(a) for a in arrays), path)
    elif contender == "numpy":
        np.savez(path + ".npz", **models.weights(models.MLP))
    else:
        with open(path, "wb") as f:
            f.write(contenders.export_onnx(w, arrays))


def _load(contender: str, path: str) -> Any:
    x = np.load(path + ".npy")
    if contender == "ingot":
        import ingot

        model = ingot.load(path)
        return lambda: model(ingot.from_numpy(x)).numpy()
    if contender == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {session.get_inputs()[0].name: x})[0]
    if contender == "numpy":  # the floor: the same sums
        f = np.load(path + ".npz")
        p = {name: f[name] for name in f.files}

        def call() -> np.ndarray:
            h = np.maximum(x @ p["0.weight"].T + p["0.bias"], 0)
            h = np.maximum(h @ p["2.weight"].T + p["2.bias"], 0)
            return h @ p["4.weight"].T + p["4.bias"]

        return call
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU")
    return lambda: compiled(x)[0]


def main() -> None:
    """Run what the command line says."""
    workload, contender, mode, path = sys.argv[1:]
    if mode == "make":
        _make(workload, contender, path)
        print("{}", flush=True)
        return
    call, hit = (_load(contender, path), lambda: None) if mode == "load" else _build(workload, contender)
    start = time.perf_counter()
    value = call()
    seconds = time.perf_counter() - start
    assert np.isfinite(np.asarray(value, np.float64)).all()
    found = hit()
    print(json.dumps({"call": seconds, "peak": _peak_bytes(), **({} if found is None else {"hit": found})}), flush=True)


if __name__ == "__main__":
    main()
