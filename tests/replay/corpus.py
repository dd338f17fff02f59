"""The corpus: graphs by group, in a fixed order.

- `op/NAME`: the samples of every op's declaration, each a graph of one op;
- `model/NAME`: what five kinds of model run, eager and compiled: inference, and training steps with an optimizer;
- `size/NAME`: networks of usual widths, whose products and convolutions come in tiles;
- `fuzz/N`: twenty random graphs each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from benchmarks import models as networks
from ingot.ir.graph import Graph
from ingot.ir.op import OPS
from tests.support import models
from tests.support.generate import generate
from tests.support.op_cases import cases_of, graph_of_cases

__all__ = ["groups"]

FUZZ_GROUPS, FUZZ_EACH = 10, 20


def groups() -> dict[str, Callable[[], list[Graph]]]:
    """The graphs of each group, made when asked for."""
    out: dict[str, Callable[[], list[Graph]]] = {}
    for name in sorted(OPS):
        out[f"op/{name}"] = lambda name=name: _op(name)
    for name, (model, x, y) in _MODELS.items():
        out[f"model/{name}"] = lambda model=model, x=x, y=y: _trained(lambda: model(_ingot().nn, _ingot()), x, y)
    for name, (network, x, y) in _NETWORKS.items():
        out[f"size/{name}"] = lambda network=network, x=x, y=y: _trained(lambda: network(_ingot()), x, y)
    for k in range(FUZZ_GROUPS):
        seeds = range(k * FUZZ_EACH, (k + 1) * FUZZ_EACH)
        out[f"fuzz/{k}"] = lambda seeds=seeds: [generate(s, 4 + s % 24)[0] for s in seeds]
    return out


def _op(name: str) -> list[Graph]:
    """One graph for each signature among an op's samples."""
    found: dict[str, Graph] = {}
    for case in cases_of(OPS[name]):
        graph = graph_of_cases(OPS[name], [case])
        found.setdefault(graph.text, graph)
    return list(found.values())


def _ingot() -> Any:
    import ingot

    return ingot


def _trained(make: Callable[[], Any], x: np.ndarray, y: np.ndarray) -> list[Graph]:
    """What runs when a model is trained for two steps, compiled, one step, eagerly, and asked for an answer."""
    ingot = _ingot()
    with _recorded() as found:
        ingot.manual_seed(0)
        model = make()
        optimizer = ingot.optim.AdamW(model.parameters(), lr=1e-3)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = ingot.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        compiled = ingot.compile(step)
        inputs = ingot.tensor(x), ingot.tensor(y)
        for run in (step, compiled, compiled):
            run(*inputs).item()
        model.eval()
        ingot.compile(model)(inputs[0]).detach().numpy()
    return list(found.values())


@contextmanager
def _recorded() -> Iterator[dict[str, Graph]]:
    """The graphs that would be compiled inside of the block; the interpreter runs them instead."""
    from ingot.runtime import compiler, plans, recorder
    from ingot.runtime.interpreted import Interpreted

    recorder.flush()  # what somebody else has pending would become part of the first graph
    found: dict[str, Graph] = {}
    before = compiler.executable

    def executable(graph: Graph, **how: Any) -> Any:
        found.setdefault(graph.text, graph)
        return Interpreted(graph)

    compiler.executable = executable
    plans.clear()  # a plan that is known would not ask again
    try:
        yield found
    finally:
        compiler.executable = before
        plans.clear()


def _floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def _ints(high: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, high, shape)


_MODELS: dict[str, tuple[Callable[[Any, Any], Any], np.ndarray, np.ndarray]] = {
    "mlp": (models.mlp, _floats(4, 6), _ints(3, 4)),
    "cnn": (models.cnn, _floats(4, 1, 6, 6), _ints(3, 4)),
    "lstm": (models.lstm, _ints(7, 3, 5), _ints(7, 15)),
    "gpt": (models.gpt, _ints(7, 3, 5), _ints(7, 15)),
    "encoder": (models.encoder, _floats(4, 6), _ints(3, 4)),
}
def _windows(T: Any) -> Any:
    """Windows of 3 x 3, of enough channels and tiles for minimal filtering, forward and backward."""
    nn = T.nn
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(64, 10),
    )  # fmt: skip


_NETWORKS: dict[str, tuple[Callable[[Any], Any], np.ndarray, np.ndarray]] = {
    "mlp": (networks.mlp, _floats(64, 784), _ints(10, 64)),
    "lenet": (networks.lenet, _floats(4, 1, 28, 28), _ints(10, 4)),
    "windows": (_windows, _floats(8, 3, 16, 16), _ints(10, 8)),
    "gpt": (lambda T: networks.gpt(T, layers=2, width=128, heads=4, length=32, vocabulary=512), _ints(512, 2, 32), _ints(512, 64)),
}
