"""Composites: a functional written in Tensor operations, recorded as one node.

    @composite
    def softmax(x, dim):
        e = ingot.exp(x - x.amax(dim, keepdim=True))
        return e / e.sum(dim, keepdim=True)

The function is traced once per signature. Its derivative comes from its graph, and the compiler's first pass inlines it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from ingot._tensor.extents import Again, Extent, Extents, plain_dim
from ingot._tensor.metadata import get_default_dtype
from ingot._tensor.reals import Formula, Real
from ingot._tensor.recording import record, stop_gradient
from ingot._tensor.state import Tensor, wrap
from ingot.ir.dtypes import DType, f64, i64
from ingot.ir.facts import Kept
from ingot.ir.graph import Graph
from ingot.ir.op import OPS, Op
from ingot.ir.size import Size, deciding, decisions, replaced, symbols
from ingot.ir.template import Instance, Template, Templates, Unsized, symbols_of
from ingot.ir.types import Dim, TensorType
from ingot.runtime.array import Array
from ingot.runtime.forecast import Composite, foretold
from ingot.runtime.numbers import rank0
from ingot.runtime.recorder import Recorder, here
from ingot.runtime.sight import unseen
from ingot.runtime.tape import KEPT

__all__ = ["clear", "composite", "keeps", "routine", "CompositeTrace"]

F = TypeVar("F", bound=Callable)


_LIMIT = 1024  # signatures kept of one composite
_TABLES: list[dict[Any, Any]] = []  # what is known of all composites


def clear() -> None:
    """Forget all traces of composites, and those that are for all sizes."""
    for table in _TABLES:
        table.clear()


class CompositeTrace(Recorder):
    """The recorder while a composite is traced: its inputs are placeholders, and nothing else may be read."""

    tracing = derives = True

    def __init__(self, name: str):
        super().__init__()
        self.outer = here.recorder
        self.extents = self.outer.extents
        self.sized_constants = self.outer.sized_constants
        self.read: dict[Size | Formula, Array] = {}  # numbers whose values are read, and the inputs that stand for them
        self.name = name
        self.inner_slots: set[Any] = set()
        self.grad_enabled = False  # the derivative comes from the graph

    def placeholder(self, like: Tensor, type: TensorType | None = None) -> Tensor:
        """A Tensor, of `type` where that is another, that stands for an argument like `like`."""
        a = Array((type or like._array.type).on(None), None, -1 - len(self.inputs), self)
        self.inputs.append(a)
        self.input_keys.append(id(a.type))
        out = wrap((a, None))
        out._weak = like._weak
        return out

    def extent(self, dim: Size | Formula) -> Array:
        """The value of a size or formula, as a scalar: an input more, which whoever records the composite passes."""
        found = self.read.get(dim)
        if found is None:
            found = self.read[dim] = Array(rank0(i64 if isinstance(dim, Size) else f64), None, -1 - len(self.inputs), self)
            self.inputs.append(found)
            self.input_keys.append(id(found.type))
        return found

    def stand_in(self, t: Tensor) -> Tensor:
        """`t`, which must have been made here: RuntimeError for a tensor that is no argument."""
        if t._array.source is not self:
            raise RuntimeError(f"composite {self.name}: a tensor that is not an argument is read or written; pass it as an argument")
        return t

    def detach(self, t: Tensor) -> Tensor:
        """`t` without its history: its values go through an integer type, for the derivative comes from the graph."""
        return stop_gradient(t)

    def input(self, a: Array) -> int | None:
        raise RuntimeError(f"composite {self.name}: a value that is not an argument is read; pass it as an argument")

    def need(self, a: Array) -> None:
        raise RuntimeError(f"composite {self.name}: the value of a tensor is not known while the function is traced")

    def flush(self) -> None:
        """Nothing runs while a composite is traced."""

    def read_grad(self, slot: Any, value: Any = None) -> Any:
        raise RuntimeError(f"composite {self.name}: .grad is read or written")

    write_grad = read_grad

    def will_rebind(self, t: Any, value: Any) -> Any:
        raise RuntimeError(f"composite {self.name}: .data is assigned")

    def reserve(self, generator: Any, blocks: int) -> Any:
        raise RuntimeError(f"composite {self.name}: random numbers are drawn; draw them outside and pass them as an argument")

    def cell(self, container: Any, key: Any, index: int | None) -> Any:
        raise RuntimeError(f"composite {self.name}: a host number is read at run time; pass it as an argument")


class _Traced:
    """One signature of a composite: what to record, and how to give the results back."""

    __slots__ = ("op", "attrs", "order", "rebuild", "read", "places", "graph")

    def __init__(self, graph: Graph, rebuild: Callable[[Any], Any], read: tuple[Size | Formula, ...], places: Sequence[int] = ()):
        self.read = read  # sizes and formulas whose values are the last inputs
        self.places = places  # of the ints among its arguments, which are sizes of its template
        self.graph = graph
        self.op: Op = OPS["call"]
        self.attrs: tuple = (graph,)
        self.order: tuple[int, ...] | None = None
        self.rebuild = rebuild
        one = graph.single
        if one is not None:  # a composite of one op is that op
            self.op, self.attrs, self.order = one

    def sized(self, sizes: tuple[int, ...]) -> _Traced | None:
        """This for other sizes: the extents of all tensors, then the ints at `places`. None where its template is not for them."""
        graph = self.graph
        assert isinstance(graph, Instance)
        template = graph.template
        values = template.values_of(sizes)
        if values is None:
            return None
        made = _Traced.__new__(_Traced)
        made.graph = Instance(template, values)
        made.op, made.order, made.rebuild, made.read, made.places = self.op, self.order, self.rebuild, (), self.places
        made.attrs = (made.graph,) if self.order is None else template.attrs_of(values)
        return made


def _static(v: Any) -> Any:
    """A key under which `v` is known: 1, 1.0 and True are different, and so are 0.0 and -0.0."""
    if type(v) in (Extent, Real):
        return plain_dim(v)
    if type(v) is float:
        return (float, v) if v and v == v else (float, repr(math.copysign(1.0, v)), repr(v))
    if isinstance(v, (tuple, list)):
        return (type(v), *map(_static, v))
    return v if v is None or isinstance(v, (str, DType)) else (type(v), v)


def composite(fn: F) -> F:
    """Make `fn` a composite: Tensor arguments (also inside lists and tuples) are inputs, all others are static.

    `fn` returns a Tensor, or a tuple of Tensors. TypeError for a static argument that is not hashable.

    >>> @composite
    ... def mish(x):
    ...     return x * ingot.tanh(ingot.log1p(ingot.exp(x)))
    >>> mish(ingot.ones(2))
    tensor([0.8651, 0.8651])
    """
    traces: dict[Any, _Traced] = {}
    signatures: dict[Any, _Signatures] = {}
    _TABLES.extend([traces, signatures])
    name = fn.__name__

    def keep(key: tuple, traced: _Traced) -> None:
        if len(traces) >= _LIMIT:
            traces.clear()
        traces[key] = traced

    def call(*args: Any, **kwargs: Any) -> Any:
        tensors: list[Tensor] = []
        key: list[Any] = [get_default_dtype()]
        for a in args:
            if isinstance(a, Tensor):
                tensors.append(a)
                key.append(a._array.type)
                if a._weak:
                    key.append("weak")
            else:
                key.append(_flat(a, tensors))
        for option in sorted(kwargs):
            key.append(option)
            key.append(_flat(kwargs[option], tensors))
        k = tuple(key)
        try:
            traced = traces.get(k)
        except TypeError as e:
            raise TypeError(f"{name}: a static argument is not hashable ({e})") from None
        if traced is None:
            rec = here.recorder
            if not rec.tracing and foretold(rec, keep, [t._array for t in tensors]):
                traced = traces.get(k)
        if traced is None:
            before = decisions()
            if not rec.tracing:
                traced = _of_template(fn, name, args, kwargs, signatures)
                if traced is not None and not rec.level:
                    before = decisions()  # of the template's symbols: it is for these sizes whatever they are
            traced = traced or unseen(_trace, fn, name, args, kwargs)
            if decisions() == before:
                keep(k, traced)
            if not rec.tracing and isinstance(traced.graph, Instance) and all([t._array.type.device is None for t in tensors]):
                rec.composites.append(Composite(len(rec.nodes), traced, k, keep))
        if traced.read:
            rec = here.recorder
            tensors += [wrap((rec.extent(d), None)) for d in traced.read]
        if traced.order is not None:
            tensors = [tensors[i] for i in traced.order]
        return traced.rebuild(record(traced.op, tensors, traced.attrs))

    return functools.wraps(fn)(call)  # type: ignore[return-value]


def keeps(kept: Kept) -> Callable[[F], F]:
    """Say what programs must not write before the backward of a composite, where that is not what it reads: put under `composite`."""

    def mark(fn: F) -> F:
        KEPT[fn.__name__] = kept
        return fn

    return mark


def _flat(a: Any, tensors: list[Tensor]) -> Any:
    if isinstance(a, Tensor):
        tensors.append(a)
        return (Tensor, a._array.type, a._weak)
    if isinstance(a, (tuple, list)):
        return (type(a), *[_flat(x, tensors) for x in a])
    return _static(a)


def _structure(a: Any, sizes: list[int], ints: list[int]) -> Any:
    """The key of an argument but for the sizes of tensors, which are appended to `sizes`, and for Python's ints."""
    if isinstance(a, Tensor):
        t = a._array.type
        sizes += t.shape
        return (Tensor, t.dtype, len(t.shape), a._weak)
    if isinstance(a, (tuple, list)):
        return (type(a), *[_structure(x, sizes, ints) for x in a])
    if type(a) is int:
        ints.append(a)
        return int
    return _static(a)


