"""How many floating-point operations products and convolutions are: two for each product that is added. Other ops count as none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ingot.ir.graph import Graph
from ingot.ir.op import Op
from ingot.ir.types import TensorType, numel

__all__ = ["flops", "flops_of"]

Types = Sequence[TensorType]


def _dot(ins: Types, outs: Types, batch: Any, contract: Any) -> tuple[str, int]:
    return "bmm" if batch[0] else "mm", 2 * outs[0].numel * numel(tuple(ins[0].shape[d] for d in contract[0]))


def _conv(ins: Types, outs: Types, *attrs: Any) -> tuple[str, int]:
    return "convolution", 2 * outs[0].numel * numel(ins[1].shape[1:])


def _input_grad(ins: Types, outs: Types, *attrs: Any) -> tuple[str, int]:
    return "convolution_backward", 2 * ins[0].numel * numel(ins[1].shape[1:])


def _weight_grad(ins: Types, outs: Types, *attrs: Any) -> tuple[str, int]:
    return "convolution_backward", 2 * ins[1].numel * numel(outs[0].shape[1:])


_COUNTS: dict[str, Callable[..., tuple[str, int]]] = {
    "dot": _dot, "conv": _conv, "conv_input_grad": _input_grad, "conv_weight_grad": _weight_grad,
}  # fmt: skip


def flops_of(op: Op, attrs: tuple[Any, ...], ins: Types, outs: Types) -> Counter[str]:
    """By kind of product ("mm", "bmm", "convolution", "convolution_backward"), those of one op; where it holds graphs, of these: of a
    scan's body for each step, of a branch's or a while_loop's graphs once."""
    if op.name in _COUNTS:
        kind, n = _COUNTS[op.name](ins, outs, *attrs)
        return Counter({kind: n})
    found: Counter[str] = Counter()
    named = dict(zip(op.attr_names, attrs))
    for graph in attrs[: op.lowering.graphs]:
        for kind, n in flops(graph).items():
            found[kind] += n * named.get("length", 1)
    return found


def flops(graph: Graph) -> Counter[str]:
    """Those of a graph of known sizes."""
    found: Counter[str] = Counter()
    for n in graph.nodes:
        found.update(flops_of(n.op, n.attrs, [v.type for v in n.inputs], [v.type for v in n.outputs]))
    return found
