"""Evaluates a prepared model: node by node, by the rules, on Tensors; what shapes decide is folded on the way (folding.py)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

import ingot
from ingot._tensor import Tensor
from ingot._tensor.recording import constant, from_array
from ingot.capture import CaptureError, LeakedTensorError
from ingot.interchange.onnx.folding import FOLDS
from ingot.interchange.onnx.program import Body, Node, Reference
from ingot.interchange.onnx.rules import Call, NeedsValue, OnnxError
from ingot.interchange.onnx.values import Coded, is_coded, of_numpy
from ingot.ir.dtypes import by_numpy
from ingot.runtime.recorder import here

__all__ = ["SMALL", "Run", "Scope", "is_few"]

SMALL = 64  # elements of what is put into graphs as it is, rather than as an input
FEW = 4  # and of floats, which no shape follows from: code selects an element of a constant among all of them
FOLDED = 1 << 16  # elements of what is computed beforehand
DEPTH = 60


def is_few(value: np.ndarray) -> bool:
    """Whether an array is put into graphs as it is, rather than as an input."""
    return value.size <= (SMALL if value.dtype.kind in "iub" else FEW)


class Scope(dict):
    """Values by name; what is not here is around."""

    def __init__(self, around: Scope | None = None):
        super().__init__()
        self.around = around

    def __missing__(self, name: str) -> Any:
        if self.around is None:
            raise KeyError(name)
        return self.around[name]


class Run:
    """One evaluation. `cache`: arrays of the model that have become Tensors, by their id."""

    def __init__(self, cache: dict[int, tuple[np.ndarray, Tensor]]):
        self.cache = cache
        self.attrs: dict[str, Any] = {}  # of the function call that is being evaluated
        self.depth = 0

    # ---- what rules ask for

    def tensor(self, value: Any) -> Any:
        """A value as a Tensor, or codes where its type has no Tensor."""
        if not isinstance(value, np.ndarray):
            return value
        found = self.cache.get(id(value))
        if found is not None:
            return found[1]
        if value.dtype == object:
            if all(isinstance(x, str) for x in value.flat):
                raise TypeError("strings are not computed with")
            return ingot.tensor(value.tolist(), dtype=ingot.int64) if value.ndim else ingot.tensor(value.item(), dtype=ingot.int64)
        if is_coded(value.dtype):
            return Coded(self.tensor(of_numpy(value)), value.dtype)
        if is_few(value):
            return constant(value, by_numpy(value.dtype))
        out = from_array(np.ascontiguousarray(value))
        if not here.recorder.tracing:
            self.cache[id(value)] = (value, out)
        return out

    def known(self, value: Any, what: str) -> Any:
        """The value of an input that decides shapes."""
        if value is None or isinstance(value, np.ndarray):
            return value
        if isinstance(value, Coded):
            raise TypeError(f"{what} has the element type {value.dtype}")
        if here.recorder.tracing:
            raise NeedsValue(
                f"{what} must be known when the model is compiled, and it depends on what is computed or passed; "
                "call the model without compiling it"
            )
        return value.detach().numpy()

    def body(self, body: Body, inputs: Sequence[Any], around: Scope | None) -> list[Any]:
        """The results of a graph."""
        self.depth += 1
        if self.depth > DEPTH:
            raise OnnxError("graphs and functions are nested too deep")
        try:
            scope = Scope(around)
            scope.update(body.constants)
            scope.update(zip(body.inputs, inputs))
            self.nodes(body.nodes, scope)
            return [self.read(name, scope, "the results") for name in body.outputs]
        finally:
            self.depth -= 1

    # ---- nodes

    def nodes(self, nodes: Iterable[Node], scope: Scope) -> None:
        for node in nodes:
            results = self.node(node, scope)
            for name, value in zip(node.outputs, results):
                if name:
                    scope[name] = value
            for name in node.dead:
                scope.pop(name, None)

    @staticmethod
    def read(name: str, scope: Scope, reader: str) -> Any:
        if not name:
            return None
        try:
            return scope[name]
        except KeyError:
            raise OnnxError(f"{reader} reads {name!r}, which nothing before it gives") from None

    def node(self, node: Node, scope: Scope) -> Sequence[Any]:
        inputs = [self.read(name, scope, node.text()) for name in node.inputs]
        attrs = self.bound(node.attrs) if self.attrs else node.attrs
        try:
            if node.function is not None:
                return self.function(node, inputs, attrs)
            folded = self.folded(node, inputs, attrs)
            if folded is not None:
                return folded
            return self.ruled(node, inputs, attrs, scope)
        except (OnnxError, CaptureError, LeakedTensorError):
            raise
        except Exception as e:
            shown = ", ".join(f"{n!r} {shape_text(v)}" for n, v in zip(node.inputs, inputs) if n)
            raise OnnxError(f"{node.text()}: {str(e) or type(e).__name__}; its inputs are {shown or 'none'}") from e

    def folded(self, node: Node, inputs: list[Any], attrs: dict[str, Any]) -> tuple[Any, ...] | None:
        """The results, where all inputs are known and the op is one that shapes are computed with."""
        fold = FOLDS.get(node.op) if not node.domain else None
        if fold is None or not all(v is None or (isinstance(v, np.ndarray) and v.size <= FOLDED) for v in inputs):
            if node.op not in ("Shape", "Size") or node.domain or fold is None:
                return None
        result = fold(node.version, *inputs, **attrs)
        if result is None:
            return None
        return result if isinstance(result, tuple) else (result,)

    def ruled(self, node: Node, inputs: list[Any], attrs: dict[str, Any], scope: Scope) -> Sequence[Any]:
        rule = node.rule
        assert rule is not None
        if len(inputs) > len(rule.inputs) and not rule.variadic:
            raise OnnxError(f"{node.text()} has {len(inputs)} inputs, where the op takes {', '.join(rule.inputs) or 'none'}")
        unknown = attrs.keys() - rule.attrs
        if unknown:
            raise OnnxError(f"{node.text()} has the attribute {min(unknown)!r}, which the op does not know")
        codes: list[Coded] = []
        if not rule.raw:
            for i, value in enumerate(inputs):
                name = rule.input_name(i)
                if name in rule.known:
                    inputs[i] = self.known(value, f"{node.text()}: input {name!r}, {node.inputs[i]!r},")
                    continue
                value = inputs[i] = self.tensor(value)
                if isinstance(value, Coded):
                    if not rule.moves:
                        raise TypeError(f"input {name!r} has the element type {value.dtype}, which is only stored, cast and moved")
                    codes.append(value)
                    inputs[i] = value.codes
        call = (Call(self, node, node.version, scope),) if rule.wants_call else ()
        result = rule.run(*call, *inputs, **attrs)
        if not isinstance(result, tuple):
            result = (result,)
        if codes:
            result = tuple(Coded(r, codes[0].dtype) for r in result)
        return result

    # ---- functions

    def bound(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Attributes with the call's values for references; what the call leaves out is left out."""
        out = {}
        for name, a in attrs.items():
            if isinstance(a, Reference):
                a = self.attrs.get(a.name)
                if a is None:
                    continue
            out[name] = a
        return out

    def function(self, node: Node, inputs: list[Any], attrs: dict[str, Any]) -> Sequence[Any]:
        f = node.function
        assert f is not None and f.body is not None
        if len(inputs) > len(f.inputs):
            raise OnnxError(f"{node.text()} has {len(inputs)} inputs, where the function takes {', '.join(f.inputs) or 'none'}")
        inputs = inputs + [None] * (len(f.inputs) - len(inputs))
        outer = self.attrs
        self.attrs = {"": None, **{n: v for n, v in f.attrs.items() if v is not None}, **attrs}
        try:
            return self.body(f.body, inputs, None)
        finally:
            self.attrs = outer


def shape_text(value: Any) -> str:
    """A value for messages."""
    if isinstance(value, Tensor):
        return f"{value.dtype.torch_name}{list(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}" + (f" = {value.tolist()}" if value.size <= 8 else "")
    if isinstance(value, Coded):
        return f"{value.dtype}{list(value.codes.shape)}"
    return "absent" if value is None else f"a sequence of {len(value)}" if isinstance(value, list) else type(value).__name__
