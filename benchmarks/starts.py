"""Start-up: cold compile, warm start, start from an exported file; each in processes of their own.

    cold       fresh process, empty caches: seconds from the call to the first result (imports not counted)
    warm       a second process on the same caches: seconds from the start of python to the first result
    load       a process that only runs an exported file: the same, and its peak of memory
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["STARTS", "Start", "StartResult", "measure_start"]


@dataclass(frozen=True)
class Start:
    """A row of start-up measurements. `contenders` name those of contenders.py."""

    name: str
    title: str
    kind: str  # cold, warm, load
    workload: str
    contenders: tuple[str, ...]


@dataclass
class StartResult:
    """One contender's processes: seconds of each, peak bytes of each; `error` where it failed."""

    contender: str
    samples: list[float] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)
    error: str = ""

    def as_dict(self) -> dict:
        """For JSON."""
        out: dict = {"contender": self.contender, "samples": self.samples, "peak_bytes": self.peaks, "error": self.error}
        if self.samples:
            out["median"] = statistics.median(self.samples)
        return {k: v for k, v in out.items() if v}


_COMPILERS = ("ingot", "torch.compile", "jax.jit")
STARTS = (
    Start("cold_mlp", "cold compile: MLP inference", "cold", "mlp_b256", _COMPILERS),
    Start("cold_mlp_train", "cold compile: MLP training step", "cold", "mlp_train", _COMPILERS),
    Start("cold_gpt_train", "cold compile: GPT training step", "cold", "gpt_train", _COMPILERS),
    Start("warm_mlp", "warm start: python to the MLP's first result", "warm", "mlp_b1",
          ("ingot", "torch eager", "torch.compile", "jax.jit")),
    Start("load_mlp", "exported MLP: python to its first result, and peak memory", "load", "mlp_b1",
          ("ingot", "onnxruntime", "openvino", "torch eager", "numpy")),
    Start("import", "import alone", "import", "", ("ingot", "numpy", "torch", "jax", "onnxruntime")),
)  # fmt: skip


def _environment(folder: str, threads: int) -> dict[str, str]:
    """Every cache in `folder`."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "INGOT_NUM_THREADS": str(threads),
        "INGOT_CACHE_DIR": os.path.join(folder, "ingot"), "INGOT_CACHE_PATH": "",
        "TORCHINDUCTOR_CACHE_DIR": os.path.join(folder, "torch"), "JAX_COMPILATION_CACHE_DIR": os.path.join(folder, "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }  # fmt: skip


def _process(arguments: list[str], environment: dict[str, str]) -> tuple[float, dict]:
    """(seconds from the start of python until it printed its line, that line). RuntimeError with its last words."""
    start = time.perf_counter()
    child = subprocess.Popen([sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    line = child.stdout.readline()
    seconds = time.perf_counter() - start
    _, errors = child.communicate()
    if child.returncode or not line:
        raise RuntimeError((errors.strip().splitlines() or [f"exit status {child.returncode}"])[-1][:150])
    return seconds, json.loads(line)


def _sampler(start: Start, contender: str, folder: str, threads: int) -> Callable[[int], tuple[float, int]]:
    """What makes one sample: (seconds, peak bytes)."""
    child = ["-m", "benchmarks.child", start.workload, contender]
    shared = _environment(folder, threads)
    if start.kind == "cold":

        def cold(i: int) -> tuple[float, int]:
            _, line = _process([*child, "run", ""], _environment(os.path.join(folder, f"{contender}{i}"), threads))
            return line["call"], line["peak"]

        return cold
    if start.kind == "import":
        peak = "next(int(l.split()[1]) << 10 for l in open('/proc/self/status') if l.startswith('VmHWM'))"
        code = f"import {contender}, json; print(json.dumps({{'peak': {peak}}}), flush=True)"
        command = ["-c", code]
    elif start.kind == "warm" or contender == "torch eager":
        command = [*child, "run", ""]
        _process(command, shared)
    elif contender == "numpy":  # the floor: the same sums, the weights in a file
        path = os.path.join(folder, "numpy.npz")
        command = ["-c", _NUMPY, path]
        subprocess.run([sys.executable, "-c", _NUMPY_MAKE, path], check=True, env=shared)
    else:
        path = os.path.join(folder, "model." + ("ingot" if contender == "ingot" else "onnx"))
        command = [*child, "load", path]
        made = subprocess.run([sys.executable, *child, "make", path], env=shared, capture_output=True, text=True)
        if made.returncode:
            raise RuntimeError(made.stderr.strip().splitlines()[-1][:150])

    def sample(i: int) -> tuple[float, int]:
        seconds, line = _process(command, shared)
        return seconds, line["peak"]

    return sample


_NUMPY_MAKE = """
import sys
import numpy as np
from benchmarks.models import weights
shapes = {"w0": (512, 784), "b0": (512,), "w1": (512, 512), "b1": (512,), "w2": (10, 512), "b2": (10,)}
np.savez(sys.argv[1], x=np.random.default_rng(1).standard_normal((1, 784), dtype=np.float32), **weights(shapes))
"""
_NUMPY = """
import json, sys
import numpy as np
f = np.load(sys.argv[1])
x = f["x"]
x = np.maximum(x @ f["w0"].T + f["b0"], 0)
x = np.maximum(x @ f["w1"].T + f["b1"], 0)
x = x @ f["w2"].T + f["b2"]
with open("/proc/self/status") as status:
    print(json.dumps({"peak": next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))}), flush=True)
"""


def measure_start(start: Start, wanted: set[str], rounds: int, threads: int) -> list[StartResult]:
    """All contenders of a row (those in `wanted`; numpy always), taking turns."""
    results = [StartResult(c) for c in start.contenders if c in wanted or c == "numpy" or start.kind == "import"]
    with tempfile.TemporaryDirectory(prefix="ingot-benchmarks-") as folder:
        samplers = {}
        for result in results:
            try:
                samplers[result.contender] = _sampler(start, result.contender, folder, threads)
            except (RuntimeError, OSError, subprocess.SubprocessError) as e:
                result.error = str(e)
        for i in range(rounds):
            for result in results:
                if not result.error:
                    try:
                        seconds, peak = samplers[result.contender](i)
                    except RuntimeError as e:
                        result.error = str(e)
                        continue
                    result.samples.append(seconds)
                    result.peaks.append(peak)
    return results
