"""What is measured: one row per workload, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import models, transforms

Arrays = list[np.ndarray]


@dataclass(frozen=True)
class Workload:
    """One thing to do, in every framework.

    model(T): the network in torch's vocabulary.   inputs(rng): its arguments; in training the targets come last.
    optimizer: None for inference, else (name in T.optim, its keyword arguments); a training step is then forward,
    cross_entropy, backward and the update.   flops, nbytes: what must be computed and moved at least, for the share of
    the machine's limits.   tolerance: how far the first result may be from the reference's, relative to its largest value.
    jax: the name of its twin in jax_models.py.   numpy: the same on arrays, where NumPy has it.   table: what it is a row of, with
    others, instead of a table of its own.
    """

    name: str
    title: str
    model: Callable[[Any], Any]
    inputs: Callable[[np.random.Generator], Arrays]
    optimizer: tuple[str, dict[str, Any]] | None = None
    flops: float = 0.0
    nbytes: float = 0.0
    tolerance: float = 1e-4
    jax: str = ""
    numpy: Callable[..., Any] | None = None
    table: str = ""

    @property
    def training(self) -> bool:
        return self.optimizer is not None


def normal(*shapes: tuple[int, ...]) -> Callable[[np.random.Generator], Arrays]:
    """Arrays of these shapes, of normal numbers."""
    return lambda rng: [rng.standard_normal(s, dtype=np.float32) for s in shapes]


def classes(shape: tuple[int, ...], n: int) -> Callable[[np.random.Generator], Arrays]:
    return lambda rng: [rng.standard_normal(shape, dtype=np.float32), rng.integers(0, n, shape[0])]


def _text(rng: np.random.Generator) -> Arrays:
    tokens = rng.integers(0, 4096, (8, 129))
    return [np.ascontiguousarray(tokens[:, :-1]), np.ascontiguousarray(tokens[:, 1:]).reshape(-1)]


def _sgemm(n: int) -> Workload:
    title = f"matrix product, {n} x {n} x {n}"
    return Workload(f"sgemm_{n}", title, models.matmul, normal((n, n), (n, n)), flops=2.0 * n**3, jax="matmul")


N = 16 << 20
MLP_WEIGHTS = 784 * 512 + 512 * 512 + 512 * 10
LENET_MACS = 28 * 28 * 32 * 25 + 14 * 14 * 64 * 32 * 25 + 3136 * 512 + 512 * 10
GPT_WEIGHTS = 4 * 12 * 256 * 256 + 256 * 4096  # those of matrix products
ADAMW = ("AdamW", {"lr": 1e-3})
SGD = ("SGD", {"lr": 0.01, "momentum": 0.9})

WORKLOADS: tuple[Workload, ...] = (
    Workload("tiny_call", "call of a function of 16 floats", models.tiny, normal((16,), (16,)), jax="tiny"),
    Workload("chain_16m", "gelu, mul, add, sigmoid on 16M floats", models.chain, normal((N,), (N,)), nbytes=12.0 * N, jax="chain"),
    Workload("softmax_layer_norm", "softmax, then layer_norm, of 4096 x 4096", lambda T: models.softmax_layer_norm(T, 4096),
             normal((4096, 4096)), nbytes=8.0 * 4096**2, tolerance=1e-3, jax="softmax_layer_norm"),
    _sgemm(512), _sgemm(1024), _sgemm(2048),
    Workload("mlp_b1", "MLP 784-512-512-10, inference, batch 1", models.mlp, normal((1, 784)), flops=2.0 * MLP_WEIGHTS,
             nbytes=4.0 * MLP_WEIGHTS, jax="mlp"),
    Workload("mlp_b256", "MLP 784-512-512-10, inference, batch 256", models.mlp, normal((256, 784)), flops=512.0 * MLP_WEIGHTS,
             jax="mlp"),
    Workload("mlp_train", "MLP 784-512-512-10, training step, AdamW, batch 256", models.mlp, classes((256, 784), 10), ADAMW,
             flops=512.0 * (3 * MLP_WEIGHTS - 784 * 512), jax="mlp_train"),
    Workload("lstm", "LSTM of 128, 100 steps, batch 16, inference", models.lstm, normal((100, 16, 128)), flops=3200.0 * 512 * 256,
             jax="lstm"),
    Workload("lenet_train", "LeNet 28 x 28 (32, 64, 512), training step, SGD, batch 128", models.lenet,
             classes((128, 1, 28, 28), 10), SGD, flops=256.0 * (3 * LENET_MACS - 28 * 28 * 32 * 25), jax="lenet_train"),
    Workload("gpt_train", "GPT, 4 layers of 256, vocabulary 4096, training step, AdamW, 8 x 128", models.gpt, _text, ADAMW,
             flops=6.0 * 1024 * (GPT_WEIGHTS + 4 * 2 * 128 * 256), jax="gpt_train"),
    Workload("vmap_grad", "vmap(grad(f)) of a network 64-256-1, 4096 rows", transforms.vmap_grad, normal((4096, 64)), jax="vmap_grad"),
    Workload("hessian", "Hessian of a network 64-256-1 by its input", transforms.hessian, normal((64,)), jax="hessian"),
    Workload("per_sample", "gradients per image of a network of two convolutions, 64 images of 28 x 28", transforms.per_sample,
             classes((64, 1, 28, 28), 10), jax="per_sample"),
    Workload("hvp", "Hessian-vector product by the weights of an MLP 784-256-256-10, batch 256", transforms.hvp,
             classes((256, 784), 10), jax="hvp"),
)  # fmt: skip
