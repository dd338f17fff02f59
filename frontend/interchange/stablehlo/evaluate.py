"""Evaluates a module: operation by operation, by the rules, on Tensors; integers that shapes decide are folded on the way (folding.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot._tensor.recording import constant, from_array, record
from ingot.capture import CaptureError, LeakedTensorError
from ingot.interchange.stablehlo.folding import FOLDS, foldable
from ingot.interchange.stablehlo.module import (
    Block,
    Dense,
    Function,
    Module,
    Operation,
    StablehloError,
    Type,
    Value,
    is_narrow,
    is_quantized,
)  # fmt: skip
from ingot.interchange.stablehlo.rules import RULES, Call, NeedsValue, dtype_of
from ingot.ir.dtypes import by_numpy
from ingot.ir.op import OPS
from ingot.runtime.recorder import here

__all__ = ["DEPTH", "Plan", "Run", "shape_text"]

SMALL = 64  # integers that are put into graphs as they are, rather than as an input
FEW = 4  # and other elements, which no shape follows from: code selects an element of a constant among all of them
FOLDED = 4096  # elements of what is computed beforehand
DEPTH = 200  # of calls
MOST = 1 << 22  # operations, those of called functions as often as they are called: they are evaluated that often
_CARRYING = ("call", "return", "composite", "while", "if", "case", "optimization_barrier", "tuple", "get_tuple_element")  # whatever it is


class Plan:
    """What is known of a module before it runs.

    dead: values that nobody reads after an operation
    constants: numbers that values are, whatever is passed
    """

    def __init__(self, module: Module):
        self.module = module
        self.dead: dict[Operation, tuple[Value, ...]] = {}
        self.constants: dict[Value, Any] = {}
        self._cost: dict[str, int] = {}
        for f in module.functions.values():
            self._block(f.body)
        self._calls(module.main, ())

    def _block(self, block: Block) -> set[Value]:
        """Enter the dead of a block; the values that it reads."""
        own = set(block.args)
        for o in block.ops:
            own.update(o.outputs)
            if len(o.outputs) != 1:
                continue
            if o.name == "constant" and isinstance(dense := o.attrs.get("value"), Dense) and dense.array.size == 1:
                self.constants[o.outputs[0]] = dense.array.reshape(())[()]
            elif o.name in ("broadcast_in_dim", "reshape") and len(o.inputs) == 1 and o.inputs[0] in self.constants:
                self.constants[o.outputs[0]] = self.constants[o.inputs[0]]
        later: set[Value] = set()
        for o in reversed(block.ops):
            read = set(o.inputs)
            for r in o.regions:
                read |= self._block(r)
            self.dead[o] = tuple(v for v in (read | set(o.outputs)) & own if v not in later)
            later |= read
        return later - own

    def _calls(self, f: Function, above: tuple[str, ...]) -> int:
        """How many operations a function is, with those of what it calls. StablehloError where they are too many, or a function calls
        itself, or one that is not there."""
        if f.name in above or len(above) > DEPTH:
            raise StablehloError(f"the function @{f.name} calls itself" if f.name in above else "functions call each other too deep")
        stack, cost = [f.body], 0
        while stack:
            ops = stack.pop().ops
            cost += len(ops)
            for o in ops:
                stack.extend(o.regions)
                named = o.attrs.get("callee") if o.name == "call" else o.attrs.get("decomposition") if o.name == "composite" else None
                if named is None:
                    continue
                if not isinstance(named, str) or named not in self.module.functions:
                    raise StablehloError(f"{o.text()}: there is no function @{named}")
                if named not in self._cost:
                    self._cost[named] = self._calls(self.module.functions[named], (*above, f.name))
                cost += self._cost[named]
                if cost > MOST:
                    raise StablehloError(f"{o.text()}: with what functions call, @{f.name} is more than {MOST} operations")
        return cost


class Run:
    """One evaluation. `cache`: constants that have become Tensors, by their operation."""

    def __init__(self, plan: Plan, cache: dict[Operation, Tensor]):
        self.plan, self.cache = plan, cache
        self.values: dict[Value, Any] = {}
        self.numbers: dict[Value, Any] = {}  # what values are known to be, of blocks that were made of the module's
        self.lifting = 0
        self.depth = 0

    # ---- what rules ask for

    def number(self, v: Value) -> Any:
        """The number that a value is, whatever is passed; None where that is not known."""
        found = self.plan.constants.get(v)
        return self.numbers.get(v) if found is None else found

    def tensor(self, value: Any, of: Type | None = None) -> Any:
        """A value as a Tensor; `of`: its type, where known sizes are in it."""
        if not isinstance(value, np.ndarray):
            return value
        if value.dtype == object:
            dtype = ingot.int64 if of is None else dtype_of(of)
            if not value.ndim:
                return ingot.tensor(value.item(), dtype=dtype)
            return ingot.stack([ingot.tensor(v, dtype=dtype) for v in value.flat]).reshape(value.shape)
        return constant(value, by_numpy(value.dtype)) if _is_few(value) else from_array(np.ascontiguousarray(value))

    @staticmethod
    def dtype(t: Type) -> Any:
        """The dtype of tensors of a type."""
        return dtype_of(t)

    def known(self, value: Any, what: str) -> np.ndarray:
        """The value of an operand that decides shapes."""
        if isinstance(value, np.ndarray):
            return value
        if not isinstance(value, Tensor):
            raise TypeError(f"{what} is no tensor")
        if here.recorder.tracing:
            raise NeedsValue(
                f"{what} must be known when the module is compiled, and it depends on what is computed or passed; "
                "call the module without compiling it"
            )
        return value.detach().numpy()

    def constant(self, o: Operation) -> Any:
        """The value of a `constant`: known where it is a few integers."""
        dense = o.attrs.get("value")
        if not isinstance(dense, Dense):
            raise TypeError("a constant has no value")
        array = dense.array.astype(dense.type.stored) if is_narrow(dense.type) else dense.array
        if foldable(dense.type.element) and array.size <= SMALL:
            return array
        found = self.cache.get(o)
        if found is not None:
            return found
        dtype = dtype_of(dense.type)
        if array.size > 1 and not any(array.strides):
            out = record(OPS["broadcast"], (constant(np.array(array.flat[0]), dtype),), (array.shape,))
            return out
        if _is_few(array):
            return constant(np.ascontiguousarray(array).reshape(array.shape), dtype)
        out = from_array(np.ascontiguousarray(array))
        if not here.recorder.tracing:
            self.cache[o] = out
        return out

    # ---- blocks

    def function(self, f: Function, inputs: Sequence[Any]) -> list[Any]:
        self.depth += 1
        if self.depth > DEPTH:
            raise StablehloError("functions call each other too deep")
        outer, self.values = self.values, {}
        try:
            return self.block(f.body, inputs)
        finally:
            self.values = outer
            self.depth -= 1

    def block(self, block: Block, inputs: Sequence[Any]) -> list[Any]:
        """The results of a block."""
        if len(inputs) != len(block.args):
            raise StablehloError(f"{len(inputs)} values for a block that takes {len(block.args)}")
        values = self.values
        values.update(zip(block.args, inputs))
        for o in block.ops[:-1]:
            values.update(zip(o.outputs, self.operation(o)))
            for v in self.plan.dead.get(o, ()):
                values.pop(v, None)
        return [values[v] for v in block.ops[-1].inputs]

    def lifted(self, block: Block, inputs: Sequence[Any], of: Operation) -> list[Tensor]:
        """The results of a block of numbers, computed on tensors, element by element."""
        self._elementwise(block, set())
        self.lifting += 1
        try:
            results = self.block(block, inputs)
        finally:
            self.lifting -= 1
        return [self.tensor(r, v.type) for r, v in zip(results, block.ops[-1].inputs)]

    def _elementwise(self, block: Block, seen: set[str]) -> None:
        """NotImplementedError unless a block works element by element, and so do the functions that it calls."""
        for o in block.ops[:-1]:
            rule = RULES.get(o.name)
            if o.name == "call":
                name = o.attrs["callee"]
                if name not in seen:
                    seen.add(name)
                    self._elementwise(self.plan.module.functions[name].body, seen)
            elif rule is None or not rule.lifted or o.regions:
                raise NotImplementedError(f"its region holds {o.name}, which does not work element by element")

    # ---- operations

    def operation(self, o: Operation) -> Sequence[Any]:
        try:
            inputs = [self.values[v] for v in o.inputs]
            if o.name == "constant":
                results: Sequence[Any] = (self.constant(o),)
            else:
                results = self.folded(o, inputs) or self.ruled_by_types(o, inputs)
            if not self.lifting:
                self.check(o, results)
            return results
        except (StablehloError, CaptureError, LeakedTensorError):
            raise
        except Exception as e:
            shown = ", ".join(str(v.type) for v in o.inputs)
            raise StablehloError(f"{o.text()}: {str(e) or type(e).__name__}; its operands are {shown or 'none'}") from e

    def folded(self, o: Operation, inputs: list[Any]) -> tuple[Any, ...] | None:
        """The result, where all operands are known and the operation is one that shapes are computed with."""
        fold = FOLDS.get(o.name)
        if fold is None or self.lifting or is_narrow(o.outputs[0].type):
            return None
        if not all(isinstance(v, np.ndarray) and v.size <= FOLDED for v in inputs):
            return None
        rule = RULES[o.name]
        result = fold(o, *inputs, **{n: v for n, v in o.attrs.items() if n in rule.attrs})
        return None if result is None else (np.asarray(result),)

    def ruled_by_types(self, o: Operation, inputs: list[Any]) -> Sequence[Any]:
        if o.name not in _CARRYING:
            if any(is_quantized(v.type) for v in (*o.inputs, *o.outputs)):
                from ingot.interchange.stablehlo.ops.quantization import quantized

                return quantized(self, o, inputs)
            if any(is_narrow(v.type) for v in (*o.inputs, *o.outputs)):
                from ingot.interchange.stablehlo.ops.narrow import narrow

                return narrow(self, o, inputs)
        return self.ruled(o, inputs)

    def ruled(self, o: Operation, inputs: list[Any]) -> Sequence[Any]:
        rule = RULES.get(o.name)
        if rule is None:
            raise StablehloError(f"{o.text()}: there is no such operation here")
        if len(inputs) > len(rule.inputs) and not rule.variadic:
            raise TypeError(f"it has {len(inputs)} operands, and takes {', '.join(rule.inputs) or 'none'}")
        attrs = {n: v for n, v in o.attrs.items() if "." not in n}
        unknown = attrs.keys() - rule.attrs.keys()
        if unknown and "*" not in rule.attrs:
            raise TypeError(f"it has the attribute {min(unknown)!r}, which is not known")
        if not rule.raw:
            for i, value in enumerate(inputs):
                name = rule.input_name(i)
                what = f"{o.text()}: its operand {name!r}"
                inputs[i] = self.known(value, what) if name in rule.known else self.tensor(value, o.inputs[i].type)
        result = rule.run(*((Call(self, o),) if rule.wants_call else ()), *inputs, **attrs)
        return result if isinstance(result, (tuple, list)) else (result,)

    def check(self, o: Operation, results: Sequence[Any]) -> None:
        """TypeError unless results are what the module says."""
        if len(results) != len(o.outputs):
            raise TypeError(f"it gives {len(results)} results, and the module names {len(o.outputs)}")
        for r, v in zip(results, o.outputs):
            if isinstance(r, (Tensor, np.ndarray)):
                fits(r, v.type, "it gives")


def _is_few(array: np.ndarray) -> bool:
    """Whether an array is put into graphs as it is, rather than as an input."""
    return array.size <= (SMALL if array.dtype.kind in "iub" else FEW)


def fits(value: Any, t: Type, what: str) -> None:
    """TypeError unless a tensor is of a type. Sizes that are symbolic are guarded by the graph."""
    dtype = value.dtype.numpy if isinstance(value, Tensor) else value.dtype
    shape = tuple(value.shape)
    same = t.kind == "tensor" and dtype in (t.stored, np.dtype(object))
    if same and t.shape is not None:
        same = len(shape) == len(t.shape) and all(d is None or n == d for d, n in zip(t.shape, shape))
    if not same:
        raise TypeError(f"{what} {shape_text(value)}, and {t} is expected")


def shape_text(value: Any) -> str:
    """A value for messages."""
    if isinstance(value, Tensor):
        return f"{value.dtype.torch_name}{list(value.shape)}"
    return f"{value.dtype}{list(value.shape)}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
