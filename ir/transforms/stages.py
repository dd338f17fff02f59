"""A graph some of whose sizes are values that it computes, as graphs that run one after the other.

A symbol stands for what an output of the graph holds. What its extents decide can run once that output is there, in a graph for which the
symbol is one like any other. So a graph falls into as many stages as such values follow from each other, and one more.
"""

from __future__ import annotations

from collections.abc import Mapping

from ingot.ir.graph import Graph, Value, symbols_of
from ingot.ir.struct import frozen, struct

__all__ = ["Stage", "stages"]


@frozen
@struct
class Stage:
    """A part of a graph. Values are numbered: the inputs of the whole, its outputs, then what stages make for later ones.

    takes, gives: the numbers of its inputs and outputs; measured: the symbols that are known once it has run
    """

    graph: Graph
    takes: tuple[int, ...]
    gives: tuple[int, ...]
    measured: tuple[str, ...]


def stages(graph: Graph, measured: Mapping[str, int]) -> list[Stage]:
    """The parts of `graph`, in which each of the symbols `measured` is what the output of that number holds.

    Everything runs as late as it may, so that it is fused with what reads it; values of symbols run as early as they can.
    """
    at = _stages(graph, measured)
    last = max(at, default=0)
    made_in = {v: stage for n, stage in zip(graph.nodes, at) for v in n.outputs}
    read_in: dict[Value, int] = {}  # the last stage that reads a value
    for n, stage in zip(graph.nodes, at):
        read_in.update((v, max(read_in.get(v, 0), stage)) for v in n.inputs)
    numbers = {v: i for i, v in enumerate(graph.inputs)}
    count = len(graph.inputs) + len(graph.outputs)
    found: list[Stage] = []
    for stage in range(last + 1):
        nodes = tuple([n for n, k in zip(graph.nodes, at) if k == stage])
        made = {v for n in nodes for v in n.outputs}
        gives = {len(graph.inputs) + k: v for k, v in enumerate(graph.outputs) if made_in.get(v, last) == stage}
        kept = [v for n in nodes for v in n.outputs if read_in.get(v, 0) > stage and v not in gives.values()]
        gives.update(enumerate(kept, count))
        count += len(kept)
        inputs = [v for v in dict.fromkeys([v for n in nodes for v in n.inputs] + [*gives.values()]) if v not in made]
        takes = tuple([numbers[v] for v in inputs])
        part = Graph(
            f"{graph.name}_{stage}", tuple(inputs), nodes, tuple(gives.values()),
            input_names=tuple([graph.input_names[k] if k < len(graph.inputs) else f"made{k}" for k in takes]),
            scalars=frozenset([i for i, k in enumerate(takes) if k in graph.scalars]),
        )  # fmt: skip
        known = tuple([name for name, k in measured.items() if made_in[graph.outputs[k]] == stage])
        found.append(Stage(part, takes, tuple(gives), known))
        numbers.update((v, k) for k, v in gives.items())
    return found


def _stages(graph: Graph, measured: Mapping[str, int]) -> list[int]:
    """The stage of each node: the last one in which all that read it can run."""
    counts = {name: graph.outputs[k] for name, k in measured.items()}
    first: dict[Value, int] = dict.fromkeys(graph.inputs, 0)  # the stages in which values can be computed
    for n in graph.nodes:
        behind = [first[counts[s.name]] + 1 for s in symbols_of(n) if s.name in counts]
        first.update(dict.fromkeys(n.outputs, max([*behind, *[first[v] for v in n.inputs]], default=0)))
    end = max(first.values(), default=0)
    latest = {v: first[v] for v in counts.values()}
    at: list[int] = []
    for n in reversed(graph.nodes):
        at.append(min([latest.get(v, end) for v in n.outputs]))
        for v in n.inputs:
            latest[v] = min(latest.get(v, end), at[-1])
    return at[::-1]
