"""The tracing half of `ingot.export`: from a function or module and example inputs to a graph, its weights, and what feeds it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot.capture.argnames import leaf_names, parameter_names
from ingot.capture.declared import Declared
from ingot.capture.errors import CaptureError
from ingot.capture.function import CompiledFunction
from ingot.capture.module import CompiledModule
from ingot.capture.pytree import flatten
from ingot.capture.recipes import Value
from ingot.capture.roots import Roots, find_roots, is_module
from ingot.capture.shapes import Fit, Shapes
from ingot.capture.sources import Argument, ExtentValue, FormulaValue, Offset
from ingot.capture.traced import Traced
from ingot.capture.tracing import trace_function
from ingot.ir.graph import Graph
from ingot.ir.graph import Value as IRValue
from ingot.ir.size import symbol, symbols
from ingot.ir.types import TensorType
from ingot.runtime.array import to_numpy
from ingot.runtime.artifact import tree
from ingot.runtime.artifact.export import write_artifact

if TYPE_CHECKING:
    from ingot.backends import Level

__all__ = ["Exported", "TracedModel", "argument_names", "export", "exported", "traced_model", "write"]


class TracedModel(NamedTuple):
    """A function or Module as a graph, for files.

    feed: where each input of the graph comes from: ("input", which), ("weight", name), or ("size", dim) for the value of a size
    inputs: names and types
    measured: sizes that the graph computes, by the names of their symbols: the values that they are
    """

    name: str
    graph: Graph
    feed: list[tuple[str, Any]]
    weights: dict[str, np.ndarray]
    inputs: list[tuple[str, TensorType]]
    measured: dict[str, IRValue]


def traced_model(target: Any, example_inputs: Any, named: Mapping[str, Any], dynamic_shapes: Any = None) -> TracedModel:
    """A function or Module traced on example inputs, `named` ones behind them, without compiling anything. Errors as `ingot.export`'s.

    dynamic_shapes: as in torch.export; ValueError where a size that it names cannot vary. The graph may compute sizes.
    """
    fn, name = _callable(target)
    given = tuple(example_inputs) if isinstance(example_inputs, (tuple, list)) else (example_inputs,)
    if named:
        given = (*given, *_by_name(fn, len(given), named))
    args = tuple(_copied(a) for a in given)
    leaves = _leaves(args)
    shapes = _declared(fn, args, dynamic_shapes)
    traced, graph, _, roots = _traced(fn, name, args, grad=True, shapes=shapes, computed=True)  # a function may call backward
    feed, weights = _feed(traced, leaves, roots.storage_names(), {} if shapes is None else shapes.values)
    types = []
    for i, x in enumerate(leaves):
        if isinstance(x, Tensor):
            t = x._array.type
            types.append(t if shapes is None else t.with_shape(shapes.shape(i, t.shape)))
    measured = {n: traced.graph.outputs[k] for n, (k, _) in traced.measured.items()}
    return TracedModel(name, graph, feed, weights, list(zip(_input_names(fn, args), types)), measured)


def argument_names(target: Any) -> list[str]:
    """The names of the positional parameters of a function, or of a Module's call."""
    return parameter_names(_callable(target)[0])[0]


class Exported(NamedTuple):
    """What an artifact is made of.

    feed: where each input of the graph comes from: ("input", which) or ("weight", name)
    inputs: names and types of the tensors among the arguments; in_tree, out_tree: how these and the results are nested, see
        runtime/artifact/tree.py
    example: the tensors of the example
    arguments: the names of the arguments
    outputs: the names of the results, where a loaded model says them
    """

    name: str
    graph: Graph
    feed: list[tuple[str, Any]]
    weights: dict[str, np.ndarray]
    inputs: list[tuple[str, TensorType]]
    in_tree: Any
    out_tree: Any
    example: list[np.ndarray]
    arguments: list[str]
    outputs: list[str] | None


