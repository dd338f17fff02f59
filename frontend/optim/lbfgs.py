"""LBFGS: quasi-Newton steps from the last changes of the gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.optim.line_search import strong_wolfe
from ingot.optim.optimizer import Optimizer

__all__ = ["LBFGS"]


class LBFGS(Optimizer):
    """Steps along the gradient times an inverse Hessian estimated from the last `history_size` steps.

    `step(closure)` calls the closure, which computes the loss and its gradients, up to max_iter times (max_eval with a line search, by
    default 1.25 * max_iter) and returns the first loss. It ends early where no gradient is above `tolerance_grad`, or loss and step
    change by less than `tolerance_change`. line_search_fn: "strong_wolfe", or None for steps of length lr.

    One group of parameters (ValueError). It decides by values, so a compiled function cannot contain it.
    Source: Nocedal and Wright, Numerical Optimization, algorithms 7.4 and 3.5.

    >>> w = nn.Parameter(ingot.tensor([3.0, -2.0]))
    >>> optimizer = ingot.optim.LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((w - 1) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure)
    tensor(13., grad_fn=<SumBackward0>)
    >>> w.detach()
    tensor([1.0000, 1.0000])
    """

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ):
        if not isinstance(lr, Tensor) and not lr >= 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        if max_eval is None:
            max_eval = max_iter * 5 // 4
        super().__init__(
            params,
            dict(
                lr=lr, max_iter=max_iter, max_eval=max_eval, tolerance_grad=tolerance_grad, tolerance_change=tolerance_change,
                history_size=history_size, line_search_fn=line_search_fn,
            ),
        )  # fmt: skip
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params = self.param_groups[0]["params"]

    def _gradient(self) -> Tensor:
        return ingot.cat([(ingot.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in self._params])

    def _move(self, length: Any, direction: Tensor) -> None:
        at = 0
        for p in self._params:
            n = p.numel()
            p.add_(direction[at : at + n].reshape(tuple(p.shape)), alpha=length)
            at += n

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Minimize `closure`; its loss before the first step. TypeError without one."""
        if closure is None:
            raise TypeError("LBFGS.step() missing 1 required argument: 'closure', which computes the loss and its gradients")
        with ingot.no_grad():
            return self._minimize(closure)

    def _minimize(self, closure: Callable[[], Any]) -> Any:
        group, state = self.param_groups[0], self.state[self._params[0]]
        lr = float(group["lr"])
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)

        def evaluate() -> Any:
            with ingot.enable_grad():
                return closure()

        first = evaluate()
        loss, evaluations = float(first), 1
        state["func_evals"] += 1
        grad = self._gradient()
        if float(grad.abs().max()) <= group["tolerance_grad"]:
            return first
        iterations = 0
        while iterations < group["max_iter"]:
            iterations += 1
            state["n_iter"] += 1
            direction = self._direction(state, grad, group["history_size"])
            state["prev_flat_grad"] = grad.clone()
            state["prev_loss"] = loss
            length = min(1.0, 1.0 / float(grad.abs().sum())) * lr if state["n_iter"] == 1 else lr
            slope = float(grad.dot(direction))
            if slope > -group["tolerance_change"]:
                state["d"], state["t"] = direction, length
                break
            used = 0
            if group["line_search_fn"] is None:
                self._move(length, direction)
                if iterations != group["max_iter"]:
                    loss = float(evaluate())
                    grad = self._gradient()
                    used = 1
            elif group["line_search_fn"] == "strong_wolfe":
                start = [p.clone() for p in self._params]

                def at(t: float, start: list[Tensor] = start, direction: Tensor = direction) -> tuple[float, Tensor]:
                    self._move(t, direction)
                    value, slope = float(evaluate()), self._gradient()
                    for p, x in zip(self._params, start):
                        p.copy_(x)
                    return value, slope

                loss, grad, length, used = strong_wolfe(at, length, direction, loss, grad, slope, group["tolerance_change"])
                self._move(length, direction)
            else:
                raise RuntimeError("only 'strong_wolfe' is supported")
            state["d"], state["t"] = direction, length
            evaluations += used
            state["func_evals"] += used
            if (
                iterations == group["max_iter"]
                or evaluations >= group["max_eval"]
                or float(grad.abs().max()) <= group["tolerance_grad"]
                or float((direction * length).abs().max()) <= group["tolerance_change"]
                or abs(loss - state["prev_loss"]) < group["tolerance_change"]
            ):
                break
        return first

    @staticmethod
    def _direction(state: dict[str, Any], grad: Tensor, history: int) -> Tensor:
        """Minus the inverse Hessian's estimate times the gradient: Nocedal's two loops over the changes kept."""
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return -grad
        change, moved = grad - state["prev_flat_grad"], state["d"] * state["t"]
        curvature = float(change.dot(moved))
        if curvature > 1e-10:
            if len(state["old_dirs"]) == history:
                for name in ("old_dirs", "old_stps", "ro"):
                    state[name].pop(0)
            state["old_dirs"].append(change)
            state["old_stps"].append(moved)
            state["ro"].append(1.0 / curvature)
            state["H_diag"] = curvature / float(change.dot(change))
        changes, moves, inverse = state["old_dirs"], state["old_stps"], state["ro"]
        weights = []
        q = -grad
        for y, s, r in zip(reversed(changes), reversed(moves), reversed(inverse)):
            a = float(s.dot(q)) * r
            weights.append(a)
            q = q - y * a
        q = q * state["H_diag"]
        for y, s, r, a in zip(changes, moves, inverse, reversed(weights)):
            q = q + s * (a - float(y.dot(q)) * r)
        return q
