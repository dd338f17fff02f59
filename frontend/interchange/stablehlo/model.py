"""A loaded module: a callable like any other, whose call evaluates its function."""

from __future__ import annotations

import os
import struct
from typing import Any

import numpy as np

import ingot
from ingot import nn
from ingot._tensor import Tensor
from ingot.interchange.stablehlo import ops as _ops  # noqa: F401  (fills the table of rules)
from ingot.interchange.stablehlo.bytecode import MAGIC, is_bytecode
from ingot.interchange.stablehlo.evaluate import Plan, Run, fits, shape_text
from ingot.interchange.stablehlo.module import Module, StablehloError, Type, is_narrow
from ingot.interchange.stablehlo.portable import read_bytecode
from ingot.interchange.stablehlo.rules import NeedsValue
from ingot.interchange.stablehlo.text import read_text
from ingot.ir.struct import struct as plain

__all__ = ["Input", "StablehloModule", "load", "parsed"]


@plain
class Input:
    """What an input or output must be. `dims`: ints, or None for what may be anything."""

    name: str
    dtype: np.dtype | None
    dims: tuple[int | None, ...] | None


def _exported(data: memoryview) -> memoryview | None:
    """The bytecode within what `jax.export` serializes, a table of FlatBuffers; None where there is none.

    Its fields are looked through for a vector of bytes that begins as bytecode does.
    """
    if len(data) < 16:
        return None
    try:
        (table,) = struct.unpack_from("<I", data, 0)
        (back,) = struct.unpack_from("<i", data, table)
        (size,) = struct.unpack_from("<H", data, table - back)
        for k in range(4, min(size, 256), 2):
            (offset,) = struct.unpack_from("<H", data, table - back + k)
            if not offset:
                continue
            at = table + offset
            (vector,) = struct.unpack_from("<I", data, at)
            start = at + vector
            if start + 8 > len(data) or bytes(data[start + 4 : start + 8]) != MAGIC:
                continue
            (n,) = struct.unpack_from("<I", data, start)
            if start + 4 + n <= len(data):
                return data[start + 4 : start + 4 + n]
    except struct.error:
        pass
    return None


def parsed(source: str | bytes | os.PathLike[str]) -> Module:
    """The module of a text, of bytes, or of the file of a path. StablehloError where it is none; OSError where it cannot be read."""
    if isinstance(source, os.PathLike) or isinstance(source, str) and "\n" not in source and len(source) < 4096 and "{" not in source:
        with open(source, "rb") as f:
            source = f.read()
    if isinstance(source, str):
        return read_text(source)
    data = memoryview(source).cast("B")
    if not is_bytecode(data):
        inner = _exported(data)
        if inner is None:
            try:
                return read_text(str(data, "utf-8"))
            except UnicodeDecodeError:
                raise StablehloError("byte 0: this is neither bytecode, nor what JAX exports, nor UTF-8 text") from None
        data = inner
    return read_bytecode(data)


def load(source: str | bytes | os.PathLike[str]) -> StablehloModule:
    """See `ingot.stablehlo.load`."""
    return StablehloModule(parsed(source))


