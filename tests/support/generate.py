"""Random graphs for the fuzz tests: `generate(seed, size)` -> (Graph, arrays)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import ingot.ir.ops  # noqa: F401
from ingot.ir.dtypes import by_name, by_numpy
from ingot.ir.graph import Graph
from tests.support.grow import Grower
from tests.support.steps import STEPS


def generate(
    seed: int, size: int = 12, dtypes: Sequence[str] = ("f32", "f32", "f32", "f64", "i32", "i64", "bool", "bf16", "f16")
) -> tuple[Graph, list[np.ndarray]]:
    """A random graph of about `size` steps and arrays for its inputs, a function of the arguments alone."""
    return Grower(np.random.default_rng(seed), [by_name(d) for d in dtypes], f"fuzz_{seed}").run(size, STEPS)


def redrawn(graph: Graph, arrays: Sequence[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Other arrays for a generated graph: the same elements in another order, so that indices stay in range; other random seeds."""
    seeds = {v for n in graph.nodes if n.op.name == "random_bits" for v in n.inputs}
    return [
        a + 1 if v in seeds else rng.permutation(a.reshape(-1)).reshape(a.shape) if a.ndim or by_numpy(a.dtype).kind != "f" else -a
        for v, a in zip(graph.inputs, arrays)
    ]
