"""Custom calls that mean something here: shape assertions, hints, and what JAX calls by a name; LAPACK's are in lapack.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ingot.interchange.stablehlo.module import Operation, StablehloError, Type, Value
from ingot.interchange.stablehlo.rules import RULES, Call, op
from ingot.ir.op import OPS  # noqa: F401  (fills the IR's table)

__all__ = ["TARGETS", "target"]

TARGETS: dict[str, Callable] = {}


def target(*names: str) -> Callable[[Callable], Callable]:
    """Enter a function (call, operands as they are, options) for custom calls of these targets."""

    def enter(fn: Callable) -> Callable:
        for name in names:
            TARGETS[name] = fn
        return fn

    return enter


@op("custom_call", raw=True)
def custom_call(
    c: Call, *inputs: Any, call_target_name: str, has_side_effect: bool = False, backend_config: Any = None, api_version: Any = None,
    called_computations: Any = None, operand_layouts: Any = None, result_layouts: Any = None, output_operand_aliases: Any = None,
    result_tilings: Any = None, error_message: str = "", indices_of_shape_operands: Any = None,
) -> Any:  # fmt: skip
    fn = TARGETS.get(call_target_name)
    if indices_of_shape_operands is not None:
        c, inputs = _shaped(c, inputs, np.ravel(getattr(indices_of_shape_operands, "array", indices_of_shape_operands)).tolist())
    if fn is None:
        raise NotImplementedError(f"a call of {call_target_name}, which is not part of the module")
    options: dict[str, Any] = {"error_message": error_message}
    for given in (backend_config, c.op.attrs.get("mhlo.backend_config"), c.op.attrs.get("mhlo.attributes")):
        if isinstance(given, dict):
            options |= given
    return fn(c, inputs, options)


def _shaped(c: Call, inputs: Any, indices: list[int]) -> tuple[Call, Any]:
    """A call whose last operands are the sizes of its results, which vary: with results of these sizes, without the operands."""
    if not set(indices) <= set(range(len(inputs))) or len(indices) != len(c.types):
        raise TypeError(f"its operands {indices} are to be the shapes of {len(c.types)} results")
    sizes = [c.known(inputs[i], "the shape of a result").tolist() for i in indices]
    outputs = tuple(Value(Type(t.kind, t.element, tuple(n))) for t, n in zip(c.types, sizes))
    kept = [i for i in range(len(inputs)) if i not in indices]
    op = Operation(c.op.name, tuple(c.op.inputs[i] for i in kept), outputs, c.op.attrs, c.op.regions, c.op.place)
    return Call(c.run, op), [inputs[i] for i in kept]


@target("shape_assertion")
def shape_assertion(c: Call, inputs: Any, options: dict[str, Any]) -> Any:
    """StablehloError, in the module's words, unless the first operand holds."""
    held, *sizes = inputs
    if not bool(np.asarray(c.known(held, "its condition")).reshape(())):
        message = str(options["error_message"])
        for i, n in enumerate(sizes):
            message = message.replace(f"{{{i}}}", str(np.asarray(c.known(n, "a size")).reshape(())))
        raise StablehloError(f"{c.op.text()}: {message}")
    return ()


@target(
    "Sharding",
    "annotate_device_placement",
    "SPMDFullToShardShape",
    "SPMDShardToFullShape",
    "xla.sdy.FuncResultSharding",
    "LayoutConstraint",
)
def hint(c: Call, inputs: Any, options: dict[str, Any]) -> Any:
    return inputs


def _renamed(c: Call, inputs: Any, options: dict[str, Any], name: str) -> Any:
    attrs = {k: v for k, v in options.items() if k in RULES[name].attrs}
    return c.run.ruled(Operation(name, c.op.inputs, c.op.outputs, attrs, (), c.op.place), list(inputs))


@target("mhlo.erf")
def erf(c: Call, inputs: Any, options: dict[str, Any]) -> Any:
    return _renamed(c, inputs, options, "chlo.erf")


@target("mhlo.tan")
def tan(c: Call, inputs: Any, options: dict[str, Any]) -> Any:
    return _renamed(c, inputs, options, "tan")


@target("mhlo.asin", "mhlo.sinh", "mhlo.cosh", "mhlo.acos", "mhlo.acosh", "mhlo.asinh", "mhlo.atanh")
def inverse(c: Call, inputs: Any, options: dict[str, Any]) -> Any:
    return _renamed(c, inputs, options, f"chlo.{c.op.attrs['call_target_name'][5:]}")


@target("mhlo.topk")
def topk(c: Call, inputs: Any, options: dict[str, Any]) -> Any:
    if not options.get("largest", True):
        raise NotImplementedError("the least elements")
    return _renamed(c, inputs, options, "chlo.top_k")
