"""What a recording will ask for, from its first sizes: where a sequence of operations is known for all sizes, the look-ups of all of it
are filled in at once, as soon as its symbols have values.

A recording at fresh sizes misses in every table that is kept by types: signatures of ops, traces of composites, plans. Its symbolic graph
(ir/transforms/generalise.py) says what all of them are, so that a function written for it fills them in without asking a shape rule. What
it fills in is true whether or not the recording goes on like that: the type of what an op makes of inputs of certain types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ingot.ir.facts import Inline
from ingot.ir.graph import Graph, Node
from ingot.ir.size import Size, symbols
from ingot.ir.structure import parts
from ingot.ir.template import python_text
from ingot.ir.types import TensorType, tensor_type

if TYPE_CHECKING:
    from ingot.ir.transforms.generalise import General

__all__ = ["Forecast", "clear", "foretold", "tables"]

_CREDIT = 4  # forecasts that may be wrong, one after the other, before no more are made
_LESSONS = 4  # recordings that one forecast is made of
_BESIDE = 4  # forecasts that begin alike
_LIMIT = 1024

_BY_START: dict[Any, list[Forecast]] = {}  # by the number of a node in its recording, and what it is


class _Tables:
    """What is filled in; `tape.py` says how."""

    signed: Callable[..., None]  # (op, attrs, input types, output types)


tables = _Tables()
# a recording to come: its nodes, what is alive at its end, the keys of its inputs; then these inputs' types, and the sizes of its plan
Foretold = tuple[tuple, tuple[int, ...], tuple[int, ...], tuple[TensorType, ...], tuple[int, ...]]


class Composite:
    """A composite in a recording, which had to be traced or made of a template.

    node: its number
    traced: its trace, whose `sized(extents of all tensors, and the ints at its places)` is that for other ones
    key: under which the trace is known
    keep(key, traced): has it be known
    """

    __slots__ = ("node", "traced", "key", "keep")

    def __init__(self, node: int, traced: Any, key: tuple, keep: Callable[[tuple, Any], None]):
        self.node = node
        self.traced = traced
        self.key = key
        self.keep = keep


def clear() -> None:
    """Forget all forecasts."""
    _BY_START.clear()


def foretold(rec: Any, what: Any, arrays: Sequence[Any]) -> bool:
    """Whether something was filled in, now that `what` (an op, or the `keep` of a composite) is asked for with these arrays."""
    for f in _BY_START.get((len(rec.nodes), what), ()):
        try:
            values = f.values(rec, arrays)
        except (AttributeError, IndexError, TypeError):  # it goes on otherwise
            continue
        if values is not None and values != f.last and all(type(v) is int for v in values):
            f.last = values
            rec.forecast, rec.foretold = f, f.plant(*values)
            return True
    return False


class Forecast:
    """What the recordings of one symbolic plan ask for."""

    def __init__(self, plan: Any, general: General):
        self.plan = plan
        self.general = general
        self.start: Any = None
        self.composites: dict[int, Composite] = {}
        self.lessons = 0
        self.credit = _CREDIT
        self.last: tuple[int, ...] | None = None
        self.values: Callable[[Any, Sequence[Any]], tuple[int, ...] | None]
        self.plant: Callable[..., Foretold | None]

    def judge(self, right: bool) -> None:
        """Note whether the recording went on as foretold."""
        self.credit = _CREDIT if right else self.credit - 1
        if self.credit <= 0:
            self._withdraw()

    def learn(self, rec: Any, outputs: tuple[int, ...], live: tuple[int, ...]) -> None:
        """Learn from a recording of the plan, before it runs: outputs as in its graph, live as it was looked for."""
        recorded = [c for c in rec.composites if c.node < len(rec.nodes)]  # the last one waits until what comes before it has run
        asked = {id(c.traced.attrs): c for c in recorded if rec.nodes[c.node][1] is c.traced.attrs}
        new = {n: asked[id(attrs)] for n, (_, attrs, _) in enumerate(rec.nodes) if id(attrs) in asked and n not in self.composites}
        if self.lessons >= _LESSONS or self.lessons and not new or self.credit <= 0:
            return
        self.lessons += 1
        self.composites.update(new)
        self._withdraw()
        writer = _Writer(self, rec, outputs)
        start = writer.start()
        if start is None:
            return
        self.start, self.values, self.plant = start, writer.values(), writer.planting(live)
        if len(_BY_START) >= _LIMIT:
            _BY_START.clear()
        beside = _BY_START.setdefault(start, [])
        beside.insert(0, self)
        del beside[_BESIDE:]

    def _withdraw(self) -> None:
        beside = _BY_START.get(self.start, [])
        if self in beside:
            beside.remove(self)


class _Writer:
    """Writes the functions of a forecast."""

    def __init__(self, forecast: Forecast, rec: Any, outputs: tuple[int, ...]):
        self.forecast = forecast
        self.rec = rec
        self.graph: Graph = forecast.general.graph
        self.numbers = sorted(rec.needed(outputs)[0])  # of the graph's nodes in the recording
        self.made: dict[int, Node] = dict(zip(self.numbers, self.graph.nodes))
        self.types: dict[int, TensorType] = {-1 - k: a.type for k, a in enumerate(rec.inputs)}
        self.types.update(enumerate(rec.types))
        for k, v in zip(forecast.plan.reads, self.graph.inputs):
            self.types[-1 - k] = v.type
        for n, node in self.made.items():
            self.types.update(zip(rec.outputs_of(n), [v.type for v in node.outputs]))
        self.scope: dict[str, Any] = {"T": tensor_type, "min": min, "max": max, "parts": parts, "signed": tables.signed}
        self.names: dict[int, str] = {}  # of objects in the scope, by id
        self.written: dict[TensorType, str] = {}
        self.instances: dict[str, str] = {}  # of composites: names by texts
        self.sized: dict[str, str] = {}  # attributes with symbols: names by texts
        self.lines: dict[str, None] = {}  # in their order, once each

    # ---- where the values of the symbols come from

    def start(self) -> Any:
        """The first node with symbols at which all of them have values; None where there is none."""
        self.sources = self._sources()
        known = 0
        for n, (op, _, ids) in enumerate(self.rec.nodes):
            node = self.made.get(n)
            if node is not None and _symbolic(node):
                c = self.forecast.composites.get(n)
                given = _arguments(ids, c)
                at = [self._found(s, n, known, given) for s in self.sources.values()]
                if None not in at:
                    self.found = dict(zip(self.sources, at))
                    return n, (op if c is None else c.keep)
            known = max([known, *(-i for i in ids)])
        return None

    def _sources(self) -> dict[str, tuple[str, int, int]]:
        """For each symbol that is a leaf: ("input", k, axis), or ("node", n, leaf)."""
        origins = self.forecast.general.origins
        wanted, left = set(), [s.name for s in self.forecast.general.bounded]
        while left:
            name = left.pop()
            if name not in wanted:
                wanted.add(name)
                if isinstance(origins[name], Size):
                    left += [s.name for s in symbols(origins[name])]
        self.wanted = [name for name in origins if name in wanted]  # in the order in which they follow from each other
        leaves: list[tuple[str, int, int]] = []
        for k, v in zip(self.forecast.plan.reads, self.graph.inputs):
            leaves += [("input", k, axis) for axis in range(v.type.rank)]
        for n in self.numbers:
            op, attrs, _ = self.rec.nodes[n]
            leaves += [("node", n, i) for i in range(len(parts(op, attrs)[1]))]
        return {name: leaves[origins[name]] for name in self.wanted if isinstance(origins[name], int)}

    def _found(self, source: tuple[str, int, int], n: int, known: int, given: list[int]) -> str | None:
        """The text for a leaf when node n is asked for with inputs `given`, and `known` inputs were read before."""
        kind, at, i = source
        if kind == "node":
            return f"parts(*rec.nodes[{at}][:2])[1][{i}]" if at < n else None
        if at < known:
            return f"rec.inputs[{at}].type.shape[{i}]"
        return f"given[{given.index(-1 - at)}].type.shape[{i}]" if -1 - at in given else None

    def values(self) -> Any:
        """The function that gives the symbols' values, or None."""
        origins = self.forecast.general.origins
        lines = [f"    {name} = {self.found.get(name) or python_text(origins[name])}" for name in self.wanted]
        free, bounded = self.forecast.general.symbols, self.forecast.general.bounded
        tests = [f"{s.min} <= {s.name}" for s in bounded]
        tests += [f"{s.name} <= {s.max}" for s in bounded if s.max != float("inf")]
        lines.append(f"    return ({''.join(s.name + ', ' for s in free)}) if {' and '.join(tests) or 'True'} else None")
        return self._function("values", "rec, given", lines)

    # ---- what is filled in

    def planting(self, live: tuple[int, ...]) -> Any:
        """The function that fills in everything, from the symbols' values, and says what will be recorded, where all of it is known."""
        attrs: list[str | None] = []  # of each node; None: they are not known
        for n, (op, given, ids) in enumerate(self.rec.nodes):
            node = self.made.get(n)
            if node is None or not _symbolic(node):
                attrs.append(self.const(given))
                continue
            if op is not node.op or len(ids) != len(node.inputs):  # it takes a number more
                attrs.append(None)
                continue
            c = self.forecast.composites.get(n)
            made = None if c is None else self._composite(n, c)
            inline = isinstance(op.lowering, Inline)
            if inline:
                text = made and f"{made}.attrs"
            else:
                text = None if any(isinstance(a, Graph) for a in node.attrs) else self._named(self._attrs(node.attrs))
            attrs.append(text)
            if text is not None:
                ins, outs = (f"({''.join(self.type(self.types[i]) + ', ' for i in some)})" for some in (ids, self.rec.outputs_of(n)))
                guessed = c is not None and c.traced.places  # these may be others than was guessed
                if guessed:
                    if made is None:
                        continue
                    outs = f"{made}.graph.out_types"
                test = f"if {made} is not None: " if inline or guessed else ""
                self.line(f"{test}signed({self.const(op)}, {text}, {ins}, {outs})")
        if None not in attrs and len(self.graph.inputs) == len(self.forecast.plan.reads):
            self._plan(live, attrs)  # type: ignore[arg-type]
        names = ", ".join(s.name for s in self.forecast.general.symbols)
        return self._function("plant", names, list(self.lines) or ["    pass"])

    def _composite(self, n: int, c: Composite) -> str | None:
        """Has the trace of a composite be known. The name that it has; None where its arguments are not known."""
        ids = self.rec.nodes[n][2]
        given = _arguments(ids, c)
        if not all(i is not None for i in given):
            return None
        types = [self.types[i] for i in given]
        at = [i for i in (*ids, *self.rec.outputs_of(n)) if self.types[i].symbolic]
        sizes = {k: d for i in at for k, d in zip(self.rec.type_of(i).shape, self.types[i].shape)}  # guesses at what ints are
        ints = [x[1] for x in _pairs(c.key)]
        if any(ints[p] not in sizes for p in c.traced.places):
            return None
        changing = {p: self._attrs(sizes[ints[p]]) for p in c.traced.places}
        key = self._key(c.key, iter(types), iter([changing.get(p) for p in range(len(ints))]))
        extents = [self._attrs(d) for t in types for d in t.shape] + [changing[p] for p in c.traced.places]
        text = f"{self.const(c.traced)}.sized(({''.join(d + ', ' for d in extents)}))"
        name = self.instances.get(text)
        if name is None:
            name = self.instances[text] = f"m{len(self.instances)}"
            self.line(f"{name} = {text}")
            self.line(f"if {name} is not None: {self.const(c.keep)}({key}, {name})")
        return name

    def _key(self, x: Any, types: Iterator[TensorType], ints: Iterator[str | None]) -> str:
        if isinstance(x, TensorType):
            return self.type(next(types))
        if _is_int(x):
            return f"({self.const(int)}, {next(ints) or x[1]})"
        if type(x) is tuple:
            return f"({''.join(self._key(y, types, ints) + ', ' for y in x)})"
        return self.const(x)

    def _plan(self, live: tuple[int, ...], attrs: Sequence[str]) -> None:
        made = ", ".join(self.instances.values())
        test = f" if None not in ({made},) else None" if made else ""
        nodes = "".join(f"({self.const(op)}, {a}, {ids}), " for (op, _, ids), a in zip(self.rec.nodes, attrs))
        inputs = [self.types[-1 - k] for k in range(len(self.rec.inputs))]
        ids = [f"id({self.type(t)})" if t.symbolic else str(id(t)) for t in inputs]
        keys = "".join(f"~{i}, " if key < 0 else f"{i}, " for i, key in zip(ids, self.rec.input_keys))
        types = "".join(self.type(t) + ", " for t in inputs)
        sizes = "".join(s.name + ", " for s in self.forecast.general.symbols)
        self.line(f"return (({nodes}), {live}, ({keys}), ({types}), ({sizes})){test}")

    # ---- texts

    def line(self, text: str) -> None:
        self.lines["    " + text] = None

    def _named(self, text: str) -> str:
        """A name for what is the same object wherever it is read."""
        if not text.startswith("("):
            return text
        name = self.sized.get(text)
        if name is None:
            name = self.sized[text] = f"a{len(self.sized)}"
            self.line(f"{name} = {text}")
        return name

    def type(self, t: TensorType) -> str:
        if not t.symbolic:
            return self.const(t)
        name = self.written.get(t)
        if name is None:
            name = self.written[t] = f"t{len(self.written)}"
            self.line(f"{name} = T({self.const(t.dtype)}, {self._attrs(t.shape)})")
        return name

    def _attrs(self, x: Any) -> str:
        if type(x) is tuple:
            return f"({''.join(self._attrs(y) + ', ' for y in x)})" if symbols(*_flat(x)) else self.const(x)
        return python_text(x) if isinstance(x, Size) else self.const(x)

    def const(self, x: Any) -> str:
        if x is None or type(x) in (int, bool, str):
            return repr(x)
        name = self.names.get(id(x))
        if name is None:
            name = self.names[id(x)] = f"c{len(self.names)}"
            self.scope[name] = x
        return name

    def _function(self, name: str, arguments: str, lines: Sequence[str]) -> Any:
        scope = dict(self.scope)
        exec(compile(f"def {name}({arguments}):\n" + "\n".join(lines), "<forecast>", "exec"), scope)
        return scope[name]


def _arguments(ids: Sequence[int], c: Composite | None) -> list[Any]:
    """The values that a node was asked for with; None where it does not have one of them."""
    if c is None or c.traced.order is None:
        return list(ids)
    given: list[Any] = [None] * sum(isinstance(x, TensorType) for x in _flat(c.key))
    for i, k in zip(ids, c.traced.order):
        given[k] = i
    return given


def _is_int(x: Any) -> bool:
    return type(x) is tuple and len(x) == 2 and x[0] is int


def _pairs(key: Any) -> list[tuple[type, int]]:
    """The ints in the key of a composite, as they stand there."""
    return [key] if _is_int(key) else [p for y in key for p in _pairs(y)] if type(key) is tuple else []


def _symbolic(node: Node) -> bool:
    held = (*node.inputs, *node.outputs)
    return any(v.type.symbolic for v in held) or bool(symbols(*[a for a in _flat(node.attrs) if isinstance(a, Size)]))


def _flat(x: Any) -> list[Any]:
    return [z for y in x for z in _flat(y)] if type(x) is tuple else [x]