def exported(target: Any, example_inputs: Any, named: Mapping[str, Any], dynamic_shapes: Any) -> Exported:
    """A function or Module traced on example inputs, `named` ones behind them. Errors as `ingot.export`'s."""
    fn, name = _callable(target)
    if isinstance(example_inputs, (Tensor, np.ndarray)):
        example_inputs = (example_inputs,)
    if not isinstance(example_inputs, (tuple, list)):
        raise TypeError(f"export: example_inputs is a tuple of the arguments, not {type(example_inputs).__name__}")
    if named:
        example_inputs = (*example_inputs, *_by_name(fn, len(example_inputs), named))
    # copies: no two inputs share memory, none requires a gradient, and whoever calls the artifact owns what is passed
    args = tuple(_copied(a) for a in example_inputs)
    in_tree = _describe(args, "input")
    shapes = _declared(fn, args, dynamic_shapes)
    traced, graph, result, roots = _traced(fn, name, args, shapes=shapes, sizes_within=True)
    _check_sizes(name, traced.fit, frozenset() if shapes is None else shapes.declared)
    leaves = [x for x in _leaves(args) if isinstance(x, Tensor)]
    feed, weights = _feed(traced, _leaves(args), roots.storage_names(), {})
    inputs = list(zip(_input_names(fn, args), _input_types(traced, _leaves(args))))
    example, out_tree = [np.array(t.numpy(force=True)) for t in leaves], _describe(result, "result")
    outputs = getattr(getattr(fn, "__self__", None), "output_names", None)
    outputs = outputs if isinstance(outputs, list) and len(outputs) == len(graph.outputs) else None
    return Exported(name, graph, feed, weights, inputs, in_tree, out_tree, example, _argument_names(fn, len(args)), outputs)


def export(
    target: Any, example_inputs: Any, path: str | os.PathLike[str], *, dynamic_shapes: Any, targets: Sequence[str] | None, golden: bool
) -> None:
    """See `ingot.export`."""
    write(exported(target, example_inputs, {}, dynamic_shapes), path, targets, golden)


def write(made: Exported, path: str | os.PathLike[str], targets: Sequence[str] | None = None, golden: bool = True) -> None:
    """Write it as an artifact. Errors as `ingot.export`'s."""
    write_artifact(
        path, made.graph, made.feed, made.weights, name=made.name, inputs=made.inputs, in_tree=made.in_tree, out_tree=made.out_tree,
        output_names=made.outputs, example=made.example if golden else None, levels=_levels(targets),
    )  # fmt: skip


def _input_types(traced: Traced, leaves: list[Any]) -> list[TensorType]:
    """The types of the tensors among the arguments, symbols in their shapes."""
    fed = {s.index: t for s, t in zip(traced.sources, traced.graph.in_types) if isinstance(s, Argument)}
    patterns = {} if traced.fit is None else traced.fit.patterns
    tensors = [(i, x._array.type) for i, x in enumerate(leaves) if isinstance(x, Tensor)]
    return [fed.get(i) or t.with_shape(patterns.get(i, t.shape)) for i, t in tensors]


def _check_sizes(name: str, fit: Fit | None, declared: frozenset[str]) -> None:
    """CaptureError where the function is not for all sizes that were declared."""
    for guard, where in () if fit is None else fit.guards:
        own = [s.name for s in symbols(*guard[1:])]
        if fit is not None and (len(own) > 1 or not declared.isdisjoint(own)):
            raise CaptureError(
                f"export: {name} needs {fit.said_guard(guard)}{f' ({where})' if where else ''}, which dynamic_shapes does not promise: "
                f"give {', '.join(own)} such bounds, or leave the dim out"
            )


def _declared(fn: Callable, args: tuple, dynamic_shapes: Any) -> Shapes | None:
    """The sizes that may vary, as a trace takes them; None where none may. ValueError where the form does not fit the arguments."""
    if dynamic_shapes is None:
        return None
    leaves: list[Any] = []
    structure = flatten((args, {}), leaves)
    names = leaf_names(fn, structure)
    declared = Declared(dynamic_shapes, *parameter_names(fn))
    declared.bind(structure, leaves, names)
    dims: dict[Any, Any] = {}
    values: dict[str, int] = {}
    for i, x in enumerate(leaves):
        for d, n in enumerate(x._array.type.shape if isinstance(x, Tensor) else ()):
            what = declared.at(names[i], d)
            if hasattr(what, "dim"):
                dims[i, d] = what.dim(n, f"{names[i]}.shape[{d}]", values)
            elif what is True:
                free = next(f"s{k}" for k in range(len(values) + 1) if f"s{k}" not in values)
                values[free] = n
                dims[i, d] = symbol(free, 1)
    return Shapes(dims, values, frozenset(values))


