"""What a failed check says: the user's operation, the value that was wrong, and the user's line.

Compiled code tells which node failed and no more, since the same code serves many lines and values. The rest is found afterwards: the
part of the graph that computes what was checked runs once more, in the NumPy interpreter, on the inputs of the call.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ingot.ir.facts import Contraction, Control, Inline, OwnKernels, Window
from ingot.ir.graph import Graph, Node
from ingot.ir.location import describe
from ingot.ir.size import ShapeError
from ingot.runtime.executable import NAN, CheckError

__all__ = ["arrays_of", "explained", "first_nan", "meaning", "of_sizes", "user_name"]

_WRONG_INDEX = re.compile(r"index (-?\d+) is out of range for axis \d+ of extent (\d+)")
_MEANT = {  # what torch raises, of operations that take a negative index for an error: it comes to them moved down by the extent
    "cross_entropy": (IndexError, "cross_entropy: target {} is out of bounds for {} classes"),
    "nll": (IndexError, "nll_loss: target {} is out of bounds for {} classes"),
    "lookup": (IndexError, "embedding: index {} is out of range for {} rows of weight"),
    "bag_lookup": (RuntimeError, "embedding_bag: index {} is not in the valid range [0, {})"),
    "index_select": (IndexError, "index_select: index {} is out of range for a dimension of size {}"),
    "index_write": (IndexError, "index {} is out of range for a dimension of size {}"),
    "index_reduce": (IndexError, "index_reduce: index {} is out of range for a dimension of size {}"),
    "probabilities": (RuntimeError, "bernoulli: Expected p_in >= 0 && p_in <= 1 to be true, but got false."),
    "weights": (RuntimeError, "multinomial: the weights of a row are negative, infinite, NaN, or not enough of them are above 0"),
    "gather": (RuntimeError, "gather: index {} is out of bounds for a dimension of size {}"),
    "scatter": (RuntimeError, "scatter: index {} is out of bounds for a dimension of size {}"),
    "scatter_reduce": (RuntimeError, "scatter_reduce: index {} is out of bounds for a dimension of size {}"),
    "one_hot": (RuntimeError, "one_hot: class values must be in [0, num_classes), but {} of {} came"),
    "multi_margin": (RuntimeError, "multi_margin_loss: target {} is out of range for {} classes"),
    "multilabel_margin": (RuntimeError, "multilabel_margin_loss: target {} is out of range for {} classes"),
}
_SLOW = (Contraction, Control, OwnKernels, Window)  # in the interpreter


def meaning(name: str, kind: type[Exception], text: str) -> None:
    """What is raised where a check fails in composites of this name."""
    _MEANT[name] = kind, text


def explained(error: Exception, graph: Graph, slots: Sequence[Any] | None) -> Exception:
    """The error that users expect for what a call of `graph` raised: torch's for an index out of range, RuntimeError for others.

    slots: addresses or numbers of the inputs, as in the call; what stands behind them is as it was. None where nobody has them any more.
    """
    if graph.symbols and slots is not None:
        graph = of_sizes(graph, slots)
    if isinstance(error, CheckError) and error.code == NAN and slots is not None:
        return CheckError(NAN, error.message, first_nan(graph, slots))
    if not isinstance(error, CheckError) or error.node is None or error.node >= len(graph.nodes):
        return error
    node = graph.nodes[error.node]
    message = (None if slots is None else _detail(graph, error.node, slots)) or error.message
    if "index" in message and "range" in message:
        kind, text = _index_error(user_name(node), message)
        return kind("\n".join(filter(None, (text, describe(node.loc)))))
    return CheckError(error.code, message, describe(node.loc).strip() or None, error.node)


def _index_error(name: str, message: str) -> tuple[type[Exception], str]:
    found = _WRONG_INDEX.search(message)
    kind, text = _MEANT.get(name, (IndexError, ""))
    if text and "{" not in text:
        return kind, text
    if found is None or not text:
        return kind, f"{name}: {message.partition(': ')[2]}"
    index, extent = map(int, found.groups())
    return kind, text.format(index + extent if index < 0 else index, extent)


def user_name(node: Node) -> str:
    """What people know an operation as."""
    name = str(node.attrs[0].name if isinstance(node.op.lowering, Inline) else node.op.name)
    return name.strip("_").removesuffix("_vjp")


def of_sizes(graph: Graph, slots: Sequence[Any]) -> Graph:
    """A symbolic graph with the sizes of a call: `slots` end with a value per symbol, in the order of their names.

    ShapeError for a value outside of its symbol's bounds.
    """
    from ingot.ir.sized import sized

    values = {}
    for s, n in zip(graph.symbols, slots[len(slots) - len(graph.symbols) :]):
        if not s.min <= n <= s.max:
            raise ShapeError(f"@{graph.name} is for {s.bounds_text}, got {s.name} = {n}")
        values[s.name] = n
    return sized(graph, values)


def arrays_of(graph: Graph, slots: Sequence[Any]) -> list[np.ndarray]:
    """The inputs of a call as arrays that share memory with them."""
    from ingot.runtime.memory import Buffer

    found = []
    for i, (v, slot) in enumerate(zip(graph.inputs, slots)):
        t = v.type
        found.append(
            np.asarray(slot).astype(t.dtype.numpy) if i in graph.scalars else Buffer(slot, t.nbytes, None).array(t.dtype.numpy, t.shape)
        )
    return found


def _inlined(graph: Graph) -> Graph:
    """The graph without calls; each node has for its location the number of the one that it came from."""
    from ingot.ir.transforms.replay import inlined

    nodes: list[Any] = [Node(n.op, n.inputs, n.attrs, n.outputs, (i,)) for i, n in enumerate(graph.nodes)]  # type: ignore[arg-type]
    return inlined(graph.replace(nodes=tuple(nodes)))


def _detail(graph: Graph, k: int, slots: Sequence[Any]) -> str | None:
    """What node k says of its operands when it fails; None where that takes long to find out."""
    from ingot.ir import interpret
    from ingot.ir.transforms.replay import live_nodes

    flat = _inlined(graph)
    for n in flat.nodes:
        if n.loc != (k,) or not n.may_fail:
            continue
        if isinstance(n.op.lowering, Control):
            return None
        checked = tuple(v for v in n.inputs if v.type.dtype.kind in "iu")
        nodes = live_nodes(flat.nodes, checked)
        if any(isinstance(m.op.lowering, _SLOW) for m in nodes):
            return None
        values = dict(zip(checked, interpret.run(flat.replace(nodes=nodes, outputs=checked), arrays_of(graph, slots))))
        others = {v: np.broadcast_to(np.zeros((), v.type.dtype.numpy), v.type.shape) for v in n.inputs if v not in values}
        try:
            n.op.ref(*({**values, **others}[v] for v in n.inputs), *n.attrs)
        except (IndexError, RuntimeError) as error:
            return str(error)
    return None


class _Found(Exception):
    pass


def first_nan(graph: Graph, slots: Sequence[Any]) -> str | None:
    """Where the first NaN of a call came from, with the user's line; None where the interpreter makes none."""
    from ingot.ir import interpret

    arrays = arrays_of(graph, slots)
    for name, array in zip(graph.input_names, arrays):
        if _nan(array):
            return f"input {name} holds NaN already"
    flat = _inlined(graph)

    def look(node: Node, made: Sequence[np.ndarray]) -> None:
        if any(map(_nan, made)):
            raise _Found(node)

    try:
        interpret.run(flat, arrays, look)
    except _Found as found:
        node = found.args[0]
        asked = graph.nodes[node.loc[0]]
        within = f" (in {user_name(asked)})" if user_name(asked) != node.op.name else ""
        return "\n".join(filter(None, (f"the first NaN is made by {node.op.name}{within}", describe(asked.loc or _inner(asked, node)))))
    return None


def _inner(asked: Node, node: Node) -> Any:
    """Where an operation of a called graph was recorded, if the call itself was nowhere: the backward of a compiled function."""
    if not isinstance(asked.op.lowering, Inline):
        return None
    return next((n.loc for n in asked.attrs[0].nodes if n.op is node.op and n.attrs == node.attrs and n.loc is not None), None)


def _nan(array: np.ndarray) -> bool:
    return array.dtype.kind not in "biu" and bool(np.isnan(array).any())
