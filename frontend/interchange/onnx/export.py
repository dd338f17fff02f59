"""A model as an ONNX file: what tracing gives, written op by op; weights beside it where they are too large for one file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

import ingot
from ingot import Dim
from ingot.capture import flatten
from ingot.capture.export import argument_names, traced_model
from ingot.interchange.onnx import emit as _emit  # noqa: F401  (fills the table)
from ingot.interchange.onnx.emit.loops import value_info
from ingot.interchange.onnx.emit.writer import DOMAIN, UnsupportedError, Writer
from ingot.interchange.onnx.messages import GraphProto, ModelProto, OperatorSetId, StringPair, TensorProto
from ingot.interchange.onnx.tensors import proto_of
from ingot.interchange.onnx.wire import parts
from ingot.ir.dtypes import by_numpy, i64
from ingot.ir.graph import Graph, Value
from ingot.ir.size import as_symbol
from ingot.ir.types import TensorType, tensor_type
from ingot.nn import Module
from ingot.runtime.cache.files import replace

__all__ = ["OPSETS", "model_of", "moded", "program", "serialized", "verified", "write"]

OPSETS = (11, 26)  # the oldest and the newest that are written
# op set -> version of the file format
_FORMATS = {11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 11, 25: 12, 26: 13}
LIMIT = (1 << 31) - (1 << 20)  # of one file


def model_of(
    graph: Graph, feed: Sequence[tuple[str, Any]], weights: Mapping[str, np.ndarray], *, inputs: Sequence[str],
    outputs: Sequence[str], opset: int,
    types: Sequence[TensorType] | None = None, measured: Mapping[str, Value] | None = None, stored_as: str = "initializers",
    domains: Mapping[str, int] | None = None,
) -> ModelProto:  # fmt: skip
    """The model that a graph is.

    feed: where each input of the graph comes from: ("input", which) or ("weight", name), or ("size", dim)
    inputs, outputs: names, in order
    types: of all inputs, where the graph does not read each of them
    measured: the values of sizes that the graph computes, by the names of their symbols
    stored_as: "initializers"; "both" for weights that are inputs with a default, too; "inputs" for weights that are not in the file
    domains: more op sets that the model imports

    UnsupportedError for what the op set has no ops for; ValueError for an op set that is not written, or names given twice.
    """
    low, high = OPSETS
    if not low <= opset <= high:
        raise ValueError(f"onnx.export: opset_version is from {low} to {high}, not {opset}")
    w = Writer(opset)
    for names, what in ((inputs, "input"), (outputs, "output")):
        if len(set(names)) < len(names) or any(not n for n in names):
            raise ValueError(f"onnx.export: {what}_names must be different, and not empty: {list(names)}")
    for name in dict.fromkeys((*inputs, *outputs)):
        w.taken.add(name)
    if set(inputs) & set(outputs):
        raise ValueError(f"onnx.export: {sorted(set(inputs) & set(outputs))[0]!r} names an input and an output")
    given: dict[int, TensorType] = dict(enumerate(types or ()))
    stored: dict[str, str] = {}
    sized: list[tuple[int, Any, Any]] = []
    names = []
    for v, (kind, of) in zip(graph.inputs, feed):
        if kind == "input":
            assert isinstance(of, int)
            given[of] = v.type
            names.append(inputs[of])
        elif kind == "size":
            sized.append((len(names), of, v.type.dtype))
            names.append("")
        else:
            assert isinstance(of, str)
            if of not in stored:
                stored[of] = w.fresh(of)
                w.initializers[stored[of]] = np.asarray(weights[of])
            names.append(stored[of])
    for i, t in given.items():
        w.need(t.dtype.numpy)
        for axis, d in enumerate(t.shape):
            symbol = as_symbol(d)
            if symbol is not None:
                w.symbols.setdefault(symbol, (inputs[i], axis))
    for k, d, dtype in sized:
        one = w.node("Squeeze", w.size(d), w.constant(np.array([0], np.int64)))
        names[k] = one if dtype is i64 else w.cast(one, dtype)
    w.measured = {v: n for n, v in (measured or {}).items()}
    results = w.graph(graph.replace(outputs=(*graph.outputs, *w.measured)), names)[: len(outputs)]
    made = {name for n in w.nodes for name in n.output}
    renamed: dict[str, str] = {}
    for name, result in zip(outputs, results):
        if result in w.unmade:
            raise UnsupportedError(w.unmade[result])
        if result in made and result not in renamed:
            renamed[result] = name
        else:
            w.add("Identity", [renamed.get(result, result)], [name], {})
    for n in w.nodes:
        n.input = [renamed.get(x, x) for x in n.input]
        n.output = [renamed.get(x, x) for x in n.output]
        for a in n.attribute:
            if a.g is not None:
                _rename(a.g, renamed)
    read = {x for n in w.nodes for x in n.input} | {x for n in w.nodes for a in n.attribute if a.g is not None for x in _reads(a.g)}
    kept = {k: v for k, v in w.initializers.items() if k in read}
    passed = [] if stored_as == "initializers" else [k for k in stored.values() if k in kept]
    taken = [value_info(k, tensor_type(by_numpy(kept[k].dtype), kept[k].shape)) for k in passed]
    g = GraphProto(
        name=graph.name, node=w.nodes,
        initializer=[proto_of(k, v) for k, v in kept.items() if stored_as != "inputs" or k not in passed],
        input=[*(value_info(inputs[i], given[i]) for i in sorted(given)), *taken],
        output=[value_info(name, v.type) for name, v in zip(outputs, graph.outputs)],
    )  # fmt: skip
    from ingot import __version__

    sets = {"": opset, **({DOMAIN: 1} if w.functions else {}), **(domains or {})}
    return ModelProto(
        ir_version=_FORMATS[opset], producer_name="ingot", producer_version=__version__, graph=g,
        opset_import=[OperatorSetId(domain=d, version=v) for d, v in sets.items()], functions=list(w.functions.values()),
    )  # fmt: skip


def _rename(g: GraphProto, renamed: Mapping[str, str]) -> None:
    """What a graph within reads of the names around it."""
    for n in g.node:
        n.input = [renamed.get(x, x) for x in n.input]
        for a in n.attribute:
            if a.g is not None:
                _rename(a.g, renamed)


def _reads(g: GraphProto) -> set[str]:
    out = {v.name for v in g.output}
    for n in g.node:
        out.update(n.input)
        for a in n.attribute:
            if a.g is not None:
                out |= _reads(a.g)
    return out


def write(model: ModelProto, path: str, external: bool | None = None) -> None:
    """Write the file, and its weights as `NAME.data` beside it where `external` says so, or where they do not fit in it.

    Both get their names when they are whole. OSError where that cannot be.
    """
    assert model.graph is not None
    total = sum(len(memoryview(t.raw_data).cast("B")) for t in model.graph.initializer)
    beside = f"{path}.data"
    if external or external is None and total > LIMIT:
        replace(beside, b"".join(_moved(model.graph.initializer, os.path.basename(beside))), durable=True)
    replace(path, b"".join(parts(model)[0]), durable=True)


def _moved(tensors: Sequence[TensorProto], location: str) -> list[Any]:
    """The tensors' bytes, which from now on lie in another file: each from a multiple of 4096, so that it can be mapped."""
    out: list[Any] = []
    at = 0
    for t in tensors:
        data = memoryview(t.raw_data).cast("B")
        if len(data) < 1024:
            continue
        gap = -at % 4096
        out += [bytes(gap), data]
        at += gap
        entries = {"location": location, "offset": str(at), "length": str(len(data))}
        t.external_data = [StringPair(key=k, value=v) for k, v in entries.items()]
        t.data_location, t.raw_data = 1, b""
        at += len(data)
    return out


