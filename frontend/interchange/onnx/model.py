"""A loaded model: a Module whose parameters have the names of its initializers, and whose call evaluates its graph."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

import ingot
from ingot import nn
from ingot._tensor import Tensor
from ingot._tensor.recording import from_array
from ingot.interchange.onnx.evaluate import SMALL, Run, Scope, is_few, shape_text
from ingot.interchange.onnx.messages import ModelProto
from ingot.interchange.onnx.program import Input, Program, prepare
from ingot.interchange.onnx.rules import NeedsValue, OnnxError
from ingot.interchange.onnx.tensors import Folder
from ingot.interchange.onnx.values import Coded, is_coded, numpy_of, of_numpy
from ingot.interchange.onnx.wire import decode
from ingot.runtime.sight import unseen

__all__ = ["OnnxModule", "read"]

KEPT = 1 << 28  # bytes of what only constants decide: beyond it, such values are computed at each call


def read(source: str | os.PathLike[str] | bytes) -> OnnxModule:
    """See `ingot.onnx.load`."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        data: Any = source
        folder = Folder(None)
    else:
        path = os.fspath(source)
        data = np.memmap(path, np.uint8, "r") if os.path.getsize(path) else b""
        folder = Folder(os.path.dirname(os.path.abspath(path)))
    return OnnxModule(prepare(decode(ModelProto, memoryview(data)), folder))


