"""What becomes of symbolic types when a call says what the symbols are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ingot.capture.lines import Lines
from ingot.capture.sources import type_text
from ingot.ir.graph import Graph
from ingot.ir.size import Symbol, evaluate, symbols
from ingot.ir.sized import sized
from ingot.ir.types import TensorType
from ingot.runtime import log, memory
from ingot.runtime.array import Array, ready
from ingot.runtime.frozen import FrozenError
from ingot.runtime.views import Diagonal, Movement, Step

__all__ = ["SizedBackward", "allocator", "sized_steps", "types_of"]

_GRAPHS = 64  # of one backward that are remembered, by sizes


def types_of(types: Sequence[TensorType]) -> Callable[[Mapping[str, int]], tuple[TensorType, ...]]:
    """What gives these types for values of their symbols."""
    found = tuple(types)
    if not any(t.symbolic for t in found):
        return lambda values: found
    c = Lines({})
    names = sorted({s.name for t in found for s in symbols(*t.shape)})
    for n in names:
        c.add(f"d_{n} = values[{n!r}]")
    c.add(f"return ({''.join(type_text(c, t) + ', ' for t in found)})")
    return c.function("types", ["values"], "<ingot types>")


def sized_steps(steps: Sequence[Step], values: Mapping[str, int]) -> tuple[Step, ...]:
    """A view's steps for values of the symbols in them."""
    return tuple([_step(s, values) if isinstance(s, Movement) else s for s in steps])


def _step(s: Movement, values: Mapping[str, int]) -> Movement:
    import copy  # not at the top: few functions come here

    out = copy.copy(s)
    out.attrs = _evaluated(s.attrs, values)
    if isinstance(out, Diagonal):
        out.chain = tuple([_step(m, values) for m in out.chain])
    return out


def _evaluated(a: Any, values: Mapping[str, int]) -> Any:
    return tuple([_evaluated(x, values) for x in a]) if isinstance(a, tuple) else evaluate(a, values)


def allocator(device: int | None) -> Callable[[int], memory.Buffer]:
    """What allocates memory on a GPU, for its present stream, or of the host."""
    if device is None:
        return memory.allocate
    from ingot.runtime.cuda.device import device as gpu_of

    gpu = gpu_of(device)
    pool = gpu.pool.allocate
    return lambda nbytes: pool(nbytes, gpu.stream())


class SizedBackward:
    """What runs a symbolic backward: compiled when the first gradient is asked for."""

    def __init__(self, graph: Graph, device: int | None = None):
        self.graph = graph
        self.device = device
        self.symbols: tuple[Symbol, ...] = graph.symbols
        self._types = types_of([t.on(device) for t in graph.out_types])
        self._run: Callable[..., None] | None = None
        self._refused = False
        self._graphs: dict[tuple[int, ...], Graph] = {}

    def run(self, arrays: Sequence[Array], values: Mapping[str, int]) -> list[Array] | None:
        """The outputs, for inputs in memory; None where no code is for all sizes."""
        if self._run is None and not self._refused:
            from ingot.runtime import compiler  # not before something is compiled: it brings the cache along

            try:
                self._run = compiler.executable(self.graph, device=self.device).run if self.device is not None else (
                    compiler.executable(self.graph).run
                )
            except FrozenError:
                raise
            except Exception as error:
                self._refused = True
                log.log("recompiles", "%s is compiled for each size: %s", self.graph.name, error)
        if self._run is None:
            return None
        types, allocate = self._types(values), allocator(self.device)
        buffers = [allocate(t.nbytes) for t in types]
        slots = [ready(a).address for a in arrays] + [b.address for b in buffers]
        self._run(*slots, *[values[s.name] for s in self.symbols])
        return [Array(t, b, None, None) for t, b in zip(types, buffers)]

    def at(self, values: Mapping[str, int]) -> Graph:
        """The graph for these sizes."""
        key = tuple([values[s.name] for s in self.symbols])
        found = self._graphs.get(key)
        if found is None:
            if len(self._graphs) >= _GRAPHS:
                self._graphs.clear()
            found = self._graphs[key] = sized(self.graph, values)
        return found