class _Signatures:
    """The signatures of one structure. An int among the arguments is a size once it has had two values, and static before; always
    static is one that becomes an attribute that holds no sizes, as a padding does.
    """

    __slots__ = ("first", "changing", "static", "templates")

    def __init__(self, ints: list[int]):
        self.first = ints
        self.changing: frozenset[int] = frozenset()
        self.static: frozenset[int] = frozenset()
        self.templates: dict[Any, Templates] = {}

    def sizes_among(self, ints: list[int]) -> list[int]:
        """The places of those that are sizes."""
        differ = [i for i, (n, m) in enumerate(zip(ints, self.first)) if n != m and n >= 0 and m >= 0]
        if not self.changing.issuperset(differ):
            self.changing |= set(differ)
        return [i for i in sorted(self.changing - self.static) if ints[i] >= 0]


def _of_template(fn: Callable, name: str, args: tuple, kwargs: dict, known: dict[Any, _Signatures]) -> _Traced | None:
    """The trace for these sizes, made of one for all of them; None where there is none, yet or at all."""
    found: list[int] = []
    ints: list[int] = []
    given = [_structure(a, found, ints) for a in args]
    given += [(k, _structure(kwargs[k], found, ints)) for k in sorted(kwargs)]
    key = (get_default_dtype(), *given)
    signatures = known.get(key)
    if signatures is None:
        if len(known) >= _LIMIT:
            known.clear()
        signatures = known[key] = _Signatures(ints)
    places = signatures.sizes_among(ints)
    static = tuple([None if i in places else n for i, n in enumerate(ints)])
    templates = signatures.templates.get(static)
    if templates is None:
        if len(signatures.templates) >= _LIMIT:
            signatures.templates.clear()
        templates = signatures.templates[static] = Templates(seen=bool(places))
    sizes = (*found, *[ints[i] for i in places])
    graph = templates.instance(sizes, lambda: _template(fn, name, args, kwargs, sizes, ints, places, signatures))
    return None if graph is None else _Traced(graph, graph.template.result, (), places)


