"""Muon: momentum for matrices, made orthogonal."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ingot.ir.builder import Expr
from ingot.ir.dtypes import bf16, f32
from ingot.ir.op import OPS
from ingot.optim.group import ParamGroup
from ingot.optim.rule import Flags, Rule, Values, lerp, like, sqrt
from ingot.optim.rule_optimizer import RuleOptimizer, check_at_least_zero

__all__ = ["Muon"]


def _product(a: Expr, b: Expr, contract: tuple) -> Expr:
    return OPS["dot"](a, b, batch=((), ()), contract=contract)


def _update(p: Expr, g: Expr, s: Values, c: Values, flags: Flags) -> tuple[Expr, Values]:
    momentum = lerp(s["momentum_buffer"], g, 1.0 - c["momentum"])
    x = lerp(g, momentum, c["momentum"]) if "nesterov" in flags else momentum
    steps = next(int(f.partition("=")[2]) for f in flags if f.startswith("ns_steps"))
    adjust = "match_rms_adamw" in flags
    rows, columns = p.shape
    x = x.cast(bf16)
    if rows > columns:
        x = x.transpose((1, 0))
    size = sqrt((x.cast(f32) * x.cast(f32)).sum((0, 1)).reshape(())).cast(bf16)
    x = x / OPS["maximum"](size, like(x, c["eps"]))
    for _ in range(steps):  # x becomes a x + (b G + c G G) x, where G = x x^T: its singular values go towards 1
        gram = _product(x, x, ((1,), (1,)))
        mixed = (gram.cast(f32) * like(size.cast(f32), c["b"])
                 + _product(gram, gram, ((1,), (0,))).cast(f32) * like(size.cast(f32), c["c"])).cast(bf16)  # fmt: skip
        x = (x.cast(f32) * like(size.cast(f32), c["a"]) + _product(mixed, x, ((1,), (0,))).cast(f32)).cast(bf16)
    if rows > columns:
        x = x.transpose((1, 0))
    ratio = 0.2 * math.sqrt(max(rows, columns)) if adjust else math.sqrt(max(1, rows / columns))
    p = p * like(p, 1.0 - c["lr"] * c["weight_decay"])
    return p - x.cast(p.dtype) * like(p, c["lr"] * ratio), {"momentum_buffer": momentum}


class Muon(RuleOptimizer):
    """p -= lr * o, where o is the momentum with all singular values made about 1, by `ns_steps` of Newton and Schulz in bfloat16.

    For the weights of hidden layers: ValueError for a parameter that is not a matrix. adjust_lr_fn: "original" (None) multiplies
    the rate by sqrt(max(1, rows / columns)), "match_rms_adamw" by 0.2 * sqrt(max(rows, columns)).
    Source: https://kellerjordan.github.io/posts/muon/, https://arxiv.org/abs/2502.16982.

    >>> w = nn.Parameter(ingot.eye(2))
    >>> optimizer = ingot.optim.Muon([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> (w[0, 0] < 1).item(), w[0, 1].item()
    (True, 0.0)
    """

    rule = Rule("muon", lambda flags: ("momentum_buffer",), ("lr", "weight_decay", "momentum", "eps", "a", "b", "c"), _update)
    scalar_keys = {"a": ("ns_coefficients", 0), "b": ("ns_coefficients", 1), "c": ("ns_coefficients", 2)}

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ):
        if not lr >= 0.0:
            raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
        if not momentum >= 0.0:
            raise ValueError(f"momentum should be >= 0 but is: {momentum}")
        check_at_least_zero(weight_decay=weight_decay)
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        if len(ns_coefficients) != 3:
            raise ValueError("Coefficients must be a tuple of exactly 3 values")
        if not 0 <= ns_steps < 100:
            raise ValueError("Number of steps must be less than 100 for computational efficiency")
        super().__init__(
            params,
            dict(
                lr=lr, weight_decay=weight_decay, momentum=momentum, nesterov=nesterov, ns_coefficients=ns_coefficients, eps=eps,
                ns_steps=ns_steps, adjust_lr_fn=adjust_lr_fn,
            ),
        )  # fmt: skip
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ValueError(f"Muon only supports 2D parameters whereas we found a parameter with size: {p.shape}")

    def flags(self, group: ParamGroup) -> frozenset[str]:
        found = super().flags(group) - {"momentum"} | {f"ns_steps={group['ns_steps']}"}
        return found | {"match_rms_adamw"} if group["adjust_lr_fn"] == "match_rms_adamw" else found
