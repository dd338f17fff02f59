"""What is left of a graph when its sizes and numbers are taken out: two graphs of one structure differ in those only.

    form, leaves = parts(OPS["slice"], ((2,), (5,), (1,)))      # leaves: (2, 5)

The leaves of a node are the integers in those attributes that may hold sizes (Op.sizes), the payload of a constant of one element, and
the leaves of the graphs that it calls or repeats. The types within a graph follow from those of its inputs and from its leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from ingot.ir.facts import Inline
from ingot.ir.graph import Const, Graph
from ingot.ir.op import Op
from ingot.ir.size import Size

__all__ = ["Form", "Leaf", "filled", "graph_parts", "outline", "parts", "unsized"]

Form = int  # equal for equal forms, as long as they are remembered
Leaf = Any  # an int or a Const

_FORMS: dict[Any, Form] = {}
_FORMS_LIMIT = 65536
_numbers = count()
_SIZED: dict[Op, tuple[int, ...]] = {}  # which attributes of an op may hold sizes


def parts(op: Op, attrs: tuple[Any, ...]) -> tuple[Form, tuple[Leaf, ...]]:
    """The form of a node with these attributes, and its leaves in the order of the attributes."""
    if isinstance(op.lowering, Inline):
        return graph_parts(attrs[0])
    sized = _SIZED.get(op)
    if sized is None:
        sized = _SIZED[op] = tuple(op.attr_names.index(n) for n in op.sizes)
    left: list[Any] = [op]
    leaves: list[Leaf] = []
    for k, a in enumerate(attrs):
        if k in sized:
            if type(a) is tuple:
                leaves += a
                left.append(len(a))
            else:
                leaves.append(a)
                left.append(None)
        elif _is_number(a):
            leaves.append(a)
            left.append(a.type.dtype)
        elif isinstance(a, Graph):
            form, inner = graph_parts(a)
            leaves += inner
            left.append(("graph", form))
        else:
            left.append((type(a), a))
    return _form(tuple(left)), tuple(leaves)


def outline(op: Op, attrs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The form of a node as it can be told to other processes: equal texts for equal forms."""
    told: list[Any] = [op.name]
    for name, a in zip(op.attr_names, attrs):
        if name in op.sizes:
            told.append(len(a) if type(a) is tuple else "size")
        elif _is_number(a):
            told.append(a.type.dtype.name)
        elif isinstance(a, Graph):
            numbers = {v: i for i, v in enumerate(a.inputs)}
            told += [[(v.type.dtype.name, len(v.type.shape)) for v in a.inputs], sorted(a.scalars)]
            for n in a.nodes:
                told.append((outline(n.op, n.attrs), [numbers[v] for v in n.inputs]))
                for v in n.outputs:
                    numbers[v] = len(numbers)
            told.append([numbers[v] for v in a.outputs])
        else:
            told.append(a)
    return tuple(told)


def filled(op: Op, attrs: tuple[Any, ...], leaves: Iterator[Any]) -> tuple[Any, ...]:
    """`attrs`, which hold no graph, with other leaves."""
    return tuple([
        (tuple([next(leaves) for _ in a]) if type(a) is tuple else next(leaves)) if n in op.sizes or _is_number(a) else a
        for n, a in zip(op.attr_names, attrs)
    ])  # fmt: skip


def unsized(graph: Graph) -> list[Size]:
    """The symbolic sizes in attributes that hold none: they are in the form of a graph, which says nothing of their values."""
    found: list[Size] = []

    def visit(a: Any) -> None:
        if isinstance(a, Size):
            found.append(a)
        elif isinstance(a, Graph):
            found.extend(unsized(a))
        elif isinstance(a, tuple):
            for x in a:
                visit(x)

    for n in graph.nodes:
        for name, a in zip(n.op.attr_names, n.attrs):
            if name not in n.op.sizes:
                visit(a)
    return found


def _is_number(a: Any) -> bool:
    return isinstance(a, Const) and not a.type.shape and a.type.dtype.kind != "c"  # a complex number is passed by no value


def graph_parts(graph: Graph) -> tuple[Form, tuple[Leaf, ...]]:
    """The form of a graph, and the leaves of its nodes in their order. The extents of its inputs are no leaves of it."""
    found = getattr(graph, "_parts", None)
    if found is None:
        numbers = {v: i for i, v in enumerate(graph.inputs)}
        left: list[Any] = [tuple([(v.type.dtype, len(v.type.shape)) for v in graph.inputs]), tuple(sorted(graph.scalars))]
        leaves: list[Leaf] = []
        for n in graph.nodes:
            form, inner = parts(n.op, n.attrs)
            leaves += inner
            left.append((form, tuple([numbers[v] for v in n.inputs])))
            for v in n.outputs:
                numbers[v] = len(numbers)
        left.append(tuple([numbers[v] for v in graph.outputs]))
        found = graph.__dict__["_parts"] = _form(tuple(left)), tuple(leaves)
    return found


def _form(key: Any) -> Form:
    found = _FORMS.get(key)
    if found is None:
        if len(_FORMS) >= _FORMS_LIMIT:
            _FORMS.clear()
        found = _FORMS[key] = next(_numbers)
    return found
