"""Graphs for all sizes, and the one of them for some: what tracing, and deriving a derivative, need to do once only.

A `Template` is a symbolic graph with the conditions under which it is the one that would have been made for given sizes. An
`Instance` is a Graph of integer sizes that is a template with values: it knows its types at once, and has nodes when somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

from ingot.ir.dtypes import DType
from ingot.ir.graph import Const, Graph, Node, Single, SizedConst, Value
from ingot.ir.size import Size, Symbol, evaluate, replaced, symbol, symbols
from ingot.ir.sized import sized
from ingot.ir.structure import graph_parts, unsized
from ingot.ir.types import Dim, TensorType, tensor_type

__all__ = [
    "Again", "Conditions", "Guard", "Instance", "Template", "Templates", "Unsized", "python_text", "symbols_of", "templated",
]  # fmt: skip

Guard = tuple[str, Dim, Dim]  # "<=", "==" or "!=", and what it compares
Values = tuple[int, ...]
_MOST_ELEMENTS = 2**62
_CREDIT = 8  # templates of one structure that serve no other sizes than their own, before no more are tried for
_MOST = 32  # templates of one structure


def python_text(dim: Dim) -> str:
    """A size as a Python expression of its symbols."""
    return str(dim).replace("/", "//")


class Template:
    """A symbolic graph and what its symbols are.

    dims: an expression for each of the sizes that it was made of; those that are plain symbols are named d0, d1, ... by their place there
    guards: relations that hold where it is the graph for given sizes

    values_of(sizes)      the values of its symbols, None where it is not for these sizes
    shapes_of(values)     the shapes of its outputs
    leaves_of(values)     its leaves (ir/structure.py)
    attrs_of(values)      the attributes of its node, where it has one only

    Unsized for a graph that has symbols where its form is looked for, not its leaves: all its instances would be taken for the same.
    """

    def __init__(self, graph: Graph, dims: Sequence[Dim], guards: Iterable[Guard] = ()):
        elsewhere = unsized(graph)
        if elsewhere:
            raise Unsized(symbols(*elsewhere))
        self.graph = graph
        self.names = tuple([s.name for s in symbols(*dims)])
        self.values_of = _compiled_match(self.names, dims, guards)
        self.shapes_of = _compiled(self.names, tuple([v.type.shape for v in graph.outputs]))
        self.form, leaves = graph_parts(graph)
        self.leaves_of = _compiled(self.names, leaves)
        self.out_dtypes = [v.type.dtype for v in graph.outputs]
        self.result: Any = None  # what its maker wants to know again
        self.derived: dict[Any, Any] = {}  # what was made of it, by what was asked for
        self.attrs_of = _compiled(self.names, graph.nodes[0].attrs if len(graph.nodes) == 1 else ())


class Instance(Graph):
    """A template with values for its symbols, in the order of `template.names`."""

    symbols = ()  # it has none left

    def __init__(self, template: Template, values: Values):
        self.template = template
        self.values = values
        self.name = template.graph.name
        self.input_names = template.graph.input_names
        self.scalars = template.graph.scalars
        self.steady = template.graph.steady

    def _made(self) -> Graph:
        found = self.__dict__.get("_graph")
        if found is None:
            found = self.__dict__["_graph"] = sized(self.template.graph, dict(zip(self.template.names, self.values)))
        return found

    @property
    def inputs(self) -> tuple[Value, ...]:  # type: ignore[override]
        return self._made().inputs

    @property
    def nodes(self) -> tuple[Node, ...]:  # type: ignore[override]
        return self._made().nodes

    @property
    def outputs(self) -> tuple[Value, ...]:  # type: ignore[override]
        return self._made().outputs

    @property
    def out_types(self) -> tuple[TensorType, ...]:
        found = self.__dict__.get("_out_types")
        if found is None:
            t = self.template
            found = self.__dict__["_out_types"] = tuple(map(tensor_type, t.out_dtypes, t.shapes_of(self.values)))
        return found

    @property
    def may_fail(self) -> bool:  # type: ignore[override]
        return self.template.graph.may_fail

    @cached_property
    def single(self) -> Single | None:
        one = self.template.graph.single
        if one is None:
            return None
        op, attrs, places = one
        if any(isinstance(a, Graph) for a in attrs):  # these have the template's symbols, too
            return op, self.nodes[0].attrs, places
        return op, self.template.attrs_of(self.values), places

    @property
    def _parts(self) -> tuple[Any, Any]:
        return self.template.form, self.template.leaves_of(self.values)


# -- making them -----------------------------------------------------------------------------------------------------


class Again(Exception):
    """What two sizes are equal means for a symbol: it is made again with `dim` for `name`."""

    def __init__(self, name: str, dim: Dim):
        self.name = name
        self.dim = dim


class Unsized(Exception):
    """Symbols that are in attributes which hold no sizes, as a padding is."""

    def __init__(self, symbols: Sequence[Symbol]):
        self.symbols = frozenset(symbols)


class Conditions:
    """Decides, as the sizes at hand have it, what symbols leave open (see size.deciding), and remembers."""

    def __init__(self, values: Mapping[str, int]):
        self.values = values
        self.guards: dict[Guard, None] = {}

    def decide(self, low: Dim, high: Dim, same: bool) -> bool:
        """Whether low <= high, or both are the `same`, for these values."""
        a, b = evaluate(low, self.values), evaluate(high, self.values)
        if same:
            if a == b:
                for x, y in ((low, high), (high, low)):
                    for s in symbols(x - y):
                        rest = symbol(s.name, s.min, s.max) - (x - y)
                        if s not in symbols(rest):
                            raise Again(s.name, rest)
            self.guards["==" if a == b else "!=", low, high] = None
            return a == b
        self.guards[("<=", low, high) if a <= b else ("<=", high + 1, low)] = None
        return a <= b


class Templates:
    """The templates of one structure: each signature finds the graph for its sizes here, once there have been others.

    seen: whether there have been others
    """

    __slots__ = ("known", "seen", "credit")

    def __init__(self, seen: bool = False) -> None:
        self.known: list[Template] = []  # the newest first
        self.seen = seen
        self.credit = _CREDIT

    def instance(self, sizes: Values, make: Callable[[], Template]) -> Instance | None:
        """The graph for these sizes, or None: it is to be made without a template.

        `make()` is asked for a template for them from the second signature on, for one signature costs less without.
        """
        for t in self.known:
            values = t.values_of(sizes)
            if values is not None:
                self.credit = _CREDIT
                return Instance(t, values)
        if not self.seen or not self.credit:
            self.seen = True
            return None
        self.credit -= 1
        try:
            t = make()
        except Exception:  # a rule that takes no symbols: it says so, or why the sizes are wrong, when it is asked without
            return None
        self.known.insert(0, t)
        del self.known[_MOST:]
        return Instance(t, t.values_of(sizes))  # type: ignore[arg-type]  # they are its own


def symbols_of(sizes: Values) -> tuple[Dim, ...]:
    """A symbol for each of the sizes; no user's symbol has their bounds."""
    return tuple([symbol(f"d{i}", 0, _MOST_ELEMENTS) for i in range(len(sizes))])


