"""Who takes part: each turns a workload into a function of no arguments that does it once."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import models
from benchmarks.workloads import Workload

Run = Callable[[], Any]


class Skip(Exception):
    """This contender has nothing to show for this workload, and why."""


class Contender(ABC):
    """One way to run a workload. `load` imports what it needs (ImportError: it does not take part)."""

    name = ""

    @abstractmethod
    def load(self, threads: int) -> str:
        """Import it, on that many threads; returns its version."""

    @abstractmethod
    def prepare(self, w: Workload, arrays: list[np.ndarray]) -> Run:
        """Build the workload on these inputs. Raises Skip where it does not apply."""

    def numpy(self, result: Any) -> np.ndarray:
        """The result of a run as an array."""
        return np.asarray(result)

    def mode(self, training: bool) -> contextlib.AbstractContextManager:
        """What must hold around the runs."""
        return contextlib.nullcontext()

    def hit(self) -> bool | None:
        """Whether its compile cache had all that this process asked for; None where it has none."""
        return None


class TorchLike(Contender):
    """torch or ingot, as they are or compiled. `variant`: "eager", "fused" (torch's fused optimizer) or "compile"."""

    def __init__(self, module: str, variant: str):
        self.module, self.variant = module, variant
        self.name = {"eager": f"{module} eager", "fused": f"{module} eager, fused optimizer", "compile": f"{module}.compile"}[variant]
        if (module, variant) == ("ingot", "compile"):
            self.name = "ingot"

    def load(self, threads: int) -> str:
        self.T = T = importlib.import_module(self.module)
        importlib.import_module("ingot.runtime.threads" if self.module == "ingot" else "torch").set_num_threads(threads)
        if self.name == "torch.compile":
            for name in ("torch._inductor.compile_fx", "torch.utils.cpp_extension"):  # else the first call imports them
                importlib.import_module(name)
        return str(T.__version__)

    def mode(self, training: bool) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext() if training else self.T.no_grad()

    def hit(self) -> bool | None:
        if self.variant != "compile":
            return None
        if self.module == "ingot":
            counts = importlib.import_module("ingot.runtime.compiler").counts
            return counts["cache"] > 0 and not counts["compiled"]
        counters = importlib.import_module("torch._dynamo.utils").counters
        found, missed = (
            counters["inductor"]["fxgraph_cache_" + what] + counters["aot_autograd"]["autograd_cache_" + what] for what in ("hit", "miss")
        )
        return found > 0 and not missed

    def numpy(self, result: Any) -> np.ndarray:
        return result.detach().numpy()

    def prepare(self, w: Workload, arrays: list[np.ndarray]) -> Run:
        if self.variant == "fused" and not (w.optimizer and w.optimizer[0] == "AdamW"):
            raise Skip("no fused optimizer in it")
        T = self.T
        model = models.initialise(T, w.model(T))
        tensors = [T.tensor(a) for a in arrays]  # memory of their own
        run = self._training(w, model) if w.training else self._inference(model)
        if self.module == "ingot" and self.variant == "eager":  # which computes when it must

            def forced() -> Any:
                result = run(*tensors)
                result.detach().numpy()
                return result

            return forced
        return lambda: run(*tensors)

    def _inference(self, model: Any) -> Callable[..., Any]:
        model.eval()
        return self.T.compile(model) if self.variant == "compile" else model

    def _training(self, w: Workload, model: Any) -> Callable[..., Any]:
        T = self.T
        assert w.optimizer is not None
        name, options = w.optimizer
        optimizer = getattr(T.optim, name)(model.parameters(), **options, **({"fused": True} if self.variant == "fused" else {}))

        def loss_of(x: Any, y: Any) -> Any:
            return T.nn.functional.cross_entropy(model(x), y)

        update = optimizer.step
        if (self.module, self.variant) == ("torch", "compile"):  # its fastest: forward and backward, and the update, each compiled
            loss_of, update = T.compile(loss_of), T.compile(update)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = loss_of(x, y)
            loss.backward()
            update()
            return loss

        return T.compile(step) if (self.module, self.variant) == ("ingot", "compile") else step


class Jax(Contender):
    name = "jax.jit"

    def load(self, threads: int) -> str:
        self.jax = importlib.import_module("jax")
        self.events: list[str] = []
        self.jax.monitoring.register_event_listener(lambda event, **_: self.events.append(event))
        return str(self.jax.__version__)

    def hit(self) -> bool | None:
        cache = "/jax/compilation_cache/cache_"
        return cache + "hits" in self.events and cache + "misses" not in self.events

    def prepare(self, w: Workload, arrays: list[np.ndarray]) -> Run:
        from benchmarks import jax_models

        if not w.jax:
            raise Skip("not written in JAX")
        function = getattr(jax_models, w.jax)()
        device = [self.jax.numpy.asarray(a) for a in arrays]
        return lambda: self.jax.block_until_ready(function(*device))


class Onnx(Contender):
    """A runtime that takes ONNX, which torch exports: inference only."""

    def __init__(self, name: str, module: str):
        self.name, self.module = name, module

    def load(self, threads: int) -> str:
        self.threads = threads
        self.runtime = importlib.import_module(self.module)
        importlib.import_module("torch")
        importlib.import_module("onnx")
        return str(self.runtime.__version__).split("-")[0]

    def prepare(self, w: Workload, arrays: list[np.ndarray]) -> Run:
        if w.training:
            raise Skip("inference only")
        return getattr(self, "_" + self.module)(export_onnx(w, arrays), arrays)

    def numpy(self, result: Any) -> np.ndarray:
        return np.asarray(result[0])

    def _onnxruntime(self, model: bytes, arrays: list[np.ndarray]) -> Run:
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads = self.threads
        session = self.runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        feed = {i.name: a for i, a in zip(session.get_inputs(), arrays)}
        return lambda: session.run(None, feed)

    def _openvino(self, model: bytes, arrays: list[np.ndarray]) -> Run:
        core = self.runtime.Core()
        config = {"INFERENCE_NUM_THREADS": self.threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        request = core.compile_model(core.read_model(io.BytesIO(model)), "CPU", config).create_infer_request()
        for i, a in enumerate(arrays):
            request.set_input_tensor(i, self.runtime.Tensor(a, shared_memory=True))

        def run() -> list:
            request.infer()
            return [request.get_output_tensor(0).data]

        return run


class Numba(Contender):
    name = "numba"

    def load(self, threads: int) -> str:
        self.numba = importlib.import_module("numba")
        self.numba.set_num_threads(min(threads, self.numba.config.NUMBA_NUM_THREADS))
        return str(self.numba.__version__)

    def prepare(self, w: Workload, arrays: list[np.ndarray]) -> Run:
        if w.name == "tiny_call":
            function = self.numba.njit(lambda x, y: x * y + x)
        else:
            raise Skip("not written in numba")
        return lambda: function(*arrays)


class NumPy(Contender):
    name = "numpy"

    def load(self, threads: int) -> str:
        return str(np.__version__)

    def prepare(self, w: Workload, arrays: list[np.ndarray]) -> Run:
        if w.numpy is None:
            raise Skip("not in NumPy")
        function = w.numpy
        return lambda: function(*arrays)


def export_onnx(w: Workload, arrays: list[np.ndarray]) -> bytes:
    """The workload's network as an ONNX file, from torch."""
    import torch

    model = models.initialise(torch, w.model(torch)).eval()
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = os.path.join(folder, "model.onnx")
        torch.onnx.export(model, tuple(map(torch.from_numpy, arrays)), path, dynamo=False, opset_version=17)
        with open(path, "rb") as f:
            return f.read()


CONTENDERS: tuple[Contender, ...] = (
    TorchLike("ingot", "compile"),
    TorchLike("ingot", "eager"),
    TorchLike("torch", "eager"),
    TorchLike("torch", "fused"),
    TorchLike("torch", "compile"),
    Jax(),
    Onnx("onnxruntime", "onnxruntime"),
    Onnx("openvino", "openvino"),
    Numba(),
    NumPy(),
)
