"""Which code runs what was recorded: plans, found by the exact recording, else by its structure.

The first recording of a structure (see ir/structure.py) gets a plan for its sizes. One that comes back with others gets a symbolic
plan, made of all that were seen (ir/transforms/generalise.py), which is for every recording whose sizes it matches: each size is
compared with what the plan has in its place. Where there is no symbolic plan, each recording has its own, and the reason is in the log.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ingot.ir.graph import Const, Graph
from ingot.ir.op import Op
from ingot.ir.precision import PRODUCTS
from ingot.ir.size import ShapeError
from ingot.ir.structure import Form, Leaf, outline, parts
from ingot.ir.template import python_text
from ingot.runtime import log
from ingot.runtime.digest import sha256
from ingot.runtime.forecast import Forecast
from ingot.runtime.forecast import clear as _forget_forecasts
from ingot.runtime.frozen import FrozenError

if TYPE_CHECKING:
    from ingot.ir.transforms.generalise import General

__all__ = ["Bound", "Plan", "bound", "clear", "stats", "structure"]

_PLANS: dict[Any, Bound] = {}  # by exact recording
_PLANS_LIMIT = 4096
_NODES_LIMIT = 100_000  # of all the recordings in it
_FAMILIES: dict[Any, Family] = {}  # by structure
_FAMILIES_LIMIT = 2048
_QUICK_BYTES = 64 << 10  # of inputs and outputs
_QUICK_CALLS = 256  # about as long as to compile it once more
_SAMPLES = 8  # recordings of a structure that are remembered, to make symbolic plans of
_PARTS: dict[Any, tuple[Form, tuple[Leaf, ...]]] = {}  # of nodes, by op and attributes
_PARTS_LIMIT = 16384
stats = {"flushes": 0, "plans": 0, "symbolic": 0}
_held = 0  # nodes of the recordings in _PLANS


class Plan:
    """What runs one recorded list of nodes: the executable, and which inputs it reads.

    Code that is to run on little memory, and not yet often, is made the quick way: most graphs of a notebook run once. It gives way to
    the other, which computes the same bits, after so many calls, or when more memory comes.
    """

    __slots__ = ("graph", "reads", "run", "dropped", "_quick", "_left", "_nbytes")

    def __init__(
        self, graph: Graph, reads: tuple[int, ...], dropped: tuple[int, ...], device: int | None = None, sizes: tuple[int, ...] = ()
    ):
        self.graph = graph
        self.dropped = dropped  # values that it makes beside those that are wanted, for their computation may fail
        self.reads = reads  # of the recorder's inputs, those that the graph has
        from ingot.runtime import compiler  # not before something runs: it brings the cache along

        self._nbytes = _nbytes(graph)
        little = device is None and self._nbytes(*sizes) <= _QUICK_BYTES
        run = compiler.eager(graph, device, little).run
        self.run: Callable[..., None] = run
        if little:
            self._quick, self._left = run, _QUICK_CALLS
            self.run = self._run_quick
        stats["plans"] += 1

    def _run_quick(self, *slots: Any) -> None:
        self._left -= 1
        sizes = slots[len(slots) - len(self.graph.symbols) :]
        if self._left < 0 or sizes and self._nbytes(*sizes) > _QUICK_BYTES:
            self._improve()
            self.run(*slots)
        else:
            self._quick(*slots)

    def _improve(self) -> None:
        """From now on the better code runs, if it may be made."""
        from ingot.runtime import compiler

        self.run = self._quick
        with suppress(FrozenError):
            self.run = compiler.executable(self.graph).run


def _nbytes(graph: Graph) -> Callable[..., int]:
    """How many bytes a call takes and gives, by the values of the symbols."""
    nbytes: Any = 0
    for t in (*graph.in_types, *graph.out_types):
        nbytes = nbytes + t.nbytes
    names = ", ".join(s.name for s in graph.symbols)
    return eval(f"lambda {names}: {python_text(nbytes)}", {"min": min, "max": max})


class Bound:
    """A plan with what it is called with for one recording, beside inputs and outputs: numbers that follow the inputs, and sizes."""

    __slots__ = ("plan", "numbers", "sizes", "keep")

    def __init__(self, plan: Plan, numbers: tuple[Any, ...] = (), sizes: tuple[int, ...] = ()):
        self.plan = plan
        self.numbers = numbers
        self.sizes = sizes
        self.keep: Any = None  # objects whose ids are part of the recording's key


class Family:
    """The plans of one structure."""

    __slots__ = ("dropped", "structure", "samples", "static", "symbolic", "why")

    def __init__(self, dropped: tuple[int, ...], structure: str) -> None:
        self.dropped = dropped
        self.structure = structure  # what it is known by in all processes; empty where the package has no code for it
        self.samples: list[tuple[Leaf, ...]] = []
        self.static: dict[tuple[Leaf, ...], Plan] = {}
        self.symbolic: list[tuple[Plan, Any, Forecast]] = []  # the newest last, and what matches leaves with it
        self.why = ""  # no more symbolic plans are made


def clear() -> None:
    """Forget all plans. What was compiled for them stays known."""
    global _held
    _PLANS.clear()
    _FAMILIES.clear()
    _forget_forecasts()
    _held = 0


def bound(rec: Any, live: tuple[int, ...], alone: bool = False) -> Bound:
    """What computes the values `live` of a recorder, and what is dropped and may fail, but if `alone`."""
    stats["flushes"] += 1
    recorded = (tuple(rec.nodes), live, tuple(rec.input_keys))
    key = (*recorded, alone, rec.device, PRODUCTS[0])
    foretold = rec.foretold
    found: Bound | None
    if foretold is not None and foretold[:3] == recorded and not alone:
        found = Bound(rec.forecast.plan, (), foretold[4])
        found.keep = foretold[3]
        _keep(key, found)
    else:
        found = _PLANS.get(key)
        if found is None:
            found = _of_structure(rec, live, alone)
            found.keep = [a.type for a in rec.inputs]
            _keep(key, found)
    if rec.forecast is not None and not alone:
        rec.forecast.judge(rec.forecast.plan is found.plan)
    return found


def _keep(key: Any, found: Bound) -> None:
    global _held
    while _PLANS and (len(_PLANS) >= _PLANS_LIMIT or _held + len(key[0]) > _NODES_LIMIT):
        first = next(iter(_PLANS))
        del _PLANS[first]
        _held -= len(first[0])
    if _PLANS.setdefault(key, found) is found:
        _held += len(key[0])


def _of_structure(rec: Any, live: tuple[int, ...], alone: bool) -> Bound:
    leaves: list[Leaf] = []
    for a in rec.inputs:
        leaves += a.type.shape
    found = [_PARTS.get((op, attrs)) or _parts_of(op, attrs) for op, attrs, _ in rec.nodes]
    for _, more in found:
        if more:
            leaves += more
    inputs = [(a.type.dtype, len(a.type.shape), a.buffer is None) for a in rec.inputs]
    key = (tuple(inputs), tuple([f for f, _ in found]), tuple([n[2] for n in rec.nodes]), live, alone, rec.device, PRODUCTS[0])
    family = _FAMILIES.get(key)
    if family is None:
        if len(_FAMILIES) >= _FAMILIES_LIMIT:
            del _FAMILIES[next(iter(_FAMILIES))]
        dropped = () if alone else tuple(rec.dropped(live))
        family = _FAMILIES[key] = Family(dropped, "" if alone or rec.device is not None else structure(rec, live))
    for i in (*live, *family.dropped):
        leaves += rec.type_of(i).shape
    sample = tuple(leaves)
    for plan, match, forecast in reversed(family.symbolic):
        given = match(sample)
        if given is not None:
            if not alone and rec.device is None:
                forecast.learn(rec, (*live, *family.dropped), live)
            return Bound(plan, tuple(map(_number, given[0])), given[1])
    plan = family.static.get(sample)
    return _made(rec, live, alone, family, sample) if plan is None else Bound(plan)


def _parts_of(op: Op, attrs: tuple[Any, ...]) -> tuple[Form, tuple[Leaf, ...]]:
    if len(_PARTS) >= _PARTS_LIMIT:
        _PARTS.clear()
    found = _PARTS[op, attrs] = parts(op, attrs)
    return found


def _made(rec: Any, live: tuple[int, ...], alone: bool, family: Family, sample: tuple[Leaf, ...]) -> Bound:
    """A plan for what no plan is for: symbolic if there were others of its structure, and there is a graph for all of them."""
    outputs = (*live, *family.dropped)
    graph, reads = rec.graph(outputs)
    made = None
    if family.samples and not family.why:
        made = _generalised(rec, outputs, graph, reads, (*family.samples, sample))
    elif not family.samples and family.structure:
        made = _packaged(rec, outputs, graph, reads, family.structure, sample)
    family.samples = [*family.samples[1 - _SAMPLES :], sample]
    if made is not None:
        try:
            numbers, sizes = made.match(sample)  # type: ignore[misc]  # it was made for these, too
            plan = Plan(made.graph, reads, family.dropped, rec.device, sizes)
        except ShapeError as error:
            family.why = str(error)
        except FrozenError:  # the code for these sizes alone may be known
            log.log("recompiles", "%s came back with other sizes, and compiling is frozen", graph.name)
        else:
            stats["symbolic"] += 1
            forecast = Forecast(plan, made)
            family.symbolic.append((plan, made.match, forecast))
            if not alone and rec.device is None:
                forecast.learn(rec, outputs, live)
            if len(family.symbolic) >= _SAMPLES:
                family.why = f"{_SAMPLES} symbolic graphs were made for it"
            if len(family.samples) > 1:
                _tell(graph, f"now one graph for all, with {', '.join(s.bounds_text for s in made.symbols) or 'numbers passed in'}")
            return Bound(plan, tuple(map(_number, numbers)), sizes)
    if len(family.samples) > 1:
        _tell(graph, f"one graph more, for these sizes alone: {family.why or 'the shape rules leave no symbol'}")
    plan = Plan(graph, reads, family.dropped, rec.device)
    if len(family.static) >= _SAMPLES:
        del family.static[next(iter(family.static))]
    family.static[sample] = plan
    return Bound(plan)


def _tell(graph: Graph, how: str) -> None:
    if log.enabled("recompiles"):
        from ingot.ir.location import describe

        where = next((describe(n.loc) for n in graph.nodes if n.loc is not None), "")
        log.log("recompiles", "%s came back with other sizes: %s\n%s", graph.name, how, where)


def _packaged(
    rec: Any, outputs: tuple[int, ...], graph: Graph, reads: tuple[int, ...], structure: str, sample: tuple[Leaf, ...]
) -> General | None:
    """The symbolic graph for this recording and one like it whose leaves come with the package, if its code does so too."""
    from ingot.runtime import compiler
    from ingot.runtime.cache import packaged

    known = packaged.samples().get(structure, ())
    if len(known) != len(sample):
        return None
    made = _generalised(rec, outputs, graph, reads, (tuple([s if k is None else k for k, s in zip(known, sample)]), sample))
    found = None if made is None else made.match(sample)
    if made is None or found is None or not compiler.comes_along(made.graph, _nbytes(made.graph)(*found[1]) <= _QUICK_BYTES):
        return None
    return made


def structure(rec: Any, live: tuple[int, ...]) -> str:
    """What recordings of this structure are known by in all processes."""
    inputs = [(a.type.dtype.name, len(a.type.shape), a.buffer is None) for a in rec.inputs]
    text = repr((inputs, [(outline(op, attrs), ids) for op, attrs, ids in rec.nodes], live, PRODUCTS[0]))
    return sha256(text.encode()).hexdigest()[:32]


def _generalised(
    rec: Any, outputs: tuple[int, ...], graph: Graph, reads: tuple[int, ...], samples: Sequence[tuple[Leaf, ...]]
) -> General | None:
    """The symbolic graph for the most of the recordings so far and this one, whose samples are given."""
    from ingot.ir.transforms.generalise import generalise

    at = _places(rec, outputs, reads, len(samples[-1]))
    samples = [tuple([s[i] for i in at]) for s in samples]
    best = None
    for earlier in [samples[:-1], *([s] for s in reversed(samples[:-1]))]:
        found = generalise(graph, [*earlier, samples[-1]], at)
        if found is not None and (best is None or found.fixed < best.fixed):
            best = found
        if best is not None and not best.fixed:
            break
    return best


def _places(rec: Any, outputs: tuple[int, ...], reads: tuple[int, ...], total: int) -> list[int]:
    """Where the leaves of the recorder's graph for `outputs` stand among those of the whole recording."""
    ranges, k = [], 0
    for a in rec.inputs:
        ranges.append(range(k, k := k + len(a.type.shape)))
    found = [i for n in reads for i in ranges[n]]
    ranges = []
    for op, attrs, _ in rec.nodes:
        ranges.append(range(k, k := k + len(parts(op, attrs)[1])))
    for n in reversed(rec.needed(outputs)[0]):
        found += ranges[n]
    return found + list(range(k, total))


def _number(c: Const) -> Any:
    """The payload of a constant of one element as a Python number."""
    value, kind = c.array(), c.type.dtype.kind
    return float(value) if kind == "f" else bool(value) if kind == "b" else int(value)
