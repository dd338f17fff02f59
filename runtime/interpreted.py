"""A graph run by the NumPy interpreter, called like an executable: `INGOT_BACKEND=interpreter`."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ingot.ir.graph import Graph
    from ingot.ir.types import TensorType

__all__ = ["Interpreted"]


class Interpreted:
    """Runs `graph` on the arrays at the given addresses, op by op."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.manifest = {
            "slots": [
                *(str(t.dtype) if i in graph.scalars else "address" for i, t in enumerate(graph.in_types)),
                *["address"] * len(graph.outputs),
            ],
            "inputs": [str(t) for t in graph.in_types],
            "outputs": [str(t) for t in graph.out_types],
            "aliases": {},
            "checks": {},
        }
        self.peak_bytes = 0

    def run(self, *slots: int | float) -> None:
        """Compute the outputs from the inputs' slots and write them to the outputs' addresses."""
        from ingot.ir import interpret

        graph = self.graph
        n = len(graph.inputs)
        arrays = [
            np.array(slot, t.dtype.numpy) if i in graph.scalars else _array_at(int(slot), t)
            for i, (slot, t) in enumerate(zip(slots[:n], graph.in_types))
        ]
        results = [np.array(r) for r in interpret.run(graph, arrays)]  # copies: an output may have an input's address
        for slot, t, result in zip(slots[n:], graph.out_types, results):
            _array_at(int(slot), t)[...] = result


def _array_at(address: int, type: TensorType) -> np.ndarray:
    if not type.nbytes:
        return np.empty(type.shape, type.dtype.numpy)
    memory = (ctypes.c_ubyte * type.nbytes).from_address(address)
    return np.frombuffer(memory, type.dtype.numpy).reshape(type.shape)