def templated(make: Callable[[tuple[Dim, ...]], Graph], sizes: Values) -> Template:
    """The template of the graph that `make(dims)` gives for symbols in the place of `sizes`, with what had to be decided as for these."""
    from ingot.ir.size import deciding

    dims = symbols_of(sizes)
    while True:
        conditions = Conditions({f"d{i}": n for i, n in enumerate(sizes)})
        try:
            with deciding(conditions.decide):
                graph = make(dims)
        except Again as found:
            dims = tuple([replaced(d, {found.name: found.dim}) for d in dims])
            continue
        return Template(graph, dims, conditions.guards)


# -- functions of sizes ----------------------------------------------------------------------------------------------


def _compiled_match(names: tuple[str, ...], dims: Sequence[Dim], guards: Iterable[Guard]) -> Callable[[Sequence[int]], Values | None]:
    """The values of the symbols where the sizes are what `dims` says and the guards hold; else None."""
    free = {f"d{i}": i for i in range(len(dims))}
    lines = [f"    {n} = v[{free[n]}]" for n in names]
    tests = [f"v[{i}] == {python_text(d)}" for i, d in enumerate(dims) if str(d) != f"d{i}"]
    tests += [f"{python_text(a)} {sign} {python_text(b)}" for sign, a, b in guards]
    lines.append(f"    if {' and '.join(dict.fromkeys(tests)) or 'True'}:")
    lines.append(f"        return ({''.join(n + ', ' for n in names)})")
    return _function("v", lines)


@lru_cache(maxsize=4096)
def _const(value: int, dtype: DType) -> Const:
    return Const.of(value, dtype)


def _compiled(names: tuple[str, ...], parts: Any) -> Callable[[Values], Any]:
    """The function that gives nested tuples with values for the symbols in them."""
    given = [f"    ({''.join(n + ', ' for n in names)}) = v"] if names else []
    scope: dict[str, Any] = {"const": _const}

    def text(x: Any) -> str:
        if isinstance(x, (int, Size)):
            return python_text(x)
        if type(x) is tuple:
            return f"({''.join(text(y) + ', ' for y in x)})"
        name = f"c{len(scope)}"
        if isinstance(x, SizedConst):
            scope[name] = x.type.dtype
            return f"const({python_text(x.dim)}, {name})"
        scope[name] = x
        return name

    return _function("v", [*given, f"    return {text(parts)}"], scope)


def _function(argument: str, lines: Sequence[str], scope: dict[str, Any] | None = None) -> Any:
    scope = {"min": min, "max": max, **(scope or {})}
    exec(compile(f"def sizes({argument}):\n" + "\n".join(lines), "<sizes>", "exec"), scope)
    return scope["sizes"]
