"""One process of the loading measurements: `python -m benchmarks.load_child CONTENDER MODE FOLDER MBYTES`.

MODE: `weights` writes the layers as NumPy and safetensors files, an input, and what comes out; `make` writes from them
what `load` opens; `load` opens it and calls it twice, and prints one line of JSON: seconds, and by how many bytes private
(RssAnon) and resident memory grew.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

LAYERS = 16
Run = Callable[[np.ndarray], np.ndarray]


def _weights(folder: str, mbytes: int) -> None:
    """Square matrices: one with its rows rotated, which no runtime takes for equal (onnxruntime would share them)."""
    from safetensors.numpy import save_file

    os.makedirs(folder)
    width = int((mbytes * 2**20 / 4 / LAYERS) ** 0.5)
    w = np.random.default_rng(0).standard_normal((width, width), dtype=np.float32) * np.float32(1.5 / width**0.5)
    weights = [np.roll(w, i, axis=0) for i in range(LAYERS)]
    for i, w in enumerate(weights):
        np.save(os.path.join(folder, f"{i}.npy"), w)
    save_file({f"{i}.weight": w for i, w in enumerate(weights)}, os.path.join(folder, "weights.safetensors"))
    x = np.random.default_rng(1).standard_normal((1, width), dtype=np.float32)
    np.save(os.path.join(folder, "x.npy"), x)
    np.save(os.path.join(folder, "y.npy"), _products(x, weights.__getitem__))


def _products(x: np.ndarray, weight: Callable[[int], np.ndarray]) -> np.ndarray:
    for i in range(LAYERS):
        x = np.maximum(x @ weight(i).T, 0)
    return x


def _arrays(folder: str) -> list[np.ndarray]:
    return [np.load(os.path.join(folder, f"{i}.npy"), mmap_mode="r") for i in range(LAYERS)]


def _network(T: Any, weights: list[Any]) -> Any:
    """Linear layers without bias and ReLUs, around these tensors."""
    layers = []
    for w in weights:
        layer = T.nn.Linear(1, 1, bias=False)  # of any size: its weight is replaced
        layer.weight = T.nn.Parameter(w, requires_grad=False)
        layers += [layer, T.nn.ReLU()]
    return T.nn.Sequential(*layers).eval()


# -- what each of them writes, and how it opens that -----------------------------------------------------------------


def _make_ingot(folder: str) -> None:
    import ingot

    model = _network(ingot, [ingot.tensor(w) for w in _arrays(folder)])
    ingot.export(model, (ingot.from_numpy(np.load(os.path.join(folder, "x.npy"))),), os.path.join(folder, "model.ingot"))


def _load_ingot(folder: str) -> Callable[[], Run]:
    import ingot

    load = ingot.load
    return lambda: load(os.path.join(folder, "model.ingot"))


def _load_numpy(folder: str) -> Callable[[], Run]:
    def load() -> Run:
        weights = _arrays(folder)
        return lambda x: _products(x, weights.__getitem__)

    return load


def _load_safetensors(folder: str) -> Callable[[], Run]:
    from safetensors import safe_open

    def load() -> Run:
        f = safe_open(os.path.join(folder, "weights.safetensors"), "np").__enter__()
        return lambda x: _products(x, lambda i: f.get_tensor(f"{i}.weight"))

    return load


def _make_torch(folder: str) -> None:
    import torch

    torch.save({str(i): torch.from_numpy(np.array(w)) for i, w in enumerate(_arrays(folder))}, os.path.join(folder, "weights.pt"))


def _load_torch(folder: str) -> Callable[[], Run]:
    import torch

    def load() -> Run:
        weights = torch.load(os.path.join(folder, "weights.pt"), mmap=True, weights_only=True)
        model = _network(torch, list(weights.values()))

        def run(x: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return model(torch.from_numpy(x)).numpy()

        return run

    return load


def _make_onnxruntime(folder: str) -> None:
    """The model alone: its weights stay where they are in the safetensors file."""
    import onnx
    from onnx import TensorProto, helper

    with open(os.path.join(folder, "weights.safetensors"), "rb") as f:
        length = int.from_bytes(f.read(8), "little")
        header = json.loads(f.read(length))
    tensors, nodes, value = [], [], "x"
    for i in range(LAYERS):
        row = header[f"{i}.weight"]
        start, end = row["data_offsets"]
        t = TensorProto(name=f"w{i}", data_type=TensorProto.FLOAT, dims=row["shape"], data_location=TensorProto.EXTERNAL)
        for k, v in (("location", "weights.safetensors"), ("offset", 8 + length + start), ("length", end - start)):
            t.external_data.add(key=k, value=str(v))
        tensors.append(t)
        nodes += [helper.make_node("Gemm", [value, f"w{i}"], [f"h{i}"], transB=1), helper.make_node("Relu", [f"h{i}"], [f"r{i}"])]
        value = f"r{i}"
    width = tensors[0].dims[0]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, width]) for name in ("x", value)]
    graph = helper.make_graph(nodes, "model", ends[:1], ends[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    with open(os.path.join(folder, "model.onnx"), "wb") as f:
        f.write(model.SerializeToString())
    onnx.checker.check_model(os.path.join(folder, "model.onnx"))


def _load_onnxruntime(folder: str) -> Callable[[], Run]:
    import onnxruntime

    def load() -> Run:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
        session = onnxruntime.InferenceSession(os.path.join(folder, "model.onnx"), options, providers=["CPUExecutionProvider"])
        return lambda x: session.run(None, {"x": x})[0]

    return load


_MAKE: dict[str, Callable[[str], None]] = {"ingot": _make_ingot, "torch eager": _make_torch, "onnxruntime": _make_onnxruntime}
_LOAD: dict[str, Callable[[str], Callable[[], Run]]] = {
    "ingot": _load_ingot, "numpy": _load_numpy, "safetensors": _load_safetensors, "torch eager": _load_torch,
    "onnxruntime": _load_onnxruntime,
}  # fmt: skip


def _memory() -> tuple[int, int]:
    """(private, resident) bytes of this process."""
    with open("/proc/self/status") as f:
        fields = dict(line.split(":", 1) for line in f)
    return int(fields["RssAnon"].split()[0]) << 10, int(fields["VmRSS"].split()[0]) << 10


def _measure(contender: str, folder: str) -> dict[str, float]:
    x, wanted = (np.load(os.path.join(folder, name)) for name in ("x.npy", "y.npy"))
    load = _LOAD[contender](folder)  # imports what it needs
    private, resident = _memory()
    times = [time.perf_counter()]
    run = load()
    times.append(time.perf_counter())
    private_loaded, resident_loaded = _memory()
    times.append(time.perf_counter())
    y = run(x)
    times.append(time.perf_counter())
    private_then, _ = _memory()
    times.append(time.perf_counter())
    run(x)
    times.append(time.perf_counter())
    if not np.allclose(y, wanted, rtol=1e-3, atol=1e-3 * float(np.abs(wanted).max())):
        raise RuntimeError("the result is wrong")
    return {
        "load": times[1] - times[0], "call": times[3] - times[2], "again": times[5] - times[4], "private": private_loaded - private,
        "resident": resident_loaded - resident, "private_then": private_then - private,
    }  # fmt: skip


def main() -> None:
    """Do what the command line says."""
    contender, mode, folder, mbytes = sys.argv[1:]
    line: dict[str, float] = {}
    if mode == "weights":
        _weights(folder, int(mbytes))
    elif mode == "make":
        if contender in _MAKE:
            _MAKE[contender](folder)
    else:
        line = _measure(contender, folder)
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