class OnnxModule(nn.Module):
    """A model that `ingot.onnx.load` read.

    Calling it evaluates the graph on tensors, given in the order of `input_names` or by name. It is a Module like any other: its
    floating initializers are parameters under their own names, statistics and integers buffers; `ingot.compile`, `ingot.export`,
    optimizers and `state_dict()` take it.

    parts: why `run` compiles it in parts; None where it is compiled as a whole.
    """

    def __init__(self, program: Program):
        super().__init__()
        self._program = program
        self._places: dict[str, tuple[nn.Module, str]] = {}
        self._known: dict[str, np.ndarray] = {}
        self._cache: dict[int, tuple[np.ndarray, Tensor]] = {}
        self._compiled: Any = None
        static, buffers = _uses(program)
        for name, array in program.initializers.items():
            floating = array.dtype.kind == "f" and not is_coded(array.dtype) or array.dtype.name == "bfloat16"
            if (
                name in static
                or array.dtype.kind in "OcV"
                and not floating
                or is_coded(array.dtype)
                or (array.size <= SMALL and not floating)
            ):
                self._known[name] = array
                continue
            tensor = from_array(array)  # no memory that others see: what follows from it is kept
            self._place(name, nn.Parameter(tensor) if floating and name not in buffers else nn.Buffer(tensor))
        self._settle()
        self.parts = _parts(program)

    def _settle(self) -> None:
        """Compute once what only constants decide, and keep what is large as tensors: graphs read it, and do not contain it."""
        run, body, rest, left = Run(self._cache), self._program.body, [], KEPT
        for n in body.nodes:
            values = [self._known.get(name) if name else None for name in n.inputs]
            known = n.function is None and all(v is not None for v, name in zip(values, n.inputs) if name)
            results = None
            with contextlib.suppress(Exception):  # told when the node is evaluated
                if known and n.op == "Constant" and n.rule is not None and not n.domain:
                    results = (n.rule.run(**n.attrs),)
                elif known and left > 0:
                    results = run.folded(n, values, n.attrs)
                    left -= sum(r.nbytes for r in results or ())
            if results is None:
                rest.append(n)
            else:
                self._known.update((name, r) for name, r in zip(n.outputs, results) if name)
        body.nodes = tuple(rest)
        for array in (*self._known.values(), *(a for b in self._program.bodies() for a in b.constants.values())):
            if array.dtype.kind != "O" and not is_few(array):
                run.tensor(array)

    def _place(self, name: str, value: Tensor) -> None:
        """Enter a parameter or buffer: dots make modules."""
        *path, last = name.replace("/", ".").replace(":", "_").split(".")
        at: nn.Module = self
        for part in path:
            inner = at._modules.get(part or "_")
            if inner is None:
                if hasattr(at, part or "_"):
                    break
                inner = nn.Module()
                at.add_module(part or "_", inner)
            at = inner
        else:
            if last and not hasattr(at, last):
                setattr(at, last, value)
                self._places[name] = (at, last)
                return
        at, last = self, f"initializer_{len(self._places)}"
        setattr(at, last, value)
        self._places[name] = (at, last)

    # ---- what the model says of itself

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs, in the order in which a call takes them."""
        return [i.name for i in self._program.inputs]

    @property
    def output_names(self) -> list[str]:
        """The names of the outputs, in the order in which a call gives them."""
        return [o.name for o in self._program.outputs]

    @property
    def inputs(self) -> list[Input]:
        """What each input must be: name, dtype, dims (numbers, names, or None)."""
        return list(self._program.inputs)

    def extra_repr(self) -> str:
        return f"{', '.join(self.input_names)} -> {', '.join(self.output_names)}"

    # ---- calling

    def forward(self, *args: Any, **named: Any) -> Any:
        """The outputs for tensors, in the order of the inputs or by their names: one value, or a tuple of them.

        Elements of types that no tensor has (8-bit floats, 4- and 2-bit integers) come and go as their codes, one a byte.
        """
        results = self._evaluate(self._bound(args, named))
        run = Run(self._cache)
        values = [run.tensor(v) if isinstance(v, np.ndarray) and v.dtype.kind != "O" else v for v in results]
        values = [v.codes if isinstance(v, Coded) else v for v in values]
        return values[0] if len(values) == 1 else tuple(values)

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs, by name, for arrays by name, as NumPy arrays (lists of them for sequences, None for what is absent).

        Compiles the model, at the first call. A model in which values decide more than how many elements there are (a Reshape to a shape
        that is passed), and one whose initializers are passed anew, is run as it is written, compiled in parts; `parts` says why.
        OnnxError for inputs that do not fit.
        """
        optional = {i.name for i in self._program.optional}
        unknown = inputs.keys() - set(self.input_names) - optional
        if unknown:
            raise OnnxError(f"the model has no input {min(unknown)!r}; it takes {', '.join(self.input_names) or 'none'}")
        given = [_taken(inputs.get(n)) for n in self.input_names]
        missing = [i.name for i in self._program.inputs if i.name not in inputs and i.kind != "optional"]
        if missing:
            raise OnnxError(f"the input {missing[0]!r} is missing; the model takes {', '.join(self.input_names)}")
        named = {n: _taken(v) for n, v in inputs.items() if n in optional}
        with ingot.no_grad():
            results = self._whole(given) if not named else None
            if results is None:
                results = self._evaluate(self._bound(tuple(given), named))
            return {o.name: _given(v, o.dtype) for o, v in zip(self._program.outputs, results)}

    def _whole(self, given: list[Any]) -> list[Any] | None:
        """The results by compiled code; None where the model is one that runs in parts."""
        if self.parts is not None or not given or not all(isinstance(v, Tensor) for v in given):
            return None
        if self._compiled is None:
            object.__setattr__(self, "_compiled", ingot.compile(self))
        try:
            out = self._compiled(*given)
        except (NeedsValue, ingot.CaptureError) as e:
            object.__setattr__(self, "parts", str(e))
            return None
        return list(out) if isinstance(out, tuple) else [out]

    def _evaluate(self, bound: dict[str, Any]) -> list[Any]:
        run, scope = Run(self._cache), Scope()
        scope.update(self._known)
        for name, (at, last) in self._places.items():
            scope[name] = getattr(at, last)
        scope.update(bound)
        body = self._program.body
        unseen(run.nodes, body.nodes, scope)
        return [run.read(name, scope, "the model's output") for name in body.outputs]

    def _bound(self, args: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
        known = self._program.inputs
        if len(args) > len(known):
            raise TypeError(f"the model takes {len(known)} inputs ({', '.join(self.input_names)}), and {len(args)} came")
        bound = dict(zip(self.input_names, args))
        for name, value in named.items():
            if name not in self.input_names and all(name != i.name for i in self._program.optional):
                raise TypeError(f"the model has no input {name!r}; it takes {', '.join(self.input_names) or 'none'}")
            if name in bound:
                raise TypeError(f"the input {name!r} came twice")
            bound[name] = value
        sizes: dict[str, tuple[str, Any]] = {}
        for i in (*known, *(o for o in self._program.optional if o.name in bound)):
            if i.name not in bound or bound[i.name] is None and i.kind == "tensor":
                raise OnnxError(f"the input {i.name!r} is missing; the model takes {', '.join(self.input_names)}")
            value = bound[i.name]
            if isinstance(value, np.ndarray):
                value = bound[i.name] = _taken(value)
            if i.dtype is not None and is_coded(i.dtype) and isinstance(value, Tensor):
                value = bound[i.name] = Coded(value, i.dtype)
            if i.kind == "tensor":
                _check(i, value, sizes)
        return bound


def _check(i: Input, value: Any, sizes: dict[str, tuple[str, Any]]) -> None:
    """OnnxError unless a value is what an input must be. `sizes`: what names of dims have been."""
    if not isinstance(value, (Tensor, Coded, np.ndarray)):
        raise OnnxError(f"the input {i.name!r} must be a tensor, not {type(value).__name__}")
    dtype = value.dtype.numpy if isinstance(value, Tensor) else value.dtype
    shape = tuple(value.codes.shape if isinstance(value, Coded) else value.shape)
    if i.dtype is not None and dtype != i.dtype:
        raise OnnxError(f"the input {i.name!r} must be {i.dtype}, and {shape_text(value)} came")
    if i.dims is None:
        return
    fits = len(shape) == len(i.dims)
    for d, n in zip(i.dims, shape):
        if isinstance(d, int) and d != n:
            fits = False
        if isinstance(d, str) and sizes.setdefault(d, (i.name, n))[1] != n:
            where, before = sizes[d]
            raise OnnxError(f"the dim {d!r} is {before} in the input {where!r} and {n} in {i.name!r}")
    if not fits:
        wanted = ", ".join("?" if d is None else str(d) for d in i.dims)
        raise OnnxError(f"the input {i.name!r} must have the shape [{wanted}], and {shape_text(value)} came")


def _taken(value: Any) -> Any:
    """What came for an input: arrays as Tensors, codes where there is no dtype for them, strings as they are."""
    if isinstance(value, (list, tuple)):
        return [_taken(v) for v in value]
    if isinstance(value, np.generic):
        value = np.asarray(value)
    if not isinstance(value, np.ndarray) or value.dtype.kind in "OSU":
        return value.astype(object) if isinstance(value, np.ndarray) else value
    if is_coded(value.dtype):
        return ingot.from_numpy(np.array(of_numpy(value)))
    return ingot.from_numpy(np.array(value))


def _given(value: Any, dtype: np.dtype | None) -> Any:
    """An output as a NumPy array; `dtype`: what the model says that it is."""
    if isinstance(value, list):
        return [_given(v, dtype) for v in value]
    if isinstance(value, Coded):
        return numpy_of(value.codes.numpy(), value.dtype)
    if dtype is not None and is_coded(dtype) and isinstance(value, Tensor):
        return numpy_of(value.numpy(), dtype)
    return value.detach().numpy() if isinstance(value, Tensor) else value


def _parts(program: Program) -> str | None:
    """Why a model cannot be compiled as a whole, as far as that is seen before it is run."""
    if any(v.kind in ("sequence", "optional") for v in (*program.inputs, *program.outputs)):
        return "inputs or outputs are sequences or optionals"
    return None


def _uses(program: Program) -> tuple[set[str], set[str]]:
    """Names of initializers whose values decide shapes, and of those that no training changes."""
    known: set[str] = set()
    buffers: set[str] = set()
    for body in program.bodies():
        for n in body.nodes:
            if n.rule is None:
                continue
            for i, name in enumerate(n.inputs):
                as_what = n.rule.input_name(i)
                if as_what in n.rule.known:
                    known.add(name)
                if as_what in n.rule.buffers:
                    buffers.add(name)
    return known, buffers