def serialized(model: ModelProto) -> bytes:
    """The file's bytes. ValueError where they are more than one file can hold."""
    chunks, n = parts(model)
    if n > LIMIT:
        raise ValueError(f"the model has {n} bytes, and one file of ONNX holds 2 GB: save it with external_data=True")
    return b"".join(chunks)


def program(
    target: Any, args: Any, kwargs: Mapping[str, Any], input_names: Sequence[str] | None, output_names: Sequence[str] | None, opset: int,
    dynamic_shapes: Any, dynamic_axes: Any, stored_as: str = "initializers", domains: Mapping[str, int] | None = None,
) -> ModelProto:  # fmt: skip
    """The model of a function or Module, traced on example arguments; see `ingot.onnx.export`."""
    if dynamic_shapes is not None and dynamic_axes is not None:
        raise ValueError("onnx.export: dynamic_shapes and dynamic_axes say the same: give one of them")
    if dynamic_axes is not None:
        dynamic_shapes = _by_axes(dynamic_axes, target, args if isinstance(args, (tuple, list)) else (args,), input_names, output_names)
    traced = traced_model(target, args, kwargs, dynamic_shapes)
    inputs = _named(input_names, [name for name, _ in traced.inputs], "input")
    outputs = _named(output_names, ["output", *(f"output_{i}" for i in range(1, len(traced.graph.outputs)))], "output")
    try:
        types = [t for _, t in traced.inputs]
        return model_of(
            traced.graph, traced.feed, traced.weights, inputs=inputs, outputs=outputs, opset=opset, types=types, measured=traced.measured,
            stored_as=stored_as, domains=domains,
        )  # fmt: skip
    except UnsupportedError as e:
        raise UnsupportedError(f"onnx.export: {traced.name}: {e}") from None


