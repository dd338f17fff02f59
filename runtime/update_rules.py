"""The optimizers' update rules, on values: one graph per (rule, flags, types), so that a step records one node per parameter.

Every rule is a table entry: what it keeps per parameter, which run-time scalars it reads, and the update itself, written
on IR expressions. Scalars (lr, betas, ...) come as float64 numbers; what is computed from them and the step count alone
is computed in float64, as torch does on the host. Half-precision parameters are updated in float32 and rounded once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from ingot.ir import ops as _ops  # noqa: F401  (fills OPS)
from ingot.ir.builder import Builder, Expr
from ingot.ir.dtypes import DType, Half, f32, f64
from ingot.ir.graph import Graph
from ingot.ir.op import OPS
from ingot.ir.types import TensorType, tensor_type

__all__ = ["Rule", "RULES", "rule_graph"]

Flags = frozenset[str]
Values = dict[str, Expr]


@dataclass(frozen=True)
class Rule:
    """An optimizer's update.

    state(flags): the names of the tensors kept per parameter, each of the parameter's type; "step" is a float32 count.
    scalars: the names of the run-time scalars, in the order of the graph's inputs.
    update(p, g, state, scalars, flags) -> new p, new state (what is left out stays as it is)
    """

    state: Callable[[Flags], tuple[str, ...]]
    scalars: tuple[str, ...]
    update: Callable[[Expr, Expr, Values, Values, Flags], tuple[Expr, Values]]


def _sqrt(x: Expr) -> Expr:
    return OPS["sqrt"](x)


def _pow(x: Expr, y: Expr) -> Expr:
    return OPS["pow"](x, y)


def _like(x: Expr, scalar: Expr) -> Expr:
    """A float64 scalar in the dtype of x."""
    return scalar.cast(x.dtype)


def _lerp(a: Expr, b: Expr, weight: Expr) -> Expr:
    return a + (b - a) * _like(a, weight)


# ---- the rules


def _sgd_state(flags: Flags) -> tuple[str, ...]:
    return ("momentum_buffer",) if "momentum" in flags else ()


def _sgd(p: Expr, g: Expr, s: Values, c: Values, flags: Flags) -> tuple[Expr, Values]:
    g = g + p * _like(p, c["weight_decay"])
    new: Values = {}
    if "momentum" in flags:
        m = _like(p, c["momentum"])
        if "first" in flags:
            buf = g
        else:
            buf = s["momentum_buffer"] * m + g * _like(p, 1.0 - c["dampening"])
        new["momentum_buffer"] = buf
        g = g + buf * m if "nesterov" in flags else buf
    return p - g * _like(p, c["lr"]), new


def _adam_state(flags: Flags) -> tuple[str, ...]:
    return ("step", "exp_avg", "exp_avg_sq") + (("max_exp_avg_sq",) if "amsgrad" in flags else ())


def _adam(p: Expr, g: Expr, s: Values, c: Values, flags: Flags) -> tuple[Expr, Values]:
    step = s["step"] + 1.0
    t = step.cast(f64)
    if "decoupled" in flags:
        p = p * _like(p, 1.0 - c["lr"] * c["weight_decay"])
    else:
        g = g + p * _like(p, c["weight_decay"])
    m = _lerp(s["exp_avg"], g, 1.0 - c["beta1"])
    v = s["exp_avg_sq"] * _like(p, c["beta2"]) + g * g * _like(p, 1.0 - c["beta2"])
    new = {"step": step, "exp_avg": m, "exp_avg_sq": v}
    largest = v
    if "amsgrad" in flags:
        largest = new["max_exp_avg_sq"] = OPS["maximum"](s["max_exp_avg_sq"], v)
    step_size = c["lr"] / (1.0 - _pow(c["beta1"], t))
    root = _sqrt(1.0 - _pow(c["beta2"], t))
    denom = _sqrt(largest) / _like(p, root) + _like(p, c["eps"])
    return p - m / denom * _like(p, step_size), new


def _rmsprop_state(flags: Flags) -> tuple[str, ...]:
    return ("step", "square_avg") + tuple(n for f, n in (("momentum", "momentum_buffer"), ("centered", "grad_avg")) if f in flags)


def _rmsprop(p: Expr, g: Expr, s: Values, c: Values, flags: Flags) -> tuple[Expr, Values]:
    g = g + p * _like(p, c["weight_decay"])
    sq = s["square_avg"] * _like(p, c["alpha"]) + g * g * _like(p, 1.0 - c["alpha"])
    new = {"step": s["step"] + 1.0, "square_avg": sq}
    spread = sq
    if "centered" in flags:
        mean = new["grad_avg"] = _lerp(s["grad_avg"], g, 1.0 - c["alpha"])
        spread = sq - mean * mean
    scaled = g / (_sqrt(spread) + _like(p, c["eps"]))
    if "momentum" in flags:
        scaled = new["momentum_buffer"] = s["momentum_buffer"] * _like(p, c["momentum"]) + scaled
    return p - scaled * _like(p, c["lr"]), new


def _adagrad(p: Expr, g: Expr, s: Values, c: Values, flags: Flags) -> tuple[Expr, Values]:
    step = s["step"] + 1.0
    g = g + p * _like(p, c["weight_decay"])
    rate = c["lr"] / ((step.cast(f64) - 1.0) * c["lr_decay"] + 1.0)
    total = s["sum"] + g * g
    return p - g / (_sqrt(total) + _like(p, c["eps"])) * _like(p, rate), {"step": step, "sum": total}


def _adadelta(p: Expr, g: Expr, s: Values, c: Values, flags: Flags) -> tuple[Expr, Values]:
    g = g + p * _like(p, c["weight_decay"])
    rho, rest, eps = _like(p, c["rho"]), _like(p, 1.0 - c["rho"]), _like(p, c["eps"])
    sq = s["square_avg"] * rho + g * g * rest
    delta = _sqrt(s["acc_delta"] + eps) / _sqrt(sq + eps) * g
    acc = s["acc_delta"] * rho + delta * delta * rest
    return p - delta * _like(p, c["lr"]), {"step": s["step"] + 1.0, "square_avg": sq, "acc_delta": acc}


def _adamax(p: Expr, g: Expr, s: Values, c: Values, flags: Flags) -> tuple[Expr, Values]:
    step = s["step"] + 1.0
    g = g + p * _like(p, c["weight_decay"])
    m = _lerp(s["exp_avg"], g, 1.0 - c["beta1"])
    u = OPS["maximum"](s["exp_inf"] * _like(p, c["beta2"]), OPS["abs"](g) + _like(p, c["eps"]))
    rate = c["lr"] / (1.0 - _pow(c["beta1"], step.cast(f64)))
    return p - m / u * _like(p, rate), {"step": step, "exp_avg": m, "exp_inf": u}


_WITH_STEP = {
    "adagrad": ("step", "sum"),
    "adadelta": ("step", "square_avg", "acc_delta"),
    "adamax": ("step", "exp_avg", "exp_inf"),
}

RULES: dict[str, Rule] = {
    "sgd": Rule(_sgd_state, ("lr", "momentum", "dampening", "weight_decay"), _sgd),
    "adam": Rule(_adam_state, ("lr", "beta1", "beta2", "eps", "weight_decay"), _adam),
    "rmsprop": Rule(_rmsprop_state, ("lr", "alpha", "eps", "weight_decay", "momentum"), _rmsprop),
    "adagrad": Rule(lambda f: _WITH_STEP["adagrad"], ("lr", "lr_decay", "eps", "weight_decay"), _adagrad),
    "adadelta": Rule(lambda f: _WITH_STEP["adadelta"], ("lr", "rho", "eps", "weight_decay"), _adadelta),
    "adamax": Rule(lambda f: _WITH_STEP["adamax"], ("lr", "beta1", "beta2", "eps", "weight_decay"), _adamax),
}


@lru_cache(maxsize=4096)
def rule_graph(name: str, flags: Flags, param: TensorType, grad: DType, states: tuple[TensorType, ...]) -> Graph:
    """The update as a graph.

    Inputs: parameter, gradient, the state tensors in the rule's order, then the scalars (float64, rank 0).
    Outputs: the new parameter, then the new state tensors in the same order.
    """
    rule = RULES[name]
    names = rule.state(flags)
    b = Builder(f"{name}_update")
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
