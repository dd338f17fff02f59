"""parts: complex values as pairs of real ones, so that no stage behind it knows them.

A complex input or output is a real one with one more dim of extent 2, which lies in memory just so.
"""

from __future__ import annotations

from typing import Any

from ingot.ir.builder import Builder, Expr
from ingot.ir.graph import Graph, Node, Value
from ingot.ir.types import TensorType, tensor_type

__all__ = ["parts"]


def parts(graph: Graph) -> Graph:
    """Rewrite operations on complex values by the rules of `ir/ops/parts.py`, in the bodies of loops too."""
    if not _any_complex(graph):
        return graph
    from ingot.ir.ops.parts import RULES, Parts  # only for graphs that need them

    b = Builder(graph.name)
    env: dict[Value, Any] = {}  # value -> Expr, or Parts for a complex one
    for i, (v, name) in enumerate(zip(graph.inputs, graph.input_names)):
        x = b.expr(b.input(_packed(v.type), name, scalar=i in graph.scalars))
        env[v] = Parts(None, x) if _is_complex(v.type) else x
    for n in graph.nodes:
        if not _touches(n):
            b.nodes.append(Node(n.op, tuple(env[v].value for v in n.inputs), n.attrs, n.outputs, n.loc))
            env.update((v, b.expr(v)) for v in n.outputs)
            continue
        b.loc = n.loc
        ins = [env[v] for v in n.inputs]
        held = n.op.lowering.graphs
        if held:
            attrs = (*map(parts, n.attrs[:held]), *n.attrs[held:])
            made = b.emit(n.op, tuple(x.packed.value if isinstance(x, Parts) else x.value for x in ins), attrs)
            outs = [Parts(None, b.expr(y)) if _is_complex(v.type) else b.expr(y) for v, y in zip(n.outputs, made)]
        else:
            outs = RULES[n.op.name](n.op, ins, *n.attrs, **({} if ins else {"builder": b}))
        for v, out in zip(n.outputs, outs, strict=True):
            _check(n, v, out)
            env[v] = out
    b.loc = None
    return b.freeze(tuple(env[v].packed.value if _is_complex(v.type) else env[v].value for v in graph.outputs))


def _is_complex(t: TensorType) -> bool:
    return t.dtype.kind == "c"


def _packed(t: TensorType) -> TensorType:
    return tensor_type(t.dtype.to_real(), (*t.shape, 2)) if _is_complex(t) else t


def _touches(n: Node) -> bool:
    """Whether a node has complex values, in graphs within it too."""
    if any(_is_complex(v.type) for v in (*n.inputs, *n.outputs)):
        return True
    return any(map(_any_complex, n.attrs[: n.op.lowering.graphs]))


def _any_complex(graph: Graph) -> bool:
    for n in graph.nodes:  # written out: no graph is spared this, and few have any
        for v in n.outputs:
            if v.type.dtype.kind == "c":
                return True
        if n.op.lowering.graphs and _touches(n):
            return True
    return any(_is_complex(v.type) for v in graph.inputs)


def _check(n: Node, v: Value, out: Any) -> None:
    expected = (v.type.dtype.to_real(), v.type.shape)
    if (out.dtype, out.shape) != expected or isinstance(out, Expr) is _is_complex(v.type):
        raise AssertionError(f"the rule on parts of {n.op.name} gave {out.dtype.name}{list(out.shape)} for {v.type}")