@contextmanager
def moded(model: Any, training: bool | None) -> Iterator[None]:
    """A module in a mode, for as long as it is traced; None: in its own."""
    modules = list(model.modules()) if training is not None and isinstance(model, Module) else []
    before = [m.training for m in modules]
    try:
        for m in modules:
            m.training = bool(training)
        yield
    finally:
        for m, was in zip(modules, before):
            m.training = was


def verified(model: ModelProto, target: Any, args: Any, kwargs: Mapping[str, Any]) -> None:
    """RuntimeError unless the model, read and run here, gives for the example what it was made of gives."""
    from ingot.interchange.onnx.model import read

    leaves: list[Any] = []
    given = tuple(args) if isinstance(args, (tuple, list)) else (args,)
    flatten((given, dict(kwargs)), leaves)
    tensors = [x for x in leaves if hasattr(x, "shape")]
    again = read(serialized(model))
    got = again(*(ingot.as_tensor(x) for x in tensors))
    wanted: list[Any] = []
    flatten(target(*(ingot.as_tensor(x) if isinstance(x, np.ndarray) else x for x in given), **kwargs), wanted)
    for i, (want, have) in enumerate(zip(wanted, got if isinstance(got, tuple) else (got,))):
        try:
            ingot.testing.assert_close(have, want, rtol=1e-3, atol=1e-4, check_device=False)
        except AssertionError as e:
            raise RuntimeError(f"onnx.export: the output {again.output_names[i]!r} of what was written is another: {e}") from None


def _named(given: Sequence[str] | None, own: Sequence[str], what: str) -> list[str]:
    """The names for inputs or outputs: those that were given, and then their own. ValueError for too many."""
    given = list(given or ())
    if len(given) > len(own):
        raise ValueError(f"onnx.export: {len(given)} {what}_names are given, and there are {len(own)} {what}s")
    return [*given, *own[len(given) :]]


def _by_axes(
    axes: Mapping[str, Any], target: Any, args: Sequence[Any], inputs: Sequence[str] | None, outputs: Sequence[str] | None
) -> tuple[Any, ...]:
    """`dynamic_axes` as `dynamic_shapes`: by the inputs' names, axes with names or a list of axes. What it says of outputs follows.

    ValueError for a name that is neither an input's nor an output's.
    """
    own = argument_names(target)
    names = [*(inputs or ()), *own[len(inputs or ()) : len(args)]]
    known = {*names, *(outputs or ("output",))}
    unknown = [n for n in axes if n not in known and not (outputs is None and n.startswith("output_"))]
    if unknown:
        raise ValueError(
            f"onnx.export: dynamic_axes names {unknown[0]!r}, which is neither an input nor an output; there are {', '.join(sorted(known))}"
        )
    found: dict[str, Dim] = {}
    out: list[Any] = []
    for i, x in enumerate(args):
        of = axes.get(names[i], {}) if i < len(names) else {}
        rank = len(x.shape) if hasattr(x, "shape") else 0
        dims = of if isinstance(of, Mapping) else {d: f"{names[i]}_dim_{d}" for d in of}
        out.append({d + rank if d < 0 else d: found.setdefault(str(name), Dim(str(name))) for d, name in dims.items()} or None)
    return tuple(out)
