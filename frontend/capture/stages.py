"""What runs a graph that computes some of its sizes: its stages, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ingot._tensor.extents import Guard, holds
from ingot._tensor.reals import Formula
from ingot.capture.prepared import Prepared
from ingot.capture.sized import allocator, types_of
from ingot.ir.graph import Graph
from ingot.ir.size import symbols
from ingot.ir.transforms.stages import Stage, stages
from ingot.runtime import memory
from ingot.runtime.array import Array, ready, to_numpy
from ingot.runtime.recorder import here
from ingot.runtime.storage import Storage

__all__ = ["Late", "Stages", "number_in"]


class Late(RuntimeError):
    """A call whose computed sizes and numbers are not as the trace depends on; nothing was written."""


def number_in(a: Array) -> Any:
    """The number that a scalar holds: an int, or a float."""
    return to_numpy(a if a.type.device is None else here.recorder.moved(a, None)).reshape(-1)[0].item()


class Stages:
    """The stages of a graph, compiled.

    measured: symbols, which output of the graph holds the value of each, and what is said where that is negative (None: it may be)
    late: relations of them that must hold
    steady: inputs that are the same from call to call, with their Storages
    """

    def __init__(
        self, graph: Graph, measured: Mapping[str, tuple[int, str | None]], late: Sequence[tuple[Guard | Formula, str]], device: int | None,
        steady: Mapping[int, Storage] = MappingProxyType({}),
    ):  # fmt: skip

        self.graph, self.all_late = graph, late
        self.outputs = range(len(graph.inputs), len(graph.inputs) + len(graph.outputs))
        self.measured = {name: (self.outputs[k], said) for name, (k, said) in measured.items()}
        self.device = device
        self.allocate = allocator(device)
        self.stages = stages(graph, {name: k for name, (k, _) in measured.items()})
        self.types = [types_of([t.on(device) for t in s.graph.out_types]) for s in self.stages]
        self.runs = [_run(s, device, {i: steady[k] for i, k in enumerate(s.takes) if k in steady}) for s in self.stages]
        self.late: list[list[tuple[Guard | Formula, str]]] = [[] for _ in self.stages]
        for relation, where in late:
            names = relation.names if isinstance(relation, Formula) else {s.name for s in symbols(*relation[1:])}
            self.late[max(k for k, s in enumerate(self.stages) if not names.isdisjoint(s.measured))].append((relation, where))

    def decide(self, inputs: Sequence[Array], sizes: dict[str, Any]) -> None:
        """Late where relations fail, of a run that has failed: what they are of is computed alone, if it can be."""
        known = {k - len(self.graph.inputs): name for name, (k, _) in self.measured.items()}
        if len(known) == len(self.graph.outputs) or not known:
            return
        alone = self.graph.replace(outputs=tuple([self.graph.outputs[k] for k in known]))
        measured = {name: (k, self.measured[name][1]) for k, name in enumerate(known.values())}
        try:
            Stages(alone, measured, self.all_late, self.device).run(inputs, sizes)
        except Late:
            raise
        except Exception:  # what decides fails itself
            return

    def run(self, inputs: Sequence[Array], sizes: dict[str, Any]) -> list[memory.Buffer]:
        """The memory of the outputs. `sizes`: the values of symbols; those that are measured come into it.

        Late where relations fail, RuntimeError for a negative size.
        """
        from ingot.runtime.failures import explained

        made = dict(enumerate(inputs))
        for stage, types, run, late in zip(self.stages, self.types, self.runs, self.late):
            given = [made[k] for k in stage.takes]
            slots: list[Any] = [a.value if i in stage.graph.scalars else ready(a).address for i, a in enumerate(given)]
            outs = [Array(t, self.allocate(t.nbytes), None, None) for t in types(sizes)]
            slots += [ready(a).address for a in outs]
            slots += [sizes[s.name] for s in stage.graph.symbols]
            try:
                run(*slots)
            except Exception as error:
                raise explained(error, stage.graph, slots if self.device is None else None) from None
            made.update(zip(stage.gives, outs))
            for name in stage.measured:
                k, negative = self.measured[name]
                sizes[name] = number_in(made[k])
                if negative is not None and sizes[name] < 0:
                    raise RuntimeError(negative)
            for relation, where in late:
                if not (relation.at(sizes) if isinstance(relation, Formula) else holds(relation, sizes)):
                    raise Late(f"what values decide is not as it was when the function was traced ({where})")
        return [ready(made[k]) for k in self.outputs]


def _run(stage: Stage, device: int | None, steady: dict[int, Storage]) -> Callable[..., None]:
    """What runs a stage, with what follows from its steady inputs alone made once."""
    from ingot.runtime import compiler  # not before something is compiled: it brings the cache along

    if device is not None:
        return compiler.executable(stage.graph, device=device).run
    executable = compiler.executable(stage.graph.replace(steady=frozenset(steady)) if steady else stage.graph)
    kept = executable.manifest.get("kept", 0)
    if not kept:
        return executable.run
    return Prepared(executable.run, kept, steady, len(stage.graph.inputs) + len(stage.graph.outputs)).run