def _template(
    fn: Callable, name: str, args: tuple, kwargs: dict, sizes: tuple[int, ...], ints: list[int], places: list[int], known: _Signatures
) -> Template:
    """The trace with symbols in the place of the sizes, and the conditions under which it is that for others.

    sizes: the extents of the tensors, then those of the `ints` that stand at `places`
    """
    dims = symbols_of(sizes)
    while True:
        extents = Extents({f"d{i}": n for i, n in enumerate(sizes)}, floats=False)
        numbers: list[Any] = list(ints)
        for i, d in zip(places, dims[len(dims) - len(places) :]):
            numbers[i] = extents.of(d)
        try:
            with deciding(extents.decide):
                graph, rebuild = _traced_graph(_TemplateTrace(name, extents), fn, args, kwargs, iter(dims), iter(numbers))
        except Again as again:
            dims = tuple([replaced(d, again.values) for d in dims])
            continue
        finally:
            extents.close()
        try:
            made = Template(graph, dims, extents.guards)
        except Unsized as e:
            own = zip(places, dims[len(dims) - len(places) :])
            known.static |= {i for i, d in own if e.symbols.intersection(symbols(d))}
            raise
        made.result = rebuild
        return made


class _TemplateTrace(CompositeTrace):
    """The trace of a composite for all sizes."""

    def __init__(self, name: str, extents: Extents):
        super().__init__(name)
        self.extents = extents
        self.sized_constants = True


