"""ExportedProgram: a module as one graph with its weights, made by tracing it, and kept as an artifact."""

from __future__ import annotations

import functools
import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import IO, Any

import numpy as np

import ingot
from ingot import nn
from ingot._tensor import Tensor
from ingot._tensor.gradients import places
from ingot._tensor.recording import record
from ingot._tensor.state import view
from ingot.artifacts import at_path
from ingot.capture.export import Exported, exported, write
from ingot.export.nodes import fx_graph
from ingot.export.signature import ExportGraphSignature, InputKind
from ingot.fx import Graph as FxGraph
from ingot.fx import GraphModule
from ingot.ir.dtypes import by_numpy
from ingot.ir.op import OPS
from ingot.ir.parse import parse, parse_size
from ingot.ir.passes.inline import inline
from ingot.ir.sized import sized
from ingot.ir.types import tensor_type
from ingot.runtime.artifact import tree
from ingot.runtime.artifact.container import Container
from ingot.runtime.artifact.model import Model, validate
from ingot.runtime.artifact.sizes import SizeError, Sizes, Symbol

__all__ = ["ExportedProgram", "export", "load", "save"]

_File = str | os.PathLike[str] | IO[bytes]


class ExportedProgram:
    """What `export` gives: a graph of Ingot's ops without Python in it, and the tensors that it reads.

    state_dict: parameters and buffers by name, those of the module itself; constants: other tensors that were captured
    example_inputs: `(args, kwargs)` that it was traced on; None where it was loaded
    """

    def __init__(
        self, made: Exported, tensors: Mapping[str, Tensor], persistent: Mapping[str, Any], buffers: Mapping[str, Tensor],
        example: Any = None,
    ):  # fmt: skip
        self._made = made
        self._tensors = dict(tensors)  # what the graph reads: those of the module, or the memory that one of them is a view of
        self._buffers = dict(buffers)
        self.state_dict: dict[str, Any] = OrderedDict(persistent)
        self.constants = {name: self._buffers.get(name, t) for name, t in self._tensors.items() if name not in self.state_dict}
        self.example_inputs = example

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """RuntimeError, as in torch: `module()` is what can be called."""
        raise RuntimeError("Unable to call ExportedProgram directly. You should use `exported_program.module()` instead.")

    def module(self, check_guards: bool = True) -> nn.Module:
        """The program as a Module that shares the tensors of this program: it takes what the one exported took, and gives the same.

        It computes values and no gradients: train the module that was exported.

        >>> program = ingot.export.export(nn.Linear(4, 2), (ingot.zeros(1, 4),))
        >>> program.module()(ingot.zeros(1, 4)).shape
        ingot.Size([1, 2])
        """
        return _Unlifted(self._made, {**self.state_dict, **self.constants}, self._tensors)

    @functools.cached_property
    def _nodes(self) -> tuple[GraphModule, ExportGraphSignature]:
        inputs = [
            (InputKind.USER_INPUT, self._made.inputs[of][0]) if kind == "input" else (self._kind(of), of) for kind, of in self._made.feed
        ]
        graph, signature = fx_graph(self._made.graph, inputs, self.state_dict)
        return GraphModule(nn.Module(), graph), signature

    def _kind(self, name: str) -> InputKind:
        if isinstance(self.state_dict.get(name), nn.Parameter):
            return InputKind.PARAMETER
        return InputKind.BUFFER if name in self._buffers else InputKind.CONSTANT_TENSOR

    @property
    def graph_module(self) -> GraphModule:
        """The graph as an `ingot.fx` module: weights are inputs before and among the others, results a tuple."""
        return self._nodes[0]

    @property
    def graph(self) -> FxGraph:
        """The graph of `graph_module`: its calls are ops of the IR, with their attributes by name."""
        return self.graph_module.graph

    @property
    def graph_signature(self) -> ExportGraphSignature:
        """What each input and output of the graph is."""
        return self._nodes[1]

    @property
    def range_constraints(self) -> dict[str, tuple[int, float]]:
        """The sizes that vary, by name, and what they are at least and at most."""
        return {s.name: (s.min, s.max) for s in self._made.graph.symbols}

    def run_decompositions(self, decomp_table: Any = None, decompose_custom_triton_ops: bool = False) -> ExportedProgram:
        """The same program with its composites (`softmax`, ...) written out in ops. TypeError for a table: the ops are Ingot's own."""
        if decomp_table:
            raise TypeError("run_decompositions: a table of decompositions is of torch's operators; Ingot's ops have none")
        made = self._made._replace(graph=inline(self._made.graph))
        return ExportedProgram(made, self._tensors, self.state_dict, self._buffers, self.example_inputs)

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters, with their names."""
        return ((n, t) for n, t in self.state_dict.items() if isinstance(t, nn.Parameter))

    def parameters(self) -> Iterator[nn.Parameter]:
        """The parameters."""
        return (t for _, t in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """The buffers, with their names."""
        return iter(self._buffers.items())

    def buffers(self) -> Iterator[Tensor]:
        """The buffers."""
        return (t for _, t in self.named_buffers())

    def __str__(self) -> str:
        s = self.graph_signature
        lines = ["ExportedProgram:", *("    " + line for line in self.graph_module.code.splitlines())]
        lines += ["", "Graph signature:", "    # inputs"]
        lines += [f"    {i.arg.name}: {i.kind.name}" + ("" if i.target is None else f" target={i.target!r}") for i in s.input_specs]
        lines += ["", "    # outputs", *(f"    {o.arg.name}: {o.kind.name}" for o in s.output_specs)]
        return "\n".join([*lines, "", f"Range constraints: {self.range_constraints}", ""])

    __repr__ = __str__


class _Unlifted(nn.Module):
    """See `ExportedProgram.module`."""

    def __init__(self, made: Exported, own: Mapping[str, Any], tensors: Mapping[str, Tensor]):
        super().__init__()
        for name, t in own.items():
            *path, last = name.split(".")
            owner: nn.Module = self
            for part in path:
                if part not in owner._modules:
                    owner.add_module(part, nn.Module())
                owner = owner._modules[part]  # type: ignore[assignment]
            if isinstance(t, nn.Parameter):
                owner.register_parameter(last, t)
            else:
                owner.register_buffer(last, t)
        object.__setattr__(self, "_memory", {name: t for name, t in tensors.items() if own.get(name) is not t})
        object.__setattr__(self, "_made", made)
        symbols = [Symbol(s.name, s.min, None if s.max == float("inf") else int(s.max)) for s in made.graph.symbols]
        shapes = [(n, tuple(d if isinstance(d, int) else str(d) for d in t.shape)) for n, t in made.inputs]
        object.__setattr__(self, "_sizes", Sizes(symbols, shapes))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        made = self._made
        given = [x if isinstance(x, Tensor) else ingot.tensor(x) for x in tree.flatten(self._positional(args, kwargs), made.in_tree)]
        for x, (name, t) in zip(given, made.inputs):
            if x.dtype is not t.dtype:
                raise TypeError(f"{made.name}: input {name} must be {t.dtype.torch_name}, got {x.dtype.torch_name}")
        try:
            extents = self._sizes.extents([tuple(x.shape) for x in given])
        except SizeError as e:
            raise RuntimeError(f"{made.name}: {e}") from None
        inputs = [given[of] if kind == "input" else self._weight(of) for kind, of in made.feed]
        with ingot.no_grad():
            out = record(OPS["call"], inputs, (sized(made.graph, extents),))
        return tree.unflatten(iter(out if isinstance(out, tuple) else (out,)), made.out_tree)

    def _weight(self, name: str) -> Any:
        found = self._memory.get(name)
        return functools.reduce(getattr, name.split("."), self) if found is None else found

    def _positional(self, args: tuple, kwargs: dict[str, Any]) -> tuple:
        names = self._made.arguments
        if not kwargs.keys() <= set(names[len(args) :]):
            wrong = next(k for k in kwargs if k not in names[len(args) :])
            raise TypeError(f"{self._made.name} takes no further argument {wrong!r}; it was exported with {', '.join(names) or 'none'}")
        fixed = {n: child["value"] for n, child in zip(names, self._made.in_tree["tuple"]) if isinstance(child, dict) and "value" in child}
        given = (*args, *((kwargs if n in kwargs else fixed)[n] for n in names[len(args) :] if n in kwargs or n in fixed))
        if len(given) != len(names):
            raise TypeError(f"{self._made.name} was exported with {len(names)} arguments ({', '.join(names)}), got {len(given)}")
        return given


def _argument_names(in_tree: Any, inputs: list[tuple[str, Any]]) -> list[str]:
    """Of an artifact: a structure's is what its tensors' names begin with, one without tensors is known by its place."""
    names, at = [], 0
    for i, child in enumerate(in_tree["tuple"]):
        n = tree.count(child)
        names.append((inputs[at][0] if child == "*" else inputs[at][0].rpartition(".")[0]) if n else f"input{i}")
        at += n
    return names


def export(
    mod: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None, *, dynamic_shapes: Any = None, strict: bool = False,
    preserve_module_call_signature: tuple[str, ...] = (), prefer_deferred_runtime_asserts_over_guards: bool = False,
) -> ExportedProgram:  # fmt: skip
    """A Module traced on example arguments: a program for their shapes, and for other values.

    args, kwargs: a tuple of arguments, and arguments by name, but for those that can only be given so; numbers and strings among them are
        fixed.
    dynamic_shapes: dims of which any size within bounds will do, see `ingot.export`.
    strict: changes nothing: Python that would make the program wrong for other values is refused either way.

    ValueError for what is no Module, or dynamic_shapes that do not fit; RuntimeError for what draws random numbers or changes buffers
    (call `eval()` first), and for `preserve_module_call_signature`; CaptureError, with the user's line, for what cannot be traced.
    The source is torch.export.export.

    >>> program = ingot.export.export(nn.Linear(4, 2), (ingot.zeros(1, 4),))
    >>> [node.op for node in program.graph.nodes][-1], program.graph_signature.parameters
    ('output', ('weight', 'bias'))
    """
    if not isinstance(mod, nn.Module):
        raise ValueError(f"Expected `mod` to be an instance of `ingot.nn.Module`, got {type(mod)}.")
    if not isinstance(args, tuple):
        raise TypeError(f"Expecting `args` to be a tuple of example positional inputs, got {type(args)}")
    if preserve_module_call_signature:
        raise RuntimeError("export: a program is one graph, in which the calls of submodules are not kept apart")
    made = exported(mod, args, kwargs or {}, dynamic_shapes)
    own: dict[str, Tensor] = {**dict(mod.named_parameters(remove_duplicate=False)), **dict(mod.named_buffers(remove_duplicate=False))}
    types = {of: t for (kind, of), t in zip(made.feed, made.graph.in_types) if kind == "weight"}
    tensors = {}
    for name, value in made.weights.items():
        t = own.get(name)
        if t is not None and places(t):  # a part of what is captured
            t = view(t._share(), ()).detach()
        tensors[name] = ingot.from_numpy(value) if t is None or t._array.type != types[name] else t
    buffers = dict(mod.named_buffers(remove_duplicate=False))
    return ExportedProgram(made, tensors, mod.state_dict(keep_vars=True), buffers, (args, dict(kwargs or {})))


def save(ep: ExportedProgram, f: _File, *, extra_files: Mapping[str, Any] | None = None) -> None:
    """Write a program, with the values that its tensors have now, as an artifact: what `ingot.export` writes and `ingot.load` reads.

    f: a path, or a binary file. TypeError for what is no ExportedProgram, RuntimeError for extra files.

    >>> program = ingot.export.export(nn.Linear(4, 2), (ingot.zeros(1, 4),))
    >>> ingot.export.save(program, "linear.ingot")
    >>> ingot.load("linear.ingot")(np.zeros((1, 4), np.float32)).shape
    (1, 2)
    """
    if not isinstance(ep, ExportedProgram):
        raise TypeError(f"The 'ep' parameter must be an instance of 'ExportedProgram', got '{type(ep).__name__}' instead.")
    if extra_files:
        raise RuntimeError("export.save: an artifact holds a program alone, and no extra files")
    weights = {name: np.array(t.detach().numpy()) for name, t in ep._tensors.items()}
    made = ep._made._replace(weights=weights)
    with at_path(f, "wb") as path:
        write(made, path, golden=len(made.example) == len(made.inputs))


def load(f: _File, *, extra_files: Any = None, expected_opset_version: Any = None) -> ExportedProgram:
    """The program of an artifact that `save` or `ingot.export` wrote, from a path or a binary file.

    Its weights are buffers: an artifact does not say which of them were parameters, and holds none that the graph does not read.
    ArtifactError for a file that is damaged or none; OSError where it cannot be read.

    >>> ingot.export.save(ingot.export.export(nn.Linear(4, 2), (ingot.zeros(1, 4),)), "linear.ingot")
    >>> ingot.export.load("linear.ingot").module()(ingot.zeros(1, 4)).shape
    ingot.Size([1, 2])
    """
    with at_path(f, "rb") as path, Container(path) as c:
        manifest = validate(c)
        graph = parse(bytes(c.map("graph")).decode())
        weights = {name: np.array(a) for name, a in Model(c).weights.items()}
    inputs = []
    for i in manifest.inputs:
        shape = tuple(parse_size(d, graph.symbols) if isinstance(d, str) else d for d in i.shape)
        inputs.append((i.name, tensor_type(by_numpy(np.dtype(i.dtype)), shape)))
    in_tree, names = manifest.in_tree, _argument_names(manifest.in_tree, inputs)
    made = Exported(manifest.name, graph, list(manifest.feed), weights, inputs, in_tree, manifest.out_tree, [], names, None)
    tensors = {name: ingot.from_numpy(a) for name, a in weights.items()}
    return ExportedProgram(made, tensors, tensors, tensors)