class StablehloModule(nn.Module):
    """A module that `ingot.stablehlo.load` read.

    Calling it evaluates its function on arrays or tensors, in order, and gives tensors: one, or a tuple of them. `ingot.compile`,
    `ingot.export` and derivatives take it like any other.

    parts: why it was not compiled as a whole, where `run` found that it cannot be
    """

    def __init__(self, module: Module):
        super().__init__()
        plan = Plan(module)
        object.__setattr__(self, "_plan", plan)
        object.__setattr__(self, "_cache", {})
        object.__setattr__(self, "_compiled", None)
        self.parts: str | None = None

    @property
    def module(self) -> Module:
        """What was read."""
        return self._plan.module

    @property
    def inputs(self) -> list[Input]:
        """What each input must be: name, dtype, dims."""
        f = self.module.main
        return [Input(self._name(a, f"arg{i}"), _element(t), t.shape) for i, (t, a) in enumerate(zip(f.inputs, f.arg_attrs))]

    @property
    def outputs(self) -> list[Input]:
        """What each output is."""
        f = self.module.main
        return [Input(self._name(a, f"result{i}"), _element(t), t.shape) for i, (t, a) in enumerate(zip(f.outputs, f.result_attrs))]

    @staticmethod
    def _name(attrs: dict[str, Any], default: str) -> str:
        return str(attrs.get("jax.arg_info") or attrs.get("jax.result_info") or default)

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs, in the order in which a call takes them."""
        return [i.name for i in self.inputs]

    @property
    def output_names(self) -> list[str]:
        """The names of the outputs, in the order in which a call gives them."""
        return [o.name for o in self.outputs]

    def extra_repr(self) -> str:
        f = self.module.main
        return f"({', '.join(map(str, f.inputs))}) -> ({', '.join(map(str, f.outputs))})"

    def forward(self, *args: Any) -> Any:
        """The results for arrays or tensors, in order. StablehloError for what does not fit.

        Integers of less than 8 bits come and go in bytes, floats of less than 16 in float32; `run` gives arrays of the types themselves.
        """
        results = self._evaluate(args)
        return results[0] if len(results) == 1 else tuple(results)

    def _evaluate(self, args: tuple[Any, ...]) -> list[Any]:
        f = self.module.main
        if len(args) != len(f.inputs):
            raise StablehloError(f"@{f.name} takes {len(f.inputs)} inputs, and {len(args)} came")
        given = [_taken(x, t, i) for i, (x, t) in enumerate(zip(args, f.inputs))]
        run = Run(self._plan, self._cache)
        try:
            return [_tensor(run, r, t) for r, t in zip(run.function(f, given), f.outputs)]
        except RecursionError:
            raise StablehloError("the module is nested too deep") from None

    def run(self, *args: Any) -> Any:
        """The results as NumPy arrays, of code that is compiled at the first call.

        A module in which values decide sizes runs as it is written, compiled in parts; `parts` says why.
        """
        tensors = [_taken(x, t, i) for i, (x, t) in enumerate(zip(args, self.module.main.inputs))]
        with ingot.no_grad():
            out = None
            if self.parts is None and tensors:
                if self._compiled is None:
                    object.__setattr__(self, "_compiled", ingot.compile(self))
                try:
                    out = self._compiled(*tensors)
                except NeedsValue as e:
                    self.parts = str(e)
            if out is None:
                out = self(*args)
            types = self.module.main.outputs
            return tuple(map(_array, out, types)) if isinstance(out, tuple) else _array(out, types[0])


def _element(t: Type) -> np.dtype | None:
    """What arrays of a type have for elements."""
    return t.stored if t.dtype is None else t.dtype


def _array(x: Any, t: Type) -> np.ndarray:
    """A result as an array of the module's own type."""
    return x.numpy().astype(_element(t)) if is_narrow(t) else x.numpy()


def _taken(x: Any, t: Type, i: int) -> Any:
    """What came for an input, as a Tensor of its type."""
    if not isinstance(x, Tensor):
        array = np.asarray(x)
        if t.stored is not None and not isinstance(x, (np.ndarray, np.generic)) and not array.ndim:
            array = array.astype(t.stored)  # a Python number
        if array.dtype.kind in "OSU":
            raise StablehloError(f"the input {i} must be {t}, and {shape_text(array)} came")
        x = ingot.from_numpy(np.array(array.astype(t.stored) if is_narrow(t) and array.dtype == t.dtype else array))
    try:
        fits(x, t, f"for the input {i} came")
    except TypeError as e:
        raise StablehloError(str(e)) from None
    return x


def _tensor(run: Run, value: Any, t: Type) -> Any:
    if isinstance(value, tuple):
        return tuple(_tensor(run, v, i) for v, i in zip(value, t.items))
    return run.tensor(value, t)
