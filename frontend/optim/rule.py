"""Update rules, on values: one graph per (rule, flags, types), so that a step records one node per parameter.

A rule says what it keeps per parameter, which run-time scalars it reads, and the update itself, written on IR expressions.
Each stands beside its optimizer. Scalars (lr, betas, ...) come as float64 numbers; what is computed from them and the step count alone
is computed in float64, as torch does on the host. Half-precision parameters are updated in float32 and rounded once.
"""

from __future__ import annotations

from collections.abc import Callable

from ingot.ir import ops as _ops  # noqa: F401  (fills OPS)
from ingot.ir.builder import Builder, Expr
from ingot.ir.dtypes import DType, Half, f32, f64
from ingot.ir.graph import Graph
from ingot.ir.op import OPS
from ingot.ir.size import remembered
from ingot.ir.struct import frozen, struct
from ingot.ir.types import TensorType, tensor_type

__all__ = ["Flags", "Rule", "Values", "like", "lerp", "pow", "rule_graph", "sqrt"]

Flags = frozenset[str]
Values = dict[str, Expr]


@frozen
@struct
class Rule:
    """An optimizer's update.

    name: how its graphs are called.
    state(flags): the names of the tensors kept per parameter, each of the parameter's type; "step" is a float32 count.
    scalars: the names of the run-time scalars, in the order of the graph's inputs.
    update(p, g, state, scalars, flags) -> new p, new state (what is left out stays as it is)
    """

    name: str
    state: Callable[[Flags], tuple[str, ...]]
    scalars: tuple[str, ...]
    update: Callable[[Expr, Expr, Values, Values, Flags], tuple[Expr, Values]]


def sqrt(x: Expr) -> Expr:
    """The square root of every element."""
    return OPS["sqrt"](x)


def pow(x: Expr, y: Expr) -> Expr:
    """x to the power of y."""
    return OPS["pow"](x, y)


def like(x: Expr, scalar: Expr) -> Expr:
    """A float64 scalar in the dtype of x."""
    return scalar.cast(x.dtype)


def lerp(a: Expr, b: Expr, weight: Expr) -> Expr:
    """From a towards b, by a float64 scalar."""
    return a + (b - a) * like(a, weight)


@remembered(4096)
def rule_graph(rule: Rule, flags: Flags, param: TensorType, grad: DType, states: tuple[TensorType, ...]) -> Graph:
    """The update as a graph.

    Inputs: parameter, gradient, the state tensors in the rule's order, then the scalars (float64, rank 0).
    Outputs: the new parameter, then the new state tensors in the same order.
    """
    names = rule.state(flags)
    b = Builder(f"{rule.name}_update")
    work = f32 if param.dtype in Half else param.dtype
    p = b.expr(b.input(param, "param"))
    g = b.expr(b.input(param.with_dtype(grad), "grad")).cast(work)
    ins = {n: b.expr(b.input(t, n)) for n, t in zip(names, states)}
    scalars = {n: b.expr(b.input(tensor_type(f64, ()), n)) for n in rule.scalars}
    state = {n: x if n == "step" else x.cast(work) for n, x in ins.items()}
    g = -g if "maximize" in flags else g
    new_p, new = rule.update(p.cast(work), g, state, scalars, flags)
    outs = [new_p.cast(param.dtype)] + [new[n].cast(ins[n].dtype) if n in new else ins[n] for n in names]
    return b.freeze(tuple(o.value for o in outs))
