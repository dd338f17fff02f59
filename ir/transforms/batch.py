"""Batching: a graph over batches of its inputs, by the ops' own rules."""

from __future__ import annotations

from ingot.ir.builder import Builder
from ingot.ir.graph import Graph, Value
from ingot.ir.size import remembered
from ingot.ir.struct import value_type
from ingot.ir.transforms.replay import Mask, inlined, live_nodes, replay
from ingot.ir.types import Dim, TensorType

__all__ = ["Batched", "batch"]


@value_type
class Batched:
    """A graph over batches: its inputs and outputs are those of the graph it was made of, some with a leading batch dim.

    `outputs`: for each output, whether it has the batch dim; one that has not is the same for every sample.
    """

    graph: Graph
    outputs: Mask


def batch(graph: Graph, which: Mask, size: Dim, outputs: Mask | None = None) -> Batched:
    """`graph` for `size` samples at once: each gives what `graph` gives for it alone.

    which: for each input, whether it has a leading batch dim of extent `size`; the others are shared by all samples. Nodes
    that read nothing batched stay as they are. outputs: those that shall be batched even where all samples have the same.
    Remembered per argument list. Raises ValueError if a mask does not fit.

        over_rows = batch(graph, (True, False), 32)
    """
    outputs = outputs or (False,) * len(graph.outputs)
    if len(which) != len(graph.inputs) or len(outputs) != len(graph.outputs):
        raise ValueError(
            f"@{graph.name} has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs, "
            f"got a choice of {len(which)} inputs and {len(outputs)} outputs"
        )
    return _batch(graph, tuple(map(bool, which)), size, tuple(map(bool, outputs)))


def _with_batch(t: TensorType, size: Dim) -> TensorType:
    return t.with_shape((size, *t.shape))


@remembered(2048)
def _batch(graph: Graph, which: Mask, size: Dim, outputs: Mask) -> Batched:
    flat = inlined(graph)
    b = Builder(f"{graph.name}_batch")
    here: dict[Value, Value] = {}  # value of a sample -> the value here
    batched: set[Value] = set()  # those that have the batch dim here
    for i, (v, name, has) in enumerate(zip(flat.inputs, flat.input_names, which)):
        here[v] = b.input(_with_batch(v.type, size) if has else v.type, name, scalar=i in flat.scalars and not has)
        if has:
            batched.add(v)
    for n in flat.nodes:
        if batched.isdisjoint(n.inputs):
            replay(b, (n,), here, {})
            continue
        rule = n.op.batch
        assert callable(rule)  # every op that reads something has one
        b.loc = n.loc
        outs, has_batch = rule([b.expr(here[v]) for v in n.inputs], [v in batched for v in n.inputs], *n.attrs)
        for v, out, has in zip(n.outputs, outs, has_batch, strict=True):
            expected = _with_batch(v.type, size) if has else v.type
            if out.type != expected:
                raise AssertionError(f"the batching rule of {n.op.name} gave {out.type} for {expected}")
            here[v] = out.value
            if has:
                batched.add(v)
    b.loc = None
    results = []
    for v, wanted in zip(flat.outputs, outputs):
        out = b.expr(here[v])
        results.append(out.broadcast((size, *out.shape)).value if wanted and v not in batched else out.value)
    g = b.freeze(tuple(results))
    return Batched(g.replace(nodes=live_nodes(g.nodes, results)), tuple(w or v in batched for v, w in zip(flat.outputs, outputs)))