def _by_name(fn: Callable, given: int, kwargs: Mapping[str, Any]) -> list[Any]:
    """Keyword arguments in the order of the parameters, with the defaults of those between. TypeError for names that there are not."""
    names, _ = parameter_names(fn)
    rest = names[given:]
    unknown = kwargs.keys() - set(rest)
    if unknown:
        raise TypeError(f"export: there is no argument {min(unknown)!r} left; there are {', '.join(rest) or 'none'}")
    last = max(rest.index(n) for n in kwargs)
    target = getattr(fn, "__self__", None)
    parameters = inspect.signature(target.forward if target is not None and is_module(target) else fn).parameters
    found = {n: p.default for n, p in parameters.items() if p.default is not p.empty} | dict(kwargs)
    missing = [n for n in rest[:last] if n not in found]
    if missing:
        raise TypeError(f"export: the argument {missing[0]!r} comes before others that are given: give it too")
    return [found[n] for n in rest[: last + 1]]


def _callable(target: Any) -> tuple[Callable, str]:
    if isinstance(target, CompiledModule):
        target = target._orig_mod
    if isinstance(target, CompiledFunction):
        return target.__wrapped__, str(target.name)
    if is_module(target):
        return target._call, type(target).__name__
    if callable(target):
        return target, getattr(target, "__name__", type(target).__name__)
    raise TypeError(f"export takes a function or a Module, not {type(target).__name__}")


def _copied(x: Any) -> Any:
    if isinstance(x, Tensor):
        return ingot.from_numpy(np.array(x.detach().numpy(force=True))).to(x.device)
    if isinstance(x, np.ndarray):
        return ingot.from_numpy(np.array(x))
    if type(x) in (tuple, list):
        return type(x)(_copied(i) for i in x)
    if type(x) is dict:
        return {k: _copied(v) for k, v in x.items()}
    return x


def _describe(value: Any, what: str) -> Any:
    try:
        return tree.describe(value, lambda v: isinstance(v, Tensor))
    except TypeError as e:
        raise TypeError(f"export: {what}: {e}") from None


def _leaves(args: tuple) -> list[Any]:
    leaves: list[Any] = []
    flatten(args, leaves)
    return leaves


def _traced(
    fn: Callable, name: str, args: tuple, grad: bool = False, shapes: Shapes | None = None, sizes_within: bool = False,
    computed: bool = False,
) -> tuple[Traced, Graph, Any, Roots]:  # fmt: skip
    """The function traced on `args`, the graph whose outputs are its results, and what it returned meanwhile, for its structure.

    computed: it may have sizes that it computes
    """
    leaves: list[Any] = []
    structure = flatten((args, {}), leaves)
    roots = find_roots(fn, [x for x in leaves if not isinstance(x, Tensor)])
    seen: list[Any] = []

    def body(*a: Any) -> Any:
        with ingot.set_grad_enabled(grad):
            result = fn(*a)
        seen.append(_shape_of(result))
        flat: list[Any] = []
        flatten(result, flat)
        return [x.detach().clone() for x in flat if isinstance(x, Tensor)]

    with ingot.no_grad():
        pinned: dict[str, str] = {}
        names = leaf_names(fn, structure)
        traced, _, undo = trace_function(
            name, body, structure, leaves, (), roots=roots, names=names, shapes=shapes, pinned=pinned, sizes_within=sizes_within
        )
    undo()
    if pinned:
        size, why = next(iter(pinned.items()))
        raise ValueError(f"export: {name}: the size {size} cannot vary: {why}")
    if traced.late or any(said is None for _, said in traced.measured.values()):
        raise RuntimeError(
            f"export: {name} asks for the value of a tensor (item(), a branch), which is not known when it is exported: "
            "use where(), cond() or while_loop(), or return the tensor"
        )
    if traced.measured and not computed:
        raise RuntimeError(
            f"export: {name} has sizes that it computes (of nonzero, a boolean index, unique), and an artifact is for sizes of its inputs: "
            "return a mask, or fill up to a fixed size (nonzero_static)"
        )
    if any(isinstance(s, Offset) for s in traced.sources):
        raise RuntimeError(f"export: {name} draws random numbers; a module with dropout wants eval() first")
    if any(w.tensors for w in traced.writes):  # a counter in Python stays behind
        raise RuntimeError(f"export: {name} changes tensors outside of it; a module with batch norm wants eval() first")
    outputs = []  # a value that is returned twice is an output twice
    for r in traced.recipes:
        if not isinstance(r, Value):
            raise RuntimeError(f"export: {name} returns something that was not computed in it")
        outputs.append(traced.graph.outputs[r.out])
    return traced, traced.graph.replace(outputs=tuple(outputs)), seen[-1], roots