def _trace(fn: Callable, name: str, args: tuple, kwargs: dict) -> _Traced:
    trace = CompositeTrace(name)
    graph, rebuild = _traced_graph(trace, fn, args, kwargs)
    return _Traced(graph, rebuild, tuple(trace.read))


def _traced_graph(
    trace: CompositeTrace, fn: Callable, args: tuple, kwargs: dict, dims: Iterator[Dim] | None = None, ints: Iterator[Any] | None = None
) -> tuple[Graph, Callable[[Any], Any]]:
    """What `fn` records in `trace`, and how to give the results back. dims, ints: the sizes of its arguments, where they are others."""

    def stand_in(a: Any) -> Any:
        if isinstance(a, Tensor):
            t = a._array.type
            return trace.placeholder(a, None if dims is None else t.with_shape(tuple([next(dims) for _ in t.shape])))
        if isinstance(a, (tuple, list)):
            items = [stand_in(x) for x in a]
            return type(a)(*items) if hasattr(a, "_fields") else type(a)(items)
        return a if ints is None or type(a) is not int else next(ints)

    outer = here.recorder
    here.recorder = trace
    try:
        given = [stand_in(a) for a in args]
        named = {k: stand_in(kwargs[k]) for k in sorted(kwargs)}
        result = fn(*given, **named)
        outs = result if isinstance(result, (tuple, list)) else (result,)
        if not outs or not all(isinstance(t, Tensor) for t in outs):
            raise TypeError(f"composite {trace.name}: must return a Tensor or a tuple of Tensors, not {type(result).__name__}")
        live = tuple(t._now().value for t in outs)
    finally:
        here.recorder = outer
    graph = trace.whole_graph(live, trace.name)
    if isinstance(result, Tensor):
        return graph, _same
    if hasattr(result, "_fields"):
        cls = type(result)
        return graph, (lambda r: cls(*r)) if len(outs) > 1 else cls
    return graph, _same if len(outs) > 1 else lambda r: (r,)


def _same(r: Any) -> Any:
    return r


def routine(name: str) -> Callable[[F], F]:
    """A composite whose graph has the name of a routine (`ir/lower/routines.py`), of which some targets have kernels."""

    def named(fn: F) -> F:
        fn.__name__ = name
        return composite(fn)

    return named