class _Placeholder(Tensor):
    """Stands for a tensor in a structure, where the traced one must not be kept: it has no value."""


def _shape_of(x: Any) -> Any:
    if isinstance(x, Tensor):
        return object.__new__(_Placeholder)
    if hasattr(type(x), "__dataclass_fields__"):
        raise TypeError(f"export: result: an artifact takes and returns tensors in tuples, lists and dicts, not {type(x).__name__}")
    if isinstance(x, (tuple, list)):
        return (list if isinstance(x, list) else tuple)(_shape_of(i) for i in x)
    if isinstance(x, dict):
        return {k: _shape_of(v) for k, v in x.items()}
    return x


def _feed(
    traced: Traced, leaves: list[Any], names: dict[int, str], sizes: Mapping[str, int]
) -> tuple[list[tuple[str, Any]], dict[str, np.ndarray]]:
    """Where each input of the graph comes from, and the arrays that are captured. `sizes`: of the symbols, in the example."""
    position = {i: n for n, i in enumerate(i for i, x in enumerate(leaves) if isinstance(x, Tensor))}
    feed: list[tuple[str, Any]] = []
    weights: dict[str, np.ndarray] = {}
    for source, value in zip(traced.sources, traced.gather(leaves, sizes)):
        if isinstance(source, ExtentValue):
            feed.append(("size", source.dim))
            continue
        if isinstance(source, FormulaValue):
            raise RuntimeError(f"export: {traced.name} computes with a number that depends on sizes that vary: {source.formula.text}")
        kind, of = source.feed(len(weights), names)
        if isinstance(of, int):
            feed.append((kind, position[of]))
            continue
        while of in weights:
            of += "_"
        by_value = len(feed) in traced.graph.scalars
        weights[of] = np.asarray(value.value, value.type.dtype.numpy) if by_value else np.array(to_numpy(value))
        feed.append((kind, of))
    return feed, weights


def _argument_names(fn: Callable, n: int) -> list[str]:
    known, _ = parameter_names(fn)
    return [*known[:n], *(f"input{i}" for i in range(len(known), n))]


def _input_names(fn: Callable, args: tuple) -> list[str]:
    """The parameters' names; where one is a structure, its tensors are numbered."""
    names: list[str] = []
    for name, a in zip(_argument_names(fn, len(args)), args):
        tensors = sum(isinstance(x, Tensor) for x in _leaves((a,)))
        names += [name] if isinstance(a, Tensor) else [f"{name}.{k}" for k in range(tensors)]
    return names


def _levels(targets: Sequence[str] | None) -> list[Level] | None:
    if targets is None:
        return None
    from ingot.backends import NAMES, backend

    known = [backend(name).levels for name in NAMES]
    names = [name for levels in known for name in levels]
    if isinstance(targets, str) or not set(targets) <= set(names):
        raise ValueError(f"export: targets are among {', '.join(names)}; got {targets!r}")
    # best first, as the loader takes the first one that fits: the tables ascend
    return [levels[name] for levels in known for name in reversed(list(levels)) if name in targets]
